//! A schema registry in this process, so that the codec can be measured by itself.

use anyhow::Context;
use vigie_schemas::{Codec, RegistryConfig};
use vigie_stack::registry::{SchemaStore, router};

/// A codec over a registry that lives as long as the runtime.
///
/// # Errors
/// If no port can be bound, or the registry does not answer.
pub async fn codec(folder: &std::path::Path) -> anyhow::Result<Codec> {
    let store = SchemaStore::open(&folder.join("schemas.json"))?;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.context("bind a registry")?;
    let schema_registry_url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, router(store)).await });
    Ok(Codec::connect(&RegistryConfig::at(schema_registry_url), "").await?)
}
