-- Terms that more authors used in a window than was to be expected: the latest revision of each.
CREATE TABLE terms (
    window_start      timestamptz       NOT NULL,
    first_seen        timestamptz       NOT NULL,
    emitted_at        timestamptz       NOT NULL,
    significance      double precision  NOT NULL,
    expected_authors  double precision  NOT NULL,
    window_seconds    integer           NOT NULL,
    revision          integer           NOT NULL,
    authors           integer           NOT NULL,
    posts             integer           NOT NULL,
    all_authors       integer           NOT NULL,
    final             boolean           NOT NULL,
    sample            boolean           NOT NULL,
    run_id            text              NOT NULL,
    term              text              NOT NULL,
    kind              text              NOT NULL,
    asset             text,
    -- One a line.
    assets            text,
    -- The first posts, `<milliseconds since 1970> <post_id>`, one a line.
    examples          text
) PARTITION BY RANGE (window_start);

SELECT make_outer_partitions('terms');

-- The key. Also the terms of a time.
CREATE UNIQUE INDEX terms_key ON terms (run_id, window_seconds, window_start, term);
