-- Full text over posts, for /v1/search (ADR 20).

-- The words of a post, as they are written, in small letters: posts are in many languages. The parser would take BTC/USD for a file and
-- peg.The for a host; a search for their words has to find them. Text that was erased has none. A tsvector is limited to a megabyte.
CREATE FUNCTION post_words(title text, excerpt text) RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT to_tsvector('pg_catalog.simple', translate(left(coalesce(title || ' ', '') || excerpt, 4096), './@:_-&?=', '         '))
$$;

-- The posts with some words, in a time: each partition has its own.
CREATE INDEX stored_posts_by_word ON stored_posts USING gin (post_words(title, excerpt));
