"""Learns the weights by which spam is told: writes spam.bin of the sentiment model, and its digest into model.json.

    python train.py [--folds 10] [--version 2.4.0] [--precision 0.9]

A linear model (logistic regression, L2) over the features that `examples/judge.rs` gives, learnt from the posts of labels.tsv that are for
learning. Features of fewer than two posts are left out. The threshold is the least at which, in cross-validation, the posts drawn at random
(`read`, `learn`) are judged with that precision. Weights are rounded to whole 32nds. Needs scikit-learn and scipy, see ../requirements.txt.
"""

import argparse
import hashlib
import json
import struct

import numpy as np
import scipy.sparse
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

import posts

LEARNT = ("tune", "read", "missed", "learn", "sought")
DRAWN = ("read", "learn")
SLOTS, STEPS, MAGIC = 1 << 17, 32, b"VIGW\x01"
STRENGTH = 1.0
# Written for this file, not recorded.
GOLDEN = [
    "Huge airdrop of 500 tokens, join now: https://example.com/x #airdrop #crypto #giveaway",
    "1 BTC = 1194.76 USD #bitcoin",
    "I sold half of my coins yesterday and I do not regret it at all",
    "Is this airdrop a scam? They want me to send them eth first",
    "The regulator has delayed its decision on the fund until March",
    "Great project with a strong team @one @two #binance #bsc #airdrop",
    "Gagnez des bitcoins gratuits chaque jour, inscrivez-vous ici https://example.com",
    "Le réseau tient bon malgré la panne d'hier, bravo aux équipes",
    "I am a bot, and this action was performed automatically.",
    "\u30d3\u30c3\u30c8\u30b3\u30a4\u30f3\u306e\u4fa1\u683c\u306f 144\u4e07\u5186\u3067\u3059 #bitcoin",
]
MODEL = posts.ROOT / "models/sentiment"


def matrix(rows):
    """Features [posts, SLOTS] of posts."""
    slots = posts.judge([{"text": row["text"], "author": row["author"]} for row in rows], "slots")
    ends = np.cumsum([0] + [len(each) for each in slots])
    data = np.ones(ends[-1], dtype=np.float32)
    return scipy.sparse.csr_matrix((data, np.concatenate(slots).astype(np.int32), ends), shape=(len(rows), SLOTS))


def fit(x, y):
    """Weights [SLOTS] and the intercept, in whole 32nds of a logit."""
    often = np.asarray((x > 0).sum(0)).ravel() > 1
    model = LogisticRegression(C=STRENGTH, solver="liblinear", max_iter=200).fit(x[:, often], y)
    weights = np.zeros(SLOTS)
    weights[often] = model.coef_[0]
    return np.clip(np.rint(weights * STEPS), -127, 127).astype(np.int8), int(np.rint(model.intercept_[0] * STEPS))


def threshold(logits, y, precision):
    """The least logit from which on that share is spam, and the share of the spam that is found then."""
    order = np.argsort(-logits, kind="stable")
    hits = np.cumsum(y[order])
    share = hits / np.arange(1, len(y) + 1)
    last = np.flatnonzero(share >= precision).max(initial=0)
    return int(logits[order][last]), float(hits[last] / y.sum())


def main():
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--folds", type=int, default=10)
    cli.add_argument("--precision", type=float, default=0.9)
    cli.add_argument("--version", help="of the whole model; without it nothing is written")
    args = cli.parse_args()
    halves = posts.labelled()
    rows = [row for half in LEARNT for row in halves[half]]
    drawn = np.array([half in DRAWN for half in LEARNT for _ in halves[half]])
    y = np.array([row["spam"] for row in rows])
    x = matrix(rows)
    logits = np.zeros(len(rows), dtype=int)
    for train, test in StratifiedKFold(args.folds, shuffle=True, random_state=1).split(x, y):
        weights, intercept = fit(x[train], y[train])
        logits[test] = x[test] @ weights.astype(int) + intercept
    print(f"{len(rows)} posts, {y.sum()} of them spam; of {drawn.sum()} drawn at random, {y[drawn].sum()}")
    for precision in (0.8, 0.85, 0.9, 0.93, 0.95):
        print(f"precision {precision}: recall {threshold(logits[drawn], y[drawn], precision)[1]:.3f} (cross-validation)")
    least, _ = threshold(logits[drawn], y[drawn], args.precision)
    weights, intercept = fit(x, y)
    print(f"threshold {least}, {np.count_nonzero(weights)} weights")
    if not args.version:
        return
    content = MAGIC + struct.pack("<i", intercept - least) + weights.tobytes()
    (MODEL / "spam.bin").write_bytes(content)
    golden = matrix([{"text": text, "author": None} for text in GOLDEN]) @ weights.astype(int) + intercept - least
    golden = [{"text": text, "logit": int(logit)} for text, logit in zip(GOLDEN, golden, strict=True)]
    (posts.HERE / "golden.json").write_text(json.dumps(golden, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    path = MODEL / "model.json"
    card = json.loads(path.read_text(encoding="utf-8"))
    card |= {"version": args.version, "spam": {"file": "spam.bin", "sha256": hashlib.sha256(content).hexdigest()}}
    path.write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
