//! A web site with one growing Atom feed, for the real producer to read.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use vigie_clock::Timestamp;
use vigie_schemas::RawPost;

use crate::error::ChaosError;
use crate::posts::{ASSETS, SPAN};

/// The id of the source.
pub(crate) const SOURCE: &str = "chaos-feed";

pub(crate) struct Feed {
    pub(crate) port: u16,
    /// What the producer should make of the entries; their ids are the producer's business, so the title stands in for them.
    pub(crate) entries: Arc<Vec<RawPost>>,
    shown: Arc<AtomicUsize>,
}

impl Feed {
    /// Serves a feed of `count` entries, of which none is shown yet.
    pub(crate) async fn serve(seed: u64, from: Timestamp, count: usize) -> Result<Self, ChaosError> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(ChaosError::io("serve a feed"))?;
        let port = listener.local_addr().map_err(ChaosError::io("serve a feed"))?.port();
        let mut rng = StdRng::seed_from_u64(seed ^ 0x6665_6564);
        let entries: Arc<Vec<RawPost>> = Arc::new((0..count).map(|n| entry(&mut rng, from, n)).collect());
        let shown = Arc::new(AtomicUsize::new(0));
        let (all, visible) = (Arc::clone(&entries), Arc::clone(&shown));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let body = document(&all[..visible.load(Ordering::SeqCst).min(all.len())]);
                tokio::spawn(answer(stream, body));
            }
        });
        Ok(Self { port, entries, shown })
    }

    /// Shows this many more entries.
    pub(crate) fn grow(&self, by: usize) {
        self.shown.fetch_add(by, Ordering::SeqCst);
    }

    /// Shows all entries.
    pub(crate) fn grow_to_the_end(&self) {
        self.shown.store(self.entries.len(), Ordering::SeqCst);
    }

    /// `sources.toml` for the producer.
    pub(crate) fn sources(&self) -> String {
        format!(
            "[[source]]\nid = \"{SOURCE}\"\nkind = \"rss\"\nurl = \"http://127.0.0.1:{}/feed.xml\"\nevery_seconds = 1\nlocal = true\n",
            self.port
        )
    }
}

fn entry(rng: &mut StdRng, from: Timestamp, number: usize) -> RawPost {
    let asset = ASSETS[rng.random_range(0..ASSETS.len())];
    let published_at = Timestamp::from_millis(from.as_millis() + rng.random_range(0..SPAN) / 1000 * 1000);
    RawPost {
        source: SOURCE.to_owned(),
        kind: "rss".to_owned(),
        author: Some(format!("writer-{}", rng.random_range(0..20))),
        title: Some(format!("Meldung Nummer {number}")),
        text: format!("Der Kurs von {asset} ist wieder nicht gut und das ist bei uns auch so"),
        published_at,
        fetched_at: published_at,
        ..RawPost::default()
    }
}

fn document(entries: &[RawPost]) -> String {
    let mut text =
        "<?xml version=\"1.0\"?><feed xmlns=\"http://www.w3.org/2005/Atom\"><id>urn:chaos</id><title>Chaos</title>\
                    <updated>2024-01-01T00:00:00Z</updated>"
            .to_owned();
    for (number, entry) in entries.iter().enumerate().rev() {
        let (title, author) = (entry.title.as_deref().unwrap_or_default(), entry.author.as_deref().unwrap_or_default());
        let (at, body) = (entry.published_at, &entry.text);
        let _ = write!(
            text,
            "<entry><id>urn:chaos:{number}</id><title>{title}</title><author><name>{author}</name></author>\
             <published>{at}</published><updated>{at}</updated><content type=\"text\">{body}</content></entry>"
        );
    }
    text.push_str("</feed>");
    text
}

async fn answer(mut stream: TcpStream, body: String) -> std::io::Result<()> {
    let mut request = vec![0; 4096];
    let length = stream.read(&mut request).await?;
    let is_feed = String::from_utf8_lossy(&request[..length]).lines().next().is_some_and(|l| l.contains("/feed.xml"));
    let (status, body) = if is_feed { ("200 OK", body) } else { ("404 Not Found", String::new()) };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/atom+xml\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}
