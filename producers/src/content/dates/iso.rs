//! ISO 8601, its profile for the web (W3C date and time formats), and what passes for it.

use jiff::ToSpan;
use jiff::civil::{Date, DateTime, ISOWeekDate, Weekday};
use jiff::tz::{Offset, TimeZone};
use vigie_clock::Timestamp;

use super::{at, day_of, numeric_offset, words};

/// A date with or without a time and a zone; `None` if the text is of another shape. Hours, minutes and seconds past their end (24:00, 23:59:60) go on into
/// the next day, hour and minute.
pub(super) fn parse(text: &str) -> Option<Timestamp> {
    // A T stands in months, too ("2004-október-13T9:15"), and in "GMT".
    let is_split =
        |at: usize, c: char| c == ' ' || (matches!(c, 'T' | 't') && text[..at].ends_with(|c: char| c.is_ascii_digit()));
    let split = text
        .char_indices()
        .find(|(at, c)| is_split(*at, *c))
        .map(|(at, _)| at)
        .filter(|at| *at >= 4 && text.starts_with(|c: char| c.is_ascii_digit() || c == '-'));
    let (day, rest) = match split {
        Some(at) => (&text[..at], text[at + 1..].trim()),
        // "2003-12-31Z", as xs:date has it.
        None => (text.trim_end_matches(['Z', 'z']), ""),
    };
    let date = date(day)?;
    // "[Europe/Paris]" says what the offset before it says already, if there is one.
    let (rest, bracket) = rest.split_once('[').unwrap_or((rest, ""));
    let rest = rest.trim();
    if rest.is_empty() {
        return at(date.at(0, 0, 0, 0), TimeZone::UTC);
    }
    let zone_at = rest.find(|c: char| !c.is_ascii_digit() && !matches!(c, ':' | '.' | ',')).unwrap_or(rest.len());
    let (clock, zone) = (&rest[..zone_at], rest[zone_at..].trim());
    let zone = match zone {
        "" if bracket.is_empty() => TimeZone::UTC,
        "" => super::named_zone(bracket.trim_end_matches(']').trim())?,
        signed if signed.starts_with(['+', '-']) => TimeZone::fixed(offset(signed)?),
        name => {
            let name = name.to_lowercase();
            match name.find(['+', '-']).map(|sign| name.split_at(sign)) {
                // "GMT+01:00"
                Some((base, signed)) if words::zone(base.trim()) == Some(0) => TimeZone::fixed(numeric_offset(signed)?),
                _ => super::named_zone(&name)?,
            }
        }
    };
    at(time(date, clock)?, zone)
}

/// "+02:00", "-0800", "+01"; what follows after a space says the same in words.
fn offset(signed: &str) -> Option<Offset> {
    numeric_offset(signed.split_whitespace().next()?)
}

fn date(text: &str) -> Option<Date> {
    let number = |text: &str| text.parse::<i16>().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()));
    let small = |text: &str| number(text).and_then(|n| i8::try_from(n).ok());
    // Years of two digits belong to this century (ISO 8601:1988).
    let short_year = |text: &str| number(text).map(|year| 2000 + year);
    let pieces: Vec<&str> = text.split('-').collect();
    match pieces[..] {
        [year, week, day] if year.len() == 4 && week.starts_with(['W', 'w']) => {
            of_week(number(year)?, small(&week[1..])?, small(day)?)
        }
        [year, week] if year.len() == 4 && week.starts_with(['W', 'w']) => {
            of_week(number(year)?, small(&week[1..])?, 1)
        }
        [year, month, day] if year.len() == 4 => {
            let month = small(month).or_else(|| words::month(&month.to_lowercase()))?;
            day_of(number(year)?, month, small(day)?)
        }
        [year, day] if year.len() == 4 && day.len() == 3 => of_year(number(year)?, number(day)?),
        [year, month] if year.len() == 4 => Date::new(number(year)?, small(month)?, 1).ok(),
        ["", year, month] if year.len() == 2 && month.len() == 2 => Date::new(short_year(year)?, small(month)?, 1).ok(),
        ["", both] if both.len() == 4 && both.is_ascii() => {
            Date::new(short_year(&both[..2])?, small(&both[2..])?, 1).ok()
        }
        [year, month, day] if [year, month, day].iter().all(|piece| piece.len() == 2) => {
            day_of(short_year(year)?, small(month)?, small(day)?)
        }
        [year, day] if year.len() == 2 && day.len() == 3 => of_year(short_year(year)?, number(day)?),
        [all] if all.is_ascii() && all.len() == 8 && all[4..5].eq_ignore_ascii_case("w") => {
            of_week(number(&all[..4])?, small(&all[5..7])?, small(&all[7..])?)
        }
        [all] if all.is_ascii() => match all.len() {
            4 => Date::new(number(all)?, 1, 1).ok(),
            5 => of_year(short_year(&all[..2])?, number(&all[2..])?),
            6 => day_of(short_year(&all[..2])?, small(&all[2..4])?, small(&all[4..])?),
            7 => of_year(number(&all[..4])?, number(&all[4..])?),
            8 => day_of(number(&all[..4])?, small(&all[4..6])?, small(&all[6..])?),
            _ => None,
        },
        _ => None,
    }
}

fn of_year(year: i16, day: i16) -> Option<Date> {
    Date::new(year, 1, 1).ok()?.with().day_of_year(day).build().ok()
}

fn of_week(year: i16, week: i8, day: i8) -> Option<Date> {
    Some(ISOWeekDate::new(year, week, Weekday::from_monday_one_offset(day).ok()?).ok()?.date())
}

/// "10", "10:14", "10:14:55", "10:14:55.25", "101455", on a day.
fn time(date: Date, clock: &str) -> Option<DateTime> {
    let (whole, fraction) = clock.split_once(['.', ',']).unwrap_or((clock, ""));
    let compact: Vec<&str>;
    let pieces: Vec<&str> = if whole.contains(':') {
        whole.split(':').collect()
    } else if whole.is_ascii() && matches!(whole.len(), 1 | 2 | 4 | 6) {
        compact = (0..whole.len()).step_by(2).map(|at| &whole[at..whole.len().min(at + 2)]).collect();
        compact
    } else {
        return None;
    };
    let field = |n: usize| match pieces.get(n) {
        None => Some(0_i64),
        Some(text) => text.parse::<i64>().ok().filter(|n| (0..100).contains(n)),
    };
    let digits: String = fraction.chars().take_while(char::is_ascii_digit).take(9).collect();
    let nanos = format!("{digits:0<9}").parse::<i64>().ok()?;
    if pieces.len() > 3 || field(0)? > 47 {
        return None;
    }
    let since_midnight = (field(0)? * 3600 + field(1)? * 60 + field(2)?).seconds().nanoseconds(nanos);
    date.at(0, 0, 0, 0).checked_add(since_midnight).ok()
}
