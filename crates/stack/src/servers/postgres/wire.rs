//! As much of PostgreSQL's protocol as it takes to ask whether it serves and to create a database.
//!
//! <https://www.postgresql.org/docs/current/protocol-flow.html>: start-up and simple query, version 3.0, no TLS, no password.

use std::fmt;
use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const VERSION_3_0: i32 = 196_608;
const LONGEST_MESSAGE: usize = 1 << 20;

/// What the server, or the way to it, refused.
#[derive(Debug)]
pub(crate) struct WireError {
    /// SQLSTATE, empty if the error is not the server's.
    pub(crate) code: String,
    message: String,
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<io::Error> for WireError {
    fn from(error: io::Error) -> Self {
        Self { code: String::new(), message: error.to_string() }
    }
}

pub(crate) struct Session {
    stream: TcpStream,
}

impl Session {
    pub(crate) async fn open(port: u16, user: &str, database: &str) -> Result<Self, WireError> {
        let mut session = Self { stream: TcpStream::connect(("127.0.0.1", port)).await? };
        let mut body = VERSION_3_0.to_be_bytes().to_vec();
        for text in ["user", user, "database", database, ""] {
            body.extend(text.as_bytes());
            body.push(0);
        }
        session.write(&[], &body).await?;
        session.until_ready_for_query().await?;
        Ok(session)
    }

    /// Runs one statement and ignores its rows.
    pub(crate) async fn execute(&mut self, sql: &str) -> Result<(), WireError> {
        let mut body = sql.as_bytes().to_vec();
        body.push(0);
        self.write(b"Q", &body).await?;
        self.until_ready_for_query().await
    }

    async fn write(&mut self, kind: &[u8], body: &[u8]) -> io::Result<()> {
        let length = i32::try_from(body.len() + 4).map_err(io::Error::other)?;
        let message = [kind, &length.to_be_bytes(), body].concat();
        self.stream.write_all(&message).await
    }

    async fn until_ready_for_query(&mut self) -> Result<(), WireError> {
        let mut refused = None;
        loop {
            let kind = self.stream.read_u8().await;
            let kind = match (kind, refused.take()) {
                (Ok(kind), error) => {
                    refused = error;
                    kind
                }
                // After an error in the start-up the server closes the connection.
                (Err(_), Some(error)) => return Err(error),
                (Err(error), None) => return Err(error.into()),
            };
            let length = usize::try_from(self.stream.read_i32().await?).unwrap_or(0);
            if !(4..=LONGEST_MESSAGE).contains(&length) {
                return Err(io::Error::other(format!("message of {length} bytes, expected a PostgreSQL server")).into());
            }
            let mut body = vec![0; length - 4];
            self.stream.read_exact(&mut body).await?;
            match kind {
                b'Z' => return refused.map_or(Ok(()), Err),
                b'E' => refused = Some(parse_error(&body)),
                b'R' if body != [0; 4] => return Err(io::Error::other("it asks for a password, expected trust").into()),
                _ => {}
            }
        }
    }
}

/// An ErrorResponse: fields of a one-byte type and a text that ends in 0.
fn parse_error(body: &[u8]) -> WireError {
    let mut error = WireError { code: String::new(), message: String::new() };
    for field in body.split(|byte| *byte == 0) {
        match field.split_first() {
            Some((b'C', code)) => error.code = String::from_utf8_lossy(code).into_owned(),
            Some((b'M', message)) => error.message = String::from_utf8_lossy(message).into_owned(),
            _ => {}
        }
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_response_gives_code_and_message() {
        let error = parse_error(b"SFATAL\0C57P03\0Mthe database system is starting up\0\0");
        assert_eq!((error.code.as_str(), error.message.as_str()), ("57P03", "the database system is starting up"));
    }
}
