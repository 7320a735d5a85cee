"""Join the labels of real posts with their texts, which may not be redistributed and are not part of this repository.

    python real_posts.py --posts DIR --train OUT.tsv --val OUT.tsv [--unlabelled OUT.json]

``real_labels.tsv`` has a line per post: key, label, source, split. The key is the first 16 hex digits of the SHA-256 of the text's letters
and digits in lower case. DIR holds the archives named in SOURCES.md there: tweets and headlines as CSV, Reddit as JSON in tar files. Output:
label, text, source. Posts that are not found are counted on stderr. ``--unlabelled`` writes all texts, out of which ``train.py`` takes those that a teacher
has an opinion on.
"""

import argparse
import csv
import hashlib
import html
import json
import pathlib
import re
import sys
import tarfile
from collections.abc import Iterator

HERE = pathlib.Path(__file__).parent


def clean(text: str | None) -> str:
    text = re.sub(r"\\x[0-9a-f]{2}|\\[rnt]", " ", html.unescape(text or ""))
    return " ".join(text.split())


def key(text: str) -> str:
    letters = re.sub(r"[\W_]+", "", clean(text).lower())
    return hashlib.sha256(letters.encode()).hexdigest()[:16]


def comments(nested: list) -> Iterator[str]:
    for comment in nested or []:
        if isinstance(comment, dict):
            yield comment.get("response") or ""
            yield from comments(comment.get("comments"))


def texts(folder: pathlib.Path) -> Iterator[str]:
    csv.field_size_limit(sys.maxsize)
    with open(folder / "tweets_btc_2020-11.csv", encoding="utf-8", errors="replace", newline="") as rows:
        yield from (row["tweet"] or "" for row in csv.DictReader(rows))
    with open(folder / "cryptonews_headlines.csv", encoding="utf-8", errors="replace", newline="") as rows:
        for row in csv.DictReader(rows, delimiter=";"):
            yield from (row["title"] or "", row["text"] or "")
            yield f"{row['title'] or ''} {row['text'] or ''}"
    for path in sorted(folder.glob("reddit_*.tar.gz")):
        with tarfile.open(path) as archive:
            for member in archive:
                if member.isfile() and member.name.endswith(".json"):
                    for post in json.load(archive.extractfile(member)).get("posts", []):
                        yield f"{post.get('title') or ''} {post.get('selftext') or ''}"
                        yield f"{post.get('title') or ''}. {post.get('selftext') or ''}"
                        yield post.get("title") or ""
                        yield from comments(post.get("comments"))


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--posts", required=True, type=pathlib.Path)
    cli.add_argument("--train", type=pathlib.Path)
    cli.add_argument("--val", type=pathlib.Path)
    cli.add_argument("--unlabelled", type=pathlib.Path)
    args = cli.parse_args()
    wanted = {}
    for line in (HERE / "real_labels.tsv").read_text(encoding="utf-8").splitlines():
        text_key, *rest = line.split("\t")
        wanted[text_key] = rest
    found, every = {}, {}
    for text in texts(args.posts):
        if args.unlabelled:
            every[" ".join(text.split())] = None
        if (text_key := key(text)) in wanted:
            found.setdefault(text_key, clean(text))
    for split, target in (("train", args.train), ("val", args.val)):
        if target:
            rows = [(*wanted[text_key], text) for text_key, text in found.items()]
            lines = [f"{label}\t{text}\t{source}\n" for label, source, of, text in sorted(rows) if of == split]
            target.write_text("".join(lines), encoding="utf-8")
    if args.unlabelled:
        args.unlabelled.write_text(json.dumps(list(every)), encoding="utf-8")
    print(f"{len(found)} of {len(wanted)} labelled posts found", file=sys.stderr)


if __name__ == "__main__":
    main()
