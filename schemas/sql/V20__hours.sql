-- Windows added up by the hour, and how far each asset of a run reaches (ADR 35): what is asked of all assets reads a day in 46 rows of each
-- at most, not in 288. Triggers keep both in the transaction of whoever writes windows. Not by month: an hour is a twelfth of its windows, and
-- one table is planned faster than many.

CREATE TABLE stored_hours (
    hour          timestamptz       NOT NULL,
    first_offset  bigint            NOT NULL,
    last_offset   bigint            NOT NULL,
    score_sum     double precision,
    posts         integer           NOT NULL,
    -- Posts of the windows that have a mean score: `score_sum` is the sum of their scores.
    scored        integer,
    -- Null where the windows have several: then they have to be asked themselves.
    lineage_id    integer,
    sample        boolean           NOT NULL,
    run_id        text              NOT NULL,
    asset         text              NOT NULL,
    -- All assets of a day lie together.
    PRIMARY KEY (run_id, hour, asset)
) WITH (fillfactor = 70);

CREATE TABLE run_assets (
    first_window   timestamptz  NOT NULL,
    latest_window  timestamptz  NOT NULL,
    run_id         text         NOT NULL,
    asset          text         NOT NULL,
    PRIMARY KEY (run_id, asset)
) WITH (fillfactor = 70);

INSERT INTO stored_hours (run_id, asset, hour, first_offset, last_offset, score_sum, posts, scored, lineage_id, sample)
SELECT run_id, asset, date_bin('1 hour', window_start, '1970-01-05T00:00:00Z'), min(first_offset), max(last_offset),
       sum(mean_score * (negative + neutral + positive)), sum(posts),
       sum(negative + neutral + positive) FILTER (WHERE mean_score IS NOT NULL),
       CASE WHEN min(lineage_id) = max(lineage_id) THEN min(lineage_id) END, bool_or(sample)
FROM stored_windows GROUP BY 1, 2, 3
ORDER BY 1, 3, 2;  -- as they will come

INSERT INTO run_assets (run_id, asset, first_window, latest_window)
SELECT run_id, asset, min(window_start), max(window_start) FROM stored_windows GROUP BY 1, 2;

-- The hours of `changed` windows, counted again from what is stored now. In the order of the key, so that nobody waits for each other.
CREATE FUNCTION windows_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO stored_hours AS h (run_id, asset, hour, first_offset, last_offset, score_sum, posts, scored, lineage_id, sample)
    SELECT c.run_id, c.asset, c.hour, s.first_offset, s.last_offset, s.score_sum, s.posts, s.scored, s.lineage_id, s.sample
    FROM (SELECT DISTINCT run_id, asset, date_bin('1 hour', window_start, '1970-01-05T00:00:00Z') AS hour FROM changed) c
    CROSS JOIN LATERAL (
        SELECT min(first_offset) AS first_offset, max(last_offset) AS last_offset,
               sum(mean_score * (negative + neutral + positive)) AS score_sum, sum(posts) AS posts,
               sum(negative + neutral + positive) FILTER (WHERE mean_score IS NOT NULL) AS scored,
               CASE WHEN min(lineage_id) = max(lineage_id) THEN min(lineage_id) END AS lineage_id, bool_or(sample) AS sample
        FROM stored_windows w
        WHERE w.run_id = c.run_id AND w.asset = c.asset AND w.window_start >= c.hour AND w.window_start < c.hour + interval '1 hour') s
    WHERE s.posts IS NOT NULL
    ORDER BY c.run_id, c.hour, c.asset
    ON CONFLICT (run_id, hour, asset) DO UPDATE SET
        first_offset = excluded.first_offset, last_offset = excluded.last_offset, score_sum = excluded.score_sum, posts = excluded.posts,
        scored = excluded.scored, lineage_id = excluded.lineage_id, sample = excluded.sample
        WHERE (h.first_offset, h.last_offset, h.score_sum, h.posts, h.scored, h.lineage_id, h.sample) IS DISTINCT FROM
            (excluded.first_offset, excluded.last_offset, excluded.score_sum, excluded.posts, excluded.scored, excluded.lineage_id, excluded.sample);
    INSERT INTO run_assets AS r (run_id, asset, first_window, latest_window)
    SELECT run_id, asset, min(window_start), max(window_start) FROM changed GROUP BY run_id, asset ORDER BY run_id, asset
    ON CONFLICT (run_id, asset) DO UPDATE SET
        first_window = least(r.first_window, excluded.first_window), latest_window = greatest(r.latest_window, excluded.latest_window)
        WHERE excluded.first_window < r.first_window OR excluded.latest_window > r.latest_window;
    RETURN NULL;
END $$;

-- What has no window any more goes; runs after the other.
CREATE FUNCTION windows_deleted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM stored_hours h
    USING (SELECT DISTINCT run_id, asset, date_bin('1 hour', window_start, '1970-01-05T00:00:00Z') AS hour FROM changed) c
    WHERE h.run_id = c.run_id AND h.asset = c.asset AND h.hour = c.hour AND NOT EXISTS (
        SELECT FROM stored_windows w
        WHERE w.run_id = c.run_id AND w.asset = c.asset AND w.window_start >= c.hour AND w.window_start < c.hour + interval '1 hour');
    UPDATE run_assets r SET first_window = s.first_window, latest_window = s.latest_window
    FROM (SELECT DISTINCT run_id, asset FROM changed) c
    CROSS JOIN LATERAL (SELECT min(window_start) AS first_window, max(window_start) AS latest_window
                        FROM stored_windows w WHERE w.run_id = c.run_id AND w.asset = c.asset) s
    WHERE r.run_id = c.run_id AND r.asset = c.asset AND s.first_window IS NOT NULL;
    DELETE FROM run_assets r USING (SELECT DISTINCT run_id, asset FROM changed) c
    WHERE r.run_id = c.run_id AND r.asset = c.asset
      AND NOT EXISTS (SELECT FROM stored_windows w WHERE w.run_id = c.run_id AND w.asset = c.asset);
    RETURN NULL;
END $$;

CREATE TRIGGER windows_inserted AFTER INSERT ON stored_windows REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION windows_changed();
CREATE TRIGGER windows_updated AFTER UPDATE ON stored_windows REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION windows_changed();
CREATE TRIGGER windows_deleted_1 AFTER DELETE ON stored_windows REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION windows_changed();
CREATE TRIGGER windows_deleted_2 AFTER DELETE ON stored_windows REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION windows_deleted();

-- Where the month ends that a partition is of; or everything that has a month begins.
CREATE FUNCTION forgotten_until(partition text) RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN partition ~ '_[0-9]{4}_[0-9]{2}$'
                THEN (to_date(right(partition, 7), 'YYYY_MM') + interval '1 month') AT TIME ZONE 'UTC'
                ELSE timestamptz '2009-01-01T00:00:00Z' END
$$;
