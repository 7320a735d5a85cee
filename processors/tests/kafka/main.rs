//! The services on a real broker and registry.

mod pipeline;
mod posts;
mod services;
