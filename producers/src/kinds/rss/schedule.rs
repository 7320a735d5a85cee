//! When a feed wants to be asked: RSS's `ttl`, `skipHours`, `skipDays`, and the syndication module's `updatePeriod`, `updateFrequency`.

use crate::content::xml::Element;
use crate::kinds::source::schedule::Schedule;

const DAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

/// Reads what a channel says.
pub(super) fn read(channel: Element<'_>) -> Schedule {
    let named = |name: &str| channel.children().find(|child| child.name() == name);
    let text = |name: &str| named(name).map(|child| child.text().trim().to_ascii_lowercase());
    let minutes = text("ttl").and_then(|ttl| ttl.parse::<u32>().ok());
    let period = text("updateperiod").and_then(|period| {
        Some(match period.as_str() {
            "hourly" => 3600,
            "daily" => 24 * 3600,
            "weekly" => 7 * 24 * 3600,
            "monthly" => 30 * 24 * 3600,
            "yearly" => 365 * 24 * 3600,
            _ => return None,
        })
    });
    let frequency = text("updatefrequency").and_then(|times| times.parse::<u32>().ok()).unwrap_or(1).max(1);
    let mut schedule = Schedule {
        ttl: minutes.map(|minutes| u64::from(minutes) * 60),
        period: period.map(|period: u64| period / u64::from(frequency)),
        ..Schedule::default()
    };
    for hour in named("skiphours").into_iter().flat_map(|hours| hours.children()) {
        // Some count to 24.
        if let Some(hour) = hour.text().trim().parse::<u32>().ok().filter(|hour| *hour <= 24) {
            schedule.skip_hours |= 1 << (hour % 24);
        }
    }
    for day in named("skipdays").into_iter().flat_map(|days| days.children()) {
        let day = day.text().trim().to_ascii_lowercase();
        if let Some(n) = DAYS.iter().position(|name| *name == day) {
            schedule.skip_days |= 1 << n;
        }
    }
    schedule
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::xml::Tree;

    fn schedule(inside: &str) -> Schedule {
        let text = format!("<rss><channel>{inside}<item><ttl>9</ttl></item></channel></rss>");
        let tree = Tree::read(&text);
        let channel = tree.elements().find(|element| element.name() == "channel").unwrap();
        read(channel)
    }

    #[test]
    fn a_feed_says_when_it_wants_to_be_asked() {
        assert_eq!(schedule(""), Schedule::default());
        assert_eq!(schedule("<ttl> 30 </ttl>").ttl, Some(1800));
        assert_eq!(schedule("<ttl>soon</ttl>").ttl, None);
        let syndication = "<sy:updatePeriod>\n hourly </sy:updatePeriod><sy:updateFrequency>4</sy:updateFrequency>";
        assert_eq!(schedule(syndication).period, Some(900));
        assert_eq!(
            schedule("<sy:updatePeriod>hourly</sy:updatePeriod><sy:updateFrequency>0</sy:updateFrequency>").period,
            Some(3600)
        );
        let skips = schedule(
            "<skipHours><hour>0</hour><hour>24</hour><hour>23</hour><hour>99</hour></skipHours><skipDays><day>Sunday</day><day>Funday</day></skipDays>",
        );
        assert_eq!((skips.skip_hours, skips.skip_days), (1 | 1 << 23, 1 << 6));
    }
}
