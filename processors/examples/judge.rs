//! Spam score and fingerprint of texts, for `models/spam`: one JSON object `{"text": ..., "author": ...}` a line in, one a line out.

use std::io::{self, BufRead, Write};

use serde::Deserialize;
use serde_json::json;
use vigie_processors::text::fingerprint::Fingerprint;
use vigie_processors::text::spam;

#[derive(Deserialize)]
struct Line {
    text: String,
    author: Option<String>,
}

fn main() -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    for line in io::stdin().lock().lines() {
        let Line { text, author } = serde_json::from_str(&line?)?;
        let spam = spam::judge(&text, author.as_deref());
        let bands = Fingerprint::of(&text).map(Fingerprint::bands);
        writeln!(out, "{}", json!({"spam_score": spam.score, "spam_reasons": spam.reasons, "bands": bands}))?;
    }
    out.flush()
}
