//! Asks an address over and over and prints one line of JSON: `load URL [--connections 16] [--seconds 5] [--rate 0] [--header "name: value"]
//! [--ca FILE] [--conditional]`. Connections are kept alive. With a rate, requests are due at fixed times, and latency counts from when a request was
//! due, or sent if its connection was free then, so that a server that stalls cannot hide it. `--conditional` sends the ETag of a first answer.

mod client {
    pub(crate) mod wire;
}

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use url::Url;
use vigie_clock::{Clock, SystemClock};

use client::wire::{Failure, Wire, connector};

#[derive(Clone, Parser)]
struct Args {
    url: Url,
    #[arg(long, default_value_t = 16)]
    connections: u32,
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Requests per second of all connections together; 0: each as soon as the one before is answered
    #[arg(long, default_value_t = 0.0)]
    rate: f64,
    #[arg(long)]
    header: Vec<String>,
    /// Certificate of the server; with it, TLS is spoken
    #[arg(long)]
    ca: Option<PathBuf>,
    #[arg(long)]
    conditional: bool,
}

struct Connection(BufReader<Box<dyn Wire>>);

struct Reply {
    status: u16,
    etag: Option<String>,
    bytes: usize,
}

impl Connection {
    async fn open(args: &Args) -> Result<Self, Failure> {
        let address = args.url.socket_addrs(|| None)?;
        let stream = TcpStream::connect(&address[..]).await?;
        stream.set_nodelay(true)?;
        let wire: Box<dyn Wire> = match &args.ca {
            None => Box::new(stream),
            Some(file) => {
                let name = ServerName::try_from(args.url.host_str().ok_or("no host")?.to_owned())?;
                Box::new(connector(file, false)?.connect(name, stream).await?)
            }
        };
        Ok(Self(BufReader::with_capacity(64 << 10, wire)))
    }

    async fn ask(&mut self, request: &str) -> Result<Reply, Failure> {
        self.0.write_all(request.as_bytes()).await?;
        self.0.flush().await?;
        let mut line = String::new();
        self.0.read_line(&mut line).await?;
        let status = line.split(' ').nth(1).ok_or("no status line")?.parse()?;
        let (mut length, mut etag) = (0, None);
        loop {
            line.clear();
            self.0.read_line(&mut line).await?;
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse()?,
                "etag" => etag = Some(value.to_owned()),
                "transfer-encoding" => return Err("an answer in chunks".into()),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await?;
        Ok(Reply { status, etag, bytes: length })
    }
}

fn request(args: &Args, etag: Option<&str>) -> String {
    let target = &args.url[url::Position::BeforePath..url::Position::AfterQuery];
    let host = &args.url[url::Position::BeforeHost..url::Position::AfterPort];
    let mut request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n");
    args.header.iter().for_each(|header| request.extend([header, "\r\n"]));
    if let Some(etag) = etag {
        request.extend(["If-None-Match: ", etag, "\r\n"]);
    }
    request + "\r\n"
}

/// Milliseconds of each request of one connection, and its answers by status.
async fn converse(
    args: Args,
    number: u32,
    request: String,
) -> Result<(Vec<f64>, BTreeMap<u16, usize>, usize), Failure> {
    let clock = SystemClock::default();
    let mut connection = Connection::open(&args).await?;
    let end = Duration::from_secs_f64(args.seconds);
    let every = (args.rate > 0.0).then(|| Duration::from_secs_f64(f64::from(args.connections) / args.rate));
    let (mut took, mut statuses, mut bytes) = (Vec::new(), BTreeMap::new(), 0);
    let began = clock.monotonic();
    let mut due = every.map_or(Duration::ZERO, |every| every * number / args.connections);
    loop {
        let now = clock.monotonic() - began;
        let mut from = due;
        if every.is_none() {
            (due, from) = (now, now);
        } else if due > now {
            // A timer is up to a millisecond late, which is not the server's.
            tokio::time::sleep(due - now).await;
            from = clock.monotonic() - began;
        }
        if due >= end {
            return Ok((took, statuses, bytes));
        }
        let reply = connection.ask(&request).await?;
        took.push((clock.monotonic() - began).saturating_sub(from).as_secs_f64() * 1000.0);
        *statuses.entry(reply.status).or_default() += 1;
        bytes = reply.bytes;
        due += every.unwrap_or_default();
    }
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let args = Args::parse();
    let mut first = Connection::open(&args).await?;
    let reply = first.ask(&request(&args, None)).await?;
    let etag = if args.conditional { Some(reply.etag.ok_or("no ETag")?) } else { None };
    let text = request(&args, etag.as_deref());
    let running: Vec<_> =
        (0..args.connections).map(|number| tokio::spawn(converse(args.clone(), number, text.clone()))).collect();
    let (mut took, mut statuses, mut bytes) = (Vec::new(), BTreeMap::new(), 0);
    for connection in running {
        let (of_one, by_status, size) = connection.await??;
        took.extend(of_one);
        by_status.into_iter().for_each(|(status, count)| *statuses.entry(status).or_insert(0) += count);
        bytes = size;
    }
    took.sort_by(f64::total_cmp);
    let part = |part: f64| took.get((took.len() as f64 * part) as usize).copied().unwrap_or_default();
    let line = serde_json::json!({
        "requests": took.len(), "per_second": took.len() as f64 / args.seconds, "bytes": bytes, "statuses": statuses,
        "p50_ms": part(0.5), "p99_ms": part(0.99), "max_ms": took.last(),
    });
    println!("{line}");
    Ok(())
}
