//! Bodies: unpacked as they come, up to the caps.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_compression::codecs::zstd::params::DParameter;
use async_compression::tokio::bufread::{BrotliDecoder, GzipDecoder, ZstdDecoder};
use futures_util::StreamExt as _;
use reqwest::header;
use tokio::io::{AsyncRead, AsyncReadExt as _, BufReader};
use tokio_util::io::StreamReader;

use super::FetchError;

/// What we say that we can unpack.
pub(super) const ACCEPT_ENCODING: &str = "gzip, br, zstd";

/// How often a body may be larger than what came over the wire. Feeds compress 3 to 20 times.
pub(super) const MAX_RATIO: usize = 200;

/// Below this size any ratio will do.
const RATIO_FROM: usize = 1024 * 1024;

/// The largest window of zstd in HTTP is 8 MiB (RFC 9659): it is memory that the sender makes us hold.
const ZSTD_WINDOW_LOG: u32 = 23;

/// Why a body could not be read.
#[derive(Debug)]
pub(super) enum BodyError {
    /// One of the caps.
    Cap(FetchError),
    /// The connection.
    Transport(reqwest::Error),
}

/// Reads a body. No more than `limit` bytes are held, plus what the decompression needs (16 MiB at most).
pub(super) async fn read(response: reqwest::Response, limit: usize) -> Result<Vec<u8>, BodyError> {
    if response.content_length().is_some_and(|length| length > limit as u64) {
        return Err(BodyError::Cap(FetchError::TooLarge { limit }));
    }
    let codings: Vec<&str> =
        response.headers().get_all(header::CONTENT_ENCODING).iter().filter_map(|value| value.to_str().ok()).collect();
    let coding = codings.join(",").trim().to_ascii_lowercase();
    let wire = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&wire);
    let chunks = response.bytes_stream().map(move |chunk| {
        let chunk = chunk.map_err(io::Error::other)?;
        counter.fetch_add(chunk.len(), Ordering::Relaxed);
        Ok::<_, io::Error>(chunk)
    });
    let packed = BufReader::new(StreamReader::new(Box::pin(chunks)));
    let mut reader: Box<dyn AsyncRead + Send + Unpin> = match coding.as_str() {
        "" | "identity" => Box::new(packed),
        "gzip" | "x-gzip" => {
            let mut decoder = GzipDecoder::new(packed);
            decoder.multiple_members(true);
            Box::new(decoder)
        }
        "br" => Box::new(BrotliDecoder::new(packed)),
        "zstd" => {
            let mut decoder = ZstdDecoder::with_params(packed, &[DParameter::window_log_max(ZSTD_WINDOW_LOG)]);
            decoder.multiple_members(true);
            Box::new(decoder)
        }
        other => {
            let error = format!("content encoding {other:?}, expected one of {ACCEPT_ENCODING}");
            return Err(BodyError::Cap(FetchError::Network(error)));
        }
    };
    let mut bytes = Vec::new();
    let mut chunk = vec![0; 64 * 1024];
    loop {
        let read = match reader.read(&mut chunk).await {
            Ok(0) => return Ok(bytes),
            Ok(read) => read,
            // An empty body is empty in any encoding.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && wire.load(Ordering::Relaxed) == 0 => {
                return Ok(bytes);
            }
            Err(error) => return Err(cause(error)),
        };
        if bytes.len() + read > limit {
            return Err(BodyError::Cap(FetchError::TooLarge { limit }));
        }
        bytes.extend_from_slice(&chunk[..read]);
        if bytes.len() > RATIO_FROM && bytes.len() / MAX_RATIO > wire.load(Ordering::Relaxed) {
            return Err(BodyError::Cap(FetchError::Ratio { limit: MAX_RATIO }));
        }
    }
}

fn cause(error: io::Error) -> BodyError {
    let text = format!("unpacking: {error}");
    match error.into_inner().map(|inner| inner.downcast::<reqwest::Error>()) {
        Some(Ok(transport)) => BodyError::Transport(*transport),
        _ => BodyError::Cap(FetchError::Network(text)),
    }
}
