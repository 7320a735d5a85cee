use vigie_clock::{Clock, SystemClock, Timestamp};
use vigie_schemas::{RawPost, TermInsight};

use crate::services::{Bench, DEADLINE};

const HOUR: i64 = 3_600_000;
const AN_HOUR: usize = 40;

/// Posts of these hours; in the hour 20 half of the authors name a coin that nobody knows.
fn posts(start: i64, hours: std::ops::Range<i64>) -> Vec<RawPost> {
    let post = |hour: i64, n: usize| {
        let what = if hour == 20 && n.is_multiple_of(2) { "$XYZQ" } else { "bitcoin" };
        let published_at = Timestamp::from_millis(start + hour * HOUR + n as i64 * 1000);
        RawPost {
            post_id: format!("reddit:{hour}-{n}"),
            source: "r-bitcoin".into(),
            kind: "reddit".into(),
            author: Some(format!("author{n}")),
            text: format!("{what} on day{hour} number{n}"),
            published_at,
            fetched_at: published_at,
            ..RawPost::default()
        }
    };
    hours.flat_map(|hour| (0..AN_HOUR).map(move |n| post(hour, n))).collect()
}

/// From raw posts to the last revision of a term, over a restart.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_unknown_coin_is_reported_as_final_once_over_a_restart() {
    let bench = Bench::new().await;
    let clock = SystemClock::default();
    let start = clock.now().window_start(std::time::Duration::from_secs(3600)).as_millis() - 100 * HOUR;
    let services = bench.start_with(&[], &["--terms"]);
    bench.publish(&posts(start, 0..22)).await;
    while bench.records("posts.terms.v1").len() < 22 * AN_HOUR {
        assert!(clock.monotonic() < DEADLINE, "not all words were reported within {DEADLINE:?}");
    }
    services.stop().await;
    let services = bench.start_with(&[], &["--terms"]);
    // The watermark passes the grace of all hours before.
    bench.publish(&posts(start, 30..31)).await;
    let reported = loop {
        let reported: Vec<TermInsight> = bench.decoded("insights.terms.v1").await;
        if reported.iter().any(|insight| insight.term == "$xyzq" && insight.r#final) {
            break reported;
        }
        assert!(clock.monotonic() < DEADLINE, "no final revision within {DEADLINE:?}: {reported:?}");
    };
    services.stop().await;
    let of: Vec<_> = reported.iter().filter(|insight| insight.term == "$xyzq").collect();
    let revisions: Vec<_> = of.iter().map(|insight| insight.revision).collect();
    assert_eq!(revisions, (1..=of.len() as i32).collect::<Vec<_>>(), "revisions go up by one");
    let last = of.last().unwrap();
    assert_eq!(of.iter().filter(|insight| insight.r#final).count(), 1);
    assert_eq!((last.r#final, last.kind.as_str(), last.authors, last.asset.as_deref()), (true, "cashtag", 20, None));
    assert_eq!(last.window_start.as_millis(), start + 20 * HOUR);
}
