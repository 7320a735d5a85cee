"""Requests and problems."""

from __future__ import annotations

import datetime
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

Time = str | datetime.datetime | datetime.date
"""RFC 3339, a date, or ``now-1h``: before the newest time of the data."""

# The server says when to come back; it is not waited for longer than this, in seconds.
PATIENCE = 30.0


class Problem(Exception):
    """A refusal of the server, as RFC 9457 problem details."""

    def __init__(self, status: int, details: dict[str, Any]) -> None:
        self.status = status
        self.title: str = details.get("title", "")
        self.detail: str = details.get("detail", "")
        self.errors: list[dict[str, str]] = details.get("errors", [])
        """``parameter`` and ``detail`` of every wrong parameter."""
        self.request_id: str | None = details.get("request_id")
        wrong = [f"{error['parameter']}: {error['detail']}" for error in self.errors]
        super().__init__(f"{status} {self.title}: {'; '.join(wrong) or self.detail}")


class Http:
    """Requests to one server."""

    def __init__(self, url: str, token: str | None, timeout: float, retries: int) -> None:
        self.url = url.rstrip("/")
        self.timeout = timeout
        self.retries = retries
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}

    def get(self, path: str, query: dict[str, Any] | None = None) -> Any:
        """The JSON of an answer."""
        with self._patiently(path, query, "application/json") as answer:
            return json.load(answer)

    def lines(self, path: str, query: dict[str, Any] | None = None) -> Iterator[Any]:
        """The values of an NDJSON answer as they come; ``http.client.IncompleteRead`` if it breaks off."""
        with self._patiently(path, query, "application/x-ndjson") as answer:
            for line in answer:
                yield json.loads(line)

    def table(self, path: str, query: dict[str, Any] | None = None) -> Any:
        """A list as a ``pyarrow.Table``; ``None`` if pyarrow is not installed."""
        try:
            import pyarrow as pa
        except ImportError:
            return None
        with self._patiently(path, query, "application/vnd.apache.arrow.stream") as answer:
            return pa.ipc.open_stream(answer).read_all()

    def _patiently(self, path: str, query: dict[str, Any] | None, media: str) -> Any:
        """Opens; waits and tries again where the server asks for it (429 and 503)."""
        for attempt in range(self.retries + 1):
            try:
                return self.open(path, query, {"Accept": media})
            except urllib.error.HTTPError as error:
                problem = problem_of(error)
                wait = float(error.headers.get("Retry-After", PATIENCE + 1))
                if problem.status not in (429, 503) or attempt == self.retries or wait > PATIENCE:
                    raise problem from None
                time.sleep(wait)
        raise AssertionError("the last attempt returns or raises")

    def send(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """The JSON of an answer, ``None`` if it is empty. Sent once: what it changes is not changed twice."""
        data = None if body is None else json.dumps(body).encode()
        headers = {**self.headers, "Accept": "application/json", "Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=self.timeout) as answer:
                return json.loads(answer.read() or "null")
        except urllib.error.HTTPError as error:
            raise problem_of(error) from None

    def open(self, path: str, query: dict[str, Any] | None, headers: dict[str, str]) -> Any:
        """The answer, unread."""
        asked = {name: text(value) for name, value in (query or {}).items() if value is not None}
        url = self.url + path + ("?" + urllib.parse.urlencode(asked) if asked else "")
        request = urllib.request.Request(url, headers={**self.headers, **headers})
        return urllib.request.urlopen(request, timeout=self.timeout)


def problem_of(error: urllib.error.HTTPError) -> Problem:
    """What the server said, also where something before it answered."""
    body = error.read()
    try:
        return Problem(error.code, json.loads(body))
    except ValueError:
        return Problem(error.code, {"title": error.reason, "detail": body[:200].decode(errors="replace")})


def text(value: Any) -> str:
    """A value as the API reads it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime.datetime):
        if value.tzinfo is None:
            raise ValueError(f"{value.isoformat()} has no time zone: expected one, as datetime.UTC")
        return value.isoformat()
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, (list, tuple)):
        return ",".join(value)
    return str(value)
