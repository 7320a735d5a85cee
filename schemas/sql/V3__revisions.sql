-- Identity of posts: revisions, deletions, copies, spam. NULL in rows of before; adding columns without a rewriting default touches no row.

ALTER TABLE posts
    ADD COLUMN revision      integer NOT NULL DEFAULT 1,
    ADD COLUMN fingerprint   bigint,
    ADD COLUMN spam_score    double precision,
    ADD COLUMN spam_reasons  jsonb   NOT NULL DEFAULT '[]',
    -- When the deletion was noticed: such a row has no text, address, author, asset or sentiment left.
    ADD COLUMN deleted_at    timestamptz;

-- How often the same text was published.
CREATE INDEX posts_by_fingerprint ON posts (run_id, fingerprint, published_at, post_id) WHERE fingerprint IS NOT NULL;

ALTER TABLE trend_windows
    ADD COLUMN unique_posts  bigint,
    ADD COLUMN spam_posts    bigint;

ALTER TABLE trend_window_revisions
    ADD COLUMN unique_posts  bigint,
    ADD COLUMN spam_posts    bigint;
