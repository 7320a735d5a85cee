//! Answers made to cost more than they are worth.

use std::time::Duration;

use async_compression::Level;
use async_compression::codecs::zstd::params::CParameter;
use async_compression::tokio::write::{BrotliEncoder, GzipEncoder, ZstdEncoder};
use axum::body::Bytes;
use axum::http::header;
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use vigie_clock::SystemClock;
use vigie_producers::fetcher::{FetchError, Fetched, FetcherConfig};
use vigie_producers::poll::{fresh_cursor, poll};

use crate::server::{fetcher, request};
use crate::web::{Web, feed, public, rss};

const MIB: usize = 1024 * 1024;

async fn packed<W: AsyncWrite + Unpin>(mut encoder: W, bytes: &[u8]) -> W {
    encoder.write_all(bytes).await.unwrap();
    encoder.shutdown().await.unwrap();
    encoder
}

async fn pack(coding: &str, bytes: &[u8]) -> Vec<u8> {
    match coding {
        "gzip" => packed(GzipEncoder::new(Vec::new()), bytes).await.into_inner(),
        "br" => packed(BrotliEncoder::with_quality(Vec::new(), Level::Fastest), bytes).await.into_inner(),
        "zstd" => packed(ZstdEncoder::new(Vec::new()), bytes).await.into_inner(),
        _ => bytes.to_vec(),
    }
}

/// A web with one packed answer.
async fn with(coding: &'static str, body: Vec<u8>) -> Web {
    let web = Web::start().await;
    let body = Bytes::from(body);
    web.on("a.example/", move |_| ([(header::CONTENT_ENCODING, coding)], body.clone()));
    web
}

async fn fetch(web: &Web) -> Result<Vec<u8>, FetchError> {
    match web.quick().fetch(&public("http://a.example/")).await? {
        Fetched::Body(body) => Ok(body.bytes),
        other => panic!("expected a body, got {other:?}"),
    }
}

#[tokio::test]
async fn every_encoding_that_we_ask_for_is_read() {
    let text: Vec<u8> = (0..200_000_u32).flat_map(|n| n.to_string().into_bytes()).collect();
    for coding in ["gzip", "br", "zstd", "identity"] {
        assert_eq!(fetch(&with(coding, pack(coding, &text).await).await).await.unwrap(), text, "{coding}");
        assert_eq!(fetch(&with(coding, Vec::new()).await).await.unwrap(), b"", "{coding}");
    }
    let mut two = pack("gzip", b"one ").await;
    two.extend(pack("gzip", b"two").await);
    assert_eq!(fetch(&with("gzip", two).await).await.unwrap(), b"one two");
    for (coding, body) in [("gzip", b"no gzip".to_vec()), ("gzip, gzip", b"x".to_vec()), ("compress", b"x".to_vec())] {
        let error = fetch(&with(coding, body).await).await.unwrap_err();
        assert!(matches!(error, FetchError::Network(_)), "{coding}: {error}");
    }
    // Cut off in the middle.
    let whole = pack("gzip", &text).await;
    assert!(fetch(&with("gzip", whole[..whole.len() / 2].to_vec()).await).await.is_err());
}

#[tokio::test]
async fn what_unpacks_to_far_more_than_its_size_is_stopped() {
    for coding in ["gzip", "br", "zstd"] {
        let bomb = pack(coding, &vec![0; 12 * MIB]).await;
        assert!(bomb.len() < 12 * MIB / 200, "{coding}: {}", bomb.len());
        assert_eq!(fetch(&with(coding, bomb).await).await.unwrap_err(), FetchError::Ratio { limit: 200 }, "{coding}");
        // Small documents may be as repetitive as they like.
        let small = pack(coding, &vec![b' '; MIB / 2]).await;
        assert_eq!(fetch(&with(coding, small).await).await.unwrap().len(), MIB / 2, "{coding}");
    }
}

#[tokio::test]
async fn a_window_larger_than_http_allows_is_refused() {
    let window = [CParameter::window_log(27)];
    let encoder = ZstdEncoder::with_quality_and_params(Vec::new(), Level::Fastest, &window);
    let bytes: Vec<u8> = (0..2_000_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let error = fetch(&with("zstd", packed(encoder, &bytes).await.into_inner()).await).await.unwrap_err();
    assert!(matches!(error, FetchError::Network(_)), "{error}");
}

#[tokio::test]
async fn headers_have_a_limit() {
    let web = Web::start().await;
    web.on("a.example/", |_| ([("x-long", "x".repeat(70_000))], "body"));
    let error = fetch(&web).await.unwrap_err();
    assert!(matches!(&error, FetchError::Network(why) if why.contains("headers of")), "{error}");
}

/// A server that sends `begin`, then `drop` again and again.
async fn dripping(begin: &'static [u8], drop: &'static [u8]) -> url::Url {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                // Once it is asked.
                let _ = stream.read(&mut [0; 4096]).await?;
                stream.write_all(begin).await?;
                loop {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    stream.write_all(drop).await?;
                }
                #[expect(unreachable_code, reason = "names the type of the error")]
                std::io::Result::Ok(())
            });
        }
    });
    url
}

#[tokio::test]
async fn a_server_that_stalls_or_drips_is_left_in_time() {
    let timeout = Duration::from_millis(300);
    let fetcher = fetcher(FetcherConfig { timeout, ..FetcherConfig::default() });
    let cases: [(&[u8], &[u8]); 6] = [
        (b"", b""),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n", b""),
        (b"", b"H"),
        (b"HTTP/1.1 200 OK\r\nx: ", b"x"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n", b" "),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    ];
    for (begin, drop) in cases {
        let request = request(dripping(begin, drop).await);
        let fetched = tokio::time::timeout(Duration::from_secs(5), fetcher.fetch(&request));
        let error = fetched.await.expect("left in time").unwrap_err();
        // What is no HTTP at all may be seen as that before.
        assert!(
            error == FetchError::Timeout(timeout) || (begin.is_empty() && matches!(error, FetchError::Network(_))),
            "{error}"
        );
    }
}

#[tokio::test]
async fn posts_that_are_not_taken_of_a_long_answer_are_counted() {
    let web = Web::start().await;
    let items: String = (0..50_002).map(|n| format!("<item><guid>{n}</guid><title>{n}</title></item>")).collect();
    let body = rss(&items);
    web.on("long.example/feed", move |_| body.clone());
    let source = feed("long", "http://long.example/feed");
    let polled = poll(&source, &fresh_cursor(&source), &web.quick(), &SystemClock::default()).await;
    assert_eq!((polled.posts.len(), polled.left_out, polled.record.posts_seen), (5_000, 45_003, 50_003));
    let reason = polled.record.reason.unwrap();
    assert!(reason.starts_with("45003 posts left out"), "{reason}");
}
