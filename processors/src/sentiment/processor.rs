//! The sentiment topology's processor: raw posts in, scored posts and mentions out.
//!
//! ```text
//! record ─▶ decode ─▶ check ─▶ seen before? ─▶ language, assets, sentiment (whole batch) ─▶ scored post, mentions
//!   │         │         │       │       │                 │
//!   │     undecodable  invalid, │     edited since:     invalid (the model fails on this text, but not on others)
//!   │      future_timestamp   skipped   scored again as the next revision
//!   └─ no value: the post is deleted ─▶ last revision, mentions taken back
//! ```

use std::collections::{BTreeSet, HashSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use vigie_authors::AuthorKey;
use vigie_clock::Timestamp;
use vigie_schemas::{
    DeadLetterReason, Lineage, Mention, RawPost, ScoredPost, Topic, WHOLE_MARKET, WINDOW, market_key, market_route,
};
use vigie_streams::{Outcome, Processor, ProcessorContext, ProcessorError, Punctuation, Record};

use super::SEEN;
use super::dedupe::{self, Sweep, Verdict};
use super::emitted::{self, Emitted};
use super::enrich::{enrich, retraction, tombstone};
use super::metrics::SentimentMetrics;
use super::only::Only;
use super::scoring::score_batch;
use crate::assets::post_text;
use crate::inference::{ModelInfo, SpamWeights};
use crate::service::record_codec::{RecordCodec, Rejection, decode, encode};
use crate::text::analysis::{Analyser, Analysis, Subject};
use crate::text::spam;

/// A post may be published this long after its arrival, by clocks that disagree.
pub(crate) const FUTURE_TOLERANCE: Duration = Duration::from_secs(3600);

/// What the topology does, apart from where it runs.
#[derive(Clone, Debug)]
pub struct SentimentSettings {
    /// The run that the scored posts belong to.
    pub run_id: String,
    /// Topic of raw posts.
    pub source: String,
    /// Topic of scored posts.
    pub scored: String,
    /// Topic of mentions.
    pub mentions: String,
    /// How long a post is known after it was last seen.
    pub dedupe_retention: Duration,
    /// From the window on that begins at this time or next after it, mentions of the whole market are spread over the partitions; `None`: they
    /// are all in one.
    pub spread_market_from: Option<Timestamp>,
    /// Only posts published in this range leave the topology; `None` takes all.
    pub published: Option<Range<Timestamp>>,
    /// Only these posts of them.
    pub only: Only,
    /// Whether rejected records become dead letters; a replay leaves that to the live run.
    pub dead_letters: bool,
    /// Key of the author pseudonyms, for posts that come without one.
    pub author_key: AuthorKey,
}

/// The model and the asset table, shared by all tasks of a process.
pub struct SharedAnalyser {
    analyser: Mutex<Analyser>,
    model: ModelInfo,
    assets_version: String,
    spam: Option<SpamWeights>,
}

impl SharedAnalyser {
    /// Makes an analyser shareable.
    pub fn new(analyser: Analyser) -> Self {
        let model = analyser.scorer().info().clone();
        let assets_version = analyser.assets().table().version().to_owned();
        let spam = analyser.scorer().spam().cloned();
        Self { analyser: Mutex::new(analyser), model, assets_version, spam }
    }

    /// The version of the asset table.
    pub fn assets_version(&self) -> &str {
        &self.assets_version
    }

    /// The model behind the sentiments.
    pub fn model(&self) -> &ModelInfo {
        &self.model
    }

    /// Those of `assets` that the table does not have.
    pub(crate) fn unknown_assets(&self, assets: &BTreeSet<String>) -> Vec<String> {
        let analyser = self.analyser.lock();
        assets.iter().filter(|id| analyser.assets().table().get(id).is_none()).cloned().collect()
    }

    /// Whether `only` takes the post.
    pub(crate) fn selects(&self, only: &Only, post: &RawPost) -> bool {
        only.takes(post, |assets| {
            let text = post_text(post.title.as_deref(), &post.text);
            self.analyser.lock().mentions_any(&text, |id| assets.contains(id))
        })
    }
}

/// The header of a restored record that holds its offset in the topic of raw posts: 8 bytes, big-endian.
pub(crate) const ORIGIN_OFFSET: &str = "vigie-origin-offset";

/// One task's processor.
pub struct SentimentProcessor<C> {
    settings: Arc<SentimentSettings>,
    analyser: Arc<SharedAnalyser>,
    codec: C,
    metrics: SentimentMetrics,
    sweep: Sweep,
}

/// A post that is to be scored, and the record it came in.
struct Candidate<'a> {
    record: &'a Record,
    post: RawPost,
    /// The revision that it replaces.
    before: Option<Emitted>,
}

/// What is known of a post's id.
enum Judged {
    New,
    Known,
    Edited(Emitted),
}

impl<C: RecordCodec> SentimentProcessor<C> {
    /// A processor; its state is in the task's store.
    pub fn new(
        settings: Arc<SentimentSettings>,
        analyser: Arc<SharedAnalyser>,
        codec: C,
        metrics: SentimentMetrics,
    ) -> Self {
        Self { settings, analyser, codec, metrics, sweep: Sweep::default() }
    }
}

impl<C: RecordCodec> Processor for SentimentProcessor<C> {
    fn process(&mut self, batch: &[Record], ctx: &mut ProcessorContext<'_>) -> Result<(), ProcessorError> {
        self.metrics.records.inc_by(batch.len() as u64);
        let mut candidates = Vec::with_capacity(batch.len());
        let mut in_batch = HashSet::new();
        for record in batch {
            if let (None, Some(key)) = (&record.value, &record.key) {
                self.flush(&mut candidates, &mut in_batch, ctx)?;
                self.delete(key, record, ctx)?;
                continue;
            }
            let mut post = match self.check(record)? {
                Ok(post) => post,
                Err(rejection) => {
                    self.reject(ctx, record, &rejection);
                    continue;
                }
            };
            ctx.observe_event_time(post.published_at);
            self.sweep.observe(record.timestamp);
            if in_batch.contains(&post.post_id) {
                if post.edited_at.is_none() {
                    self.metrics.duplicates.inc();
                    ctx.settle(Outcome::Duplicate, 1);
                    continue;
                }
                // It may be an edit of a post of this very batch.
                self.flush(&mut candidates, &mut in_batch, ctx)?;
            }
            let before = match self.judge(&post, record, ctx) {
                Judged::Known => {
                    self.metrics.duplicates.inc();
                    ctx.settle(Outcome::Duplicate, 1);
                    continue;
                }
                Judged::New => None,
                Judged::Edited(emitted) => {
                    post.published_at = emitted.published_at;
                    Some(emitted)
                }
            };
            let in_range = self.is_selected(post.published_at);
            // What no longer mentions an asset that was asked for is taken back.
            if in_range && (before.is_some() || self.analyser.selects(&self.settings.only, &post)) {
                in_batch.insert(post.post_id.clone());
                candidates.push(Candidate { record, post, before });
            } else {
                // An edit may be what mentions such an asset at last.
                if !in_range {
                    remember(&post.post_id, record, None, ctx);
                }
                ctx.settle(Outcome::Skipped, 1);
            }
        }
        self.flush(&mut candidates, &mut in_batch, ctx)
    }

    fn punctuate(&mut self, _: Punctuation, ctx: &mut ProcessorContext<'_>) -> Result<(), ProcessorError> {
        self.sweep.step(ctx.store(SEEN), self.settings.dedupe_retention);
        Ok(())
    }
}

impl<C: RecordCodec> SentimentProcessor<C> {
    /// The post in a record, if it can be processed.
    fn check(&self, record: &Record) -> Result<Result<RawPost, Rejection>, ProcessorError> {
        let post: RawPost = match decode(&self.codec, record)? {
            Ok(post) => post,
            Err(rejection) => return Ok(Err(rejection)),
        };
        Ok(check_post(&post, record).map(|()| post))
    }

    fn judge(&self, post: &RawPost, record: &Record, ctx: &mut ProcessorContext<'_>) -> Judged {
        let entry = ctx.store(SEEN).get(post.post_id.as_bytes());
        let last_seen = entry.as_deref().and_then(emitted::seen);
        let verdict = dedupe::judge(last_seen, record.timestamp, self.settings.dedupe_retention);
        let emitted = entry.as_deref().and_then(emitted::emitted);
        match (verdict, emitted) {
            (Verdict::New, _) => Judged::New,
            (_, Some(emitted)) if emitted.is_edited_by(post) => Judged::Edited(emitted),
            (Verdict::Renew, emitted) => {
                remember(&post.post_id, record, emitted.as_ref(), ctx);
                Judged::Known
            }
            (Verdict::Duplicate, _) => Judged::Known,
        }
    }

    fn is_selected(&self, published_at: Timestamp) -> bool {
        self.settings.published.as_ref().is_none_or(|range| range.contains(&published_at))
    }

    /// Scores and emits what has been gathered.
    fn flush(
        &self,
        candidates: &mut Vec<Candidate<'_>>,
        in_batch: &mut HashSet<String>,
        ctx: &mut ProcessorContext<'_>,
    ) -> Result<(), ProcessorError> {
        let analyses = self.analyse(candidates, ctx)?;
        for (candidate, analysis) in candidates.drain(..).zip(analyses) {
            match analysis {
                Ok(analysis) => self.emit(candidate, analysis, ctx)?,
                Err(rejection) => self.reject(ctx, candidate.record, &rejection),
            }
        }
        in_batch.clear();
        Ok(())
    }

    /// Takes back a post that its source deleted. One that was never emitted, or is gone already, needs nothing.
    fn delete(&self, key: &[u8], record: &Record, ctx: &mut ProcessorContext<'_>) -> Result<(), ProcessorError> {
        let emitted = ctx.store(SEEN).get(key).as_deref().and_then(emitted::emitted).filter(|emitted| !emitted.deleted);
        let (Some(emitted), Ok(post_id)) = (emitted, std::str::from_utf8(key)) else {
            ctx.settle(Outcome::Skipped, 1);
            return Ok(());
        };
        ctx.settle(Outcome::Retracted, 1);
        let lineage = self.lineage(record);
        let gone = tombstone(post_id, &emitted, record.timestamp, ctx.now(), lineage);
        for asset in emitted.assets.iter().map(String::as_str).chain([WHOLE_MARKET]) {
            let taken_back = retraction(asset, post_id, &emitted, gone.revision, &gone.lineage);
            self.forward_mention(taken_back, emitted.route, record, ctx)?;
        }
        let left = Emitted { revision: gone.revision, deleted: true, assets: Vec::new(), ..emitted };
        remember(post_id, record, Some(&left), ctx);
        self.metrics.revisions.with_label_values(&["deleted"]).inc();
        self.forward_scored(gone, record, ctx)
    }

    fn analyse(
        &self,
        candidates: &[Candidate<'_>],
        ctx: &ProcessorContext<'_>,
    ) -> Result<Vec<Result<Analysis, Rejection>>, ProcessorError> {
        if candidates.is_empty() {
            return Ok(Vec::new());
        }
        let texts: Vec<String> = candidates.iter().map(|c| post_text(c.post.title.as_deref(), &c.post.text)).collect();
        let declared = candidates.iter().map(|c| c.post.declared_language.as_deref());
        let texts: Vec<Subject<'_>> =
            texts.iter().zip(declared).map(|(text, declared_language)| Subject { text, declared_language }).collect();
        self.metrics.batch_texts.observe(texts.len() as f64);
        let started = ctx.now();
        let mut analyser = self.analyser.analyser.lock();
        let answers = score_batch(&mut analyser, &texts).map_err(ProcessorError::fatal)?;
        self.metrics.inference_seconds.observe(ctx.now().since(started).as_secs_f64());
        Ok(answers.into_iter().map(|answer| answer.map_err(Rejection::invalid)).collect())
    }

    fn emit(
        &self,
        candidate: Candidate<'_>,
        analysis: Analysis,
        ctx: &mut ProcessorContext<'_>,
    ) -> Result<(), ProcessorError> {
        let Candidate { record, post, before } = candidate;
        ctx.settle(Outcome::Counted, 1);
        let author_id = self.author_id(&post);
        let now = ctx.now();
        let (edited_at, revision) = (post.edited_at, before.as_ref().map_or(1, |emitted| emitted.revision + 1));
        let text = post_text(post.title.as_deref(), &post.text);
        let spam = spam::judge(&text, post.author.as_deref(), self.analyser.spam.as_ref());
        let (scored, mentions) = enrich(post, analysis, spam, author_id, now, revision, self.lineage(record));
        self.metrics.posts.with_label_values(&[scored.label.as_deref().unwrap_or("unscored")]).inc();
        self.metrics.mentions.inc_by(mentions.len() as u64 - 1);
        self.metrics.age_seconds.observe(now.since(scored.fetched_at).as_secs_f64());
        self.metrics.spam.inc_by(u64::from(mentions.last().is_some_and(|mention| mention.spam)));
        let route = self.route(&scored, before.as_ref());
        let emitted = Emitted {
            revision,
            edited_at,
            route,
            published_at: scored.published_at,
            deleted: false,
            sample: scored.sample,
            kind: scored.kind.clone(),
            source: scored.source.clone(),
            assets: scored.assets.iter().map(|mention| mention.asset.clone()).collect(),
        };
        // Only now: a post that goes to the dead letters must not be taken for a duplicate when it is sent again.
        remember(&scored.post_id, record, Some(&emitted), ctx);
        if let Some(before) = before {
            self.metrics.revisions.with_label_values(&["edited"]).inc();
            let gone = before
                .assets
                .iter()
                .map(String::as_str)
                .filter(|asset| !scored.assets.iter().any(|now| now.asset == *asset));
            // Another author, so another place.
            let moved = (before.route != route).then_some(WHOLE_MARKET);
            for asset in gone.chain(moved) {
                let taken_back = retraction(asset, &scored.post_id, &before, revision, &scored.lineage);
                self.forward_mention(taken_back, before.route, record, ctx)?;
            }
        }
        self.forward_scored(scored, record, ctx)?;
        mentions.into_iter().try_for_each(|mention| self.forward_mention(mention, route, record, ctx))
    }

    /// Where the post's mention of the whole market is counted. A post that is counted where all are stays there.
    fn route(&self, post: &ScoredPost, before: Option<&Emitted>) -> Option<u32> {
        let is_new_spread =
            || self.settings.spread_market_from.is_some_and(|from| post.published_at.window_start(WINDOW) >= from);
        let spread = before.map_or_else(is_new_spread, |before| before.route.is_some());
        spread.then(|| market_route(post.author_id.as_deref(), &post.post_id))
    }

    fn forward_scored(
        &self,
        scored: ScoredPost,
        record: &Record,
        ctx: &mut ProcessorContext<'_>,
    ) -> Result<(), ProcessorError> {
        let value = encode(&self.codec, &self.settings.scored, &scored)?;
        ctx.forward(&self.settings.scored, Some(Bytes::from(scored.post_id)), Some(value), record.timestamp);
        Ok(())
    }

    fn forward_mention(
        &self,
        mention: Mention,
        route: Option<u32>,
        record: &Record,
        ctx: &mut ProcessorContext<'_>,
    ) -> Result<(), ProcessorError> {
        // A replay has a topic of mentions for itself, but not a subject.
        let value = encode(&self.codec, Topic::PostsMentions.name(), &mention)?;
        let key = match route {
            Some(route) if mention.asset == WHOLE_MARKET => market_key(route),
            _ => mention.asset,
        };
        ctx.forward(&self.settings.mentions, Some(Bytes::from(key)), Some(value), record.timestamp);
        Ok(())
    }

    /// The producers' pseudonym; of records from before they made it, the same one from the handle.
    fn author_id(&self, post: &RawPost) -> Option<String> {
        let key = &self.settings.author_key;
        let from_handle = || key.pseudonym(&post.kind, &post.source, post.author.as_deref()?);
        post.author_id.clone().or_else(from_handle)
    }

    fn lineage(&self, record: &Record) -> Lineage {
        let ModelInfo { name, version, sha256, .. } = self.analyser.model.clone();
        let is_restored = self.settings.source != Topic::PostsRaw.name();
        let origin = record.header(ORIGIN_OFFSET).filter(|_| is_restored).and_then(|at| at.as_ref().try_into().ok());
        let offset = origin.map_or(record.offset, i64::from_be_bytes);
        Lineage {
            run_id: self.settings.run_id.clone(),
            model_name: name,
            model_version: version,
            model_sha256: sha256,
            assets_version: self.analyser.assets_version.clone(),
            input_topic: origin.map_or_else(|| record.topic.to_string(), |_| Topic::PostsRaw.name().to_owned()),
            input_partition: record.partition,
            first_offset: offset,
            last_offset: offset,
        }
    }

    fn reject(&self, ctx: &mut ProcessorContext<'_>, record: &Record, rejection: &Rejection) {
        self.metrics.dead_letters.with_label_values(&[rejection.reason.as_str()]).inc();
        if self.settings.dead_letters {
            ctx.dead_letter(record, rejection.reason.as_str(), &rejection.detail);
        } else {
            ctx.settle(Outcome::Skipped, 1);
        }
    }
}

fn remember(post_id: &str, record: &Record, emitted: Option<&Emitted>, ctx: &mut ProcessorContext<'_>) {
    ctx.store(SEEN).put(post_id, emitted::encode(record.timestamp, emitted));
}

/// What a decoded post must be to be processed.
pub(crate) fn check_post(post: &RawPost, record: &Record) -> Result<(), Rejection> {
    if post.post_id.is_empty() || record.key.as_deref() != Some(post.post_id.as_bytes()) {
        return Err(Rejection::invalid("the key is not the post_id, so duplicates may lie in other partitions"));
    }
    if post.published_at.to_jiff().is_none() {
        return Err(Rejection::invalid(format!("published_at {} is out of range", post.published_at)));
    }
    let arrived = post.fetched_at.min(record.timestamp);
    if post.published_at > arrived.saturating_add(FUTURE_TOLERANCE) {
        let detail = format!("published_at {} is later than its arrival at {arrived}", post.published_at);
        return Err(Rejection::new(DeadLetterReason::FutureTimestamp, detail));
    }
    Ok(())
}
