-- History of the insight topics. Times are UTC with millisecond precision. Missing is NULL, never 0.
-- Every table that a topic feeds is keyed by what the record is about, so that a redelivered record changes nothing.

CREATE TABLE posts (
    run_id           text             NOT NULL,
    post_id          text             NOT NULL,
    source           text             NOT NULL,
    kind             text             NOT NULL,
    url              text,
    author_id        text,
    title            text,
    excerpt          text             NOT NULL,
    published_at     timestamptz      NOT NULL,
    fetched_at       timestamptz      NOT NULL,
    scored_at        timestamptz      NOT NULL,
    language         text,
    label            text,
    score            double precision,
    p_negative       double precision,
    p_neutral        double precision,
    p_positive       double precision,
    unscored_reason  text,
    sample           boolean          NOT NULL,
    model_name       text             NOT NULL,
    model_version    text             NOT NULL,
    model_sha256     text             NOT NULL,
    assets_version   text             NOT NULL,
    input_topic      text             NOT NULL,
    input_partition  integer          NOT NULL,
    input_offset     bigint           NOT NULL,
    PRIMARY KEY (run_id, post_id)
);

-- Posts of the whole market, newest first; keyset pagination on (published_at, post_id).
CREATE INDEX posts_by_time ON posts (run_id, published_at DESC, post_id);

-- Repeats published_at, score and label, so that one index answers "the posts about an asset". Written only together with its post.
CREATE TABLE post_assets (
    run_id        text             NOT NULL,
    post_id       text             NOT NULL,
    asset         text             NOT NULL,
    evidence      text             NOT NULL,
    published_at  timestamptz      NOT NULL,
    score         double precision,
    label         text,
    PRIMARY KEY (run_id, post_id, asset)
);

CREATE INDEX post_assets_by_asset ON post_assets (run_id, asset, published_at DESC, post_id) INCLUDE (score, label);

-- The latest revision of every window. asset '*' is the whole market.
CREATE TABLE trend_windows (
    run_id           text             NOT NULL,
    asset            text             NOT NULL,
    window_start     timestamptz      NOT NULL,
    window_end       timestamptz      NOT NULL,
    revision         integer          NOT NULL,
    final            boolean          NOT NULL,
    posts            bigint           NOT NULL,
    unique_authors   bigint           NOT NULL,
    negative         bigint           NOT NULL,
    neutral          bigint           NOT NULL,
    positive         bigint           NOT NULL,
    mean_score       double precision,
    anomaly_score    double precision,
    expected_posts   double precision,
    sources          jsonb            NOT NULL,
    emitted_at       timestamptz      NOT NULL,
    sample           boolean          NOT NULL,
    model_name       text             NOT NULL,
    model_version    text             NOT NULL,
    model_sha256     text             NOT NULL,
    assets_version   text             NOT NULL,
    input_topic      text             NOT NULL,
    input_partition  integer          NOT NULL,
    first_offset     bigint           NOT NULL,
    last_offset      bigint           NOT NULL,
    PRIMARY KEY (run_id, asset, window_start)
) WITH (fillfactor = 70);  -- leaves room to update a revision in place; no indexed column ever changes

-- All assets over the last hours (leaderboard).
CREATE INDEX trend_windows_by_time ON trend_windows (run_id, window_start DESC, asset);

-- Every revision, for "as known at": highest revision with emitted_at <= as_of.
CREATE TABLE trend_window_revisions (
    LIKE trend_windows INCLUDING COMMENTS,
    PRIMARY KEY (run_id, asset, window_start, revision)
);

CREATE TABLE alerts (
    alert_id       text             PRIMARY KEY,
    run_id         text             NOT NULL,
    asset          text             NOT NULL,
    kind           text             NOT NULL,
    window_start   timestamptz      NOT NULL,
    window_end     timestamptz      NOT NULL,
    value          double precision NOT NULL,
    expected       double precision,
    anomaly_score  double precision,
    raised_at      timestamptz      NOT NULL,
    sample         boolean          NOT NULL
);

CREATE INDEX alerts_by_time ON alerts (run_id, window_start DESC, alert_id);
CREATE INDEX alerts_by_asset ON alerts (run_id, asset, window_start DESC, alert_id);

-- The fetch ledger, one row for each record of sources.fetches.v1.
CREATE TABLE fetches (
    topic        text        NOT NULL,
    partition    integer     NOT NULL,
    "offset"     bigint      NOT NULL,
    source       text        NOT NULL,
    kind         text        NOT NULL,
    url          text        NOT NULL,
    at           timestamptz NOT NULL,
    decision     text        NOT NULL,
    status       integer,
    bytes        bigint      NOT NULL,
    posts_seen   bigint      NOT NULL,
    posts_new    bigint      NOT NULL,
    duration_ms  bigint      NOT NULL,
    next_at      timestamptz NOT NULL,
    reason       text,
    sample       boolean     NOT NULL,
    PRIMARY KEY (topic, partition, "offset")
);

CREATE INDEX fetches_by_source ON fetches (source, at DESC, "offset" DESC);
CREATE INDEX fetches_succeeded ON fetches (source, at DESC) WHERE decision IN ('fetched', 'not_modified');
CREATE INDEX fetches_with_news ON fetches (source, at DESC) WHERE posts_new > 0;

-- Computations over the posts: 'live', and every replay.
CREATE TABLE runs (
    run_id       text        PRIMARY KEY,
    topic        text        NOT NULL,
    from_time    timestamptz,
    to_time      timestamptz,
    model        text        NOT NULL,
    state        text        NOT NULL CHECK (state IN ('running', 'finished', 'failed')),
    started_at   timestamptz NOT NULL,
    finished_at  timestamptz,
    posts        bigint,
    detail       jsonb       NOT NULL DEFAULT '{}'
);

CREATE INDEX runs_by_time ON runs (started_at DESC, run_id);

-- Where each sink goes on. Written in the transaction of the rows, guarded by the value that was read.
CREATE TABLE sink_offsets (
    sink         text        NOT NULL,
    topic        text        NOT NULL,
    partition    integer     NOT NULL,
    next_offset  bigint      NOT NULL,
    updated_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (sink, topic, partition)
);
