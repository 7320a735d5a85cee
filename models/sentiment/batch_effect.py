"""What a batch gains and how far batch companions change the answers: why vigie runs one text at a time.

    python batch_effect.py --val VAL.tsv [--model DIR]

The graphs take no padding, so a batch is of texts of the same number of tokens (a length bucket of one); texts are of all layers and one
thread. Prints by batch size the texts per second of CPU time, the labels that differ from those of one text per run, and the largest difference of
a logit: inputs are rounded with one scale for the whole batch, so an answer depends on its companions.
"""

import argparse
import collections
import pathlib
import time

import numpy as np

from calibrate import read_tsv
from onnx_model import OnnxModel


def run(model: OnnxModel, ids: np.ndarray) -> np.ndarray:
    """Logits [batch, 3] of the last exit."""
    feed = {"ids": ids}
    for session in model.segments:
        out = session.run(None, feed)
        feed = {"hidden_in": out[-1]}
    return out[0]


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--model", default=pathlib.Path(__file__).parent, type=pathlib.Path)
    cli.add_argument("--val", required=True)
    args = cli.parse_args()
    model = OnnxModel(args.model)
    buckets = collections.defaultdict(list)
    for text in read_tsv(args.val)[1]:
        window = model.windows(text)[0]
        buckets[len(window)].append(window)
    alone: dict[int, np.ndarray] = {}
    for size in (1, 4, 16):
        differ, furthest, texts, started = 0, 0.0, 0, time.process_time()
        for length, rows in buckets.items():
            ids = np.array(rows, dtype=np.int32)
            logits = np.concatenate([run(model, ids[start : start + size]) for start in range(0, len(ids), size)])
            reference = alone.setdefault(length, logits)
            differ += int((logits.argmax(1) != reference.argmax(1)).sum())
            furthest = max(furthest, float(np.abs(logits - reference).max()))
            texts += len(rows)
        pace = texts / (time.process_time() - started)
        print(f"batches of up to {size:2}: {pace:.0f} texts/s, {differ} of {texts} labels differ, logits by up to {furthest:.2f}", flush=True)


if __name__ == "__main__":
    main()
