//! Answers as servers pack and measure them.

use flate2::Compression;
use flate2::bufread::{DeflateEncoder, GzEncoder, ZlibEncoder};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use url::Url;
use vigie_producers::Kind;
use vigie_producers::content::document::Document;
use vigie_producers::fetcher::{Body, Fetched, FetcherConfig};

use crate::reading::ORIGIN;
use crate::server::{fetcher, request};

const FEED: &str = "<rss><channel><item><guid>1</guid><title>BTC</title></item></channel></rss>";

fn packed(mut encoder: impl std::io::Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    encoder.read_to_end(&mut bytes).unwrap();
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    packed(GzEncoder::new(bytes, Compression::default()))
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    packed(ZlibEncoder::new(bytes, Compression::default()))
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    packed(DeflateEncoder::new(bytes, Compression::default()))
}

/// What comes of one answer, whose headers and body are sent as they are before the connection is closed.
async fn fetch(headers: &str, body: &[u8]) -> Result<Body, String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/feed", listener.local_addr().unwrap())).unwrap();
    let answer = [format!("HTTP/1.1 200 OK\r\n{headers}Connection: close\r\n\r\n").as_bytes(), body].concat();
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 4096]).await.unwrap();
        stream.write_all(&answer).await.unwrap();
        stream.shutdown().await.unwrap();
        // What the client still says must be taken, or its answer is reset.
        let _ = stream.read_to_end(&mut Vec::new()).await;
    };
    let fetcher = fetcher(FetcherConfig::default());
    let request = request(url);
    let (fetched, ()) = tokio::join!(fetcher.fetch(&request), server);
    match fetched.map_err(|error| error.to_string())? {
        Fetched::Body(body) => Ok(body),
        other => panic!("{other:?}"),
    }
}

fn titles(bytes: &[u8]) -> Vec<String> {
    let page = Kind::Rss.read(Document { bytes, charset: None, base: None }, ORIGIN).unwrap();
    page.posts.into_iter().filter_map(|post| post.title).collect()
}

#[tokio::test]
async fn answers_are_unpacked_however_they_are_packed() {
    let plain = FEED.as_bytes();
    for (coding, media, body) in [
        ("", "application/rss+xml", gzip(plain)),
        ("", "application/x-gzip", gzip(plain)),
        ("", "text/xml", gzip(&gzip(plain))),
        ("gzip", "application/x-gzip", gzip(&gzip(plain))),
        ("x-gzip", "text/xml", gzip(plain)),
        ("gzip, gzip", "text/xml", gzip(&gzip(plain))),
        ("deflate", "text/xml", zlib(plain)),
        ("deflate", "text/xml", deflate(plain)),
        ("deflate, gzip", "text/xml", gzip(&zlib(plain))),
        ("identity", "text/xml", plain.to_vec()),
    ] {
        let encoding = if coding.is_empty() { String::new() } else { format!("Content-Encoding: {coding}\r\n") };
        let headers = format!("{encoding}Content-Type: {media}\r\nContent-Length: {}\r\n", body.len());
        let body = fetch(&headers, &body).await.unwrap_or_else(|e| panic!("{coding} {media}: {e}"));
        assert_eq!(titles(&body.bytes), ["BTC"], "{coding} {media}");
    }
}

#[tokio::test]
async fn a_wrong_length_does_not_lose_what_came_and_is_not_taken_for_the_whole() {
    let headers = |length: usize| format!("Content-Length: {length}\r\nETag: \"1\"\r\nCache-Control: max-age=600\r\n");
    let whole = fetch(&headers(FEED.len()), FEED.as_bytes()).await.unwrap();
    assert!(whole.etag.is_some() && whole.fresh_for.is_some());
    let short = fetch(&headers(FEED.len() + 100), FEED.as_bytes()).await.unwrap();
    assert_eq!(titles(&short.bytes), ["BTC"]);
    assert_eq!((short.etag, short.fresh_for), (None, None));
    let packed = gzip(FEED.as_bytes());
    let headers = format!("Content-Encoding: gzip\r\n{}", headers(FEED.len() + 100));
    assert_eq!(titles(&fetch(&headers, &packed).await.unwrap().bytes), ["BTC"], "the length of what was packed");
    assert!(fetch(&headers, &packed[..packed.len() / 2]).await.is_err());
    let chunked = "Transfer-Encoding: chunked\r\n";
    assert!(
        fetch(chunked, format!("{:x}\r\n{FEED}\r\n", FEED.len()).as_bytes()).await.is_err(),
        "the last chunk is missing"
    );
}
