-- Handles under seal, the wrapped data keys that open them, and who has been erased. Nothing here is readable without the keyring.

ALTER TABLE posts ADD COLUMN author_sealed bytea;

-- The posts of an author: to open a handle, and to erase.
CREATE INDEX posts_by_author ON posts (author_id, fetched_at DESC) WHERE author_id IS NOT NULL;

-- What authors.keys.v1 holds. A row goes with its record.
CREATE TABLE author_keys (
    author_id    text        NOT NULL,
    dek_id       text        NOT NULL,
    kek_id       text        NOT NULL,
    wrapped_key  bytea       NOT NULL,
    made_at      timestamptz NOT NULL,
    PRIMARY KEY (author_id, dek_id)
);

-- Posts that were fetched until then have lost their texts, and stay without them when they are read again.
CREATE TABLE author_erasures (
    author_id    text        PRIMARY KEY,
    erased_at    timestamptz NOT NULL
);
