"""Labelled posts of other topics, platforms and years, which may not be redistributed: to learn from, to choose by, and to be judged by.

    python foreign.py --data DIR --third choose|final --out OUT      # writes OUT/foreign_en.tsv and OUT/foreign_fr.tsv
    python foreign.py --data DIR --mix OUT.tsv                        # texts of the first third, for train.py

DIR has a file ``SET.tsv`` (label, tab, text) for each of ``SETS``. Each is cut into thirds by the SHA-256 of the text: the first is learnt from, by the second
checkpoints are chosen, the last is only measured (``./dev eval``). Output: label, text, set.
"""

import argparse
import hashlib
import pathlib

THIRDS = ("train", "choose", "final")
AT_MOST = {"choose": 400, "final": 300}
# How many texts of each set are learnt from: enough to be heard, few enough that no labelling convention rules.
SETS = {
    "airline": 450, "apple_dfe": 450, "brands_products": 500, "cryptolin_news": 500, "financial_phrasebank_50": 600, "goemotions_polarity": 1500,
    "sanders": 350, "selfdriving_dfe": 500, "semeval2018_valence": 354, "stocktwits_human": 300, "tweet_sentiment_extraction": 1500,
    "twitter_financial_news": 450, "xlmt_french": 641,
}  # fmt: skip
FRENCH = ("xlmt_french",)


def third(path: pathlib.Path, wanted: str, at_most: int | None) -> list[str]:
    """Lines ``label, text, set`` of that third, in the order of the texts' hashes."""
    rows = []
    for line in path.read_text(encoding="utf-8").rstrip("\n").split("\n"):
        label, _, text = line.partition("\t")
        text = " ".join(text.split())
        digest = hashlib.sha256(text.encode()).hexdigest()
        if THIRDS[int(digest[:8], 16) % 3] == wanted:
            rows.append((digest, f"{label}\t{text}\t{path.stem}\n"))
    return [row for _, row in sorted(rows)[:at_most]]


def split(data: pathlib.Path, wanted: str, out: pathlib.Path) -> dict[str, pathlib.Path]:
    """The files written, by language."""
    files = {}
    for language in ("en", "fr"):
        names = [name for name in SETS if (name in FRENCH) == (language == "fr")]
        files[language] = out / f"foreign_{language}.tsv"
        rows = [row for name in names for row in third(data / f"{name}.tsv", wanted, AT_MOST.get(wanted))]
        files[language].write_text("".join(rows), encoding="utf-8")
    return files


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--data", required=True, type=pathlib.Path)
    cli.add_argument("--third", choices=THIRDS, default="final")
    cli.add_argument("--out", type=pathlib.Path)
    cli.add_argument("--mix", type=pathlib.Path)
    args = cli.parse_args()
    if args.mix:
        args.mix.write_text("".join(row for name, texts in SETS.items() for row in third(args.data / f"{name}.tsv", "train", texts)), encoding="utf-8")
    elif args.out:
        split(args.data, args.third, args.out)
    else:
        cli.error("--out or --mix is needed")


if __name__ == "__main__":
    main()
