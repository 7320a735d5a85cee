//! Spam score and fingerprint of texts, for `models/spam`: one JSON object `{"text": ..., "author": ...}` a line in, one a line out. The first
//! argument is a file of weights to judge by (`models/sentiment/spam.bin`), `rules` for the reasons alone, or `slots` for the features to learn from.

use std::io::{self, BufRead, Write};
use std::{env, fs};

use serde::Deserialize;
use serde_json::json;
use vigie_processors::inference::SpamWeights;
use vigie_processors::text::fingerprint::Fingerprint;
use vigie_processors::text::spam;

#[derive(Deserialize)]
struct Line {
    text: String,
    author: Option<String>,
}

fn main() -> io::Result<()> {
    let by = env::args().nth(1).unwrap_or_else(|| "rules".to_owned());
    let is_file = by != "rules" && by != "slots";
    let weights = is_file.then(|| SpamWeights::read(&fs::read(&by)?).map_err(io::Error::other)).transpose()?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    for line in io::stdin().lock().lines() {
        let Line { text, author } = serde_json::from_str(&line?)?;
        if by == "slots" {
            writeln!(out, "{}", json!(spam::slots(&text, author.as_deref())))?;
            continue;
        }
        let spam = spam::judge(&text, author.as_deref(), weights.as_ref());
        let bands = Fingerprint::of(&text).map(Fingerprint::bands);
        writeln!(out, "{}", json!({"spam_score": spam.score, "spam_reasons": spam.reasons, "bands": bands}))?;
    }
    out.flush()
}
