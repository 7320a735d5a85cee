"""Measure an exported model on labelled tweets with ONNX Runtime, one text per run as in production.

    python evaluate.py --model model.onnx --val VAL.tsv [--crypto-val crypto_val.tsv] [--temperature T]

Prints JSON: accuracy, macro-recall, macro-F1 and expected calibration error (15 equal-width bins of the
top probability). Without --temperature it is fitted on the even lines of VAL (0, 2, ...) by minimising the
log loss (Guo et al. 2017, "On Calibration of Modern Neural Networks"); the ``ece`` is then of the odd lines only.
"""

import argparse
import json
import pathlib
import time

import numpy as np
import onnxruntime
from scipy.optimize import minimize_scalar
from tokenizers import Tokenizer

from labels import LABELS, MAX_TOKENS


def read_tsv(path: str) -> tuple[np.ndarray, list[str]]:
    rows = [line.rstrip("\n").split("\t", 1) for line in open(path, encoding="utf-8")]
    return np.array([LABELS.index(label) for label, _ in rows]), [text for _, text in rows]


def logits_of(model: pathlib.Path, tokenizer: pathlib.Path, texts: list[str]) -> tuple[np.ndarray, float]:
    """Logits [texts, 3] and the seconds taken, one text per run, one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    encoder = Tokenizer.from_file(str(tokenizer))
    encoder.enable_truncation(MAX_TOKENS)
    out, started = [], time.perf_counter()
    for text in texts:
        ids = np.array([encoder.encode(text).ids], dtype=np.int64)
        out.append(session.run(["logits"], {"input_ids": ids, "attention_mask": np.ones_like(ids)})[0][0])
    return np.array(out), time.perf_counter() - started


def probabilities(logits: np.ndarray, temperature: float) -> np.ndarray:
    scaled = np.exp((logits - logits.max(1, keepdims=True)) / temperature)
    return scaled / scaled.sum(1, keepdims=True)


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    loss = lambda t: -np.log(probabilities(logits, t)[np.arange(len(labels)), labels]).mean()
    return float(minimize_scalar(loss, bounds=(0.3, 5.0), method="bounded").x)


def calibration_error(probability: np.ndarray, labels: np.ndarray, bins: int = 15) -> float:
    top, hit = probability.max(1), probability.argmax(1) == labels
    which = np.minimum((top * bins).astype(int), bins - 1)
    parts = [(which == b) for b in range(bins)]
    return float(sum(p.mean() * abs(top[p].mean() - hit[p].mean()) for p in parts if p.any()))


def scores(logits: np.ndarray, labels: np.ndarray) -> dict:
    guess = logits.argmax(1)
    recall = [float((guess[labels == k] == k).mean()) for k in range(3)]
    precision = [float((labels[guess == k] == k).mean()) if (guess == k).any() else 0.0 for k in range(3)]
    f1 = [2 * p * r / (p + r) if p + r else 0.0 for p, r in zip(precision, recall)]
    return {
        "texts": len(labels),
        "accuracy": round(float((guess == labels).mean()), 4),
        "macro_recall": round(float(np.mean(recall)), 4),
        "macro_f1": round(float(np.mean(f1)), 4),
        "recall": {name: round(r, 4) for name, r in zip(LABELS, recall)},
    }


def report(model, tokenizer, val: str, crypto_val: str | None, temperature: float | None) -> tuple[dict, float]:
    labels, texts = read_tsv(val)
    logits, seconds = logits_of(model, tokenizer, texts)
    fitted = temperature or fit_temperature(logits[0::2], labels[0::2])
    odd, odd_labels = logits[1::2], labels[1::2]
    out = scores(logits, labels)
    out["ece_uncalibrated"] = round(calibration_error(probabilities(odd, 1.0), odd_labels), 4)
    out["ece"] = round(calibration_error(probabilities(odd, fitted), odd_labels), 4)
    out["texts_per_second"] = round(len(texts) / seconds)
    if crypto_val:
        crypto_labels, crypto_texts = read_tsv(crypto_val)
        out["crypto_val"] = scores(logits_of(model, tokenizer, crypto_texts)[0], crypto_labels)
    return out, fitted


def main() -> None:
    here = pathlib.Path(__file__).parent
    cli = argparse.ArgumentParser(description=__doc__)
    cli.add_argument("--model", default=here / "model.onnx", type=pathlib.Path)
    cli.add_argument("--tokenizer", default=here / "tokenizer.json", type=pathlib.Path)
    cli.add_argument("--val", required=True)
    cli.add_argument("--crypto-val", default=str(here / "crypto_val.tsv"))
    cli.add_argument("--temperature", type=float)
    args = cli.parse_args()
    metrics, temperature = report(args.model, args.tokenizer, args.val, args.crypto_val, args.temperature)
    print(json.dumps({"temperature": round(temperature, 4), **metrics}, indent=2))


if __name__ == "__main__":
    main()
