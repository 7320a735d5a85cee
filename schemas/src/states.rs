//! States that pass from one stage to another by their names.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A name that none of the values has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name:?}, expected one of {expected}")]
pub struct UnknownState {
    /// What was read.
    pub name: String,
    /// The names that there are.
    pub expected: String,
}

/// An enum whose values are written as names.
macro_rules! states {
    ($($(#[$about:meta])* $state:ident { $($(#[$meaning:meta])* $value:ident = $name:literal,)+ })+) => {$(
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $state {
            $($(#[$meaning])* #[serde(rename = $name)] $value,)+
        }

        impl $state {
            /// All values.
            pub const ALL: &'static [Self] = &[$(Self::$value),+];

            /// As topics, tables and answers have it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$value => $name,)+
                }
            }

        }

        impl FromStr for $state {
            type Err = UnknownState;

            fn from_str(name: &str) -> Result<Self, UnknownState> {
                let found = Self::ALL.iter().copied().find(|value| value.as_str() == name);
                found.ok_or_else(|| UnknownState { name: name.to_owned(), expected: [$($name),+].join(", ") })
            }
        }

        impl fmt::Display for $state {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    )+};
}

states! {
    /// The mood of a text towards its subject, in the order of every probability triple.
    Label {
        /// The author is unhappy, afraid or reports bad news.
        Negative = "negative",
        /// No clear feeling either way.
        Neutral = "neutral",
        /// The author is happy, hopeful or reports good news.
        Positive = "positive",
    }

    /// What an alert is about.
    AlertKind {
        /// Far more posts than usual.
        AttentionSpike = "attention_spike",
        /// A far more negative mood than usual.
        SentimentDrop = "sentiment_drop",
    }

    /// What a term is.
    TermKind {
        /// A word.
        Word = "word",
        /// Two words beside each other.
        Phrase = "phrase",
        /// A ticker behind a dollar sign.
        Cashtag = "cashtag",
    }

    /// How a poll of a source ended.
    Decision {
        /// There was an answer.
        Fetched = "fetched",
        /// The server said that nothing had changed.
        NotModified = "not_modified",
        /// Nothing was asked: robots.txt or the guard forbids it.
        Blocked = "blocked",
        /// Nothing was asked: the host has to be waited for.
        Waited = "waited",
        /// The request failed.
        Failed = "failed",
        /// The answer could not be read.
        Unparsable = "unparsable",
    }

    /// Why a record became a dead letter.
    DeadLetterReason {
        /// Its bytes could not be read as the topic's schema.
        Undecodable = "undecodable",
        /// It was read, but a value in it is impossible.
        Invalid = "invalid",
        /// Its time is too far ahead of its arrival.
        FutureTimestamp = "future_timestamp",
        /// The store refused it.
        Rejected = "rejected",
    }

    /// What a replay does. One whose process was killed keeps its last state; whether it is alive is known apart from it.
    RunState {
        /// A process works on it.
        Running = "running",
        /// It waits until it is resumed.
        Paused = "paused",
        /// All of its range is done.
        Finished = "finished",
        /// It ended early, and can go on.
        Failed = "failed",
        /// It was stopped, and can go on.
        Interrupted = "interrupted",
        /// It was cancelled, and cannot go on.
        Cancelled = "cancelled",
    }

    /// What is wanted of a replay.
    RunWish {
        /// To go on.
        Run = "run",
        /// To wait.
        Pause = "pause",
        /// To end, and leave nothing to go on from.
        Cancel = "cancel",
    }
}

impl RunState {
    /// Whether nothing is left to go on from.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Finished | Self::Cancelled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_gives_its_value_and_no_other() {
        for label in Label::ALL {
            assert_eq!(label.as_str().parse(), Ok(*label));
        }
        assert!(Decision::from_str("Fetched").is_err());
        assert_eq!(Label::from_str("").unwrap_err().to_string(), "\"\", expected one of negative, neutral, positive");
    }
}
