//! The little HTTP that a measurement needs: a GET on a new connection, so that no client library is measured with it.

use std::time::Duration;

use anyhow::{Context, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use url::Url;

const TIMEOUT: Duration = Duration::from_secs(10);

/// Gets JSON.
///
/// # Errors
/// If nobody answers in 10 s, or the answer is not 200 with JSON.
pub async fn get_json(url: &Url, token: Option<&str>) -> anyhow::Result<serde_json::Value> {
    serde_json::from_str(&get_text(url, token).await?).with_context(|| format!("{url}: not JSON"))
}

/// Gets text.
///
/// # Errors
/// If nobody answers in 10 s, or the answer is not 200.
pub async fn get_text(url: &Url, token: Option<&str>) -> anyhow::Result<String> {
    let answer =
        tokio::time::timeout(TIMEOUT, get(url, token)).await.with_context(|| format!("{url}: no answer in 10 s"))?;
    let answer = answer.with_context(|| url.to_string())?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no end of the headers")?;
    let status = head.split_whitespace().nth(1).unwrap_or_default();
    if status != "200" {
        bail!("{url}: status {status}, expected 200: {}", body.chars().take(300).collect::<String>());
    }
    Ok(body.to_owned())
}

async fn get(url: &Url, token: Option<&str>) -> anyhow::Result<String> {
    let host = url.host_str().context("no host")?;
    let port = url.port_or_known_default().context("no port")?;
    let mut target = url.path().to_owned();
    if let Some(query) = url.query() {
        target.push('?');
        target.push_str(query);
    }
    let authorization = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    // HTTP/1.0, so that the body comes in one piece and the end of the connection is its end.
    let request =
        format!("GET {target} HTTP/1.0\r\nHost: {host}:{port}\r\n{authorization}Accept: application/json\r\n\r\n");
    let mut stream = TcpStream::connect((host, port)).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(String::from_utf8(answer)?)
}
