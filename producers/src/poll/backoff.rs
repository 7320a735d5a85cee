//! When a source is asked next.

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::sources::SourceConfig;

/// The longest pause after failures.
const LONGEST: Duration = Duration::from_secs(6 * 3600);

/// The longest pause after failures of a local source, which someone is waiting for.
const LONGEST_LOCAL: Duration = Duration::from_secs(10);

/// The pause after 410 (Gone), which says that nothing will come any more.
const GONE: Duration = Duration::from_secs(24 * 3600);

/// Chance, for jitter.
pub fn random() -> SmallRng {
    SmallRng::from_os_rng()
}

/// The pause after an answer: what the source's rhythm asks for, and up to a tenth more so that sources do not march in step. Local sources have no rhythm
/// but their interval.
pub fn after_success(source: &SourceConfig, pause: Duration, random: &mut impl Rng) -> Duration {
    if source.local { source.every } else { stretched(pause.max(source.every), random) }
}

/// The pause after a poll that asked nothing, since the host wants to be left alone so long.
pub fn after_wait(wait: Duration, random: &mut impl Rng) -> Duration {
    stretched(wait, random).max(Duration::from_millis(1))
}

/// The pause after a source was said to be gone for good.
pub fn after_gone(source: &SourceConfig, random: &mut impl Rng) -> Duration {
    if source.local { LONGEST_LOCAL } else { stretched(GONE, random) }
}

fn stretched(pause: Duration, random: &mut impl Rng) -> Duration {
    pause.mul_f64(random.random_range(1.0..1.1))
}

/// The pause after `failures` failures in a row: the interval doubled each time, up to a limit, of which a random half is taken off so that sources that
/// failed together do not come back together. Never shorter than what the server asked for.
pub fn after_failure(
    source: &SourceConfig,
    failures: u32,
    retry_after: Option<Duration>,
    random: &mut impl Rng,
) -> Duration {
    let longest = if source.local { LONGEST_LOCAL } else { LONGEST };
    let doubled = source.every.saturating_mul(2_u32.saturating_pow(failures.min(20))).min(longest);
    doubled.mul_f64(random.random_range(0.5..1.0)).max(retry_after.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::catalogue;

    #[test]
    fn pauses_double_up_to_a_limit_and_honour_the_server() {
        let source = &catalogue::bundled().unwrap()[0];
        let mut random = rand::rngs::StdRng::seed_from_u64(1);
        for failures in 1..40 {
            let pause = after_failure(source, failures, None, &mut random);
            let doubled = source.every.saturating_mul(2_u32.saturating_pow(failures.min(20))).min(LONGEST);
            assert!(pause >= doubled / 2 && pause <= doubled, "{failures}: {pause:?}");
        }
        let asked = Duration::from_secs(20 * 3600);
        assert_eq!(after_failure(source, 1, Some(asked), &mut random), asked);
    }

    #[test]
    fn a_pause_is_never_shorter_than_asked_for() {
        let source = &catalogue::bundled().unwrap()[0];
        let mut random = rand::rngs::StdRng::seed_from_u64(2);
        for pause in [Duration::ZERO, source.every, 10 * source.every] {
            let least = pause.max(source.every);
            let jittered = after_success(source, pause, &mut random);
            assert!(jittered >= least && jittered <= least.mul_f64(1.1), "{pause:?}: {jittered:?}");
        }
        assert!(after_gone(source, &mut random) >= GONE && after_wait(GONE, &mut random) >= GONE);
    }
}
