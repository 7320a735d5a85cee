//! Running services side by side in one process.

use std::future::Future;
use std::time::Duration;

use tokio::task::JoinSet;
use tracing::{error, info, warn};
use vigie_daemon::{Context, Mistake, ServiceError};

use crate::dead_letter_log;

/// How long services may take to drain after a signal.
const DRAIN: Duration = Duration::from_secs(15);

/// Services that stand and fall together: when one ends, the others are asked to stop.
pub(crate) struct Services {
    ctx: Context,
    tasks: JoinSet<(&'static str, Result<(), ServiceError>)>,
}

impl Services {
    pub(crate) fn new(ctx: Context) -> Self {
        Self { ctx, tasks: JoinSet::new() }
    }

    pub(crate) fn spawn(
        &mut self,
        name: &'static str,
        service: impl Future<Output = Result<(), ServiceError>> + Send + 'static,
    ) {
        self.tasks.spawn(async move { (name, service.await) });
    }

    /// Waits until a shutdown is asked for, or a service fails; then until all have drained, for [`DRAIN`] at most.
    ///
    /// # Errors
    /// The first error of a service. A drain that takes too long is an error too: what was not committed will be done again.
    pub(crate) async fn run(mut self) -> Result<(), ServiceError> {
        let mut first_error = None;
        tokio::spawn(dead_letter_log::watch(self.ctx.clone()));
        tokio::select! {
            () = self.ctx.shutdown.cancelled() => {}
            Some(ended) = self.tasks.join_next() => first_error = self.ended(ended),
        }
        self.ctx.shutdown.cancel();
        let drained = tokio::time::timeout(DRAIN, async {
            while let Some(ended) = self.tasks.join_next().await {
                let error = self.ended(ended);
                first_error = first_error.take().or(error);
            }
        });
        if drained.await.is_err() {
            let left = self.tasks.len();
            warn!(left, "services did not drain in time");
            first_error = first_error
                .or_else(|| Some(ServiceError::failed(format!("{left} services did not drain within {DRAIN:?}"))));
        }
        first_error.map_or(Ok(()), Err)
    }

    fn ended(
        &self,
        ended: Result<(&'static str, Result<(), ServiceError>), tokio::task::JoinError>,
    ) -> Option<ServiceError> {
        match ended {
            Ok((service, Ok(()))) => {
                info!(service, "service stopped");
                let early = !self.ctx.shutdown.is_cancelled();
                early.then(|| ServiceError::failed(format!("{service} ended without being asked to")))
            }
            Ok((service, Err(e))) => {
                error!(service, error = e.chain(), "service failed");
                Some(e)
            }
            Err(e) => {
                error!(error = %e, "service panicked");
                Some(ServiceError::failed(e))
            }
        }
    }
}

/// A configuration without mistakes.
pub(crate) fn checked<T>(mut unread: Vec<Mistake>, check: Result<T, Vec<Mistake>>) -> Result<T, ServiceError> {
    match check {
        Ok(checked) if unread.is_empty() => Ok(checked),
        Ok(_) => Err(unread.into()),
        Err(mistakes) => {
            unread.extend(mistakes);
            Err(unread.into())
        }
    }
}
