//! Schemas, subjects and levels, in memory and in one JSON file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use apache_avro::Schema;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::compatibility::Level;
use crate::data_dir::write_atomically;

/// Why the registry refuses a request.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// No such subject.
    #[error("Subject '{0}' not found.")]
    UnknownSubject(String),
    /// No such version of the subject.
    #[error("Version {0} not found.")]
    UnknownVersion(String),
    /// No such schema id, or the subject has no such schema.
    #[error("Schema {0}not found")]
    UnknownSchema(String),
    /// The subject has no level of its own.
    #[error("Subject '{0}' does not have subject-level compatibility configured")]
    NoOwnLevel(String),
    /// Not a schema.
    #[error("Invalid schema: {0}")]
    InvalidSchema(String),
    /// Not a version.
    #[error("The specified version '{0}' is not a valid version id, expected a positive integer or \"latest\"")]
    InvalidVersion(String),
    /// Not a compatibility level.
    #[error(
        "Invalid compatibility level '{0}', expected NONE, BACKWARD, FORWARD, FULL or one of these with _TRANSITIVE"
    )]
    InvalidLevel(String),
    /// The subject's level forbids this schema.
    #[error("Schema being registered is incompatible with an earlier schema for subject \"{subject}\", details: [{}]", .objections.join("; "))]
    Incompatible {
        /// The subject.
        subject: String,
        /// What the level forbids.
        objections: Vec<String>,
    },
    /// The file cannot be read or written.
    #[error("Error in the backend data store: {0}")]
    Store(String),
}

/// One version of a subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Registered {
    /// The subject.
    pub subject: String,
    /// The schema's id.
    pub id: u32,
    /// Counted from 1 in each subject.
    pub version: u32,
    /// The schema as JSON text.
    pub schema: String,
}

/// What the file holds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct State {
    level: Level,
    levels: BTreeMap<String, Level>,
    /// By id, which counts from 1.
    schemas: BTreeMap<u32, Value>,
    /// The ids of each subject's versions, the first version first.
    subjects: BTreeMap<String, Vec<u32>>,
}

/// The registry's content. Clones share it.
#[derive(Clone, Debug)]
pub struct SchemaStore {
    state: Arc<Mutex<State>>,
    file: Arc<PathBuf>,
}

impl SchemaStore {
    /// Reads the file; a missing one is an empty registry.
    ///
    /// # Errors
    /// If the file is there and cannot be read as what an earlier run wrote.
    pub fn open(file: &Path) -> Result<Self, RegistryError> {
        let unreadable = |error: &dyn std::fmt::Display| RegistryError::Store(format!("{}: {error}", file.display()));
        let state = match std::fs::read(file) {
            Ok(text) => serde_json::from_slice(&text).map_err(|error| unreadable(&error))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => State::default(),
            Err(error) => return Err(unreadable(&error)),
        };
        Ok(Self { state: Arc::new(Mutex::new(state)), file: Arc::new(file.to_owned()) })
    }

    /// Registers `schema` as the newest version of `subject` and returns its id. A schema that the subject has already keeps its version.
    ///
    /// # Errors
    /// If it is no schema, if the subject's level forbids it, or if it cannot be written down.
    pub fn register(&self, subject: &str, schema: &str) -> Result<Registered, RegistryError> {
        let (json, parsed) = parse(schema)?;
        self.change(|state| {
            if let Some(found) = state.lookup(subject, &json) {
                return Ok(found);
            }
            let objections = state.level_of(subject).objections(&parsed, &state.versions(subject)?);
            if !objections.is_empty() {
                return Err(RegistryError::Incompatible { subject: subject.to_owned(), objections });
            }
            let known = state.schemas.iter().find(|(_, known)| **known == json).map(|(id, _)| *id);
            let id = known.unwrap_or_else(|| state.schemas.keys().next_back().map_or(1, |last| last + 1));
            state.schemas.insert(id, json);
            let versions = state.subjects.entry(subject.to_owned()).or_default();
            versions.push(id);
            let version = number(versions.len());
            state.registered(subject, version, id)
        })
    }

    /// The version of `subject` that is `schema`.
    ///
    /// # Errors
    /// If there is no such subject, or it has no such schema.
    pub fn lookup(&self, subject: &str, schema: &str) -> Result<Registered, RegistryError> {
        let (json, _) = parse(schema)?;
        let state = self.state.lock();
        state.ids(subject)?;
        state.lookup(subject, &json).ok_or_else(|| RegistryError::UnknownSchema(String::new()))
    }

    /// What keeps `schema` from following version `version` of `subject` (all that its level looks at, if none): nothing if it may.
    ///
    /// # Errors
    /// If it is no schema, or there is no such version.
    pub fn check(&self, subject: &str, version: Option<&str>, schema: &str) -> Result<Vec<String>, RegistryError> {
        let (_, parsed) = parse(schema)?;
        let state = self.state.lock();
        let older = match version {
            None => state.versions(subject)?,
            Some(version) => {
                let found = state.version(subject, version)?;
                vec![(found.version, parse(&found.schema)?.1)]
            }
        };
        Ok(state.level_of(subject).objections(&parsed, &older))
    }

    /// One version: a number, or `latest`.
    ///
    /// # Errors
    /// If there is no such subject or version.
    pub fn version(&self, subject: &str, version: &str) -> Result<Registered, RegistryError> {
        self.state.lock().version(subject, version)
    }

    /// The version numbers of a subject.
    ///
    /// # Errors
    /// If there is no such subject.
    pub fn version_numbers(&self, subject: &str) -> Result<Vec<u32>, RegistryError> {
        Ok((1..=number(self.state.lock().ids(subject)?.len())).collect())
    }

    /// All subjects whose name begins with `prefix`.
    pub fn subjects(&self, prefix: &str) -> Vec<String> {
        self.state.lock().subjects.keys().filter(|subject| subject.starts_with(prefix)).cloned().collect()
    }

    /// Every use of the schema with this id; at least one.
    ///
    /// # Errors
    /// If there is no such id.
    pub fn by_id(&self, id: u32) -> Result<Vec<Registered>, RegistryError> {
        let state = self.state.lock();
        let mut uses = Vec::new();
        for (subject, ids) in &state.subjects {
            for (index, _) in ids.iter().enumerate().filter(|(_, used)| **used == id) {
                uses.push(state.registered(subject, number(index + 1), id)?);
            }
        }
        if uses.is_empty() { Err(RegistryError::UnknownSchema(format!("{id} "))) } else { Ok(uses) }
    }

    /// The level for subjects that have none of their own.
    pub fn level(&self) -> Level {
        self.state.lock().level
    }

    /// The subject's own level.
    ///
    /// # Errors
    /// If it has none.
    pub fn own_level(&self, subject: &str) -> Result<Level, RegistryError> {
        self.state.lock().levels.get(subject).copied().ok_or_else(|| RegistryError::NoOwnLevel(subject.to_owned()))
    }

    /// Sets, or with `None` takes away, the level of a subject; of all without their own, if no subject is named.
    ///
    /// # Errors
    /// If it cannot be written down.
    pub fn set_level(&self, subject: Option<&str>, level: Option<Level>) -> Result<(), RegistryError> {
        self.change(|state| {
            match (subject, level) {
                (None, level) => state.level = level.unwrap_or_default(),
                (Some(subject), Some(level)) => drop(state.levels.insert(subject.to_owned(), level)),
                (Some(subject), None) => drop(state.levels.remove(subject)),
            }
            Ok(())
        })
    }

    /// Applies a change to a copy, writes that down, and only then lets it be seen.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> Result<T, RegistryError>) -> Result<T, RegistryError> {
        let mut state = self.state.lock();
        let mut changed = state.clone();
        let result = change(&mut changed)?;
        let text = serde_json::to_vec_pretty(&changed).map_err(|error| RegistryError::Store(error.to_string()))?;
        write_atomically(&self.file, &text).map_err(|error| RegistryError::Store(error.to_string()))?;
        *state = changed;
        Ok(result)
    }
}

impl State {
    fn level_of(&self, subject: &str) -> Level {
        self.levels.get(subject).copied().unwrap_or(self.level)
    }

    fn ids(&self, subject: &str) -> Result<&[u32], RegistryError> {
        let ids = self.subjects.get(subject).map(Vec::as_slice);
        ids.ok_or_else(|| RegistryError::UnknownSubject(subject.to_owned()))
    }

    fn lookup(&self, subject: &str, json: &Value) -> Option<Registered> {
        let ids = self.subjects.get(subject)?;
        let index = ids.iter().position(|id| self.schemas.get(id) == Some(json))?;
        self.registered(subject, number(index + 1), ids[index]).ok()
    }

    fn version(&self, subject: &str, version: &str) -> Result<Registered, RegistryError> {
        let ids = self.ids(subject)?;
        let wanted = match version {
            "latest" | "-1" => number(ids.len()),
            text => {
                text.parse().ok().filter(|n| *n > 0).ok_or_else(|| RegistryError::InvalidVersion(text.to_owned()))?
            }
        };
        let id = usize::try_from(wanted).ok().and_then(|n| ids.get(n.checked_sub(1)?));
        let id = id.ok_or_else(|| RegistryError::UnknownVersion(wanted.to_string()))?;
        self.registered(subject, wanted, *id)
    }

    /// All versions of a subject, the first one first; none of an unknown subject.
    fn versions(&self, subject: &str) -> Result<Vec<(u32, Schema)>, RegistryError> {
        let ids = self.subjects.get(subject).map(Vec::as_slice).unwrap_or_default();
        let version = |(index, id): (usize, &u32)| {
            let registered = self.registered(subject, number(index + 1), *id)?;
            Ok((registered.version, parse(&registered.schema)?.1))
        };
        ids.iter().enumerate().map(version).collect()
    }

    fn registered(&self, subject: &str, version: u32, id: u32) -> Result<Registered, RegistryError> {
        let schema = self.schemas.get(&id).ok_or_else(|| RegistryError::UnknownSchema(format!("{id} ")))?;
        Ok(Registered { subject: subject.to_owned(), id, version, schema: schema.to_string() })
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// The schema as JSON, which decides whether two are the same, and as Avro. A bare `string` stands for `"string"`.
fn parse(schema: &str) -> Result<(Value, Schema), RegistryError> {
    let invalid = |error: &dyn std::fmt::Display| RegistryError::InvalidSchema(error.to_string());
    let json = serde_json::from_str(schema).unwrap_or_else(|_| Value::from(schema.trim()));
    let parsed = Schema::parse(&json).map_err(|error| invalid(&error))?;
    Ok((json, parsed))
}
