"""Precision and recall of the spam score on recorded posts labelled by reading them, by the rules alone and by the weights.

    python evaluate.py [--mistakes]

labels.tsv has a line per post: key, label (spam or ham), source, half. Spam is what was written to promote, to beg, to enter a lottery, or by a
machine, whatever one thinks of it. What each half is: README.md. `test`, `later` and `held_out` are measured only. The texts may not be
redistributed; they are read from the recorded posts (see posts.py). Intervals are Wilson's, 95 %.
"""

import argparse
import math
from collections import Counter

import posts

HELD_OUT = ("test", "later", "held_out")


def wilson(hits, total):
    if total == 0:
        return "-"
    z, p = 1.96, hits / total
    middle = (p + z * z / (2 * total)) / (1 + z * z / total)
    half = z * math.sqrt(p * (1 - p) / total + z * z / (4 * total * total)) / (1 + z * z / total)
    return f"{p:.2f} ({middle - half:.2f} to {middle + half:.2f}, {hits} of {total})"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mistakes", action="store_true", help="print the posts for learning that were judged wrongly")
    args = parser.parse_args()
    halves = posts.labelled()
    for by in ("rules", posts.ROOT / "models/sentiment/spam.bin"):
        for half, rows in sorted(halves.items()):
            answers = posts.judge([{"text": row["text"], "author": row["author"]} for row in rows], by)
            groups = {}
            for row, answer in zip(rows, answers, strict=True):
                judged = answer["spam_score"] >= 0.5
                for group in ("all", "reddit" if row["source"].startswith("reddit") else "tweets"):
                    groups.setdefault(group, Counter())[row["spam"], judged] += 1
                if args.mistakes and judged != row["spam"] and half not in HELD_OUT:
                    print("missed" if row["spam"] else "wrong", answer, repr(row["text"][:200]), row["author"])
            for group, count in sorted(groups.items()):
                right, wrong, missed = count[True, True], count[False, True], count[True, False]
                how = "rules" if by == "rules" else "weights"
                print(f"{how}, {half}, {group}: precision {wilson(right, right + wrong)}, recall {wilson(right, right + missed)}")


if __name__ == "__main__":
    main()
