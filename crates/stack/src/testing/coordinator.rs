//! Which broker coordinates a group or a transaction: one FindCoordinator request (API key 10, version 1).
//!
//! <https://kafka.apache.org/protocol#The_Messages_FindCoordinator>

use std::io;

use crate::servers::kafka::probe;

/// What is coordinated.
#[derive(Clone, Copy, Debug)]
pub enum Coordinated {
    /// A consumer group, by its id.
    Group = 0,
    /// The transactions of a transactional id.
    Transaction = 1,
}

/// The node id of the coordinator of `name`, as one of `brokers` (`host:port`, by commas) tells it.
///
/// # Errors
/// If none of them tells it.
pub async fn coordinator(brokers: &str, name: &str, kind: Coordinated) -> io::Result<u8> {
    let mut last = io::Error::other("no broker was named");
    for broker in brokers.split(',') {
        match ask(broker, name, kind).await {
            Ok(node) => return Ok(node),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn ask(broker: &str, name: &str, kind: Coordinated) -> io::Result<u8> {
    parse(&probe::ask(broker, &request(name, kind)).await?)
}

/// Header: API key 10, version 1, correlation id 1, no client id. Body: the name, the kind.
fn request(name: &str, kind: Coordinated) -> Vec<u8> {
    let mut body = vec![0, 10, 0, 1, 0, 0, 0, 1, 0xFF, 0xFF];
    body.extend(u16::try_from(name.len()).unwrap_or(u16::MAX).to_be_bytes());
    body.extend(name.as_bytes());
    body.push(kind as u8);
    [u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes().to_vec(), body].concat()
}

/// Correlation id, throttle time, error, message (length -1 for none), node id, host, port.
fn parse(answer: &[u8]) -> io::Result<u8> {
    let short = || io::Error::other("answer cannot be read, expected a Kafka broker");
    let number = |at: usize| answer.get(at..at + 2).map(|two| i16::from_be_bytes([two[0], two[1]]));
    let error = number(8).ok_or_else(short)?;
    if error != 0 {
        return Err(io::Error::other(format!("the broker answered error {error}")));
    }
    let message = usize::try_from(number(10).ok_or_else(short)?).unwrap_or(0);
    let node = answer.get(12 + message..16 + message).and_then(|four| four.try_into().ok()).ok_or_else(short)?;
    u8::try_from(i32::from_be_bytes(node)).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_node_is_read_behind_an_absent_message() {
        let answer = [&[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0, 0, 0, 3][..], b"\0\x01h\0\0\0\x09"].concat();
        assert_eq!(parse(&answer).unwrap(), 3);
        assert!(parse(&answer[..12]).is_err());
        assert!(parse(&[0, 0, 0, 1, 0, 0, 0, 0, 0, 15, 0xFF, 0xFF]).unwrap_err().to_string().contains("15"));
    }
}
