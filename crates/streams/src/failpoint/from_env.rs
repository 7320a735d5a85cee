//! Fail points from the environment, for tests that run an application as a process of its own. Only with the feature `failpoints`,
//! which no program for users has.
//!
//! `VIGIE_FAILPOINTS` holds points, separated by commas: `STEP=ACTION[@N[+]]`. The step is `commit.process`, `commit.begin`,
//! `commit.send`, `commit.offsets` or `commit.end`; the action is taken after it, the Nth time (counted over all threads; with `+` from then on; every time if no N is given):
//!
//! | action | what happens |
//! |---|---|
//! | `crash` | the process aborts |
//! | `stop` | the process stops itself by SIGSTOP, and goes on after a SIGCONT |
//! | `hold` | the thread does nothing for 25 s, while its client goes on; after `commit.process` this is a batch that takes long |
//! | `fail` | the commit fails with an error that asks for an abort |
//! | `omit` | the step that comes next is left out |
//!
//! `sabotage` is `commit.begin=omit@4` and the same of the fifth: state and offsets are committed without the outputs that belong to them. A check
//! that does not find this out is worth nothing. (Offsets that are left out, `commit.send=omit`, make a processor do its work again, which one
//! that knows what it has counted bears without a wrong number.)

use std::ops::RangeInclusive;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tracing::warn;
use vigie_kafka_client::KafkaError;

use super::{CommitStep, FailPoint, Fault};

/// Longer than an instance may go without a poll, where that is set to 10 s, and its partitions take to be another's.
const HOLD: Duration = Duration::from_secs(25);

const VARIABLE: &str = "VIGIE_FAILPOINTS";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Crash,
    Stop,
    Hold,
    Fail,
    Omit,
}

#[derive(Debug, PartialEq, Eq)]
struct Point {
    step: CommitStep,
    action: Action,
    times: RangeInclusive<u64>,
}

/// The fail point that the environment asks for.
///
/// # Panics
/// If it cannot be read: a test that believes in a fault which never comes would prove nothing.
pub(crate) fn from_env() -> Option<FailPoint> {
    let text = std::env::var(VARIABLE).ok().filter(|text| !text.is_empty())?;
    let points = parse(&text).unwrap_or_else(|mistake| panic!("{VARIABLE}: {mistake}"));
    warn!(fail_points = text, "this process fails on purpose");
    let points: Arc<[(Point, AtomicU64)]> = points.into_iter().map(|point| (point, AtomicU64::new(0))).collect();
    Some(FailPoint::new(move |step| {
        points.iter().filter(|(point, _)| point.step == step).find_map(|(point, passed)| {
            let time = passed.fetch_add(1, Ordering::SeqCst) + 1;
            point.times.contains(&time).then(|| act(point, time)).flatten()
        })
    }))
}

fn act(point: &Point, time: u64) -> Option<Fault> {
    if time == *point.times.start() {
        warn!(step = ?point.step, action = ?point.action, time, "fail point reached");
    }
    match point.action {
        Action::Crash => std::process::abort(),
        Action::Stop => {
            // Returns once somebody has sent a SIGCONT.
            let stopped = Command::new("kill").args(["-STOP", &std::process::id().to_string()]).status();
            warn!(ok = stopped.is_ok_and(|status| status.success()), "process goes on");
            None
        }
        Action::Hold => {
            std::thread::sleep(HOLD);
            None
        }
        Action::Fail => {
            Some(Fault::Error(KafkaError::Abort { operation: "commit", detail: "a fail point says so".to_owned() }))
        }
        Action::Omit => Some(Fault::Omit),
    }
}

fn parse(text: &str) -> Result<Vec<Point>, String> {
    text.split(',').map(|point| parse_point(point.trim())).collect()
}

fn parse_point(text: &str) -> Result<Point, String> {
    if text == "sabotage" {
        return Ok(Point { step: CommitStep::Begin, action: Action::Omit, times: 4..=5 });
    }
    let wrong = || format!("{text:?}, expected for example commit.send=crash@3");
    let (step, action) = text.split_once('=').ok_or_else(wrong)?;
    let number = |text: &str| text.parse().map_err(|_| wrong());
    let (action, times) = match action.split_once('@') {
        Some((action, at)) => match at.strip_suffix('+') {
            Some(from) => (action, number(from)?..=u64::MAX),
            None => (action, number(at)?..=number(at)?),
        },
        None => (action, 1..=u64::MAX),
    };
    let step = match step {
        "commit.process" => CommitStep::Process,
        "commit.begin" => CommitStep::Begin,
        "commit.send" => CommitStep::Send,
        "commit.offsets" => CommitStep::SendOffsets,
        "commit.end" => CommitStep::Commit,
        _ => return Err(wrong()),
    };
    let action = match action {
        "crash" => Action::Crash,
        "stop" => Action::Stop,
        "hold" => Action::Hold,
        "fail" => Action::Fail,
        "omit" => Action::Omit,
        _ => return Err(wrong()),
    };
    Ok(Point { step, action, times })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_read_and_mistakes_are_named() {
        let points = parse("commit.send=crash@3, commit.end=fail").unwrap();
        let crash = Point { step: CommitStep::Send, action: Action::Crash, times: 3..=3 };
        assert_eq!(points, [crash, Point { step: CommitStep::Commit, action: Action::Fail, times: 1..=u64::MAX }]);
        let lost = Point { step: CommitStep::Begin, action: Action::Omit, times: 4..=5 };
        assert_eq!(parse("sabotage").unwrap(), [lost]);
        for wrong in ["", "commit.send", "commit.send=sneeze", "commit.sent=crash", "commit.send=crash@x"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
