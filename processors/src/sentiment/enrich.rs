//! From a raw post and what was found in it to the records that leave the topology. Pure.

use vigie_clock::Timestamp;
use vigie_schemas::{AssetMention, Lineage, Mention, RawPost, ScoredPost, WHOLE_MARKET};

use super::emitted::Emitted;
use crate::assets::post_text;
use crate::inference::Sentiment;
use crate::text::analysis::Analysis;
use crate::text::fingerprint::Fingerprint;
use crate::text::spam::Spam;

/// Why a deleted post has no sentiment.
pub(crate) const DELETED: &str = "deleted";

const EXCERPT_CHARS: usize = 280;
/// Longer titles are cut: what leaves must not be larger than what came in.
const TITLE_CHARS: usize = 500;

/// The scored post, and one mention for each asset and one for the whole market. The full text stays behind, and so does a
/// handle that is not under seal.
pub fn enrich(
    post: RawPost,
    analysis: Analysis,
    spam: Spam,
    author_id: Option<String>,
    scored_at: Timestamp,
    revision: i32,
    lineage: Lineage,
) -> (ScoredPost, Vec<Mention>) {
    let text = post_text(post.title.as_deref(), &post.text);
    let fingerprint = Fingerprint::of(&text).map(Fingerprint::to_long);
    let sentiment = analysis.sentiment;
    let label = |sentiment: Option<Sentiment>| sentiment.map(|sentiment| sentiment.label.as_str().to_owned());
    let score = |sentiment: Option<Sentiment>| sentiment.map(|sentiment| sentiment.score);
    let assets = analysis.assets.iter().map(|mentioned| (mentioned.asset.as_str(), analysis.sentiment_of(mentioned)));
    let mentions = assets
        .chain([(WHOLE_MARKET, sentiment)])
        .map(|(asset, sentiment)| Mention {
            asset: asset.to_owned(),
            post_id: post.post_id.clone(),
            source: post.source.clone(),
            author_id: author_id.clone(),
            published_at: post.published_at,
            label: label(sentiment),
            score: score(sentiment),
            sample: post.sample,
            lineage: lineage.clone(),
            revision,
            retracted: false,
            fingerprint,
            spam: spam.is_spam(),
        })
        .collect();
    let assets = analysis
        .assets
        .into_iter()
        .map(|mentioned| AssetMention {
            asset: mentioned.asset,
            evidence: mentioned.evidence.as_str().to_owned(),
            label: label(mentioned.mood),
            score: score(mentioned.mood),
        })
        .collect();
    let scored_post = ScoredPost {
        excerpt: first_chars(&post.text, EXCERPT_CHARS),
        post_id: post.post_id,
        source: post.source,
        kind: post.kind,
        url: post.url,
        author_id,
        title: post.title.map(|title| first_chars(&title, TITLE_CHARS)),
        published_at: post.published_at,
        fetched_at: post.fetched_at,
        scored_at,
        language: analysis.language.map(str::to_owned),
        label: label(sentiment),
        score: score(sentiment),
        p_negative: sentiment.map(|sentiment| sentiment.probabilities.negative),
        p_neutral: sentiment.map(|sentiment| sentiment.probabilities.neutral),
        p_positive: sentiment.map(|sentiment| sentiment.probabilities.positive),
        unscored_reason: analysis.unscored_reason,
        assets,
        sample: post.sample,
        lineage,
        revision,
        fingerprint,
        spam_score: Some(spam.score),
        spam_reasons: spam.reasons.into_iter().map(str::to_owned).collect(),
        deleted_at: None,
        author_sealed: post.author_sealed,
    };
    (scored_post, mentions)
}

/// A mention that takes back what `emitted` said of `asset`.
pub(crate) fn retraction(asset: &str, post_id: &str, emitted: &Emitted, revision: i32, lineage: &Lineage) -> Mention {
    Mention {
        asset: asset.to_owned(),
        post_id: post_id.to_owned(),
        source: emitted.source.clone(),
        author_id: None,
        published_at: emitted.published_at,
        label: None,
        score: None,
        sample: emitted.sample,
        lineage: lineage.clone(),
        revision,
        retracted: true,
        fingerprint: None,
        spam: false,
    }
}

/// What is left of a post that its source deleted at `deleted_at`: that it was there, and nothing that it said.
pub(crate) fn tombstone(
    post_id: &str,
    emitted: &Emitted,
    deleted_at: Timestamp,
    scored_at: Timestamp,
    lineage: Lineage,
) -> ScoredPost {
    ScoredPost {
        post_id: post_id.to_owned(),
        source: emitted.source.clone(),
        kind: emitted.kind.clone(),
        url: None,
        author_id: None,
        title: None,
        excerpt: String::new(),
        published_at: emitted.published_at,
        fetched_at: deleted_at,
        scored_at,
        language: None,
        label: None,
        score: None,
        p_negative: None,
        p_neutral: None,
        p_positive: None,
        unscored_reason: Some(DELETED.to_owned()),
        assets: Vec::new(),
        sample: emitted.sample,
        lineage,
        revision: emitted.revision + 1,
        fingerprint: None,
        spam_score: None,
        spam_reasons: Vec::new(),
        deleted_at: Some(deleted_at),
        author_sealed: None,
    }
}

fn first_chars(text: &str, count: usize) -> String {
    match text.char_indices().nth(count) {
        Some((end, _)) => text[..end].to_owned(),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assets::Evidence;
    use crate::fixtures::{lineage, raw_post};
    use crate::inference::Probabilities;
    use crate::text::analysis::Mentioned;

    fn analysis(sentiment: Option<Sentiment>, unscored_reason: Option<&str>) -> Analysis {
        let asset = |id: &str| Mentioned { asset: id.into(), evidence: Evidence::Ticker, mood: None };
        let unscored_reason = unscored_reason.map(Into::into);
        Analysis { language: Some("en"), assets: vec![asset("BTC"), asset("ETH")], sentiment, unscored_reason }
    }

    fn enriched(analysis: Analysis) -> (ScoredPost, Vec<Mention>) {
        let post = raw_post("p", "u", "text", 5);
        enrich(post, analysis, Spam::default(), Some("a1".into()), Timestamp::from_millis(9), 1, lineage(3, 8))
    }

    #[test]
    fn a_post_gives_one_mention_per_asset_and_one_for_the_market() {
        let probabilities = Probabilities { negative: 0.1, neutral: 0.2, positive: 0.7 };
        let (scored, mentions) = enriched(analysis(Some(Sentiment::from_probabilities(probabilities, false)), None));
        let assets: Vec<_> = mentions.iter().map(|mention| mention.asset.as_str()).collect();
        assert_eq!(assets, ["BTC", "ETH", "*"]);
        assert!(mentions.iter().all(|m| m.score == scored.score && m.label.as_deref() == Some("positive")));
        assert_eq!((scored.p_positive, scored.lineage.first_offset), (Some(0.7), 8));
    }

    #[test]
    fn an_asset_with_a_mood_of_its_own_counts_with_that() {
        let sentiment = |negative, neutral, positive| {
            Some(Sentiment::from_probabilities(Probabilities { negative, neutral, positive }, false))
        };
        let mut of_btc = analysis(sentiment(0.1, 0.2, 0.7), None);
        of_btc.assets[0].mood = sentiment(0.8, 0.2, 0.0);
        let (scored, mentions) = enriched(of_btc);
        let labels: Vec<_> = mentions.iter().map(|mention| mention.label.as_deref()).collect();
        assert_eq!(labels, [Some("negative"), Some("positive"), Some("positive")]);
        assert_eq!((mentions[0].score, mentions[2].score), (Some(-0.8), scored.score));
        let (btc, eth) = (&scored.assets[0], &scored.assets[1]);
        assert_eq!((btc.label.as_deref(), btc.score, eth.score), (Some("negative"), Some(-0.8), None));
        assert_eq!(scored.mood(btc), (Some("negative"), Some(-0.8)));
        assert_eq!(scored.mood(eth), (Some("positive"), scored.score), "as records from before there were moods");
    }

    #[test]
    fn without_a_sentiment_everything_about_it_is_null() {
        let (scored, mentions) = enriched(analysis(None, Some("language unclear")));
        assert_eq!((scored.label, scored.score, scored.p_neutral), (None, None, None));
        assert_eq!(scored.unscored_reason.as_deref(), Some("language unclear"));
        assert!(mentions.iter().all(|mention| mention.score.is_none() && mention.label.is_none()));
    }

    #[test]
    fn the_excerpt_cuts_between_characters() {
        let text = "é".repeat(300);
        assert_eq!(first_chars(&text, 280).chars().count(), 280);
        assert_eq!(first_chars("short", 280), "short");
    }
}
