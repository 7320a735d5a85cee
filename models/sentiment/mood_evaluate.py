"""Mood towards each asset on recorded posts with several, beside what the post's own label would say of all of them.

    python mood_evaluate.py --posts DIR [--split tune|held_out] [--command "vigie model score"] [--mistakes]

``mood_labels.tsv`` has a line per post: key (as in ``real_posts.py``), labels (``BTC- ETH0 SOL+``), split. One reader labelled them for this project before
any head was trained, and left out assets where he was in doubt. With --command the answers are vigie's; assets that it does not find are counted apart. Without,
those of ``onnx_model.py`` at the places of the table's names. Intervals: bootstrap over posts, 95 %.
"""

import argparse
import json
import pathlib
import shlex
import subprocess

import numpy as np

import real_posts
from labels import LABELS
from mood_data import spans, table
from onnx_model import OnnxModel

HERE = pathlib.Path(__file__).parent
DRAWS = 2000


def macro_f1(labels: np.ndarray, answers: np.ndarray) -> float:
    scores = []
    for c in range(len(LABELS)):
        true = ((labels == c) & (answers == c)).sum()
        wrong = (labels == c).sum() + (answers == c).sum()
        scores.append(2 * true / wrong if wrong else 0.0)
    return float(np.mean(scores))


def labelled(folder: pathlib.Path, split: str) -> list[tuple[str, dict[str, int]]]:
    """Texts and the labels of their assets."""
    wanted, texts = {}, {}
    for line in (HERE / "mood_labels.tsv").read_text(encoding="utf-8").splitlines():
        key, labels, of = line.split("\t")
        if of == split:
            wanted[key] = {one[:-1]: "-0+".index(one[-1]) for one in labels.split()}
    for text in real_posts.texts(folder):
        key = real_posts.key(text)
        if key in wanted:
            texts.setdefault(key, real_posts.clean(text))
    return [(texts[key], labels) for key, labels in sorted(wanted.items()) if key in texts]


def of_python(posts: list) -> list[tuple[int, dict[str, int]]]:
    """Label of the post, and of each asset."""
    model, names = OnnxModel(HERE), table()
    wholes = model.probabilities([text for text, _ in posts], language="en")[0].argmax(1)
    out = []
    for (text, labels), whole in zip(posts, wholes):
        moods = model.moods(text, [spans(text, names[asset]) for asset in labels])
        out.append((int(whole), {asset: int(p.argmax()) for asset, p in zip(labels, moods) if p is not None}))
    return out


def of_command(command: str, posts: list) -> list[tuple[int, dict[str, int]]]:
    lines = "".join(text + "\n" for text, _ in posts)
    done = subprocess.run(shlex.split(command), input=lines, capture_output=True, text=True, check=True)
    number = lambda said: LABELS.index(said["label"] or "neutral")
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    return [(number(answer), {one["asset"]: number(one) for one in answer["assets"]}) for answer in answers]


def interval(parts: list[np.ndarray], measure) -> str:
    """``parts`` [posts] of (label, answer) rows: the figure and its interval."""
    chance = np.random.default_rng(1)
    draws = [measure(np.concatenate([parts[i] for i in chance.integers(len(parts), size=len(parts))])) for _ in range(DRAWS)]
    low, high = np.quantile(draws, [0.025, 0.975])
    return f"{measure(np.concatenate(parts)):.3f} [{low:.3f}, {high:.3f}]"


def report(title: str, posts: list, answers: list) -> None:
    rows = [
        np.array([(label, whole, moods[asset]) for asset, label in labels.items() if asset in moods]).reshape(-1, 3)
        for (_, labels), (whole, moods) in zip(posts, answers)
    ]
    rows = [each for each in rows if len(each)]
    every = np.concatenate(rows)
    print(f"{title}: {len(rows)} posts, {len(every)} assets")
    print(f"  macro-F1 of the head {interval(rows, lambda r: macro_f1(r[:, 0], r[:, 2]))}, accuracy {(every[:, 0] == every[:, 2]).mean():.3f}")
    print(f"  the post's label for all {interval(rows, lambda r: macro_f1(r[:, 0], r[:, 1]))}, accuracy {(every[:, 0] == every[:, 1]).mean():.3f}")
    print(f"  gain {interval(rows, lambda r: macro_f1(r[:, 0], r[:, 2]) - macro_f1(r[:, 0], r[:, 1]))}")
    table = [[int(((every[:, 0] == c) & (every[:, 2] == d)).sum()) for d in range(3)] for c in range(3)]
    print("  " + "  ".join(f"{name} -> {row}" for name, row in zip(LABELS, table)))


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--posts", required=True, type=pathlib.Path)
    cli.add_argument("--split", choices=["tune", "held_out"], default="held_out")
    cli.add_argument("--command")
    cli.add_argument("--mistakes", action="store_true")
    args = cli.parse_args()
    posts = labelled(args.posts, args.split)
    answers = of_command(args.command, posts) if args.command else of_python(posts)
    missing = sum(asset not in moods for (_, labels), (_, moods) in zip(posts, answers) for asset in labels)
    print(f"mood towards each asset, {args.split}: {len(posts)} recorded posts; {missing} assets are not found in their text")
    differ = [len(set(labels.values())) > 1 for _, labels in posts]
    roundup = ["USD " in text or "Bitcoin and Ethereum" in text for text, _ in posts]
    pick = lambda flags: ([p for p, f in zip(posts, flags) if f], [a for a, f in zip(answers, flags) if f])
    report("of differing mood", *pick(differ))
    report("  of these, price reports", *pick([d and r for d, r in zip(differ, roundup)]))
    report("  of these, all else", *pick([d and not r for d, r in zip(differ, roundup)]))
    report("of one mood", *pick([not d for d in differ]))
    report("all", posts, answers)
    if args.mistakes:
        for (text, labels), (whole, moods) in zip(posts, answers):
            wrong = [f"{a} {'-0+'[label]} not {'-0+'[moods[a]]}" for a, label in labels.items() if a in moods and moods[a] != label]
            if wrong:
                print("; ".join(wrong), "|", text)


if __name__ == "__main__":
    main()
