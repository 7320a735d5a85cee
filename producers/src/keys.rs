//! Keys of official APIs: `sources.toml` names a variable of the environment, which holds the secret.
//!
//! Guarantees: a secret is shown by no `Debug` and no `Display`, and goes to no other host than the API that it is for. What a host says of a failure
//! is cleaned of it before it is logged (`Key::hide`), should the host repeat what it was sent.

pub mod access;

use vigie_daemon::{Mistake, Secret};

/// The key of a source: the variable that holds it, and what the variable held when the sources were read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    variable: String,
    secret: Option<Secret>,
}

impl Key {
    /// The key in this variable of the environment, or in the file that `{variable}_FILE` names; there is none if neither is
    /// set, or if it is empty.
    ///
    /// # Errors
    /// If both are set, or the file cannot be read.
    pub fn from_env(variable: &str) -> Result<Self, Mistake> {
        let file = format!("{variable}_FILE");
        let set = |name: &str| std::env::var(name).ok().filter(|text| !text.trim().is_empty());
        let text = match (set(variable), set(&file)) {
            (Some(_), Some(_)) => return Err(Mistake::new(variable, format!("{file} is set too"), "one of them")),
            (None, Some(path)) => {
                let read = std::fs::read_to_string(&path);
                Some(read.map_err(|error| Mistake::new(file, format!("{path}: {error}"), "a file with the key"))?)
            }
            (text, None) => text,
        };
        let secret = text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()).map(Secret::from);
        Ok(Self { variable: variable.to_owned(), secret })
    }

    /// A key that does not come from the environment.
    pub fn given(variable: &str, secret: Secret) -> Self {
        Self { variable: variable.to_owned(), secret: Some(secret) }
    }

    /// The variable that holds it.
    pub fn variable(&self) -> &str {
        &self.variable
    }

    /// What it holds.
    pub(crate) fn secret(&self) -> Option<&Secret> {
        self.secret.as_ref()
    }

    /// A text without the secret, or its part behind a colon.
    pub(crate) fn hide(&self, text: String) -> String {
        let Some(secret) = self.secret.as_ref().map(Secret::reveal) else { return text };
        let part = secret.rsplit_once(':').map_or(secret, |(_, part)| part);
        // What is shorter is no secret, and may be in any text.
        if part.len() < 8 || !text.contains(part) {
            return text;
        }
        text.replace(secret, "[key]").replace(part, "[key]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_shown() {
        let key = Key::given("VIGIE_REDDIT", "client:tellnobody".to_owned().into());
        assert!(!format!("{key:?}").contains("tellnobody") && format!("{key:?}").contains("VIGIE_REDDIT"));
        assert_eq!(key.hide("bad client:tellnobody, no tellnobody".into()), "bad [key], no [key]");
        assert_eq!(Key::from_env("VIGIE_NOT_SET_ANYWHERE").unwrap().secret(), None);
        assert!(Key::from_env("PATH").unwrap().secret().is_some());
    }
}
