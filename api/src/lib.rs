#![doc = include_str!("../README.md")]

mod app;
mod auth;
mod config;
mod endpoints;
mod events;
pub mod hostile;
mod http;
mod insights;
mod metrics;
mod names;
mod presence;
mod router;
mod service;
mod serving;
mod store;
mod time;

pub use auth::credentials::{Credentials, KeyInfo, NewKey, Revoked};
pub use auth::{AuthConfig, AuthMode, LoginConfig, MAX_TOKEN_LIFETIME, Scope, TokenSecret, issue_token, token_id};
pub use config::{Checked, Config};
pub use http::tls::TlsConfig;
pub use names::AssetName;
pub use router::docs::openapi_json;
pub use service::{bind, router, run, run_with_listener};
