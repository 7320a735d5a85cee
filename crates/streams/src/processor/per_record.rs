//! Processing record by record, and what becomes of a record that cannot be processed.

use std::fmt::{self, Display};

use vigie_kafka_client::Record;

use crate::error::ProcessorError;
use crate::processor::{Processor, ProcessorContext};

/// What a topology does with a record that cannot be processed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ErrorPolicy {
    /// It goes to `<topic>.dlq`, in the transaction that moves past it, and the partition moves on.
    #[default]
    DeadLetter,
    /// Everything since the last commit is done again after a pause, until it can be processed: nothing is skipped, and the partition waits.
    Retry,
    /// The application stops: a person must look at it.
    Fail,
}

impl Display for ErrorPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DeadLetter => "dead letter",
            Self::Retry => "retry",
            Self::Fail => "fail",
        })
    }
}

/// Why a record cannot be processed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct RecordError {
    /// A short, stable word for the kind of failure.
    pub reason: &'static str,
    /// What exactly was wrong.
    pub detail: String,
}

impl RecordError {
    /// A failure of the kind `reason`.
    pub fn new(reason: &'static str, detail: impl Display) -> Self {
        Self { reason, detail: detail.to_string() }
    }
}

/// A [`Processor`] of a function that sees one record at a time.
///
/// A record for which it fails meets the topology's [`ErrorPolicy`]. What the function wrote before it failed is not taken back where the
/// partition moves on: it should fail before it writes.
pub struct PerRecord<F>(pub F);

impl<F> Processor for PerRecord<F>
where
    F: FnMut(&Record, &mut ProcessorContext<'_>) -> Result<(), RecordError> + Send,
{
    fn process(&mut self, batch: &[Record], ctx: &mut ProcessorContext<'_>) -> Result<(), ProcessorError> {
        for record in batch {
            if let Err(error) = (self.0)(record, ctx) {
                ctx.reject(record, &error)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use vigie_clock::{ManualClock, Timestamp};

    use super::*;
    use crate::Topology;
    use crate::testing::TopologyTestDriver;

    const NOON: Timestamp = Timestamp::from_millis(1_652_097_600_000);

    /// Copies numbers; `x` is none.
    fn driver(policy: ErrorPolicy) -> TopologyTestDriver {
        let topology = Topology::builder("numbers").source("in").sink("out").on_record_error(policy);
        let topology = topology.processor(|_| {
            Box::new(PerRecord(|record: &Record, ctx: &mut ProcessorContext<'_>| {
                let value = record.value.clone().unwrap_or_default();
                if &value[..] == b"x" {
                    return Err(RecordError::new("not-a-number", "expected a number, found x"));
                }
                ctx.forward("out", None, Some(value), record.timestamp);
                Ok(())
            }))
        });
        TopologyTestDriver::new(topology.build().unwrap(), ManualClock::new(NOON))
    }

    fn pipe(driver: &mut TopologyTestDriver) -> Result<(), ProcessorError> {
        driver.pipe_batch("in", 0, ["1", "x", "2"].map(|text| (None, Some(Bytes::from(text)), NOON)))
    }

    #[test]
    fn rejected_record_meets_the_topologys_error_policy() {
        let mut setting_aside = driver(ErrorPolicy::DeadLetter);
        pipe(&mut setting_aside).unwrap();
        setting_aside.commit().unwrap();
        assert_eq!(setting_aside.read("out").len(), 2);
        assert_eq!(setting_aside.read("in.dlq").len(), 1);
        let at = "record in-0@1: not-a-number: expected a number, found x".to_owned();
        assert_eq!(pipe(&mut driver(ErrorPolicy::Retry)), Err(ProcessorError::Retry(at.clone())));
        assert_eq!(pipe(&mut driver(ErrorPolicy::Fail)), Err(ProcessorError::Fatal(at)));
    }
}
