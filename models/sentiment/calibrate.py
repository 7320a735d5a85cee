"""Temperatures and exit thresholds of an exported model; called by ``export.py``.

Temperature scaling (Guo et al. 2017) by exit, by minimising the log loss on the even lines (0, 2, ...) of the first file. An exit answers if its top
probability is so high that, of the even lines of all files that would leave there, ``AGREEMENT`` get the label that the last exit gives them: no
labels needed, and no loss by construction. All figures of quality are then measured by ``evaluate.py``, on the odd lines for calibration.
"""

import json
import pathlib

import numpy as np
from scipy.optimize import minimize_scalar

from labels import LABELS
from onnx_model import OnnxModel, softmax

AGREEMENT = 0.995


def read_tsv(path: str | pathlib.Path) -> tuple[np.ndarray, list[str], list[str]]:
    """Labels, texts, and the third column if there is one (the source), else an empty string."""
    with open(path, encoding="utf-8") as lines:
        rows = [line.rstrip("\n").split("\t") for line in lines]
    return np.array([LABELS.index(row[0]) for row in rows]), [row[1] for row in rows], [(row + [""])[2] for row in rows]


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    loss = lambda t: -np.log(softmax(logits, t)[np.arange(len(labels)), labels] + 1e-12).mean()
    return float(minimize_scalar(loss, bounds=(0.3, 5.0), method="bounded").x)


def exit_threshold(probabilities: np.ndarray, last: np.ndarray) -> float:
    """The least threshold from which on the labels agree with the last exit's; 1 if there is none."""
    top, agrees = probabilities.max(-1), probabilities.argmax(-1) == last
    order = np.argsort(-top)
    share = np.cumsum(agrees[order]) / np.arange(1, len(order) + 1)
    enough = np.flatnonzero((share >= AGREEMENT) & (np.arange(len(order)) >= 50))
    return float(np.ceil(top[order][enough[-1]] * 1e4) / 1e4) if len(enough) else 1.0


def calibrate(card: dict, folder: pathlib.Path, files: list[str], golden_texts: list[str]) -> None:
    """Completes ``card``, writes it as model.json, and golden.json beside it."""
    texts = []
    for path in files:
        texts += read_tsv(path)[1][0::2]
    labels = read_tsv(files[0])[0][0::2]
    model = OnnxModel(folder, card)
    logits = model.every_exit(texts).astype(float)
    last = logits[-1].argmax(-1)
    for number, segment in enumerate(card["segments"]):
        segment["temperature"] = round(fit_temperature(logits[number][: len(labels)], labels), 4)
        if number + 1 < len(card["segments"]):
            segment["exit_at"] = exit_threshold(softmax(logits[number], segment["temperature"]), last)
    (folder / "model.json").write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    rows = model.probabilities(golden_texts, early_exit=False)[0].round(6).tolist()
    golden = [{"text": text, "probabilities": row} for text, row in zip(golden_texts, rows)]
    (folder / "golden.json").write_text(json.dumps(golden, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(json.dumps(card["segments"], indent=1))
