#![doc = include_str!("../README.md")]

/// How an address with a password is read and printed.
macro_rules! address {
    ($address:ty) => {
        impl std::str::FromStr for $address {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::from_secret(text).map_err(|found| format!("{found}, expected {}", Self::EXPECTED))
            }
        }

        /// As [`Display`](std::fmt::Display), without the password.
        impl std::fmt::Debug for $address {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(self, f)
            }
        }
    };
}

mod postgres;
mod redis;
mod tls;

pub use postgres::PostgresUrl;
pub use postgres::connector::{Connector, Handshake, PostgresStream};
pub use redis::RedisUrl;
