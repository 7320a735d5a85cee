//! Dates as the web writes them.
//!
//! ISO 8601 in its many variants first; then by token, which reads what feeds in fact hold: wrong or foreign weekdays, long or foreign months, month before
//! day, two-digit years, zone names, twelve-hour clocks, no zone at all (taken as UTC). Of `5/1/2020` the order of day and month has to be known; where neither the
//! weekday nor the other dates of the document say it, the date is none: no date is better than one of a wrong month.

mod clock;
mod iso;
mod order;
mod words;

use jiff::ToSpan;
use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::{Offset, TimeZone};
use vigie_clock::Timestamp;

use order::Numbers;
pub(crate) use order::{Order, order};
use words::{month, weekday, zone};

/// The point in time that `text` names; `None` if it names none.
pub fn parse(text: &str) -> Option<Timestamp> {
    parse_as(text, None)
}

/// The same in a document that writes day and month in this order.
pub(crate) fn parse_as(text: &str, order: Option<Order>) -> Option<Timestamp> {
    let plain = text
        .contains(['\u{2212}', '\u{2010}', '\u{2011}'])
        .then(|| text.replace(['\u{2212}', '\u{2010}', '\u{2011}'], "-"));
    let text = plain.as_deref().unwrap_or(text).trim();
    if text.is_empty() || text.len() > 100 {
        return None;
    }
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Some(time.into());
    }
    if let Some(time) = iso::parse(text) {
        return Some(time);
    }
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return epoch(text);
    }
    let (text, offset) = words::without_ideographs(text);
    Parts::read(&text)?.time(order, TimeZone::fixed(offset))
}

/// Seconds or milliseconds since the epoch.
fn epoch(digits: &str) -> Option<Timestamp> {
    let number: i64 = digits.parse().ok()?;
    match digits.len() {
        9 | 10 => Some(Timestamp::from_millis(number * 1000)),
        12 | 13 => Some(Timestamp::from_millis(number)),
        _ => None,
    }
}

/// A day; one past the end of its month goes on into the next.
fn day_of(year: i16, month: i8, day: i8) -> Option<Date> {
    if !(1..=31).contains(&day) {
        return None;
    }
    Date::new(year, month, 1).ok()?.checked_add((i64::from(day) - 1).days()).ok()
}

fn at(time: DateTime, zone: TimeZone) -> Option<Timestamp> {
    time.to_zoned(zone).ok().map(|zoned| zoned.timestamp().into())
}

/// What has been read so far.
#[derive(Default)]
struct Parts {
    year: Option<i16>,
    month: Option<i8>,
    day: Option<i8>,
    /// Day and month in numbers, in an order that is not known.
    numbers: Option<Numbers>,
    weekday: Option<Weekday>,
    time: Option<(i8, i8, i8)>,
    afternoon: Option<bool>,
    zone: Option<TimeZone>,
    month_in_words: bool,
}

impl Parts {
    /// Reads a text; `None` if something in it makes the whole unreadable.
    fn read(text: &str) -> Option<Self> {
        let mut parts = Self::default();
        let text = clock::normal(&without_remarks(&text.to_lowercase()));
        for token in text.split(|c: char| c.is_whitespace() || matches!(c, ',' | '(' | ')' | '[' | ']')) {
            if !token.is_empty() {
                read_token(token, &mut parts)?;
            }
        }
        Some(parts)
    }

    fn date(&self, order: Option<Order>) -> Option<Date> {
        if let Some(numbers) = self.numbers {
            return numbers.date(self.weekday, order);
        }
        // "January 2020" begins on its first day, like "2020-01".
        let day = self.day.or_else(|| self.month_in_words.then_some(1));
        day_of(self.year?, self.month?, day?)
    }

    fn time(self, order: Option<Order>, zone: TimeZone) -> Option<Timestamp> {
        let date = self.date(order)?;
        let (mut hour, minute, second) = self.time.unwrap_or_default();
        match self.afternoon {
            Some(true) if hour < 12 => hour += 12,
            Some(false) if hour == 12 => hour = 0,
            _ => {}
        }
        // Hour 24 is midnight of the same day in the feeds that write it; second 60 is a leap second.
        let time = Time::new(hour % 24, minute, second.min(59), 0).ok()?;
        at(DateTime::from_parts(date, time), self.zone.unwrap_or(zone))
    }
}

/// A text without words in brackets behind a date, which are names of zones in any language ("Marshall Islands Time"), unless they are a zone that
/// is known.
fn without_remarks(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find(['(', '[']) {
        let (before, inside) = rest.split_at(open);
        out.push_str(before);
        let inside = &inside[1..];
        let (words, after) = inside.split_at(inside.find([')', ']']).unwrap_or(inside.len()));
        let is_date = !out.contains(|c: char| c.is_ascii_digit());
        if is_date || named_zone(words.trim()).is_some() || words.starts_with(['+', '-']) {
            out.push(' ');
            out.push_str(words);
        }
        out.push(' ');
        rest = after.get(1..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

/// A zone by its name: an abbreviation, or one of the time zone database, aliases included ("US/Eastern").
fn named_zone(name: &str) -> Option<TimeZone> {
    match zone(&name.to_lowercase()) {
        Some(quarters) => Some(TimeZone::fixed(Offset::from_seconds(quarters * 900).ok()?)),
        None if name.contains('/') => TimeZone::get(name).ok(),
        None => None,
    }
}

fn fixed(text: &str) -> Option<TimeZone> {
    numeric_offset(text).map(TimeZone::fixed)
}

/// Takes one token in; `None` if it makes the whole unreadable.
fn read_token(token: &str, parts: &mut Parts) -> Option<()> {
    // "GMT+0100", "UTC-05:00"
    if let Some(sign) = token.find(['+', '-'])
        && token[..sign].chars().all(char::is_alphabetic)
        && sign > 0
        && zone(&token[..sign].to_lowercase()) == Some(0)
    {
        parts.zone = Some(fixed(&token[sign..])?);
        return Some(());
    }
    if let Some(zone) = named_zone(token).filter(|_| token.contains('/')) {
        // What an offset says already is not said again.
        parts.zone.get_or_insert(zone);
        return Some(());
    }
    if token.contains(':') {
        let cut = token.find(['+', '-']).filter(|at| *at > 0);
        if token.starts_with(['+', '-']) {
            parts.zone = Some(fixed(token)?);
            return Some(());
        }
        let (clock, zone) = cut.map_or((token, None), |at| (&token[..at], Some(&token[at..])));
        let (clock, suffix) = match clock.find(|c: char| c.is_ascii_alphabetic()) {
            Some(at) => (clock.get(..at)?, clock.get(at..)?),
            None => (clock, ""),
        };
        let mut fields = clock.split(':').map(|f| f.split('.').next().unwrap_or_default().parse::<i8>());
        parts.time = Some((fields.next()?.ok()?, fields.next()?.ok()?, fields.next().unwrap_or(Ok(0)).ok()?));
        if fields.next().is_some() {
            return None;
        }
        if let Some(zone) = zone {
            parts.zone = Some(fixed(zone)?);
        }
        return if suffix.is_empty() { Some(()) } else { read_word(suffix, parts) };
    }
    if token.starts_with(['+', '-']) && token.len() >= 3 {
        // "-0000" too: an unknown zone is UTC.
        parts.zone = Some(fixed(token)?);
        return Some(());
    }
    if token.contains(['-', '/', '.']) && token.bytes().any(|b| b.is_ascii_digit()) {
        let pieces: Vec<&str> = token.split(['-', '/', '.']).filter(|piece| !piece.is_empty()).collect();
        if let [a, b, c] = pieces[..]
            && let (Ok(year), Ok(month), Ok(day)) = (a.parse::<i16>(), b.parse::<i8>(), c.parse::<i8>())
            && a.len() == 4
        {
            (parts.year, parts.month, parts.day) = (Some(year), Some(month), Some(day));
            return Some(());
        }
        if let Some(numbers) = Numbers::read(token, &pieces) {
            parts.numbers = Some(numbers);
            return Some(());
        }
        for piece in pieces {
            read_word_or_number(piece, parts)?;
        }
        return Some(());
    }
    read_word_or_number(token, parts)
}

fn read_word_or_number(token: &str, parts: &mut Parts) -> Option<()> {
    let digits = token.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == '.');
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return read_word(token, parts);
    }
    let number: i16 = digits.parse().ok()?;
    match (digits.len(), parts.day, parts.month, parts.year) {
        (4, _, _, None) => parts.year = Some(number),
        (4, _, _, Some(_)) if parts.time.is_none() => {
            parts.time = Some(((number / 100) as i8, (number % 100) as i8, 0))
        }
        // "4PM"
        (1 | 2, _, _, _)
            if parts.time.is_none() && matches!(token[digits.len()..].to_ascii_lowercase().as_str(), "am" | "pm") =>
        {
            parts.time = Some((i8::try_from(number).ok()?, 0, 0));
            parts.afternoon = Some(token.to_ascii_lowercase().ends_with("pm"));
        }
        (1 | 2, None, _, _) => parts.day = Some(i8::try_from(number).ok()?),
        (1 | 2, Some(_), None, _) if number <= 12 && parts.year.is_none() => {
            parts.month = Some(i8::try_from(number).ok()?)
        }
        (2, Some(_), Some(_), None) => parts.year = Some(full_year(number)),
        // The year since 1900, as programs from before 2000 count (RFC 5322, 4.3).
        (3, Some(_), Some(_), None) => parts.year = Some(1900 + number),
        _ => return None,
    }
    Some(())
}

/// A month, a zone or a half of the day. Other words (weekdays, "de", "at") mean nothing.
fn read_word(word: &str, parts: &mut Parts) -> Option<()> {
    let word = word.trim_matches('.').to_lowercase();
    if let Some(weekday) = weekday(&word) {
        parts.weekday = Some(weekday);
    }
    if let Some(month) = month(&word).filter(|_| !parts.month_in_words || parts.time.is_none()) {
        // The last one before the time counts: "mar, 05 gen 2021" is a Tuesday in January.
        parts.month = Some(month);
        parts.month_in_words = true;
    } else if matches!(word.as_str(), "pm" | "morning") || (word == "am" && parts.time.is_some()) {
        // "am 5. Januar" is no morning.
        parts.afternoon = Some(word == "pm");
    } else if parts.time.is_some() && parts.zone.is_none() {
        parts.zone = named_zone(&word);
    }
    Some(())
}

/// A year of two digits.
fn full_year(number: i16) -> i16 {
    if number < 70 { 2000 + number } else { 1900 + number }
}

fn numeric_offset(text: &str) -> Option<Offset> {
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let (hours, minutes) = match digits.len() {
        1 | 2 => (digits.parse::<i32>().ok()?, 0),
        4 => (digits[..2].parse().ok()?, digits[2..].parse().ok()?),
        _ => return None,
    };
    Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_real_feeds_are_read() {
        for (text, expected) in [
            ("2023-01-03T15:00:00Z", "2023-01-03T15:00:00Z"),
            ("2014-12-29T14:53:35+0200", "2014-12-29T12:53:35Z"),
            ("2016-10-01 10:00:00", "2016-10-01T10:00:00Z"),
            ("2016-10-01", "2016-10-01T00:00:00Z"),
            ("Mon, 23 Nov 2026 02:44:22 GMT", "2026-11-23T02:44:22Z"),
            ("Fri, Oct 7 2022 10:15:00 -0400", "2022-10-07T14:15:00Z"),
            ("26 August 2019 10:00:00 +0000", "2019-08-26T10:00:00Z"),
            ("Wed, 22 Jan 2020 10:58:02 -0000", "2020-01-22T10:58:02Z"),
            ("Wed, 25 Aug 2012 03:25:42 GMT", "2012-08-25T03:25:42Z"),
            ("24 Sep 2013 1:27 PDT", "2013-09-24T08:27:00Z"),
            ("5 Jun 2017 24:05 PDT", "2017-06-05T07:05:00Z"),
            ("Tue, 15 Nov 2022 20:15:04 Z", "2022-11-15T20:15:04Z"),
            ("mer, 16 nov 2022 00:38:15 +0100", "2022-11-15T23:38:15Z"),
            ("ven., 03 févr. 2023 08:00:00 +0100", "2023-02-03T07:00:00Z"),
            ("mar, 05 gen 2021 10:00:00 +0100", "2021-01-05T09:00:00Z"),
            ("03 Apr 02 1500 GMT", "2002-04-03T15:00:00Z"),
            ("Thu, 18 Jul 2019 3:05 PM EST", "2019-07-18T20:05:00Z"),
            ("2020/02/29 12:00:01", "2020-02-29T12:00:01Z"),
            ("2003-12-31T10:14Z", "2003-12-31T10:14:00Z"),
            ("2003-12-31T10Z", "2003-12-31T10:00:00Z"),
            ("2003-12-31t10:14:55z", "2003-12-31T10:14:55Z"),
            ("2003-12-31T10:14:55.1234999-08", "2003-12-31T18:14:55.123Z"),
            ("2003-12-31 10:14:55 -08:00", "2003-12-31T18:14:55Z"),
            ("20031231T101455Z", "2003-12-31T10:14:55Z"),
            ("20031231", "2003-12-31T00:00:00Z"),
            ("2003-365", "2003-12-31T00:00:00Z"),
            ("2003335", "2003-12-01T00:00:00Z"),
            ("2003-12", "2003-12-01T00:00:00Z"),
            ("2003", "2003-01-01T00:00:00Z"),
            ("Sun Jan  4 16:29:06 PDT 2004", "2004-01-04T23:29:06Z"),
            ("Thu, 1 Jan 2004 19:48:21 GMT+0100", "2004-01-01T18:48:21Z"),
            ("Thu, 01 Jan 2004 19:48:21 UTC-05:00", "2004-01-02T00:48:21Z"),
            ("10/13/2010 4:32 PM", "2010-10-13T16:32:00Z"),
            ("13/10/2010 16:32", "2010-10-13T16:32:00Z"),
            ("05.11.2021, 08:15", "2021-11-05T08:15:00Z"),
            ("1136073600", "2006-01-01T00:00:00Z"),
            ("2004-július-13T9:15-05:00", "2004-07-13T14:15:00Z"),
            ("Κυρ, 11 Ιούλ 2004 12:00:00 EST", "2004-07-11T17:00:00Z"),
            ("Пт, 05 мая 2023 10:00:00 +0300", "2023-05-05T07:00:00Z"),
            ("2004년 05월 28일 오후 11:31:25", "2004-05-28T14:31:25Z"),
            ("2021年3月4日 10:20", "2021-03-04T10:20:00Z"),
            ("2003-W01-3", "2003-01-01T00:00:00Z"),
            ("2004W537T10:00Z", "2005-01-02T10:00:00Z"),
            ("03-12-31", "2003-12-31T00:00:00Z"),
            ("031231", "2003-12-31T00:00:00Z"),
            ("-0312", "2003-12-01T00:00:00Z"),
            ("-03-12", "2003-12-01T00:00:00Z"),
            ("03335", "2003-12-01T00:00:00Z"),
            ("2003-12-31Z", "2003-12-31T00:00:00Z"),
            ("2003-12-31T24:00:00Z", "2004-01-01T00:00:00Z"),
            ("2003-12-31T25:14:55Z", "2004-01-01T01:14:55Z"),
            ("2003-12-31T10:61:55Z", "2003-12-31T11:01:55Z"),
            ("2003-12-31T10:14:61Z", "2003-12-31T10:15:01Z"),
            ("2003-12-31T10:14:55+01:00[Europe/Paris]", "2003-12-31T09:14:55Z"),
            ("2003-12-31T10:14:55 GMT+01:00", "2003-12-31T09:14:55Z"),
            ("2003-12-31T10:14:55\u{2212}08:00", "2003-12-31T18:14:55Z"),
            ("2004-07-08 23:56:58.0", "2004-07-08T23:56:58Z"),
            ("Thu, 31 Jun 2004 19:48:21 GMT", "2004-07-01T19:48:21Z"),
            ("Thu, 01 Jan 104 19:48:21 GMT", "2004-01-01T19:48:21Z"),
            ("Thu, 01 Jan 2004 19h48 GMT", "2004-01-01T19:48:00Z"),
            ("Jan 5 2020 4PM", "2020-01-05T16:00:00Z"),
            ("Wed, 19 Aug 2009 18:28:00 Etc/GMT", "2009-08-19T18:28:00Z"),
            ("Wed, 19 Feb 2012 22:40:00 GMT-01:01", "2012-02-19T23:41:00Z"),
            ("Mon, 13 Feb, 2012 06:28:00 UTC", "2012-02-13T06:28:00Z"),
            ("Thu Aug 30 2012 17:26:16 +0200", "2012-08-30T15:26:16Z"),
            ("Thu Aug 30 2012 17:26:16 GMT+0200 (CEST)", "2012-08-30T15:26:16Z"),
            ("Fri, 2006/09/15 08:19:53 EDT", "2006-09-15T12:19:53Z"),
            ("Mon, 26 January 2004 16:31:00 AT", "2004-01-26T20:31:00Z"),
            ("Mon, 26 January 2004 16:31:00 PT", "2004-01-27T00:31:00Z"),
            ("2004-05-25 오후 11:23:17", "2004-05-25T14:23:17Z"),
            ("2004년 05월 28일  01:31:15", "2004-05-27T16:31:15Z"),
            ("January 2020", "2020-01-01T00:00:00Z"),
            ("fre, 29 des 2017 08:00:00 +0100", "2017-12-29T07:00:00Z"),
            ("3. července 2021 10:00", "2021-07-03T10:00:00Z"),
            ("5 октября 2022", "2022-10-05T00:00:00Z"),
            ("12 marraskuuta 2020 10:00", "2020-11-12T10:00:00Z"),
            ("5 października 2022 10:00:00 +0200", "2022-10-05T08:00:00Z"),
            ("2020-07-05 10:00 Europe/Paris", "2020-07-05T08:00:00Z"),
            ("2020-07-05T10:00[Europe/Paris]", "2020-07-05T08:00:00Z"),
            ("2020-07-05T10:00:00 [America/New_York]", "2020-07-05T14:00:00Z"),
            ("Sun, 05 Jan 2020 10:00:00 America/Argentina/Buenos_Aires", "2020-01-05T13:00:00Z"),
            ("Sun, 05 Jan 2020 10:00:00 US/Eastern", "2020-01-05T15:00:00Z"),
            ("5 Jul 2020 10:00 (US/Pacific)", "2020-07-05T17:00:00Z"),
            ("5 Jul 2020 10:00 +0200 [Europe/London]", "2020-07-05T08:00:00Z"),
            ("Jan. 5, 2020, 4 p.m.", "2020-01-05T16:00:00Z"),
            ("Jan. 5, 2020, 4:30 p.m.", "2020-01-05T16:30:00Z"),
            ("Jan. 5, 2020, 12:30 A.M.", "2020-01-05T00:30:00Z"),
            ("Jan. 5, 2020, noon", "2020-01-05T12:00:00Z"),
            ("Jan. 5, 2020, midnight", "2020-01-05T00:00:00Z"),
            ("5 de enero de 2020 4:30 p. m.", "2020-01-05T16:30:00Z"),
            ("am 5. Januar 2020 um 12:30 Uhr", "2020-01-05T12:30:00Z"),
            ("5. Januar 2020, 19 Uhr", "2020-01-05T19:00:00Z"),
            ("1/25/20 4:05 PM", "2020-01-25T16:05:00Z"),
            ("25/1/20", "2020-01-25T00:00:00Z"),
            ("5.1.20 08:15", "2020-01-05T08:15:00Z"),
            ("5.1.2020", "2020-01-05T00:00:00Z"),
            ("Sun, 1/5/2020 10:00", "2020-01-05T10:00:00Z"),
            ("Sunday 05/01/2020", "2020-01-05T00:00:00Z"),
            ("dimanche 05/01/2020 à 10h15", "2020-01-05T10:15:00Z"),
            ("7/7/2020", "2020-07-07T00:00:00Z"),
            ("Thu Aug 30 2012 17:26:16 GMT+1200 (Marshall Islands Time)", "2012-08-30T05:26:16Z"),
            ("Thu Aug 30 2012 17:26:16 GMT+0200 (Mitteleuropäische Sommerzeit)", "2012-08-30T15:26:16Z"),
            ("Sat May 02 2020 10:00:00 GMT-0300 (Argentina Standard Time)", "2020-05-02T13:00:00Z"),
            ("Sat May 02 2020 10:00:00 GMT+0900 (Japan Standard Time)", "2020-05-02T01:00:00Z"),
            ("le 1er mai 2020 à 19 h 48", "2020-05-01T19:48:00Z"),
            ("mardi 5 mai 2020 à 8h05", "2020-05-05T08:05:00Z"),
            ("5 mai 2020 (mardi)", "2020-05-05T00:00:00Z"),
            ("5 mai 2020, 19 h", "2020-05-05T19:00:00Z"),
            ("5 mai 2020 à 19 h 48 min 12 s", "2020-05-05T19:48:12Z"),
            ("5 mai 2020 à 19h48min", "2020-05-05T19:48:00Z"),
            ("5 mai 2020 à midi", "2020-05-05T12:00:00Z"),
            ("5 mai 2020 à minuit", "2020-05-05T00:00:00Z"),
        ] {
            assert_eq!(parse(text).map(|t| t.to_string()).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in [
            "",
            "yesterday",
            "32 Jan 2020 10:00",
            "Mon, 99 Foo",
            "1",
            "::::",
            "+",
            "-",
            "2020-13-45",
            "10:00:00+",
            "٣ يناير",
            "Sun, 16 Dec 2012 1:2:3:4 GMT",
            "2003-12-31T55:00:00Z",
            "2003-W60-1",
            "3 days ago",
            "1/5/2020",
            "05/06/2021 4:32 PM",
            "05-06-2021 10:00",
            "5/1/20",
            "31/31/2020",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
