//! Sample posts: a function of a seed and the time.
//!
//! Minute by minute, each asset gets a number of posts drawn around its rate. Every 20 minutes one asset has a burst, good or bad, that makes it several times
//! louder for a while; besides, each asset's mood drifts slowly. As the site first opens, one asset crashes and another one surges, so that
//! whoever tries vigie out sees it notice something. The same seed and opening give the same post at the same minute whenever it is asked, so
//! that a restarted site continues where it was.

use std::sync::Arc;

use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use vigie_clock::Timestamp;

use crate::assets::{ASSETS, pick_asset};
use crate::phrases::{self, Tone, Writer};

/// Feed, title, language.
pub(crate) const FEEDS: [(&str, &str, &str); 4] = [
    ("harbor-wire", "Harbor Wire", "en"),
    ("chain-gazette", "Chain Gazette", "en"),
    ("block-almanac", "Block Almanac", "en"),
    ("la-dunette", "La Dunette", "fr"),
];

/// Subreddits and their languages.
pub(crate) const SUBREDDITS: [(&str, &str); 3] = [("HarborCrypto", "en"), ("DefiDocks", "en"), ("CryptoPhare", "fr")];

/// Posts that open a thread come in this rhythm, so that comments have something to answer.
const THREAD_MINUTES: i64 = 30;

/// A burst begins this often.
const BURST_MINUTES: i64 = 20;

/// How long an event of the opening lasts, and its posts per minute at the start, in parts of the rate of all assets together.
const OPENING_MINUTES: i64 = 10;
const OPENING_RATE: f64 = 4.0;

/// Assets that the opening may choose from: heard of often enough to have a usual mood, and seldom enough for a burst to stand out.
const OPENING_ASSETS: std::ops::Range<usize> = 5..9;

/// Slots of bursts before the opening in which its assets were quiet, if there are such assets.
const QUIET_SLOTS: i64 = 18;

const MINUTE: i64 = 60_000;

/// Ids that a minute has to give.
const PER_MINUTE: i64 = 100_000;

/// Where a post appears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Channel {
    /// In a news feed.
    News {
        /// Which.
        feed: String,
    },
    /// In a subreddit.
    Reddit {
        /// Which.
        subreddit: String,
        /// Id of the thread that a comment stands in; a post has none.
        parent: Option<String>,
    },
    /// On the Hacker News of the sample site.
    HackerNews {
        /// Id of the story that a comment answers; a story has none.
        story: Option<String>,
    },
}

/// A post of the sample site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SamplePost {
    /// Native id.
    pub id: String,
    /// Where it appears.
    pub channel: Channel,
    /// Invented.
    pub author: String,
    /// Empty for comments.
    pub title: String,
    /// Plain text, paragraphs by line.
    pub text: String,
    /// Full seconds.
    pub published_at: Timestamp,
    /// Votes.
    pub score: i64,
}

/// Writes sample posts as time goes on.
#[derive(Debug)]
pub struct Generator {
    seed: u64,
    /// Posts per minute, outside bursts.
    rate: f64,
    from: Timestamp,
    /// Minute of the opening with the assets that crash and surge then.
    opening: Option<(i64, [usize; 2])>,
    written: Mutex<Written>,
}

#[derive(Debug, Default)]
struct Written {
    /// Oldest first.
    posts: Vec<Arc<SamplePost>>,
    /// The first minute that is not written yet.
    next_minute: Option<i64>,
}

impl Generator {
    /// Posts from `from` on, `rate` a minute.
    pub fn new(seed: u64, rate: f64, from: Timestamp) -> Self {
        Self { seed, rate, from, opening: None, written: Mutex::default() }
    }

    /// The same with a crash in the minute of the site's opening and a surge in the next. Of the assets that may be struck it takes those that have
    /// been quiet for longest: bursts that were are part of what is usual.
    #[must_use]
    pub fn opened_at(mut self, opened: Timestamp) -> Self {
        let minute = opened.as_millis().div_euclid(MINUTE);
        let slot = minute.div_euclid(BURST_MINUTES);
        let mut assets: Vec<usize> = OPENING_ASSETS.collect();
        assets.sort_by_key(|asset| {
            (slot - QUIET_SLOTS..=slot).rev().find(|slot| self.burst(*slot).asset == *asset).unwrap_or(i64::MIN)
        });
        self.opening = Some((minute, [assets[0], assets[1]]));
        self
    }

    /// What has been published by `now`, newest first.
    pub fn newest_first(&self, now: Timestamp) -> Vec<Arc<SamplePost>> {
        let mut written = self.written.lock();
        let first = self.from.as_millis().div_euclid(MINUTE);
        let last = now.as_millis().div_euclid(MINUTE);
        for minute in written.next_minute.unwrap_or(first)..=last {
            written.posts.extend(self.minute(minute).into_iter().map(Arc::new));
            written.next_minute = Some(minute + 1);
        }
        let end = written.posts.partition_point(|post| post.published_at <= now);
        written.posts[..end].iter().rev().cloned().collect()
    }

    /// The posts of one minute since the epoch, oldest first.
    fn minute(&self, minute: i64) -> Vec<SamplePost> {
        let mut random = self.random(minute, 1);
        let mut posts = Vec::new();
        for (asset, (_, _, share, _)) in ASSETS.iter().enumerate() {
            let (louder, mood) = self.weather(asset, minute);
            let mean = self.rate * share * louder;
            for _ in 0..poisson(mean, &mut random) {
                let index = posts.len();
                posts.push(write(minute, index, asset, mood, &mut random));
            }
        }
        if minute.rem_euclid(THREAD_MINUTES) == 0 {
            for (n, (subreddit, language)) in SUBREDDITS.iter().enumerate() {
                posts.push(thread(minute, n, subreddit, language, &mut random));
            }
        }
        posts.sort_by(|a, b| a.published_at.cmp(&b.published_at).then_with(|| a.id.cmp(&b.id)));
        posts
    }

    /// How much louder than usual an asset is, and its mood from -1 to 1.
    fn weather(&self, asset: usize, minute: i64) -> (f64, f64) {
        let share = ASSETS[asset].2;
        if let Some((opened, struck)) = self.opening
            && let Some(event) = struck.iter().position(|struck| *struck == asset)
        {
            let into = minute - opened - if event == 0 { 0 } else { 1 };
            if (0..OPENING_MINUTES).contains(&into) {
                let fading = 1.0 - 0.8 * into as f64 / OPENING_MINUTES as f64;
                return (1.0 + OPENING_RATE * fading / share, if event == 0 { -1.2 } else { 1.2 });
            }
        }
        let burst = self.burst(minute.div_euclid(BURST_MINUTES));
        let into = minute.rem_euclid(BURST_MINUTES) - burst.begin;
        if burst.asset == asset && (0..burst.length).contains(&into) {
            let fading = 1.0 - 0.5 * into as f64 / burst.length as f64;
            return (1.0 + burst.strength * fading, if burst.good { 0.85 } else { -0.85 });
        }
        let phase = (self.seed % 97) as f64 + asset as f64 * 2.1;
        let hours = minute as f64 / 60.0;
        let drift = 0.15 * (hours / 3.0 + phase).sin() + 0.1 * (hours / 0.7 + 2.0 * phase).sin();
        (1.0 + 0.25 * (hours / 1.7 + phase).sin(), ASSETS[asset].3 + drift)
    }

    /// The burst of a slot of time.
    fn burst(&self, slot: i64) -> Burst {
        let mut random = self.random(slot, 2);
        let asset = random.random_range(0..ASSETS.len());
        let (begin, length) = (random.random_range(0..6), random.random_range(7..14));
        let good = random.random_bool(0.5);
        // Small assets are talked about by others when something happens to them.
        let strength = random.random_range(1.5..3.0) / ASSETS[asset].2.max(0.05).sqrt();
        Burst { asset, begin, length, good, strength }
    }

    fn random(&self, at: i64, stream: u64) -> SmallRng {
        let mixed = self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)
            ^ (at as u64).wrapping_mul(0xbf58_476d_1ce4_e5b9)
            ^ stream.wrapping_mul(0x94d0_49bb_1331_11eb);
        SmallRng::seed_from_u64(mixed)
    }
}

/// Something that makes an asset louder, in minutes of its slot.
struct Burst {
    asset: usize,
    begin: i64,
    length: i64,
    good: bool,
    strength: f64,
}

/// A number of events with this mean (Knuth, TAOCP 3.4.1).
fn poisson(mean: f64, random: &mut SmallRng) -> usize {
    let limit = (-mean.min(100.0)).exp();
    let (mut product, mut count) = (random.random::<f64>(), 0);
    while product > limit {
        product *= random.random::<f64>();
        count += 1;
    }
    count
}

fn number(minute: i64, index: usize) -> i64 {
    minute * PER_MINUTE + i64::try_from(index).unwrap_or(0)
}

/// Reddit's ids are base 36.
fn base36(mut number: i64) -> String {
    let mut digits = Vec::new();
    while number > 0 {
        let digit = u8::try_from(number % 36).unwrap_or(0);
        digits.push(if digit < 10 { b'0' + digit } else { b'a' + digit - 10 });
        number /= 36;
    }
    digits.reverse();
    format!("s{}", String::from_utf8_lossy(&digits))
}

fn thread_id(minute: i64, subreddit: usize) -> String {
    base36(minute * PER_MINUTE + PER_MINUTE - 10 + subreddit as i64)
}

/// The thread that opens a half hour in a subreddit.
fn thread(minute: i64, n: usize, subreddit: &str, language: &str, random: &mut SmallRng) -> SamplePost {
    let mut writer = Writer { tone: Tone::Plain, french: language == "fr", asset: pick_asset(random), random };
    let (title, text) = (writer.title(), writer.story(2));
    SamplePost {
        id: thread_id(minute, n),
        channel: Channel::Reddit { subreddit: subreddit.to_owned(), parent: None },
        author: phrases::author(random),
        title,
        text,
        published_at: Timestamp::from_millis(minute * MINUTE),
        score: random.random_range(1..200),
    }
}

fn write(minute: i64, index: usize, asset: usize, mood: f64, random: &mut SmallRng) -> SamplePost {
    let n = number(minute, index);
    let place = random.random_range(0..100);
    let french = random.random_bool(0.12);
    let roll: f64 = random.random();
    let (good, bad) =
        (0.22 + 0.5 * mood.max(0.0) - 0.15 * (-mood).max(0.0), 0.22 + 0.5 * (-mood).max(0.0) - 0.15 * mood.max(0.0));
    let tone = match roll {
        roll if roll < good => Tone::Good,
        roll if roll < good + bad => Tone::Bad,
        _ => Tone::Plain,
    };
    let (channel, id, sentences) = if place < 8 {
        let feed = if french { 3 } else { random.random_range(0..3) };
        (Channel::News { feed: FEEDS[feed].0.to_owned() }, base36(n), 3)
    } else if place < 30 && !french {
        let story = (random.random_bool(0.75)).then(|| (minute - minute.rem_euclid(THREAD_MINUTES)) * PER_MINUTE);
        let is_comment = story.is_some();
        (
            Channel::HackerNews { story: story.map(|story| story.to_string()) },
            n.to_string(),
            if is_comment { 1 } else { 2 },
        )
    } else {
        let sub = if french { 2 } else { random.random_range(0..2) };
        let is_comment = random.random_bool(0.7);
        let parent = is_comment.then(|| thread_id(minute - minute.rem_euclid(THREAD_MINUTES), sub));
        (Channel::Reddit { subreddit: SUBREDDITS[sub].0.to_owned(), parent }, base36(n), if is_comment { 1 } else { 2 })
    };
    let mut writer = Writer { tone, french, asset, random };
    let (title, text) = match sentences {
        1 => (String::new(), writer.comment()),
        _ => (writer.title(), writer.story(sentences)),
    };
    SamplePost {
        id,
        channel,
        author: phrases::author(random),
        title,
        text,
        published_at: Timestamp::from_millis(minute * MINUTE + random.random_range(0..60) * 1000),
        score: random.random_range(1..400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    const NOW: i64 = 1_795_400_000_000;

    fn posts(seed: u64, from: i64, to: i64) -> Vec<Arc<SamplePost>> {
        let now = Timestamp::from_millis(to);
        Generator::new(seed, 24.0, Timestamp::from_millis(from)).newest_first(now)
    }

    #[test]
    fn a_restarted_site_has_the_same_posts() {
        let hour = 3_600_000;
        let long = posts(7, NOW - 6 * hour, NOW);
        let short = posts(7, NOW - hour, NOW);
        assert_eq!(long[..short.len() - 200], short[..short.len() - 200]);
        assert_ne!(posts(8, NOW - hour, NOW)[0], short[0]);
        let generator = Generator::new(7, 24.0, Timestamp::from_millis(NOW - 6 * hour));
        let early = generator.newest_first(Timestamp::from_millis(NOW - hour)).len();
        let late = generator.newest_first(Timestamp::from_millis(NOW));
        assert!(late.len() > early);
        assert_eq!(late, long);
    }

    #[test]
    fn six_hours_hold_thousands_of_varied_posts_with_unique_ids() {
        let all = posts(7, NOW - 6 * 3_600_000, NOW);
        assert!((5_000..20_000).contains(&all.len()), "{}", all.len());
        let ids: HashSet<&str> = all.iter().map(|post| post.id.as_str()).collect();
        assert_eq!(ids.len(), all.len());
        let texts: HashSet<(&str, &str)> = all.iter().map(|post| (post.title.as_str(), post.text.as_str())).collect();
        assert!(texts.len() * 10 > all.len() * 7, "{} of {}", texts.len(), all.len());
        assert!(all.windows(2).all(|pair| pair[0].published_at >= pair[1].published_at));
        assert!(all.iter().all(|post| !post.text.contains('{') && !post.title.contains('{') && !post.text.is_empty()));
        let feeds = FEEDS.iter().map(|(feed, _, _)| {
            all.iter().filter(|p| matches!(&p.channel, Channel::News { feed: f } if f == feed)).count()
        });
        assert!(feeds.clone().all(|n| n > 50), "{:?}", feeds.collect::<Vec<_>>());
    }

    #[test]
    fn the_opening_crashes_one_asset_and_makes_another_one_surge_and_changes_nothing_before() {
        let opened = NOW / MINUTE;
        let generator = || Generator::new(7, 24.0, Timestamp::from_millis((opened - 60) * MINUTE));
        let plain = generator().newest_first(Timestamp::from_millis(opened * MINUTE - 1));
        let site = generator().opened_at(Timestamp::from_millis(NOW));
        assert_eq!(site.newest_first(Timestamp::from_millis(opened * MINUTE - 1)), plain);
        let (_, [crashed, surged]) = site.opening.unwrap();
        assert_ne!(crashed, surged);
        let posts: Vec<SamplePost> = (opened..opened + 3).flat_map(|minute| site.minute(minute)).collect();
        for asset in [crashed, surged] {
            let about = posts.iter().filter(|post| post.text.contains(ASSETS[asset].0)).count();
            assert!(about > 40, "{about} posts about {} within three minutes", ASSETS[asset].0);
        }
        assert!(site.weather(crashed, opened).1 < -1.0 && site.weather(surged, opened + 1).1 > 1.0);
    }

    #[test]
    fn bursts_make_an_asset_several_times_louder() {
        let generator = Generator::new(7, 24.0, Timestamp::from_millis(0));
        let first = NOW / MINUTE;
        let loudest = (first..first + 360)
            .map(|minute| (0..ASSETS.len()).map(|a| generator.weather(a, minute).0).fold(0.0, f64::max))
            .fold(0.0, f64::max);
        assert!(loudest > 5.0, "{loudest}");
    }
}
