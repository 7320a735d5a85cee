"""Measure the committed sentiment model on labelled posts, as vigie runs it, beside baselines.

    python evaluate.py [FILE.tsv ...] [--model DIR] [--json OUT]      lines: label, text, and optionally a source, tab-separated

For each file: accuracy, macro-recall (the measure of SemEval and TweetEval) with a 95 % bootstrap interval, macro-F1, recall by class, the
confusion matrix by source, expected calibration error (15 equal-width bins of the top probability; odd lines only, since ``calibrate.py``
used the even ones), and the same with every post read by all layers. Baselines: VADER (Hutto and Gilbert 2014, thresholds +-0.05), the most
frequent class, and the null: the model's answers shuffled. Then texts per second of one thread, by exit.
"""

import argparse
import json
import pathlib
import time

import numpy as np

from calibrate import read_tsv
from labels import LABELS
from onnx_model import OnnxModel

RESAMPLES = 1000


def macro_recall(labels: np.ndarray, guess: np.ndarray) -> float:
    return float(np.mean([(guess[labels == k] == k).mean() for k in np.unique(labels)]))


def interval(labels: np.ndarray, guess: np.ndarray) -> list[float]:
    rng = np.random.default_rng(1)
    draws = rng.integers(0, len(labels), (RESAMPLES, len(labels)))
    return [round(float(q), 4) for q in np.quantile([macro_recall(labels[d], guess[d]) for d in draws], [0.025, 0.975])]


def calibration_error(probability: np.ndarray, labels: np.ndarray, bins: int = 15) -> float:
    top, hit = probability.max(1), probability.argmax(1) == labels
    which = np.minimum((top * bins).astype(int), bins - 1)
    return float(sum((which == b).mean() * abs(top[which == b].mean() - hit[which == b].mean()) for b in np.unique(which)))


def scores(labels: np.ndarray, guess: np.ndarray) -> dict:
    recall = [float((guess[labels == k] == k).mean()) for k in range(3)]
    precision = [float((labels[guess == k] == k).mean()) if (guess == k).any() else 0.0 for k in range(3)]
    f1 = [2 * p * r / (p + r) if p + r else 0.0 for p, r in zip(precision, recall)]
    return {
        "texts": len(labels),
        "accuracy": round(float((guess == labels).mean()), 4),
        "macro_recall": round(macro_recall(labels, guess), 4),
        "interval": interval(labels, guess),
        "macro_f1": round(float(np.mean(f1)), 4),
        "recall": {name: round(r, 4) for name, r in zip(LABELS, recall)},
    }


def confusion(labels: np.ndarray, guess: np.ndarray) -> list[list[int]]:
    """Rows: the truth, columns: the answer."""
    return [[int(((labels == row) & (guess == column)).sum()) for column in range(3)] for row in range(3)]


def vader(texts: list[str]) -> np.ndarray | None:
    try:
        from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer
    except ImportError:
        return None
    analyser = SentimentIntensityAnalyzer()
    compound = np.array([analyser.polarity_scores(text)["compound"] for text in texts])
    return np.where(compound >= 0.05, 2, np.where(compound <= -0.05, 0, 1))


def evaluate(model: OnnxModel, path: str) -> dict:
    labels, texts, sources = read_tsv(path)
    started = time.perf_counter()
    probability, left = model.probabilities(texts)
    seconds = time.perf_counter() - started
    started = time.perf_counter()
    whole, _ = model.probabilities(texts, early_exit=False)
    whole_seconds = time.perf_counter() - started
    guess, whole_guess = probability.argmax(1), whole.argmax(1)
    out = scores(labels, guess)
    out["calibration_error"] = round(calibration_error(probability[1::2], labels[1::2]), 4)
    out["all_layers"] = {
        "macro_recall": round(macro_recall(labels, whole_guess), 4),
        "same_label": round(float((guess == whole_guess).mean()), 4),
        "texts_per_second": round(len(texts) / whole_seconds),
    }
    out["texts_per_second"] = round(len(texts) / seconds)
    out["left_at_exit"] = [round(float(share), 3) for share in left / left.sum()]
    shuffled = np.random.default_rng(2).permutation(guess)
    baselines = {"most frequent class": np.full(len(labels), np.bincount(labels).argmax()), "answers shuffled": shuffled}
    if (answers := vader(texts)) is not None:
        baselines["VADER"] = answers
    out["baselines"] = {name: round(macro_recall(labels, answers), 4) for name, answers in baselines.items()}
    groups = {source.split("_post")[0].split("_comment")[0] or "all" for source in sources}
    member = {group: np.array([(source or "all").startswith(group) for source in sources]) for group in groups}
    out["by_source"] = {
        group: {"macro_recall": round(macro_recall(labels[of], guess[of]), 4), "confusion": confusion(labels[of], guess[of])}
        for group, of in sorted(member.items())
    }
    return out


def print_report(name: str, r: dict) -> None:
    print(f"\n{name}: {r['texts']} texts")
    low, high = r["interval"]
    print(f"  macro-recall {r['macro_recall']:.3f} [{low:.3f}, {high:.3f}], accuracy {r['accuracy']:.3f}, macro-F1 {r['macro_f1']:.3f}")
    print("  recall " + ", ".join(f"{label} {value:.3f}" for label, value in r["recall"].items()))
    print("  baselines " + ", ".join(f"{label} {value:.3f}" for label, value in r["baselines"].items()))
    print(f"  calibration error {r['calibration_error']:.3f} (odd lines)")
    a = r["all_layers"]
    print(f"  left at exits {r['left_at_exit']}: {r['texts_per_second']} texts/s; all layers: {a['texts_per_second']} texts/s, "
          f"macro-recall {a['macro_recall']:.3f}, same label {a['same_label']:.3f}")
    for source, one in r["by_source"].items():
        rows = "  ".join(f"{label} -> {row}" for label, row in zip(LABELS, one["confusion"]))
        print(f"  {source}: macro-recall {one['macro_recall']:.3f}; {rows}")


def main() -> None:
    here = pathlib.Path(__file__).parent
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("files", nargs="*", default=[str(here / name) for name in ("crypto_val.tsv", "french_val.tsv")])
    cli.add_argument("--model", default=here, type=pathlib.Path)
    cli.add_argument("--json", type=pathlib.Path, help="also write the figures there")
    args = cli.parse_args()
    model = OnnxModel(args.model)
    print(f"{model.card['name']} {model.card['version']}")
    figures = {}
    for path in args.files:
        figures[pathlib.Path(path).name] = evaluate(model, path)
        print_report(path, figures[pathlib.Path(path).name])
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
