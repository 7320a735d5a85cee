//! `vigie model detect`: `timestamp,value` in, `timestamp,value,anomaly_score,p10,p50,p90,tail_probability,alarm` out, row by row.

use std::io::{self, BufRead, Read, Write};

use thiserror::Error;

use super::{RowForecaster, SharedForecaster};
use crate::anomaly::{InvalidCount, OnlineAnomaly};
use crate::inference::ModelError;

/// Most bytes of a line; a longer one is no row of this format.
const MAX_LINE_BYTES: u64 = 4096;

/// Why detection stopped. Rows before the named line have been answered.
#[derive(Debug, Error)]
pub enum DetectError {
    /// The input failed.
    #[error("cannot read line {line}")]
    Read {
        /// Line number, from 1.
        line: u64,
        /// The cause.
        source: io::Error,
    },
    /// The output failed.
    #[error("cannot write the answers")]
    Write(#[source] io::Error),
    /// The file is empty or its first line is not the header.
    #[error("line 1 is {found:?}, expected the header timestamp,value, or the API's CSV of a series with posts")]
    Header {
        /// The first line.
        found: String,
    },
    /// The forecaster failed.
    #[error("cannot forecast line {line}")]
    Forecast {
        /// Line number, from 1.
        line: u64,
        /// The cause.
        source: ModelError,
    },
    /// A row is not `timestamp,value`.
    #[error("line {line}: {detail}")]
    Row {
        /// Line number, from 1.
        line: u64,
        /// What was found and what was expected.
        detail: String,
    },
}

/// Judges each row by the rows before it and writes it with its verdict before the next is read; timestamps and
/// values are passed through as written, quantiles and tail probability are empty while warming up; `alarm` is 1 once per event, from a score of
/// `alarm_from` on. The quantiles are those of the forecaster, or without one, and for rows
/// that are not 5 minutes apart, those of the detector. Returns the number of rows.
pub fn detect_csv(
    mut input: impl BufRead,
    mut output: impl Write,
    forecaster: Option<SharedForecaster>,
    alarm_from: f64,
) -> Result<u64, DetectError> {
    let header = read_line(&mut input, 1)?.unwrap_or_default();
    let Some(columns) = Columns::of(&header) else { return Err(DetectError::Header { found: header }) };
    let written = DetectError::Write;
    writeln!(output, "timestamp,value,anomaly_score,p10,p50,p90,tail_probability,alarm").map_err(written)?;
    let mut detector = OnlineAnomaly::new();
    let mut forecaster = forecaster.map(RowForecaster::new);
    let mut line = 1;
    let mut rows = 0;
    while let Some(text) = read_line(&mut input, line + 1)? {
        line += 1;
        if text.is_empty() {
            continue;
        }
        let wrong = |detail: String| DetectError::Row { line, detail };
        let (timestamp, value) =
            columns.cells(&text).ok_or_else(|| wrong(format!("{text:?} is not {}", columns.names)))?;
        // Where nothing was observed the API says nothing, which is not 0.
        if columns.may_miss && value.is_empty() {
            continue;
        }
        let number: f64 =
            value.trim().parse().map_err(|_| wrong(format!("value {value:?} is not a number of 0 or more")))?;
        let refused = |error: InvalidCount| wrong(error.to_string());
        let mut anomaly = detector.update(number, alarm_from).map_err(refused)?;
        if let Some(forecaster) = &mut forecaster {
            let expected = forecaster.expected().map_err(|source| DetectError::Forecast { line, source })?;
            if let Some(forecast) = expected {
                anomaly.p10 = Some(forecast.next_window_p10);
                anomaly.p50 = Some(forecast.next_window_p50);
                anomaly.p90 = Some(forecast.next_window_p90);
            }
            forecaster.learn(timestamp, number).map_err(refused)?;
        }
        let cell = |quantile: Option<f64>| quantile.map(|count| format!("{count:.3}")).unwrap_or_default();
        let (p10, p50, p90) = (cell(anomaly.p10), cell(anomaly.p50), cell(anomaly.p90));
        let probability = anomaly.tail_probability.map(|p| format!("{p:.4e}")).unwrap_or_default();
        let (score, alarm) = (anomaly.score, u8::from(anomaly.alarm));
        writeln!(output, "{timestamp},{value},{score:.6},{p10},{p50},{p90},{probability},{alarm}").map_err(written)?;
        rows += 1;
    }
    output.flush().map_err(written)?;
    Ok(rows)
}

/// Where a row has its time and its value: in a file of both, or in the API's CSV of a series.
struct Columns {
    names: String,
    timestamp: usize,
    value: usize,
    may_miss: bool,
}

impl Columns {
    fn of(header: &str) -> Option<Self> {
        let names = header.trim_start_matches('\u{feff}').trim_end();
        if names == "timestamp,value" {
            return Some(Self { names: names.to_owned(), timestamp: 0, value: 1, may_miss: false });
        }
        let place = |name: &str| names.split(',').position(|column| column == name);
        Some(Self { names: names.to_owned(), timestamp: place("start")?, value: place("posts")?, may_miss: true })
    }

    fn cells<'a>(&self, row: &'a str) -> Option<(&'a str, &'a str)> {
        let cells: Vec<&str> = row.split(',').collect();
        let is_whole = cells.len() == self.names.split(',').count() && !cells[self.timestamp].is_empty();
        is_whole.then(|| (cells[self.timestamp], cells[self.value]))
    }
}

/// A line without its end, or none at the end of the input.
fn read_line(input: &mut impl BufRead, line: u64) -> Result<Option<String>, DetectError> {
    let mut bytes = Vec::new();
    let mut limited = input.take(MAX_LINE_BYTES + 1);
    let read = limited.read_until(b'\n', &mut bytes).map_err(|source| DetectError::Read { line, source })?;
    if read == 0 {
        return Ok(None);
    }
    if bytes.len() as u64 > MAX_LINE_BYTES {
        return Err(DetectError::Row { line, detail: format!("longer than {MAX_LINE_BYTES} bytes") });
    }
    let text = String::from_utf8(bytes).map_err(|_| DetectError::Row { line, detail: "not utf-8".to_owned() })?;
    Ok(Some(text.trim_end_matches(['\n', '\r']).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detect(input: &str) -> Result<String, DetectError> {
        let mut output = Vec::new();
        detect_csv(input.as_bytes(), &mut output, None, 0.5)?;
        Ok(String::from_utf8(output).unwrap())
    }

    fn series(rows: usize) -> String {
        let row = |row: usize| format!("2015-02-26 {:02}:{:02}:00,{}\n", row / 60, row % 60, 10 + row * 7 % 5);
        std::iter::once("timestamp,value\n".to_owned()).chain((0..rows).map(row)).collect()
    }

    #[test]
    fn a_series_of_the_api_is_read_as_it_comes() {
        let api = "start,end,posts,mean_score,windows,revision,final\r\n2026-01-01T00:00:00Z,2026-01-01T00:05:00Z,7,0.1,1,2,true\r\n\
                   2026-01-01T00:05:00Z,2026-01-01T00:10:00Z,,,0,,\r\n2026-01-01T00:10:00Z,2026-01-01T00:15:00Z,0,,0,,false\r\n";
        let output = detect(api).unwrap();
        let lines: Vec<&str> = output.lines().collect();
        assert_eq!(lines[1..], ["2026-01-01T00:00:00Z,7,0.000000,,,,,0", "2026-01-01T00:10:00Z,0,0.000000,,,,,0"]);
        assert!(detect("start,end,mean_score\n").is_err());
    }

    #[test]
    fn rows_are_passed_through_and_scored() {
        let output = detect(&series(60)).unwrap();
        let lines: Vec<&str> = output.lines().collect();
        assert_eq!(lines.len(), 61);
        assert_eq!(lines[0], "timestamp,value,anomaly_score,p10,p50,p90,tail_probability,alarm");
        assert_eq!(lines[1], "2015-02-26 00:00:00,10,0.000000,,,,,0");
        assert!(lines[60].split(',').skip(3).all(|cell| cell.parse::<f64>().is_ok()), "{}", lines[60]);
    }

    #[test]
    fn a_row_depends_on_earlier_rows_only() {
        let whole = detect(&series(120)).unwrap();
        let half = detect(&series(70)).unwrap();
        assert!(whole.starts_with(&half));
    }

    #[test]
    fn bad_rows_are_named_by_line() {
        let cases = [
            ("timestamp,value\na,1\nb,x\n", "line 3: value \"x\" is not a number of 0 or more"),
            ("timestamp,value\na,-4\n", "line 2: value -4 is no count, expected a finite number of 0 or more"),
            ("timestamp,value\na,NaN\n", "line 2: value NaN is no count, expected a finite number of 0 or more"),
            ("timestamp,value\na\n", "line 2: \"a\" is not timestamp,value"),
            ("timestamp,value\na,1,2\n", "line 2: \"a,1,2\" is not timestamp,value"),
            (
                "time,value\n",
                "line 1 is \"time,value\", expected the header timestamp,value, or the API's CSV of a series with posts",
            ),
            ("", "line 1 is \"\", expected the header timestamp,value, or the API's CSV of a series with posts"),
        ];
        for (input, message) in cases {
            assert_eq!(detect(input).unwrap_err().to_string(), message);
        }
        let endless = format!("timestamp,value\n{}", "9".repeat(100_000));
        assert_eq!(detect(&endless).unwrap_err().to_string(), "line 2: longer than 4096 bytes");
    }

    /// Writes `<DIR>/<name>.scored` for each `DIR/*.csv`, for the scoring script of `models/trend`:
    /// `VIGIE_TREND_DIR=DIR VIGIE_TREND_OUT=DIR cargo test -p vigie-processors --lib scores_of_a_folder -- --ignored`
    #[test]
    #[ignore = "a measurement over the folder named by VIGIE_TREND_DIR"]
    fn scores_of_a_folder() {
        let folder = |name| std::path::PathBuf::from(std::env::var(name).expect("both folders are named"));
        for entry in std::fs::read_dir(folder("VIGIE_TREND_DIR")).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "csv") {
                let input = io::BufReader::new(std::fs::File::open(&path).unwrap());
                let name = path.file_name().unwrap();
                detect_csv(input, std::fs::File::create(folder("VIGIE_TREND_OUT").join(name)).unwrap(), None, 0.5)
                    .unwrap();
            }
        }
    }
}
