//! Who did what.
#![expect(missing_docs, reason = "audit.avsc documents the fields; two copies would drift")]

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use vigie_clock::Timestamp;

/// Who did what, or was refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRecord {
    pub id: String,
    pub at: Timestamp,
    pub service: String,
    pub subject: Option<String>,
    pub action: String,
    pub object: Option<String>,
    pub outcome: String,
    pub detail: BTreeMap<String, String>,
    pub previous: Option<String>,
}
