//! Words of the posts. Most are German, which the model does not score, so that the model is not what the run waits for; one in twelve
//! is English.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

/// How assets are spelt; each is found by the asset table, and they lie in all partitions of the mentions.
pub(crate) const ASSETS: [&str; 14] = [
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
    "Litecoin",
    "Tether",
    "BNB",
];

const GERMAN: [&str; 6] = [
    "Der Kurs von {} ist heute nicht gut und das gefällt mir überhaupt nicht, Nummer #",
    "Ich habe {} gestern gekauft und bin sehr zufrieden mit dem, was ich sehe, Beleg #",
    "Wer hat noch {} und warum ist das so, ich verstehe es nicht mehr, Frage #",
    "Die Gebühren bei {} sind wieder hoch und es wird nicht besser, Meldung #",
    "Was ist mit {} los, das war doch gestern noch ganz anders, Zeile #",
    "Nach dem Absturz von {} ist die Stimmung bei uns nicht die beste, Eintrag #",
];

const ENGLISH: [&str; 6] = [
    "I have been holding {} since last year and I am happy with what I see, note #",
    "{} lost half of its value in a week and nobody seems to care about it, note #",
    "Can somebody explain why {} is bleeding while the team stays silent, note #",
    "{} has never looked healthier from where I stand, this is great news, note #",
    "{} moves sideways as it did all month and there is nothing new to say, note #",
    "I sold all of my {} because this is a terrible project and a scam, note #",
];

/// Three of them end each post: without, most posts would be copies of each other.
const WORDS: [&str; 32] = [
    "Oslo", "Lima", "Quito", "Accra", "Turin", "Bergen", "Riga", "Delhi", "Dakar", "Tunis", "Hanoi", "Seoul", "Perth",
    "Leeds", "Essen", "Basel", "Malmo", "Ghent", "Lyon", "Osaka", "Kyoto", "Davos", "Sofia", "Minsk", "Varna",
    "Zagreb", "Tartu", "Vilnius", "Cairo", "Izmir", "Lagos", "Havana",
];

/// Title and text of post number `number`.
pub(super) fn text(rng: &mut StdRng, number: u64) -> (Option<String>, String) {
    // Tickers and numbers alone have no language.
    if rng.random_ratio(1, 15) {
        let mut ticker =
            || ["BTC", "ETH", "SOL", "ADA", "LINK", "XRP", "DOGE", "DOT", "AVAX", "LTC"][rng.random_range(0..10)];
        return (None, format!("${} {number} ${}", ticker(), ticker()));
    }
    let templates = if rng.random_ratio(1, 12) { &ENGLISH } else { &GERMAN };
    let mut pick = |from: &[&'static str]| *from.choose(rng).unwrap_or(&"");
    let (template, asset, other) = (pick(templates), pick(&ASSETS), pick(&ASSETS));
    let number = [&*number.to_string(), pick(&WORDS), pick(&WORDS), pick(&WORDS)].join(" ");
    let (named, titled) = (rng.random_ratio(1, 2), rng.random_ratio(1, 5));
    // Half of the posts name a second asset.
    let assets = if named { format!("{asset} / {other}") } else { asset.to_owned() };
    let text = template.replace("{}", &assets).replace('#', &number);
    (titled.then(|| "Eine Frage an euch alle".to_owned()).filter(|_| templates == &GERMAN), text)
}
