"""Compares what vigie found in the Reddit archives with the independent count of archive_count.py.

    python archive_compare.py counts.json --postgres-url URL --api http://127.0.0.1:8080 \\
        --brokers 127.0.0.1:9092 --registry http://127.0.0.1:8081

Each place that is named is checked: the windows and the posts in PostgreSQL (by psql), the series of the API, the last
revisions on insights.trends.v1 (by Confluent's client). Every difference is printed. Exit code 0: all agree, 1: not.
"""

import argparse
import csv
import datetime
import io
import json
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

WINDOW_MS = 300_000
DAY_MS = 86_400_000
# The sources of `up --archive`: Reddit lists posts and comments apart.
SOURCES = {"archive-reddit-posts": "posts", "archive-reddit-comments": "comments"}
LATEST = """
    SELECT asset, (extract(epoch FROM window_start) * 1000)::bigint, posts, unique_authors, sources FROM trend_windows
    WHERE run_id = :'run'"""
START = f"(floor(extract(epoch FROM published_at) * 1000 / {WINDOW_MS}) * {WINDOW_MS})::bigint"
# The windows once more, counted from the rows of the posts.
FROM_POSTS = f"""
    WITH mentions AS (
        SELECT '*' AS asset, {START} AS start, author_id, source FROM posts WHERE run_id = :'run'
        UNION ALL
        SELECT a.asset, {START.replace("published_at", "p.published_at")}, p.author_id, p.source
        FROM post_assets a JOIN posts p USING (run_id, published_at, post_key) WHERE a.run_id = :'run'
    ), by_source AS (
        SELECT asset, start, jsonb_object_agg(source, n) AS sources
        FROM (SELECT asset, start, source, count(*) AS n FROM mentions GROUP BY 1, 2, 3) counted GROUP BY 1, 2
    )
    SELECT asset, start, count(*), count(DISTINCT author_id), sources
    FROM mentions JOIN by_source USING (asset, start) GROUP BY asset, start, sources"""


def expected_windows(path):
    report = json.loads(path.read_text())
    return {
        (asset, int(start)): (window["posts"], window["unique_authors"], window["kinds"])
        for asset, numbers in report["assets"].items()
        for start, window in numbers["windows"].items()
    }


def postgres_windows(url, run, query):
    command = ["psql", "--no-psqlrc", "--quiet", "--csv", "--tuples-only", "--set", "ON_ERROR_STOP=1"]
    command += ["--set", f"run={run}", "--dbname", url]
    answer = subprocess.run(command, input=query, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        sys.exit(f"archive_compare: psql: {answer.stderr.strip()}")
    rows = csv.reader(io.StringIO(answer.stdout))
    return {
        (asset, int(start)): (int(posts), int(authors), kinds(json.loads(sources)))
        for asset, start, posts, authors, sources in rows
    }


def kinds(sources):
    return {SOURCES.get(source, source): posts for source, posts in sources.items()}


def rfc3339(milliseconds):
    return datetime.datetime.fromtimestamp(milliseconds / 1000, datetime.UTC).isoformat().replace("+00:00", "Z")


def get_json(url, token):
    """What is not there (an asset that the API does not know) has no points."""
    while True:
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return {"points": []}
            if error.code != 429:
                sys.exit(f"archive_compare: {url}: {error.code} {error.read().decode(errors='replace')}")
            time.sleep(float(error.headers.get("Retry-After", "1")))


def api_windows(base, run, token, expected, days):
    """Asks for the stretches of time that have posts, for each asset that the count or the API knows."""
    stretch = days * DAY_MS
    stretches = {start - start % stretch for _, start in expected}
    known = get_json(f"{base}/v1/assets?{urllib.parse.urlencode({'run': run})}", token)["assets"]
    asked = {entry["asset"]: stretches for entry in known if not any(asset == entry["asset"] for asset, _ in expected)}
    for asset, start in expected:
        asked.setdefault(asset, set()).add(start - start % stretch)
    windows = {}
    for asset in sorted(asked):
        for start in sorted(asked[asset]):
            query = urllib.parse.urlencode(
                {
                    "metrics": "posts,unique_authors",
                    "from": rfc3339(start),
                    "to": rfc3339(start + stretch),
                    "interval": "5m",
                    "run": run,
                }
            )
            answer = get_json(f"{base}/v1/assets/{urllib.parse.quote(asset, safe='')}/series?{query}", token)
            for point in answer["points"]:
                moment = datetime.datetime.fromisoformat(point["start"].replace("Z", "+00:00"))
                if point.get("posts"):
                    windows[asset, int(moment.timestamp() * 1000)] = (point["posts"], point["unique_authors"])
    return windows


def kafka_windows(brokers, registry, topic, run):
    """The highest revision of each window on the topic, and how many revisions are there more than once."""
    from confluent_kafka.schema_registry import SchemaRegistryClient
    from confluent_kafka.schema_registry.avro import AvroDeserializer
    from confluent_kafka.serialization import MessageField, SerializationContext
    from subscriber import open_consumer, read_topic

    deserialise = AvroDeserializer(SchemaRegistryClient({"url": registry}))
    consumer = open_consumer(brokers)
    latest = {}
    seen = set()
    repeated = 0
    for message in read_topic(consumer, topic, timeout=300):
        insight = deserialise(message.value(), SerializationContext(topic, MessageField.VALUE))
        if insight["lineage"]["run_id"] != run:
            continue
        window = (insight["asset"], int(insight["window_start"].timestamp() * 1000))
        if (window, insight["revision"]) in seen:
            print(f"{topic}: revision {insight['revision']} of {window[0]} at {rfc3339(window[1])} is there twice")
            repeated += 1
        seen.add((window, insight["revision"]))
        known = latest.get(window)
        if known is None or insight["revision"] > known[0]:
            latest[window] = (
                insight["revision"],
                (insight["posts"], insight["unique_authors"], kinds(insight["sources"])),
            )
    consumer.close()
    return {window: numbers for window, (_, numbers) in latest.items()}, repeated


def differences(place, expected, found, most):
    """Prints what differs and returns how many windows do."""
    different = sorted(window for window in expected.keys() | found.keys() if expected.get(window) != found.get(window))
    for asset, start in different[:most]:
        numbers = [
            "no window" if side is None else f"{side[0]} posts of {side[1]} authors {side[2] if len(side) > 2 else ''}"
            for side in (expected.get((asset, start)), found.get((asset, start)))
        ]
        print(f"{place}: {asset} at {rfc3339(start)}: counted {numbers[0]}, found {numbers[1]}")
    if len(different) > most:
        print(f"{place}: and {len(different) - most} more")
    posts = sum(numbers[0] for (asset, _), numbers in found.items() if asset == "*")
    verdict = "agree" if not different else f"{len(different)} differ"
    print(f"{place}: {len(found)} windows, {posts} posts; {verdict}")
    return len(different)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("counts", type=Path, help="output of archive_count.py")
    parser.add_argument("--postgres-url")
    parser.add_argument("--api", help="base URL")
    parser.add_argument("--token", help="bearer token for the API")
    parser.add_argument("--api-days", type=int, default=30, help="days asked for at once")
    parser.add_argument("--brokers")
    parser.add_argument("--registry")
    parser.add_argument("--topic", default="insights.trends.v1")
    parser.add_argument("--run", default="live")
    parser.add_argument("--most", type=int, default=20, help="differences printed for each place")
    options = parser.parse_args()
    if not (options.postgres_url or options.api or options.brokers):
        parser.error("nothing to compare with: give --postgres-url, --api or --brokers with --registry")
    if options.brokers and not options.registry:
        parser.error("--brokers needs --registry")
    return options


def main():
    options = arguments()
    expected = expected_windows(options.counts)
    failed = 0
    if options.postgres_url:
        latest = postgres_windows(options.postgres_url, options.run, LATEST)
        failed += differences("postgresql windows", expected, latest, options.most)
        posts = postgres_windows(options.postgres_url, options.run, FROM_POSTS)
        failed += differences("postgresql posts", expected, posts, options.most)
    if options.api:
        series = api_windows(options.api.rstrip("/"), options.run, options.token, expected, options.api_days)
        without_kinds = {window: numbers[:2] for window, numbers in expected.items()}
        failed += differences("api series", without_kinds, series, options.most)
    if options.brokers:
        insights, repeated = kafka_windows(options.brokers, options.registry, options.topic, options.run)
        failed += repeated + differences(options.topic, expected, insights, options.most)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
