"""Counts what is archived below a folder with DuckDB and with pandas, each by the manifests alone: docs/archive.md.

Prints one JSON object: {"duckdb": {...}, "pandas": {...}}.
"""

import json
import sys
from pathlib import Path

import duckdb
import pandas

ROOT = Path(sys.argv[1])
RAW, SCORED = "posts.raw.v1", "insights.sentiment.v1"


def duckdb_files(topic):
    # As in docs/archive.md.
    duckdb.sql(
        f"""
        SET VARIABLE files = (
          SELECT list(DISTINCT '{ROOT}/' || file.path) FROM (
            SELECT unnest(arg_max(files, filename)) AS file
            FROM read_json('{ROOT}/{topic}/_manifest/*/*.json', filename = true) GROUP BY partition))
        """
    )


def with_duckdb():
    duckdb.sql("SET TimeZone = 'UTC'")
    duckdb_files(RAW)
    row = duckdb.sql(
        """
        SELECT count(*), count(published_at), count(*) FILTER (deleted), count(raw_value),
               count(*) FILTER (author_id = 'alice'), epoch_ms(max(published_at)), sum("offset"),
               sum(octet_length(encode(text)))
        FROM read_parquet(getvariable('files'))
        """
    ).fetchall()[0]
    names = ["records", "posts", "deleted", "undecoded", "alice", "latest", "offsets", "text_bytes"]
    return dict(zip(names, map(int, row), strict=True)) | {"scored": scored_with_duckdb()}


def scored_with_duckdb():
    duckdb_files(SCORED)
    row = duckdb.sql(
        """
        SELECT count(*), count(published_at), count(*) FILTER (len(assets) = 0), count(deleted_at), sum(score),
               sum(len(spam_reasons)), sum(lineage.last_offset)
        FROM read_parquet(getvariable('files'))
        """
    ).fetchall()[0]
    names = ["records", "posts", "of_no_asset", "deleted", "score", "reasons", "input_offsets"]
    numbers = {name: number if name == "score" else int(number) for name, number in zip(names, row, strict=True)}
    moods = duckdb.sql(
        """
        SELECT mention.asset, count(*), count(mention.label), coalesce(sum(mention.score), 0.0)
        FROM (SELECT unnest(assets) AS mention FROM read_parquet(getvariable('files'))) GROUP BY mention.asset
        """
    ).fetchall()
    return numbers | {"moods": {asset: mood for asset, *mood in moods}}


def read_with_pandas(topic):
    manifests = [max(partition.glob("*.json")) for partition in (ROOT / topic / "_manifest").iterdir()]
    files = [ROOT / file["path"] for path in manifests for file in json.loads(path.read_text())["files"]]
    return pandas.concat(pandas.read_parquet(file) for file in files)


def with_pandas():
    posts = read_with_pandas(RAW)
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
        "scored": scored_with_pandas(),
    }


def scored_with_pandas():
    rows = read_with_pandas(SCORED)
    posts = rows[rows["published_at"].notna()]
    moods = {}
    for mention in (mention for mentions in posts["assets"] for mention in mentions):
        mentions, labelled, score = moods.get(mention["asset"], (0, 0, 0.0))
        labelled += mention["label"] is not None
        moods[mention["asset"]] = (mentions + 1, labelled, score + (mention["score"] or 0.0))
    return {
        "records": len(rows),
        "posts": len(posts),
        "of_no_asset": int((posts["assets"].str.len() == 0).sum()),
        "deleted": int(posts["deleted_at"].notna().sum()),
        "score": float(posts["score"].sum()),
        "reasons": int(posts["spam_reasons"].str.len().sum()),
        "input_offsets": sum(lineage["last_offset"] for lineage in posts["lineage"]),
        "moods": moods,
    }


json.dump({"duckdb": with_duckdb(), "pandas": with_pandas()}, sys.stdout)
