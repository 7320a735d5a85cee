use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

/// Cancels `token` on the first SIGTERM or SIGINT; a second one ends the process at once with code 130.
///
/// Returns when the handlers are in place, so that no signal sent later is lost.
///
/// # Panics
/// Outside a tokio runtime.
pub fn spawn_signal_handler(token: CancellationToken) {
    let (mut terminate, mut interrupt) = match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(terminate), Ok(interrupt)) => (terminate, interrupt),
        (Err(error), _) | (_, Err(error)) => {
            error!(%error, "cannot handle signals, a stop will not drain");
            return;
        }
    };
    tokio::spawn(async move {
        let mut next = async || {
            tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            }
        };
        let name = next().await;
        info!(signal = name, "stopping, a second signal stops at once");
        token.cancel();
        let name = next().await;
        warn!(signal = name, "stopped without a drain");
        std::process::exit(130);
    });
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::{Signal, raise};

    use super::*;

    #[tokio::test]
    async fn first_signal_cancels_the_token() {
        let token = CancellationToken::new();
        spawn_signal_handler(token.clone());
        assert!(!token.is_cancelled());
        raise(Signal::SIGTERM).unwrap();
        token.cancelled().await;
    }
}
