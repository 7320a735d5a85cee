use std::collections::BTreeMap;

use tokio_postgres::Row;

use super::lineage::{Lineage, Offsets, widen};
use crate::insights::leaderboard::{AssetTotals, Half, NextHour, Periods, SLICES, Slice, Slices, Span};
use crate::store::runs::served::Served;
use crate::store::{Snapshot, StoreError, windows};
use crate::time::UtcTime;

const HOUR: i64 = 3600;

/// Windows as pieces of a period, as hours are.
const WINDOWS: &str = "asset, lineage_id, window_start AS start, 1 AS windows, posts, expected_posts::double precision AS expected_posts, unique_posts, \
    spam_posts, negative, neutral, positive, CASE WHEN mean_score IS NOT NULL THEN negative + neutral + positive END AS scored, \
    mean_score * (negative + neutral + positive) AS score_sum, anomaly_score, final, emitted_at, sample, first_offset, last_offset, \
    CASE WHEN next_hour_p50 IS NOT NULL THEN ARRAY[date_part('epoch', window_start) + window_seconds, next_hour_p10, next_hour_p50, \
    next_hour_p90, doubling_probability] END AS next_hour";

const HOURS: &str = "asset, lineage_id, hour AS start, windows, posts, expected_posts, unique_posts, spam_posts, negative, neutral, positive, \
    scored, score_sum, anomaly_score, final, emitted_at, sample, first_offset, last_offset, next_hour";

/// Of pieces `w`, a row for each period of an asset and each lineage; read by position.
const SUMS: &str = "asset, lineage_id, start >= $3 AS current, sum(posts), CASE WHEN count(unique_posts) = count(*) THEN sum(unique_posts) END, \
    CASE WHEN count(spam_posts) = count(*) THEN sum(spam_posts) END, sum(negative), sum(neutral), sum(positive), sum(scored), \
    sum(score_sum), max(anomaly_score), bool_and(final), max(emitted_at), max(next_hour), bool_or(sample), min(first_offset), \
    max(last_offset)";

/// The offsets by lineage of the windows of those hours that have several.
const MIXED: &str = "SELECT w.lineage_id, min(w.first_offset), max(w.last_offset) FROM unnest($2::timestamptz[], $3::timestamptz[]) r (a, b) \
     JOIN stored_hours h ON h.run_id = $1 AND h.hour >= r.a AND h.hour < r.b AND h.lineage_id IS NULL CROSS JOIN LATERAL ( \
       SELECT * FROM stored_windows w WHERE w.run_id = $1 AND w.asset = h.asset AND w.window_start >= h.hour \
       AND w.window_start < h.hour + interval '1 hour' OFFSET 0) w GROUP BY 1";

/// Beginnings and ends.
type Ranges = (Vec<UtcTime>, Vec<UtcTime>);

impl Snapshot {
    /// What was counted for each asset in the periods of `span`, or in its current one alone, as
    /// known at `as_of`, whether any of it is sample data, and what it stands on.
    pub(crate) async fn totals(
        &self,
        served: &Served,
        (span, periods): (Span, Periods),
        as_of: Option<UtcTime>,
    ) -> Result<(BTreeMap<String, AssetTotals>, bool, Lineage), StoreError> {
        let bounds = match periods {
            Periods::Both => vec![span.previous_start(), span.start(), span.end],
            Periods::Current => vec![span.start(), span.end],
        };
        let (rows, hours) = self.pieces(served, (SUMS, "1, 2, 3"), &bounds, (None, span.start()), as_of).await?;
        let (mut all, mut offsets, mut mixed) = (BTreeMap::<String, AssetTotals>::new(), Offsets::new(), false);
        let mut sample = false;
        for row in &rows {
            let asset: &str = row.try_get(0)?;
            let (is_current, half) = (row.try_get(2)?, half(row)?);
            match all.get_mut(asset) {
                Some(totals) => totals.add(is_current, half),
                None => all.entry(asset.to_owned()).or_default().add(is_current, half),
            }
            sample |= row.try_get::<_, bool>(15)?;
            match row.try_get(1)? {
                Some(id) => widen(&mut offsets, id, (row.try_get(16)?, row.try_get(17)?)),
                None => mixed = true,
            }
        }
        if mixed {
            for row in self.rows_of(&served.within((bounds[0], span.end)), MIXED, &[&hours.0, &hours.1]).await? {
                widen(&mut offsets, row.try_get(0)?, (row.try_get(1)?, row.try_get(2)?));
            }
        }
        let lineage = Lineage::new(served, (bounds[0], span.end));
        let known = self.lineages_of(vec![(lineage.clone(), offsets)]).await?.pop();
        Ok((all, sample, known.unwrap_or(lineage)))
    }

    /// The slices of both periods of `span`, of these assets, as known at `as_of`.
    pub(crate) async fn slices(
        &self,
        served: &Served,
        (span, assets): (Span, &[&str]),
        as_of: Option<UtcTime>,
    ) -> Result<BTreeMap<String, Slices>, StoreError> {
        let (from, step) = (span.previous_start(), span.slice_seconds());
        let bounds: Vec<UtcTime> = (0..=SLICES as i64).map(|slice| from.plus(slice * step)).collect();
        let what = format!(
            "asset, floor(date_part('epoch', start - $3::timestamptz) / {step})::integer, \
             CASE WHEN count(expected_posts) = count(*) THEN sum(expected_posts) END, sum(windows), sum(posts)"
        );
        let (rows, _) = self.pieces(served, (&what, "1, 2"), &bounds, (Some(assets), from), as_of).await?;
        let mut all: BTreeMap<String, Slices> = BTreeMap::new();
        for row in &rows {
            let (at, expected_posts) = (row.try_get::<_, i32>(1)?, row.try_get(2)?);
            let slice = Slice { windows: row.try_get(3)?, posts: row.try_get(4)?, expected_posts };
            let slices = all.entry(row.try_get(0)?).or_default();
            if let Some(place) = usize::try_from(at).ok().and_then(|at| slices.get_mut(at)) {
                *place = Some(slice);
            }
        }
        Ok(all)
    }

    /// `what` of windows and, where no bound lies within, of whole hours, by `groups`; $3 is
    /// `origin`. And the hours.
    async fn pieces(
        &self,
        served: &Served,
        (what, groups): (&str, &str),
        bounds: &[UtcTime],
        (assets, origin): (Option<&[&str]>, UtcTime),
        as_of: Option<UtcTime>,
    ) -> Result<(Vec<Row>, Ranges), StoreError> {
        let (hours, edges) = whole_hours(bounds);
        let (&[from, ..], &[.., end]) = (bounds, bounds) else { return Ok((Vec::new(), hours)) };
        let served = served.within((from, end));
        let of_assets = |row: &str| format!("($2::text[] IS NULL OR {row}.asset = ANY($2))");
        // Borders of runs lie in the middle of hours, and an hour is known as it is now.
        let rows = if as_of.is_none() && served.parts().len() == 1 && !hours.0.is_empty() {
            let sql = format!(
                "SELECT {what} FROM (SELECT {HOURS} FROM unnest($4::timestamptz[], $5::timestamptz[]) r (a, b) \
                   JOIN stored_hours h ON h.run_id = $1 AND h.hour >= r.a AND h.hour < r.b WHERE {} UNION ALL \
                 SELECT {WINDOWS} FROM unnest($6::timestamptz[], $7::timestamptz[]) r (a, b) \
                   JOIN stored_windows w ON w.run_id = $1 AND w.window_start >= r.a AND w.window_start < r.b \
                   WHERE {}) w GROUP BY {groups}",
                of_assets("h"),
                of_assets("w")
            );
            self.rows_of(&served, &sql, &[&assets, &origin, &hours.0, &hours.1, &edges.0, &edges.1]).await?
        } else {
            let condition = "w.run_id = $1 AND w.window_start >= $4 AND w.window_start < $5 AND";
            let condition = format!("{condition} {}", of_assets("w"));
            let windows = windows::known_rows(&condition, "$6", as_of);
            let sql = format!("SELECT {what} FROM (SELECT {WINDOWS} FROM ({windows}) w) w GROUP BY {groups}");
            self.rows_of(&served, &sql, &[&assets, &origin, &from, &end, &as_of]).await?
        };
        Ok((rows, hours))
    }

    /// Distinct authors of scored posts by asset in the current period of `span`, of the posts that
    /// were scored by `as_of`.
    pub(crate) async fn voices(
        &self,
        served: &Served,
        span: Span,
        as_of: Option<UtcTime>,
    ) -> Result<BTreeMap<String, i64>, StoreError> {
        // A post without a known author counts as a voice of its own. Posts name their assets;
        // `post_assets` has no index by time alone.
        let counts = "count(DISTINCT p.author) + count(*) FILTER (WHERE p.author IS NULL) AS voices FROM";
        let known = "p.published_at >= $2 AND p.published_at < $3 AND p.label IS NOT NULL \
            AND ($4::timestamptz IS NULL OR p.scored_at <= $4)";
        let sql = format!(
            "SELECT asset, {counts} posts p CROSS JOIN LATERAL unnest(p.assets) asset WHERE p.run_id = $1 AND {known} GROUP BY asset \
             UNION ALL SELECT '*', {counts} posts p WHERE p.run_id = $1 AND {known} HAVING count(*) > 0"
        );
        let served = served.within((span.start(), span.end));
        let rows = self.rows_of(&served, &sql, &[&span.start(), &span.end, &as_of]).await?;
        rows.iter().map(|row| Ok((row.try_get("asset")?, row.try_get("voices")?))).collect()
    }
}

/// The whole hours between each bound and the next, and what is left at their ends.
fn whole_hours(bounds: &[UtcTime]) -> (Ranges, Ranges) {
    let (mut hours, mut edges) = (Ranges::default(), Ranges::default());
    for (&start, &end) in bounds.iter().zip(bounds.iter().skip(1)) {
        let first = start.ceil(HOUR).min(end);
        let last = end.floor(HOUR).max(first);
        for (is_whole, from, to) in [(false, start, first), (true, first, last), (false, last, end)] {
            let (begins, ends) = if is_whole { &mut hours } else { &mut edges };
            if from < to {
                begins.push(from);
                ends.push(to);
            }
        }
    }
    (hours, edges)
}

/// From a row of [`SUMS`].
fn half(row: &Row) -> Result<Half, StoreError> {
    Ok(Half {
        posts: row.try_get(3)?,
        unique_posts: row.try_get(4)?,
        spam_posts: row.try_get(5)?,
        negative: row.try_get(6)?,
        neutral: row.try_get(7)?,
        positive: row.try_get(8)?,
        scored: row.try_get::<_, Option<i64>>(9)?.unwrap_or(0),
        score_sum: row.try_get::<_, Option<f64>>(10)?.unwrap_or(0.0),
        anomaly_score: row.try_get::<_, Option<f32>>(11)?.map(f64::from),
        r#final: row.try_get(12)?,
        computed_at: row.try_get(13)?,
        next_hour: NextHour::of(row.try_get(14)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::insights::leaderboard::Period;

    #[test]
    fn hours_and_edges_are_all_between_the_bounds_and_no_hour_crosses_one() {
        for (end, period) in [(0, Period::Day), (300, Period::Day), (3300, Period::Week), (600, Period::Hour)] {
            let span = Span { end: UtcTime::from_seconds(1_800_000_000 + end), period };
            let bounds = [span.previous_start(), span.start(), span.end];
            let ((hours, hours_to), (edges, edges_to)) = whole_hours(&bounds);
            let ranges = || hours.iter().zip(&hours_to).chain(edges.iter().zip(&edges_to));
            let seconds: i64 = ranges().map(|(from, to)| to.seconds() - from.seconds()).sum();
            assert_eq!(seconds, 2 * period.seconds());
            assert!(ranges().all(|(from, to)| to <= &span.start() || from >= &span.start()));
            assert!(hours.iter().chain(&hours_to).all(|time| time.seconds() % HOUR == 0));
            assert!(edges.iter().zip(&edges_to).all(|(from, to)| to.seconds() - from.seconds() < HOUR));
        }
    }
}
