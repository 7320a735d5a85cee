//! Who gets in: tokens of every algorithm, forged ones, and issuers on the network. No database is needed.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod api_keys;
mod attacks;
mod door;
mod issuers;
mod keys;
mod login;
mod provider;
