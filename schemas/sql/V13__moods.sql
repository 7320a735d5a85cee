-- The assets of a post, so that the moods towards them are found in post_assets by its index.
DO $$
BEGIN
    EXECUTE format('CREATE OR REPLACE VIEW posts AS %s', regexp_replace(pg_get_viewdef('posts'::regclass),
        '\s+FROM \(*stored_posts\y', E', string_to_array(p.assets, E''\\n'') AS assets\\&'));
END $$;
COMMENT ON COLUMN post_assets.score IS 'Mood towards the asset; that of the post where it mentions no other, or is of before there were moods.';
