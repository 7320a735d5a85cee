//! `vigie token`.

use std::time::Duration;

use clap::ValueEnum;
use vigie_daemon::{Context, ServiceError};

use crate::cli::TokenCommand;
use crate::output::Output;

pub(crate) fn run(command: TokenCommand, output: Output) -> Result<(), ServiceError> {
    let TokenCommand::Issue { subject, scopes, hours, auth } = command;
    let lifetime = Duration::from_secs(u64::from(hours) * 3600);
    let now = Context::system().clock.now();
    let token = vigie_api::issue_token(&auth, &subject, &scopes, lifetime, now)?;
    let names: Vec<String> =
        scopes.iter().filter_map(|s| s.to_possible_value()).map(|v| v.get_name().to_owned()).collect();
    output.result(
        &serde_json::json!({"token": token, "subject": subject, "scopes": names, "expires_at": now.saturating_add(lifetime).to_string()}),
        || token.clone(),
    )
}
