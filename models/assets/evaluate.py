"""Precision and recall of the asset matcher on labelled posts, beside a naive baseline.

    python evaluate.py [--command "target/release/vigie model score"] [--recorded DIR] [--mistakes]

Scores tune.tsv, held_out.tsv and later.tsv (kind, assets, text) and, where the recorded posts are (DIR, or ../shared/data/recorded/posts beside the
repository, or recorded/posts in VIGIE_TEST_DATA), the posts that real.tsv, real_hard.tsv, context_*.tsv name (file, key, first 16
hex digits of the text's SHA-256, assets). Files of sentiment_more/unlabelled are looked for beside `recorded`.
The command reads one text per line and answers one JSON object per line, as `vigie model score` does. The baseline takes every ticker and
name of the table in any case, as a whole word. Intervals are Wilson's, 95 %. Prints a table, or JSON Lines with --json. Standard library only.
"""

import argparse
import csv
import hashlib
import json
import math
import os
import re
import shlex
import subprocess
import sys
import tarfile
import tomllib
from collections import defaultdict
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
TABLE = ROOT / "processors/assets/assets.toml"
RECORDED = ("real", "real_hard", "context_tune", "context_held_out", "context_later", "context_second_tune", "context_second_held_out")
LISTS = ("tickers", "ambiguous", "beside", "cashtags", "names", "proper", "common", "words")


def labels(text):
    return set() if text == "-" else set(text.split(","))


def own(path):
    """(kind, assets, text) of a file of this folder."""
    for line in path.read_text(encoding="utf-8").splitlines():
        kind, assets, text = line.split("\t", 2)
        yield kind, labels(assets), text


def recorded_folder(given):
    if given:
        return Path(given)
    data = os.environ.get("VIGIE_TEST_DATA")
    return (Path(data) if data else ROOT.parent / "shared/data") / "recorded/posts"


def recorded_texts(folder, names):
    """The text of every row or post of the files, by (file, key); of several crawls the first counts."""
    csv.field_size_limit(sys.maxsize)
    texts = {}
    for name in sorted(names):
        for key, text in rows(folder / name):
            if text:
                texts.setdefault((name, key), []).append(text)
    return texts


def rows(path):
    if path.suffix == ".txt":
        path = path.parents[2] / "sentiment_more/unlabelled" / path.name
        yield from ((str(index), line) for index, line in enumerate(path.read_text(encoding="utf-8").split("\n")))
        return
    if path.suffix == ".tsv":
        path = path.parents[2] / "sentiment_more/labelled" / path.name
        yield from ((str(index), line.partition("\t")[2]) for index, line in enumerate(path.read_text(encoding="utf-8").split("\n")))
        return
    if path.suffix == ".csv":
        tweets = path.name.startswith("tweets")
        with path.open(newline="", encoding="utf-8") as file:
            for index, row in enumerate(csv.DictReader(file, delimiter="," if tweets else ";")):
                yield str(index), row["tweet"] if tweets else f"{row['title'] or ''}\n{row['text'] or ''}"
        return
    with tarfile.open(path) as tar:
        for member in tar:
            if not (member.isfile() and member.name.endswith(".json")):
                continue
            for post in json.load(tar.extractfile(member))["posts"]:
                yield "t3_" + post["id"], f"{post['title']}\n{post['selftext'] or ''}"
                waiting = list(post["comments"])
                while waiting:
                    comment = waiting.pop()
                    yield "t1_" + comment["id"], comment["response"] or ""
                    waiting.extend(comment["comments"])


def real(path, folder):
    wanted = [line.split("\t") for line in path.read_text().splitlines()]
    texts = recorded_texts(folder, {row[0] for row in wanted})
    for name, key, digest, assets in wanted:
        found = [t for t in texts.get((name, key), ()) if hashlib.sha256(t.encode()).hexdigest().startswith(digest)]
        if not found:
            sys.exit(f"evaluate: {name} {key}: no text with SHA-256 {digest}...")
        yield ("none" if assets == "-" else "real"), labels(assets), found[0]


class Naive:
    """Every string of the table, in any case, as a whole word."""

    def __init__(self, table):
        self.owner = {}
        for asset in table["asset"]:
            for field in LISTS:
                for string in asset.get(field, ()):
                    self.owner[string.lower()] = asset["id"]
        strings = sorted(map(re.escape, self.owner), key=len, reverse=True)
        self.pattern = re.compile(r"(?<!\w)\$?(" + "|".join(strings) + r")(?!\w)", re.IGNORECASE)

    def find(self, text):
        found = (self.owner.get(hit.group(1).lower()) for hit in self.pattern.finditer(text))
        return {asset for asset in found if asset}


def answers(command, texts):
    lines = "".join(" ".join(text.split()) + "\n" for text in texts)
    done = subprocess.run(shlex.split(command), input=lines, capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode != 0:
        sys.exit(f"evaluate: {command} ended with {done.returncode}: {done.stderr[-500:]}")
    return [{one["asset"] for one in json.loads(line)["assets"]} for line in done.stdout.splitlines()]


def wilson(hits, total, z=1.96):
    if total == 0:
        return None
    share, square = hits / total, z * z
    middle = (share + square / (2 * total)) / (1 + square / total)
    reach = z * math.sqrt(share * (1 - share) / total + square / (4 * total * total)) / (1 + square / total)
    return [round(value, 3) for value in (share, max(0.0, middle - reach), min(1.0, middle + reach))]


def measure(expected, got):
    """Micro-averaged over (post, asset); posts are counted as right if their set of assets is."""
    pairs = list(zip(expected, got, strict=True))
    true = sum(len(e & g) for e, g in pairs)
    found, wanted = sum(len(g) for _, g in pairs), sum(len(e) for e, _ in pairs)
    return {
        "posts": len(pairs),
        "mentions": wanted,
        "precision": wilson(true, found),
        "recall": wilson(true, wanted),
        "f1": round(2 * true / (found + wanted), 3) if found + wanted else None,
        "posts_right": wilson(sum(e == g for e, g in pairs), len(pairs)),
    }


def show(row):
    value = lambda three: "-" if three is None else f"{three[0]:.3f} [{three[1]:.3f}, {three[2]:.3f}]"
    f1 = "-" if row["f1"] is None else f"{row['f1']:.3f}"
    columns = (row["set"], row["matcher"], row["kind"], row["posts"], row["mentions"])
    print("{:<16} {:<8} {:<9} {:>5} {:>5}".format(*columns), value(row["precision"]), value(row["recall"]), f1, value(row["posts_right"]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--command", default="target/release/vigie model score")
    parser.add_argument("--recorded", metavar="DIR")
    parser.add_argument("--mistakes", action="store_true", help="print the posts that are wrong, and no table")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    naive = Naive(tomllib.loads(TABLE.read_text(encoding="utf-8")))
    sets = {name: list(own(HERE / f"{name}.tsv")) for name in ("tune", "held_out", "later")}
    folder = recorded_folder(options.recorded)
    if folder.is_dir():
        sets |= {name: list(real(HERE / f"{name}.tsv", folder)) for name in RECORDED}
    else:
        print(f"evaluate: skipped the recorded posts: none at {folder}", file=sys.stderr)
    if not (options.json or options.mistakes):
        print("set              matcher  kind      posts  ment. precision            recall               F1    posts all right")
    for name, posts in sets.items():
        expected, texts = [assets for _, assets, _ in posts], [text for _, _, text in posts]
        results = {"vigie": answers(options.command, texts), "naive": [naive.find(text) for text in texts]}
        if options.mistakes:
            for (kind, wanted, text), got in zip(posts, results["vigie"], strict=True):
                if wanted != got:
                    print(f"{name} {kind}: -{sorted(wanted - got)} +{sorted(got - wanted)} {' '.join(text.split())}")
            continue
        kinds = defaultdict(list)
        for index, (kind, _, _) in enumerate(posts):
            kinds[kind].append(index)
            kinds["all"].append(index)
        for matcher, got in results.items():
            for kind, chosen in kinds.items() if matcher == "vigie" else [("all", kinds["all"])]:
                row = {"set": name, "matcher": matcher, "kind": kind}
                row |= measure([expected[i] for i in chosen], [got[i] for i in chosen])
                print(json.dumps(row)) if options.json else show(row)


if __name__ == "__main__":
    main()
