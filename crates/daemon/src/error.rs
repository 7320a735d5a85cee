use std::error::Error;

use crate::Mistake;

/// Why a service ended before it was asked to. The variant decides the exit code.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The configuration is wrong: every mistake, one per entry. Nothing was started.
    #[error("{}", config_message(.0))]
    Config(Vec<Mistake>),
    /// A server that this service needs cannot be reached.
    #[error("{service} is unavailable: {detail}")]
    Unavailable {
        /// Which server, with its address.
        service: String,
        /// What went wrong, and what would help.
        detail: String,
    },
    /// Anything else.
    #[error(transparent)]
    Failed(#[from] Box<dyn Error + Send + Sync>),
}

impl ServiceError {
    /// Wraps any error as [`ServiceError::Failed`].
    pub fn failed(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Failed(error.into())
    }

    /// A needed server that cannot be reached.
    pub fn unavailable(service: impl Into<String>, detail: impl ToString) -> Self {
        Self::Unavailable { service: service.into(), detail: detail.to_string() }
    }

    /// The process's exit code: 64 bad usage or configuration, 69 a needed service is unavailable, 1 anything else (sysexits.h).
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) => 64,
            Self::Unavailable { .. } => 69,
            Self::Failed(_) => 1,
        }
    }

    /// The message with all its causes: `outer: inner: innermost`, without repeating a cause that a message already contains.
    pub fn chain(&self) -> String {
        chain(self)
    }
}

/// The message of any error with all its causes, as [`ServiceError::chain`].
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        if !text.contains(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        cause = error.source();
    }
    text
}

impl From<Vec<Mistake>> for ServiceError {
    fn from(mistakes: Vec<Mistake>) -> Self {
        Self::Config(mistakes)
    }
}

impl From<Mistake> for ServiceError {
    fn from(mistake: Mistake) -> Self {
        Self::Config(vec![mistake])
    }
}

fn config_message(mistakes: &[Mistake]) -> String {
    match mistakes {
        [one] => format!("invalid configuration: {one}"),
        many => {
            let list: String = many.iter().map(|m| format!("\n  - {m}")).collect();
            format!("invalid configuration, {} mistakes:{list}", many.len())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_follow_sysexits() {
        assert_eq!(ServiceError::Config(vec![]).exit_code(), 64);
        assert_eq!(ServiceError::unavailable("kafka", "refused").exit_code(), 69);
        assert_eq!(ServiceError::failed("boom").exit_code(), 1);
    }

    #[test]
    fn every_configuration_mistake_is_listed() {
        let (a, b) = (Mistake::new("--a", 0, "more"), Mistake::new("--b", 9, "less"));
        let one = ServiceError::from(a.clone()).to_string();
        assert_eq!(one, "invalid configuration: --a: 0, expected more");
        let two = ServiceError::from(vec![a, b]).to_string();
        assert_eq!(two, "invalid configuration, 2 mistakes:\n  - --a: 0, expected more\n  - --b: 9, expected less");
    }

    #[test]
    fn chain_shows_causes_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot read the file")]
        struct Outer(#[source] std::io::Error);
        let error = ServiceError::failed(Outer(std::io::Error::other("disk on fire")));
        assert_eq!(error.chain(), "cannot read the file: disk on fire");
    }
}
