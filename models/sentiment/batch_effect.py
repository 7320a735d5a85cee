"""How far batch companions change the answers of a model, and what a batch gains: why vigie runs one text at a time.

    python batch_effect.py --val VAL.tsv [--model model.onnx]

Prints, for several batch sizes (texts sorted by length, padded), the texts per second on one thread, the
number of labels that differ from those of one text per run, and the largest difference of a probability.
"""

import argparse
import pathlib
import time

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

from evaluate import probabilities, read_tsv
from labels import MAX_TOKENS


def main() -> None:
    here = pathlib.Path(__file__).parent
    cli = argparse.ArgumentParser(description=__doc__)
    cli.add_argument("--model", default=here / "model.onnx", type=pathlib.Path)
    cli.add_argument("--tokenizer", default=here / "tokenizer.json", type=pathlib.Path)
    cli.add_argument("--val", required=True)
    args = cli.parse_args()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(args.model), options, providers=["CPUExecutionProvider"])
    tokenizer = Tokenizer.from_file(str(args.tokenizer))
    tokenizer.enable_truncation(MAX_TOKENS)
    ids = [encoding.ids for encoding in tokenizer.encode_batch(read_tsv(args.val)[1])]
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))

    def run(part: list[int]) -> np.ndarray:
        width = max(len(ids[i]) for i in part)
        tokens = np.array([ids[i] + [0] * (width - len(ids[i])) for i in part], dtype=np.int64)
        mask = np.array([[1] * len(ids[i]) + [0] * (width - len(ids[i])) for i in part], dtype=np.int64)
        return session.run(["logits"], {"input_ids": tokens, "attention_mask": mask})[0]

    alone = None
    for size in (1, 8, 32):
        logits, started = np.zeros((len(ids), 3)), time.perf_counter()
        for start in range(0, len(order), size):
            part = order[start : start + size]
            logits[part] = run(part)
        seconds = time.perf_counter() - started
        alone = logits if alone is None else alone
        change = np.abs(probabilities(logits, 1.0) - probabilities(alone, 1.0)).max()
        labels = int((logits.argmax(1) != alone.argmax(1)).sum())
        print(f"batch {size}: {len(ids) / seconds:.0f} texts/s, {labels} of {len(ids)} labels differ, largest change {change:.3f}")


if __name__ == "__main__":
    main()
