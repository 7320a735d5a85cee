//! `vigie keys`: API keys, in the database that the API reads.

use std::time::Duration;

use clap::Subcommand;
use vigie_api::{Credentials, KeyInfo, NewKey, Scope};
use vigie_audit::{Action, AuditConfig};
use vigie_daemon::units::days;
use vigie_daemon::{Context, SecretArg, ServiceError};
use vigie_stores::PostgresUrl;

use crate::commands::audit::{audited, event, noted};
use crate::output::Output;

#[derive(Subcommand, Debug)]
pub(crate) enum KeysCommand {
    /// Make a key and print it: the only time that it can be seen
    Create {
        /// Who or what it is for
        #[arg(long)]
        name: String,
        /// What it allows, separated by commas
        #[arg(long, value_enum, value_delimiter = ',', default_value = "read:insights")]
        scopes: Vec<Scope>,
        /// How long it is valid
        #[arg(long = "valid-for", alias = "days", default_value = "90d", value_name = "DURATION", value_parser = days(1..=3_660_u32))]
        days: u32,
        #[command(flatten)]
        postgres_url: SecretArg<PostgresUrl>,
        #[command(flatten)]
        audit: Box<AuditConfig>,
    },
    /// List keys, the newest first, with what they allow and when they were used last
    List {
        #[command(flatten)]
        postgres_url: SecretArg<PostgresUrl>,
    },
    /// Revoke a key for good; every API refuses it within a second
    Revoke {
        /// Its id, as in the list
        id: String,
        #[command(flatten)]
        postgres_url: SecretArg<PostgresUrl>,
        #[command(flatten)]
        audit: Box<AuditConfig>,
    },
}

pub(crate) async fn run(command: KeysCommand, output: Output) -> Result<(), ServiceError> {
    let now = Context::system().clock.now();
    match command {
        KeysCommand::Create { name, scopes, days, postgres_url, audit } => {
            let lifetime = Duration::from_secs(u64::from(days) * 86_400);
            let credentials = Credentials::connect(&postgres_url.require()?).await?;
            let names = scopes.iter().map(|scope| scope.name()).collect::<Vec<_>>().join(" ");
            let new = NewKey::random();
            let event = event(Action::KeyCreate, Some(&new.id)).with("name", &name).with("scopes", names);
            let storing = credentials.store_key(&new, &name, &scopes, lifetime, now);
            audited(&audit, event.with("days", days), storing).await?;
            let NewKey { id, key } = new;
            let expires_at = now.saturating_add(lifetime).to_string();
            let value = serde_json::json!({"id": id, "name": name, "key": key.reveal(), "expires_at": expires_at});
            output.result(&value, || key.reveal().to_owned())
        }
        KeysCommand::List { postgres_url } => {
            let now = now.to_string();
            for key in Credentials::connect(&postgres_url.require()?).await?.keys().await? {
                output.result(&key, || line(&key, &now))?;
            }
            Ok(())
        }
        KeysCommand::Revoke { id, postgres_url, audit } => {
            let credentials = Credentials::connect(&postgres_url.require()?).await?;
            noted(&audit, event(Action::KeyRevoke, Some(&id)), output).await;
            if !credentials.revoke_key(&id, now).await? {
                return Err(ServiceError::failed(format!("there is no key {id:?} that is not revoked")));
            }
            output.result(&serde_json::json!({"revoked": id}), || format!("revoked {id}"))
        }
    }
}

fn line(key: &KeyInfo, now: &str) -> String {
    let state = match &key.revoked_at {
        Some(at) => format!("revoked {at}"),
        None if key.expires_at.as_str() <= now => format!("expired {}", key.expires_at),
        None => format!("until {}", key.expires_at),
    };
    let used = key.last_used_at.as_deref().unwrap_or("never");
    format!("{}  {}  {}  {state}, last used {used}", key.id, key.name, key.scopes.join(","))
}
