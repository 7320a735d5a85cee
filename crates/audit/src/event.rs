//! What is audited.

use std::collections::BTreeMap;

use tracing::{info, warn};
use vigie_clock::Timestamp;
use vigie_daemon::AUDIT;
use vigie_schemas::AuditRecord;

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Action {
    AuthorOpen,
    AuthorErase,
    AuthorRewrap,
    KeyCreate,
    KeyList,
    KeyRevoke,
    TokenRevoke,
    ReplayPromote,
    ReplayRollback,
    ReplayCancel,
    ReplayRemove,
    DlqRedrive,
}

impl Action {
    /// As records name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AuthorOpen => "author.open",
            Self::AuthorErase => "author.erase",
            Self::AuthorRewrap => "author.rewrap",
            Self::KeyCreate => "key.create",
            Self::KeyList => "key.list",
            Self::KeyRevoke => "key.revoke",
            Self::TokenRevoke => "token.revoke",
            Self::ReplayPromote => "replay.promote",
            Self::ReplayRollback => "replay.rollback",
            Self::ReplayCancel => "replay.cancel",
            Self::ReplayRemove => "replay.remove",
            Self::DlqRedrive => "dlq.redrive",
        }
    }
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Written before it was done.
    Allowed,
    /// Not done.
    Refused,
    /// Allowed before, and not done.
    Failed,
}

impl Outcome {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// Something that is audited. No part of it may be a secret or a handle.
#[derive(Clone, Debug)]
pub struct Event {
    /// Who; `None` if nobody was identified.
    pub subject: Option<String>,
    /// What.
    pub action: Action,
    /// Of what: an author id, the id of a key or a run, a topic.
    pub object: Option<String>,
    /// What became of it.
    pub outcome: Outcome,
    /// More.
    pub detail: BTreeMap<String, String>,
}

impl Event {
    /// Something that is allowed.
    pub fn new(subject: Option<&str>, action: Action, object: Option<&str>) -> Self {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let (subject, object) = (owned(subject), owned(object));
        Self { subject, action, object, outcome: Outcome::Allowed, detail: BTreeMap::new() }
    }

    /// The same with another outcome.
    #[must_use]
    pub fn outcome(self, outcome: Outcome) -> Self {
        Self { outcome, ..self }
    }

    /// The same with a detail more.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.detail.insert(name.to_owned(), value.to_string());
        self
    }

    pub(crate) fn record(self, service: &str, at: Timestamp) -> AuditRecord {
        AuditRecord {
            id: format!("{:016x}", rand::random::<u64>()),
            at,
            service: service.to_owned(),
            subject: self.subject,
            action: self.action.name().to_owned(),
            object: self.object,
            outcome: self.outcome.name().to_owned(),
            detail: self.detail,
            previous: None,
        }
    }
}

/// Writes the line in the log: with the record's hash, or why it is not on the topic.
pub(crate) fn log(record: &AuditRecord, written: Result<&str, &str>) {
    let AuditRecord { id, service, subject, action, object, outcome, detail, .. } = record;
    let detail = detail.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ");
    match written {
        Ok(hash) => info!(target: AUDIT, id, service, subject, action, object, outcome, detail, hash, "audited"),
        Err(error) => {
            warn!(target: AUDIT, id, service, subject, action, object, outcome, detail, error, "audited in the log only");
        }
    }
}
