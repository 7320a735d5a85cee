-- A session of the dashboard that was logged out is revoked by its id, so that a copy of its cookie ends too. With the owner's rights: whoever
-- may call this can neither read revocations nor take one back.
CREATE FUNCTION end_session(session_id text, until timestamptz) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    DELETE FROM revoked_tokens WHERE keep_until <= now();
    -- As many again are left to operators.
    INSERT INTO revoked_tokens
        SELECT 'jti', session_id, now(), until WHERE (SELECT count(*) FROM revoked_tokens) < 50000
        ON CONFLICT (kind, value) DO NOTHING;
    RETURN FOUND;
END $$;
REVOKE ALL ON FUNCTION end_session FROM PUBLIC;
