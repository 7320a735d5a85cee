"""Measure the committed sentiment model on labelled posts, as vigie runs it, beside baselines.

    python evaluate.py [FILE.tsv[:LANGUAGE] ...] [--model DIR] [--float DIR] [--json OUT]
                                                        lines: label, text, and optionally a source, tab-separated

For each file: accuracy, macro-recall (the measure of SemEval and TweetEval) with a 95 % bootstrap interval, macro-F1, recall by class, the
confusion matrix by source, expected calibration error (15 equal-width bins of the top probability) beside the error that as many answers of perfect
calibration would have by chance, and how far the mean top probability is above the accuracy; the files of --fitted, on which the temperatures were fitted, are
judged with temperatures fitted on their other half (even or odd lines). The
same with every post read by all layers, in int8 and in fp32: with the same weights (``dequantise.py``), or with those before rounding if --float or
VIGIE_FLOAT_MODEL names the segments that ``export.py --float`` wrote. Baselines: VADER (Hutto and Gilbert 2014, thresholds +-0.05), the most
frequent class, and the null: the model's answers shuffled. Texts per second
are of CPU time of one thread, so that other work on the machine does not count.
"""

import argparse
import json
import os
import pathlib
import tempfile
import time

import numpy as np

from calibrate import leaving, own_temperature, read_tsv
from dequantise import dequantise
from labels import LABELS
from onnx_model import OnnxModel, softmax

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


def chance_error(probability: np.ndarray) -> list[float]:
    """Mean and 95 % quantile of the calibration error if the probabilities were exactly right."""
    rng = np.random.default_rng(3)
    draws = rng.random((RESAMPLES, len(probability), 1))
    answers = np.minimum((probability.cumsum(1) < draws).sum(-1), 2)
    errors = [calibration_error(probability, labels) for labels in answers]
    return [round(float(np.mean(errors)), 4), round(float(np.quantile(errors, 0.95)), 4)]


def cross_fitted(model: OnnxModel, texts: list[str], labels: np.ndarray, language: str | None) -> np.ndarray:
    """Probabilities [texts, 3] (first windows) by a temperature that was fitted on the other half: odd or even lines."""
    logits, segments = model.every_exit(texts).astype(float), model.card["segments"]
    at, out = leaving(logits, segments), np.zeros((len(texts), 3))
    for mine, other in ((0, 1), (1, 0)):
        fitted = own_temperature(logits[:, other::2], labels[other::2], segments)
        for text in range(mine, len(texts), 2):
            out[text] = model.turned(softmax(logits[at[text], text], fitted), texts[text], language)
    return out


def scores(labels: np.ndarray, guess: np.ndarray) -> dict:
    # A set may lack a class.
    recall = {k: float((guess[labels == k] == k).mean()) for k in range(3) if (labels == k).any()}
    precision = {k: float((labels[guess == k] == k).mean()) if (guess == k).any() else 0.0 for k in recall}
    f1 = [2 * precision[k] * r / (precision[k] + r) if precision[k] + r else 0.0 for k, r in recall.items()]
    return {
        "texts": len(labels),
        "accuracy": round(float((guess == labels).mean()), 4),
        "macro_recall": round(macro_recall(labels, guess), 4),
        "interval": interval(labels, guess),
        "macro_f1": round(float(np.mean(f1)), 4),
        "recall": {LABELS[k]: round(r, 4) for k, r in recall.items()},
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


def evaluate(model: OnnxModel, path: pathlib.Path, language: str | None, floating: OnnxModel, fitted: bool) -> dict:
    labels, texts, sources = read_tsv(path)
    started = time.process_time()
    probability, left = model.probabilities(texts, language=language)
    seconds = time.process_time() - started
    started = time.process_time()
    whole, _ = model.probabilities(texts, early_exit=False, language=language)
    whole_seconds = time.process_time() - started
    guess, whole_guess = probability.argmax(1), whole.argmax(1)
    out = scores(labels, guess)
    judged = cross_fitted(model, texts, labels, language) if fitted else probability
    out["fitted"] = fitted
    out["calibration_error"] = round(calibration_error(judged, labels), 4)
    out["chance_error"] = chance_error(judged)
    out["surplus"] = round(float(judged.max(1).mean() - (judged.argmax(1) == labels).mean()), 4)
    out["all_layers"] = {
        "macro_recall": round(macro_recall(labels, whole_guess), 4),
        "same_label": round(float((guess == whole_guess).mean()), 4),
        "texts_per_second": round(len(texts) / whole_seconds),
    }
    out["texts_per_second"] = round(len(texts) / seconds)
    started = time.process_time()
    exact, _ = floating.probabilities(texts, early_exit=False, language=language)
    exact_seconds = time.process_time() - started
    out["fp32"] = {
        "macro_recall": round(macro_recall(labels, exact.argmax(1)), 4),
        "same_label": round(float((whole_guess == exact.argmax(1)).mean()), 4),
        "texts_per_second": round(len(texts) / exact_seconds),
    }
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
    mean, most = r["chance_error"]
    how = "cross-fitted; " if r["fitted"] else ""
    print(f"  calibration error {r['calibration_error']:.3f} ({how}by chance {mean:.3f}, in 95 % below {most:.3f}), "
          f"mean top probability {r['surplus']:+.3f} from accuracy")
    a = r["all_layers"]
    print(f"  left at exits {r['left_at_exit']}: {r['texts_per_second']} texts/s; all layers: {a['texts_per_second']} texts/s, "
          f"macro-recall {a['macro_recall']:.3f}, same label {a['same_label']:.3f}")
    f = r["fp32"]
    print(f"  all layers, int8 against fp32: macro-recall {a['macro_recall']:.3f} against {f['macro_recall']:.3f}, same label {f['same_label']:.3f}, "
          f"{a['texts_per_second']} against {f['texts_per_second']} texts/s")
    for source, one in r["by_source"].items():
        rows = "  ".join(f"{label} -> {row}" for label, row in zip(LABELS, one["confusion"]))
        print(f"  {source}: macro-recall {one['macro_recall']:.3f}; {rows}")


def main() -> None:
    here = pathlib.Path(__file__).parent
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("files", nargs="*", default=[str(here / name) for name in ("crypto_val.tsv:en", "french_val.tsv:fr")])
    cli.add_argument("--model", default=here, type=pathlib.Path)
    cli.add_argument("--float", default=os.environ.get("VIGIE_FLOAT_MODEL"), type=pathlib.Path, help="folder of the fp32 segments")
    cli.add_argument("--fitted", nargs="*", default=["val.tsv", "french_val.tsv"], help="names of the files the temperatures were fitted on")
    cli.add_argument("--json", type=pathlib.Path, help="also write the figures there")
    args = cli.parse_args()
    model = OnnxModel(args.model)
    print(f"{model.card['name']} {model.card['version']}")
    figures = {}
    with tempfile.TemporaryDirectory() as scratch:
        if not args.float:
            dequantise(args.model, pathlib.Path(scratch))
        print(f"fp32: {'the weights before rounding' if args.float else 'the same weights as int8'}")
        floating = OnnxModel(args.float or pathlib.Path(scratch), model.card)
    for name in args.files:
        path, _, language = name.partition(":")
        path = pathlib.Path(path)
        figures[path.name] = evaluate(model, path, language or None, floating, path.name in args.fitted)
        print_report(path.name, figures[path.name])
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
