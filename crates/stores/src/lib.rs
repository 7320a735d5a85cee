#![doc = include_str!("../README.md")]

mod postgres;
mod redis;
mod tls;

pub use postgres::PostgresUrl;
pub use postgres::connector::{Connector, Handshake, PostgresStream};
pub use redis::RedisUrl;
