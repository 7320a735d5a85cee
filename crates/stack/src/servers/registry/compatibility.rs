//! Which schemas may follow which.

use std::str::FromStr;

use apache_avro::Schema;
use apache_avro::schema_compatibility::{Compatibility, SchemaCompatibility};
use serde::{Deserialize, Serialize};

/// What a new version of a subject must be able to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Level {
    /// Nothing.
    None,
    /// Read what the latest version wrote.
    #[default]
    Backward,
    /// Read what any version wrote.
    BackwardTransitive,
    /// Be read by the latest version.
    Forward,
    /// Be read by every version.
    ForwardTransitive,
    /// Both, with the latest version.
    Full,
    /// Both, with every version.
    FullTransitive,
}

impl Level {
    fn reads_older(self) -> bool {
        matches!(self, Self::Backward | Self::BackwardTransitive | Self::Full | Self::FullTransitive)
    }

    fn is_read_by_older(self) -> bool {
        matches!(self, Self::Forward | Self::ForwardTransitive | Self::Full | Self::FullTransitive)
    }

    fn is_transitive(self) -> bool {
        matches!(self, Self::BackwardTransitive | Self::ForwardTransitive | Self::FullTransitive)
    }

    /// Why `new` may not follow `older` (version and schema, oldest first): nothing if it may.
    pub(crate) fn objections(self, new: &Schema, older: &[(u32, Schema)]) -> Vec<String> {
        let skipped = if self.is_transitive() { 0 } else { older.len().saturating_sub(1) };
        let mut objections = Vec::new();
        for (version, old) in &older[skipped..] {
            if self.reads_older()
                && let Some(why) = objection(old, new)
            {
                objections.push(format!("the new schema cannot read data of version {version}: {why}"));
            }
            if self.is_read_by_older()
                && let Some(why) = objection(new, old)
            {
                objections.push(format!("version {version} cannot read data of the new schema: {why}"));
            }
        }
        objections
    }
}

/// Why some data of `writer` cannot be read as `reader`.
fn objection(writer: &Schema, reader: &Schema) -> Option<String> {
    match SchemaCompatibility::can_read(writer, reader) {
        Ok(Compatibility::Full) => None,
        Ok(Compatibility::Partial) => {
            Some("some branches of a union or symbols of an enum have no counterpart".to_owned())
        }
        Err(error) => Some(error.to_string()),
    }
}

impl FromStr for Level {
    type Err = serde_json::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        serde_json::from_value(serde_json::Value::from(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(fields: &str) -> Schema {
        Schema::parse_str(&format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#)).unwrap()
    }

    #[test]
    fn a_new_field_without_default_breaks_backward_but_not_forward() {
        let old = [(1, record(r#"{"name":"a","type":"long"}"#))];
        let new = record(r#"{"name":"a","type":"long"},{"name":"b","type":"string"}"#);
        assert_eq!(Level::Backward.objections(&new, &old).len(), 1);
        assert_eq!(Level::Full.objections(&new, &old).len(), 1);
        assert!(Level::Forward.objections(&new, &old).is_empty());
        assert!(Level::None.objections(&new, &old).is_empty());
    }

    #[test]
    fn a_union_may_gain_branches_but_not_lose_them() {
        let (plain, nullable) =
            (record(r#"{"name":"a","type":"string"}"#), record(r#"{"name":"a","type":["null","string"]}"#));
        assert!(Level::Backward.objections(&nullable, &[(1, plain.clone())]).is_empty());
        assert_eq!(Level::Backward.objections(&plain, &[(1, nullable)]).len(), 1);
    }

    #[test]
    fn transitive_levels_look_at_every_version() {
        let with_b = record(r#"{"name":"a","type":"long"},{"name":"b","type":"string"}"#);
        let older = [(1, record(r#"{"name":"a","type":"long"}"#)), (2, with_b.clone())];
        assert!(Level::Backward.objections(&with_b, &older).is_empty());
        assert_eq!(Level::BackwardTransitive.objections(&with_b, &older).len(), 1);
    }

    #[test]
    fn levels_are_spelt_as_confluent_does() {
        assert_eq!("FULL_TRANSITIVE".parse::<Level>().unwrap(), Level::FullTransitive);
        assert!("SIDEWAYS".parse::<Level>().is_err());
    }
}
