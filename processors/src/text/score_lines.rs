//! `vigie model score`: one text per line in, one JSON object per line out.
//!
//! Memory is bounded: lines are read in batches of [`BATCH_LINES`] or [`BATCH_BYTES`], and of one line no more than
//! [`MAX_LINE_BYTES`] are kept (the rest is skipped, and the answer flagged `truncated`).

use std::io::{self, BufRead, Write};

use serde::Serialize;
use thiserror::Error;

use crate::assets::Evidence;
use crate::inference::{Label, ModelError, Probabilities};
use crate::text::analysis::{Analyser, Analysis, Subject};

/// Most lines that are answered at a time.
pub const BATCH_LINES: usize = 64;
/// Bytes of text after which a batch is answered.
pub const BATCH_BYTES: usize = 1024 * 1024;
/// Most bytes of one line that are looked at.
pub const MAX_LINE_BYTES: usize = 4 * 1024 * 1024;

/// Why scoring stopped.
#[derive(Debug, Error)]
pub enum ScoreLinesError {
    /// The input failed.
    #[error("cannot read line {line}")]
    Read {
        /// Line number, from 1.
        line: u64,
        /// The cause.
        source: io::Error,
    },
    /// The output failed, for example because its reader has gone.
    #[error("cannot write the answers")]
    Write(#[source] io::Error),
    /// The model failed.
    #[error(transparent)]
    Model(#[from] ModelError),
}

/// One output line.
#[derive(Debug, Serialize)]
struct Answer<'a> {
    label: Option<Label>,
    score: Option<f64>,
    probabilities: Option<Probabilities>,
    language: Option<&'a str>,
    assets: Vec<AssetAnswer<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    /// Only the beginning was read by the model.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    truncated: bool,
    /// The line was not UTF-8; each bad sequence was read as U+FFFD.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    invalid_utf8: bool,
}

/// The mood is that towards the asset, or of the text where that was not separated.
#[derive(Debug, Serialize)]
struct AssetAnswer<'a> {
    asset: &'a str,
    evidence: Evidence,
    label: Option<Label>,
    score: Option<f64>,
}

struct Line {
    text: String,
    invalid_utf8: bool,
    truncated: bool,
}

/// Answers every line of `input` on `output`, in order, blank ones included; returns how many.
pub fn score_lines(
    analyser: &mut Analyser,
    mut input: impl BufRead,
    mut output: impl Write,
) -> Result<u64, ScoreLinesError> {
    let mut answered = 0;
    loop {
        let batch = read_batch(&mut input)
            .map_err(|(read, source)| ScoreLinesError::Read { line: answered + read as u64 + 1, source })?;
        if batch.is_empty() {
            return Ok(answered);
        }
        let texts: Vec<Subject<'_>> = batch.iter().map(|line| line.text.as_str().into()).collect();
        let analyses = analyser.analyse(&texts)?;
        for (line, analysis) in batch.iter().zip(&analyses) {
            write_answer(&mut output, line, analysis).map_err(ScoreLinesError::Write)?;
        }
        output.flush().map_err(ScoreLinesError::Write)?;
        answered += batch.len() as u64;
    }
}

fn write_answer(output: &mut impl Write, line: &Line, analysis: &Analysis) -> io::Result<()> {
    let sentiment = analysis.sentiment.as_ref();
    let assets = analysis.assets.iter().map(|mentioned| {
        let mood = analysis.sentiment_of(mentioned);
        let (label, score) = (mood.map(|mood| mood.label), mood.map(|mood| mood.score));
        AssetAnswer { asset: &mentioned.asset, evidence: mentioned.evidence, label, score }
    });
    let answer = Answer {
        label: sentiment.map(|sentiment| sentiment.label),
        score: sentiment.map(|sentiment| sentiment.score),
        probabilities: sentiment.map(|sentiment| sentiment.probabilities),
        language: analysis.language,
        assets: assets.collect(),
        reason: analysis.unscored_reason.as_deref(),
        truncated: line.truncated || sentiment.is_some_and(|sentiment| sentiment.truncated),
        invalid_utf8: line.invalid_utf8,
    };
    serde_json::to_writer(&mut *output, &answer)?;
    output.write_all(b"\n")
}

/// The next lines; on failure, how many of the batch had been read before.
fn read_batch(input: &mut impl BufRead) -> Result<Vec<Line>, (usize, io::Error)> {
    let mut batch: Vec<Line> = Vec::new();
    let mut bytes = 0;
    while batch.len() < BATCH_LINES && bytes < BATCH_BYTES {
        let Some(line) = read_line(input).map_err(|error| (batch.len(), error))? else { break };
        bytes += line.text.len();
        batch.push(line);
    }
    Ok(batch)
}

/// One line without its end (`\n` or `\r\n`), or none at the end of the input.
fn read_line(input: &mut impl BufRead) -> io::Result<Option<Line>> {
    let mut kept: Vec<u8> = Vec::new();
    let mut truncated = false;
    let mut any = false;
    loop {
        let chunk = match input.fill_buf() {
            Ok(chunk) => chunk,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if chunk.is_empty() {
            break;
        }
        any = true;
        let end = chunk.iter().position(|&byte| byte == b'\n');
        let piece = &chunk[..end.unwrap_or(chunk.len())];
        let room = MAX_LINE_BYTES - kept.len();
        truncated |= piece.len() > room;
        kept.extend_from_slice(&piece[..piece.len().min(room)]);
        let used = end.map_or(chunk.len(), |end| end + 1);
        input.consume(used);
        if end.is_some() {
            break;
        }
    }
    if !any {
        return Ok(None);
    }
    if kept.last() == Some(&b'\r') {
        kept.pop();
    }
    let (text, invalid_utf8) = match String::from_utf8(kept) {
        Ok(text) => (text, false),
        Err(error) => (String::from_utf8_lossy(error.as_bytes()).into_owned(), true),
    };
    Ok(Some(Line { text, invalid_utf8, truncated }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::analysis::tests::analyser;

    fn answers(input: &[u8]) -> Vec<serde_json::Value> {
        let mut output = Vec::new();
        let count = score_lines(&mut analyser(), input, &mut output).unwrap();
        let lines: Vec<_> =
            String::from_utf8(output).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len() as u64, count);
        lines
    }

    #[test]
    fn every_line_is_answered_in_order() {
        let lines = answers(b"I love ETH\n\n   \nthis is bad and it is a crash\r\nno line end, still good");
        assert_eq!(lines.len(), 5);
        assert_eq!(lines[0]["label"], "positive");
        assert_eq!(lines[0]["assets"][0]["asset"], "ETH");
        assert_eq!(lines[0]["language"], "en");
        assert_eq!(lines[1]["label"], serde_json::Value::Null);
        assert_eq!(lines[1]["reason"], "empty");
        assert_eq!(lines[2]["reason"], "empty");
        assert_eq!(lines[3]["label"], "negative");
        assert_eq!(lines[4]["label"], "positive");
    }

    #[test]
    fn bytes_that_are_not_utf8_are_replaced_and_flagged() {
        let lines = answers(b"this is good \xff\xfe\nand this is fine\n");
        assert_eq!(lines[0]["invalid_utf8"], true);
        assert_eq!(lines[0]["label"], "positive");
        assert!(lines[1].get("invalid_utf8").is_none());
    }

    #[test]
    fn a_line_over_the_limit_is_cut_and_flagged_and_the_next_is_whole() {
        let mut input = b"this is good ".repeat(MAX_LINE_BYTES / 13 + 10);
        input.extend_from_slice(b"\nthis is bad\n");
        let lines = answers(&input);
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["truncated"], true);
        assert_eq!(lines[1]["label"], "negative");
    }

    #[test]
    fn more_lines_than_a_batch_are_all_answered() {
        assert_eq!(answers(&b"this is good\n".repeat(BATCH_LINES * 2 + 1)).len(), BATCH_LINES * 2 + 1);
    }
}
