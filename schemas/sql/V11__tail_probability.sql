-- How probable so many posts are, beside the score made of it. Null for windows of before, whose scores were halved for a while after an alarm.
ALTER TABLE stored_windows ADD COLUMN tail_probability real;
ALTER TABLE stored_window_revisions ADD COLUMN tail_probability real;

DO $$
DECLARE
    pair text[];
BEGIN
    FOREACH pair SLICE 1 IN ARRAY ARRAY[['trend_windows', 'stored_windows'], ['trend_window_revisions', 'stored_window_revisions']]
    LOOP
        EXECUTE format('CREATE OR REPLACE VIEW %I AS %s', pair[1], regexp_replace(pg_get_viewdef(pair[1]::regclass),
            '\s+FROM \(?' || pair[2] || '\y', ', w.tail_probability::double precision AS tail_probability\&'));
    END LOOP;
END $$;
