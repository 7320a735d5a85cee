-- Who may ask the API, beside those with tokens, and who may not any more.

CREATE TABLE api_keys (
    key_id        text        PRIMARY KEY,
    -- SHA-256 of the whole key: it is random, so that no salt and no slow hash is needed.
    hash          bytea       NOT NULL UNIQUE CHECK (octet_length(hash) = 32),
    name          text        NOT NULL,
    scopes        text[]      NOT NULL,
    created_at    timestamptz NOT NULL,
    expires_at    timestamptz NOT NULL,
    revoked_at    timestamptz,
    -- To the minute.
    last_used_at  timestamptz
);

-- A token by its id (kind 'jti'), or all of a subject that were issued until then (kind 'subject').
CREATE TABLE revoked_tokens (
    kind        text        NOT NULL CHECK (kind IN ('jti', 'subject')),
    value       text        NOT NULL,
    revoked_at  timestamptz NOT NULL,
    -- No token that this is about is valid any more.
    keep_until  timestamptz NOT NULL,
    PRIMARY KEY (kind, value)
);

-- Grows with every change, so that looking for changes costs one row.
CREATE TABLE access_changes (changes bigint NOT NULL);
INSERT INTO access_changes VALUES (0);

CREATE FUNCTION count_access_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE access_changes SET changes = changes + 1;
    RETURN NULL;
END
$$;

CREATE TRIGGER api_keys_changed
    AFTER INSERT OR DELETE OR TRUNCATE OR UPDATE OF hash, scopes, expires_at, revoked_at ON api_keys
    FOR EACH STATEMENT EXECUTE FUNCTION count_access_change();
CREATE TRIGGER revoked_tokens_changed
    AFTER INSERT OR DELETE OR TRUNCATE OR UPDATE ON revoked_tokens
    FOR EACH STATEMENT EXECUTE FUNCTION count_access_change();
