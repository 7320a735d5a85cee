use super::*;

fn matcher() -> &'static AssetMatcher {
    static MATCHER: std::sync::LazyLock<AssetMatcher> =
        std::sync::LazyLock::new(|| AssetMatcher::new(AssetTable::bundled().unwrap()).unwrap());
    &MATCHER
}

fn found(text: &str) -> Vec<String> {
    matcher().find(text).iter().map(|hit| format!("{} {}", hit.asset.id, hit.evidence)).collect()
}

fn ids(text: &str) -> String {
    matcher().find(text).iter().map(|hit| hit.asset.id.as_str()).collect::<Vec<_>>().join(" ")
}

#[test]
fn cashtags_count_in_any_case_and_beat_weaker_evidence() {
    assert_eq!(found("bitcoin, BTC and $btc"), ["BTC cashtag"]);
    assert_eq!(found("$link $NEAR $One"), ["LINK cashtag", "NEAR cashtag", "ONE cashtag"]);
    assert!(found("US$NEAR, $").is_empty());
}

#[test]
fn look_alikes_do_not_count_without_evidence() {
    assert!(found("NEAR THE LINK THERE IS NOT ONE GAS STATION, APT").is_empty());
    assert!(found("People near one apt, not a gas link").is_empty());
    assert!(found("CRYPTO IS NOT THE LINK TO ONE OP ON A SAND BEACH").is_empty());
    assert!(found("Avalanche kills three, the cosmos is stellar").is_empty());
    assert!(found("Optimism returns to crypto markets near the curve").is_empty());
    assert_eq!(found("Chainlink and Near Protocol"), ["LINK name", "NEAR name"]);
}

#[test]
fn ambiguous_tickers_count_in_a_text_with_context() {
    assert_eq!(ids("LINK in bio"), "");
    assert_eq!(ids("LINK is my favourite altcoin"), "LINK");
    assert_eq!(ids("BTC fell, SOL did not"), "BTC SOL");
    assert_eq!(ids("crypto LINK: https://example.com"), "");
    assert_eq!(ids("is ADA better than SOL"), "SOL ADA");
    assert_eq!(ids("OP asks about crypto"), "", "on forums OP is the author");
    assert_eq!(ids("OP token holders"), "OP");
}

#[test]
fn evidence_beside_a_ticker_needs_no_context() {
    for text in [
        "500 NEAR",
        "1.5k NEAR",
        "3 million NEAR",
        "bought NEAR",
        "sold my NEAR",
        "NEAR holders",
        "NEAR at $5",
        "NEAR +4%",
    ] {
        assert_eq!(ids(text), "NEAR", "{text}");
    }
    assert_eq!(ids("0.5sol and 2ETH"), "ETH SOL");
    assert_eq!(ids("$500 NEAR the beach"), "");
}

#[test]
fn enumerations_carry_evidence_in_both_directions() {
    assert_eq!(ids("sol, ada and btc"), "BTC SOL ADA");
    assert_eq!(ids("40% BTC, 30% LINK"), "BTC LINK");
    assert_eq!(ids("SOL/JUP"), "SOL JUP");
    assert_eq!(ids("RGT and CREAM flash green"), "CREAM RGT", "a ticker that counts with a dollar sign");
    assert_eq!(ids("Avalanche, Cosmos and Near"), "AVAX ATOM NEAR");
    assert_eq!(ids("bitcoin is near, the dot is not"), "BTC");
}

#[test]
fn names_that_are_words_need_a_capital_and_more() {
    assert_eq!(ids("stablecoins on Polygon"), "POL");
    assert_eq!(ids("a polygon of stablecoins"), "");
    assert_eq!(ids("Curve pools"), "CRV");
    assert_eq!(ids("Curve fitting with crypto data"), "");
    assert_eq!(ids("a ripple effect, Ripple effects"), "");
    assert_eq!(ids("Ripple wins"), "XRP");
    assert_eq!(ids("Harmony (ONE), One (ONE)"), "ONE");
    assert_eq!(ids("I tether my phone, a Tether audit"), "USDT");
}

#[test]
fn pairs_count_with_their_base_and_with_bitcoin_as_quote() {
    assert_eq!(found("ONE/USDT"), ["ONE pair"]);
    assert_eq!(found("SOL-PERP, link-usd and BTCUSDT.P"), ["BTC pair", "SOL pair", "LINK pair"]);
    assert_eq!(found("ETH/BTC"), ["BTC ticker", "ETH pair"]);
    assert_eq!(ids("ADABTC"), "BTC ADA");
    assert_eq!(ids("one-usd country entry EUR/USD"), "");
    assert_eq!(ids("XYZQ/USDT #Huobi-USDT #XYZQ/#USDT XYZQ-PERP"), "", "bases that the table does not have");
    assert_eq!(ids("USDT lost its peg"), "USDT");
}

#[test]
fn bare_tickers_count_as_they_are_spelled() {
    assert_eq!(found("AXS"), ["AXS ticker"]);
    assert!(found("the axs is bent").is_empty());
    assert_eq!(ids("stETH and meth"), "STETH");
    assert_eq!(found("btc eth ust luna"), ["BTC name", "ETH name", "LUNA name", "UST name"]);
}

#[test]
fn neighbours_must_not_be_word_characters() {
    assert!(found("method ETHER2 bitcoin_price éeth ethé").is_empty());
    assert_eq!(found("#BTC,(ETH)/solana-based"), ["BTC ticker", "ETH ticker", "SOL name"]);
    assert_eq!(found("买BTC吧"), ["BTC ticker"]);
    assert_eq!(ids("ビットコインが上がる"), "BTC");
}

#[test]
fn plurals_and_possessives_count() {
    assert_eq!(ids("bitcoins, BTCs, Solana's, Cardano\u{2019}s"), "BTC SOL ADA");
}

#[test]
fn the_longest_candidate_wins_and_a_failed_longer_one_hides_nothing() {
    assert_eq!(found("bitcoin cash"), ["BCH name"]);
    assert_eq!(found("bitcoin cashier"), ["BTC name"]);
    assert_eq!(found("Ethereum Classic vs ethereum"), ["ETH name", "ETC name"]);
    assert_eq!(found("wrapped bitcoin"), ["WBTC name"]);
}

#[test]
fn hashtags_are_taken_apart_at_capitals() {
    assert_eq!(ids("#BitcoinHalving #XRPArmy #ShibaInu #bitcoinnews"), "BTC XRP SHIB");
    assert_eq!(ids("#BuyEthereum"), "ETH");
    assert_eq!(ids("#together #method #Linkage"), "");
    assert_eq!(ids("#near #crypto"), "NEAR");
    assert_eq!(ids("#bitcoin #tron #cosmos #airdrop"), "BTC TRX ATOM", "names that are words, without a capital");
}

#[test]
fn addresses_count_in_full_and_in_urls() {
    let usdt = "0xdAC17F958D2ee523a2206206994597C13D831ec7";
    assert_eq!(found(&format!("is {usdt} right?")), ["USDT contract"]);
    assert_eq!(found(&format!("https://etherscan.io/token/{usdt}?a=1")), ["USDT contract"]);
    assert!(found(&usdt[..41]).is_empty());
    let mint = "EKpQGSJtjMFqKZ9KQanSqYXRcF8fBopzLHYxdM65zcjm";
    assert_eq!(found(mint), ["WIF contract"]);
    assert!(found(&mint.to_lowercase()).is_empty(), "mints have letter case");
}

#[test]
fn urls_and_names_of_people_are_no_evidence() {
    assert!(found("https://example.com/bitcoin-price/BTC vitalik.eth bitcoin.eth @btc_maxi").is_empty());
    assert_eq!(found("voted by uniswap.eth"), ["UNI ens"]);
    assert_eq!(found("(https://t.co/ab) bitcoin"), ["BTC name"]);
}

#[test]
fn old_names_belong_to_what_took_their_place() {
    assert_eq!(ids("MATIC, FTM, RNDR, KLAY, MIOTA, GNT, LEND, XRB"), "POL IOTA S AAVE RENDER XNO KAIA GLM");
    assert_eq!(found("Terra's UST depegs, $LUNA falls 90%"), ["LUNA cashtag", "UST ticker"]);
    assert_eq!(found("TerraUSD and luna classic"), ["LUNC name", "UST name"]);
}

#[test]
fn scratch_of_an_earlier_text_leaves_no_trace() {
    let mut scratch = Scratch::default();
    let mut count = |text: &str| matcher().find_with(&mut scratch, text).count();
    assert_eq!([count("BTC and ETH"), count("nothing"), count("$sol")], [2, 0, 1]);
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_and_names_each_asset_once_in_table_order(
        parts in proptest::collection::vec(
            proptest::prop_oneof![
                proptest::sample::select(vec![
                    "bitcoin", " cash", "$", "#", "@", "BTC", "btc", "SOL", "link", "USDT", "/", "-", "_", " ", ".eth", "http://", "0x", "500",
                    "%", "'s", "s", "é", "吧", "😀", "ɏ", "ɐ", ",", " and ", "token", "\n", "curve", "Curve", "Zb",
                ]).prop_map(str::to_owned),
                ".{0,3}",
            ],
            0..16,
        )
    ) {
        let text = parts.concat();
        let places: Vec<usize> = matcher()
            .find(&text)
            .iter()
            .map(|hit| matcher().table().assets().iter().position(|asset| asset.id == hit.asset.id).unwrap())
            .collect();
        proptest::prop_assert!(places.is_sorted_by(|a, b| a < b), "{:?}: {:?}", text, places);
    }
}

use proptest::strategy::Strategy;

#[test]
fn the_words_around_decide_where_the_rules_leave_a_doubt() {
    for (text, asset) in [
        ("SUI at new all-time highs", "SUI"),
        ("LINK breaking out", "LINK"),
        ("claim your JUP before Friday", "JUP"),
        ("Polygon fees are low", "POL"),
        ("Optimism upgrade ships", "OP"),
    ] {
        assert_eq!(ids(text), asset, "{text}");
    }
    for text in [
        "LINK in bio",
        "NEAR the top",
        "OP said he sold",
        "Compound interest",
        "Curve ahead, slow down",
        "vous écoutez Jupiter FM, la radio des années 80",
        "Avalanche win in overtime",
    ] {
        assert_eq!(ids(text), "", "{text}");
    }
}

#[test]
fn shares_and_dogs_are_no_coins() {
    assert_eq!(ids("DoorDash $DASH beats earnings"), "");
    assert_eq!(ids("$STX revenue up, EPS beats, price target raised by analysts"), "");
    assert_eq!(ids("$DASH masternodes vote on the mainnet"), "DASH");
    assert_eq!(ids("SEI mainnet upgrade, ATOM validators earn too much, OP unlock next week"), "ATOM SEI OP");
    assert_eq!(ids("Shiba Inu puppies for sale"), "");
    assert_eq!(ids("Shiba Inu price jumps"), "SHIB");
}

#[test]
fn one_wrong_letter_inside_a_long_name_counts() {
    assert_eq!(ids("Etherium, Bitcon, Chianlink and Litcoin"), "BTC ETH LINK LTC");
    assert_eq!(ids("Solona is down again"), "SOL");
    // Software, other words, and what is cut off.
    assert_eq!(ids("bitcoind, bitcorn, ethereu, Solano, Montero"), "");
}

#[test]
fn names_in_other_scripts_count_inside_words() {
    assert_eq!(ids("цена биткоина растет, солана падает"), "BTC SOL");
    assert_eq!(ids("比特币大涨"), "BTC");
    assert_eq!(ids("Bitcoinin fiyatı, kurz bitcoinu, биток упал"), "BTC");
    assert_eq!(ids("ビットコインキャッシュ"), "BCH");
    assert_eq!(ids("스파이더맨, 도지사"), "");
}
