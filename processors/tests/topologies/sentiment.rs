use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use vigie_clock::{ManualClock, Timestamp};
use vigie_processors::AvroDeadLetters;
use vigie_processors::sentiment::{Only, SentimentMetrics, SentimentSettings, SharedAnalyser, topology};
use vigie_schemas::{DeadLetter, Mention, RawPost, ScoredPost, Topic, market_key, market_route};
use vigie_streams::testing::TopologyTestDriver;
use vigie_streams::{DeadLetterEncoder, ProcessorError};

use crate::fixtures::{Lexicon, LocalCodec, at, decode, encode, raw_post};

const RAW: &str = "posts.raw.v1";
const SCORED: &str = "insights.sentiment.v1";
const MENTIONS: &str = "posts.mentions.v1";
const DAY: i64 = 86_400_000;
const NOW: i64 = 1_000 * DAY;
const GOOD: &str = "the news about bitcoin is really good and people are happy with it";

fn settings() -> SentimentSettings {
    SentimentSettings {
        run_id: "live".into(),
        source: RAW.into(),
        scored: SCORED.into(),
        mentions: MENTIONS.into(),
        dedupe_retention: Duration::from_secs(7 * 86_400),
        spread_market_from: None,
        published: None,
        only: Only::default(),
        dead_letters: true,
        author_key: "0123456789abcdef".parse().unwrap(),
    }
}

fn driver_of(settings: SentimentSettings) -> TopologyTestDriver {
    let analyser = Arc::new(SharedAnalyser::new(Lexicon::analyser()));
    let metrics = SentimentMetrics::new(&prometheus::Registry::new());
    let topology = topology(settings, 64, analyser, LocalCodec, metrics).unwrap();
    TopologyTestDriver::new(topology, ManualClock::new(at(NOW)))
        .with_dead_letters(Arc::new(AvroDeadLetters(LocalCodec)))
}

fn driver() -> TopologyTestDriver {
    driver_of(settings())
}

type Input = (Option<Bytes>, Option<Bytes>, Timestamp);

fn record(post: &RawPost, arrived: i64) -> Input {
    (Some(Bytes::from(post.post_id.clone())), encode(post), at(arrived))
}

fn post(id: &str, text: &str) -> Input {
    record(&raw_post(id, text, at(NOW)), NOW)
}

fn pipe(driver: &mut TopologyTestDriver, records: impl IntoIterator<Item = Input>) {
    driver.pipe_batch(RAW, 0, records).unwrap();
}

fn scored(driver: &mut TopologyTestDriver) -> Vec<ScoredPost> {
    driver.commit().unwrap();
    decode(&driver.read(SCORED))
}

fn reasons(driver: &mut TopologyTestDriver) -> Vec<(String, i64)> {
    let letters: Vec<DeadLetter> = decode(&driver.read("posts.raw.v1.dlq"));
    letters.into_iter().map(|letter| (letter.reason, letter.offset)).collect()
}

#[test]
fn a_post_becomes_one_scored_post_and_its_mentions_with_lineage() {
    let mut driver = driver();
    pipe(
        &mut driver,
        [post("skipped", GOOD), post("p", "I think that BTC and $ETH are good for the future of us all")],
    );
    let posts = scored(&mut driver);
    let post = &posts[1];
    assert_eq!((post.post_id.as_str(), post.label.as_deref(), post.score), ("p", Some("positive"), Some(0.8)));
    assert_eq!((post.language.as_deref(), post.scored_at), (Some("en"), at(NOW)));
    assert_eq!(
        (post.lineage.input_topic.as_str(), post.lineage.first_offset, post.lineage.run_id.as_str()),
        (RAW, 1, "live")
    );
    assert_eq!(post.lineage.model_name, "lexicon");
    let author = post.author_id.as_deref().unwrap();
    assert!(author.len() == 32 && !author.contains("satoshi"));
    let records = driver.read(MENTIONS);
    let keys: Vec<_> = records.iter().filter_map(|record| record.key.clone()).collect();
    assert_eq!(keys, ["BTC", "*", "BTC", "ETH", "*"].map(Bytes::from));
    let mentions: Vec<Mention> = decode(&records);
    assert!(mentions[2..].iter().all(|m| m.post_id == "p" && m.author_id.as_deref() == Some(author)));
}

#[test]
fn the_producers_pseudonym_is_kept_and_the_handle_goes_on_under_seal_only() {
    let mut driver = driver();
    let sealed = RawPost {
        author: None,
        author_id: Some("a1".to_owned()),
        author_sealed: Some(vec![1, 0, 255]),
        ..raw_post("sealed", GOOD, at(NOW))
    };
    pipe(&mut driver, [record(&sealed, NOW), post("old", GOOD)]);
    let posts = scored(&mut driver);
    assert_eq!(
        (posts[0].author_id.as_deref(), posts[0].author_sealed.as_deref()),
        (Some("a1"), Some(&[1, 0, 255][..]))
    );
    assert!(
        posts[1].author_id.as_deref().is_some_and(|id| id.starts_with("fa1b65bf")) && posts[1].author_sealed.is_none()
    );
}

#[test]
fn a_post_counts_once_however_often_it_comes() {
    let mut driver = driver();
    pipe(&mut driver, [post("a", GOOD), post("a", "the same id with another text that is bad"), post("b", GOOD)]);
    assert_eq!(scored(&mut driver).len(), 2);
    pipe(&mut driver, [post("b", GOOD), post("a", GOOD)]);
    driver.restart().unwrap();
    pipe(&mut driver, [post("a", GOOD), post("c", GOOD)]);
    let later = scored(&mut driver);
    assert_eq!(later.iter().map(|post| post.post_id.as_str()).collect::<Vec<_>>(), ["c"]);
}

#[test]
fn an_aborted_commit_forgets_that_a_post_was_seen() {
    let mut driver = driver();
    pipe(&mut driver, [post("a", GOOD)]);
    driver.abort().unwrap();
    assert_eq!(scored(&mut driver).len(), 1);
}

#[test]
fn a_post_is_forgotten_a_week_after_it_was_last_seen_and_the_store_stays_bounded() {
    let mut driver = driver();
    let first = raw_post("a", GOOD, at(NOW));
    for (day, emitted) in [(0, 1), (4, 0), (8, 0), (12, 0), (20, 1)] {
        pipe(&mut driver, [record(&first, NOW + day * DAY)]);
        assert_eq!(scored(&mut driver).len(), emitted, "day {day}");
    }
    let old = (0..300).map(|i| record(&raw_post(&format!("old-{i}"), GOOD, at(NOW)), NOW + 20 * DAY));
    pipe(&mut driver, old);
    driver.commit().unwrap();
    for i in 0..8 {
        pipe(&mut driver, [record(&raw_post(&format!("new-{i}"), GOOD, at(NOW)), NOW + 40 * DAY)]);
        driver.commit().unwrap();
    }
    let mut left = std::collections::BTreeMap::new();
    for (key, value) in driver.changelog("seen", 0) {
        match value {
            Some(value) => left.insert(key, value),
            None => left.remove(&key),
        };
    }
    assert_eq!(left.len(), 8);
}

#[test]
fn bad_records_go_to_the_dead_letters_and_the_partition_moves_on() {
    let mut driver = driver();
    let key = || Some(Bytes::from("x"));
    let future = RawPost { published_at: at(NOW + 3_600_001), ..raw_post("x", GOOD, at(NOW)) };
    let barely = RawPost { published_at: at(NOW + 3_600_000), ..raw_post("barely", GOOD, at(NOW)) };
    let absurd = RawPost { published_at: at(i64::MIN), ..raw_post("x", GOOD, at(NOW)) };
    pipe(
        &mut driver,
        [
            (key(), Some(Bytes::from_static(b"no avro")), at(NOW)),
            (None, None, at(NOW)),
            record(&future, NOW),
            record(&absurd, NOW),
            (Some(Bytes::from("another key")), encode(&raw_post("x", GOOD, at(NOW))), at(NOW)),
            (None, encode(&raw_post("x", GOOD, at(NOW))), at(NOW)),
            record(&barely, NOW),
            post("after", GOOD),
        ],
    );
    let posts = scored(&mut driver);
    assert_eq!(posts.iter().map(|post| post.post_id.as_str()).collect::<Vec<_>>(), ["barely", "after"]);
    let expected = [
        ("undecodable", 0),
        ("undecodable", 1),
        ("future_timestamp", 2),
        ("invalid", 3),
        ("invalid", 4),
        ("invalid", 5),
    ];
    assert_eq!(reasons(&mut driver), expected.map(|(reason, offset)| (reason.to_owned(), offset)));
}

#[test]
fn a_text_that_breaks_the_model_is_set_aside_and_can_be_sent_again() {
    let mut driver = driver();
    let bad = "I wonder what the price of kryptonite is and if it is good to buy some of it";
    pipe(&mut driver, [post("a", GOOD), post("b", bad), post("c", GOOD)]);
    assert_eq!(scored(&mut driver).iter().map(|post| post.post_id.as_str()).collect::<Vec<_>>(), ["a", "c"]);
    assert_eq!(reasons(&mut driver), [("invalid".to_owned(), 1)]);
    pipe(&mut driver, [post("b", GOOD)]);
    assert_eq!(scored(&mut driver)[0].post_id, "b");
}

#[test]
fn a_dead_letter_fits_where_the_record_did() {
    let mut driver = driver();
    let huge = Bytes::from(vec![7; 1_000_000]);
    pipe(
        &mut driver,
        [
            (Some(Bytes::from("huge")), Some(huge), at(NOW)),
            (Some(Bytes::from("small")), Some(Bytes::from_static(b"7")), at(NOW)),
        ],
    );
    driver.commit().unwrap();
    let records = driver.read("posts.raw.v1.dlq");
    assert!(records.iter().all(|record| record.value.as_ref().is_some_and(|value| value.len() < 2_000)));
    let letters: Vec<DeadLetter> = decode(&records);
    assert_eq!((letters[0].value.as_ref(), letters[1].value.as_deref()), (None, Some(&b"7"[..])));
    assert!(letters[0].detail.contains("the value of 1000000 bytes is left out"), "{}", letters[0].detail);
}

#[test]
fn a_language_that_the_model_does_not_know_leaves_the_sentiment_null() {
    let mut driver = driver();
    let german = "Der Kurs von Bitcoin ist heute nicht gut und das gefällt mir überhaupt nicht";
    pipe(&mut driver, [post("de", german), post("blank", " ")]);
    let posts = scored(&mut driver);
    assert_eq!((posts[0].language.as_deref(), posts[0].label.as_deref(), posts[0].score), (Some("de"), None, None));
    assert!(posts[0].unscored_reason.as_deref().is_some_and(|reason| reason.contains("de")));
    assert_eq!((posts[1].language.as_deref(), posts[1].unscored_reason.as_deref()), (None, Some("empty")));
    let mentions: Vec<Mention> = decode(&driver.read(MENTIONS));
    assert_eq!(
        mentions.iter().map(|m| (m.asset.as_str(), m.score)).collect::<Vec<_>>(),
        [("BTC", None), ("*", None), ("*", None)]
    );
}

#[test]
fn the_sample_mark_goes_through() {
    let mut driver = driver();
    pipe(&mut driver, [record(&RawPost { sample: true, ..raw_post("p", GOOD, at(NOW)) }, NOW)]);
    assert!(scored(&mut driver)[0].sample);
    assert!(decode::<Mention>(&driver.read(MENTIONS)).iter().all(|mention| mention.sample));
}

#[test]
fn only_posts_of_the_replayed_range_leave_and_the_first_copy_decides() {
    let published = Some(at(NOW)..at(NOW + 1000));
    let mut driver = driver_of(SentimentSettings { published, dead_letters: false, ..settings() });
    let publish = |id: &str, published: i64| record(&raw_post(id, GOOD, at(published)), NOW + 5000);
    pipe(
        &mut driver,
        [
            publish("before", NOW - 1),
            publish("first", NOW),
            publish("last", NOW + 999),
            publish("after", NOW + 1000),
            publish("before", NOW + 1),
            (None, None, at(NOW)),
        ],
    );
    let posts = scored(&mut driver);
    assert_eq!(posts.iter().map(|post| post.post_id.as_str()).collect::<Vec<_>>(), ["first", "last"]);
    assert_eq!(reasons(&mut driver), []);
}

#[test]
fn only_posts_of_the_sources_and_about_the_assets_asked_for_leave_and_an_edit_may_bring_one_in_or_take_it_back() {
    let set = |ids: &[&str]| ids.iter().map(|&id| id.to_owned()).collect();
    let only = Only { sources: set(&["r-bitcoin"]), assets: set(&["BTC", "SOL"]) };
    let mut driver = driver_of(SentimentSettings { only, ..settings() });
    let (btc, eth) = ("I think that BTC is good for the future of us all", "I think that $ETH is good for us all");
    let elsewhere = RawPost { source: "r-other".to_owned(), ..raw_post("elsewhere", btc, at(NOW)) };
    pipe(&mut driver, [post("in", btc), post("late", eth), post("out", eth), record(&elsewhere, NOW)]);
    pipe(&mut driver, [edited("in", eth, NOW + 10), edited("late", btc, NOW + 10), post("in", btc)]);
    let written = |p: &ScoredPost| (p.post_id.clone(), p.revision, p.assets[0].asset.clone());
    let posts: Vec<_> = scored(&mut driver).iter().map(written).collect();
    let expected = [("in", 1, "BTC"), ("in", 2, "ETH"), ("late", 1, "BTC")];
    assert_eq!(posts, expected.map(|(id, revision, asset)| (id.to_owned(), revision, asset.to_owned())));
    assert_eq!(reasons(&mut driver), []);
}

fn edited(id: &str, text: &str, edited_at: i64) -> Input {
    let post = RawPost { edited_at: Some(at(edited_at)), ..raw_post(id, text, at(NOW + 5)) };
    record(&post, NOW + 60_000)
}

#[test]
fn an_edited_post_is_scored_again_as_the_next_revision_and_takes_back_what_it_no_longer_mentions() {
    let mut driver = driver();
    pipe(&mut driver, [post("a", "I think that BTC is good for the future of us all"), post("b", GOOD)]);
    scored(&mut driver);
    driver.read(MENTIONS);
    driver.restart().unwrap();
    pipe(&mut driver, [edited("a", "I think that $ETH is bad for the future of us all", NOW + 10)]);
    let posts = scored(&mut driver);
    let written: Vec<_> = posts.iter().map(|p| (p.post_id.as_str(), p.revision, p.label.as_deref())).collect();
    assert_eq!(written, [("a", 2, Some("negative"))]);
    assert_eq!(posts[0].published_at, at(NOW), "the event time of the first revision stays");
    let mentions: Vec<Mention> = decode(&driver.read(MENTIONS));
    let written: Vec<_> = mentions.iter().map(|m| (m.asset.as_str(), m.revision, m.retracted)).collect();
    assert_eq!(written, [("BTC", 2, true), ("ETH", 2, false), ("*", 2, false)]);
    assert!(mentions.iter().all(|mention| mention.published_at == at(NOW)));
    pipe(&mut driver, [edited("a", GOOD, NOW + 10), post("a", GOOD)]);
    assert!(scored(&mut driver).is_empty(), "the same edit, and the first version, are known");
}

#[test]
fn from_a_time_on_the_whole_market_goes_by_author_and_an_edit_or_deletion_where_its_post_is() {
    const WINDOW: i64 = 300_000;
    let from = at(NOW).window_start(Duration::from_millis(WINDOW as u64)).as_millis() + WINDOW;
    let mut driver = driver_of(SentimentSettings { spread_market_from: Some(at(from)), ..settings() });
    let by = |id: &str, author: Option<&str>, at_millis, edited_at: Option<i64>| {
        let post = RawPost {
            author_id: author.map(Into::into),
            author: None,
            edited_at: edited_at.map(at),
            ..raw_post(id, GOOD, at(at_millis))
        };
        record(&post, from + 60_000)
    };
    let deleted = |id: &'static str| (Some(Bytes::from(id)), None, at(from + 120_000));
    let mut written = |records: &[Input]| {
        pipe(&mut driver, records.iter().cloned());
        driver.commit().unwrap();
        let records = driver.read(MENTIONS);
        let keys = records.iter().map(|record| String::from_utf8(record.key.clone().unwrap().to_vec()).unwrap());
        let of = keys.zip(decode::<Mention>(&records)).filter(|(_, mention)| mention.asset == "*");
        of.map(|(key, mention)| (key, mention.post_id, mention.revision, mention.retracted)).collect::<Vec<_>>()
    };
    let key = |route: Option<&str>, id: &str| market_key(market_route(route, id));
    let row = |key: &str, id: &str, revision, gone| (key.to_owned(), id.to_owned(), revision, gone);
    let (ann, ben, nobody) = (key(Some("ann"), "b"), key(Some("ben"), "b"), key(None, "c"));
    let first = [by("a", Some("ann"), from - 1, None), by("b", Some("ann"), from, None), by("c", None, from, None)];
    assert_eq!(written(&first), [row("*", "a", 1, false), row(&ann, "b", 1, false), row(&nobody, "c", 1, false)]);
    let edits = [by("a", Some("ben"), from, Some(from)), by("b", Some("ben"), from, Some(from))];
    assert_eq!(written(&edits), [row("*", "a", 2, false), row(&ann, "b", 2, true), row(&ben, "b", 2, false)]);
    let gone = ["a", "b", "c"].map(deleted);
    assert_eq!(written(&gone), [row("*", "a", 3, true), row(&ben, "b", 3, true), row(&nobody, "c", 2, true)]);
}

#[test]
fn an_edit_and_a_deletion_in_the_batch_of_their_post_are_written_in_their_order() {
    let mut driver = driver();
    let deleted = |id: &'static str| (Some(Bytes::from(id)), None, at(NOW + 120_000));
    pipe(
        &mut driver,
        [post("a", GOOD), edited("a", GOOD, NOW + 10), post("a", GOOD), deleted("a"), deleted("a"), deleted("unknown")],
    );
    let posts = scored(&mut driver);
    assert_eq!(
        posts.iter().map(|p| (p.revision, p.deleted_at)).collect::<Vec<_>>(),
        [(1, None), (2, None), (3, Some(at(NOW + 120_000)))]
    );
    let gone = &posts[2];
    assert_eq!((gone.excerpt.as_str(), &gone.url, &gone.author_id, gone.assets.len()), ("", &None, &None, 0));
    assert_eq!((gone.unscored_reason.as_deref(), gone.score, gone.fingerprint), (Some("deleted"), None, None));
    let mentions: Vec<Mention> = decode(&driver.read(MENTIONS));
    let last: Vec<_> = mentions[4..].iter().map(|m| (m.asset.as_str(), m.revision, m.retracted)).collect();
    assert_eq!(last, [("BTC", 3, true), ("*", 3, true)]);
    assert_eq!(reasons(&mut driver), [], "a deletion is no dead letter");
    pipe(&mut driver, [post("a", GOOD)]);
    assert!(scored(&mut driver).is_empty(), "a source that lists it again does not bring it back");
}

#[test]
fn fingerprint_and_spam_score_go_with_the_post_and_its_mentions() {
    let mut driver = driver();
    let spam = "Huge bitcoin airdrop for the first people who join this and that: https://example.com/x";
    pipe(&mut driver, [post("a", GOOD), post("b", &format!("RT @x: {GOOD}!!")), post("c", spam)]);
    let posts = scored(&mut driver);
    assert_eq!(posts[0].fingerprint, posts[1].fingerprint);
    assert_ne!(posts[0].fingerprint, posts[2].fingerprint);
    assert_eq!((posts[0].spam_score, posts[2].spam_score), (Some(0.0), Some(0.5)));
    assert_eq!(posts[2].spam_reasons, ["promotion"]);
    let mentions: Vec<Mention> = decode(&driver.read(MENTIONS));
    assert_eq!(mentions.iter().map(|m| m.spam).collect::<Vec<_>>(), [false, false, false, false, true, true]);
    assert!(mentions[..2].iter().all(|mention| mention.fingerprint == posts[0].fingerprint));
}

#[test]
fn a_registry_that_is_away_is_waited_for_and_is_no_dead_letter() {
    let mut driver = driver();
    for value in ["the registry is away", "the options are wrong"] {
        let away = (Some(Bytes::from("a")), Some(Bytes::from(value)), at(NOW));
        let error = driver.pipe_batch(RAW, 0, [away]).unwrap_err();
        assert!(matches!(error, ProcessorError::Retry(_)), "{error}");
    }
}

#[test]
fn a_missing_dead_letter_queue_is_made_as_the_catalogue_has_it() {
    let made = AvroDeadLetters(LocalCodec).topic(RAW, 4);
    let queue = Topic::PostsRaw.configs().remove(1);
    assert_eq!((made.name, made.partitions, made.config), (queue.name, queue.partitions, queue.config));
}
