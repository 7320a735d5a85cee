//! `vigie token`.

use std::time::Duration;

use clap::{Subcommand, ValueEnum};
use vigie_api::{AuthConfig, Credentials, MAX_TOKEN_LIFETIME, Revoked, Scope};
use vigie_audit::{Action, AuditConfig};
use vigie_daemon::units::hours;
use vigie_daemon::{Context, SecretArg, ServiceError};
use vigie_stores::PostgresUrl;

use crate::commands::audit::{event, noted};
use crate::output::Output;

#[derive(Subcommand, Debug)]
pub(crate) enum TokenCommand {
    /// Print a signed bearer token
    Issue {
        /// Who it is for
        #[arg(long)]
        subject: String,
        /// What it allows, separated by commas
        #[arg(long, value_enum, value_delimiter = ',', default_value = "read:insights")]
        scopes: Vec<Scope>,
        /// How long it is valid
        #[arg(long = "valid-for", alias = "hours", default_value = "24h", value_name = "DURATION", value_parser = hours(1_u32..))]
        hours: u32,
        #[command(flatten)]
        auth: Box<AuthConfig>,
    },
    /// Revoke tokens for good; every API refuses them within a second
    #[command(group = clap::ArgGroup::new("which").required(true))]
    Revoke {
        /// The one with this id (jti), whoever issued it
        #[arg(long, group = "which")]
        jti: Option<String>,
        /// All that this subject was issued until now, as the API logs it: the sub, or ISSUER|SUB for an issuer on the network
        #[arg(long, group = "which")]
        subject: Option<String>,
        /// How long the revocation is kept: as long as the API lets a token be valid
        #[arg(long = "auth-max-token-lifetime", alias = "auth-max-token-hours", env = "VIGIE_AUTH_MAX_TOKEN_LIFETIME", default_value = MAX_TOKEN_LIFETIME, value_name = "DURATION", value_parser = hours(1_u32..))]
        auth_max_token_hours: u32,
        #[command(flatten)]
        postgres_url: SecretArg<PostgresUrl>,
        #[command(flatten)]
        audit: Box<AuditConfig>,
    },
}

pub(crate) async fn run(command: TokenCommand, output: Output) -> Result<(), ServiceError> {
    let now = Context::system().clock.now();
    match command {
        TokenCommand::Issue { subject, scopes, hours, auth } => {
            let lifetime = Duration::from_secs(u64::from(hours) * 3600);
            let token = vigie_api::issue_token(&auth, &subject, &scopes, lifetime, now)?;
            let names: Vec<String> =
                scopes.iter().filter_map(|s| s.to_possible_value()).map(|v| v.get_name().to_owned()).collect();
            let value = serde_json::json!({
                "token": token, "jti": vigie_api::token_id(&token), "subject": subject, "scopes": names,
                "expires_at": now.saturating_add(lifetime).to_string(),
            });
            output.result(&value, || token.clone())
        }
        TokenCommand::Revoke { jti, subject, auth_max_token_hours, postgres_url, audit } => {
            let value = jti.as_ref().or(subject.as_ref()).map_or("", String::as_str);
            let what = if jti.is_some() { Revoked::Token(value) } else { Revoked::Subject(value) };
            let lifetime = Duration::from_secs(u64::from(auth_max_token_hours) * 3600);
            let credentials = Credentials::connect(&postgres_url.require()?).await?;
            let kind = if jti.is_some() { "jti" } else { "subject" };
            noted(&audit, event(Action::TokenRevoke, Some(value)).with("kind", kind), output).await;
            credentials.revoke_tokens(what, lifetime, now).await?;
            output.result(&serde_json::json!({"revoked": value}), || format!("revoked {value}"))
        }
    }
}
