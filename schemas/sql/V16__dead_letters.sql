-- Records that a stage could not process, for as long as the dead letter queues keep them (30 days).
CREATE TABLE dead_letters (
    failed_at         timestamptz  NOT NULL,
    -- When the record was written to its topic.
    appended_at       timestamptz  NOT NULL,
    redriven_at       timestamptz,
    -- Where the record is.
    "offset"          bigint       NOT NULL,
    -- Where the letter is, in the queue of the topic.
    letter_offset     bigint       NOT NULL,
    letter_partition  integer      NOT NULL,
    partition         integer      NOT NULL,
    topic             text         NOT NULL,
    stage             text         NOT NULL,
    reason            text         NOT NULL,
    detail            text         NOT NULL,
    version           text,
    key               bytea,
    value             bytea,
    PRIMARY KEY (topic, letter_partition, letter_offset)
);

CREATE INDEX dead_letters_time ON dead_letters (failed_at);
