"""Trains the scorer of contexts: writes processors/assets/context.bin.

    python train.py [--data DIR] [--out FILE]

DIR holds `sentiment_more` and `recorded` (VIGIE_TEST_DATA, or ../shared/data beside the repository). Needs numpy, see requirements.txt.

Nothing is labelled by hand. A ticker is meant where the writer set a dollar sign before it, which is taken away; a name, where it means nothing
else. Nothing is meant by what looks like a ticker or name in posts that are not about crypto, by capitals in crypto posts that never carry a dollar
sign, and by words there that happen to have a capital. A share is meant by cashtags of posts about shares. Which asset it is stays hidden, but for
strings that are also words; those are meant where an unambiguous string of the same asset is in the post. `phrases.tsv` adds turns of speech of both
kinds, with the candidate in brackets, repeated amid other texts. The posts that measure, and those that begin as they do, are left out.
"""

import argparse
import os
import random
import re
import sys
from collections import Counter
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests/python"), str(Path(__file__).parent)]
from asset_context import MAGIC, NAME, SHARE, TICKER, UPPER, WORD, features, tokens  # noqa: E402
from asset_rules import FOLD, NAMES, TICKERS, Assets  # noqa: E402
from evaluate import RECORDED, recorded_texts, rows  # noqa: E402

BITS = 18
# Where `features` puts the place of the string.
STRING_AT = 13
STEPS = 32
# How often each phrase is used.
REPEATS = 80
# The weights are the mean of those after so many epochs, the last.
AVERAGED = 3
CRYPTO = ("crypto_tweets_cryptop12", "crypto_tweets_influencers", "crypto_reddit_daily", "crypto_tweets_misc", "crypto_reddit_misc")
FORUMS = ("CoinBase", "CryptoMarkets", "BitcoinBeginners")
SHARES = ("finance_stocknet_tweets", "finance_stocktwits_untagged")
GENERAL = ("sentiment140", "tweeteval_other_tasks", "french_tweets")
LABELLED = (
    "goemotions_polarity", "tweet_sentiment_extraction", "airline", "financial_phrasebank_50", "emoji_tweeteval", "brands_products",
    "selfdriving_dfe", "fr_machine_translated_distant",
)
MONEY = set("USD EUR GBP JPY CNY KRW INR CAD AUD CHF RUB TRY USDT GOLD CBOE CME".split())
# Names that others bear too are no sure names in training.
LEFT_OUT = {"ether", "eth", "btc", "bitcoin", "tether", "lumens"}
ABOUT_CRYPTO = re.compile(r"bitcoin|\bbtc|crypto|ethereum|blockchain|altcoin|binance|\bnft|\bdefi\b|airdrop|token|\bcoins?\b", re.IGNORECASE)
COIN_TAG = re.compile(r"\$([A-Z0-9]+)\.X\b")
CASHTAG = re.compile(r"(?<![\w$])\$([A-Za-z][A-Za-z0-9]{1,9})\b")


def lines(data):
    """(domain, text) of everything that may be trained on."""
    more = data / "sentiment_more"
    for domain, names in (("crypto", CRYPTO), ("shares", SHARES), ("general", GENERAL)):
        for name in names:
            with (more / f"unlabelled/{name}.txt").open(encoding="utf-8") as file:
                yield from ((domain, line.rstrip("\n")) for line in file)
    for name in LABELLED:
        with (more / f"labelled/{name}.tsv").open(encoding="utf-8") as file:
            yield from (("general", line.rstrip("\n").split("\t", 1)[1]) for line in file)
    with (more / "labelled/stocktwits_users.tsv").open(encoding="utf-8") as file:
        for line in file:
            text = line.rstrip("\n").split("\t", 1)[1]
            coins = COIN_TAG.sub(r"$\1", text)
            yield ("shares", text) if coins == text else ("crypto", coins)
    posts = data / "recorded/posts"
    for forum in FORUMS:
        yield from (("crypto", text) for _, text in rows(posts / f"reddit_{forum}_2022-05_part1.tar.gz") if text)
    for _, text in rows(posts / "cryptonews_headlines.csv"):
        yield from (("crypto", part) for part in text.split("\n"))


def trained(data):
    """What `lines` gives, once, without the posts that measure: those whose letters begin as theirs do. Crypto is none of the general domain."""
    kept = set()
    for path in Path(__file__).parent.glob("*.tsv"):
        named = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
        if path.stem in RECORDED:
            texts = recorded_texts(data / "recorded/posts", {row[0] for row in named})
            kept |= {beginning(part) for row in named for text in texts.get((row[0], row[1]), ()) for part in (text, *text.split("\n"))}
    for domain, text in dict.fromkeys(lines(data)):
        if not (beginning(text) in kept or (domain == "general" and ABOUT_CRYPTO.search(text))):
            yield domain, text


def beginning(text):
    return re.sub(r"http\S*|@\w+|[^a-z]", "", text.lower())[:60]


class Strings:
    """What the strings of the table may be, and which words of the texts are none of them."""

    def __init__(self, texts):
        table = Assets().entries
        self.table = table
        self.sure = {t for e in table.values() for t in e.get("tickers", ())}
        self.names = {s for s, e in table.items() if e.get("names") and " " not in s and len(s) >= 5 and s.isascii()}
        self.weak = {s for s, e in table.items() if e.get("asset") and not e.get("tickers") and not e.get("names")}
        words, self.tagged, self.bare = Counter(), Counter(), Counter()
        for domain, text in texts:
            words.update(WORD.findall(text))
            if domain == "crypto":
                self.tagged.update(tag.upper() for tag in CASHTAG.findall(text))
                self.bare.update(word for word in WORD.findall(text) if word.isupper())
        self.ordinary = {w for w in words if w.islower() and words[w] > 30 and words[w] > 2 * words[w.capitalize()]}

    def in_table(self, word):
        return bool(self.table.get(word.translate(FOLD), {}).get("asset"))

    def owner(self, word):
        """The asset that a word can only mean."""
        entry = self.table.get(word.translate(FOLD), {})
        return entry["asset"] if word in self.sure or (entry.get("names") and len(word) > 4) else None

    def is_no_ticker(self, word):
        return self.tagged[word] < 3 and word not in MONEY and not self.in_table(word) and 2 <= len(word) <= 5


def examples(domain, text, strings, rng):
    """(start, end, kind, identity, label, text without the candidate's sign) of some candidates of a text."""
    found = []
    vouched = {strings.owner(word) for word in WORD.findall(text)} if domain == "crypto" else ()
    for match in WORD.finditer(text):
        start, end, word = match.start(), match.end(), match.group()
        sign = text[start - 1] if start else " "
        small = word.lower()
        capital, upper = word[0] in UPPER, word.isupper() and len(word) > 1
        weak = small in strings.weak
        if sign in "@/._" or text[end : end + 3] == "://":
            continue
        if sign == "$" and word[0].isalpha():
            ticker = strings.table.get(small)
            if domain == "crypto" and ticker and any(ticker.get(field) for field in TICKERS):
                keep = 0.15 if small == "btc" else 0.6
                if rng.random() < keep:
                    found.append((start, end, TICKER, weak, 1))
                    if rng.random() < 0.4:
                        found.append((start, end, NAME, False, 1))
                if rng.random() < 0.25:
                    found.append((start, end, SHARE, False, 1))
            elif domain == "shares" and not (ticker and ticker.get("tickers")) and rng.random() < 0.5:
                found.append((start, end, SHARE, False, 0))
            continue
        if sign in "$#":
            continue
        if domain == "crypto":
            if word in strings.sure and not (word == "BTC" and rng.random() > 0.1):
                found.append((start, end, TICKER, False, 1))
            elif capital and small in strings.names and not (small == "bitcoin" and rng.random() > 0.06):
                found.append((start, end, NAME, False, 1))
            elif small == "bitcoin":
                continue
            elif weak and capital and strings.table[small]["asset"] in vouched:
                # Its asset is named beside it: `Avalanche (AVAX)`.
                entry = strings.table[small]
                found.append((start, end, TICKER if upper and any(entry.get(field) for field in TICKERS) else NAME, True, 1))
            elif upper and strings.is_no_ticker(word) and rng.random() < 0.35:
                found.append((start, end, TICKER, False, 0))
            elif upper and weak and strings.tagged[word] < 0.05 * strings.bare[word] and rng.random() < 0.6:
                found.append((start, end, TICKER, True, 0))
            elif capital and not upper and small in strings.ordinary and rng.random() < 0.06:
                found.append((start, end, NAME, weak, 0))
        elif domain == "general":
            entry = strings.table.get(small, {}) if weak else {}
            if weak and capital and not upper and any(entry.get(field) for field in NAMES):
                found.append((start, end, NAME, True, 0))
            elif weak and (upper or (entry.get("lower") and rng.random() < 0.5)):
                found.append((start, end, TICKER, True, 0))
            elif upper and len(word) <= 5 and not strings.in_table(word) and rng.random() < 0.3:
                found.append((start, end, TICKER, False, 0))
            elif capital and not upper and small in strings.ordinary and rng.random() < 0.03:
                found.append((start, end, NAME, False, 0))
    return found


def varied(text, start, end, kind, strings, rng):
    """The text as others might have written it: signs gone, small, loud, short."""
    marked = text[:start] + "\x01" + text[start:end] + "\x02" + text[end:]
    marked = marked.replace("$\x01", "\x01")
    if rng.random() < 0.5:
        marked = re.sub(r"[$#](?=[A-Za-z])", "", marked)
    chance = rng.random()
    if kind != SHARE and chance < 0.12:
        marked = marked.lower()
    elif kind != SHARE and chance < 0.16:
        marked = marked.upper()
    if rng.random() < 0.35:
        words = marked.split(" ")
        at = next(index for index, word in enumerate(words) if "\x01" in word)
        marked = " ".join(words[max(0, at - rng.randint(0, 4)) : at + rng.randint(2, 6)])
    start, end = marked.index("\x01"), marked.index("\x02") - 1
    text = marked.replace("\x01", "").replace("\x02", "")
    others = {w.lower() for w in WORD.findall(text[:start] + " " + text[end:]) if w in strings.sure or w.lower() in strings.names}
    upper, lower = sum("A" <= c <= "Z" for c in text), sum("a" <= c <= "z" for c in text)
    return text, start, end, len(others - {text[start:end].lower()}), upper + lower >= 16 and upper >= 4 * lower


def phrases(texts, rng):
    """(text, start, end, kind, identity, label) of the written phrases, with bits of other texts around some."""
    for line in (Path(__file__).parent / "phrases.tsv").read_text(encoding="utf-8").splitlines():
        written_kind, label, phrase = line.split("\t")
        for _ in range(REPEATS):
            kind = written_kind
            ahead, _, rest = phrase.partition("[")
            string, _, behind = rest.partition("]")
            if string == "X":
                kind = rng.choice(("ticker", "name"))
                string = rng.choice(("ABC", "ABCD", "ABC", "abc") if kind == "ticker" else ("Abc", "Abcd"))
            if rng.random() < 0.4:
                words = rng.choice(texts)[1].split()
                at = rng.randrange(max(1, len(words) - 4))
                bit = " ".join(words[at : at + rng.randint(3, 8)])
                ahead, behind = (bit + ". " + ahead, behind) if rng.random() < 0.5 else (ahead, behind + ". " + bit)
            yield ahead + string + behind, len(ahead), len(ahead + string), TICKER if kind == "ticker" else NAME, label == "-", int(label == "+")


def rows_of(data, rng):
    texts = list(trained(data))
    rng.shuffle(texts)
    strings = Strings(texts)
    rows, labels, kinds, named = [], [], [], set()
    found = []
    for domain, text in texts:
        chosen = examples(domain, text, strings, rng)
        found += [(text, *one) for one in rng.sample(chosen, min(3, len(chosen))) for _ in range(2)]
    found += phrases(texts, rng)
    rng.shuffle(found)
    for text, start, end, kind, identity, label in found:
        piece = text[start:end]
        if kind == NAME and label and piece.isupper():
            # The words around a ticker may be around a name.
            piece = piece.capitalize()
            text = text[:start] + piece + text[end:]
        text, start, end, others, shouted = varied(text, start, end, kind, strings, rng)
        identity = identity and text[start:end] == piece and rng.random() < 0.5
        rows.append(features(text, tokens(text), start, end, kind, identity, others, shouted, BITS))
        if identity:
            named.add(rows[-1][STRING_AT])
        labels.append(label)
        kinds.append(kind)
    return rows, np.array(labels, dtype=np.float64), np.array(kinds), np.array(sorted(named))


def fit(rows, labels, kinds, named, epochs=6, batch=2000, rate=0.15, shrink=3e-6):
    """Logistic regression by AdaGrad; both labels of a kind weigh the same. The weights at `named`, of strings, stay within a logit of 0."""
    lengths = np.array([len(row) for row in rows])
    flat = np.fromiter((one for row in rows for one in row), dtype=np.int64, count=lengths.sum())
    ends = np.concatenate([[0], lengths.cumsum()])
    size = 1 << BITS
    seen = np.bincount(flat, minlength=size) >= 4
    share = np.zeros(len(rows))
    for kind in np.unique(kinds):
        for label in (0.0, 1.0):
            chosen = (kinds == kind) & (labels == label)
            share[chosen] = (kinds == kind).sum() / 2 / max(1, chosen.sum())
            print(f"kind {kind}, label {label:.0f}: {chosen.sum()} examples", file=sys.stderr)
    weights, squares = np.zeros(size), np.full(size, 1e-6)
    order, mean = np.random.default_rng(1).permutation, np.zeros(size)
    for epoch in range(epochs):
        loss = 0.0
        groups = np.array_split(order(len(rows)), len(rows) // batch + 1)
        for group in groups:
            at = np.concatenate([flat[ends[i] : ends[i + 1]] for i in group])
            owner = np.repeat(np.arange(len(group)), lengths[group])
            logits = np.bincount(owner, weights=weights[at], minlength=len(group))
            chance = 1 / (1 + np.exp(-logits))
            wanted, weight = labels[group], share[group]
            loss -= (weight * np.log(np.clip(np.where(wanted > 0, chance, 1 - chance), 1e-9, 1))).sum()
            slope = np.bincount(at, weights=(weight * (chance - wanted))[owner], minlength=size) / len(group)
            slope += shrink * weights
            slope[~seen] = 0
            squares += slope * slope
            weights -= rate * slope / np.sqrt(squares)
            weights[named] = np.clip(weights[named], -1, 1)
        mean += weights * (epoch >= epochs - AVERAGED) / AVERAGED
        print(f"epoch {epoch}: loss {loss / len(rows):.4f}", file=sys.stderr)
    return mean


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("VIGIE_TEST_DATA") or ROOT.parent / "shared/data"))
    parser.add_argument("--out", type=Path, default=ROOT / "processors/assets/context.bin")
    options = parser.parse_args()
    rows, labels, kinds, named = rows_of(options.data, random.Random(16))
    cut = len(rows) * 19 // 20
    weights = fit(rows[:cut], labels[:cut], kinds[:cut], named)
    bytes_of = np.clip(np.round(weights * STEPS), -127, 127).astype(np.int8)
    options.out.write_bytes(MAGIC + bytes([BITS]) + bytes_of.tobytes())
    scores = np.array([bytes_of[row].astype(int).sum() for row in rows[cut:]]) if cut < len(rows) else np.zeros(0)
    for kind in (TICKER, NAME, SHARE):
        chosen = kinds[cut:] == kind
        right = ((scores > 0) == (labels[cut:] > 0))[chosen].mean()
        print(f"kind {kind}: {right:.3f} right of {chosen.sum()} examples that were set aside")


if __name__ == "__main__":
    main()
