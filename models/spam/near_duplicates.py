"""How well copies are found: edited copies of recorded posts, and pairs of different ones.

    python near_duplicates.py [--posts 1000]

Recall is measured on copies made here from posts of six words or more: a link at the end, an RT and a handle before, another case, one word
exchanged, three words more, a fifth cut off. False pairs are counted among pairs of recorded posts that have less than a tenth of their words in
common. SimHash over the same runs of three words with a distance of at most 3, after Manku, Jain and Das Sarma, is measured beside it.
Standard library only. What a post costs is measured by `cargo bench -p vigie-benches --bench identity`.
"""

import argparse
import hashlib
import itertools
import random
import re

import posts


def words(text):
    text = re.sub(r"https?://\S+|www\.\S+|@\w+", " ", text.lower())
    found = re.findall(r"[^\W_]+", text)
    return found[1:] if found[:1] == ["rt"] else found


def simhash(text):
    run = words(text)
    bits = [0] * 64
    for at in range(max(1, len(run) - 2)):
        digest = int.from_bytes(hashlib.blake2b(" ".join(run[at : at + 3]).encode(), digest_size=8).digest(), "big")
        for bit in range(64):
            bits[bit] += 1 if digest >> bit & 1 else -1
    return sum(1 << bit for bit in range(64) if bits[bit] > 0)


def near(one, other):
    return one is not None and other is not None and sum(a == b for a, b in zip(one, other, strict=True)) >= 2


def close(one, other):
    return (one ^ other).bit_count() <= 3


def one_word(text, vocabulary, rng):
    parts = text.split()
    parts[rng.randrange(len(parts))] = rng.choice(vocabulary)
    return " ".join(parts)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--posts", type=int, default=1000)
    args = parser.parse_args()
    rng = random.Random(7)
    texts = [text for text in dict.fromkeys(text for _, _, text in posts.read(posts.folder())) if len(words(text)) >= 6]
    rng.shuffle(texts)
    vocabulary = [word for text in texts[:300] for word in words(text)]
    chosen = texts[: args.posts]
    edits = {
        "link at the end": lambda text: f"{text} https://t.co/{rng.getrandbits(40):x}",
        "RT before": lambda text: f"RT @someone: {text}",
        "another case": str.upper,
        "one word exchanged": lambda text: one_word(text, vocabulary, rng),
        "three words more": lambda text: f"{text} read more here",
        "a fifth cut off": lambda text: text[: len(text) * 4 // 5],
    }
    # What must be distinguished; recorded posts hold copies of each other, so only pairs that share few words count as different.
    ask = [{"text": text, "author": None} for text in chosen]
    originals = [answer["bands"] for answer in posts.judge(ask)]
    hashes = [simhash(text) for text in chosen]
    print(f"{len(chosen)} posts")
    for name, edit in edits.items():
        copies = [edit(text) for text in chosen]
        answers = [answer["bands"] for answer in posts.judge([{"text": text, "author": None} for text in copies])]
        ours = sum(near(a, b) for a, b in zip(originals, answers, strict=True)) / len(chosen)
        theirs = sum(close(a, simhash(text)) for a, text in zip(hashes, copies, strict=True)) / len(chosen)
        print(f"{name}: recall {ours:.3f} (SimHash {theirs:.3f})")
    sets = [set(words(text)) for text in chosen]
    pairs = wrong = theirs = 0
    for a, b in itertools.combinations(range(len(chosen)), 2):
        if len(sets[a] & sets[b]) * 10 < len(sets[a] | sets[b]):
            pairs += 1
            wrong += near(originals[a], originals[b])
            theirs += close(hashes[a], hashes[b])
    print(f"{pairs} pairs of different posts: {wrong} taken for copies (SimHash {theirs})")


if __name__ == "__main__":
    main()
