"""The API beside what a user would write instead (``api_peer.py``), on the same PostgreSQL, in turns.

    python api.py --ours target/release/examples/serve --load target/release/examples/load (--stack JSON | --postgres-url URL [--redis-url URL])
        [--fill ASSETS,DAYS] [--only hot|cold] [--questions assets,trends,series,posts] [--rounds 3] [--seconds 5] [--connections 16]
        [--history DAYS]

``--fill`` writes made-up windows and posts into an empty database first, the same for the same numbers. Each round asks every question
of both, once hot (vigie as it is; the peer keeps answers for a second) and once cold (nothing is kept: ``--api-cache 0MiB``,
``PEER_CACHE_SECONDS=0``). With ``--history`` vigie alone is asked cold, by one connection, over a database with one day and over one with
DAYS, in turns; where a p99 is more than 1.5 times that of one day, it ends with 1. Otherwise, of vigie only: the p99 at half of the hot
load, and answers that the client has (304).
Prints JSON, one line for each measurement, and a table of medians. Processor time is that of the server's process.
"""

import argparse
import asyncio
import json
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import time
import urllib.request

import asyncpg

HERE = pathlib.Path(__file__).parent
SQL = HERE.parents[2] / "schemas/sql"
QUESTIONS = {
    "assets": "/v1/assets",
    "trends": "/v1/trends",
    "series": "/v1/assets/BTC/series?metrics=posts,mean_score",
    "posts": "/v1/assets/BTC/posts?limit=20",
}
# What is asked of histories of any length: the same rows answer in all of them.
HISTORY = QUESTIONS | {
    "trends, posts=0": "/v1/trends?posts=0",
    "market-trends": "/v1/market-trends",
    "series by the hour": "/v1/assets/BTC/series?interval=1h&from=now-1d",
    "series of 20": "/v1/series?metrics=posts&assets=BTC," + ",".join(f"A{n:04}" for n in range(19)),
    "search of a day": "/v1/search?q=market&from=now-1d&limit=20",
}


async def fill(url: str, assets: int, days: int) -> None:
    db = await asyncpg.connect(url)
    for migration in sorted(SQL.glob("V*.sql"), key=lambda path: int(path.name[1:].split("__")[0])):
        async with db.transaction():
            await db.execute(migration.read_text(encoding="utf-8"))
    names = ["*", "BTC"] + [f"A{n:04}" for n in range(assets - 1)]
    await db.execute("SET synchronous_commit = off")
    # Hours are added up below, by the function that the triggers call.
    await db.execute("ALTER TABLE stored_windows DISABLE TRIGGER USER")
    await db.execute(
        """INSERT INTO lineages (model_name, model_version, model_sha256, assets_version, input_topic, input_partition)
           SELECT 'bench', '1', 'sha', 'a1', CASE WHEN n < 6 THEN 'posts.mentions.v1' ELSE 'posts.raw.v1' END, n % 6 FROM generate_series(0, 6) n"""
    )
    await db.execute("INSERT INTO sources (source) VALUES ('bench')")
    await db.execute("INSERT INTO authors (author_id, seen_at) SELECT md5(i::text), now() FROM generate_series(1, 5000) i")
    await db.execute(
        """SELECT make_partition(parent, timestamptz '2026-01-01' + day * interval '1 day') FROM generate_series(0, $1::int) day,
           unnest(ARRAY['stored_posts', 'post_assets', 'stored_windows', 'stored_window_revisions']) parent""",
        days,
    )
    # Only what was known at a time is read from revisions, and nobody asks here.
    for day in range(days):
        await db.execute(
            """INSERT INTO stored_windows (run_id, asset, window_start, window_seconds, revision, final, posts, unique_authors, negative,
                neutral, positive, mean_score, anomaly_score, expected_posts, sources, emitted_at, sample, lineage_id, first_offset,
                last_offset, unique_posts, spam_posts)
                SELECT 'live', asset, at, 300, 1, true, n + 3, n + 2, n / 3, 3, n - n / 3, sin(n), 0.1, n, '1:' || n + 3, at, true, 1 + (hashtext(asset) & 3),
                i * 10, i * 10 + n, n + 1, 1
                FROM generate_series($2::int * 288, $2::int * 288 + 287) i, unnest($1::text[]) asset,
                LATERAL (SELECT timestamptz '2026-01-01' + i * interval '5 minutes' AS at, (hashtext(asset || i) & 15) AS n) x
                ORDER BY i""",  # as they come
            names,
            day,
        )
        await db.execute(
            """INSERT INTO stored_posts (run_id, post_id, source_id, kind, url, author, title, excerpt, published_at, fetched_at, scored_at,
               language, label, score, p_negative, p_neutral, p_positive, sample, lineage_id, input_offset, fingerprint, assets)
               SELECT 'live', 'bench:' || i, 1, 'rss', 'https://example.com/' || i, 1 + i % 5000, 'Title ' || i,
               repeat('words about the market ', 8), at, at, at, 'en', 'neutral', sin(i), 0.2, 0.5, 0.3, true, 7, i, i,
               CASE WHEN i % 3 = 0 THEN 'BTC' ELSE ($1::text[])[1 + i % cardinality($1::text[])] END
               FROM generate_series($2::int * 20000, $2::int * 20000 + 19999) i,
               LATERAL (SELECT timestamptz '2026-01-01' + i * interval '4.32 seconds' AS at) x""",
            names[2:] or ["BTC"],
            day,
        )
    await db.execute(
        """INSERT INTO stored_hours SELECT s.* FROM unnest($1::text[]) asset, generate_series(0, $2::int * 24 - 1) n,
           hour_of('live', asset, timestamptz '2026-01-01' + n * interval '1 hour') s ORDER BY s.hour, s.asset""",
        names,
        days,
    )
    await db.execute("INSERT INTO run_assets SELECT min(hour), max(hour) + interval '55 minutes', run_id, asset FROM stored_hours GROUP BY 3, 4")
    await db.execute("ALTER TABLE stored_windows ENABLE TRIGGER USER")
    await db.execute(
        """INSERT INTO post_assets (run_id, post_key, asset, evidence, published_at, score, label)
           SELECT run_id, post_key, assets, 'ticker', published_at, score, label FROM stored_posts ORDER BY published_at"""
    )
    await db.execute("INSERT INTO sink_offsets (sink, topic, partition, next_offset) VALUES ('postgres', 'insights.trends.v1', 0, 1)")
    await db.execute("VACUUM ANALYZE")
    await db.close()


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


class Server:
    """A server under test, up while the ``with`` block runs."""

    def __init__(self, args: argparse.Namespace, who: str, hot: bool, postgres_url: str | None = None):
        postgres_url = postgres_url or args.postgres_url
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        if who == "vigie":
            command = [args.ours, f"--api-listen=127.0.0.1:{port}", "--api-rate=0", f"--postgres-url={postgres_url}",
                       f"--redis-url={args.redis_url}", f"--api-cache={64 if hot else 0}MiB"]
            env = {}
        else:
            command = [sys.executable, "-m", "uvicorn", "api_peer:app", "--host=127.0.0.1", f"--port={port}", "--workers=1", "--loop=uvloop",
                       "--http=httptools", "--no-access-log", "--log-level=warning"]
            env = {"PEER_POSTGRES_URL": postgres_url, "PEER_CACHE_SECONDS": "1" if hot else "0"}
        self.process = subprocess.Popen(command, cwd=None if who == "vigie" else HERE, env=os.environ | env, stderr=subprocess.DEVNULL)

    def __enter__(self) -> "Server":
        for _ in range(600):
            try:
                urllib.request.urlopen(self.url + "/v1/assets", timeout=10).read()
                return self
            except OSError:
                time.sleep(0.1)
        raise SystemExit(f"{self.process.args} does not answer")

    def __exit__(self, *_) -> None:
        self.process.terminate()
        self.process.wait()

    def cpu_seconds(self) -> float:
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text(encoding="utf-8").rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def load(self, args: argparse.Namespace, path: str, *more: str) -> dict:
        before = self.cpu_seconds()
        command = [args.load, self.url + path, f"--seconds={args.seconds}", f"--connections={args.connections}", *more]
        measured = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        if set(measured["statuses"]) - {"200", "304"}:
            raise SystemExit(f"{path}: {measured['statuses']}")
        measured["cpu_ms"] = (self.cpu_seconds() - before) * 1000 / max(measured["requests"], 1)
        return measured


async def databases(url: str, assets: int, lengths: list[int]) -> dict[int, str]:
    """A database for each number of days, made and filled if it is not there; beside the one at ``url``."""
    urls = {}
    for days in lengths:
        name = f"history_{assets}_{days}"
        urls[days] = url.rsplit("/", 1)[0] + f"/{name}"
        db = await asyncpg.connect(url)
        is_there = await db.fetchval("SELECT count(*) FROM pg_database WHERE datname = $1", name)
        if not is_there:
            await db.execute(f"CREATE DATABASE {name}")
        await db.close()
        if not is_there:
            began = time.monotonic()
            await fill(urls[days], assets, days)
            print(json.dumps({"filled": name, "seconds": round(time.monotonic() - began)}), flush=True)
    return urls


def history(args: argparse.Namespace) -> None:
    urls = asyncio.run(databases(args.postgres_url, int(args.fill.split(",")[0]), [1, args.history]))
    args.connections = 1
    measured: dict[tuple[str, int], list[dict]] = {}
    with Server(args, "vigie", False, urls[1]) as short, Server(args, "vigie", False, urls[args.history]) as long:
        servers = {1: short, args.history: long}
        for _ in range(args.rounds):
            for name, path in HISTORY.items():
                for days, server in servers.items():  # in turns, as whatever else the machine does changes
                    for _ in range(5):  # so that plans and pages are there
                        urllib.request.urlopen(server.url + path, timeout=60).read()
                    measured.setdefault((name, days), []).append(one := server.load(args, path))
                    print(json.dumps({"days": days, "question": name} | one), flush=True)
    print(f"| cold, one connection, ms | 1 day, p50 | p99 | {args.history} days, p50 | p99 | p99 to p99 |")
    print("|---|---:|---:|---:|---:|---:|")
    steep = []
    for name in HISTORY:
        p50, p99 = ([statistics.median(one[field] for one in measured[name, days]) for days in urls] for field in ("p50_ms", "p99_ms"))
        print(f"| {name} | {p50[0]:.1f} | {p99[0]:.1f} | {p50[1]:.1f} | {p99[1]:.1f} | {p99[1] / p99[0]:.2f} |")
        steep += [name] if p99[1] > 1.5 * p99[0] else []
    if steep:
        raise SystemExit(f"p99 above 1.5 times that of one day: {', '.join(steep)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ours", required=True)
    parser.add_argument("--load", required=True)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--postgres-url")
    where.add_argument("--stack", type=json.loads, help="addresses as the example `hold` prints them")
    parser.add_argument("--redis-url", default="redis://127.0.0.1:1")
    parser.add_argument("--fill", metavar="ASSETS,DAYS")
    parser.add_argument("--only", choices=["hot", "cold"], help="leave the other out, and what is measured of hot answers")
    parser.add_argument("--questions", type=lambda names: names.split(","), default=list(QUESTIONS))
    parser.add_argument("--history", type=int, metavar="DAYS", help="how the same questions cost with so many days, beside one")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--connections", type=int, default=16)
    args = parser.parse_args()
    if args.stack:
        args.postgres_url, args.redis_url = args.stack["postgres_url"], args.stack["redis_url"]
    if args.history:
        return history(args)
    if args.fill:
        asyncio.run(fill(args.postgres_url, *map(int, args.fill.split(","))))
    hows = [args.only] if args.only else ["hot", "cold"]
    results: dict[tuple[str, str, str], list[dict]] = {}

    def note(who: str, how: str, name: str, measured: dict) -> None:
        print(json.dumps({"who": who, "how": how, "question": name} | measured), flush=True)
        results.setdefault((who, how, name), []).append(measured)

    for _ in range(args.rounds):
        for how in hows:
            for who in ("vigie", "peer"):
                with Server(args, who, how == "hot") as server:
                    for name, path in ((name, QUESTIONS[name]) for name in args.questions):
                        note(who, how, name, measured := server.load(args, path))
                        if (who, how) == ("vigie", "hot"):
                            half = measured["per_second"] / 2
                            note(who, "half load", name, server.load(args, path, f"--rate={half}"))
                            note(who, "gzip", name, server.load(args, path, "--header=Accept-Encoding: gzip"))
                            note(who, "304", name, server.load(args, path, "--conditional"))
                    if (who, how) == ("vigie", "hot"):
                        note(who, how, "livez", server.load(args, "/livez"))

    def median(key: tuple[str, str, str], field: str) -> float:
        return statistics.median(measured[field] for measured in results[key])

    print("| | bytes | vigie req/s | FastAPI req/s | | vigie p50, p99 ms | FastAPI p50, p99 ms | CPU per request, ms |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for how in hows:
        for name in args.questions:
            ours, peer = ("vigie", how, name), ("peer", how, name)
            factor = median(ours, "per_second") / median(peer, "per_second")
            print(f"| {name}, {how} | {median(ours, 'bytes'):,.0f} | {median(ours, 'per_second'):,.0f} | {median(peer, 'per_second'):,.0f} | {factor:.1f}x "
                  f"| {median(ours, 'p50_ms'):.2f}, {median(ours, 'p99_ms'):.2f} | {median(peer, 'p50_ms'):.2f}, {median(peer, 'p99_ms'):.2f} "
                  f"| {median(ours, 'cpu_ms'):.3f}, {median(peer, 'cpu_ms'):.3f} |")
    if "hot" not in hows:
        return
    for how in ("half load", "gzip", "304"):
        for name in args.questions:
            key = ("vigie", how, name)
            print(f"| {name}, {how} | {median(key, 'bytes'):,.0f} | {median(key, 'per_second'):,.0f} | | | {median(key, 'p50_ms'):.2f}, "
                  f"{median(key, 'p99_ms'):.2f} | | {median(key, 'cpu_ms'):.3f} |")
    livez = ("vigie", "hot", "livez")
    print(f"| livez | {median(livez, 'bytes'):,.0f} | {median(livez, 'per_second'):,.0f} | | | {median(livez, 'p50_ms'):.2f}, {median(livez, 'p99_ms'):.2f} | | "
          f"{median(livez, 'cpu_ms'):.3f} |")


if __name__ == "__main__":
    main()
