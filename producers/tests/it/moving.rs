//! Redirects: temporary ones are followed, permanent ones remembered for as long as they hold.

use std::sync::Arc;

use axum::http::{StatusCode, header};
use axum::response::IntoResponse as _;
use vigie_clock::SystemClock;
use vigie_producers::fetcher::FetchError;
use vigie_producers::poll::{Polled, fresh_cursor, poll};
use vigie_schemas::Cursor;

use crate::web::{Web, feed, public, rss};

const OLD: &str = "http://old.example/feed";

/// Polls the feed, which was first at the old address.
async fn next(web: &Web, cursor: Option<&Cursor>) -> Polled {
    let source = feed("moving", OLD);
    let fresh = fresh_cursor(&source);
    poll(&source, cursor.unwrap_or(&fresh), &web.quick(), &SystemClock::default()).await
}

fn pages(web: &Web, host: &str) -> usize {
    web.paths(host).iter().filter(|path| *path != "/robots.txt").count()
}

#[tokio::test]
async fn a_permanent_redirect_is_remembered_and_a_temporary_one_is_not() {
    for (status, asked_old) in [(301, 1), (308, 1), (302, 3), (303, 3), (307, 3)] {
        let web = Web::start().await;
        web.redirect("old.example/feed", status, "http://new.example/feed");
        web.on("new.example/feed", |seen| {
            if seen.headers.get(header::IF_NONE_MATCH).is_some_and(|etag| etag == "\"new\"") {
                return StatusCode::NOT_MODIFIED.into_response();
            }
            ([(header::ETAG, "\"new\"")], rss("")).into_response()
        });
        let mut polled = next(&web, None).await;
        assert_eq!(polled.cursor.moved_to.is_some(), asked_old == 1, "{status}");
        for _ in 0..2 {
            polled = next(&web, Some(&polled.cursor)).await;
            assert_eq!(polled.record.decision, "not_modified", "{status}");
            assert_eq!(polled.record.url, OLD);
        }
        assert_eq!((pages(&web, "old.example"), pages(&web, "new.example")), (asked_old, 3), "{status}");
    }
}

#[tokio::test]
async fn only_an_unbroken_chain_of_permanent_redirects_is_remembered() {
    let web = Web::start().await;
    web.redirect("old.example/feed", 301, "http://one.example/feed");
    web.redirect("one.example/feed", 308, "http://two.example/feed");
    web.redirect("two.example/feed", 302, "http://three.example/feed");
    web.redirect("three.example/feed", 301, "http://four.example/feed");
    web.on("four.example/feed", |_| rss(""));
    let polled = next(&web, None).await;
    assert_eq!(polled.cursor.moved_to.as_deref(), Some("http://two.example/feed"));
    // It moves on from there.
    web.redirect("two.example/feed", 308, "http://three.example/feed");
    let polled = next(&web, Some(&polled.cursor)).await;
    assert_eq!(polled.cursor.moved_to.as_deref(), Some("http://four.example/feed"));
    assert_eq!((pages(&web, "old.example"), pages(&web, "one.example")), (1, 1));
}

#[tokio::test]
async fn a_new_address_that_fails_is_forgotten_and_the_first_one_asked_again() {
    // How it fails, and how many polls it is given.
    for (status, patience) in [(404, 1), (410, 1), (500, 3), (301, 1)] {
        let web = Web::start().await;
        web.redirect("old.example/feed", 301, "http://new.example/feed");
        web.on("new.example/feed", |_| ([(header::ETAG, "\"new\"")], rss("")));
        let mut polled = next(&web, None).await;
        // A 301 to nowhere stands for a redirect that ends badly.
        web.redirect("new.example/feed", status, "http://127.0.0.1/");
        for _ in 0..patience {
            assert!(polled.cursor.moved_to.is_some(), "{status}");
            polled = next(&web, Some(&polled.cursor)).await;
        }
        assert_eq!((&polled.cursor.moved_to, &polled.cursor.etag, &polled.cursor.validated_by), (&None, &None, &None));
        let reason = polled.record.reason.as_deref().unwrap();
        assert!(reason.contains("new.example/feed, where it had moved"), "{reason}");
        web.on("old.example/feed", |_| rss(""));
        let polled = next(&web, Some(&polled.cursor)).await;
        assert_eq!(
            (polled.record.decision.as_str(), polled.posts.len()),
            ("fetched", 0),
            "{status}: published once only"
        );
        assert_eq!(pages(&web, "old.example"), 2, "{status}");
    }
}

#[tokio::test]
async fn a_remembered_address_is_guarded_at_each_poll() {
    let web = Web::start().await;
    web.redirect("old.example/feed", 301, "http://new.example/feed");
    web.on("new.example/feed", |_| rss(""));
    let polled = next(&web, None).await;
    // The name is now one of ours, or the address in the cursor was put there by someone else.
    web.name("new.example", &[&["10.0.0.1"]]);
    let mut written = polled.cursor.clone();
    written.moved_to = Some("http://169.254.169.254/".into());
    for cursor in [&polled.cursor, &written] {
        let polled = next(&web, Some(cursor)).await;
        assert_eq!((polled.record.decision.as_str(), polled.cursor.moved_to), ("blocked", None));
    }
    assert_eq!(pages(&web, "new.example"), 1);
}

#[tokio::test]
async fn another_address_in_the_configuration_ends_what_was_remembered() {
    let web = Web::start().await;
    web.redirect("old.example/feed", 301, "http://new.example/feed");
    web.on("new.example/feed", |_| ([(header::ETAG, "\"new\"")], rss("")));
    web.on("other.example/feed", |_| rss(""));
    let polled = next(&web, None).await;
    let source = feed("moving", "http://other.example/feed");
    let polled = poll(&source, &polled.cursor, &web.quick(), &SystemClock::default()).await;
    assert_eq!((polled.record.decision.as_str(), polled.cursor.moved_to), ("fetched", None));
    let seen = web.seen("other.example");
    assert!(seen.iter().all(|seen| !seen.headers.contains_key(header::IF_NONE_MATCH)));
}

#[tokio::test]
async fn loops_end() {
    let web = Web::start().await;
    web.redirect("a.example/loop", 302, "http://b.example/loop");
    web.redirect("b.example/loop", 301, "http://a.example/loop");
    let fetcher = web.fetcher(crate::web::quick_config(), Arc::new(SystemClock::default()));
    let error = fetcher.fetch(&public("http://a.example/loop")).await.unwrap_err();
    assert_eq!(error, FetchError::Redirect("more than 5 hops".into()));
    assert_eq!((pages(&web, "a.example"), pages(&web, "b.example")), (3, 3));
}
