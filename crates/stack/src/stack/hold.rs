use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

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
    let (open, closed) = oneshot::channel::<()>();
    // Not tokio's standard input: a pending read of that would keep the runtime from ending.
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        drop(open);
    });
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        _ = closed => {}
    }
    stack.stop().await;
    Ok(())
}
