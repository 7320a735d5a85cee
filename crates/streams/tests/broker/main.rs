//! What this crate promises, against a real broker, read back with `read_committed`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod commits;
mod disk;
mod growth;
mod lifecycle;
mod local_state;
mod outages;
mod place;
mod snapshots;
mod stalls;
mod standby;
mod topologies;
mod torn;
