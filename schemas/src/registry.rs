//! Talking to the schema registry: settings, registration ahead of time, and checks.

mod access;

use reqwest::Method;
use schema_registry_converter::async_impl::schema_registry::{get_all_subjects, is_compatible_schema, post_schema};
use schema_registry_converter::schema_registry_common::{SchemaType, SuppliedSchema};
use serde::Serialize;

use crate::catalogue::Topic;
use crate::error::CodecError;

pub(crate) use access::unavailable;
pub use access::{RegistryConfig, RegistryPassword, RegistryToken};

/// What the registry says of one schema.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SchemaCheck {
    /// The subject, prefix included.
    pub subject: String,
    /// Whether the registry would take, or has taken, this binary's schema.
    pub compatible: bool,
    /// The schema's id, once registered.
    pub id: Option<u32>,
    /// Why it is not compatible.
    pub reason: Option<String>,
}

/// Registers every schema of the catalogue and sets its compatibility level. Doing it again changes nothing.
///
/// # Errors
/// [`CodecError::Registry`] if the registry does not answer. A schema that the registry refuses is in the answer, not an error.
pub async fn register_schemas(config: &RegistryConfig, topic_prefix: &str) -> Result<Vec<SchemaCheck>, CodecError> {
    let access = config.access()?;
    access.probe().await?;
    let settings = access.settings()?;
    let mut checks = Vec::new();
    for (name, schema, level) in Topic::ALL.into_iter().flat_map(Topic::subjects) {
        let subject = format!("{topic_prefix}{name}");
        let body = format!(r#"{{"compatibility":"{}"}}"#, level.as_str());
        access.send(Method::PUT, &format!("config/{subject}"), Some(body)).await?;
        checks.push(match post_schema(&settings, subject.clone(), supplied(schema)).await {
            Ok(registered) => SchemaCheck { subject, compatible: true, id: Some(registered.id), reason: None },
            Err(e) if e.retriable => return Err(access.unavailable(e.error)),
            Err(e) => {
                let reason = Some(e.cause.unwrap_or(e.error));
                SchemaCheck { subject, compatible: false, id: None, reason }
            }
        });
    }
    Ok(checks)
}

/// Asks the registry whether this binary's schemas are compatible with the registered ones, and registers nothing.
///
/// # Errors
/// [`CodecError::Registry`] if the registry does not answer.
pub async fn check_schemas(config: &RegistryConfig, topic_prefix: &str) -> Result<Vec<SchemaCheck>, CodecError> {
    let access = config.access()?;
    access.probe().await?;
    let settings = access.settings()?;
    let known = get_all_subjects(&settings).await.map_err(|e| access.unavailable(e.error))?;
    let mut checks = Vec::new();
    for (name, schema, _) in Topic::ALL.into_iter().flat_map(Topic::subjects) {
        let subject = format!("{topic_prefix}{name}");
        let (compatible, reason) = if !known.contains(&subject) {
            (true, Some("not registered yet".to_owned()))
        } else {
            let compatible = is_compatible_schema(&settings, subject.clone(), supplied(schema))
                .await
                .map_err(|e| access.unavailable(e.error))?;
            (compatible, (!compatible).then(|| "breaks the subject's compatibility level".to_owned()))
        };
        checks.push(SchemaCheck { subject, compatible, id: None, reason });
    }
    Ok(checks)
}

pub(crate) fn supplied(schema: &str) -> SuppliedSchema {
    SuppliedSchema::new(None, SchemaType::Avro, schema.to_owned())
}
