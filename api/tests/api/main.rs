//! The API against a real PostgreSQL and a real Redis.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod abuse;
mod access;
mod analysts;
mod authors;
mod away;
mod contract;
mod diff;
mod errors;
mod events;
mod hours;
mod insights;
mod kept;
mod keys;
mod owasp;
mod posts;
mod right;
mod search;
mod served;
mod terms;
mod world;
