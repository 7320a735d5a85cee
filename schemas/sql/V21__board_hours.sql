-- Hours with all that the leaderboard and the moods need (ADR 38): two weeks are 4,032 windows of each asset, but 336 hours.

ALTER TABLE stored_hours
    ADD COLUMN emitted_at      timestamptz,
    ADD COLUMN expected_posts  double precision,
    ADD COLUMN windows         integer,
    ADD COLUMN unique_posts    integer,
    ADD COLUMN spam_posts      integer,
    ADD COLUMN negative        integer,
    ADD COLUMN neutral         integer,
    ADD COLUMN positive        integer,
    ADD COLUMN anomaly_score   real,
    ADD COLUMN final           boolean,
    -- The forecast of the newest window that has one: when it begins, in seconds, its quantiles, and the probability of doubling.
    ADD COLUMN next_hour       double precision[];

-- What the windows of an hour add up to; no row if there is none.
CREATE FUNCTION hour_of(text, text, timestamptz) RETURNS SETOF stored_hours LANGUAGE sql STABLE AS $$
    SELECT $3, min(first_offset), max(last_offset), sum(mean_score * (negative + neutral + positive)), sum(posts)::integer,
           (sum(negative + neutral + positive) FILTER (WHERE mean_score IS NOT NULL))::integer,
           CASE WHEN min(lineage_id) = max(lineage_id) THEN min(lineage_id) END, bool_or(sample), $1, $2,
           max(emitted_at), CASE WHEN count(expected_posts) = count(*) THEN sum(expected_posts::double precision) END, count(*)::integer,
           CASE WHEN count(unique_posts) = count(*) THEN sum(unique_posts)::integer END,
           CASE WHEN count(spam_posts) = count(*) THEN sum(spam_posts)::integer END,
           sum(negative)::integer, sum(neutral)::integer, sum(positive)::integer, max(anomaly_score), bool_and(final),
           -- Arrays compare by their first elements.
           max(ARRAY[date_part('epoch', window_start) + window_seconds, next_hour_p10, next_hour_p50, next_hour_p90, doubling_probability])
               FILTER (WHERE next_hour_p50 IS NOT NULL)
    FROM stored_windows WHERE run_id = $1 AND asset = $2 AND window_start >= $3 AND window_start < $3 + interval '1 hour'
    HAVING count(*) > 0
$$;

CREATE TEMPORARY TABLE counted_again ON COMMIT DROP AS
SELECT s.* FROM stored_hours h CROSS JOIN LATERAL hour_of(h.run_id, h.asset, h.hour) s;
TRUNCATE stored_hours;
INSERT INTO stored_hours SELECT * FROM counted_again ORDER BY run_id, hour, asset;  -- as they will come
ALTER TABLE stored_hours
    ALTER COLUMN emitted_at SET NOT NULL, ALTER COLUMN windows SET NOT NULL, ALTER COLUMN negative SET NOT NULL,
    ALTER COLUMN neutral SET NOT NULL, ALTER COLUMN positive SET NOT NULL, ALTER COLUMN final SET NOT NULL;

-- As V20 has it, with all columns.
CREATE OR REPLACE FUNCTION windows_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO stored_hours AS h
    SELECT s.* FROM (SELECT DISTINCT run_id, asset, date_bin('1 hour', window_start, '1970-01-05T00:00:00Z') AS hour FROM changed) c
    CROSS JOIN LATERAL hour_of(c.run_id, c.asset, c.hour) s
    ORDER BY c.run_id, c.hour, c.asset
    ON CONFLICT (run_id, hour, asset) DO UPDATE SET
        first_offset = excluded.first_offset, last_offset = excluded.last_offset, score_sum = excluded.score_sum, posts = excluded.posts,
        scored = excluded.scored, lineage_id = excluded.lineage_id, sample = excluded.sample, emitted_at = excluded.emitted_at,
        expected_posts = excluded.expected_posts, windows = excluded.windows, unique_posts = excluded.unique_posts,
        spam_posts = excluded.spam_posts, negative = excluded.negative, neutral = excluded.neutral, positive = excluded.positive,
        anomaly_score = excluded.anomaly_score, final = excluded.final, next_hour = excluded.next_hour
        WHERE h.* IS DISTINCT FROM excluded.*;
    INSERT INTO run_assets AS r (run_id, asset, first_window, latest_window)
    SELECT run_id, asset, min(window_start), max(window_start) FROM changed GROUP BY run_id, asset ORDER BY run_id, asset
    ON CONFLICT (run_id, asset) DO UPDATE SET
        first_window = least(r.first_window, excluded.first_window), latest_window = greatest(r.latest_window, excluded.latest_window)
        WHERE excluded.first_window < r.first_window OR excluded.latest_window > r.latest_window;
    RETURN NULL;
END $$;
