"""The Python client held to the API's description, and used against an API with the rows of api/tests/api/contract.rs.

VIGIE_URL=http://127.0.0.1:8080 VIGIE_TOKEN=... python client_check.py
"""

import datetime
import http.server
import inspect
import itertools
import pathlib
import sys
import threading
import unittest
import unittest.mock

import duckdb
import pandas

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "clients/python/src"))

from vigie.stream import Event, parse

import vigie

# Set by the client: it asks for JSON, and for the pages that are needed.
ITS_OWN = {"format", "cursor"}
METHODS = {
    "list_assets": "assets",
    "series": "series",
    "many_series": "many_series",
    "list_posts": "posts",
    "search": "search",
    "search_volume": "search_volume",
    "leaderboard": "trends",
    "list_moods": "market_trends",
    "list_alerts": "alerts",
    "list_terms": "terms",
    "list_metrics": "metrics",
    "list_sources": "sources",
    "list_runs": "runs",
    "diff_runs": "diff",
    "list_dead_letters": "dead_letters",
    "dead_letter": "dead_letter",
    "open_author": "author",
    "list_keys": "keys",
    "create_key": "create_key",
    "revoke_key": "revoke_key",
    "subscribe": "events",
}


class Description(unittest.TestCase):
    def test_every_operation_has_a_method_with_its_parameters(self):
        document = vigie.Client().get("/openapi.json")
        operations = {
            operation["operationId"]: operation
            for name, path in document["paths"].items()
            if name.startswith("/v1/")
            for operation in path.values()
        }
        self.assertEqual(set(operations), set(METHODS))
        for operation, method in METHODS.items():
            parameters = operations[operation].get("parameters", [])
            described = {parameter["name"] for parameter in parameters if parameter["in"] != "header"} - ITS_OWN
            for content in operations[operation].get("requestBody", {}).get("content", {}).values():
                schema = content["schema"]["$ref"].rsplit("/", 1)[1]
                described |= set(document["components"]["schemas"][schema]["properties"])
            signature = inspect.signature(getattr(vigie.Client, method)).parameters
            taken = {name.rstrip("_") for name in signature if name != "self"}
            self.assertEqual(taken, described, method)


class Frames(unittest.TestCase):
    def setUp(self):
        self.api = vigie.Client()

    def test_series_have_times_and_numbers(self):
        series = self.api.series(
            "bitcoin", metrics=["posts", "mean_score"], from_=datetime.date(2022, 5, 9), to="2022-05-09"
        )
        start = datetime.datetime(2022, 5, 9, tzinfo=datetime.UTC)
        self.assertEqual((len(series), series.index[0], series.posts.sum()), (288, start, 12))
        self.assertEqual(series.end.iloc[0], start + datetime.timedelta(minutes=5))
        both = self.api.many_series(["BTC", "ETH"], from_=start, to=start + datetime.timedelta(hours=2), interval="1h")
        self.assertEqual(
            both.posts.to_dict(),
            {
                ("BTC", start): 6,
                ("BTC", start + datetime.timedelta(hours=1)): 6,
                ("ETH", start): 2,
                ("ETH", start + datetime.timedelta(hours=1)): 2,
            },
        )

    def test_pages_are_read_to_the_end_or_to_the_limit(self):
        posts = self.api.posts("*", from_="2022-05-09")
        self.assertEqual((len(posts), posts.index.is_unique), (450, True))
        self.assertTrue(posts.published_at.is_monotonic_decreasing)
        self.assertEqual(posts["probabilities"].isna().all() if "probabilities" in posts else True, True)
        self.assertEqual(len(self.api.posts("BTC", limit=203)), 203)
        self.assertEqual(len(self.api.posts("BTC", limit=0)), 0)
        self.assertEqual((len(self.api.alerts()), len(self.api.alerts(asset="ETH"))), (60, 0))
        self.assertEqual((self.api.terms().authors.to_dict(), len(self.api.terms(interval="1d"))), ({"depeg": 15}, 0))

    def test_every_list_is_a_frame(self):
        self.assertEqual(list(self.api.assets().index), ["*", "BTC", "ETH"])
        self.assertEqual(self.api.trends(window="24h", at="2022-05-10").posts.to_dict(), {1: 12, 2: 4})
        self.assertIn("BTC", self.api.market_trends(window="24h", at="2022-05-10", min_voices=1).index)
        self.assertEqual(self.api.metrics().unit["posts"], "posts")
        self.assertEqual(list(self.api.sources().index), ["r-test"])
        self.assertIn("better", self.api.runs().index)

    def test_dead_letters_are_chosen_counted_and_given_as_they_were(self):
        letters = self.api.dead_letters(reason="undecodable", from_="2022-05-09", limit=1)
        self.assertEqual((list(letters.index), letters.redriven_at.notna().all()), (["0:1"], True))
        counts = self.api.get("/v1/dead-letters", stage="sentiment", to="2022-05-09")["counts"]
        self.assertEqual([(c["reason"], c["letters"], c["redriven"]) for c in counts], [("undecodable", 2, 1), ("invalid", 1, 0)])
        self.assertEqual(len(self.api.dead_letters(topic="posts.raw.v1", to="2022-05-08")), 0)
        letter = self.api.dead_letter("posts.raw.v1", "0:2")
        self.assertEqual((letter["key"], letter["value_bytes"], letter["raw_value"]), ("rss:1", 2, "AP8="))
        self.assertEqual(letter["attempts"], 2)
        for unknown in "0:3", "1:2", "x", "0:99999999999999999999":
            with self.assertRaises(vigie.Problem) as missing:
                self.api.dead_letter("posts.raw.v1", unknown)
            self.assertEqual(missing.exception.status, 404)

    def test_arrow_and_json_give_the_same_frames(self):
        day = {"from_": "2022-05-09", "to": "2022-05-09"}
        calls = [
            lambda: self.api.series("BTC", **day),
            lambda: self.api.many_series(["BTC", "ETH"], metrics=["posts", "mean_score"], **day),
            lambda: self.api.posts("*", **day),
            lambda: self.api.search("moon", **day),
        ]
        for call in calls:
            typed = call()
            with unittest.mock.patch.dict(sys.modules, {"pyarrow": None}):
                plain = call()
            # Where no post has any, JSON has one null in place of three.
            columns = [name for name in plain if name != "probabilities"]
            typed, plain = (frame[columns].astype(object).where(frame[columns].notna(), None) for frame in (typed, plain))
            pandas.testing.assert_frame_equal(typed, plain, check_index_type=False)

    def test_every_list_is_a_typed_table_with_the_rows_of_its_json(self):
        lists = {"/v1/assets": "assets", "/v1/trends?window=24h": "trends", "/v1/market-trends": "market_trends", "/v1/alerts": "alerts",
                 "/v1/terms": "terms", "/v1/metrics": "metrics", "/v1/sources": "sources", "/v1/runs": "runs", "/v1/dead-letters": "dead_letters",
                 "/v1/assets/BTC/posts?to=2022-05-09T00:05:00Z": "posts", "/v1/search/volume?q=moon&to=2022-05-09&from=2022-05-09": "points",
                 "/v1/assets/BTC/series?to=2022-05-10&interval=1h": "points"}  # fmt: skip
        for path, name in lists.items():
            rows = self.api.get(path)[name]
            self.assertTrue(rows, path)
            table = self.api.table(path)
            self.assertEqual(table.num_rows, len(rows), path)
            for place, typed in enumerate(table.to_pylist()):
                for column, value in typed.items():
                    plain = rows[place]
                    for part in column.split("."):
                        plain = plain and plain.get(part)
                    if isinstance(value, datetime.datetime):
                        plain = datetime.datetime.fromisoformat(plain)
                    if column != "next":
                        self.assertEqual(value, plain, (path, column))
        duckdb.from_arrow(self.api.table("/v1/alerts")).filter("window_start < TIMESTAMPTZ '2030-01-01'").fetchall()

    def test_words_are_found_and_counted(self):
        day = {"from_": "2022-05-09", "to": "2022-05-09"}
        self.assertEqual(len(self.api.search('"lost its peg"', **day)), 150)
        volume = self.api.search_volume("terra OR moon", interval="1h", **day)
        self.assertEqual((len(volume), volume.posts.sum(), volume.posts.iloc[0]), (24, 300, 300))

    def test_events_come_after_the_last_one(self):
        events = list(itertools.islice(self.api.events(asset=["BTC"], last_event_id="1-0"), 2))
        self.assertEqual(
            [(event.id, event.type, event.data["posts"]) for event in events],
            [("2-0", "trend", 2), ("4-0", "trend", 4)],
        )

    def test_keys_are_made_used_and_revoked(self):
        made = self.api.create_key("nightly", ["read:insights"], days=1)
        self.assertIn("nightly", set(self.api.keys().name))
        self.assertEqual(self.api.keys().loc[made["id"], "scopes"], ["read:insights"])
        self.assertIsNone(self.api.revoke_key(made["id"]))
        with self.assertRaises(vigie.Problem) as gone:
            self.api.revoke_key(made["id"])
        self.assertEqual(gone.exception.status, 404)

    def test_refusals_say_what_was_wrong(self):
        with self.assertRaises(vigie.Problem) as wrong:
            self.api.posts("BTC", min_score=2, label="angry")
        self.assertEqual(wrong.exception.status, 400)
        self.assertEqual({error["parameter"] for error in wrong.exception.errors}, {"min_score", "label"})
        self.assertIn("angry", str(wrong.exception))
        with self.assertRaises(vigie.Problem) as unknown:
            self.api.author("0" * 32)
        self.assertEqual(unknown.exception.status, 404)
        for forged in vigie.Client(token="forged"), vigie.Client(api_key="vigie_forged"):
            with self.assertRaises(vigie.Problem) as closed:
                forged.assets()
            self.assertEqual(closed.exception.status, 401)
        self.assertIn("API key", closed.exception.detail)
        with self.assertRaises(ValueError):
            self.api.alerts(from_=datetime.datetime(2022, 5, 9))
        with self.assertRaises(ValueError):
            vigie.Client(token="one", api_key="too many")


class Busy(http.server.BaseHTTPRequestHandler):
    """Answers the third request."""

    asked = 0

    def do_GET(self):
        type(self).asked += 1
        served = self.asked == 3
        self.send_response(200 if served else 503)
        self.send_header("Retry-After", "0")
        self.end_headers()
        self.wfile.write(b'{"metrics": [{"metric": "posts"}]}' if served else b"gateway")

    def log_message(self, *_):
        pass


class Wire(unittest.TestCase):
    def test_a_busy_server_is_asked_again_and_what_is_no_problem_is_reported(self):
        with http.server.HTTPServer(("127.0.0.1", 0), Busy) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            url = f"http://127.0.0.1:{server.server_port}"
            with self.assertRaises(vigie.Problem) as gateway:
                vigie.Client(url, retries=0).metrics()
            self.assertEqual((gateway.exception.status, gateway.exception.detail), (503, "gateway"))
            self.assertEqual(list(vigie.Client(url).metrics().index), ["posts"])
            server.shutdown()

    def test_events_are_read_as_the_standard_says(self):
        lines = [
            b": hello\n",
            b"retry: 2000\n",
            b"\n",
            b"id: 1-0\n",
            b"event: gap\r\n",
            b"data: {\n",
            b"data:}\n",
            b"\n",
            b"data: {",
        ]
        self.assertEqual(list(parse(lines)), [("retry", "2000"), ("event", Event("1-0", "gap", {}))])


if __name__ == "__main__":
    unittest.main()
