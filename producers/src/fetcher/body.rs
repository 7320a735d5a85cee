//! Bodies: unpacked as they come, up to the caps.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_compression::codecs::zstd::params::DParameter;
use async_compression::tokio::bufread::{BrotliDecoder, DeflateDecoder, GzipDecoder, ZlibDecoder, ZstdDecoder};
use futures_util::StreamExt as _;
use reqwest::header;
use tokio::io::{AsyncRead, AsyncReadExt as _, BufReader};
use tokio_util::io::StreamReader;

use super::FetchError;

/// What we say that we can unpack.
pub(super) const ACCEPT_ENCODING: &str = "gzip, br, zstd";

/// Codings that an answer may name, at most.
const MAX_CODINGS: usize = 4;

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

/// A reader of one layer.
type Layer = Box<dyn AsyncRead + Send + Unpin>;

/// Reads a body; the flag says that it ended before the length that its header says. No more than `limit` bytes are held, plus what the decompression
/// needs (16 MiB at most).
pub(super) async fn read(response: reqwest::Response, limit: usize) -> Result<(Vec<u8>, bool), BodyError> {
    if response.content_length().is_some_and(|length| length > limit as u64) {
        return Err(BodyError::Cap(FetchError::TooLarge { limit }));
    }
    let codings: Vec<&str> =
        response.headers().get_all(header::CONTENT_ENCODING).iter().filter_map(|value| value.to_str().ok()).collect();
    let codings = codings.join(",").to_ascii_lowercase();
    let has_length = response.headers().contains_key(header::CONTENT_LENGTH);
    let wire = Arc::new(AtomicUsize::new(0));
    let is_short = Arc::new(AtomicBool::new(false));
    let (counter, short) = (Arc::clone(&wire), Arc::clone(&is_short));
    let chunks = response.bytes_stream().filter_map(move |chunk| {
        let chunk = match chunk {
            Ok(chunk) => {
                counter.fetch_add(chunk.len(), Ordering::Relaxed);
                Some(Ok(chunk))
            }
            Err(error) if has_length && counter.load(Ordering::Relaxed) > 0 && is_early_end(&error) => {
                short.store(true, Ordering::Relaxed);
                None
            }
            Err(error) => Some(Err(io::Error::other(error))),
        };
        std::future::ready(chunk)
    });
    let mut reader: Layer = Box::new(StreamReader::new(Box::pin(chunks)));
    // The last one named was applied last.
    for coding in codings.split(',').map(str::trim).filter(|coding| !coding.is_empty()).rev().take(MAX_CODINGS) {
        reader = unpacked(coding, reader).await.map_err(cause)??;
    }
    let mut bytes = Vec::new();
    let mut chunk = vec![0; 64 * 1024];
    loop {
        let read = match reader.read(&mut chunk).await {
            Ok(0) => return Ok((bytes, is_short.load(Ordering::Relaxed))),
            Ok(read) => read,
            // An empty body is empty in any encoding.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && wire.load(Ordering::Relaxed) == 0 => {
                return Ok((bytes, false));
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

/// A reader of what a coding packed.
async fn unpacked(coding: &str, packed: Layer) -> io::Result<Result<Layer, BodyError>> {
    let (head, packed) = peek(packed).await?;
    let layer: Layer = match coding {
        "identity" => packed,
        "gzip" | "x-gzip" => {
            let mut decoder = GzipDecoder::new(BufReader::new(packed));
            decoder.multiple_members(true);
            Box::new(decoder)
        }
        // With the header of zlib, as specified, or without, as some servers send it (RFC 9110, 8.4.1.2).
        "deflate" if head[0] & 0x0f == 8 && u16::from_be_bytes(head) % 31 == 0 => {
            Box::new(ZlibDecoder::new(BufReader::new(packed)))
        }
        "deflate" => Box::new(DeflateDecoder::new(BufReader::new(packed))),
        "br" => Box::new(BrotliDecoder::new(BufReader::new(packed))),
        "zstd" => {
            let mut decoder =
                ZstdDecoder::with_params(BufReader::new(packed), &[DParameter::window_log_max(ZSTD_WINDOW_LOG)]);
            decoder.multiple_members(true);
            Box::new(decoder)
        }
        other => {
            let error = format!("content encoding {other:?}, expected one of {ACCEPT_ENCODING}");
            return Ok(Err(BodyError::Cap(FetchError::Network(error))));
        }
    };
    Ok(Ok(layer))
}

/// The first two bytes, zero where there are none, and a reader of the whole.
async fn peek(mut reader: Layer) -> io::Result<([u8; 2], Layer)> {
    let (mut head, mut length) = ([0; 2], 0);
    while length < head.len() {
        match reader.read(&mut head[length..]).await {
            Ok(0) => break,
            Ok(read) => length += read,
            // An empty body is empty in any encoding.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && length == 0 => break,
            Err(error) => return Err(error),
        }
    }
    let whole: Layer = Box::new(io::Cursor::new(head[..length].to_vec()).chain(reader));
    Ok((head, whole))
}

/// Whether a connection ended before the length that the header says, which is often wrong.
fn is_early_end(error: &reqwest::Error) -> bool {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::UnexpectedEof) {
            return true;
        }
        cause = error.source();
    }
    false
}

fn cause(error: io::Error) -> BodyError {
    let text = format!("unpacking: {error}");
    match error.into_inner().map(|inner| inner.downcast::<reqwest::Error>()) {
        Some(Ok(transport)) => BodyError::Transport(*transport),
        _ => BodyError::Cap(FetchError::Network(text)),
    }
}
