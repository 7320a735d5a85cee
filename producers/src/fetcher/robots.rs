//! robots.txt (RFC 9309): which rules of a site hold, and when its file is asked.
//!
//! ```text
//!   answer of /robots.txt            what holds                                    asked again after
//!   2xx                              its rules                                     a day, or as long as it says that it is fresh (1 h to a day)
//!   4xx, too many redirects          everything is allowed                         a day
//!   429, 5xx, no answer              the earlier rules; without any, nothing is      5 min, doubled each time, up to 6 h
//!                                    allowed, for 30 days
//! ```

mod rules;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

pub(super) use rules::Rules;

use super::{FetchError, Fetched};

/// How long rules are kept at most (RFC 9309, 2.4), and at least.
const KEPT: Duration = Duration::from_secs(24 * 3600);
const KEPT_AT_LEAST: Duration = Duration::from_secs(3600);

/// The pause after a file that could not be had, doubled each time, and the longest.
const PAUSE: Duration = Duration::from_secs(300);
const LONGEST_PAUSE: Duration = Duration::from_secs(6 * 3600);

/// From when on a file that cannot be had counts as one that is not there (RFC 9309, 2.3.1.4).
const LONG: Duration = Duration::from_secs(30 * 24 * 3600);

/// Sites remembered before those that know nothing useful are forgotten.
const MAX_SITES: usize = 10_000;

/// The sites asked lately.
#[derive(Debug, Default)]
pub(super) struct Robots {
    sites: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Site>>>>,
}

impl Robots {
    /// What is known of a site; the lock is held while its file is asked, so that it is asked once.
    pub(super) fn site(&self, name: &str) -> Arc<tokio::sync::Mutex<Site>> {
        let mut sites = self.sites.lock();
        if sites.len() >= MAX_SITES && !sites.contains_key(name) {
            sites.retain(|_, site| {
                Arc::strong_count(site) > 1 || site.try_lock().is_ok_and(|site| site.failed.is_some())
            });
        }
        Arc::clone(sites.entry(name.to_owned()).or_default())
    }
}

/// One site's file. All times are of the clock's monotonic time.
#[derive(Debug, Default)]
pub(super) struct Site {
    rules: Option<Arc<Rules>>,
    fresh_until: Duration,
    failed: Option<Failed>,
}

#[derive(Debug)]
struct Failed {
    error: FetchError,
    since: Duration,
    again_at: Duration,
    times: u32,
}

impl Site {
    /// What holds now; `None` if the file has to be asked.
    pub(super) fn standing(&self, now: Duration) -> Option<Result<Arc<Rules>, FetchError>> {
        match (&self.rules, &self.failed) {
            (Some(rules), _) if now < self.fresh_until => Some(Ok(Arc::clone(rules))),
            (rules, Some(failed)) if now < failed.again_at => Some(self.without_answer(rules.as_ref(), failed, now)),
            _ => None,
        }
    }

    fn without_answer(
        &self,
        before: Option<&Arc<Rules>>,
        failed: &Failed,
        now: Duration,
    ) -> Result<Arc<Rules>, FetchError> {
        // Earlier rules are not older than what the file failed for.
        let is_long = now.saturating_sub(failed.since) >= LONG;
        match (before, &failed.error) {
            (Some(rules), _) if !is_long => Ok(Arc::clone(rules)),
            (_, error @ FetchError::Blocked(_)) => Err(error.clone()),
            _ if is_long => Ok(Arc::default()),
            (_, error) => Err(FetchError::Wait {
                wait: failed.again_at.saturating_sub(now),
                reason: format!("robots.txt cannot be had, which forbids everything: {error}"),
            }),
        }
    }

    /// Takes in what asking for the file came to. The error of a file that cannot be had is returned once; until it is asked again, the site waits.
    pub(super) fn learn(
        &mut self,
        answer: Result<Fetched, FetchError>,
        now: Duration,
    ) -> Result<Arc<Rules>, FetchError> {
        let (rules, kept) = match answer {
            Ok(Fetched::Body(body)) => {
                (Rules::parse(&body.bytes), body.fresh_for.unwrap_or(KEPT).clamp(KEPT_AT_LEAST, KEPT))
            }
            Ok(Fetched::NotModified { .. }) | Err(FetchError::Redirect(_)) => (Rules::default(), KEPT),
            Err(FetchError::Status { status: 400..=428 | 430..=499, .. }) => (Rules::default(), KEPT),
            // Nothing was asked.
            Err(error @ FetchError::Wait { .. }) => return Err(error),
            Err(error) => return self.fail(error, now),
        };
        let rules = Arc::new(rules);
        *self = Self { rules: Some(Arc::clone(&rules)), fresh_until: now + kept, failed: None };
        Ok(rules)
    }

    fn fail(&mut self, error: FetchError, now: Duration) -> Result<Arc<Rules>, FetchError> {
        let (since, times) = self.failed.as_ref().map_or((now, 0), |failed| (failed.since, failed.times + 1));
        let asked_for = match &error {
            FetchError::Status { retry_after, .. } => retry_after.unwrap_or_default(),
            _ => Duration::ZERO,
        };
        let pause = PAUSE.saturating_mul(2_u32.saturating_pow(times.min(20))).min(LONGEST_PAUSE).max(asked_for);
        let failed = Failed { error: error.clone(), since, again_at: now + pause, times };
        let result = self.without_answer(self.rules.as_ref(), &failed, now).map_err(|_| error);
        self.failed = Some(failed);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn status(status: u16) -> Result<Fetched, FetchError> {
        Err(FetchError::Status { status, retry_after: None })
    }

    fn file(text: &str) -> Result<Fetched, FetchError> {
        Ok(Fetched::Body(crate::fetcher::Body {
            status: 200,
            url: url::Url::parse("https://a.example/robots.txt").unwrap(),
            bytes: text.as_bytes().to_vec(),
            charset: None,
            etag: None,
            last_modified: None,
            fresh_for: None,
            moved_to: None,
        }))
    }

    #[test]
    fn a_missing_file_allows_all_and_a_broken_one_nothing() {
        for (given, allowed) in [(404, true), (401, true), (410, true), (429, false), (500, false), (503, false)] {
            let mut site = Site::default();
            assert!(site.standing(HOUR).is_none());
            assert_eq!(site.learn(status(given), HOUR).is_ok(), allowed, "{given}");
            // Known for a while, without asking again.
            let standing = site.standing(HOUR + Duration::from_secs(299)).unwrap();
            assert_eq!(standing.is_ok(), allowed, "{given}");
            assert!(allowed || matches!(standing, Err(FetchError::Wait { .. })), "{given}");
        }
    }

    #[test]
    fn a_broken_file_is_asked_less_and_less_and_after_a_month_counts_as_missing() {
        let mut site = Site::default();
        let (mut now, mut asked) = (HOUR, 0);
        while now < HOUR + LONG {
            match site.standing(now) {
                None => {
                    asked += 1;
                    assert!(site.learn(status(500), now).is_err());
                }
                Some(Err(FetchError::Wait { wait, .. })) => now += wait,
                Some(other) => panic!("{other:?}"),
            }
        }
        // 30 days of 6 hours, and a few at the start.
        assert!((120..130).contains(&asked), "{asked}");
        assert!(site.learn(status(500), now).is_ok());
        assert!(site.standing(now + HOUR).unwrap().is_ok());
    }

    #[test]
    fn rules_outlive_a_failure_of_their_file() {
        let mut site = Site::default();
        site.learn(file("User-agent: *\nDisallow: /x"), HOUR).unwrap();
        assert!(site.standing(24 * HOUR).is_some() && site.standing(25 * HOUR).is_none());
        let rules = site.learn(status(503), 25 * HOUR).unwrap();
        assert!(!rules.allows("/x") && rules.allows("/y"));
        assert!(!site.standing(25 * HOUR + Duration::from_secs(1)).unwrap().unwrap().allows("/x"));
        // The file is back, with other rules.
        assert!(site.learn(file(""), 26 * HOUR).unwrap().allows("/x"));
    }

    #[test]
    fn a_pause_that_the_host_asks_for_is_not_a_failure_of_the_file() {
        let mut site = Site::default();
        let wait = FetchError::Wait { wait: HOUR, reason: "later".into() };
        assert_eq!(site.learn(Err(wait.clone()), HOUR), Err(wait));
        assert!(site.standing(HOUR).is_none());
    }
}
