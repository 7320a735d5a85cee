"""Counts what is archived below a folder with DuckDB and with pandas, each by the manifests alone: docs/archive.md.

Prints one JSON object: {"duckdb": {...}, "pandas": {...}}.
"""

import json
import sys
from pathlib import Path

import duckdb
import pandas

ROOT = Path(sys.argv[1])
TOPIC = "posts.raw.v1"


def with_duckdb():
    duckdb.sql("SET TimeZone = 'UTC'")
    # As in docs/archive.md.
    duckdb.sql(
        f"""
        SET VARIABLE files = (
          SELECT list(DISTINCT '{ROOT}/' || file.path) FROM (
            SELECT unnest(arg_max(files, filename)) AS file
            FROM read_json('{ROOT}/{TOPIC}/_manifest/*/*.json', filename = true) GROUP BY partition))
        """
    )
    row = duckdb.sql(
        """
        SELECT count(*), count(published_at), count(*) FILTER (deleted), count(raw_value),
               count(*) FILTER (author_id = 'alice'), epoch_ms(max(published_at)), sum("offset"),
               sum(octet_length(encode(text)))
        FROM read_parquet(getvariable('files'))
        """
    ).fetchall()[0]
    names = ["records", "posts", "deleted", "undecoded", "alice", "latest", "offsets", "text_bytes"]
    return dict(zip(names, map(int, row), strict=True))


def with_pandas():
    manifests = [max(partition.glob("*.json")) for partition in (ROOT / TOPIC / "_manifest").iterdir()]
    files = [ROOT / file["path"] for path in manifests for file in json.loads(path.read_text())["files"]]
    posts = pandas.concat(pandas.read_parquet(file) for file in files)
    latest = posts["published_at"].max()
    assert str(latest.tz) == "UTC", latest
    return {
        "records": len(posts),
        "posts": int(posts["published_at"].notna().sum()),
        "deleted": int(posts["deleted"].sum()),
        "undecoded": int(posts["raw_value"].notna().sum()),
        "alice": int((posts["author_id"] == "alice").sum()),
        "latest": round(latest.timestamp() * 1000),
        "offsets": int(posts["offset"].sum()),
        "text_bytes": int(posts["text"].dropna().str.encode("utf-8").str.len().sum()),
    }


json.dump({"duckdb": with_duckdb(), "pandas": with_pandas()}, sys.stdout)
