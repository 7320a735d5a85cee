"""The scorer of processors/src/assets/context.rs, written a second time: what the words around a candidate say.

Standard library only. `models/assets/train.py` trains on these features.
"""

import re
from bisect import bisect_left, bisect_right
from functools import lru_cache
from pathlib import Path

WEIGHTS = Path(__file__).parents[2] / "processors/assets/context.bin"
MAGIC = b"VIGC\x01"
TICKER, NAME, SHARE = range(3)
SPACE = " \t\n\x0b\x0c\r"
REACH = 12
UPPER, LOWER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz"
SMALL = str.maketrans(UPPER, LOWER)
WORD = re.compile(r"[0-9A-Za-z_\u00c0-\u024f]+")
URL_END = re.compile(r"[ \t\n\x0b\x0c\r]|\Z")
ALL = 0xFFFFFFFF
NOTHING = 1


@lru_cache(maxsize=500_000)
def fnv(token):
    value = 0x811C9DC5
    for byte in token.encode():
        value = (value ^ byte) * 0x01000193 & ALL
    return value


def pair(first, second):
    return (first * 0x01000193 ^ second) & ALL


def place(slot, value, bits):
    value = (value + slot * 0x9E3779B1) & ALL
    value ^= value >> 16
    value = value * 0x85EBCA6B & ALL
    value ^= value >> 13
    value = value * 0xC2B2AE35 & ALL
    return (value ^ value >> 16) & ((1 << bits) - 1)


def shape(word):
    """1 small, 2 with a capital, 3 in capitals, 4 with a digit ahead; 0 is anything else."""
    if word[0].isascii() and word[0].isdigit():
        return 4
    if word[0] not in UPPER:
        return 1
    return 3 if len(word) > 1 and not any(c in LOWER for c in word) else 2


@lru_cache(maxsize=500_000)
def written(word):
    return fnv(re.sub("[0-9]+", "0", word.translate(SMALL))), shape(word)


def tokens(text):
    """(start, end, hash, shape) of the words and signs of a text."""
    found, at, last = [], 0, ""
    while at < len(text):
        here = text[at]
        if here in SPACE:
            at, last = at + 1, ""
            continue
        word = WORD.match(text, at)
        if word:
            end = word.end()
            if word.group().translate(SMALL) in ("http", "https") and text.startswith("://", end):
                end = URL_END.search(text, end).start()
                found.append((at, end, fnv("http"), 1))
            else:
                found.append((at, end, *written(word.group())))
            at, last = end, ""
            continue
        word = WORD.match(text, at + 1) if here in "$@#" else None
        if word and here == "#":
            at, last = at + 1, ""
        elif word and here == "@":
            found.append((at, word.end(), fnv("@user"), 1))
            at, last = word.end(), ""
        elif word and text[at + 1] in UPPER + LOWER:
            found.append((at, word.end(), fnv("$" + re.sub("[0-9]+", "0", word.group().translate(SMALL))), 0))
            at, last = word.end(), ""
        else:
            if here != last:
                found.append((at, at + 1, fnv(here), 0))
            at, last = at + 1, here
    return found


def form(piece):
    """0 small, 1 with one capital ahead, 2 in capitals, 3 mixed."""
    upper, lower = sum(c in UPPER for c in piece), sum(c in LOWER for c in piece)
    if not upper:
        return 0
    if not lower:
        return 2
    return 1 if upper == 1 and piece[0] in UPPER else 3


def features(text, found, start, end, kind, identity, others, shouted, bits):
    """Places of the weights that speak for and against text[start:end]; `found` are its tokens."""
    before = bisect_right([one[1] for one in found], start)
    after = bisect_left([one[0] for one in found], end, before)
    around = (before - 1, before - 2, before - 3, after, after + 1, after + 2)
    beyond = (0, 0, NOTHING, 5)
    known = [found[at] if 0 <= at < len(found) else beyond for at in around]
    near, looks = [one[2] for one in known], [one[3] for one in known]
    piece = text[start:end]
    values = [0, *near, pair(near[1], near[0]), pair(near[3], near[4]), pair(near[0], near[3])]
    values.append(form(piece) * 36 + looks[0] * 6 + looks[3])
    values += [min(others, 3), int(shouted)]
    slots = list(enumerate(values))
    if identity:
        slots.append((14, pair(fnv(piece.translate(SMALL)), form(piece))))
    bag = found[max(0, before - REACH) : before] + found[after : after + REACH]
    slots += [(15, one[2]) for one in bag]
    return [place(kind * 16 + slot, value, bits) for slot, value in slots]


class Scorer:
    """The weights, as 32nds of a logit."""

    def __init__(self, path=WEIGHTS):
        data = Path(path).read_bytes()
        if data[:5] != MAGIC:
            raise ValueError(f"{path}: expected the weights of the context scorer")
        self.bits, self.weights = data[5], data[6:]
        if len(self.weights) != 1 << self.bits:
            raise ValueError(f"{path}: expected {1 << self.bits} weights, found {len(self.weights)}")

    def score(self, text, found, *candidate):
        at = features(text, found, *candidate, self.bits)
        return sum((self.weights[one] ^ 128) - 128 for one in at)
