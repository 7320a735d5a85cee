-- Replays are watched and steered: about once a second a process writes how far it is and reads what is wanted of it.
ALTER TABLE runs
    ADD COLUMN wanted    text NOT NULL DEFAULT 'run' CHECK (wanted IN ('run', 'pause', 'cancel')),
    ADD COLUMN progress  jsonb,
    ADD COLUMN heard_at  timestamptz,
    DROP CONSTRAINT runs_state_check,
    ADD CONSTRAINT runs_state_check CHECK (state IN ('running', 'paused', 'finished', 'failed', 'interrupted', 'cancelled'));
