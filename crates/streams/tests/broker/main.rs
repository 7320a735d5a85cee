//! What this crate promises, against a real broker, read back with `read_committed`.

mod commits;
mod lifecycle;
mod place;
