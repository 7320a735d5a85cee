//! The secrets as options of a command. Prefer the environment or files: arguments are visible to others.

use std::error::Error;
use std::path::PathBuf;

use crate::author_key::AuthorKey;
use crate::keyring::Keyring;

/// Where the key of the author pseudonyms is.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct AuthorKeyOptions {
    /// Secret of the author pseudonyms, at least 16 characters; prefer the environment, as arguments are visible to others
    #[arg(long, value_name = "SECRET", env = "VIGIE_AUTHOR_KEY", hide_env_values = true)]
    pub author_key: Option<AuthorKey>,
    /// File with the secret of the author pseudonyms, if it is not given directly
    #[arg(long, value_name = "FILE", env = "VIGIE_AUTHOR_KEY_FILE")]
    pub author_key_file: Option<PathBuf>,
}

impl AuthorKeyOptions {
    /// The author key, from wherever it was given.
    ///
    /// # Errors
    /// What is wrong, for the list of mistakes.
    pub fn key(&self) -> Result<AuthorKey, String> {
        match (&self.author_key, &self.author_key_file) {
            (Some(key), _) => Ok(key.clone()),
            (None, Some(path)) => AuthorKey::read(path).map_err(|error| mistake("--author-key-file", &error)),
            (None, None) => Err("no author key, expected VIGIE_AUTHOR_KEY or --author-key-file: \
                                 at least 16 characters, the same ones for ever"
                .to_owned()),
        }
    }
}

/// Where the keyring of the sealed handles is.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct KeyringOptions {
    /// Keys that wrap the authors' data keys, "ID HEX" each, the current one first, separated by commas; prefer the environment
    #[arg(long, value_name = "KEYS", env = "VIGIE_AUTHOR_KEYRING", hide_env_values = true)]
    pub author_keyring: Option<Keyring>,
    /// File with these keys, one line "ID HEX" each, if they are not given directly
    #[arg(long, value_name = "FILE", env = "VIGIE_AUTHOR_KEYRING_FILE")]
    pub author_keyring_file: Option<PathBuf>,
}

impl KeyringOptions {
    /// Whether none was given.
    pub fn is_absent(&self) -> bool {
        self.author_keyring.is_none() && self.author_keyring_file.is_none()
    }

    /// The keyring, from wherever it was given; `None` if it was not.
    ///
    /// # Errors
    /// What is wrong, for the list of mistakes.
    pub fn keyring(&self) -> Result<Option<Keyring>, String> {
        match (&self.author_keyring, &self.author_keyring_file) {
            (Some(keyring), _) => Ok(Some(keyring.clone())),
            (None, Some(path)) => {
                Keyring::read(path).map(Some).map_err(|error| mistake("--author-keyring-file", &error))
            }
            (None, None) => Ok(None),
        }
    }
}

fn mistake(option: &str, error: &dyn Error) -> String {
    match error.source() {
        Some(cause) => format!("{option}: {error}: {cause}"),
        None => format!("{option}: {error}"),
    }
}
