//! States that pass from one stage to another by their names.

use std::fmt;

use serde::{Deserialize, Serialize};

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

            /// The value of this name.
            pub fn parse(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.as_str() == name)
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
    /// What a text thinks of its subject, in the order of every probability triple.
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_gives_its_value_and_no_other() {
        for label in Label::ALL {
            assert_eq!(Label::parse(label.as_str()), Some(*label));
        }
        assert_eq!(Decision::parse("Fetched"), None);
        assert_eq!(Label::parse(""), None);
    }
}
