//! Day and month in numbers: which of them comes first.

use jiff::civil::{Date, Weekday};
use vigie_clock::Timestamp;

use super::{Parts, full_year};

/// Which of day and month comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    DayFirst,
    MonthFirst,
}

/// How far a document's clock or zone may be ahead, in milliseconds.
const AHEAD: i64 = 86_400_000;

/// The order that the dates of a document show: by a number past 12, by the weekday, or since it cannot have been written in the future. `None` if none
/// of them shows it, or one shows another than the others.
pub(crate) fn order(texts: impl IntoIterator<Item = String>, now: Timestamp) -> Option<Order> {
    let mut found = None;
    for text in texts {
        if text.len() > 100 || !text.contains(['/', '-', '.']) {
            continue;
        }
        let Some((numbers, weekday)) = Parts::read(&text).and_then(|parts| Some((parts.numbers?, parts.weekday)))
        else {
            continue;
        };
        let Some(order) = numbers.order(weekday, now) else { continue };
        if *found.get_or_insert(order) != order {
            return None;
        }
    }
    found
}

/// Two numbers that are a day and a month, and a year.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbers {
    first: i8,
    second: i8,
    year: i16,
    /// Separated by points, which only those write who write the day first.
    has_points: bool,
}

impl Numbers {
    pub(super) fn read(token: &str, pieces: &[&str]) -> Option<Self> {
        let [first, second, year] = pieces[..] else { return None };
        let years = year.len();
        let (first, second, year) = (first.parse().ok()?, second.parse().ok()?, year.parse::<i16>().ok()?);
        let year = match years {
            4 => year,
            2 => full_year(year),
            _ => return None,
        };
        let has_points = !token.contains(['/', '-']);
        (first <= 31 && second <= 31).then_some(Self { first, second, year, has_points })
    }

    fn day_first(self) -> Option<Date> {
        Date::new(self.year, self.second, self.first).ok()
    }

    fn month_first(self) -> Option<Date> {
        Date::new(self.year, self.first, self.second).ok()
    }

    /// The day, as far as it is clear.
    pub(super) fn date(self, weekday: Option<Weekday>, order: Option<Order>) -> Option<Date> {
        match (self.day_first(), self.month_first()) {
            (Some(date), None) | (None, Some(date)) => Some(date),
            (Some(date), Some(other)) if date == other || self.has_points => Some(date),
            (Some(day_first), Some(month_first)) => match self.by_weekday(weekday).or(order)? {
                Order::DayFirst => Some(day_first),
                Order::MonthFirst => Some(month_first),
            },
            (None, None) => None,
        }
    }

    fn by_weekday(self, weekday: Option<Weekday>) -> Option<Order> {
        let is = |date: Option<Date>| date.is_some_and(|date| Some(date.weekday()) == weekday);
        match (is(self.day_first()), is(self.month_first())) {
            (true, false) => Some(Order::DayFirst),
            (false, true) => Some(Order::MonthFirst),
            _ => None,
        }
    }

    /// What these numbers show of others beside them.
    fn order(self, weekday: Option<Weekday>, now: Timestamp) -> Option<Order> {
        if self.first == self.second || self.has_points {
            return None;
        }
        let now = jiff::Timestamp::from_millisecond(now.as_millis().saturating_add(AHEAD)).ok()?;
        let today = now.to_zoned(jiff::tz::TimeZone::UTC).date();
        let can_be = |date: Option<Date>| date.is_some_and(|date| date <= today);
        match (can_be(self.day_first()), can_be(self.month_first())) {
            (true, false) => Some(Order::DayFirst),
            (false, true) => Some(Order::MonthFirst),
            (true, true) => self.by_weekday(weekday),
            (false, false) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_dates_of_a_document_show_the_order() {
        let now = Timestamp::parse_rfc3339("2026-03-05T12:00:00Z").unwrap();
        let day_first = Some(Order::DayFirst);
        let month_first = Some(Order::MonthFirst);
        for (dates, expected) in [
            (&["1/2/2026", "25/2/2026"][..], day_first),
            (&["1/2/2026", "2/25/2026"], month_first),
            (&["1/2/2026", "3/1/26 4 PM"], None),
            (&["3/5/2026", "3/4/2026"], month_first),
            (&["Thu 3/5/2026"], month_first),
            (&["lun. 02/03/2026"], day_first),
            (&["25/2/2026", "2/25/2026"], None),
            (&["25.2.2026", "2026-02-25", "Feb 2, 2026"], None),
            (&[], None),
        ] {
            let texts = dates.iter().map(|text| (*text).to_owned());
            assert_eq!(order(texts, now), expected, "{dates:?}");
        }
        let read = |order| super::super::parse_as("1/2/2026", order).map(|time| time.to_string());
        assert_eq!(read(day_first).as_deref(), Some("2026-02-01T00:00:00Z"));
        assert_eq!(read(month_first).as_deref(), Some("2026-01-02T00:00:00Z"));
        assert_eq!(read(None), None);
    }
}
