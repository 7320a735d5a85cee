//! Posts for measuring: English, of the lengths that forums have, the same for the same seed.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use vigie_clock::Timestamp;
use vigie_schemas::{LIVE_RUN, Lineage, RawPost, Topic};

const OPENERS: [&str; 8] = [
    "I have been holding since last year and",
    "Can somebody explain why",
    "Just moved everything off the exchange because",
    "The way I see it,",
    "After reading the whole thread,",
    "My friends keep telling me that",
    "Unpopular opinion:",
    "Looking at the order book this morning,",
];
const ASSETS: [&str; 12] = [
    "Bitcoin",
    "BTC",
    "Ethereum",
    "$ETH",
    "Solana",
    "Cardano",
    "$LINK",
    "XRP",
    "Dogecoin",
    "Polkadot",
    "Avalanche",
    "the whole market",
];
const CLAIMS: [&str; 12] = [
    "is going to recover once the panic is over",
    "lost half of its value in a week and nobody seems to care",
    "has never looked healthier from where I stand",
    "is bleeding and the team stays silent",
    "moves sideways as it did all month",
    "keeps being listed on new exchanges",
    "was upgraded without a hitch, fees are down",
    "got me liquidated for the third time this year",
    "is the only thing in my portfolio that is still green",
    "feels like a slow rug pull to be honest",
    "will be fine, the fundamentals have not changed",
    "trades at the same price as four years ago",
];
const CLOSERS: [&str; 6] = [
    "What do you think?",
    "Not financial advice.",
    "I am worried, I admit it.",
    "Love this community.",
    "Time will tell.",
    "Please be careful out there.",
];

/// The lineage of a record that the live run made of the post at this offset.
pub fn lineage(offset: i64) -> Lineage {
    Lineage {
        run_id: LIVE_RUN.to_owned(),
        model_name: "none".to_owned(),
        model_version: "1".to_owned(),
        model_sha256: "0".repeat(64),
        assets_version: "1".to_owned(),
        input_topic: Topic::PostsRaw.name().to_owned(),
        input_partition: 0,
        first_offset: offset,
        last_offset: offset,
    }
}

/// Makes posts.
#[derive(Debug)]
pub struct PostMaker {
    rng: StdRng,
    run: String,
    made: u64,
}

impl PostMaker {
    /// Posts whose ids begin with [`PostMaker::prefix`] and whose words follow from `seed`.
    pub fn new(run: &str, seed: u64) -> Self {
        Self { rng: StdRng::seed_from_u64(seed), run: run.to_owned(), made: 0 }
    }

    /// What the ids of a run's posts begin with.
    pub fn prefix(run: &str) -> String {
        format!("bench:{run}-")
    }

    /// A text of about `sentences` sentences.
    pub fn text(&mut self, sentences: usize) -> String {
        let rng = &mut self.rng;
        let mut pick = |from: &[&'static str]| *from.choose(rng).unwrap_or(&"");
        let mut text = String::new();
        for _ in 0..sentences {
            let sentence = [pick(&OPENERS), pick(&ASSETS), pick(&CLAIMS)].join(" ");
            text.push_str(&sentence);
            text.push_str(". ");
        }
        text.push_str(pick(&CLOSERS));
        text
    }

    /// The next post: one to six sentences, short ones more often.
    pub fn post(&mut self, at: Timestamp) -> RawPost {
        let sentences = self.rng.random_range(1..=3) * self.rng.random_range(1..=2);
        let text = self.text(sentences);
        let author = self.rng.random_range(0..5_000);
        self.made += 1;
        RawPost {
            post_id: format!("{}{:08}", Self::prefix(&self.run), self.made),
            source: "bench".to_owned(),
            kind: "bench".to_owned(),
            author: Some(format!("author-{author}")),
            text,
            published_at: at,
            fetched_at: at,
            sample: true,
            ..RawPost::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_posts() {
        let at = Timestamp::from_millis(0);
        let (mut one, mut two) = (PostMaker::new("r", 7), PostMaker::new("r", 7));
        for _ in 0..20 {
            assert_eq!(one.post(at), two.post(at));
        }
        assert_ne!(PostMaker::new("r", 8).post(at).text, PostMaker::new("r", 7).post(at).text);
    }
}
