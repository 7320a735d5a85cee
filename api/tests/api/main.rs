//! The API against a real PostgreSQL and a real Redis.

mod access;
mod errors;
mod events;
mod insights;
mod posts;
mod world;
