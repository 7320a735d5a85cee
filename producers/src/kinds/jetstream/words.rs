//! The words by which posts are kept.

/// What is listened for where a source names no words: assets and what belongs to them, as few ambiguous ones as can be.
pub const DEFAULT_WORDS: &str = "\
    bitcoin bitcoins btc ethereum ether solana ripple xrp cardano dogecoin litecoin monero polkadot chainlink \
    avalanche uniswap arbitrum polygon toncoin tron binance coinbase kraken tether usdt usdc stablecoin \
    stablecoins altcoin altcoins memecoin memecoins shitcoin shitcoins crypto cryptos cryptocurrency \
    cryptocurrencies blockchain defi web3 nft nfts satoshi satoshis hodl kryptowährung kryptowährungen \
    cryptomonnaie cryptomonnaies criptomoneda criptomonedas criptomoeda criptomoedas ビットコイン 仮想通貨 暗号資産 비트코인 比特币 \
    加密货币 биткоин криптовалюта $btc $eth $sol $xrp $ada $doge $bnb $ltc $dot $link $avax $trx $ton $shib $pepe \
    $matic $xmr $uni $aave $arb $op $sui $apt $near $atom";

/// Words to look for, whole and in any case.
#[derive(Clone, Debug)]
pub struct Words {
    words: Vec<String>,
}

impl Words {
    /// These words; [`DEFAULT_WORDS`] if there are none.
    pub fn new(words: &[String]) -> Self {
        let words = if words.is_empty() {
            DEFAULT_WORDS.split(' ').map(str::to_owned).collect()
        } else {
            words.iter().map(|word| word.trim().to_lowercase()).filter(|word| !word.is_empty()).collect()
        };
        Self { words }
    }

    /// Whether a text holds one of them.
    pub fn are_in(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        self.words.iter().any(|word| holds(&text, word))
    }
}

fn holds(text: &str, word: &str) -> bool {
    let (first, last) = (word.chars().next(), word.chars().next_back());
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        !(joins(before) && joins(first) || joins(after) && joins(last))
    })
}

/// Whether a character joins its neighbours to a word: those of scripts that are written without spaces do not.
fn joins(c: Option<char>) -> bool {
    c.is_some_and(|c| c.is_alphanumeric() && c < '\u{0590}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_whole_in_any_case_and_script() {
        let words = Words::new(&[]);
        for text in [
            "BTC!",
            "#Bitcoin",
            "bought $sol today",
            "btcを買う",
            "今日ビットコインが上がった",
            "(crypto)",
            "Криптовалюта падает",
        ] {
            assert!(words.are_in(text), "{text}");
        }
        for text in ["", "cryptography", "a sol-fa", "abtc", "btcé", "$solid", "together"] {
            assert!(!words.are_in(text), "{text}");
        }
        let own = Words::new(&["  Proof of Stake ".into(), " ".into()]);
        assert!(own.are_in("why proof of stake?") && !own.are_in("bitcoin"));
    }
}
