//! What each subcommand does.

pub(crate) mod archive;
pub(crate) mod asset_names;
pub(crate) mod audit;
pub(crate) mod author;
pub(crate) mod dlq;
pub(crate) mod doctor;
pub(crate) mod install;
pub(crate) mod keys;
pub(crate) mod model;
pub(crate) mod replay;
pub(crate) mod source;
pub(crate) mod status;
pub(crate) mod tail;
pub(crate) mod token;
pub(crate) mod topics;
pub(crate) mod up;
pub(crate) mod verify;
