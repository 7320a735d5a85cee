use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::signal::unix::{SignalKind, signal};

use crate::{Endpoints, Stack, StackConfig, StackError};

/// Starts a stack, hands its endpoints to `ready`, and keeps it until SIGTERM, SIGINT, or the end of standard input.
///
/// # Errors
/// As [`Stack::start`].
pub async fn hold(config: StackConfig, ready: impl FnOnce(&Endpoints)) -> Result<(), StackError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(StackError::io("handle SIGTERM"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(StackError::io("handle SIGINT"))?;
    let stack = Stack::start(config).await?;
    ready(stack.endpoints());
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = async { while let Ok(Some(_)) = lines.next_line().await {} } => {}
    }
    stack.stop().await;
    Ok(())
}
