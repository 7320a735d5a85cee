"""The service that a user would write instead of the API: FastAPI over the same PostgreSQL, answering the same four questions.

Started by ``api.py`` as ``uvicorn api_peer:app`` with uvloop and httptools, one worker. ``PEER_POSTGRES_URL`` names the database.
``PEER_CACHE_SECONDS`` is how long an encoded answer is kept in the process (0: not at all); of equal questions one is worked out.
Answers are no deeper than what the questions need: no lineage, no copies, no ETag.
"""

import asyncio
import datetime as dt
import os
import time
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager

import asyncpg
import orjson
from fastapi import FastAPI, HTTPException, Response

KEEP = float(os.environ.get("PEER_CACHE_SECONDS", "1"))
WINDOW = dt.timedelta(minutes=5)
KINDS = ("post_id", "source", "kind", "url", "title", "excerpt", "published_at", "label", "score")


@asynccontextmanager
async def lifespan(app: FastAPI):
    app.state.pool = await asyncpg.create_pool(os.environ["PEER_POSTGRES_URL"], min_size=8, max_size=8)
    yield
    await app.state.pool.close()


app = FastAPI(lifespan=lifespan, openapi_url=None)
kept: dict[str, tuple[float, bytes]] = {}
working: dict[str, asyncio.Future[bytes]] = {}


async def answer(question: str, work: Callable[[], Awaitable[object]]) -> Response:
    if KEEP <= 0:
        return Response(orjson.dumps(await work()), media_type="application/json")
    until, body = kept.get(question, (0.0, b""))
    if time.monotonic() >= until:
        if question not in working:
            working[question] = asyncio.ensure_future(work_out(question, work))
        body = await asyncio.shield(working[question])
    return Response(body, media_type="application/json")


async def work_out(question: str, work: Callable[[], Awaitable[object]]) -> bytes:
    try:
        body = orjson.dumps(await work())
        kept[question] = (time.monotonic() + KEEP, body)
        return body
    finally:
        del working[question]


async def newest() -> dt.datetime:
    found = await app.state.pool.fetchval(
        "SELECT window_end FROM trend_windows WHERE run_id = 'live' ORDER BY window_start DESC LIMIT 1"
    )
    if found is None:
        raise HTTPException(404, "no data")
    return found


@app.get("/v1/assets")
async def assets():
    async def work():
        end = await newest()
        rows = await app.state.pool.fetch(
            """SELECT asset, max(window_end) AS latest, sum(posts)::bigint AS posts_24h,
               (sum(posts) FILTER (WHERE window_start >= $2))::bigint AS posts_1h
               FROM trend_windows WHERE run_id = 'live' AND window_start >= $1 GROUP BY asset ORDER BY asset""",
            end - dt.timedelta(days=1),
            end - dt.timedelta(hours=1),
        )
        return {"newest": end, "assets": [dict(row) for row in rows]}

    return await answer("assets", work)


@app.get("/v1/assets/{asset}/series")
async def series(asset: str, metrics: str = "posts,mean_score"):
    async def work():
        end = await newest()
        start = end - dt.timedelta(days=1)
        rows = await app.state.pool.fetch(
            """SELECT window_start, posts, mean_score, final, revision FROM trend_windows
               WHERE run_id = 'live' AND asset = $1 AND window_start >= $2 AND window_start < $3""",
            asset,
            start,
            end,
        )
        by_start = {row["window_start"]: row for row in rows}
        names = metrics.split(",")
        points = []
        for n in range(int((end - start) / WINDOW)):
            at = start + n * WINDOW
            row = by_start.get(at)
            point = {"start": at, "end": at + WINDOW, "final": row and row["final"], "revision": row and row["revision"]}
            points.append(point | {name: row and row[name] for name in names})
        return {"asset": asset, "interval": "5m", "from": start, "to": end, "points": points}

    return await answer(f"series {asset} {metrics}", work)


@app.get("/v1/trends")
async def trends(window: str = "1h"):
    async def work():
        end = await newest()
        start = end - dt.timedelta(hours=2)
        rows = await app.state.pool.fetch(
            """SELECT asset, (extract(epoch FROM window_start - $1::timestamptz)::bigint / 300)::int AS slice,
               posts, negative, neutral, positive, mean_score, anomaly_score, final
               FROM trend_windows WHERE run_id = 'live' AND window_start >= $1 AND window_start < $2""",
            start,
            end,
        )
        board: dict[str, dict] = {}
        for row in rows:
            own = board.setdefault(row["asset"], {"asset": row["asset"], "posts": 0, "previous": 0, "history": [0] * 24})
            own["history"][row["slice"]] = row["posts"]
            own["posts" if row["slice"] >= 12 else "previous"] += row["posts"]
        for own in board.values():
            both = own["posts"] + own["previous"]
            own["growth_z"] = (own["posts"] - own["previous"]) / both**0.5 if both else 0.0
        board.pop("*", None)
        top = sorted(board.values(), key=lambda own: -own["growth_z"])[:20]
        explained = await asyncio.gather(*(explain(own["asset"], end - dt.timedelta(hours=1), end) for own in top))
        return {"at": end, "trends": [own | {"explained_by": posts} for own, posts in zip(top, explained)]}

    return await answer(f"trends {window}", work)


async def explain(asset: str, start: dt.datetime, end: dt.datetime) -> list[dict]:
    rows = await app.state.pool.fetch(
        """SELECT p.* FROM post_assets a JOIN posts p USING (run_id, published_at, post_key) WHERE a.run_id = 'live' AND a.asset = $1
           AND a.published_at >= $2 AND a.published_at < $3 ORDER BY a.score DESC NULLS LAST LIMIT 3""",
        asset,
        start,
        end,
    )
    return [{name: row[name] for name in KINDS} for row in rows]


@app.get("/v1/assets/{asset}/posts")
async def posts(asset: str, limit: int = 50):
    async def work():
        rows = await app.state.pool.fetch(
            """SELECT p.* FROM post_assets a JOIN posts p USING (run_id, published_at, post_key) WHERE a.run_id = 'live' AND a.asset = $1
               ORDER BY a.published_at DESC, a.post_id LIMIT $2""",
            asset,
            limit,
        )
        return {"asset": asset, "posts": [{name: row[name] for name in KINDS} for row in rows]}

    return await answer(f"posts {asset} {limit}", work)
