//! Sample posts: a function of a seed and the time.
//!
//! Minute by minute, each asset gets a number of posts drawn around its rate. Every 20 minutes one asset has a burst, good or bad, that makes it several times
//! louder for a while; besides, each asset's mood drifts slowly. The same seed gives the same post at the same minute whenever it is asked, so
//! that a restarted site continues where it was.

use std::sync::{Arc, Mutex, PoisonError};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use vigie_clock::Timestamp;

use super::phrases::{self, Phrases};

/// Name, ticker and share of the talk.
const ASSETS: [(&str, &str, f64); 12] = [
    ("Bitcoin", "BTC", 0.26),
    ("Ethereum", "ETH", 0.19),
    ("Solana", "SOL", 0.12),
    ("XRP", "XRP", 0.08),
    ("Dogecoin", "DOGE", 0.07),
    ("Cardano", "ADA", 0.06),
    ("Avalanche", "AVAX", 0.05),
    ("Chainlink", "LINK", 0.05),
    ("Polkadot", "DOT", 0.04),
    ("Litecoin", "LTC", 0.03),
    ("Uniswap", "UNI", 0.03),
    ("Aave", "AAVE", 0.02),
];

/// Feed, title, language.
pub(super) const FEEDS: [(&str, &str, &str); 4] = [
    ("harbor-wire", "Harbor Wire", "en"),
    ("chain-gazette", "Chain Gazette", "en"),
    ("block-almanac", "Block Almanac", "en"),
    ("la-dunette", "La Dunette", "fr"),
];

/// Subreddits and their languages.
pub(super) const SUBREDDITS: [(&str, &str); 3] = [("HarborCrypto", "en"), ("DefiDocks", "en"), ("CryptoPhare", "fr")];

/// Posts that open a thread come in this rhythm, so that comments have something to answer.
const THREAD_MINUTES: i64 = 30;

/// A burst begins this often.
const BURST_MINUTES: i64 = 20;

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
        Self { seed, rate, from, written: Mutex::default() }
    }

    /// What has been published by `now`, newest first.
    pub fn newest_first(&self, now: Timestamp) -> Vec<Arc<SamplePost>> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
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
        for (asset, (_, _, share)) in ASSETS.iter().enumerate() {
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
        let phase = (self.seed % 97) as f64 + asset as f64 * 2.1;
        let hours = minute as f64 / 60.0;
        let drift = 0.35 * (hours / 3.0 + phase).sin() + 0.15 * (hours / 0.7 + 2.0 * phase).sin();
        let slot = minute.div_euclid(BURST_MINUTES);
        let mut random = self.random(slot, 2);
        let struck = random.random_range(0..ASSETS.len());
        let (begin, length) = (random.random_range(0..6), random.random_range(7..14));
        let good = random.random_bool(0.5);
        // Small assets are talked about by others when something happens to them.
        let strength = random.random_range(1.5..3.0) / ASSETS[struck].2.max(0.05).sqrt();
        let into = minute.rem_euclid(BURST_MINUTES) - begin;
        if struck == asset && (0..length).contains(&into) {
            let fading = 1.0 - 0.5 * into as f64 / length as f64;
            return (1.0 + strength * fading, if good { 0.85 } else { -0.85 });
        }
        (1.0 + 0.25 * (hours / 1.7 + phase).sin(), drift)
    }

    fn random(&self, at: i64, stream: u64) -> SmallRng {
        let mixed = self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)
            ^ (at as u64).wrapping_mul(0xbf58_476d_1ce4_e5b9)
            ^ stream.wrapping_mul(0x94d0_49bb_1331_11eb);
        SmallRng::seed_from_u64(mixed)
    }
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
    let phrases = if language == "fr" { &phrases::PLAIN_FR } else { &phrases::PLAIN };
    let asset = pick_asset(random);
    SamplePost {
        id: thread_id(minute, n),
        channel: Channel::Reddit { subreddit: subreddit.to_owned(), parent: None },
        author: author(random),
        title: fill(pick(phrases.titles, random), asset, random),
        text: fill(pick(phrases.bodies, random), asset, random),
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
    let tone = if roll < good { 0 } else { usize::from(roll < good + bad) + 1 };
    // 0 good, 1 neither, 2 bad.
    let phrases: &Phrases = match (tone, french) {
        (0, false) => &phrases::GOOD,
        (1, false) => &phrases::PLAIN,
        (_, false) => &phrases::BAD,
        (0, true) => &phrases::GOOD_FR,
        (1, true) => &phrases::PLAIN_FR,
        (_, true) => &phrases::BAD_FR,
    };
    let (channel, id, title, sentences) = if place < 8 {
        let feed = if french { 3 } else { random.random_range(0..3) };
        (Channel::News { feed: FEEDS[feed].0.to_owned() }, base36(n), true, 3)
    } else if place < 30 && !french {
        let story = (random.random_bool(0.75)).then(|| (minute - minute.rem_euclid(THREAD_MINUTES)) * PER_MINUTE);
        let is_comment = story.is_some();
        (
            Channel::HackerNews { story: story.map(|story| story.to_string()) },
            n.to_string(),
            !is_comment,
            if is_comment { 1 } else { 2 },
        )
    } else {
        let sub = if french { 2 } else { random.random_range(0..2) };
        let is_comment = random.random_bool(0.7);
        let parent = is_comment.then(|| thread_id(minute - minute.rem_euclid(THREAD_MINUTES), sub));
        (
            Channel::Reddit { subreddit: SUBREDDITS[sub].0.to_owned(), parent },
            base36(n),
            !is_comment,
            if is_comment { 1 } else { 2 },
        )
    };
    let mut text = String::new();
    for sentence in 0..sentences {
        if sentence > 0 {
            text.push('\n');
        }
        let source = if title || sentence > 0 || random.random_bool(0.3) { phrases.bodies } else { phrases.comments };
        text.push_str(&fill(pick(source, random), asset, random));
    }
    if !french && sentences < 3 {
        text = format!(
            "{}{text}{}",
            pick(&phrases::OPENERS, random),
            fill(pick(&phrases::CLOSERS, random), asset, random)
        );
    }
    SamplePost {
        id,
        channel,
        author: author(random),
        title: if title { fill(pick(phrases.titles, random), asset, random) } else { String::new() },
        text,
        published_at: Timestamp::from_millis(minute * MINUTE + random.random_range(0..60) * 1000),
        score: random.random_range(1..400),
    }
}

fn pick<'a>(from: &[&'a str], random: &mut SmallRng) -> &'a str {
    from[random.random_range(0..from.len())]
}

fn pick_asset(random: &mut SmallRng) -> usize {
    let mut roll: f64 = random.random();
    for (n, (_, _, share)) in ASSETS.iter().enumerate() {
        roll -= share;
        if roll < 0.0 {
            return n;
        }
    }
    0
}

/// Some write often, most seldom.
fn author(random: &mut SmallRng) -> String {
    let skew = random.random::<f64>().powi(2);
    let n = (skew * (phrases::FIRST.len() * phrases::LAST.len()) as f64) as usize;
    format!(
        "{}_{}",
        phrases::FIRST[n % phrases::FIRST.len()],
        phrases::LAST[(n / phrases::FIRST.len()) % phrases::LAST.len()]
    )
}

fn fill(template: &str, asset: usize, random: &mut SmallRng) -> String {
    let (name, ticker, _) = ASSETS[asset];
    let mut other = pick_asset(random);
    if other == asset {
        other = (other + 1) % ASSETS.len();
    }
    template
        .replace("{A}", name)
        .replace("{T}", ticker)
        .replace("{B}", ASSETS[other].0)
        .replace("{x}", pick(&phrases::EXCHANGES, random))
        .replace("{n}", &random.random_range(2..40).to_string())
        .replace("{p}", &format!("{:.1}", random.random_range(1.0..38.0_f64)))
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
    fn a_restarted_site_tells_the_same_posts() {
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
    fn bursts_make_an_asset_several_times_louder() {
        let generator = Generator::new(7, 24.0, Timestamp::from_millis(0));
        let first = NOW / MINUTE;
        let loudest = (first..first + 360)
            .map(|minute| (0..ASSETS.len()).map(|a| generator.weather(a, minute).0).fold(0.0, f64::max))
            .fold(0.0, f64::max);
        assert!(loudest > 5.0, "{loudest}");
    }
}
