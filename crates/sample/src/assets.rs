//! The assets that sample posts are about.

use rand::Rng;
use rand::rngs::SmallRng;

/// Name, ticker, share of the talk, and how people are disposed to it, from -1 to 1.
pub(crate) const ASSETS: [(&str, &str, f64, f64); 12] = [
    ("Bitcoin", "BTC", 0.26, 0.0),
    ("Ethereum", "ETH", 0.19, -0.2),
    ("Solana", "SOL", 0.12, 0.3),
    ("XRP", "XRP", 0.08, -0.35),
    ("Dogecoin", "DOGE", 0.07, 0.2),
    ("Cardano", "ADA", 0.06, -0.25),
    ("AVAX", "AVAX", 0.05, 0.15),
    ("Chainlink", "LINK", 0.05, 0.3),
    ("Polkadot", "DOT", 0.04, -0.3),
    ("Litecoin", "LTC", 0.03, -0.15),
    ("Uniswap", "UNI", 0.03, -0.1),
    ("Aave", "AAVE", 0.02, -0.4),
];

pub(crate) fn pick_asset(random: &mut SmallRng) -> usize {
    let mut roll: f64 = random.random();
    for (n, (_, _, share, _)) in ASSETS.iter().enumerate() {
        roll -= share;
        if roll < 0.0 {
            return n;
        }
    }
    0
}
