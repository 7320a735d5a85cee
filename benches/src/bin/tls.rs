//! What encryption costs: Kafka and PostgreSQL of one stack, in clear and by TLS with certificates on both sides, in turns.

use std::path::Path;
use std::time::Duration;

use anyhow::ensure;
use clap::Parser;
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use tokio::runtime::Runtime;
use vigie_benches::peers::input::Input;
use vigie_benches::peers::process::cpu_seconds;
use vigie_clock::{Clock, SystemClock};
use vigie_kafka_client::{Admin, KafkaConfig, SecurityProtocol, Start, read_to_end};
use vigie_stack::{Stack, StackConfig, TlsConfig};
use vigie_stores::PostgresUrl;

/// Rows of one statement, as the sink's batches.
const BATCH: usize = 500;
const WAYS: [&str; 2] = ["in clear", "TLS"];
const MEASURED: [&str; 4] = ["Kafka, written", "Kafka, read", "PostgreSQL, written", "PostgreSQL, read"];

/// Compare Kafka and PostgreSQL in clear with the same by TLS
#[derive(Parser)]
#[command(name = "vigie-tls", version)]
struct Options {
    /// Turns of each
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Records that are written to Kafka and read in each turn
    #[arg(long, default_value_t = 200_000)]
    records: u64,
    /// Rows that are written to PostgreSQL and read in each turn
    #[arg(long, default_value_t = 50_000)]
    rows: usize,
    /// Bytes of a record's value, and of a row
    #[arg(long, default_value_t = 1_000)]
    bytes: usize,
}

/// Records or rows a second, and microseconds of our processor time for each.
#[derive(Clone, Copy)]
struct Taken {
    per_second: f64,
    cpu_us: f64,
}

fn taken(count: u64, work: impl FnOnce() -> anyhow::Result<u64>) -> anyhow::Result<Taken> {
    let clock = SystemClock::default();
    let (began, cpu) = (clock.monotonic(), cpu_seconds()?);
    let done = work()?;
    ensure!(done == count, "{done} of {count} came");
    let (wall, cpu) = ((clock.monotonic() - began).as_secs_f64(), cpu_seconds()? - cpu);
    Ok(Taken { per_second: count as f64 / wall, cpu_us: cpu * 1e6 / count as f64 })
}

/// One certificate for servers and clients, by an authority of its own.
fn certificates(dir: &Path) -> anyhow::Result<TlsConfig> {
    let [authority, certificate, key] = ["ca.pem", "bench.crt", "bench.key"].map(|name| dir.join(name));
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let signing = KeyPair::generate()?;
    std::fs::write(&authority, params.self_signed(&signing)?.pem())?;
    let issuer = Issuer::new(params, signing);
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()])?;
    params.distinguished_name.push(DnType::CommonName, "bench");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let own = KeyPair::generate()?;
    std::fs::write(&certificate, params.signed_by(&own, &issuer)?.pem())?;
    std::fs::write(&key, own.serialize_pem())?;
    let (user, password) = ("bench".to_owned(), "bench".to_owned());
    Ok(TlsConfig { authority, certificate, key, user, password, restricted: Vec::new(), issuer: None })
}

fn kafka_turn(kafka: &KafkaConfig, options: &Options, topic: String) -> anyhow::Result<[Taken; 2]> {
    let (begin, value_bytes) = (SystemClock::default().now().saturating_sub(Duration::from_secs(600)), options.bytes);
    let input = Input { topic, records: options.records, keys: 10_000, windows: 1, value_bytes, begin };
    let written = taken(input.records, || input.load(kafka, 1, |_| {}).map(|()| input.records))?;
    let read = taken(input.records, || {
        read_to_end(kafka, &input.topic, &Start::Beginning)?.try_fold(0, |read, record| Ok(record.map(|_| read + 1)?))
    })?;
    Admin::new(kafka)?.delete_topics(&[&input.topic])?;
    Ok([written, read])
}

fn postgres_turn(runtime: &Runtime, url: &str, options: &Options) -> anyhow::Result<[Taken; 2]> {
    let url: PostgresUrl = url.parse().map_err(anyhow::Error::msg)?;
    let (client, connection) = runtime.block_on(url.connect("bench"))?;
    runtime.spawn(connection);
    runtime.block_on(client.batch_execute("CREATE TEMP TABLE rows (text text NOT NULL)"))?;
    let insert = runtime.block_on(client.prepare("INSERT INTO rows SELECT unnest($1::text[])"))?;
    let batch = vec!["x".repeat(options.bytes); BATCH];
    let rows = options.rows as u64;
    let written = taken(rows, || {
        let mut written = 0;
        while written < rows {
            let some = &batch[..BATCH.min((rows - written) as usize)];
            written += runtime.block_on(client.execute(&insert, &[&some]))?;
        }
        Ok(written)
    })?;
    let read = taken(rows, || Ok(runtime.block_on(client.query("SELECT text FROM rows", &[]))?.len() as u64))?;
    Ok([written, read])
}

fn main() -> anyhow::Result<()> {
    let (options, runtime, dir) = (Options::parse(), Runtime::new()?, tempfile::tempdir()?);
    let tls = certificates(dir.path())?;
    let config = StackConfig { ephemeral: true, tls: Some(tls.clone()), ..StackConfig::new(dir.path().join("stack")) };
    let stack = runtime.block_on(Stack::start(config))?;
    let (clear, ports) = (stack.endpoints(), stack.tls_ports().expect("a stack that speaks TLS"));
    let mut kafka = [
        KafkaConfig::new(clear.kafka_brokers.clone(), ""),
        KafkaConfig::new(format!("127.0.0.1:{}", ports.kafka_ssl), ""),
    ];
    let security = &mut kafka[1].security;
    security.kafka_security_protocol = SecurityProtocol::Ssl;
    security.kafka_ssl_ca_file = Some(tls.authority.clone());
    security.kafka_ssl_certificate_file = Some(tls.certificate);
    security.kafka_ssl_key_file = Some(tls.key);
    let encrypted = format!("sslmode=verify-full&sslrootcert={}", tls.authority.display());
    let postgres = ["sslmode=disable", &encrypted].map(|how| format!("{}?{how}", clear.postgres_url));

    let mut all: [[Vec<Taken>; 4]; 2] = Default::default();
    for round in 0..=options.rounds {
        for turn in 0..2 {
            // Whatever else the machine does in a round hits the other way first in the next.
            let way = (turn + round as usize) % 2;
            let by_kafka = kafka_turn(&kafka[way], &options, format!("tls-{round}-{way}"))?;
            let by_postgres = postgres_turn(&runtime, &postgres[way], &options)?;
            // The first round warms the servers up.
            if round > 0 {
                let taken = by_kafka.into_iter().chain(by_postgres);
                all[way].iter_mut().zip(taken).for_each(|(all, taken)| all.push(taken));
            }
        }
    }
    runtime.block_on(stack.stop());
    print(&all);
    Ok(())
}

fn print(all: &[[Vec<Taken>; 4]; 2]) {
    let median = |taken: &[Taken], value: fn(&Taken) -> f64| {
        let mut values: Vec<f64> = taken.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        (values[values.len() / 2], values[0], values[values.len() - 1])
    };
    println!("| | {}, a second | {}, a second | ratio | our processor time, µs each |", WAYS[0], WAYS[1]);
    println!("|---|---:|---:|---:|---:|");
    for (name, (clear, tls)) in MEASURED.iter().zip(all[0].iter().zip(&all[1])) {
        let [(a, a_low, a_high), (b, b_low, b_high)] = [clear, tls].map(|way| median(way, |taken| taken.per_second));
        let [cpu_a, cpu_b] = [clear, tls].map(|way| median(way, |taken| taken.cpu_us).0);
        println!(
            "| {name} | {a:.0} ({a_low:.0} to {a_high:.0}) | {b:.0} ({b_low:.0} to {b_high:.0}) | {:.2} | {cpu_a:.1}, {cpu_b:.1} |",
            b / a
        );
    }
}
