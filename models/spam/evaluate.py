"""Precision and recall of the spam score on recorded posts labelled by reading them.

    python evaluate.py [--mistakes]

labels.tsv has a line per post: key, label (spam or ham), source, half. Spam is what was written to promote, to beg, to enter a lottery, or by a
machine, whatever one thinks of it. `tune`, `read` and `missed` were looked at while phrases and weights were chosen, `test` and `later` were not.
`later` is a quarter of a draw whose other three are `read`; no two of that draw, nor one of it and one of tune and test, share half of their words.
`missed` are posts like spam that earlier rules missed. Part of the posts
was drawn at random, part from those with a word that spam likes (`hint`), as spam is rare on Reddit; so the shares of spam are not those of the
stream. The texts may not be redistributed; they are read from the recorded posts (see posts.py). Intervals are Wilson's, 95 %.
"""

import argparse
import itertools
import math
import sys
from collections import Counter

import posts


def wilson(hits, total):
    if total == 0:
        return "-"
    z, p = 1.96, hits / total
    middle = (p + z * z / (2 * total)) / (1 + z * z / total)
    half = z * math.sqrt(p * (1 - p) / total + z * z / (4 * total * total)) / (1 + z * z / total)
    return f"{p:.2f} ({middle - half:.2f} to {middle + half:.2f}, {hits} of {total})"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mistakes", action="store_true", help="print the posts that were judged wrongly")
    args = parser.parse_args()
    labels = {}
    for line in (posts.HERE / "labels.tsv").read_text(encoding="utf-8").splitlines():
        key, label, source, half = line.split("\t")
        labels[key] = (label == "spam", source, half)
    found = {}
    for _, author, text in itertools.chain(posts.read(posts.folder()), posts.sample(posts.folder())):
        key = posts.key(text)
        if key in labels:
            found.setdefault(key, {"text": text, "author": author})
    if len(found) < len(labels):
        print(f"{len(labels) - len(found)} labelled posts were not found", file=sys.stderr)
    answers = dict(zip(found, posts.judge(found.values()), strict=True))
    groups = {}
    for key, answer in answers.items():
        is_spam, source, half = labels[key]
        judged = answer["spam_score"] >= 0.5
        for group in (half, f"{half}, {'reddit' if source.startswith('reddit') else 'tweets'}"):
            groups.setdefault(group, Counter())[is_spam, judged] += 1
        if args.mistakes and judged != is_spam and half not in ("test", "later"):
            print("missed" if is_spam else "wrong", answer, repr(found[key]["text"][:200]), found[key]["author"])
    for group, count in sorted(groups.items()):
        right, wrong, missed = count[True, True], count[False, True], count[True, False]
        print(f"{group}: precision {wilson(right, right + wrong)}, recall {wilson(right, right + missed)}")


if __name__ == "__main__":
    main()
