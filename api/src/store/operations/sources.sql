-- The latest decision about each source, with its health as of the time $1.
-- Skips from source to source in the index, so the ledger may grow long.
WITH RECURSIVE names AS (
    (SELECT source FROM fetches ORDER BY source LIMIT 1)
    UNION ALL
    SELECT (SELECT f.source FROM fetches f WHERE f.source > n.source ORDER BY f.source LIMIT 1)
    FROM names n
    WHERE n.source IS NOT NULL
)
SELECT latest.source, latest.kind, latest.url, latest.at, latest.decision, latest.status, latest.bytes, latest.posts_seen,
       latest.posts_new, latest.duration_ms, latest.next_at, latest.reason, latest.sample,
       succeeded.at AS last_success_at,
       news.at AS last_news_at,
       recent.failures_since_success,
       recent.posts_new_24h
FROM names n
CROSS JOIN LATERAL (
    SELECT * FROM fetches f WHERE f.source = n.source ORDER BY f.at DESC, f."offset" DESC LIMIT 1
) latest
LEFT JOIN LATERAL (
    SELECT f.at FROM fetches f
    WHERE f.source = n.source AND f.decision IN ('fetched', 'not_modified') ORDER BY f.at DESC LIMIT 1
) succeeded ON true
LEFT JOIN LATERAL (
    SELECT f.at FROM fetches f WHERE f.source = n.source AND f.posts_new > 0 ORDER BY f.at DESC LIMIT 1
) news ON true
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE f.decision IN ('blocked', 'failed', 'unparsable')
                              AND (succeeded.at IS NULL OR f.at > succeeded.at)) AS failures_since_success,
           coalesce(sum(f.posts_new), 0)::bigint AS posts_new_24h
    FROM fetches f
    WHERE f.source = n.source AND f.at > $1::timestamptz - interval '24 hours'
) recent
WHERE n.source IS NOT NULL
ORDER BY n.source
