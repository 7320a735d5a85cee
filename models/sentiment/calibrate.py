"""Temperatures and exit thresholds of an exported model; called by ``export.py``, or alone for a model that is there.

    python calibrate.py [--val VAL.tsv REALVAL.tsv] [--language en=VAL.tsv fr=french_val.tsv] --version 2.0.1 [--model DIR]

Temperature scaling (Guo et al. 2017) by exit, by minimising the log loss on the first file. An exit answers if its top
probability is so high that, of the even lines (0, 2, ...) of all files that would leave there, ``AGREEMENT`` get the label that the last exit gives them: no
labels needed, and no loss by construction. A language may have a temperature of its own, fitted on its file by the exits at which its texts leave;
where to leave is decided by the common ones all the same, so that it changes probabilities and not labels. Without --val the common ones stay as they are. All figures of quality are then measured by ``evaluate.py``, which judges the calibration on these files by fitting it anew on the other half.
"""

import argparse
import json
import pathlib

import numpy as np
from scipy.optimize import minimize_scalar

from labels import LABELS
from onnx_model import OnnxModel, softmax

AGREEMENT = 0.995

# Awkward texts, and the language that vigie is given.
GOLDEN_TEXTS = [
    ("BTC to the moon 🚀🚀", None),
    ("got absolutely rekt, account is gone 😭", None),
    ("Weekly discussion thread", None),
    ("@alice and @bob@example.social look: https://example.org/a?b=c, it\u2019s \u201cgreat\u201d", None),
    ("mail me at someone@example.org or www.example.org/x &amp; tell me &lt;why&gt;", None),
    ("WAGMI", None),
    ("Le café fermé, señor Müller: 買う BTC 吧", "fr"),
    ("this is awful ❤️ no wait, I love it 💔", None),
    ("UST lost its peg again and nobody from the team is talking", "en"),
    ("a\u0000b\u200bc \ufffd tab\tand\nline 👍🏽", None),
    ("Je garde mes ETH, le réseau tient bon et j'ai confiance", "fr"),
    ("Judge dismisses the lawsuit against the exchange. Its shares rose 1,234.5 points", "en"),
    ("L\u2019interdiction n'est pas levée : l'ether -5 %, le rebond s'essouffle", "fr"),
]


def read_tsv(path: str | pathlib.Path) -> tuple[np.ndarray, list[str], list[str]]:
    """Labels, texts, and the third column if there is one (the source), else an empty string."""
    with open(path, encoding="utf-8") as lines:
        rows = [line.rstrip("\n").split("\t") for line in lines]
    return np.array([LABELS.index(row[0]) for row in rows]), [row[1] for row in rows], [(row + [""])[2] for row in rows]


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    loss = lambda t: -np.log(softmax(logits, t)[np.arange(len(labels)), labels] + 1e-12).mean()
    return float(minimize_scalar(loss, bounds=(0.3, 5.0), method="bounded").x)


def exit_threshold(probabilities: np.ndarray, last: np.ndarray, agreement: float = AGREEMENT) -> float:
    """The least threshold from which on that share of labels agrees with the last exit's; 1 if there is none."""
    top, agrees = probabilities.max(-1), probabilities.argmax(-1) == last
    order = np.argsort(-top)
    share = np.cumsum(agrees[order]) / np.arange(1, len(order) + 1)
    enough = np.flatnonzero((share >= agreement) & (np.arange(len(order)) >= 50))
    return float(np.ceil(top[order][enough[-1]] * 1e4) / 1e4) if len(enough) else 1.0


def leaving(logits: np.ndarray, segments: list[dict]) -> np.ndarray:
    """The exit [texts] at which each leaves, of logits [exits, texts, 3]."""
    at = np.full(logits.shape[1], len(segments) - 1)
    for number in reversed(range(len(segments) - 1)):
        at[softmax(logits[number], segments[number]["temperature"]).max(-1) >= segments[number]["exit_at"]] = number
    return at


def own_temperature(logits: np.ndarray, labels: np.ndarray, segments: list[dict]) -> float:
    """One for all exits, of logits [exits, texts, 3]: some hundred texts are too few for one each (README.md)."""
    at = leaving(logits, segments)
    return fit_temperature(logits[at, np.arange(len(at))], labels)


def common_settings(card: dict, model: OnnxModel, files: list[str]) -> None:
    labels, texts, _ = read_tsv(files[0])
    first = model.every_exit(texts).astype(float)
    others = [model.every_exit(read_tsv(path)[1][0::2]).astype(float) for path in files[1:]]
    even = np.concatenate([first[:, 0::2], *others], axis=1)
    last = even[-1].argmax(-1)
    for number, segment in enumerate(card["segments"]):
        segment["temperature"] = round(fit_temperature(first[number], labels), 4)
        if number + 1 < len(card["segments"]):
            segment["exit_at"] = exit_threshold(softmax(even[number], segment["temperature"]), last)


def calibrate(card: dict, folder: pathlib.Path, files: list[str], languages: dict[str, str]) -> None:
    """Completes ``card``, writes it as model.json, and golden.json beside it; ``languages``: files by language code."""
    model = OnnxModel(folder, card)
    if files:
        common_settings(card, model, files)
    for language, path in sorted(languages.items()):
        labels, texts, _ = read_tsv(path)
        logits = model.every_exit(texts).astype(float)
        fitted = round(own_temperature(logits, labels, card["segments"]), 4)
        for segment in card["segments"]:
            segment.setdefault("temperatures", {})[language] = fitted
    (folder / "model.json").write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    golden = []
    for text, language in GOLDEN_TEXTS:
        row = model.probabilities([text], early_exit=False, language=language)[0][0].round(6).tolist()
        golden.append({"text": text, "language": language, "probabilities": row})
    (folder / "golden.json").write_text(json.dumps(golden, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(json.dumps(card["segments"], indent=1))


def main() -> None:
    here = pathlib.Path(__file__).parent
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--val", nargs="*", default=[])
    cli.add_argument("--language", nargs="*", default=[], help="CODE=FILE.tsv: languages with temperatures of their own")
    cli.add_argument("--version", required=True)
    cli.add_argument("--model", default=here, type=pathlib.Path)
    args = cli.parse_args()
    card = json.loads((args.model / "model.json").read_text(encoding="utf-8")) | {"version": args.version}
    calibrate(card, args.model, args.val, dict(pair.split("=", 1) for pair in args.language))


if __name__ == "__main__":
    main()
