//! A wall clock that steps, for tests that run a program as a process of its own. Only with the feature `failpoints`, which no program
//! for users has.
//!
//! `VIGIE_CLOCK_STEP_FILE` names a file with the milliseconds by which the wall clock is ahead (or, below zero, behind). It may be
//! written at any time; without it, or while it cannot be read, the clock is right. Time that never goes backwards is not changed.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::Timestamp;

const VARIABLE: &str = "VIGIE_CLOCK_STEP_FILE";
/// How old the last reading of the file may be.
const READ_AGAIN_MS: i64 = 100;

static FILE: LazyLock<Option<PathBuf>> = LazyLock::new(|| std::env::var_os(VARIABLE).map(PathBuf::from));
static READ_AT: AtomicI64 = AtomicI64::new(i64::MIN);
static AHEAD: AtomicI64 = AtomicI64::new(0);

/// What the wall clock shows when it is `now`.
pub(crate) fn step(now: Timestamp) -> Timestamp {
    let Some(file) = &*FILE else { return now };
    let millis = now.as_millis();
    if millis.saturating_sub(READ_AT.load(Ordering::Relaxed)) >= READ_AGAIN_MS {
        READ_AT.store(millis, Ordering::Relaxed);
        AHEAD.store(ahead(file), Ordering::Relaxed);
    }
    Timestamp::from_millis(millis.saturating_add(AHEAD.load(Ordering::Relaxed)))
}

fn ahead(file: &Path) -> i64 {
    std::fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_number_in_the_file_the_clock_is_right() {
        assert_eq!(ahead(Path::new("/none")), 0);
        assert_eq!(ahead(Path::new("/dev/null")), 0);
        assert_eq!(step(Timestamp::from_millis(5)), Timestamp::from_millis(5));
    }
}
