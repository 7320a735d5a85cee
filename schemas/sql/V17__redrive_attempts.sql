-- Where the record of a redriven letter went, and how often it had been sent by then: if it fails again, that letter's attempts.
ALTER TABLE dead_letters
    ADD COLUMN redriven_offset bigint,
    ADD COLUMN redriven_partition integer,
    ADD COLUMN attempt integer;

CREATE INDEX dead_letters_sent ON dead_letters (topic, redriven_partition, redriven_offset) WHERE redriven_offset IS NOT NULL;
