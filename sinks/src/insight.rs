//! What a record says, decoded and checked.

use std::collections::BTreeMap;

use vigie_clock::Timestamp;
use vigie_kafka_client::Record;
use vigie_schemas::{
    Alert, AuthorKeyRecord, AvroRecord, Codec, DeadLetter, DeadLetterReason, FetchRecord, Forecast, Label, Lineage,
    Place, REDRIVE_ATTEMPT, REDRIVEN_TO, ScoredPost, TermInsight, Topic, TrendInsight,
};

/// A decoded record of one of the topics that sinks read.
#[derive(Clone, Debug)]
pub(crate) enum Insight {
    Post(Box<ScoredPost>),
    Trend(Box<TrendInsight>),
    Alert(Box<Alert>),
    Term(Box<TermInsight>),
    Fetch(Box<FetchRecord>),
    /// A data key of an author, or an erasure.
    AuthorKey(Box<AuthorKeyRecord>),
    DestroyedKey(Box<DestroyedKey>),
    DeadLetter(Box<DeadLetter>),
    Redriven(Redriven),
}

/// That the record of a dead letter was sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Redriven {
    pub(crate) letter: Place,
    pub(crate) at: Timestamp,
    /// Where the record is now.
    pub(crate) to: Option<Place>,
    /// How often it has been sent.
    pub(crate) attempt: Option<i32>,
}

/// A data key that is gone for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DestroyedKey {
    pub(crate) author_id: String,
    pub(crate) dek_id: String,
}

/// Why a value is no insight.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InsightError {
    /// The schema registry is not there: try again.
    #[error("{0}")]
    Retry(String),
    /// It never will be one: dead letter.
    #[error("{reason}: {detail}")]
    Dead { reason: DeadLetterReason, detail: String },
}

impl Insight {
    /// Decodes and checks a record of `topic`.
    pub(crate) async fn decode(
        codec: &Codec,
        topic: Topic,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Result<Self, InsightError> {
        let Some(value) = value else {
            if let Some(destroyed) = key.filter(|_| topic == Topic::AuthorsKeys).and_then(DestroyedKey::of) {
                return Ok(Self::DestroyedKey(Box::new(destroyed)));
            }
            return Err(InsightError::Dead {
                reason: DeadLetterReason::Undecodable,
                detail: "the record has no value".to_owned(),
            });
        };
        let insight = match topic {
            Topic::InsightsSentiment | Topic::ReplaysSentiment => Self::Post(read(codec, value).await?),
            Topic::InsightsTrends | Topic::ReplaysTrends => Self::Trend(read(codec, value).await?),
            Topic::InsightsAlerts | Topic::ReplaysAlerts => Self::Alert(read(codec, value).await?),
            Topic::InsightsTerms => Self::Term(read(codec, value).await?),
            Topic::SourcesFetches => Self::Fetch(read(codec, value).await?),
            Topic::AuthorsKeys => Self::AuthorKey(read(codec, value).await?),
            Topic::PostsRaw
            | Topic::PostsMentions
            | Topic::PostsTerms
            | Topic::TrendsMarket
            | Topic::SourcesCursors
            | Topic::Audit => {
                let detail = format!("{} is not an insight topic", topic.name());
                return Err(InsightError::Dead { reason: DeadLetterReason::Undecodable, detail });
            }
        };
        insight.checked().map_err(|detail| InsightError::Dead { reason: DeadLetterReason::Invalid, detail })
    }

    /// A record of a dead letter queue. One that is neither letter nor mark becomes a letter about itself: a queue has no queue of its own.
    pub(crate) async fn of_queue(
        codec: &Codec,
        record: &Record,
        stage: &str,
        now: Timestamp,
    ) -> Result<Self, InsightError> {
        let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok()?.parse().ok();
        let read = match (&record.value, record.key.as_deref().and_then(text)) {
            (None, Some(letter)) => return Ok(Self::Redriven(Redriven::of(letter, record))),
            (None, None) => Err(InsightError::Dead {
                reason: DeadLetterReason::Undecodable,
                detail: "no mark of a letter".to_owned(),
            }),
            (Some(value), _) => read::<DeadLetter>(codec, value).await,
        };
        let checked = read.and_then(|mut letter| match check_dead_letter(&mut letter) {
            Ok(()) => Ok(letter),
            Err(detail) => Err(InsightError::Dead { reason: DeadLetterReason::Invalid, detail }),
        });
        match checked {
            Err(InsightError::Dead { reason, detail }) => {
                let letter = letter(record, stage, reason, detail.replace('\0', ""), now);
                Ok(Self::DeadLetter(Box::new(letter)))
            }
            checked => checked.map(Self::DeadLetter),
        }
    }

    /// Makes sure that both stores can hold it: a record that one of them refused would block its partition.
    fn checked(mut self) -> Result<Self, String> {
        match &mut self {
            Self::Post(post) => check_post(post)?,
            Self::Trend(trend) => check_trend(trend)?,
            Self::Alert(alert) => check_alert(alert)?,
            Self::Term(term) => check_term(term)?,
            Self::Fetch(fetch) => check_fetch(fetch)?,
            Self::AuthorKey(key) => check_author_key(key)?,
            Self::DestroyedKey(_) | Self::DeadLetter(_) | Self::Redriven(_) => {}
        }
        Ok(self)
    }
}

impl Redriven {
    fn of(letter: Place, mark: &Record) -> Self {
        let header = |name| std::str::from_utf8(mark.header(name)?).ok();
        let to = header(REDRIVEN_TO).and_then(|to| to.parse().ok());
        let attempt = header(REDRIVE_ATTEMPT).and_then(|attempt| attempt.parse().ok());
        Self { letter, at: mark.timestamp, to, attempt }
    }
}

impl DestroyedKey {
    /// What a tombstone under this key destroys.
    fn of(key: &[u8]) -> Option<Self> {
        let (author_id, dek_id) = AuthorKeyRecord::parse_key(key)?;
        let dek_id = dek_id?;
        check_id("author_id", author_id).and_then(|()| check_id("dek_id", dek_id)).ok()?;
        Some(Self { author_id: author_id.to_owned(), dek_id: dek_id.to_owned() })
    }
}

/// The dead letter of a record that a stage gives up.
pub(crate) fn letter(
    record: &Record,
    stage: &str,
    reason: DeadLetterReason,
    detail: String,
    now: Timestamp,
) -> DeadLetter {
    DeadLetter {
        topic: record.topic.to_string(),
        partition: record.partition,
        offset: record.offset,
        timestamp: record.timestamp,
        key: record.key.as_ref().map(|key| key.to_vec()),
        value: record.value.as_ref().map(|value| value.to_vec()),
        stage: stage.to_owned(),
        reason: reason.to_string(),
        detail,
        failed_at: now,
        version: Some(env!("CARGO_PKG_VERSION").to_owned()),
    }
    .fitting()
}

async fn read<T: AvroRecord>(codec: &Codec, value: &[u8]) -> Result<Box<T>, InsightError> {
    codec.decode::<T>(value).await.map(Box::new).map_err(|e| match e.is_of_record() {
        true => InsightError::Dead { reason: DeadLetterReason::Undecodable, detail: e.to_string() },
        false => InsightError::Retry(e.to_string()),
    })
}

fn check_label(label: Option<&str>) -> Result<(), String> {
    let checked = label.map(str::parse::<Label>).transpose();
    checked.map(drop).map_err(|e| format!("label is {e}"))
}

fn check_post(post: &mut ScoredPost) -> Result<(), String> {
    check_id("post_id", &post.post_id)?;
    check_id("source", &post.source)?;
    check_id("kind", &post.kind)?;
    for text in [&mut post.url, &mut post.author_id, &mut post.title, &mut post.language, &mut post.label] {
        clean_option(text);
    }
    clean_option(&mut post.unscored_reason);
    clean(&mut post.excerpt);
    post.spam_reasons.iter_mut().for_each(clean);
    post.deleted_at.map_or(Ok(()), |time| check_time("deleted_at", time))?;
    for mention in &mut post.assets {
        check_id("asset", &mention.asset)?;
        clean(&mut mention.evidence);
        check_number("score of an asset", mention.score)?;
        check_label(mention.label.as_deref())?;
    }
    for (name, time) in
        [("published_at", post.published_at), ("fetched_at", post.fetched_at), ("scored_at", post.scored_at)]
    {
        check_time(name, time)?;
    }
    for (name, number) in [
        ("score", post.score),
        ("p_negative", post.p_negative),
        ("p_neutral", post.p_neutral),
        ("p_positive", post.p_positive),
        ("spam_score", post.spam_score),
    ] {
        check_number(name, number)?;
    }
    check_label(post.label.as_deref())?;
    check_lineage(&post.lineage)
}

fn check_trend(trend: &mut TrendInsight) -> Result<(), String> {
    check_id("asset", &trend.asset)?;
    check_time("window_start", trend.window_start)?;
    check_time("window_end", trend.window_end)?;
    check_time("emitted_at", trend.emitted_at)?;
    if trend.window_end <= trend.window_start {
        return Err(format!("window_end {} is not after window_start {}", trend.window_end, trend.window_start));
    }
    check_count(
        "seconds of the window",
        trend.window_end.as_millis().saturating_sub(trend.window_start.as_millis()) / 1000,
    )?;
    for (name, count) in [
        ("posts", trend.posts),
        ("unique_authors", trend.unique_authors),
        ("negative", trend.negative),
        ("neutral", trend.neutral),
        ("positive", trend.positive),
        ("unique_posts", trend.unique_posts.unwrap_or(0)),
        ("spam_posts", trend.spam_posts.unwrap_or(0)),
    ] {
        check_count(name, count)?;
    }
    check_number("mean_score", trend.mean_score)?;
    check_number("anomaly_score", trend.anomaly_score)?;
    check_number("tail_probability", trend.tail_probability)?;
    check_number("expected_posts", trend.expected_posts)?;
    check_sources(&trend.sources)?;
    check_lineage(&trend.lineage)?;
    clean_option(&mut trend.no_forecast_reason);
    trend.forecast.as_ref().map_or(Ok(()), check_forecast)
}

fn check_forecast(forecast: &Forecast) -> Result<(), String> {
    for (name, number) in [
        ("next_window_p10", forecast.next_window_p10),
        ("next_window_p50", forecast.next_window_p50),
        ("next_window_p90", forecast.next_window_p90),
        ("next_hour_p10", forecast.next_hour_p10),
        ("next_hour_p50", forecast.next_hour_p50),
        ("next_hour_p90", forecast.next_hour_p90),
        ("doubling_probability", forecast.doubling_probability),
    ] {
        check_number(name, Some(number))?;
    }
    for (name, text) in [
        ("forecast model_name", &forecast.model_name),
        ("forecast model_version", &forecast.model_version),
        ("forecast model_sha256", &forecast.model_sha256),
    ] {
        check_plain(name, text)?;
    }
    Ok(())
}

fn check_alert(alert: &Alert) -> Result<(), String> {
    check_id("alert_id", &alert.alert_id)?;
    check_id("asset", &alert.asset)?;
    check_id("kind", &alert.kind)?;
    check_id("run_id", &alert.run_id)?;
    check_time("window_start", alert.window_start)?;
    check_time("window_end", alert.window_end)?;
    check_time("raised_at", alert.raised_at)?;
    check_number("value", Some(alert.value))?;
    check_number("expected", alert.expected)?;
    check_number("anomaly_score", alert.anomaly_score)
}

fn check_term(term: &TermInsight) -> Result<(), String> {
    let ids = [("term", &term.term), ("kind", &term.kind), ("run_id", &term.run_id)];
    let assets = term.asset.iter().chain(&term.assets).map(|asset| ("asset", asset));
    ids.into_iter().chain(assets).try_for_each(|(name, id)| check_id(name, id))?;
    for (name, time) in [
        ("window_start", term.window_start),
        ("window_end", term.window_end),
        ("first_seen", term.first_seen),
        ("emitted_at", term.emitted_at),
    ] {
        check_time(name, time)?;
    }
    check_count("seconds of the window", (term.window_end.as_millis() - term.window_start.as_millis()) / 1000)?;
    for (name, count) in [("authors", term.authors), ("posts", term.posts), ("all_authors", term.all_authors)] {
        check_count(name, count)?;
    }
    check_number("significance", Some(term.significance))?;
    check_number("expected_authors", Some(term.expected_authors))?;
    term.examples.iter().try_for_each(|example| {
        // The table has one a line.
        let is_line = !example.post_id.contains('\n');
        if is_line { check_id("post_id", &example.post_id) } else { Err("post_id of an example has two lines".into()) }
    })
}

fn check_fetch(fetch: &mut FetchRecord) -> Result<(), String> {
    check_id("source", &fetch.source)?;
    check_id("kind", &fetch.kind)?;
    check_id("decision", &fetch.decision)?;
    clean(&mut fetch.url);
    clean_option(&mut fetch.reason);
    check_time("at", fetch.at)?;
    check_time("next_at", fetch.next_at)
}

fn check_author_key(key: &AuthorKeyRecord) -> Result<(), String> {
    check_id("author_id", &key.author_id)?;
    check_time("at", key.at)?;
    match (&key.dek_id, &key.kek_id, &key.wrapped_key) {
        (Some(dek_id), Some(kek_id), Some(_)) => check_id("dek_id", dek_id).and_then(|()| check_id("kek_id", kek_id)),
        (None, None, None) => Ok(()),
        _ => Err("dek_id, kek_id and wrapped_key are there only in part, expected all or none".to_owned()),
    }
}

fn check_dead_letter(letter: &mut DeadLetter) -> Result<(), String> {
    [&mut letter.stage, &mut letter.reason, &mut letter.detail].into_iter().for_each(clean);
    clean_option(&mut letter.version);
    check_time("timestamp", letter.timestamp)?;
    check_time("failed_at", letter.failed_at)
}

fn check_lineage(lineage: &Lineage) -> Result<(), String> {
    check_id("run_id", &lineage.run_id)?;
    for (name, text) in [
        ("model_name", &lineage.model_name),
        ("model_version", &lineage.model_version),
        ("model_sha256", &lineage.model_sha256),
        ("assets_version", &lineage.assets_version),
        ("input_topic", &lineage.input_topic),
    ] {
        check_plain(name, text)?;
    }
    Ok(())
}

/// PostgreSQL holds it in 32 bits.
fn check_count(name: &str, count: i64) -> Result<(), String> {
    if (0..=i64::from(i32::MAX)).contains(&count) {
        return Ok(());
    }
    Err(format!("{name} is {count}, expected 0 to {}", i32::MAX))
}

fn check_plain(name: &str, text: &str) -> Result<(), String> {
    if text.contains('\0') {
        return Err(format!("{name} {text:?} holds a zero character"));
    }
    Ok(())
}

fn check_sources(sources: &BTreeMap<String, i64>) -> Result<(), String> {
    sources.keys().try_for_each(|source| check_id("source", source))
}

/// PostgreSQL indexes up to 2,704 bytes of a key, and keeps no zero character in a text.
fn check_id(name: &str, id: &str) -> Result<(), String> {
    const LONGEST: usize = 512;
    if id.is_empty() || id.len() > LONGEST {
        return Err(format!("{name} has {} bytes, expected 1 to {LONGEST}", id.len()));
    }
    check_plain(name, id)
}

/// The years that PostgreSQL, RFC 3339 and jiff all know.
fn check_time(name: &str, time: Timestamp) -> Result<(), String> {
    const YEAR_1: i64 = -62_135_596_800_000;
    const YEAR_9999: i64 = 253_370_764_800_000;
    if (YEAR_1..YEAR_9999).contains(&time.as_millis()) {
        return Ok(());
    }
    Err(format!("{name} is {} ms since 1970, expected a time of the years 1 to 9998", time.as_millis()))
}

fn check_number(name: &str, number: Option<f64>) -> Result<(), String> {
    match number {
        Some(number) if !number.is_finite() => Err(format!("{name} is {number}, expected a finite number")),
        // PostgreSQL holds most of them in 32 bits.
        Some(number) if number.abs() > f64::from(f32::MAX) => {
            Err(format!("{name} is {number}, expected at most {}", f32::MAX))
        }
        _ => Ok(()),
    }
}

/// As HTML parsers do: a zero character in prose is no reason to refuse it.
fn clean(text: &mut String) {
    if text.contains('\0') {
        *text = text.replace('\0', "\u{fffd}");
    }
}

fn clean_option(text: &mut Option<String>) {
    if let Some(text) = text {
        clean(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{post, trend};

    fn check(insight: Insight) -> Result<Insight, String> {
        insight.checked()
    }

    #[test]
    fn zero_characters_in_prose_are_replaced_and_in_ids_refused() {
        let mut prose = post("p1", 0);
        prose.title = Some("a\0b".to_owned());
        let Insight::Post(cleaned) = check(Insight::Post(Box::new(prose))).unwrap() else { panic!("not a post") };
        assert_eq!(cleaned.title.as_deref(), Some("a\u{fffd}b"));
        let error = check(Insight::Post(Box::new(post("p\0", 0)))).unwrap_err();
        assert_eq!(error, "post_id \"p\\0\" holds a zero character");
    }

    #[test]
    fn an_author_key_is_whole_or_an_erasure_and_its_tombstone_names_it() {
        let whole = AuthorKeyRecord {
            author_id: "a1".to_owned(),
            dek_id: Some("d1".to_owned()),
            kek_id: Some("1".to_owned()),
            wrapped_key: Some(vec![1]),
            at: Timestamp::from_millis(0),
        };
        let checked = |record: AuthorKeyRecord| check(Insight::AuthorKey(Box::new(record)));
        assert!(checked(whole.clone()).is_ok());
        assert!(checked(AuthorKeyRecord::erasure("a1".to_owned(), whole.at)).is_ok());
        assert!(checked(AuthorKeyRecord { kek_id: None, ..whole.clone() }).unwrap_err().contains("only in part"));
        let gone = DestroyedKey { author_id: "a1".to_owned(), dek_id: "d1".to_owned() };
        assert_eq!(DestroyedKey::of(whole.key().as_bytes()), Some(gone));
        assert_eq!(DestroyedKey::of(b"a1/erased"), None);
        assert_eq!(DestroyedKey::of(b"no key"), None);
    }

    #[test]
    fn what_a_store_could_not_hold_is_refused_with_the_value() {
        let mut late = post("p1", 0);
        late.published_at = Timestamp::from_millis(i64::MAX);
        assert!(
            check(Insight::Post(Box::new(late))).unwrap_err().starts_with("published_at is 9223372036854775807 ms")
        );
        let mut odd = trend("BTC", 0, 1, 3);
        odd.mean_score = Some(f64::NAN);
        let error = check(Insight::Trend(Box::new(odd))).unwrap_err();
        assert_eq!(error, "mean_score is NaN, expected a finite number");
        let long = check(Insight::Post(Box::new(post(&"x".repeat(513), 0)))).unwrap_err();
        assert_eq!(long, "post_id has 513 bytes, expected 1 to 512");
    }
}
