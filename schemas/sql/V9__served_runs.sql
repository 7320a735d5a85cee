-- Which run answers for which range of event time, from when to when (ADR 23): of overlapping ranges the one with the highest id, and
-- the live run where there is none. Rows stay: what was served at a time can be asked for later.
CREATE TABLE served_runs (
    id              bigint       GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id          text         NOT NULL,
    from_time       timestamptz  NOT NULL,
    to_time         timestamptz  NOT NULL,
    promoted_at     timestamptz  NOT NULL,
    promoted_by     text         NOT NULL DEFAULT session_user,
    reason          text,
    rolled_back_at  timestamptz,
    rolled_back_by  text,
    CHECK (from_time < to_time),
    -- Whole windows, so that none is missing or counted twice.
    CHECK (extract(epoch FROM from_time) % 300 = 0 AND extract(epoch FROM to_time) % 300 = 0)
);
