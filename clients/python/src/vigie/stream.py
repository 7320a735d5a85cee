"""Server-sent events."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from vigie.http import Http, problem_of


@dataclass(frozen=True)
class Event:
    """A live update. After one of type ``gap`` some were missed: load the state again."""

    id: str | None
    """Resumes after this event; that of a gap and of a switch is None."""
    type: str
    """trend, alert, post, switch or gap."""
    data: dict[str, Any]


def follow(http_: Http, query: dict[str, Any], last: str | None) -> Iterator[Event]:
    """Events without end; connects again where the connection is lost, and goes on after the last one."""
    wait = 2.0
    while True:
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last} if last else {})
        try:
            with http_.open("/v1/stream", query, headers) as lines:
                for name, event in parse(lines):
                    if name == "retry":
                        wait = float(event) / 1000
                        continue
                    last = event.id or last
                    yield event
        except urllib.error.HTTPError as error:
            if error.code not in (429, 503):
                raise problem_of(error) from None
        except (OSError, http.client.HTTPException):
            pass
        time.sleep(wait)


def parse(lines: Iterable[bytes]) -> Iterator[tuple[str, Any]]:
    """``("event", Event)`` for each that is complete, ``("retry", milliseconds)`` to wait before connecting."""
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.decode().rstrip("\r\n").partition(":")
        value = value.removeprefix(" ")
        if name == "retry":
            yield name, value
        elif name:
            fields[name] = f"{fields[name]}\n{value}" if name == "data" and "data" in fields else value
        elif "data" in fields and not value:
            yield "event", Event(fields.get("id"), fields.get("event", "message"), json.loads(fields["data"]))
            fields = {}
