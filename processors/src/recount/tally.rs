//! From the versions of posts to windows.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Range;

use bytes::Bytes;
use vigie_clock::Timestamp;
use vigie_schemas::WHOLE_MARKET;

use super::unique::{Mentions, Unique};
use super::{Mood, Names, Post, Said, Version};

/// What a window counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counts {
    /// Posts.
    pub posts: i64,
    /// Distinct known authors.
    pub unique_authors: i64,
    /// Posts labelled negative, neutral, positive.
    pub labels: [i64; 3],
    /// Mean score of the labelled posts; `None` without any.
    pub mean_score: Option<f64>,
    /// Posts by source.
    pub sources: BTreeMap<String, i64>,
    /// Posts that are neither spam nor copies; `None` where it is not known.
    pub unique_posts: Option<i64>,
    /// Posts that are spam; `None` where it is not known.
    pub spam_posts: Option<i64>,
}

/// A window, recounted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Window {
    /// With every post.
    pub counts: Counts,
    /// The least and the most that each count can be if posts were late that may have been; `None` if none may have been.
    pub bounds: Option<(Counts, Counts)>,
}

/// A window while it is counted.
struct Tally<'a> {
    /// What was in time for sure.
    sure: Sum,
    /// Of each other post, what may have been counted of it: one of these, the last if it was in time.
    open: Vec<Vec<Option<&'a Said>>>,
}

#[derive(Clone, Default)]
struct Sum {
    /// Whose window it is; none: the whole market's.
    asset: Option<u32>,
    posts: i64,
    authors: HashSet<u32>,
    labels: [i64; 3],
    micros: i64,
    sources: BTreeMap<u32, i64>,
}

/// Counts the posts of the windows that start in `range`, by the `bucket` that a window is put into by its start. `is_open`: whether a version
/// may have been late.
pub(super) fn windows<'a>(
    posts: &'a HashMap<Bytes, Post>,
    names: &Names,
    range: &Range<Timestamp>,
    is_open: impl Fn(&Version) -> bool,
    bucket: impl Fn(Timestamp) -> Timestamp,
) -> BTreeMap<(String, Timestamp), Window> {
    // The whole market is no number of `names`.
    let mut tallies: HashMap<(Option<u32>, Timestamp), Tally<'a>> = HashMap::new();
    let mut mentions: HashMap<Option<u32>, Mentions<'a>> = HashMap::new();
    let chunks = |(id, post): (&'a Bytes, &'a Post)| {
        post.versions.chunk_by(|a, b| a.window() == b.window()).map(move |versions| (id, versions))
    };
    for (id, versions) in posts.iter().flat_map(chunks) {
        let start = versions[0].window();
        let choices = choices(versions, &is_open);
        let assets: BTreeSet<u32> =
            choices.iter().flatten().flat_map(|said: &&Said| said.assets.iter().map(|(asset, _)| *asset)).collect();
        for asset in assets.into_iter().map(Some).chain([None]) {
            let of_asset = |said: &&Said| said.mood_of(asset).is_some();
            let mentions = mentions.entry(asset).or_default();
            match choices.as_slice() {
                [only] => {
                    only.filter(of_asset).into_iter().for_each(|said| mentions.add(versions[0].published_at, id, said))
                }
                _ => mentions.leave_open(start),
            }
            if !range.contains(&start) {
                continue;
            }
            let tally = tallies
                .entry((asset, bucket(start)))
                .or_insert_with(|| Tally { sure: Sum { asset, ..Sum::default() }, open: Vec::new() });
            match choices.as_slice() {
                [only] => only.filter(of_asset).into_iter().for_each(|said| tally.sure.add(said)),
                several => tally.open.push(several.iter().map(|choice| choice.filter(of_asset)).collect()),
            }
        }
    }
    let name = |asset: Option<u32>| asset.map_or(WHOLE_MARKET, |asset| names.texts[asset as usize].as_str()).to_owned();
    let unique: HashMap<Option<u32>, Unique> =
        mentions.into_iter().map(|(asset, mentions)| (asset, mentions.unique(range, &bucket))).collect();
    let finish = |((asset, start), tally): ((Option<u32>, Timestamp), Tally<'a>)| {
        let mut window = tally.finish(names);
        (window.counts.unique_posts, window.counts.spam_posts) = unique[&asset].of(start);
        ((name(asset), start), window)
    };
    tallies.into_iter().map(finish).collect()
}

/// What a post may have left in its window: its last version that was in time for sure, or nothing, or any later version.
fn choices<'a>(versions: &'a [Version], is_open: &impl Fn(&Version) -> bool) -> Vec<Option<&'a Said>> {
    let sure = versions.iter().rposition(|version| !is_open(version));
    let nothing = if sure.is_none() { Some(None) } else { None };
    let rest = versions[sure.unwrap_or_default()..].iter().map(|version| version.said.as_ref());
    nothing.into_iter().chain(rest).collect()
}

impl Tally<'_> {
    fn finish(self, names: &Names) -> Window {
        if self.open.is_empty() {
            return Window { counts: self.sure.counts(names), bounds: None };
        }
        let (mut all, mut least, mut most) = (self.sure.clone(), self.sure.clone(), self.sure);
        for choices in &self.open {
            choices.last().copied().flatten().into_iter().for_each(|said| all.add(said));
            least.add_common(choices);
            most.add_any(choices);
        }
        Window { counts: all.counts(names), bounds: Some((least.counts(names), most.counts(names))) }
    }
}

impl Sum {
    fn mood(&self, said: &Said) -> Mood {
        said.mood_of(self.asset).flatten()
    }

    fn add(&mut self, said: &Said) {
        self.posts += 1;
        self.authors.extend(said.author);
        *self.sources.entry(said.source).or_default() += 1;
        if let Some((label, micros)) = self.mood(said) {
            self.labels[label as usize] += 1;
            self.micros += micros;
        }
    }

    /// What every choice counts.
    fn add_common(&mut self, choices: &[Option<&Said>]) {
        let Some(all) = choices.iter().copied().collect::<Option<Vec<&Said>>>() else { return };
        let Some((first, rest)) = all.split_first() else { return };
        self.posts += 1;
        self.authors.extend(first.author.filter(|_| rest.iter().all(|said| said.author == first.author)));
        if rest.iter().all(|said| said.source == first.source) {
            *self.sources.entry(first.source).or_default() += 1;
        }
        let label = |said: &Said| self.mood(said).map(|(label, _)| label);
        let common = label(first).filter(|common| rest.iter().all(|said| label(said) == Some(*common)));
        if let Some(label) = common {
            self.labels[label as usize] += 1;
        }
    }

    /// What any choice counts.
    fn add_any(&mut self, choices: &[Option<&Said>]) {
        let some: Vec<&Said> = choices.iter().flatten().copied().collect();
        self.posts += i64::from(!some.is_empty());
        self.authors.extend(some.iter().filter_map(|said| said.author));
        for source in some.iter().map(|said| said.source).collect::<BTreeSet<_>>() {
            *self.sources.entry(source).or_default() += 1;
        }
        for label in 0..self.labels.len() {
            let has = some.iter().any(|said| self.mood(said).is_some_and(|(own, _)| own as usize == label));
            self.labels[label] += i64::from(has);
        }
    }

    fn counts(&self, names: &Names) -> Counts {
        let scored: i64 = self.labels.iter().sum();
        Counts {
            posts: self.posts,
            unique_authors: i64::try_from(self.authors.len()).unwrap_or(i64::MAX),
            labels: self.labels,
            mean_score: (scored > 0).then(|| self.micros as f64 / scored as f64 / 1e6),
            unique_posts: None,
            spam_posts: None,
            sources: self.sources.iter().map(|(name, posts)| (names.texts[*name as usize].clone(), *posts)).collect(),
        }
    }
}
