//! When a source is asked next.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::source::SourceConfig;

/// The longest pause after failures.
const LONGEST: Duration = Duration::from_secs(6 * 3600);

/// The longest pause after failures of a local source, which someone is waiting for.
const LONGEST_LOCAL: Duration = Duration::from_secs(10);

/// The longest freshness (`Cache-Control: max-age`) that stretches the interval of a source.
const LONGEST_FRESH: Duration = Duration::from_secs(3600);

/// Chance, for jitter.
pub fn random() -> SmallRng {
    SmallRng::seed_from_u64(RandomState::new().build_hasher().finish())
}

/// The pause after an answer: the source's interval or the answer's freshness, whichever is longer, give or take a tenth.
pub fn after_success(source: &SourceConfig, fresh_for: Option<Duration>, random: &mut impl Rng) -> Duration {
    if source.local {
        return source.every;
    }
    let pause = source.every.max(fresh_for.unwrap_or_default().min(LONGEST_FRESH));
    pause.mul_f64(random.random_range(0.9..1.1))
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
    use crate::catalogue;

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
        assert!(after_success(source, Some(asked), &mut random) <= LONGEST_FRESH.mul_f64(1.1));
    }
}
