//! One Metadata request (API key 3, version 4), which names the brokers that are alive and not fenced.
//!
//! <https://kafka.apache.org/protocol#The_Messages_Metadata>

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, ToSocketAddrs};

/// Header: API key 3, version 4, correlation id 1, no client id. Body: an empty array of topics, no creation of topics.
const REQUEST: [u8; 19] = [0, 0, 0, 15, 0, 3, 0, 4, 0, 0, 0, 1, 0xFF, 0xFF, 0, 0, 0, 0, 0];
const LONGEST_ANSWER: usize = 1 << 20;

/// Ids of the live brokers, as the broker at `port` knows them.
pub(super) async fn live_brokers(port: u16) -> io::Result<Vec<i32>> {
    let answer = ask(("127.0.0.1", port), &REQUEST).await?;
    parse(&answer).ok_or_else(|| io::Error::other("answer cannot be read, expected a Kafka broker"))
}

/// A broker's answer to one request.
pub(crate) async fn ask(broker: impl ToSocketAddrs, request: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(broker).await?;
    stream.write_all(request).await?;
    let length = usize::try_from(stream.read_i32().await?).unwrap_or(0);
    if length > LONGEST_ANSWER {
        return Err(io::Error::other(format!("answer of {length} bytes, expected a Kafka broker")));
    }
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

/// Correlation id, throttle time, then the brokers: id, host, port, rack.
fn parse(mut answer: &[u8]) -> Option<Vec<i32>> {
    let input = &mut answer;
    let (_correlation, _throttle) = (int(input)?, int(input)?);
    let count = int(input)?;
    let mut brokers = Vec::new();
    for _ in 0..count {
        brokers.push(int(input)?);
        skip_text(input)?;
        int(input)?;
        skip_text(input)?;
    }
    Some(brokers)
}

fn int(input: &mut &[u8]) -> Option<i32> {
    let (bytes, rest) = input.split_first_chunk()?;
    *input = rest;
    Some(i32::from_be_bytes(*bytes))
}

/// A text: length (-1 for none) and bytes.
fn skip_text(input: &mut &[u8]) -> Option<()> {
    let (bytes, rest) = input.split_first_chunk()?;
    let length = usize::try_from(i16::from_be_bytes(*bytes)).unwrap_or(0);
    *input = rest.get(length..)?;
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers_are_read_with_and_without_rack() {
        let mut answer = [0_i32, 0, 2].map(i32::to_be_bytes).concat();
        for (id, rack) in [(1_i32, &b"\xff\xff"[..]), (7, &b"\0\x01r"[..])] {
            answer.extend(id.to_be_bytes());
            answer.extend(b"\0\x02ab\0\0\x23\x84");
            answer.extend(rack);
        }
        assert_eq!(parse(&answer), Some(vec![1, 7]));
        assert_eq!(parse(&answer[..answer.len() - 1]), None);
    }
}
