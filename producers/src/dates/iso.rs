//! ISO 8601, its profile for the web (W3C date and time formats), and what passes for it.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::Offset;
use vigie_clock::Timestamp;

use super::{at, numeric_offset, words};

/// A date with or without a time and a zone; `None` if the text is of another shape.
pub(super) fn parse(text: &str) -> Option<Timestamp> {
    let split = text
        .find(['T', 't', ' '])
        .filter(|at| text[..*at].starts_with(|c: char| c.is_ascii_digit()) && text[..*at].len() >= 4);
    // "2004-október-13T9:15": the first T may stand in the month.
    let split = split.map(|at| if text[at..].starts_with(' ') { at } else { text.rfind(['T', 't']).unwrap_or(at) });
    let (day, rest) = match split {
        Some(at) => (&text[..at], text[at + 1..].trim()),
        None => (text, ""),
    };
    let date = date(day)?;
    if rest.is_empty() {
        return at(DateTime::from_parts(date, Time::midnight()), Offset::UTC);
    }
    let zone_at = rest.find(['Z', 'z', '+', '-', ' ']).unwrap_or(rest.len());
    let (clock, zone) = (&rest[..zone_at], rest[zone_at..].trim());
    let offset = match zone {
        "" | "Z" | "z" => Offset::UTC,
        signed if signed.starts_with(['+', '-']) => numeric_offset(signed)?,
        name => Offset::from_seconds(words::zone(&name.to_lowercase())? * 900).ok()?,
    };
    at(DateTime::from_parts(date, time(clock)?), offset)
}

fn date(text: &str) -> Option<Date> {
    let number = |text: &str| text.parse::<i16>().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()));
    let small = |text: &str| number(text).and_then(|n| i8::try_from(n).ok());
    let pieces: Vec<&str> = text.split('-').collect();
    match pieces[..] {
        [year, month, day] if year.len() == 4 => {
            let month = small(month).or_else(|| words::month(&month.to_lowercase()))?;
            Date::new(number(year)?, month, small(day)?).ok()
        }
        [year, day] if year.len() == 4 && day.len() == 3 => of_year(number(year)?, number(day)?),
        [year, month] if year.len() == 4 => Date::new(number(year)?, small(month)?, 1).ok(),
        [all] if all.is_ascii() => match all.len() {
            4 => Date::new(number(all)?, 1, 1).ok(),
            7 => of_year(number(&all[..4])?, number(&all[4..])?),
            8 => Date::new(number(&all[..4])?, small(&all[4..6])?, small(&all[6..])?).ok(),
            _ => None,
        },
        _ => None,
    }
}

fn of_year(year: i16, day: i16) -> Option<Date> {
    Date::new(year, 1, 1).ok()?.with().day_of_year(day).build().ok()
}

/// "10", "10:14", "10:14:55", "10:14:55.25", "101455".
fn time(clock: &str) -> Option<Time> {
    let (whole, fraction) = clock.split_once(['.', ',']).unwrap_or((clock, ""));
    let compact: Vec<&str>;
    let pieces: Vec<&str> = if whole.contains(':') {
        whole.split(':').collect()
    } else if whole.is_ascii() && matches!(whole.len(), 2 | 4 | 6) {
        compact = (0..whole.len()).step_by(2).map(|at| &whole[at..at + 2]).collect();
        compact
    } else {
        return None;
    };
    let field = |n: usize| match pieces.get(n) {
        None => Some(0_i8),
        Some(text) => text.parse::<i8>().ok().filter(|n| *n >= 0),
    };
    let digits: String = fraction.chars().take_while(char::is_ascii_digit).take(9).collect();
    let nanos = format!("{digits:0<9}").parse::<i32>().ok()?;
    if pieces.len() > 3 {
        return None;
    }
    Time::new(field(0)? % 24, field(1)?, field(2)?.min(59), nanos).ok()
}
