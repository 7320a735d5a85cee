//! The sentiment topology's processor: raw posts in, scored posts and mentions out.
//!
//! ```text
//! record ─▶ decode ─▶ check ─▶ seen before? ─▶ language, assets, sentiment (whole batch) ─▶ scored post, mentions
//!             │         │           │                     │
//!         undecodable  invalid,   skipped               invalid (the model fails on this text, but not on others)
//!                      future_timestamp
//! ```

use std::collections::HashSet;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use vigie_authors::AuthorKey;
use vigie_clock::Timestamp;
use vigie_schemas::{Lineage, RawPost, Topic};
use vigie_streams::{Processor, ProcessorContext, ProcessorError, Punctuation, Record};

use super::SEEN;
use super::dedupe::{self, Sweep, Verdict};
use super::enrich::enrich;
use super::metrics::SentimentMetrics;
use super::scoring::score_batch;
use crate::analysis::{Analyser, Analysis};
use crate::assets::post_text;
use crate::inference::ModelInfo;
use crate::record_codec::{RecordCodec, Rejection, decode, encode};

/// A post may be published this long after its arrival, by clocks that disagree.
const FUTURE_TOLERANCE: Duration = Duration::from_secs(3600);

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
    /// Only posts published in this range leave the topology; `None` takes all.
    pub published: Option<Range<Timestamp>>,
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
}

impl SharedAnalyser {
    /// Makes an analyser shareable.
    pub fn new(analyser: Analyser) -> Self {
        let model = analyser.scorer().info().clone();
        let assets_version = analyser.assets().table().version().to_owned();
        Self { analyser: Mutex::new(analyser), model, assets_version }
    }

    /// The model behind the sentiments.
    pub fn model(&self) -> &ModelInfo {
        &self.model
    }
}

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
            let post = match self.check(record)? {
                Ok(post) => post,
                Err(rejection) => {
                    self.reject(ctx, record, &rejection);
                    continue;
                }
            };
            ctx.observe_event_time(post.published_at);
            self.sweep.observe(record.timestamp);
            if self.is_duplicate(&post, record, ctx) || !in_batch.insert(post.post_id.clone()) {
                self.metrics.duplicates.inc();
            } else if self.is_selected(&post) {
                candidates.push(Candidate { record, post });
            } else {
                remember(&post, record, ctx);
            }
        }
        let analyses = self.analyse(&candidates, ctx)?;
        for (candidate, analysis) in candidates.into_iter().zip(analyses) {
            match analysis {
                Ok(analysis) => self.emit(candidate, analysis, ctx)?,
                Err(rejection) => self.reject(ctx, candidate.record, &rejection),
            }
        }
        Ok(())
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

    fn is_duplicate(&self, post: &RawPost, record: &Record, ctx: &mut ProcessorContext<'_>) -> bool {
        let last_seen = ctx.store(SEEN).get(post.post_id.as_bytes()).and_then(|value| dedupe::decode(&value));
        let verdict = dedupe::judge(last_seen, record.timestamp, self.settings.dedupe_retention);
        if verdict == Verdict::Renew {
            remember(post, record, ctx);
        }
        verdict != Verdict::New
    }

    fn is_selected(&self, post: &RawPost) -> bool {
        self.settings.published.as_ref().is_none_or(|range| range.contains(&post.published_at))
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
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        self.metrics.batch_texts.observe(texts.len() as f64);
        let started = ctx.now();
        let mut analyser = self.analyser.analyser.lock().unwrap_or_else(PoisonError::into_inner);
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
        let Candidate { record, post } = candidate;
        // Only now: a post that goes to the dead letters must not be taken for a duplicate when it is sent again.
        remember(&post, record, ctx);
        let author_id = self.author_id(&post);
        let now = ctx.now();
        let (scored, mentions) = enrich(post, analysis, author_id, now, self.lineage(record));
        self.metrics.posts.with_label_values(&[scored.label.as_deref().unwrap_or("unscored")]).inc();
        self.metrics.mentions.inc_by(mentions.len() as u64 - 1);
        self.metrics.age_seconds.observe(now.since(scored.fetched_at).as_secs_f64());
        let value = encode(&self.codec, &self.settings.scored, &scored)?;
        ctx.forward(&self.settings.scored, Some(Bytes::from(scored.post_id)), Some(value), record.timestamp);
        // A replay has a topic of mentions for itself, but not a subject.
        for mention in mentions {
            let value = encode(&self.codec, Topic::PostsMentions.name(), &mention)?;
            ctx.forward(&self.settings.mentions, Some(Bytes::from(mention.asset)), Some(value), record.timestamp);
        }
        Ok(())
    }

    /// The producers' pseudonym; of records of before they made it, the same one from the handle.
    fn author_id(&self, post: &RawPost) -> Option<String> {
        let key = &self.settings.author_key;
        let from_handle = || key.pseudonym(&post.kind, &post.source, post.author.as_deref()?);
        post.author_id.clone().or_else(from_handle)
    }

    fn lineage(&self, record: &Record) -> Lineage {
        let ModelInfo { name, version, sha256, .. } = self.analyser.model.clone();
        Lineage {
            run_id: self.settings.run_id.clone(),
            model_name: name,
            model_version: version,
            model_sha256: sha256,
            assets_version: self.analyser.assets_version.clone(),
            input_topic: record.topic.to_string(),
            input_partition: record.partition,
            first_offset: record.offset,
            last_offset: record.offset,
        }
    }

    fn reject(&self, ctx: &mut ProcessorContext<'_>, record: &Record, rejection: &Rejection) {
        self.metrics.dead_letters.with_label_values(&[rejection.reason]).inc();
        if self.settings.dead_letters {
            ctx.dead_letter(record, rejection.reason, &rejection.detail);
        }
    }
}

fn remember(post: &RawPost, record: &Record, ctx: &mut ProcessorContext<'_>) {
    let key = Bytes::copy_from_slice(post.post_id.as_bytes());
    ctx.store(SEEN).put(key, dedupe::encode(record.timestamp).to_vec());
}

/// What a decoded post must be to be processed.
fn check_post(post: &RawPost, record: &Record) -> Result<(), Rejection> {
    if post.post_id.is_empty() || record.key.as_deref() != Some(post.post_id.as_bytes()) {
        return Err(Rejection::invalid("the key is not the post_id, so duplicates may lie in other partitions"));
    }
    if post.published_at.to_jiff().is_none() {
        return Err(Rejection::invalid(format!("published_at {} is out of range", post.published_at)));
    }
    let arrived = post.fetched_at.min(record.timestamp);
    if post.published_at > arrived.saturating_add(FUTURE_TOLERANCE) {
        let detail = format!("published_at {} is later than its arrival at {arrived}", post.published_at);
        return Err(Rejection::new("future_timestamp", detail));
    }
    Ok(())
}
