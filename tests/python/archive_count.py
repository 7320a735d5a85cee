"""An independent count of the Reddit archives: what vigie must find when it reads them end to end.

Shares no code with vigie. Reads the tar files (one JSON per crawl: posts with nested comments), keeps each post and
comment once, finds the assets by the rules documented in processors/src/assets.rs (asset_rules.py) and counts by
asset and 5-minute window of publication. The asset * counts every post once. Standard library only.

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
from collections import defaultdict
from pathlib import Path

from asset_rules import ASSETS, Assets

WINDOW_MS = 300_000
WHOLE_MARKET = "*"
# Control and direction characters, which are not text.
UNWANTED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
NOBODY = {"", "[deleted]", "[removed]"}
WITHDRAWN = {"[deleted]", "[removed]"}


def plain(text):
    return UNWANTED.sub("", text.replace("\r\n", "\n")).strip()


def own(text):
    """The text without the Markdown quotes in it: lines that begin with `>`, but for spoilers and code."""
    lines, fenced = [], False
    for line in text.splitlines():
        bare = line.lstrip(" ")
        fenced ^= bare.startswith(("```", "~~~"))
        if fenced or len(line) - len(bare) >= 4 or not bare.startswith(">") or bare.startswith(">!"):
            lines.append(line)
    return "\n".join(lines)


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
        text = plain(own(text))
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
