-- Rows of each kind, as the sink wrote them into the tables of V4.
INSERT INTO posts (run_id, post_id, source, kind, url, author_id, title, excerpt, published_at, fetched_at, scored_at, language, label, score,
                   p_negative, p_neutral, p_positive, unscored_reason, sample, model_name, model_version, model_sha256, assets_version,
                   input_topic, input_partition, input_offset, revision, fingerprint, spam_score, spam_reasons, deleted_at, author_sealed)
SELECT run, 'rss:' || n, 'feed-' || n % 3, 'rss', 'https://example.org/' || n, 'author-' || n % 5, 'A title', 'Text ' || n, at, at + interval '1 minute',
       at + interval '2 minutes', 'en', (ARRAY['negative', 'neutral', 'positive'])[n % 3 + 1], 0.5, 0.125, 0.25, 0.625, NULL, true,
       'words', model, 'ab', 'a1', topic, n % 4, n, 1 + n % 2, n, 0.25, CASE n % 4 WHEN 0 THEN '["promotion"]' ELSE '[]' END::jsonb, NULL, '\x0100ff'
FROM generate_series(1, 40) n,
     (VALUES ('live', '1', 'posts.raw.v1'), ('better', '2', 'posts.raw.v1')) r (run, model, topic),
     -- Months and years apart, before the first month and after the last one.
     LATERAL (SELECT (ARRAY['2022-05-09', '2026-10-31T23:59:59.999', '2026-11-01', '1970-01-01', '2150-01-01'])[n % 5 + 1]::timestamptz
                     + CASE WHEN n % 5 = 1 THEN interval '0' ELSE n * interval '1 second' END AS at) t
UNION ALL
-- Not scored, deleted, and by an author who has been erased.
SELECT 'live', v.*, true, 'words', '1', 'ab', 'a1', 'posts.raw.v1', 0, 100, 1, NULL, NULL, '[]', NULL::timestamptz, NULL::bytea
FROM (VALUES ('rss:unscored', 'feed-9', 'rss', NULL, NULL, NULL, 'Quoi', timestamptz '2026-11-02', timestamptz '2026-11-02', timestamptz '2026-11-02',
              'fr', NULL, NULL::float8, NULL::float8, NULL::float8, NULL::float8, 'language'),
             ('rss:erased', 'feed-1', 'rss', NULL, 'gone', NULL, '', '2026-11-02', '2026-11-02', '2026-11-02',
              'en', 'neutral', 0, 0.25, 0.5, 0.25, NULL)) v
UNION ALL
SELECT 'live', 'rss:deleted', 'feed-1', 'rss', NULL, NULL, NULL, '', '2026-11-02', '2026-11-02', '2026-11-02', NULL, NULL, NULL, NULL, NULL, NULL,
       NULL, true, 'words', '1', 'ab', 'a1', 'posts.raw.v1', 0, 101, 3, NULL, NULL, '[]', '2026-11-03', NULL;

INSERT INTO post_assets
SELECT run_id, post_id, asset, 'ticker', published_at, score, label FROM posts, unnest(ARRAY['BTC', 'ETH']) asset
WHERE deleted_at IS NULL AND (asset = 'BTC' OR input_offset % 2 = 0);

INSERT INTO trend_windows
SELECT run, asset, at + n * interval '5 minutes', at + (n + 1) * interval '5 minutes', 3, n < 5, 12, 9, 2, 3, 4, 0.1 + n, 0.25, 10.5,
       CASE n WHEN 0 THEN '{}' ELSE jsonb_build_object('feed-1', 7, 'only-in-windows', n) END, at + interval '6 hours', true, 'words', '1', 'ab', 'a1',
       'posts.mentions.v1', 1, 5, 17, f.*, CASE WHEN n < 5 THEN 11 END, 1
FROM generate_series(0, 9) n, (VALUES ('live'), ('better')) r (run), (VALUES ('*'), ('BTC')) a (asset),
     (VALUES (timestamptz '2022-05-09'), ('2026-10-31T23:40'), ('1970-01-01'), ('2150-01-01')) t (at),
     LATERAL (SELECT 0.5, 1.5, 2.5, 4.5, 8.5, 16.5, 0.125, 'fortune', '1', 'cd', NULL WHERE n < 5
              UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'settling' WHERE n BETWEEN 5 AND 7
              UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL WHERE n > 7) f;

INSERT INTO trend_window_revisions SELECT * FROM trend_windows;
UPDATE trend_window_revisions SET revision = 1, posts = 4, emitted_at = emitted_at - interval '1 hour', no_forecast_reason = 'history' WHERE asset = 'BTC';
INSERT INTO trend_window_revisions SELECT * FROM trend_windows WHERE asset = 'BTC';

INSERT INTO fetches
SELECT 'sources.fetches.v1', n % 2, n, 'feed-' || n % 3, 'rss', 'https://example.org', timestamptz '2026-10-31T20:00Z' + n * interval '1 hour',
       (ARRAY['fetched', 'failed', 'blocked'])[n % 3 + 1], 200, 1000, 20, n % 2, 12, '2026-11-01', NULL, true
FROM generate_series(1, 30) n;

INSERT INTO author_keys VALUES ('author-1', 'd1', 'k1', '\x01', '2026-11-01');
INSERT INTO author_erasures VALUES ('gone', '2026-11-03');
INSERT INTO runs (run_id, topic, model, state, started_at) VALUES ('live', 'posts.raw.v1', 'words@1', 'running', '2022-05-09');
INSERT INTO sink_offsets VALUES ('sink-postgres', 'insights.sentiment.v1', 0, 44);
