"""The recorded posts by key, and what the product says of them. Shared by evaluate.py and near_duplicates.py; standard library only."""

import csv
import hashlib
import itertools
import json
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def folder() -> Path:
    data = os.environ.get("VIGIE_TEST_DATA")
    return (Path(data) if data else ROOT.parent / "shared/data") / "recorded/posts"


def key(text: str) -> str:
    """The first 16 hex digits of the SHA-256 of the text's letters and digits in lower case."""
    return hashlib.sha256("".join(c for c in text.lower() if c.isalnum()).encode()).hexdigest()[:16]


def read(where: Path):
    """(source, author, text) of every recorded tweet, and of the posts and comments of Reddit."""
    csv.field_size_limit(sys.maxsize)
    with open(where / "tweets_btc_2020-11.csv", newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["tweet"]:
                yield "tweet", row["screen_name"] or "", row["tweet"]
    for path in sorted(where.glob("reddit_*_part1.tar.gz")):
        name = path.name.split("_2022")[0]
        with tarfile.open(path) as archive:
            for member in archive:
                if not member.isfile():
                    continue
                crawl = json.load(archive.extractfile(member))
                for post in crawl.get("posts", []):
                    text = f"{post.get('title') or ''}\n{post.get('selftext') or ''}".strip()
                    yield name, post.get("author") or "", text
                    yield from comments(post.get("comments") or [], name)


def sample(where: Path):
    """As `read`, of the tweets of other years beside the recorded posts, with handles and addresses taken out; their authors are not known."""
    path = where.parents[1] / "sentiment_more/unlabelled/crypto_tweets_misc.txt"
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        yield "sample", "", line


def comments(found, name):
    for comment in found:
        if text := comment.get("response"):
            yield name, comment.get("author") or "", text
        yield from comments(comment.get("comments") or [], name)


def judge(posts, by="rules"):
    """The product's answer for each {"text", "author"}: by the weights of a file, by the `rules` alone, or the `slots` of the features."""
    # As ./dev builds, so that nothing is compiled twice.
    subprocess.run(["cargo", "build", "--quiet", "--workspace", "--locked", "--example", "judge"], cwd=ROOT, check=True)
    command = [ROOT / "target/debug/examples/judge", str(by)]
    # The tweets of other years have "http" for an address.
    whole = lambda text: re.sub(r"(?<!\S)http(?!\S)", "https://t.co/x", text)
    lines = "\n".join(json.dumps({**post, "text": whole(post["text"])}) for post in posts) + "\n"
    done = subprocess.run(command, input=lines, capture_output=True, text=True, cwd=ROOT, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def labelled():
    """By half: {"text", "author", "source", "spam"} of each post of labels.tsv that was found."""
    found = {}
    for _, author, text in itertools.chain(read(folder()), sample(folder())):
        found.setdefault(key(text), (author, text))
    halves = {}
    lines = (HERE / "labels.tsv").read_text(encoding="utf-8").splitlines()
    missing = 0
    for name, label, source, half in (line.split("\t") for line in lines):
        if name not in found:
            missing += 1
            continue
        author, text = found[name]
        halves.setdefault(half, []).append({"text": text, "author": author, "source": source, "spam": label == "spam"})
    if missing:
        print(f"{missing} labelled posts were not found", file=sys.stderr)
    return halves
