//! The rules of [`super`] as one Aho-Corasick pass.

use aho_corasick::AhoCorasick;

use super::{Asset, AssetTable, AssetTableError, Evidence};

/// An asset found in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AssetHit<'table> {
    /// The asset.
    pub asset: &'table Asset,
    /// The strongest evidence for it.
    pub evidence: Evidence,
}

/// What one candidate string stands for. A string may be ticker and name of the same asset (`BTC`, `btc`).
#[derive(Clone, Debug, Default)]
struct Candidate {
    asset: usize,
    cashtag: bool,
    /// The exact spelling that counts as a ticker.
    ticker: Option<String>,
    name: bool,
}

/// A candidate found at a place.
#[derive(Clone, Copy, Debug)]
struct Found {
    start: usize,
    end: usize,
    asset: usize,
    evidence: Evidence,
}

/// Finds the assets of one table in texts.
#[derive(Clone, Debug)]
pub struct AssetMatcher {
    table: AssetTable,
    candidates: Vec<Candidate>,
    automaton: AhoCorasick,
}

impl AssetMatcher {
    /// Compiles a table.
    pub fn new(table: AssetTable) -> Result<Self, AssetTableError> {
        let mut strings: Vec<String> = Vec::new();
        let mut candidates: Vec<Candidate> = Vec::new();
        for (asset, entry) in table.assets().iter().enumerate() {
            for ticker in entry.tickers.iter().chain(&entry.ambiguous) {
                strings.push(format!("${}", ticker.to_ascii_lowercase()));
                candidates.push(Candidate { asset, cashtag: true, ..Candidate::default() });
            }
            for ticker in &entry.tickers {
                let string = ticker.to_ascii_lowercase();
                candidates.push(Candidate {
                    asset,
                    ticker: Some(ticker.clone()),
                    name: entry.names.contains(&string),
                    cashtag: false,
                });
                strings.push(string);
            }
            for name in &entry.names {
                if !entry.tickers.iter().any(|ticker| ticker.eq_ignore_ascii_case(name)) {
                    strings.push(name.clone());
                    candidates.push(Candidate { asset, name: true, ..Candidate::default() });
                }
            }
        }
        let automaton = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .build(&strings)
            .map_err(|error| AssetTableError::Malformed(error.to_string()))?;
        Ok(Self { table, candidates, automaton })
    }

    /// The table behind the answers.
    pub fn table(&self) -> &AssetTable {
        &self.table
    }

    /// The assets that `text` mentions, each once, in table order.
    pub fn find(&self, text: &str) -> Vec<AssetHit<'_>> {
        let mut found: Vec<Found> = self
            .automaton
            .find_overlapping_iter(text)
            .filter_map(|hit| self.judge(text, hit.pattern().as_usize(), hit.start(), hit.end()))
            .collect();
        found.sort_by_key(|one| (one.start, std::cmp::Reverse(one.end)));
        let mut best: Vec<Option<Evidence>> = vec![None; self.table.assets().len()];
        let mut free_from = 0;
        for one in found {
            if one.start < free_from {
                continue;
            }
            free_from = one.end;
            let slot = &mut best[one.asset];
            *slot = Some(slot.map_or(one.evidence, |known| known.min(one.evidence)));
        }
        let scored = self.table.assets().iter().zip(best);
        scored.filter_map(|(asset, evidence)| Some(AssetHit { asset, evidence: evidence? })).collect()
    }

    /// Whether a candidate at a place counts, and as what.
    fn judge(&self, text: &str, pattern: usize, start: usize, end: usize) -> Option<Found> {
        let before = text[..start].chars().next_back();
        let after = text[end..].chars().next();
        if before.is_some_and(is_word) || after.is_some_and(is_word) {
            return None;
        }
        let candidate = &self.candidates[pattern];
        let evidence = if candidate.cashtag {
            Evidence::Cashtag
        } else if candidate.ticker.as_deref() == Some(&text[start..end]) {
            Evidence::Ticker
        } else if candidate.name {
            Evidence::Name
        } else {
            return None;
        };
        Some(Found { start, end, asset: candidate.asset, evidence })
    }
}

/// `[0-9A-Za-z_À-ɏ]`.
fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || ('\u{c0}'..='\u{24f}').contains(&c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let matcher = AssetMatcher::new(AssetTable::bundled().unwrap()).unwrap();
        matcher.find(text).iter().map(|hit| format!("{} {}", hit.asset.id, hit.evidence)).collect()
    }

    #[test]
    fn cashtags_count_in_any_case_and_beat_other_evidence() {
        assert_eq!(found("bitcoin, BTC and $btc"), ["BTC cashtag"]);
        assert_eq!(found("$link $NEAR $One"), ["LINK cashtag", "NEAR cashtag", "ONE cashtag"]);
    }

    #[test]
    fn ambiguous_tickers_need_a_cashtag_or_the_full_name() {
        assert!(found("NEAR THE LINK THERE IS NOT ONE GAS STATION, APT").is_empty());
        assert_eq!(found("Chainlink and Near Protocol"), ["LINK name", "NEAR name"]);
    }

    #[test]
    fn bare_tickers_count_in_upper_case_only_unless_they_are_names_too() {
        assert_eq!(found("XTZ"), ["XTZ ticker"]);
        assert!(found("xtz Xtz").is_empty());
        assert_eq!(found("btc eth ust luna"), ["BTC name", "ETH name", "LUNA name", "UST name"]);
    }

    #[test]
    fn neighbours_must_not_be_word_characters() {
        assert!(found("method ETHER2 bitcoin_price BTCs éeth ethé").is_empty());
        assert_eq!(found("#BTC,(ETH)/solana-based"), ["BTC ticker", "ETH ticker", "SOL name"]);
        assert_eq!(found("买BTC吧"), ["BTC ticker"]);
    }

    #[test]
    fn the_longest_candidate_wins_and_a_failed_longer_one_hides_nothing() {
        assert_eq!(found("bitcoin cash"), ["BCH name"]);
        assert_eq!(found("bitcoin cashier"), ["BTC name"]);
        assert_eq!(found("Ethereum Classic vs ethereum"), ["ETH name", "ETC name"]);
        assert_eq!(found("wrapped bitcoin"), ["WBTC name"]);
    }

    #[test]
    fn the_collapse_of_terra_is_recognised() {
        assert_eq!(found("Terra's UST depegs, $LUNA falls 90%"), ["LUNA cashtag", "UST ticker"]);
        assert_eq!(found("TerraUSD and luna classic"), ["LUNA name", "UST name"]);
    }

    /// The rules read naively: at each place, try every candidate, longest first.
    fn naive(table: &AssetTable, text: &str) -> Vec<(String, Evidence)> {
        let mut best: Vec<Option<Evidence>> = vec![None; table.assets().len()];
        let mut at = 0;
        while at < text.len() {
            let mut longest: Option<(usize, usize, Evidence)> = None;
            for (index, asset) in table.assets().iter().enumerate() {
                let mut consider = |candidate: &str, exact: bool, evidence: Evidence| {
                    let Some(piece) = text.get(at..at + candidate.len()) else { return };
                    let same = if exact { piece == candidate } else { piece.eq_ignore_ascii_case(candidate) };
                    let free = !text[..at].chars().next_back().is_some_and(is_word)
                        && !text[at + candidate.len()..].chars().next().is_some_and(is_word);
                    let better = longest.is_none_or(|(length, _, known)| {
                        (candidate.len(), std::cmp::Reverse(evidence)) > (length, std::cmp::Reverse(known))
                    });
                    if same && free && better {
                        longest = Some((candidate.len(), index, evidence));
                    }
                };
                for ticker in asset.tickers.iter().chain(&asset.ambiguous) {
                    consider(&format!("${ticker}"), false, Evidence::Cashtag);
                }
                asset.tickers.iter().for_each(|ticker| consider(ticker, true, Evidence::Ticker));
                asset.names.iter().for_each(|name| consider(name, false, Evidence::Name));
            }
            if let Some((length, index, evidence)) = longest {
                best[index] = Some(best[index].map_or(evidence, |known| known.min(evidence)));
                at += length;
            } else {
                at += text[at..].chars().next().map_or(1, char::len_utf8);
            }
        }
        let named = table.assets().iter().zip(best);
        named.filter_map(|(asset, evidence)| evidence.map(|evidence| (asset.id.clone(), evidence))).collect()
    }

    proptest::proptest! {
        #[test]
        fn the_automaton_and_the_naive_reading_agree(
            parts in proptest::collection::vec(
                proptest::sample::select(vec![
                    "bitcoin", " cash", "cash", "$", "BTC", "btc", "Eth", "ETH", "ether", "eum", " classic", "LINK", "link",
                    "luna", "terra", " usd", "usd", "_", " ", ".", "é", "吧", "s", "wrapped ", "UST", "1INCH", "crypto.com coin",
                ]),
                0..12,
            )
        ) {
            let text = parts.concat();
            let table = AssetTable::bundled().unwrap();
            let expected = naive(&table, &text);
            let matcher = AssetMatcher::new(table).unwrap();
            let got: Vec<_> = matcher.find(&text).iter().map(|hit| (hit.asset.id.clone(), hit.evidence)).collect();
            proptest::prop_assert_eq!(got, expected, "{}", text);
        }
    }
}
