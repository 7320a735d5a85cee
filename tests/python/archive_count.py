"""An independent count of the Reddit archives: what vigie must find when it reads them end to end.

Shares no code with vigie. Reads the tar files (one JSON per crawl: posts with nested comments), keeps each post and
comment once, finds the assets by the rules documented in processors/src/assets.rs and counts by asset and 5-minute
window of publication. The asset * counts every post once. Standard library only.

    python archive_count.py DIR-or-TAR... [--from TIME] [--to TIME] > counts.json

Of the versions of a post that differ between crawls the one with the longest text counts, then the greatest text, title
and author.
"""

import argparse
import datetime
import json
import re
import sys
import tarfile
import tomllib
from collections import defaultdict
from pathlib import Path

WINDOW_MS = 300_000
WHOLE_MARKET = "*"
ASSETS = Path(__file__).parents[2] / "processors/assets/assets.toml"
WORD = re.compile(r"[0-9A-Za-z_\u00c0-\u024f]")
# A place where a candidate may begin.
START = re.compile(r"(?<![0-9A-Za-z_\u00c0-\u024f])[$0-9A-Za-z]")
# Control and direction characters, which are not text.
UNWANTED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
ASCII_LOWER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")
NOBODY = {"", "[deleted]", "[removed]"}
WITHDRAWN = {"[deleted]", "[removed]"}


class Assets:
    """The asset table, read as its documentation says."""

    def __init__(self, path):
        table = tomllib.loads(path.read_text())
        self.ids = [asset["id"] for asset in table["asset"]]
        by_start = defaultdict(list)
        for asset in table["asset"]:
            tickers, ambiguous = asset.get("tickers", []), asset.get("ambiguous", [])
            candidates = [("$" + ticker, False) for ticker in tickers + ambiguous]
            candidates += [(ticker, True) for ticker in tickers]
            candidates += [(name, False) for name in asset.get("names", [])]
            for text, exact in candidates:
                by_start[text[:2].translate(ASCII_LOWER)].append((text, exact, asset["id"]))
        self.by_start = {
            start: sorted(candidates, key=lambda candidate: -len(candidate[0]))
            for start, candidates in by_start.items()
        }

    def find(self, text):
        """The ids of the assets in a text: at each place the longest candidate, without overlaps."""
        lower = text.translate(ASCII_LOWER)
        found = set()
        free_from = 0
        for start in START.finditer(text):
            at = start.start()
            if at < free_from:
                continue
            for candidate, exact, asset in self.by_start.get(lower[at : at + 2], ()):
                end = at + len(candidate)
                piece, wanted = (text, candidate) if exact else (lower, candidate.translate(ASCII_LOWER))
                if piece[at:end] == wanted and not WORD.match(text, end):
                    found.add(asset)
                    free_from = end
                    break
        return found


def plain(text):
    return UNWANTED.sub("", text.replace("\r\n", "\n")).strip()


class Archive:
    """Posts and comments by id: (milliseconds, posts or comments, author, title, text)."""

    def __init__(self):
        self.items = {}
        self.posts = set()
        self.comments = set()

    def keep(self, name, created, kind, author, title, text):
        if text.strip() in WITHDRAWN:
            text = ""
        item = (int(created * 1000), kind, author, title, text)
        known = self.items.get(name)
        if known is None or self.rank(item) > self.rank(known):
            self.items[name] = item

    @staticmethod
    def rank(item):
        _, _, author, title, text = item
        return len(text.encode()), text, title or "", author

    def read(self, path):
        with tarfile.open(path) as tar:
            for member in tar:
                if member.isfile() and member.name.endswith(".json"):
                    crawl = json.load(tar.extractfile(member))
                    for post in crawl["posts"]:
                        self.read_post(post)

    def read_post(self, post):
        self.posts.add(post["id"])
        text = post["selftext"] or ""
        self.keep("t3_" + post["id"], post["created_utc"], "posts", post["author"], post["title"], text)
        waiting = list(post["comments"])
        while waiting:
            comment = waiting.pop()
            self.comments.add(comment["id"])
            text = comment["response"] or ""
            self.keep("t1_" + comment["id"], comment["created_utc"], "comments", comment["author"], None, text)
            waiting.extend(comment["comments"])


class Window:
    def __init__(self):
        self.posts = 0
        self.authors = set()
        self.kinds = defaultdict(int)

    def to_json(self):
        return {"posts": self.posts, "unique_authors": len(self.authors), "kinds": dict(sorted(self.kinds.items()))}


def count(archive, assets, start, end):
    windows = defaultdict(lambda: defaultdict(Window))
    for at, kind, author, title, text in archive.items.values():
        if not start <= at < end:
            continue
        text = plain(text)
        if title is not None:
            text = plain(title) + "\n" + text
        for asset in assets.find(text) | {WHOLE_MARKET}:
            window = windows[asset][at - at % WINDOW_MS]
            window.posts += 1
            window.kinds[kind] += 1
            if (author or "").strip() not in NOBODY:
                window.authors.add(author)
    return windows


def milliseconds(text):
    moment = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    return int(moment.timestamp() * 1000)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("paths", nargs="+", type=Path, metavar="DIR-or-TAR", help="a folder means its reddit_*.tar.gz")
    parser.add_argument("--from", dest="start", type=milliseconds, default=-sys.maxsize, help="RFC 3339, inclusive")
    parser.add_argument("--to", dest="end", type=milliseconds, default=sys.maxsize, help="RFC 3339, exclusive")
    parser.add_argument("--assets", type=Path, default=ASSETS)
    return parser.parse_args()


def main():
    options = arguments()
    tars = [
        tar for path in options.paths for tar in (sorted(path.glob("reddit_*.tar.gz")) if path.is_dir() else [path])
    ]
    if not tars:
        sys.exit(f"archive_count: no reddit_*.tar.gz in {', '.join(map(str, options.paths))}")
    archive = Archive()
    for tar in tars:
        print(f"archive_count: reading {tar.name}", file=sys.stderr)
        archive.read(tar)
    windows = count(archive, Assets(options.assets), options.start, options.end)
    report = {
        "posts": len(archive.posts),
        "comments": len(archive.comments),
        "assets": {
            asset: {
                "posts": sum(window.posts for window in windows[asset].values()),
                "windows": {str(start): window.to_json() for start, window in sorted(windows[asset].items())},
            }
            for asset in sorted(windows)
        },
    }
    json.dump(report, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
