//! The promises, held against what is on the topics and in the stores when the run has drained.

pub(crate) mod ledger;
pub(crate) mod oracle;
pub(crate) mod stores;
pub(crate) mod windows;

use crate::error::ChaosError;

/// Broken promises of which only the first are written down.
#[derive(Debug, Default)]
pub(crate) struct Violations {
    found: Vec<String>,
    left_out: usize,
}

impl Violations {
    const MOST: usize = 8;

    pub(crate) fn add(&mut self, violation: impl Into<String>) {
        match self.found.len() < Self::MOST {
            true => self.found.push(violation.into()),
            false => self.left_out += 1,
        }
    }

    pub(crate) fn extend(&mut self, others: Self) {
        self.left_out += others.left_out;
        others.found.into_iter().for_each(|violation| self.add(violation));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    pub(crate) fn into_vec(mut self) -> Vec<String> {
        if self.left_out > 0 {
            self.found.push(format!("and {} more of this kind", self.left_out));
        }
        self.found
    }
}

/// Work that blocks, on a thread for it.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ChaosError> + Send + 'static,
) -> Result<T, ChaosError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(ChaosError::Other(format!("a check panicked: {error}"))))
}
