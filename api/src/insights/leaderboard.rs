//! The leaderboard's arithmetic: what changed from one period to the next. Pure functions of
//! counts.
//!
//! ```text
//!      previous period          current period
//!   |--+--+-- 12 slices --+--|--+--+-- 12 slices --+--|  end
//! ```

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::time::{UtcTime, WINDOW_SECONDS};

/// Slices of both periods together; each holds a whole number of windows.
pub(crate) const SLICES: usize = 24;

/// How long a period is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) enum Period {
    #[serde(rename = "1h")]
    Hour,
    #[serde(rename = "6h")]
    SixHours,
    #[serde(rename = "24h")]
    Day,
    #[serde(rename = "7d")]
    Week,
}

impl Period {
    pub(crate) fn seconds(self) -> i64 {
        match self {
            Self::Hour => 3600,
            Self::SixHours => 6 * 3600,
            Self::Day => 24 * 3600,
            Self::Week => 7 * 24 * 3600,
        }
    }
}

/// A period and the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) end: UtcTime,
    pub(crate) period: Period,
}

impl Span {
    /// Ends with the last window that ends at or before `at`.
    pub(crate) fn ending_at(at: UtcTime, period: Period) -> Self {
        Self { end: at.floor(WINDOW_SECONDS), period }
    }

    pub(crate) fn start(self) -> UtcTime {
        self.end.plus(-self.period.seconds())
    }

    pub(crate) fn previous_start(self) -> UtcTime {
        self.end.plus(-2 * self.period.seconds())
    }

    pub(crate) fn slice_seconds(self) -> i64 {
        self.period.seconds() * 2 / SLICES as i64
    }
}

/// What is expected of the hour that follows a window.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct NextHour {
    /// Start of the hour: the end of the window that the forecast was made after.
    pub from: UtcTime,
    /// One time in ten it will be this many posts or fewer.
    pub p10: f64,
    /// Half of the time it will be this many posts or fewer.
    pub p50: f64,
    /// Nine times in ten it will be this many posts or fewer.
    pub p90: f64,
    /// Probability that some hour which ends within this one has at least twice the posts of the
    /// hour before it, and 10 or more.
    pub doubling_probability: f64,
}

/// The windows of one slice, put together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Slice {
    pub(crate) windows: i64,
    pub(crate) posts: i64,
    /// `None` if any of the windows lacks it.
    pub(crate) expected_posts: Option<f64>,
}

/// The slices of both periods; `None` where there is no window.
pub(crate) type Slices = [Option<Slice>; SLICES];

/// The windows of one period, put together.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Half {
    pub(crate) posts: i64,
    /// `None` if any of the windows lacks it.
    pub(crate) unique_posts: Option<i64>,
    pub(crate) spam_posts: Option<i64>,
    pub(crate) negative: i64,
    pub(crate) neutral: i64,
    pub(crate) positive: i64,
    pub(crate) scored: i64,
    pub(crate) score_sum: f64,
    pub(crate) anomaly_score: Option<f64>,
    pub(crate) r#final: bool,
    pub(crate) computed_at: UtcTime,
    /// Of the newest window that has a forecast.
    pub(crate) next_hour: Option<NextHour>,
}

/// What was counted of an asset; `None` where there is no window.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct AssetTotals {
    pub(crate) previous: Option<Half>,
    pub(crate) current: Option<Half>,
}

/// Which of the two are asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Periods {
    Both,
    Current,
}

impl AssetTotals {
    /// Adds windows of one of the periods.
    pub(crate) fn add(&mut self, is_current: bool, more: Half) {
        let place = if is_current { &mut self.current } else { &mut self.previous };
        let known = |a: Option<i64>, b: Option<i64>| a.zip(b).map(|(a, b)| a + b);
        *place = Some(match place.take() {
            None => more,
            Some(half) => Half {
                posts: half.posts + more.posts,
                unique_posts: known(half.unique_posts, more.unique_posts),
                spam_posts: known(half.spam_posts, more.spam_posts),
                negative: half.negative + more.negative,
                neutral: half.neutral + more.neutral,
                positive: half.positive + more.positive,
                scored: half.scored + more.scored,
                score_sum: half.score_sum + more.score_sum,
                anomaly_score: half.anomaly_score.into_iter().chain(more.anomaly_score).max_by(f64::total_cmp),
                r#final: half.r#final && more.r#final,
                computed_at: half.computed_at.max(more.computed_at),
                next_hour: half.next_hour.into_iter().chain(more.next_hour).max_by_key(|hour| hour.from),
            },
        });
    }
}

/// What was counted in one period.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub(crate) struct PeriodTotals {
    /// Posts published in it; null if nothing at all was observed then.
    pub posts: Option<i64>,
    /// Of them neither spam nor near duplicates of an earlier post about the asset; null if some
    /// windows lack it.
    pub unique_posts: Option<i64>,
    /// Of them spam; null if some windows lack it.
    pub spam_posts: Option<i64>,
    /// Of them negative.
    pub negative: Option<i64>,
    /// Of them neutral.
    pub neutral: Option<i64>,
    /// Of them positive.
    pub positive: Option<i64>,
    /// Positive minus negative posts.
    pub sentiment_balance: Option<i64>,
    /// Mean score of the scored posts, -1 to 1.
    pub mean_score: Option<f64>,
    /// Posts of the asset / posts of the whole market, `*`, in the same period; 0 to 1.
    pub dominance: Option<f64>,
}

/// An asset's place on the board.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct Trend {
    /// Canonical id; `*` stands for all posts.
    pub asset: String,
    /// The current period.
    #[serde(flatten)]
    pub current: PeriodTotals,
    /// The period of the same length before it.
    pub previous: PeriodTotals,
    /// posts / previous posts - 1; null without previous posts. Growth and changes are null while
    /// the period is not over.
    pub growth: Option<f64>,
    /// How surprising the change of posts is: (n - m) / sqrt(n + m), the z statistic of two Poisson
    /// counts n and m.
    pub growth_z: Option<f64>,
    /// Change of the mean score.
    pub mean_score_change: Option<f64>,
    /// The highest anomaly score of the windows of the current period, 0 to 1.
    pub anomaly_score: Option<f64>,
    /// Posts that were forecast for the current period; null unless there was a forecast for each
    /// of its windows.
    pub expected_posts: Option<f64>,
    /// What is expected of the hour after the newest window of the current period that has a
    /// forecast; null if none has.
    pub next_hour: Option<NextHour>,
    /// No window of the current period can come or be revised.
    pub r#final: bool,
    /// When the newest of the counts of both periods was made; null without any.
    pub computed_at: Option<UtcTime>,
    /// Posts in each of the 24 slices of both periods, oldest first.
    pub history: Vec<Option<i64>>,
}

/// What the board is sorted by; the highest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Order {
    Growth,
    Anomaly,
    Posts,
    #[serde(rename = "mean_score")]
    Mood,
    #[serde(rename = "mean_score_change")]
    MoodChange,
    #[serde(rename = "doubling_probability")]
    Doubling,
}

/// Compares the two periods of an asset, unless the current one is not `complete`. `market` is what
/// was counted of all posts: where they are known, an asset without a window has 0 posts. Whether
/// windows can still come is not known here: `final` says that those there are are. What slices
/// tell is to be [added](Trend::add_slices).
pub(crate) fn trend(asset: &str, own: &AssetTotals, market: Option<&AssetTotals>, complete: bool) -> Trend {
    let side = |half: fn(&AssetTotals) -> Option<&Half>| totals(half(own), market.and_then(half));
    let (previous, current) = (side(|totals| totals.previous.as_ref()), side(|totals| totals.current.as_ref()));
    let now = own.current.as_ref();
    Trend {
        asset: asset.to_owned(),
        growth: growth(current.posts, previous.posts).filter(|_| complete),
        growth_z: growth_z(current.posts, previous.posts).filter(|_| complete),
        mean_score_change: current
            .mean_score
            .zip(previous.mean_score)
            .filter(|_| complete)
            .map(|(now, then)| now - then),
        anomaly_score: now.and_then(|half| half.anomaly_score),
        expected_posts: None,
        next_hour: now.and_then(|half| half.next_hour.clone()),
        r#final: now.is_none_or(|half| half.r#final),
        computed_at: own.previous.iter().chain(&own.current).map(|half| half.computed_at).max(),
        history: Vec::new(),
        current,
        previous,
    }
}

impl Trend {
    /// The history, and what was expected.
    pub(crate) fn add_slices(&mut self, own: &Slices, market: Option<&Slices>) {
        let observed = |at: usize| market.is_some_and(|market| market[at].is_some());
        let posts = |at: usize| own[at].map(|slice| slice.posts).or_else(|| observed(at).then_some(0));
        self.history = (0..SLICES).map(posts).collect();
        self.expected_posts = expected(own, market);
    }
}

/// A window without a mention has no forecast: then there is none for the period either.
fn expected(own: &Slices, market: Option<&Slices>) -> Option<f64> {
    let mut total = None;
    for at in SLICES / 2..SLICES {
        match (own[at], market.and_then(|market| market[at])) {
            (None, None) => {}
            (Some(own), all) if all.is_none_or(|all| all.windows == own.windows) => {
                total = Some(total.unwrap_or(0.0) + own.expected_posts?);
            }
            _ => return None,
        }
    }
    total
}

fn totals(sums: Option<&Half>, market: Option<&Half>) -> PeriodTotals {
    if sums.is_none() && market.is_none() {
        return PeriodTotals::default();
    }
    let (posts, market_posts) = (sums.map_or(0, |half| half.posts), market.map_or(0, |half| half.posts));
    let sum = |field: fn(&Half) -> i64| Some(sums.map_or(0, field));
    let known = |field: fn(&Half) -> Option<i64>| sums.map_or(Some(0), field);
    PeriodTotals {
        posts: Some(posts),
        unique_posts: known(|half| half.unique_posts),
        spam_posts: known(|half| half.spam_posts),
        negative: sum(|half| half.negative),
        neutral: sum(|half| half.neutral),
        positive: sum(|half| half.positive),
        sentiment_balance: sum(|half| half.positive - half.negative),
        mean_score: sums.filter(|half| half.scored > 0).map(|half| half.score_sum / half.scored as f64),
        dominance: (market_posts > 0).then(|| posts as f64 / market_posts as f64),
    }
}

fn growth(now: Option<i64>, before: Option<i64>) -> Option<f64> {
    let (now, before) = now.zip(before)?;
    (before > 0).then(|| now as f64 / before as f64 - 1.0)
}

/// Przyborowski and Wilenski, "Homogeneity of results in testing samples from Poisson series",
/// 1940; normal approximation.
fn growth_z(now: Option<i64>, before: Option<i64>) -> Option<f64> {
    let (now, before) = now.zip(before)?;
    (now + before > 0).then(|| (now - before) as f64 / ((now + before) as f64).sqrt())
}

/// Sorts by `order`, the highest first, null last; ties by posts, then by id.
pub(crate) fn rank(trends: &mut [Trend], order: Order) {
    let key = |t: &Trend| match order {
        Order::Growth => t.growth_z,
        Order::Anomaly => t.anomaly_score,
        Order::Posts => t.current.posts.map(|n| n as f64),
        Order::Mood => t.current.mean_score,
        Order::MoodChange => t.mean_score_change,
        Order::Doubling => t.next_hour.as_ref().map(|hour| hour.doubling_probability),
    };
    trends.sort_by(|a, b| {
        let value = |t| key(t).unwrap_or(f64::NEG_INFINITY);
        let by_key = value(b).total_cmp(&value(a));
        by_key.then_with(|| b.current.posts.cmp(&a.current.posts)).then_with(|| a.asset.cmp(&b.asset))
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn half(posts: i64, score: f64) -> Half {
        Half {
            posts,
            unique_posts: Some(posts - 1),
            spam_posts: None,
            negative: 0,
            neutral: 0,
            positive: posts,
            scored: posts,
            score_sum: score * posts as f64,
            anomaly_score: Some(score),
            r#final: true,
            computed_at: UtcTime::from_seconds(posts),
            next_hour: None,
        }
    }

    const WHOLE: bool = true;

    /// By slice, posts and mean score.
    type Filled<'a> = &'a [(usize, i64, f64)];

    fn counted(filled: Filled) -> AssetTotals {
        let mut all = AssetTotals::default();
        filled.iter().for_each(|&(at, posts, score)| all.add(at >= SLICES / 2, half(posts, score)));
        all
    }

    fn slices(filled: Filled) -> Slices {
        let mut all = Slices::default();
        for &(at, posts, _) in filled {
            all[at] = Some(Slice { windows: 1, posts, expected_posts: Some(posts as f64) });
        }
        all
    }

    fn of(asset: &str, filled: Filled, market: Option<Filled>, complete: bool) -> Trend {
        let mut trend = trend(asset, &counted(filled), market.map(counted).as_ref(), complete);
        trend.add_slices(&slices(filled), market.map(slices).as_ref());
        trend
    }

    #[test]
    fn means_are_weighted_by_posts() {
        let trend = of("BTC", &[(0, 4, 0.0), (12, 1, 1.0), (23, 3, 0.0)], None, WHOLE);
        assert_eq!(trend.current.posts, Some(4));
        assert_eq!((trend.current.unique_posts, trend.current.spam_posts), (Some(2), None), "null is not 0");
        assert_eq!(trend.current.mean_score, Some(0.25));
        assert_eq!(trend.mean_score_change, Some(0.25));
        assert_eq!((trend.growth, trend.growth_z), (Some(0.0), Some(0.0)));
        assert_eq!((trend.current.sentiment_balance, trend.r#final), (Some(4), true));
        assert_eq!(trend.computed_at, Some(UtcTime::from_seconds(4)));
    }

    #[test]
    fn a_period_that_is_not_over_is_not_compared_with_a_whole_one() {
        let part = of("BTC", &[(0, 4, 0.0), (12, 1, 1.0)], None, false);
        assert_eq!((part.growth, part.growth_z, part.mean_score_change), (None, None, None));
        assert_eq!(part.current.posts, Some(1));
    }

    #[test]
    fn missing_is_null_and_a_silent_asset_in_an_observed_period_is_zero() {
        let market: Filled = &[(3, 10, 0.1), (20, 20, 0.1)];
        let silent_before = of("LUNA", &[(20, 5, -0.5)], Some(market), WHOLE);
        assert_eq!(silent_before.previous.posts, Some(0));
        assert_eq!(silent_before.growth, None);
        assert_eq!(silent_before.current.dominance, Some(0.25));
        assert_eq!((silent_before.history[3], silent_before.history[4]), (Some(0), None));
        assert_eq!(silent_before.expected_posts, Some(5.0));
        let silent_now = of("LUNA", &[(3, 5, -0.5)], Some(market), WHOLE);
        assert_eq!(silent_now.expected_posts, None, "no forecast of a window without a mention");
        let unobserved = of("LUNA", &[(20, 5, -0.5)], None, WHOLE);
        assert_eq!((unobserved.previous.posts, unobserved.growth_z), (None, None));
    }

    #[test]
    fn a_surge_outranks_a_steady_giant_and_null_comes_last() {
        let market: Filled = &[(0, 3000, 0.0), (12, 3100, 0.0)];
        let mut board = vec![
            of("BTC", &[(0, 1000, 0.0), (12, 1010, 0.0)], Some(market), WHOLE),
            of("LUNA", &[(0, 10, 0.0), (12, 90, -0.8)], Some(market), WHOLE),
            of("AAA", &[(0, 1, 0.0), (12, 2, 0.0)], Some(market), WHOLE),
            of("NEW", &[(12, 500, 0.0)], None, WHOLE),
        ];
        rank(&mut board, Order::Growth);
        let names: Vec<_> = board.iter().map(|t| t.asset.as_str()).collect();
        assert_eq!(names, ["LUNA", "AAA", "BTC", "NEW"]);
    }

    #[test]
    fn the_newest_forecast_of_the_current_period_counts() {
        let forecast_of = |from: &str, doubling_probability| {
            let from = crate::time::parse(from).unwrap();
            Some(NextHour { from, p10: 1.0, p50: 2.0, p90: 5.0, doubling_probability })
        };
        let mut btc = counted(&[(3, 4, 0.0), (13, 4, 0.0), (20, 4, 0.0), (23, 4, 0.0)]);
        let with = |from, probability| Half { next_hour: forecast_of(from, probability), ..half(1, 0.0) };
        btc.add(false, with("2022-05-09T10:00:00Z", 0.9));
        let old = trend("BTC", &btc, None, WHOLE);
        assert_eq!(old.next_hour, None, "a forecast of the period before is no news");
        btc.add(true, with("2022-05-09T12:30:00Z", 0.4));
        btc.add(true, with("2022-05-09T12:00:00Z", 0.3));
        let new = trend("BTC", &btc, None, WHOLE);
        assert_eq!(new.next_hour.as_ref().map(|hour| hour.doubling_probability), Some(0.4));
        let mut board = vec![old, new];
        rank(&mut board, Order::Doubling);
        assert!(board[0].next_hour.is_some());
    }

    #[test]
    fn slices_hold_whole_windows() {
        for period in [Period::Hour, Period::SixHours, Period::Day, Period::Week] {
            let span = Span::ending_at(crate::time::parse("2022-05-09T12:03:00Z").unwrap(), period);
            assert_eq!(span.end.to_string(), "2022-05-09T12:00:00Z");
            assert_eq!(span.slice_seconds() % WINDOW_SECONDS, 0);
            assert_eq!(span.previous_start().plus(span.slice_seconds() * SLICES as i64), span.end);
        }
    }
}
