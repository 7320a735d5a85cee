"""What turns the tone of its words around ("charges dropped", "rally fades"): features of a text, and the shift of the logits that they make.

    python turns.py [--data DIR] [--version 2.5.0]      # learns the weights; with a version writes them into model.json
    python turns.py --data DIR --real OUT               # writes OUT/turns_real_en.tsv and OUT/turns_real_fr.tsv: label, text, kind

The program has the same in processors/src/inference/turns.rs. The words and their classes are in turns.words, the weights in model.json; README.md
explains both. DIR holds the texts that may not be redistributed: without it the weights are learnt from those of this project alone, and may be
others than the committed ones.
"""

import argparse
import collections
import hashlib
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import unicodedata
from collections.abc import Iterator

import numpy as np

FEATURES = ("relief", "letdown", "worse", "better", "up", "down", "fine", "poor")
SIGN = {"harm": -1, "good": 1}
OPERATORS = ("less", "mend", "more", "up", "down", "not", "no")
# How many words before an operator the event may stand, how many behind it, how far behind a negation what it denies, and how far behind an event
# another that is joined to it.
REACH, REACH_BEFORE, REACH_NOT, REACH_JOINED = 6, 4, 2, 4
LONGEST = 6
# What is left of elided words, as in "s'envole" and "l'inflation".
ELIDED = ("s", "l", "n", "c", "j", "m", "t", "qu")
NUMBER = re.compile(r"[0-9]+(?:[.,][0-9]+)*")
# The sign of a percentage, a word or number, the end of a sentence, or of a clause.
TOKEN = re.compile(r"(?<!\S)[+-](?=[0-9][0-9.,]*\s?%)|[^\W_]+(?:(?<=[0-9])[.,](?=[0-9])[^\W_]+)*|[.!?\n]+|[,;:()\[\]|\u2013\u2014\u2026\"\u00ab\u00bb]")


def plain(text: str) -> str:
    """In lower case, without accents."""
    return "".join(c for c in unicodedata.normalize("NFD", text.lower()) if not unicodedata.combining(c))


class Turns:
    def __init__(self, path: pathlib.Path, weights: dict[str, dict[str, list[float]]]):
        self.words: dict[tuple[str, str], str] = {}
        self.stems: dict[tuple[str, str], str] = {}
        for line in path.read_text(encoding="utf-8").splitlines():
            if line and not line.startswith("#"):
                language, kind, words = line.split("\t")
                for word in words.split():
                    (self.stems if word.endswith("*") else self.words)[language, word.rstrip("*")] = kind
        zero = [0.0, 0.0, 0.0]
        self.weights = {language: np.array([given.get(name, zero) for name in FEATURES]) for language, given in weights.items()}

    def shift(self, text: str, language: str | None) -> np.ndarray:
        """What is added to the logits [3] of a text; nothing in a language without weights."""
        if language not in self.weights:
            return np.zeros(3)
        counts, sentences = self.features(text, language)
        weights = self.weights[language]
        return np.array(counts) @ weights / max(np.dot(counts, weights.any(1)), sentences, 1)

    def kind(self, language: str, words: list[str]) -> tuple[str | None, int]:
        """The class of what begins there, and of how many words it is."""
        for size in range(min(LONGEST, len(words)), 0, -1):
            if kind := self.words.get((language, "_".join(words[:size]))):
                return kind, size
        for end in range(len(words[0]), 2, -1):
            if kind := self.stems.get((language, words[0][:end])):
                return kind, 1
        return None, 1

    def clauses(self, text: str, language: str) -> Iterator[tuple[list[str | None], str | None]]:
        """The classes of the words of each clause, and what its sentence ends with, if that ends there."""
        clause, words = [], []
        for token in TOKEN.findall(plain(text)) + ["."]:
            if token[-1].isalnum() or token in "+-":
                if not (language == "fr" and token in ELIDED):
                    words.append(NUMBER.sub("0", token))
                continue
            while words:
                kind, size = self.kind(language, words)
                del words[:size]
                if kind == "stop":
                    yield clause, None
                    clause = []
                else:
                    clause.append(kind)
            yield clause, token if token[0] in ".!?\n" else None
            clause = []

    def features(self, text: str, language: str) -> tuple[list[int], int]:
        """How often each of FEATURES occurs, and the number of sentences."""
        found, sentence, sentences, words = collections.Counter(), collections.Counter(), 0, 0
        for clause, end in self.clauses(text, language):
            sentence.update(read(clause))
            words += len(clause)
            if end:
                # A question says nothing yet.
                found.update({} if "?" in end or "maybe" in sentence else sentence)
                sentences += words > 0
                words = 0
                sentence.clear()
        return [found[name] for name in FEATURES], sentences


def joined(between: list[str | None]) -> bool:
    return ("of" in between or "at" in between) and not any(kind in OPERATORS for kind in between)


def read(kinds: list[str | None]) -> list[str]:
    """The features of a clause, given the classes of its words, and "maybe" if it says nothing for sure."""
    # "Inflation fears", "fears of inflation", "tax on gains": the head stands for both.
    events: list[int] = []
    for at in (at for at, kind in enumerate(kinds) if kind in SIGN):
        if events and at == events[-1] + 1:
            events[-1] = at
        elif not (events and at <= events[-1] + REACH_JOINED and joined(kinds[events[-1] + 1 : at])):
            events.append(at)

    def nearest(at: int) -> int | None:
        """The event that the operator there is about: a preposition is in the way of one that follows."""
        before = (other for other in events if at - REACH <= other <= at)
        after = (other for other in events if at < other <= at + REACH_BEFORE and "at" not in kinds[at:other])
        return min((*before, *after), key=lambda other: (abs(other - at), other < at), default=None)

    events += [at for at, kind in enumerate(kinds) if kind in ("up", "down") and nearest(at) is None]
    # What the nearest operator says of each event (how far it is, whether it lowers it), and how often that is denied.
    said: dict[int, tuple[int, bool]] = {}
    denied = collections.Counter()
    for at, kind in enumerate(kinds):
        if kind not in OPERATORS or at in events:
            continue
        denies, place = kind in ("not", "no"), at
        if denies:
            # "N'est pas levée", but "ne baisse pas".
            near = (*range(at + 1, min(at + 1 + REACH_NOT, len(kinds))), at - 1)
            place = next((other for other in near if other in events or (other >= 0 and kinds[other] in OPERATORS)), None)
        about = None if place is None else nearest(place)
        if about is None:
            continue
        if denies:
            denied[about] += 1
        # "Not" denies what another operator says, "no" the event itself.
        if kind == "no":
            said.setdefault(about, (REACH + 1, False))
        elif not denies:
            lowers = kind in ("less", "down") or (kind == "mend" and kinds[about] == "harm")
            said[about] = min(said.get(about, (REACH + 1, True)), (abs(about - at), lowers))
    found = [kind for kind in kinds if kind in ("fine", "poor", "maybe")]
    for at in events:
        good = kinds[at] in ("good", "up")
        if at in said and said[at][1] != denied[at] % 2:
            found.append("letdown" if good else "relief")
        elif kinds[at] in ("up", "down"):
            found.append(kinds[at])
        elif at in said:
            found.append("better" if good else "worse")
    return found


# What the weights are learnt from: file, how much a text counts. The second third of the foreign sets was not learnt from by the network; of the posts
# of this project it was, so that it is too sure of them, and they count less.
LEARNT = {
    "en": {"turns_train_en.tsv": 1.0, "foreign_en.tsv": 1.0, "crypto_train.tsv": 0.3},
    "fr": {"turns_train_fr.tsv": 1.0, "foreign_fr.tsv": 1.0, "french_train.tsv": 0.3},
}
# The network reads English verbs of prices well.
UNUSED = {"en": ("up", "down")}
PENALTY, STEPS = 0.5, 8


def learn(folder: pathlib.Path, data: pathlib.Path | None) -> dict[str, dict[str, list[float]]]:
    """Weights by language and feature, in whole eighths of a logit: a logistic regression (L2) with the network's own logits as offset."""
    from scipy.optimize import minimize

    from calibrate import read_tsv
    from onnx_model import OnnxModel

    model = OnnxModel(folder)
    model.turns = None
    reader, weights = Turns(folder / "turns.words", {}), {}
    with tempfile.TemporaryDirectory() as scratch:
        if data:
            split = ["--data", data / "sentiment_more/labelled", "--third", "choose", "--out", scratch]
            subprocess.run([sys.executable, "-B", folder / "foreign.py", *split], check=True)
        for language, files in LEARNT.items():
            used = [name not in UNUSED.get(language, ()) for name in FEATURES]
            x, y, own, counts = [], [], [], []
            for name, weight in files.items():
                path = next((place / name for place in (folder, pathlib.Path(scratch)) if (place / name).is_file()), None)
                for label, text in zip(*read_tsv(path)[:2], strict=True) if path else ():
                    found, sentences = reader.features(text, language)
                    found = np.array(found) * used
                    if found.any():
                        x.append(found / max(found.sum(), sentences, 1))
                        y.append(label)
                        own.append(np.log(model.probabilities([text], language=language)[0][0] + 1e-12))
                        counts.append(weight)
            x, y, own, counts = np.array(x), np.array(y), np.array(own), np.array(counts)
            rows = np.arange(len(y))

            def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
                odds = np.exp(own + x @ flat.reshape(-1, 3))
                p = odds / odds.sum(1, keepdims=True)
                value = -(counts * np.log(p[rows, y] + 1e-12)).sum() + PENALTY * (flat**2).sum()
                p[rows, y] -= 1
                return value, (x.T @ (p * counts[:, None])).ravel() + 2 * PENALTY * flat

            fitted = minimize(loss, np.zeros(3 * len(FEATURES)), jac=True, method="L-BFGS-B").x.reshape(-1, 3)
            fitted = np.rint(fitted * STEPS) / STEPS + 0.0
            weights[language] = {name: row.tolist() for name, row in zip(FEATURES, fitted) if row.any()}
            print(f"{language}: {len(y)} texts with features; {weights[language]}")
    return weights


def real(folder: pathlib.Path, data: pathlib.Path, out: pathlib.Path) -> None:
    """Joins the labels of recorded texts (turns_labels.tsv: key, label, kind, language) with the texts."""
    from real_posts import key, texts

    wanted = {row[0]: row[1:] for row in (line.split("\t") for line in (folder / "turns_labels.tsv").read_text().splitlines())}
    found: dict[str, dict[str, str]] = collections.defaultdict(dict)
    more = data / "sentiment_more"
    lines = (line.rstrip("\n").split("\t")[-1] for path in sorted(more.glob("*/*.t[sx][vt]")) for line in open(path, encoding="utf-8"))
    for text in (text for source in (lines, texts(data / "recorded/posts")) for text in source):
        if row := wanted.get(key(text)):
            found[row[2]].setdefault(key(text), f"{row[0]}\t{' '.join(text.split())}\t{row[1]}\n")
    for language, rows in found.items():
        (out / f"turns_real_{language}.tsv").write_text("".join(rows[each] for each in sorted(rows)), encoding="utf-8")
    print(f"{sum(map(len, found.values()))} of {len(wanted)} labelled texts found", file=sys.stderr)


def main() -> None:
    here = pathlib.Path(__file__).parent
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--data", type=pathlib.Path)
    cli.add_argument("--version", help="of the whole model; without it nothing is written")
    cli.add_argument("--real", type=pathlib.Path)
    args = cli.parse_args()
    if args.real:
        return real(here, args.data, args.real)
    weights = learn(here, args.data)
    if args.version:
        path, digest = here / "model.json", hashlib.sha256((here / "turns.words").read_bytes()).hexdigest()
        card = json.loads(path.read_text(encoding="utf-8"))
        card |= {"version": args.version, "turns": {"file": "turns.words", "sha256": digest, "weights": weights}}
        path.write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
