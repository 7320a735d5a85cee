-- Roles with what each reader needs and no more (docs/security.md). They are optional, and no migration. As the owner of the tables, with
-- the right to create roles (or after somebody who may has made them), once after `vigie migrate`, and again after an upgrade:
--   psql "$OWNER_URL" -v ON_ERROR_STOP=1 -f schemas/sql/roles.sql
-- Then for each service a login: CREATE ROLE api LOGIN PASSWORD '...' IN ROLE vigie_api;
DO $$
DECLARE
    role text;
BEGIN
    FOREACH role IN ARRAY ARRAY['vigie_api', 'vigie_api_authors', 'vigie_api_keys', 'vigie_api_logins', 'vigie_analyst'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', role);
        END IF;
        -- What an earlier version has granted.
        EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA public FROM %I', role);
        EXECUTE format('GRANT USAGE ON SCHEMA public TO %I', role);
    END LOOP;
END $$;

GRANT SELECT ON stored_windows, stored_window_revisions, stored_hours, run_assets, fetches, sink_offsets TO vigie_api;
GRANT SELECT ON posts, trend_windows, trend_window_revisions, post_assets, alerts, runs, served_runs, sources, lineages, terms TO vigie_api, vigie_analyst;
-- Records as they were, which may hold anything.
GRANT SELECT ON dead_letters TO vigie_api;
-- Who may ask, and when a key was used last.
GRANT SELECT ON api_keys, revoked_tokens, access_changes TO vigie_api;
GRANT UPDATE (last_used_at) ON api_keys TO vigie_api;

-- Beside vigie_api, only for an API whose readers may have the scope authors:read.
GRANT SELECT ON authors, author_keys, author_erasures TO vigie_api_authors;

-- Beside vigie_api, only for an API whose callers may have the scope admin:keys.
GRANT INSERT, UPDATE (revoked_at) ON api_keys TO vigie_api_keys;
GRANT SELECT, UPDATE ON access_changes TO vigie_api_keys;

-- Beside vigie_api, only for an API with a login.
GRANT EXECUTE ON FUNCTION end_session TO vigie_api_logins;
