//! As much of Redis's protocol as one inline command and a short answer need.

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use vigie_schemas::redis::{EVENTS, PREFIX};

use crate::error::ChaosError;

/// Sends a command without spaces in its arguments; the first line of the answer.
///
/// # Errors
/// If Redis does not answer, or answers with an error.
pub(crate) async fn ask(url: &str, command: &str) -> Result<String, ChaosError> {
    Ok(exchange(url, command, 1).await?.remove(0))
}

/// The first lines of the answer, `most` of them unless the first says that there is nothing.
async fn exchange(url: &str, command: &str, most: usize) -> Result<Vec<String>, ChaosError> {
    let lines = answer(url, command, |lines: &[String]| {
        lines.len() == most || lines.first().is_some_and(|first| first.starts_with('-') || first == "$-1")
    });
    let lines = lines.await?;
    match lines[0].strip_prefix('-') {
        Some(error) => Err(ChaosError::Other(format!("redis refuses {command}: {error}"))),
        None => Ok(lines),
    }
}

/// The lines of the answer until they are `enough`.
async fn answer(url: &str, command: &str, enough: impl Fn(&[String]) -> bool) -> Result<Vec<String>, ChaosError> {
    let address = url.trim_start_matches("redis://").split('/').next().unwrap_or_default();
    let failed = |source| ChaosError::Io { action: format!("ask redis for {command}"), source };
    let mut stream = TcpStream::connect(address).await.map_err(failed)?;
    stream.write_all(format!("{command}\r\n").as_bytes()).await.map_err(failed)?;
    let mut reader = BufReader::new(stream);
    let mut lines: Vec<String> = Vec::new();
    while !enough(&lines) {
        let mut line = String::new();
        if reader.read_line(&mut line).await.map_err(failed)? == 0 {
            return Err(failed(std::io::ErrorKind::UnexpectedEof.into()));
        }
        lines.push(line.trim_end().to_owned());
    }
    Ok(lines)
}

/// As [`ask`], for a command that answers a short text or nothing.
pub(crate) async fn ask_text(url: &str, command: &str) -> Result<Option<String>, ChaosError> {
    let answer = exchange(url, command, 2).await?;
    Ok((answer[0] != "$-1").then(|| answer[1].clone()))
}

/// As [`ask`], for a command that answers a number.
pub(crate) async fn ask_number(url: &str, command: &str) -> Result<u64, ChaosError> {
    let answer = ask(url, command).await?;
    let number = answer.strip_prefix(':').and_then(|number| number.parse().ok());
    number.ok_or_else(|| ChaosError::Other(format!("redis answers {command} with {answer:?}, expected a number")))
}

/// The ids of all events that Redis has, in order.
pub(crate) async fn event_ids(url: &str) -> Result<Vec<(u64, u64)>, ChaosError> {
    let command = format!("XRANGE {PREFIX}{EVENTS} - +\r\nPING");
    let lines = answer(url, &command, |lines| lines.last().is_some_and(|last| last == "+PONG")).await?;
    let id = |line: &String| {
        let (millis, number) = line.split_once('-')?;
        Some((millis.parse().ok()?, number.parse().ok()?))
    };
    Ok(lines.iter().filter_map(id).collect())
}
