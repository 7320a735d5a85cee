//! What the windows should hold, recounted from the raw posts: the other side of an audit.
//!
//! ```text
//! posts.raw.v1 ─▶ check ─▶ known id? ─▶ assets, sentiment ─▶ versions of each post ─▶ windows
//!                 (as the sentiment topology)                 (plain maps, counted at the end)
//! ```
//!
//! Of the pipeline it uses what is a function of a record: what is valid, what is a duplicate, what a text says. Nothing is taken from the
//! topologies' state, from mentions or from offsets that were committed, so what a torn transaction lost is missed here.
//!
//! **Late posts.** A post that comes after its window was closed is not counted, by design. When that was cannot be derived from the raw posts
//! alone: it depends on which partition was read first. What can be said is that a window was open as long as nothing that was published
//! [`RecountSettings::grace`] after its end had arrived. Posts that came later than that *may* be late; the counts of a final window are then
//! known within [`Window::bounds`]. A window that is not final has left nothing out.
//!
//! **Copies** of a post are those of the 24 hours after it, so the posts of the day before the range are read for their texts and assets, too,
//! without the model. Where one of these may be late, unique posts are not known.

mod tally;
mod unique;

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
pub use tally::{Counts, Window};
use vigie_authors::AuthorKey;
use vigie_clock::Timestamp;
use vigie_kafka_client::Record;
use vigie_schemas::{CodecError, RawPost, WHOLE_MARKET, WINDOW};

use crate::assets::{AssetMatcher, post_text};
use crate::inference::{Label, ModelError, ModelInfo, Passage, Probabilities, Scorer, Sentiment};
use crate::sentiment::dedupe::{self, Verdict};
use crate::sentiment::scoring::score_batch;
use crate::sentiment::{FUTURE_TOLERANCE, check_post};
use crate::service::record_codec::RecordCodec;
use crate::text::analysis::{Analyser, Subject};
use crate::text::fingerprint::Fingerprint;
use crate::text::spam;
use crate::trends::copies::COPIED_WITHIN;

/// Posts that are scored together.
const BATCH: usize = 64;
/// Posts from before the producers made pseudonyms have handles. Any key distinguishes authors.
const KEY: &str = "only to distinguish authors";

/// Which windows are counted, and how the pipeline was set that they are held against.
#[derive(Clone, Debug)]
pub struct RecountSettings {
    /// Windows that start in this range.
    pub windows: Range<Timestamp>,
    /// How long windows waited for late posts, at least.
    pub grace: Duration,
    /// How long a post is known after it was last seen.
    pub dedupe_retention: Duration,
    /// How long the pipeline took from a post's arrival to its count, at most. Decides which posts may have been late.
    pub max_lag: Duration,
}

impl RecountSettings {
    /// Records that arrived before this have no part in the windows, not even as the first of two copies.
    pub fn reads_from(&self) -> Timestamp {
        self.earliest_arrival(self.windows.start).saturating_sub(self.dedupe_retention.max(COPIED_WITHIN))
    }

    /// Nothing that is in the window at `start` arrived before this.
    pub fn earliest_arrival(&self, start: Timestamp) -> Timestamp {
        start.saturating_sub(FUTURE_TOLERANCE)
    }

    /// Nothing of which a post of the window at `start` can be a copy arrived before this.
    pub fn earliest_original(&self, start: Timestamp) -> Timestamp {
        self.earliest_arrival(start).saturating_sub(COPIED_WITHIN)
    }
}

/// Why a recount cannot go on. Bad records are counted, not errors.
#[derive(Debug, thiserror::Error)]
pub enum RecountError {
    /// The schema registry is away.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The model fails on harmless texts too.
    #[error(transparent)]
    Model(#[from] ModelError),
}

/// What was read, besides what is in the windows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// Records.
    pub records: u64,
    /// Records that repeated a post.
    pub duplicates: u64,
    /// Records that the sentiment topology puts aside.
    pub dead_letters: u64,
}

/// Takes the records of `posts.raw.v1`, those of each partition in their order, and counts.
pub struct Recount<C> {
    settings: RecountSettings,
    codec: C,
    analyser: Analyser,
    author_key: AuthorKey,
    read: Read,
    posts: HashMap<Bytes, Post>,
    pending: Vec<Pending>,
    names: Names,
    /// By partition: the arrivals at which a later window was published than any before, and the end of that window.
    reached: BTreeMap<i32, Vec<(Timestamp, Timestamp)>>,
}

/// What is known of a post id.
struct Post {
    last_seen: Timestamp,
    published_at: Timestamp,
    edited_at: Option<Timestamp>,
    deleted: bool,
    /// What it said in the range, one after the other; mostly one.
    versions: Vec<Version>,
}

/// Partition and offset of a record.
pub type Origin = (i32, i64);

/// What a post said from `arrived` on.
struct Version {
    origin: Origin,
    arrived: Timestamp,
    published_at: Timestamp,
    /// `None`: it was deleted.
    said: Option<Said>,
}

/// What counts of a post. Names are numbers of [`Names`].
struct Said {
    /// Without the whole market, each with the mood towards it.
    assets: Box<[(u32, Mood)]>,
    author: Option<u32>,
    source: u32,
    mood: Mood,
    fingerprint: Option<Fingerprint>,
    /// Not known of posts before the range.
    spam: bool,
}

impl Version {
    fn window(&self) -> Timestamp {
        self.published_at.window_start(WINDOW)
    }
}

/// With the score in millionths.
type Mood = Option<(Label, i64)>;

impl Said {
    /// What counts for an asset that it mentions, or for the whole market.
    fn mood_of(&self, asset: Option<u32>) -> Option<Mood> {
        let Some(asset) = asset else { return Some(self.mood) };
        self.assets.iter().find(|(own, _)| *own == asset).map(|(_, mood)| *mood)
    }
}

/// A post that is still to be analysed.
struct Pending {
    id: Bytes,
    post: RawPost,
    text: String,
    arrived: Timestamp,
    origin: Origin,
}

/// Texts that occur again and again, as numbers.
#[derive(Default)]
struct Names {
    numbers: HashMap<String, u32>,
    texts: Vec<String>,
}

impl Names {
    fn number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        self.numbers.insert(text.to_owned(), number);
        self.texts.push(text.to_owned());
        number
    }
}

impl<C: RecordCodec> Recount<C> {
    /// Has read nothing. `analyser` is made of the model and the assets that the topology has, or by [`without_sentiment`].
    pub fn new(settings: RecountSettings, codec: C, analyser: Analyser) -> Self {
        Self {
            settings,
            codec,
            analyser,
            author_key: KEY.parse().expect("it is long enough"),
            read: Read::default(),
            posts: HashMap::new(),
            pending: Vec::with_capacity(BATCH),
            names: Names::default(),
            reached: BTreeMap::new(),
        }
    }

    /// What was read so far.
    pub fn read(&self) -> Read {
        self.read
    }

    /// Takes the next record.
    ///
    /// # Errors
    /// [`RecountError`].
    pub fn take(&mut self, record: &Record) -> Result<(), RecountError> {
        self.read.records += 1;
        let id = record.key.clone().unwrap_or_default();
        if self.pending.iter().any(|pending| pending.id == id) {
            self.settle()?;
        }
        let Some(value) = &record.value else {
            self.delete(&id, record);
            return Ok(());
        };
        let Some(post) = self.check(record, value)? else {
            self.read.dead_letters += 1;
            return Ok(());
        };
        self.observe(record, post.published_at);
        let Some(post) = self.judge(&id, post, record.timestamp) else {
            self.read.duplicates += 1;
            return Ok(());
        };
        if self.is_in_range(post.published_at) {
            let text = post_text(post.title.as_deref(), &post.text);
            let origin = (record.partition, record.offset);
            self.pending.push(Pending { id, post, text, arrived: record.timestamp, origin });
            if self.pending.len() == BATCH {
                self.settle()?;
            }
        } else if self.is_day_before(post.published_at) {
            let text = post_text(post.title.as_deref(), &post.text);
            let subject = Subject { text: &text, declared_language: post.declared_language.as_deref() };
            let assets = self.analyser.assets_of(&subject);
            let said = self.said(&post, &text, assets.into_iter().map(|found| (found.asset, None)), None, false);
            self.note(id, &post, record.timestamp, (record.partition, record.offset), said);
        } else {
            self.remember(id, &post, record.timestamp);
        }
        Ok(())
    }

    /// The windows as they are after the records so far, by asset (`*`: all posts) and start.
    ///
    /// # Errors
    /// [`RecountError`].
    pub fn windows(&mut self) -> Result<BTreeMap<(String, Timestamp), Window>, RecountError> {
        self.buckets(WINDOW)
    }

    /// As [`Recount::windows`], of a multiple of their length: authors are counted once in each.
    ///
    /// # Errors
    /// [`RecountError`].
    pub fn buckets(&mut self, length: Duration) -> Result<BTreeMap<(String, Timestamp), Window>, RecountError> {
        self.settle()?;
        let is_open = |version: &Version| self.may_be_late(version);
        let bucket = |start: Timestamp| start.window_start(length);
        Ok(tally::windows(&self.posts, &self.names, &self.settings.windows, is_open, bucket))
    }

    /// The posts that the windows of an asset (`*`: all posts) count, those too that may have been late, by where their record is.
    ///
    /// # Errors
    /// [`RecountError`].
    pub fn behind(&mut self, asset: &str) -> Result<BTreeMap<Origin, String>, RecountError> {
        self.settle()?;
        let number = self.names.numbers.get(asset).copied();
        let is_about =
            |said: &Said| asset == WHOLE_MARKET || said.assets.iter().any(|(mentioned, _)| Some(*mentioned) == number);
        let mut posts = BTreeMap::new();
        for (id, post) in &self.posts {
            for versions in post.versions.chunk_by(|a, b| a.window() == b.window()) {
                let counts = |version: &&Version| self.is_in_range(version.published_at);
                let last = versions.last().filter(counts).filter(|version| version.said.as_ref().is_some_and(is_about));
                posts.extend(last.map(|version| (version.origin, String::from_utf8_lossy(id).into_owned())));
            }
        }
        Ok(posts)
    }

    /// `None`: a dead letter.
    fn check(&self, record: &Record, value: &[u8]) -> Result<Option<RawPost>, RecountError> {
        match self.codec.decode(value) {
            Ok(post) => Ok(Some(post).filter(|post| check_post(post, record).is_ok())),
            Err(error) if !error.is_of_record() => Err(error.into()),
            Err(_) => Ok(None),
        }
    }

    /// The post as it counts, at the time of its first version; `None`: it repeats what is known.
    fn judge(&mut self, id: &Bytes, post: RawPost, arrived: Timestamp) -> Option<RawPost> {
        let Some(known) = self.posts.get_mut(id) else { return Some(post) };
        match dedupe::judge(Some(known.last_seen), arrived, self.settings.dedupe_retention) {
            Verdict::New => Some(post),
            _ if post.edited_at > known.edited_at => Some(RawPost { published_at: known.published_at, ..post }),
            Verdict::Renew => {
                known.last_seen = arrived;
                None
            }
            Verdict::Duplicate => None,
        }
    }

    fn is_in_range(&self, published_at: Timestamp) -> bool {
        self.settings.windows.contains(&published_at.window_start(WINDOW))
    }

    fn is_day_before(&self, published_at: Timestamp) -> bool {
        published_at < self.settings.windows.end
            && published_at.saturating_add(COPIED_WITHIN) >= self.settings.windows.start
    }

    fn observe(&mut self, record: &Record, published_at: Timestamp) {
        let end = published_at.window_start(WINDOW).saturating_add(WINDOW);
        let steps = self.reached.entry(record.partition).or_default();
        let (arrived, highest) = steps.last().copied().unwrap_or((Timestamp::MIN, Timestamp::MIN));
        if end > highest {
            steps.push((record.timestamp.max(arrived), end));
        }
    }

    /// Whether the version's window may have been closed before it was counted.
    fn may_be_late(&self, version: &Version) -> bool {
        let counted_by = version.arrived.saturating_add(self.settings.max_lag);
        let open_until = version.window().saturating_add(WINDOW).saturating_add(self.settings.grace);
        self.reached.values().any(|steps| {
            let before = steps.partition_point(|(arrived, _)| *arrived <= counted_by);
            before > 0 && steps[before - 1].1 >= open_until
        })
    }

    fn delete(&mut self, id: &Bytes, record: &Record) {
        let Some(known) = self.posts.get_mut(id).filter(|known| !known.deleted) else { return };
        if record.timestamp.since(known.last_seen) > self.settings.dedupe_retention {
            return;
        }
        (known.deleted, known.last_seen) = (true, record.timestamp);
        if let Some(last) = known.versions.last() {
            let published_at = last.published_at;
            let origin = (record.partition, record.offset);
            known.versions.push(Version { origin, arrived: record.timestamp, published_at, said: None });
        }
    }

    fn remember(&mut self, id: Bytes, post: &RawPost, arrived: Timestamp) -> &mut Post {
        let known = self.posts.entry(id).or_insert_with(|| Post {
            last_seen: arrived,
            published_at: post.published_at,
            edited_at: None,
            deleted: false,
            versions: Vec::new(),
        });
        (known.last_seen, known.published_at) = (arrived, post.published_at);
        (known.edited_at, known.deleted) = (post.edited_at, false);
        known
    }

    /// Analyses what is pending. A post on which the model fails is a dead letter, and not known.
    fn settle(&mut self) -> Result<(), RecountError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let pending = std::mem::replace(&mut self.pending, Vec::with_capacity(BATCH));
        let texts: Vec<Subject<'_>> = pending
            .iter()
            .map(|Pending { text, post, .. }| Subject { text, declared_language: post.declared_language.as_deref() })
            .collect();
        let weights = self.analyser.scorer().spam().cloned();
        let analyses = score_batch(&mut self.analyser, &texts)?;
        for (Pending { id, post, text, arrived, origin }, analysis) in pending.into_iter().zip(analyses) {
            let Ok(analysis) = analysis else {
                self.read.dead_letters += 1;
                continue;
            };
            let mood = |said: Option<Sentiment>| said.map(|said| (said.label, (said.score * 1e6).round() as i64));
            let assets = analysis.assets.iter().map(|found| (found.asset.clone(), mood(analysis.sentiment_of(found))));
            let spam = spam::judge(&text, post.author.as_deref(), weights.as_ref()).is_spam();
            let said = self.said(&post, &text, assets, mood(analysis.sentiment), spam);
            self.note(id, &post, arrived, origin, said);
        }
        Ok(())
    }

    fn said(
        &mut self,
        post: &RawPost,
        text: &str,
        assets: impl Iterator<Item = (String, Mood)>,
        mood: Mood,
        spam: bool,
    ) -> Said {
        let handle = || self.author_key.pseudonym(&post.kind, &post.source, post.author.as_deref()?);
        let author = post.author_id.clone().or_else(handle);
        Said {
            assets: assets.map(|(asset, mood)| (self.names.number(&asset), mood)).collect(),
            author: author.map(|author| self.names.number(&author)),
            source: self.names.number(&post.source),
            mood,
            fingerprint: Fingerprint::of(text),
            spam,
        }
    }

    fn note(&mut self, id: Bytes, post: &RawPost, arrived: Timestamp, origin: Origin, said: Said) {
        let is_edit = self.posts.get(&id).is_some_and(|known| post.edited_at > known.edited_at);
        let published_at = post.published_at;
        let known = self.remember(id, post, arrived);
        let window = published_at.window_start(WINDOW);
        // A post that was forgotten and comes again counts where it is not counted already.
        let counted = known.versions.last().is_some_and(|last| last.window() == window && last.said.is_some());
        if is_edit || !counted {
            known.versions.push(Version { origin, arrived, published_at, said: Some(said) });
        }
    }
}

/// An analyser that runs no model: labels and scores mean nothing, posts, authors and sources are counted right, and much faster.
pub fn without_sentiment(matcher: AssetMatcher) -> Analyser {
    let info = ModelInfo { name: String::new(), version: String::new(), sha256: String::new(), languages: Vec::new() };
    Analyser::new(Box::new(Silent(info)), matcher)
}

/// Knows no language, so nothing is left to be scored but rows of emoji.
struct Silent(ModelInfo);

impl Scorer for Silent {
    fn info(&self) -> &ModelInfo {
        &self.0
    }

    fn score(&mut self, passages: &[Passage<'_>]) -> Result<Vec<Sentiment>, ModelError> {
        let neutral = Probabilities { negative: 0.0, neutral: 1.0, positive: 0.0 };
        Ok(passages.iter().map(|_| Sentiment::from_probabilities(neutral, false)).collect())
    }
}
