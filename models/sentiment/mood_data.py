"""Posts with targets to learn from: what is said about each of several assets, and its label.

    python mood_data.py --targeted DIR --labelled REAL.tsv crypto_train.tsv ... --out CACHE

A post here is a text, the places of its targets and their labels. Sources, in ``posts``:

1. sets of others (``--targeted``: target, label, text; not part of this repository), the targets' names as they are or replaced by those of coins, so
   that what is learnt does not hang on companies;
2. labelled posts of one asset (label, text), two or three of them joined, each in its own mood;
3. posts made of the clauses of ``mood_phrases.tsv``.

``--out`` keeps the states of the encoder's layer 4 as vigie computes them (one text at a time, int8), so that training reads them only.
"""

import argparse
import hashlib
import json
import pathlib
import random
import re
import tomllib
from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from labels import LABELS, MAX_TOKENS

HERE = pathlib.Path(__file__).parent
ASSETS = HERE.parents[1] / "processors/assets/assets.toml"
# How many texts of a set are taken, and the share in which coins take the place of the targets.
SETS = {
    "sentfin_headlines": (12000, 0.7), "fiqa_headlines": (400, 0.7), "dong2014_twitter": (3500, 0.5), "newsmtsc": (3500, 0.2),
    "semeval_topics_2015_2016": (2500, 0.3), "mams_atsa": (2500, 0.2),
}  # fmt: skip
JOINS = [". ", " ", "\n", "; ", ", ", " - ", " but ", ", but ", " while ", ", whereas ", " and ", ", and ", ". Meanwhile ", ". ", " | "]
COINS = 160
# Distances from a target are distinguished up to so many tokens.
REACH = 24
DISTANCES = 2 * REACH + 1


@dataclass
class Post:
    text: str
    # Places (start, end) of each target, and its label.
    targets: list[tuple[list[tuple[int, int]], int]]
    source: str


def spans(text: str, names: list[str]) -> list[tuple[int, int]]:
    """Places of the names as whole words, in any case, also in the plural and as hashtag or cashtag."""
    pattern = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    return [hit.span() for hit in re.finditer(rf"(?<!\w)(?:{pattern})(?:s|'s)?(?!\w)", text, re.IGNORECASE)]


def table() -> dict[str, list[str]]:
    """Tickers and names in Latin script of each asset."""
    rows = tomllib.loads(ASSETS.read_text(encoding="utf-8"))["asset"]
    lists = ("tickers", "ambiguous", "names", "proper", "common")
    return {row["id"]: [s for one in lists for s in row.get(one, ()) if s.isascii()] + [row["id"]] for row in rows}


class Coins:
    """Draws names of coins, some much oftener than others, as people write them."""

    def __init__(self, chance: random.Random):
        rows = tomllib.loads(ASSETS.read_text(encoding="utf-8"))["asset"][:COINS]
        self.chance, self.forms = chance, [(row["id"], row["name"]) for row in rows if row["name"].isascii()]

    def draw(self, count: int) -> list[str]:
        weights, chosen = [1 / (i + 3) for i in range(len(self.forms))], []
        while len(chosen) < count:
            one = self.chance.choices(range(len(self.forms)), weights)[0]
            if one not in chosen:
                chosen.append(one)
        style = self.chance.random()
        return [self.written(*self.forms[one], style) for one in chosen]

    def written(self, ticker: str, name: str, style: float) -> str:
        if style < 0.3:
            return name
        if style < 0.4:
            return name.lower()
        if style < 0.65:
            return ticker
        if style < 0.8:
            return f"${ticker}"
        return ticker.lower() if style < 0.9 else f"#{self.chance.choice([ticker, name.replace(' ', '')])}"


def place(before: str, name: str) -> tuple[int, int]:
    """Where ``name`` stands if it follows ``before``, without its sign."""
    return len(before) + name.startswith(("$", "#")), len(before) + len(name)


def replaced(text: str, targets: list, names: list[str]) -> tuple[str, list]:
    """``text`` with each target called by another name."""
    places = sorted((start, end, i) for i, (found, _) in enumerate(targets) for start, end in found)
    out, at, moved = "", 0, [[] for _ in targets]
    for start, end, i in places:
        out += text[at:start]
        moved[i].append(place(out, names[i]))
        out, at = out + names[i], end
    return out + text[at:], [(moved[i], label) for i, (_, label) in enumerate(targets)]


def overlapping(targets: list) -> bool:
    places = sorted(place for found, _ in targets for place in found)
    return any(end > start for (_, end), (start, _) in zip(places, places[1:]))


def of_others(folder: pathlib.Path, name: str, coins: Coins) -> list[Post]:
    at_most, share = SETS[name]
    grouped = defaultdict(dict)
    for line in (folder / f"{name}.tsv").read_text(encoding="utf-8").rstrip("\n").split("\n"):
        target, label, text = line.split("\t", 2)
        grouped[text][target] = LABELS.index(label)
    posts = []
    for text, labels in sorted(grouped.items(), key=lambda each: hashlib.sha256(each[0].encode()).digest()):
        targets = [(found, label) for target, label in labels.items() if (found := spans(text, [target]))]
        if not targets or overlapping(targets):
            continue
        if coins.chance.random() < share:
            text, targets = replaced(text, targets, coins.draw(len(targets)))
        posts.append(Post(text, targets, name))
    return posts[:at_most]


def single(paths: list[pathlib.Path], assets: dict[str, list[str]]) -> list[Post]:
    """Labelled posts that name one asset."""
    owner = {name.lower(): asset for asset, names in assets.items() for name in names if len(name) > 2}
    word, posts = re.compile(r"[A-Za-z0-9]+"), []
    for path in paths:
        for line in path.read_text(encoding="utf-8").splitlines():
            label, text = line.split("\t")[:2]
            found = {asset for hit in word.findall(text) if (asset := owner.get(hit.lower())) and (hit[0].isupper() or len(hit) > 5)}
            if len(found) == 1 and len(text) < 240:
                posts.append(Post(text, [(spans(text, assets[found.pop()]), LABELS.index(label))], path.stem))
    return [post for post in posts if post.targets[0][0]]


def joined(posts: list[Post], coins: Coins, count: int) -> list[Post]:
    """Two or three posts as one, each about a coin of its own and in its own mood."""
    out, chance = [], coins.chance
    by_label = [[post for post in posts if post.targets[0][1] == label and len(post.text) < 140] for label in range(3)]
    while len(out) < count:
        parts = [chance.choice(by_label[chance.randrange(3)]) for _ in range(2 if chance.random() < 0.8 else 3)]
        names, text, targets = coins.draw(len(parts)), "", []
        for i, part in enumerate(parts):
            clause, moved = replaced(part.text, part.targets, [names[i]])
            if i:
                text = (text.rstrip(".!") if chance.random() < 0.5 else text) + chance.choice(JOINS)
            targets += [([(s + len(text), e + len(text)) for s, e in moved[0][0]], moved[0][1])]
            text += clause
        out.append(Post(text, targets, "joined"))
    return out


def phrases() -> dict[str, list[str]]:
    """Lines of ``mood_phrases.tsv``: a kind (labels of A, B, C, as ``+-``), tab, a pattern."""
    kinds = defaultdict(list)
    for line in (HERE / "mood_phrases.tsv").read_text(encoding="utf-8").splitlines():
        kind, pattern = line.split("\t")
        kinds[kind].append(pattern)
    return kinds


def made(coins: Coins, count: int) -> list[Post]:
    """Posts of the phrases: one with several assets, or several with one asset each."""
    kinds, chance, out = phrases(), coins.chance, []
    alone, together = {k: v for k, v in kinds.items() if len(k) == 1}, [(k, p) for k, v in kinds.items() if len(k) > 1 for p in v]
    while len(out) < count:
        parts = [chance.choice(together)] if chance.random() < 0.7 else []
        while len(parts) < (1 if chance.random() < 0.7 else 2) or (len(parts) == 1 and len(parts[0][0]) == 1):
            kind = chance.choice(list(alone))
            parts.append((kind, chance.choice(alone[kind])))
        chance.shuffle(parts)
        names, text, targets = coins.draw(sum(len(kind) for kind, _ in parts)), "", []
        for i, (kind, pattern) in enumerate(parts):
            if i:
                text += chance.choice([". ", ". ", "\n", "; ", ", ", " "] if len(parts[i - 1][0]) > 1 else JOINS)
            places = [([], "-0+".index(sign)) for sign in kind]
            for piece in re.split(r"(\{[A-D]\})", pattern):
                if re.fullmatch(r"\{[A-D]\}", piece):
                    number = "ABCD".index(piece[1])
                    name = names[len(targets) + number]
                    places[number][0].append(place(text, name))
                    piece = name
                text += piece
            targets += places
        if chance.random() < 0.4:
            text = text.lower()
        elif chance.random() < 0.5:
            text = text[0].upper() + text[1:]
        out.append(Post(text + chance.choice(["", "", ".", "!", " http", " 🚀", " lol"]), targets, "made"))
    return out


def posts(targeted: pathlib.Path | None, labelled: list[pathlib.Path], seed: int) -> list[Post]:
    chance = random.Random(seed)
    coins = Coins(chance)
    out = [post for name in SETS for post in of_others(targeted, name, coins)] if targeted else []
    alone = single(labelled, table())
    return [*out, *alone, *joined(alone, coins, 5000), *made(coins, 8000)]


def marks(offsets: list[tuple[int, int]], targets: list[list[tuple[int, int]]]) -> np.ndarray:
    """[targets, tokens]: 1 where the token is part of that target, 2 of another, else 0; the special tokens at both ends are 0."""
    own = np.zeros((len(targets), len(offsets) + 2), np.int64)
    for i, found in enumerate(targets):
        for start, end in found:
            own[i, 1:-1] |= [int(s < end and e > start) for s, e in offsets]
    return np.where(own == 1, 1, np.where(own.any(0), 2, 0))


def places(roles: np.ndarray) -> np.ndarray:
    """Places [targets, tokens] of roles (0 none, 1 this target, 2 another). REACH is the target itself; those of other targets follow."""
    out = np.empty_like(roles)
    for row, role in zip(out, roles):
        own = np.flatnonzero(role == 1)
        away = np.arange(len(role))[:, None] - own
        nearest = away[np.arange(len(role)), np.abs(away).argmin(1)]
        row[:] = np.clip(nearest, -REACH, REACH) + REACH + DISTANCES * (role == 2)
    return out


def cache(made: list[Post], out: pathlib.Path) -> None:
    """``out``.npz: for each post its states (fp16, all in one array), the logits of the second exit, marks and labels."""
    from onnx_model import OnnxModel

    model, states, logits, index = OnnxModel(HERE), [], [], []
    for post in made:
        encoding = model.tokenizer.encode(post.text, add_special_tokens=False)
        if not 1 <= len(encoding.ids) <= MAX_TOKENS - 2:
            continue
        role = marks(encoding.offsets, [found for found, _ in post.targets])
        seen = (role == 1).any(1)
        if not seen.any():
            continue
        hidden, exit_logits = model.middle(encoding.ids)
        states.append(hidden.astype(np.float16))
        logits.append(exit_logits)
        rows = [label for (_, label), here in zip(post.targets, seen) if here]
        index.append({"source": post.source, "labels": rows, "role": role[seen].tolist()})
    lengths = np.cumsum([0] + [len(each) for each in states])
    np.savez(out, states=np.concatenate(states), logits=np.array(logits, np.float32), starts=lengths)
    out.with_suffix(".json").write_text(json.dumps(index), encoding="utf-8")
    print(f"{len(index)} posts, {sum(len(each['labels']) for each in index)} targets, {lengths[-1]} tokens")


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--targeted", type=pathlib.Path)
    cli.add_argument("--labelled", nargs="*", default=[], type=pathlib.Path)
    cli.add_argument("--seed", type=int, default=1)
    cli.add_argument("--out", required=True, type=pathlib.Path)
    args = cli.parse_args()
    cache(posts(args.targeted, args.labelled, args.seed), args.out)


if __name__ == "__main__":
    main()
