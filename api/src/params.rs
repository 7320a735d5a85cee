use std::ops::RangeInclusive;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use vigie_schemas::LIVE_RUN;

use crate::problem::{Problem, WrongParameter};
use crate::time::{self, UtcTime};

/// The query parameters of a request. Each is taken by name; [`Params::finish`] then answers with every mistake at once:
/// values that do not parse, parameters given twice, and names that nobody asked for.
#[derive(Debug)]
pub(crate) struct Params {
    pairs: Vec<(String, String)>,
    expected: Vec<&'static str>,
    wrong: Vec<WrongParameter>,
}

/// A parameter with a fixed set of values.
pub(crate) trait Choice: Copy + 'static {
    const ALL: &'static [(&'static str, Self)];
}

impl Params {
    pub(crate) fn parse(query: &str) -> Self {
        let pairs = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        Self { pairs, expected: Vec::new(), wrong: Vec::new() }
    }

    pub(crate) fn text(&mut self, name: &'static str, max_chars: usize) -> Option<String> {
        let text = self.take(name)?;
        if text.is_empty() || text.chars().count() > max_chars {
            self.reject(name, format!("{} characters, expected 1 to {max_chars}", text.chars().count()));
            return None;
        }
        Some(text)
    }

    pub(crate) fn time(&mut self, name: &'static str) -> Option<UtcTime> {
        self.instant(name, time::parse)
    }

    /// The end of a range: of a date, the end of that day.
    pub(crate) fn end(&mut self, name: &'static str) -> Option<UtcTime> {
        self.instant(name, time::parse_end)
    }

    fn instant(&mut self, name: &'static str, parse: fn(&str) -> Result<UtcTime, String>) -> Option<UtcTime> {
        let text = self.take(name)?;
        match parse(&text) {
            Ok(time) => Some(time),
            Err(detail) => {
                self.reject(name, detail);
                None
            }
        }
    }

    pub(crate) fn integer(&mut self, name: &'static str, range: RangeInclusive<i64>, default: i64) -> i64 {
        let Some(text) = self.take(name) else { return default };
        match text.parse() {
            Ok(value) if range.contains(&value) => value,
            _ => {
                self.reject(name, format!("{text:?}, expected {} to {}", range.start(), range.end()));
                default
            }
        }
    }

    pub(crate) fn flag(&mut self, name: &'static str) -> bool {
        let Some(text) = self.take(name) else { return false };
        match text.as_str() {
            "true" | "" => true,
            "false" => false,
            _ => {
                self.reject(name, format!("{text:?}, expected true or false"));
                false
            }
        }
    }

    pub(crate) fn choice<T: Choice>(&mut self, name: &'static str) -> Option<T> {
        let text = self.take(name)?;
        self.one_of(name, &text)
    }

    /// Values separated by commas.
    pub(crate) fn choices<T: Choice>(&mut self, name: &'static str) -> Option<Vec<T>> {
        let text = self.take(name)?;
        Some(text.split(',').filter_map(|word| self.one_of(name, word)).collect())
    }

    /// The run whose results are asked for.
    pub(crate) fn run(&mut self) -> String {
        self.text("run", 128).unwrap_or_else(|| LIVE_RUN.to_owned())
    }

    pub(crate) fn reject(&mut self, name: &'static str, detail: String) {
        self.wrong.push(WrongParameter { parameter: name.to_owned(), detail });
    }

    /// `from` must be before `to`.
    pub(crate) fn check_order(&mut self, from: Option<UtcTime>, to: Option<UtcTime>) {
        if let (Some(from), Some(to)) = (from, to)
            && from >= to
        {
            self.reject("from", format!("{from}, expected a time before to ({to})"));
        }
    }

    pub(crate) fn finish(mut self) -> Result<(), Problem> {
        for (name, _) in std::mem::take(&mut self.pairs) {
            let known = if self.expected.is_empty() { "none".to_owned() } else { self.expected.join(", ") };
            let detail = format!("unknown parameter, expected {known}");
            let name = name.chars().take(64).collect();
            self.wrong.push(WrongParameter { parameter: name, detail });
        }
        if self.wrong.is_empty() { Ok(()) } else { Err(Problem::invalid_parameters(self.wrong)) }
    }

    fn one_of<T: Choice>(&mut self, name: &'static str, text: &str) -> Option<T> {
        if let Some((_, value)) = T::ALL.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let words: Vec<&str> = T::ALL.iter().map(|(word, _)| *word).collect();
        self.reject(name, format!("{text:?}, expected {}", words.join(", ")));
        None
    }

    fn take(&mut self, name: &'static str) -> Option<String> {
        self.expected.push(name);
        let at = self.pairs.iter().position(|(n, _)| n == name)?;
        let (_, value) = self.pairs.remove(at);
        if self.pairs.iter().any(|(n, _)| n == name) {
            self.pairs.retain(|(n, _)| n != name);
            self.reject(name, "given more than once, expected once".to_owned());
        }
        Some(value)
    }
}

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self::parse(parts.uri.query().unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mistake_is_listed() {
        let mut params = Params::parse("from=yesterday&limit=0&limit=2&colour=red&lineage=maybe");
        assert_eq!(params.time("from"), None);
        params.integer("limit", 1..=200, 50);
        params.flag("lineage");
        let problem = params.finish().unwrap_err();
        let mut names: Vec<_> = problem.errors.iter().map(|e| e.parameter.as_str()).collect();
        names.dedup();
        assert_eq!(names, ["from", "limit", "lineage", "colour"]);
    }

    #[test]
    fn from_is_before_to() {
        let mut params = Params::parse("from=2022-05-10&to=2022-05-09");
        let (from, to) = (params.time("from"), params.time("to"));
        params.check_order(from, to);
        assert_eq!(params.finish().unwrap_err().errors[0].parameter, "from");
    }
}
