"""The API's endpoints as methods. Frames need pandas: ``pip install vigie[pandas]``."""

from __future__ import annotations

import os
import urllib.parse
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

from vigie.http import Http, Time
from vigie.stream import Event, follow

if TYPE_CHECKING:
    import pandas as pd

Interval = Literal["5m", "15m", "1h", "4h", "1d", "1w"]
Period = Literal["1h", "6h", "24h", "7d"]
Label = Literal["negative", "neutral", "positive", "unscored"]
EventType = Literal["trend", "alert", "post", "switch"]

# Rows that a page may have.
PAGE = 200


class Client:
    """One server, by default that of ``VIGIE_URL`` with the token of ``VIGIE_TOKEN`` or the key of ``VIGIE_API_KEY``.

    Parameters are those of the API (see ``/docs``), with ``from_`` for ``from``; None leaves the choice to the server.
    ``limit`` of a paged list is of rows in all, None means every row: pages are fetched as they are needed.
    A refusal raises :class:`vigie.Problem`.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        api_key: str | None = None,
        timeout: float = 60.0,
        retries: int = 3,
    ) -> None:
        """``timeout`` is in seconds, of a read; ``retries`` is how often to come back when the server says so."""
        if token and api_key:
            raise ValueError("a token and an API key: expected one of them")
        if not token and not api_key:
            token, api_key = os.environ.get("VIGIE_TOKEN"), os.environ.get("VIGIE_API_KEY")
        url = url or os.environ.get("VIGIE_URL", "http://127.0.0.1:8080")
        # A server takes both in the same field.
        self._http = Http(url, token or api_key, timeout, retries)

    def get(self, path: str, **query: Any) -> Any:
        """The JSON of any endpoint, with its lineage and whatever else a frame leaves out."""
        return self._http.get(path, {name.rstrip("_"): value for name, value in query.items()})

    def rows(self, path: str, key: str, *, limit: int | None = None, **query: Any) -> Iterator[dict[str, Any]]:
        """Rows of a paged list one by one, over all pages; ``key`` is its name in the answer. Needs no pandas."""
        cursor = None
        left = float("inf") if limit is None else limit
        while left > 0:
            page = self.get(path, cursor=cursor, limit=int(min(left, PAGE)), **query)
            yield from page[key]
            left -= len(page[key])
            cursor = page["next"]
            if cursor is None:
                return

    def table(self, path: str, **query: Any) -> Any:
        """Any list as a ``pyarrow.Table``, with the columns of CSV; of posts all, else a page. ``None`` without pyarrow."""
        return self._http.table(path, {name.rstrip("_"): value for name, value in query.items()})

    def _posts(self, path: str, asked: dict[str, Any]) -> pd.DataFrame:
        """Pages up to a limit; without one, all in one answer."""
        if asked["limit"] is not None:
            return _frame(self.rows(path, "posts", **asked), "post_id")
        if (table := self.table(path, **asked)) is not None:
            return _typed(table, "post_id")
        return _frame(self._http.lines(path, {name.rstrip("_"): value for name, value in asked.items()}), "post_id")

    def assets(self, *, run: str | None = None) -> pd.DataFrame:
        """All assets that posts have mentioned, by id."""
        return _frame(self.get("/v1/assets", run=run)["assets"], "asset")

    def series(
        self,
        asset: str,
        *,
        metrics: Sequence[str] | None = None,
        from_: Time | None = None,
        to: Time | None = None,
        interval: Interval | None = None,
        as_of: Time | None = None,
        finalized: bool | None = None,
        run: str | None = None,
        lineage: bool | None = None,
        sources: bool | None = None,
    ) -> pd.DataFrame:
        """A time series, a row for each interval by its start."""
        asked = _asked(locals(), "asset")
        path = f"/v1/assets/{_quoted(asset)}/series"
        if not (lineage or sources) and (table := self.table(path, **asked)) is not None:
            return _typed(table, "start")
        return _frame(self.get(path, **asked)["points"], "start")

    def many_series(
        self,
        assets: Sequence[str],
        *,
        metrics: Sequence[str] | None = None,
        from_: Time | None = None,
        to: Time | None = None,
        interval: Interval | None = None,
        as_of: Time | None = None,
        finalized: bool | None = None,
        run: str | None = None,
        lineage: bool | None = None,
        sources: bool | None = None,
    ) -> pd.DataFrame:
        """Time series of up to 50 assets from one state of the data, by asset and start."""
        asked = _asked(locals())
        if not (lineage or sources) and (table := self.table("/v1/series", **asked)) is not None:
            return _typed(table, "asset", "start")
        answer = self.get("/v1/series", **asked)
        points = [{"asset": series["asset"], **point} for series in answer["series"] for point in series["points"]]
        return _frame(points, "asset", "start")

    def posts(
        self,
        asset: str,
        *,
        from_: Time | None = None,
        to: Time | None = None,
        label: Label | None = None,
        unique: bool | None = None,
        source: str | None = None,
        language: str | None = None,
        author: str | None = None,
        text: str | None = None,
        min_score: float | None = None,
        max_score: float | None = None,
        as_of: Time | None = None,
        run: str | None = None,
        limit: int | None = None,
    ) -> pd.DataFrame:
        """The posts that mention an asset, newest first, by id; ``*`` is all posts."""
        asked = _asked(locals(), "asset")
        return self._posts(f"/v1/assets/{_quoted(asset)}/posts", asked)

    def search(
        self,
        q: str,
        *,
        asset: str | None = None,
        from_: Time | None = None,
        to: Time | None = None,
        label: Label | None = None,
        language: str | None = None,
        as_of: Time | None = None,
        run: str | None = None,
        limit: int | None = None,
    ) -> pd.DataFrame:
        """The posts with some words, newest first, by id.

        All words of ``q`` occur, ``"a phrase"`` in this order; ``or`` stands between, ``-`` before what must not occur.
        """
        return self._posts("/v1/search", _asked(locals()))

    def search_volume(
        self,
        q: str,
        *,
        asset: str | None = None,
        from_: Time | None = None,
        to: Time | None = None,
        interval: Interval | None = None,
        language: str | None = None,
        as_of: Time | None = None,
        run: str | None = None,
    ) -> pd.DataFrame:
        """How many posts have some words, a row for each interval by its start."""
        return _frame(self.get("/v1/search/volume", **_asked(locals()))["points"], "start")

    def trends(
        self,
        *,
        window: Period | None = None,
        at: Time | None = None,
        sort: str | None = None,
        min_posts: int | None = None,
        limit: int | None = None,
        posts: int | None = None,
        as_of: Time | None = None,
        run: str | None = None,
    ) -> pd.DataFrame:
        """The leaderboard by rank; ``explained_by`` holds the posts behind each."""
        return _frame(self.get("/v1/trends", **_asked(locals()))["trends"], "rank")

    def market_trends(
        self,
        *,
        window: Period | None = None,
        at: Time | None = None,
        min_voices: int | None = None,
        direction: str | None = None,
        as_of: Time | None = None,
        run: str | None = None,
    ) -> pd.DataFrame:
        """Whether assets are talked up or down, by asset."""
        return _frame(self.get("/v1/market-trends", **_asked(locals()))["market_trends"], "asset")

    def alerts(
        self,
        *,
        asset: str | None = None,
        kind: str | None = None,
        from_: Time | None = None,
        to: Time | None = None,
        as_of: Time | None = None,
        run: str | None = None,
        limit: int | None = None,
    ) -> pd.DataFrame:
        """What deserves a look, newest window first, by id."""
        return _frame(self.rows("/v1/alerts", "alerts", **_asked(locals())), "alert_id")

    def terms(
        self,
        *,
        interval: str | None = None,
        asset: str | None = None,
        term: str | None = None,
        kind: str | None = None,
        from_: Time | None = None,
        to: Time | None = None,
        min_significance: int | None = None,
        limit: int | None = None,
    ) -> pd.DataFrame:
        """Words, phrases and cashtags that rise, newest window first and the most significant of it, by term."""
        return _frame(self.rows("/v1/terms", "terms", **_asked(locals())), "term")

    def metrics(self) -> pd.DataFrame:
        """The metrics of a series: unit, meaning, and how they are rolled up."""
        return _frame(self.get("/v1/metrics")["metrics"], "metric")

    def sources(self) -> pd.DataFrame:
        """Where posts come from, and how well that works."""
        return _frame(self.get("/v1/sources")["sources"], "source")

    def runs(self, *, limit: int | None = None) -> pd.DataFrame:
        """Live and replayed computations, newest first."""
        return _frame(self.rows("/v1/runs", "runs", limit=limit), "run_id")

    def diff(self, run: str, *, with_: str | None = None, limit: int | None = None) -> dict[str, Any]:
        """A replay beside the live run, or beside the run ``with_``: posts, assets, labels and alerts that differ."""
        return self.get(f"/v1/runs/{_quoted(run)}/diff", **_asked(locals(), "run"))

    def dead_letters(
        self,
        *,
        topic: str | None = None,
        stage: str | None = None,
        reason: str | None = None,
        from_: Time | None = None,
        to: Time | None = None,
        limit: int | None = None,
    ) -> pd.DataFrame:
        """Records that could not be processed, latest failure first, by letter; needs ``read:dead-letters``."""
        return _frame(self.rows("/v1/dead-letters", "dead_letters", **_asked(locals())), "letter")

    def dead_letter(self, topic: str, letter: str) -> dict[str, Any]:
        """One of them, with key and value of its record in Base64."""
        return self.get(f"/v1/dead-letters/{_quoted(topic)}/{_quoted(letter)}")

    def author(self, author_id: str) -> dict[str, Any]:
        """The handle behind an author's id: personal data, for a token with ``authors:read``."""
        return self.get(f"/v1/authors/{_quoted(author_id)}")

    def keys(self, *, limit: int | None = None) -> pd.DataFrame:
        """API keys, newest first, by id; for a token with ``admin:keys``, as all about keys."""
        return _frame(self.rows("/v1/keys", "keys", limit=limit), "id")

    def create_key(self, name: str, scopes: Sequence[str], *, days: int | None = None) -> dict[str, Any]:
        """Makes an API key of your own scopes, or fewer: ``id``, ``expires_at`` and, this once, the ``key`` itself."""
        order = {"name": name, "scopes": list(scopes), "days": days}
        return self._http.send("POST", "/v1/keys", {field: value for field, value in order.items() if value is not None})

    def revoke_key(self, key_id: str) -> None:
        """Revokes an API key for good."""
        self._http.send("DELETE", f"/v1/keys/{_quoted(key_id)}")

    def events(
        self,
        *,
        asset: Sequence[str] | None = None,
        type: Sequence[EventType] | None = None,
        run: Literal["served", "live"] | None = None,
        last_event_id: str | None = None,
    ) -> Iterator[Event]:
        """Live updates without end, after ``last_event_id`` or from now on; a lost connection is made again."""
        return follow(self._http, {"asset": asset, "type": type, "run": run}, last_event_id)


def _quoted(name: str) -> str:
    return urllib.parse.quote(name, safe="")


def _asked(arguments: dict[str, Any], *path: str) -> dict[str, Any]:
    """The query of a method from its local variables, without what stands elsewhere."""
    return {name: value for name, value in arguments.items() if name not in ("self", *path)}


def _typed(table: Any, *index: str) -> pd.DataFrame:
    """As :func:`_frame`, from a table that has types."""
    frame = table.to_pandas()
    for field in table.schema:
        if hasattr(field.type, "value_field"):  # a list of Python, not an array
            frame[field.name] = table[field.name].to_pylist()
    return frame.set_index(list(index)) if len(frame) else frame


def _frame(rows: Any, *index: str) -> pd.DataFrame:
    """Nested values have dots in their names, as in CSV; times are in UTC."""
    try:
        import pandas as pd
    except ImportError:
        raise ImportError("frames need pandas: pip install 'vigie[pandas]'; without, see Client.get and rows") from None
    frame = pd.json_normalize(list(rows))
    for name in frame.columns:
        last = name.rpartition(".")[2]
        if last in ("start", "end", "at", "first_window") or last.endswith(("_at", "_start", "_end", "_time")):
            frame[name] = pd.to_datetime(frame[name], utc=True, format="ISO8601")
    return frame.set_index(list(index)) if len(frame) else frame
