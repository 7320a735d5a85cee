"""Choose the words and emoji that get a token of their own: prints ``vocabulary.txt``.

    python vocabulary.py --english FILE... --french FILE... --base-tokenizer TOKENIZER.json > vocabulary.txt

The vocabulary of the base model has 994 unused tokens; posts about crypto assets use emoji, slang and tickers that it lacks. A
word is chosen by how many tokens it would save in the files (labelled lines ``label<TAB>text``, or JSON lists of texts), an
emoji by its frequency. Each line of the output: the word, and after a tab, for an emoji, the English words it begins as.
"""

import argparse
import collections
import json
import re
import unicodedata

from tokenizers import Tokenizer

from text_tokenizer import EMOJI_PATTERN, EMOJI_WORDS, build

SLOTS, EMOJI, ENGLISH = 994, 300, 430
# Chosen by hand: slang that weighs more than its frequency.
SLANG = """wagmi ngmi rekt hodl hodlers hopium copium degen degens jeet jeets shill shilling shilled rugpull rugpulled rugged depeg
depegged bagholder bagholders memecoin memecoins altseason lfg btfd fren frens mooning moonshot aped dumping dumped whales perps longs shorts
dex tvl l2 rollup rollups testnet mainnet validator validators slashing slashed bridged multisig quorum airdropped stablecoins liquidations
liquidated airdrop gm gn nft nfts dao dyor fud fomo btc eth usdt usdc lol lmao smh wtf ath pnl etf sec""".split()


def texts_of(path: str) -> list[str]:
    with open(path, encoding="utf-8") as lines:
        if path.endswith(".json"):
            return [row if isinstance(row, str) else row[0] for row in json.load(lines)]
        return [line.rstrip("\n").split("\t")[1] for line in lines]


def split_words(tokenizer: Tokenizer, files: list[list[str]], least: int) -> list[str]:
    """Words of several tokens, those that would save most first. They must occur in every file: a name of the day does not."""
    total, places = collections.Counter(), collections.Counter()
    for texts in files:
        counts = collections.Counter()
        for text in texts:
            normal = tokenizer.normalizer.normalize_str(text)
            counts.update({word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(normal)})
        total.update(counts)
        places.update(word for word, count in counts.items() if count >= 2)
    saved = {}
    for word, count in total.items():
        if count >= least and places[word] >= min(2, len(files)) and re.fullmatch(r"[a-z][a-z0-9]+", word):
            pieces = len(tokenizer.encode(word, add_special_tokens=False).ids)
            if pieces > 1:
                saved[word] = count * (pieces - 1)
    return sorted(saved, key=lambda word: (-saved[word], word))


def begins_as(emoji: str) -> str:
    skip = {"face", "with", "sign", "of", "symbol", "and", "the", "black", "white", "heavy"}
    words = [word for word in unicodedata.name(emoji, "symbol").lower().replace("-", " ").split() if word not in skip]
    return EMOJI_WORDS.get(emoji) or " ".join(words[:3]) or "symbol"


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__)
    cli.add_argument("--english", nargs="+", required=True)
    cli.add_argument("--french", nargs="+", required=True)
    cli.add_argument("--base-tokenizer", required=True)
    args = cli.parse_args()
    with open(args.base_tokenizer, encoding="utf-8") as source:
        tokenizer = Tokenizer.from_str(json.dumps(build(source.read(), [])))
    english, french = [texts_of(path) for path in args.english], [texts_of(path) for path in args.french]

    every = [text for texts in english + french for text in texts]
    seen = collections.Counter(char for text in every for char in set(re.findall(EMOJI_PATTERN, text)))
    order = sorted(seen, key=lambda char: (char not in EMOJI_WORDS, -seen[char], char))
    emoji = [char for char in order if not 0x1F1E6 <= ord(char) <= 0x1F1FF and unicodedata.category(char) == "So"]
    for char in emoji[:EMOJI]:
        print(f"{char}\t{begins_as(char)}")
    base = tokenizer.get_vocab()
    words = list(dict.fromkeys(word for word in SLANG if word not in base))
    words += [word for word in split_words(tokenizer, english, 25) if word not in words][: ENGLISH - len(words)]
    words += [word for word in split_words(tokenizer, french, 2) if word not in words]
    print("\n".join(words[: SLOTS - EMOJI]))


if __name__ == "__main__":
    main()
