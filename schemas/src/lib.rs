#![doc = include_str!("../README.md")]

mod audit;
mod catalogue;
mod codec;
mod dead_letters;
mod error;
mod market;
mod records;
pub mod redis;
mod registry;
mod served;
mod service;
pub mod sql;
mod states;
mod terms;

pub use audit::AuditRecord;
pub use catalogue::{Compatibility, DEFAULT_PARTITIONS, Topic, TopicConfig};
pub use codec::{Codec, SyncCodec};
pub use dead_letters::{DeadLetter, Place, REDRIVE_ATTEMPT, REDRIVEN_TO};
pub use error::CodecError;
pub use market::{MARKET_SHARE, MarketCopy, MarketPart, MarketPost, MarketProgress, market_key, market_route};
pub use records::{
    Alert, AssetMention, AuthorKeyRecord, AvroRecord, Cursor, FetchRecord, Forecast, LIVE_RUN, Lineage, Mention,
    RawPost, ScoredPost, TrendInsight, WHOLE_MARKET, WINDOW,
};
pub use registry::{RegistryConfig, RegistryPassword, RegistryToken, SchemaCheck, check_schemas, register_schemas};
pub use served::{SERVED_RUN, Segment, Switch, segments};
pub use service::Service;
pub use states::{AlertKind, DeadLetterReason, Decision, Label, RunState, RunWish, TermKind, UnknownState};
pub use terms::{TermExample, TermInsight, TermPost};
