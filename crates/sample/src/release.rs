//! In what order the backlog appears: the oldest part first, the rest once each listing was asked again.
//!
//! A source that is asked again has published what it found before. Whoever runs the site may have it wait longer, until those posts are counted:
//! then nothing is newer than them by more than the grace before, and their windows are final as soon as the rest arrives.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use vigie_clock::Timestamp;

/// Who scrapes only some of the listings gets all posts after this time.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is shown when.
#[derive(Debug)]
pub(crate) struct Release {
    /// Posts from here on are held back.
    held_from: Timestamp,
    listings: usize,
    /// On the monotonic clock.
    opened: Duration,
    asked: Mutex<Asked>,
}

#[derive(Debug, Default)]
struct Asked {
    times: HashMap<String, u32>,
    /// Each listing was asked twice, or patience has ended.
    enough: bool,
    held: bool,
}

impl Release {
    /// Holds posts from `held_from` on back until each of `listings` listings was asked twice.
    pub(crate) fn new(held_from: Timestamp, listings: usize, opened: Duration) -> Self {
        Self { held_from, listings, opened, asked: Mutex::default() }
    }

    /// Whether the rest is held back even when all listings were asked twice.
    pub(crate) fn hold(&self, held: bool) {
        self.asked.lock().held = held;
    }

    /// Whether all sources have published the oldest part.
    pub(crate) fn is_asked(&self) -> bool {
        self.asked.lock().enough
    }

    /// The newest time that may be shown. `listing` is set if the first page of a listing is asked for.
    pub(crate) fn until(&self, listing: Option<&str>, now: Timestamp, monotonic: Duration) -> Timestamp {
        let mut asked = self.asked.lock();
        if !asked.enough {
            if let Some(listing) = listing {
                *asked.times.entry(listing.to_owned()).or_default() += 1;
            }
            let again = asked.times.values().filter(|times| **times > 1).count();
            asked.enough = again >= self.listings || monotonic.saturating_sub(self.opened) >= PATIENCE;
        }
        if asked.enough && !asked.held { now } else { now.min(self.held_from) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELD: Timestamp = Timestamp::from_millis(100);
    const NOW: Timestamp = Timestamp::from_millis(900);

    #[test]
    fn the_rest_is_shown_once_each_listing_was_asked_twice() {
        let release = Release::new(HELD, 2, Duration::ZERO);
        let ask = |listing| release.until(Some(listing), NOW, Duration::from_secs(1));
        assert_eq!([ask("a"), ask("a"), ask("a"), ask("b")], [HELD; 4]);
        assert_eq!(release.until(None, NOW, Duration::from_secs(1)), HELD, "a later page is no new question");
        assert_eq!([ask("b"), ask("a")], [NOW; 2]);
        release.hold(true);
        assert!(release.is_asked() && ask("a") == HELD);
        release.hold(false);
        assert_eq!(ask("a"), NOW);
    }

    #[test]
    fn one_who_asks_for_one_listing_only_waits_some_seconds() {
        let release = Release::new(HELD, 2, Duration::from_secs(5));
        assert_eq!(release.until(Some("a"), NOW, Duration::from_secs(24)), HELD);
        assert_eq!(release.until(Some("a"), NOW, Duration::from_secs(25)), NOW);
    }
}
