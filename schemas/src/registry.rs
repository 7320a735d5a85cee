//! Talking to the schema registry: settings, registration ahead of time, and checks.

use std::time::Duration;

use clap::Args;
use schema_registry_converter::async_impl::schema_registry::{
    SrSettings, get_all_subjects, is_compatible_schema, post_schema,
};
use schema_registry_converter::schema_registry_common::{SchemaType, SuppliedSchema};
use serde::Serialize;

use crate::catalogue::{Compatibility, Topic};
use crate::error::CodecError;

const TIMEOUT: Duration = Duration::from_secs(10);

/// Where the schema registry is.
#[derive(Args, Clone, Debug)]
pub struct RegistryConfig {
    /// URL of a Confluent-compatible schema registry.
    #[arg(long, env = "VIGIE_SCHEMA_REGISTRY_URL", hide_env_values = true, default_value = "http://127.0.0.1:8081")]
    pub schema_registry_url: String,
}

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

impl RegistryConfig {
    pub(crate) fn settings(&self) -> Result<SrSettings, CodecError> {
        // reqwest wants a process-wide TLS provider; whoever comes first installs it, and it is the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        SrSettings::new_builder(self.base_url().to_owned())
            .no_proxy()
            .set_timeout(TIMEOUT)
            .build()
            .map_err(|e| self.unavailable(e.to_string()))
    }

    pub(crate) async fn probe(&self, settings: &SrSettings) -> Result<(), CodecError> {
        get_all_subjects(settings).await.map(drop).map_err(|e| self.unavailable(e.error))
    }

    fn base_url(&self) -> &str {
        self.schema_registry_url.trim_end_matches('/')
    }

    fn unavailable(&self, detail: String) -> CodecError {
        unavailable(&self.schema_registry_url, &detail)
    }

    async fn set_compatibility(&self, subject: &str, level: Compatibility) -> Result<(), CodecError> {
        let url = format!("{}/config/{subject}", self.base_url());
        let response = reqwest::Client::builder()
            .no_proxy()
            .timeout(TIMEOUT)
            .build()
            .map_err(|e| self.unavailable(e.to_string()))?
            .put(&url)
            .header("content-type", "application/vnd.schemaregistry.v1+json")
            .body(format!(r#"{{"compatibility":"{}"}}"#, level.as_str()))
            .send()
            .await
            .map_err(|e| self.unavailable(e.to_string()))?;
        if response.status().is_success() {
            return Ok(());
        }
        Err(self.unavailable(format!("PUT {url} answered {}", response.status())))
    }
}

/// The registry at `url` does not answer. Its password, in the address or in a client's words, is left out.
pub(crate) fn unavailable(url: &str, detail: &str) -> CodecError {
    let secret = user_info(url);
    let shown = |text: &str| if secret.is_empty() { text.to_owned() } else { text.replace(secret, "") };
    CodecError::Registry { url: shown(url), detail: shown(detail) }
}

/// `user:password@` of an address; empty if it has none.
fn user_info(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority.rfind('@').map_or("", |at| &authority[..=at])
}

/// Registers every schema of the catalogue and sets its compatibility level. Doing it again changes nothing.
///
/// # Errors
/// [`CodecError::Registry`] if the registry does not answer. A schema that the registry refuses is in the answer, not an error.
pub async fn register_schemas(config: &RegistryConfig, topic_prefix: &str) -> Result<Vec<SchemaCheck>, CodecError> {
    let settings = config.settings()?;
    config.probe(&settings).await?;
    let mut checks = Vec::new();
    for (name, schema, level) in Topic::ALL.into_iter().flat_map(Topic::subjects) {
        let subject = format!("{topic_prefix}{name}");
        config.set_compatibility(&subject, level).await?;
        checks.push(match post_schema(&settings, subject.clone(), supplied(schema)).await {
            Ok(registered) => SchemaCheck { subject, compatible: true, id: Some(registered.id), reason: None },
            Err(e) if e.retriable => return Err(config.unavailable(e.error)),
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
    let settings = config.settings()?;
    let known = get_all_subjects(&settings).await.map_err(|e| config.unavailable(e.error))?;
    let mut checks = Vec::new();
    for (name, schema, _) in Topic::ALL.into_iter().flat_map(Topic::subjects) {
        let subject = format!("{topic_prefix}{name}");
        let (compatible, reason) = if !known.contains(&subject) {
            (true, Some("not registered yet".to_owned()))
        } else {
            let compatible = is_compatible_schema(&settings, subject.clone(), supplied(schema))
                .await
                .map_err(|e| config.unavailable(e.error))?;
            (compatible, (!compatible).then(|| "breaks the subject's compatibility level".to_owned()))
        };
        checks.push(SchemaCheck { subject, compatible, id: None, reason });
    }
    Ok(checks)
}

pub(crate) fn supplied(schema: &str) -> SuppliedSchema {
    SuppliedSchema::new(None, SchemaType::Avro, schema.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_never_shows_the_password() {
        let url = "http://me:se@cret@registry:8081/ccompat?x=@";
        let text = unavailable(url, &format!("error sending request for url ({url}/subjects)")).to_string();
        assert!(text.contains("registry:8081") && !text.contains("me:") && !text.contains("cret"), "{text}");
        assert!(unavailable("http://registry:8081", "refused").to_string().contains("refused"));
    }
}
