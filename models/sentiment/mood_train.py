"""Train the head for the mood towards each target on the states that ``mood_data.py`` kept, and export it.

    python mood_train.py --cache CACHE ... [--epochs 4] [--rate 1e-3] [--threads 1] [--seed 1] --out HEAD.pt
    python mood_train.py --export HEAD.pt [--temperature 1.0]

A tenth of the posts (by number) is kept out and judged after each epoch. ``--export`` writes ``mood.onnx`` and states it in ``model.json``.
"""

import argparse
import hashlib
import json
import pathlib
import random
import time

import numpy as np
import torch
import torch.nn.functional as F

from mood_data import places, spans
from mood_evaluate import macro_f1
from mood_network import MoodHead

HERE = pathlib.Path(__file__).parent
BATCH_TOKENS = 2400
# Texts, and their targets.
GOLDEN = [
    ("sold my SOL for BTC", ["SOL", "BTC"]),
    ("🚀 é $ETH up 12% while ADA keeps bleeding, and ETH is not done", ["ETH", "ADA"]),
    ("J'ai vendu mes Solana pour du Bitcoin", ["Solana", "Bitcoin"]),
    (f"Bitcoin is great. {'So they say, and so we heard it again and again. ' * 14}Dogecoin crashed", ["Bitcoin", "Dogecoin"]),
]


class Rows:
    """One row per target."""

    def __init__(self, caches: list[pathlib.Path]):
        self.states, self.logits, self.rows = [], [], []
        for number, path in enumerate(caches):
            kept = np.load(path.with_suffix(".npz"))
            index = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
            states, starts = kept["states"], kept["starts"]
            self.states.append(states)
            self.logits.append(kept["logits"])
            for i, post in enumerate(index):
                at = places(np.array(post["role"]))
                span = (number, int(starts[i]), int(starts[i + 1]))
                self.rows += [(span, i, place.astype(np.int64), label, post["source"]) for place, label in zip(at, post["labels"])]

    def batch(self, rows: list) -> tuple[torch.Tensor, ...]:
        longest = max(end - start for (_, start, end), *_ in rows)
        states = np.zeros((len(rows), longest, 384), np.float32)
        at, mask = np.zeros((len(rows), longest), np.int64), np.zeros((len(rows), longest), bool)
        for k, ((number, start, end), _, place, _, _) in enumerate(rows):
            states[k, : end - start] = self.states[number][start:end]
            at[k, : end - start], mask[k, : end - start] = place, True
        logits = np.array([self.logits[span[0]][i] for span, i, *_ in rows])
        labels = torch.tensor([label for *_, label, _ in rows])
        return torch.from_numpy(states), torch.from_numpy(logits), torch.from_numpy(at), torch.from_numpy(mask), labels


def batches(rows: list, shuffle: random.Random | None) -> list[list]:
    """Rows of about equal length together."""
    jitter = (lambda: shuffle.random() * 6) if shuffle else (lambda: 0)
    ordered, out = sorted(rows, key=lambda row: row[0][2] - row[0][1] + jitter()), [[]]
    for row in ordered:
        if out[-1] and (len(out[-1]) + 1) * (row[0][2] - row[0][1]) > BATCH_TOKENS:
            out.append([])
        out[-1].append(row)
    if shuffle:
        shuffle.shuffle(out)
    return out


@torch.no_grad()
def judge(head: MoodHead, data: Rows, rows: list) -> dict[str, float]:
    head.eval()
    found = {}
    for batch in batches(rows, None):
        *inputs, labels = data.batch(batch)
        for row, label, answer in zip(batch, labels.tolist(), head(*inputs).argmax(1).tolist()):
            found.setdefault(row[4], []).append((label, answer))
    head.train()
    return {source: round(macro_f1(*np.array(pairs).T), 3) for source, pairs in found.items()}


def train(args: argparse.Namespace) -> None:
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    data, chance = Rows(args.cache), random.Random(args.seed)
    held = [row for row in data.rows if row[1] % 20 == 0]
    rows = [row for row in data.rows if row[1] % 20]
    head = MoodHead()
    if args.init:
        head.load_state_dict(torch.load(args.init, map_location="cpu"))
    optimiser = torch.optim.AdamW(head.parameters(), args.rate, weight_decay=0.05)
    steps = int(args.epochs * len(batches(rows, chance)))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, args.rate, total_steps=steps + 1, pct_start=0.1)
    average = torch.optim.swa_utils.AveragedModel(head, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.995))
    print(f"{len(rows)} targets, {steps} steps", flush=True)
    step, losses, started = 0, [], time.time()
    while step < steps:
        for batch in batches(rows, chance):
            if step == steps:
                break
            *inputs, labels = data.batch(batch)
            loss = F.cross_entropy(head(*inputs), labels, label_smoothing=0.05)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(head.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            average.update_parameters(head)
            losses.append(loss.item())
            step += 1
            if step % 100 == 0:
                print(f"step {step}: loss {np.mean(losses[-100:]):.4f}, {time.time() - started:.0f} s", flush=True)
            if step % args.judge == 0 or step == steps:
                print(f"step {step}: {judge(average.module, data, held)}", flush=True)
                torch.save(average.module.state_dict(), args.out)


def export(args: argparse.Namespace) -> None:
    import onnx
    from onnx import TensorProto, helper

    from export import MICROSOFT, Graph
    from mood_data import REACH
    from mood_network import EPSILON, HEADS, LAYERS, STATES

    head = MoodHead()
    head.load_state_dict(torch.load(args.export, map_location="cpu"))
    state = head.state_dict() | {"table": head.table()}
    state = {name: value.detach() for name, value in state.items()}
    graph = Graph(state)
    graph.node("Add", [graph.matmul("hidden", "narrow"), graph.weight("narrow.bias")], "narrowed")
    graph.node("Gather", [graph.weight("table"), "places"], "placed")
    graph.node("Add", ["narrowed", "placed"], "mixed")
    inputs = ["mixed", *(graph.weight(f"norm.{part}") for part in ("weight", "bias"))]
    x = graph.node("LayerNormalization", inputs, "norm", epsilon=EPSILON)
    for i in range(LAYERS):
        x = graph.layer(x, i, HEADS)
    own = graph.node("Equal", ["places", graph.whole("reach", REACH, np.int32)], "own")
    own = graph.node("Cast", [own], "counted", to=TensorProto.FLOAT)
    total = graph.node("ReduceSum", [own, graph.whole("axis", [1])], "total", keepdims=1)
    share = graph.node("Unsqueeze", [graph.node("Div", [own, total], "share"), "axis"], "row")
    pooled = graph.node("Squeeze", [graph.node("MatMul", [share, x], "pooled"), "axis"], "flat")
    spread = graph.node("MatMul", [total, "exit_logits"], "spread")
    spread = graph.node("Div", [spread, total], "exits")
    both = graph.node("Concat", [pooled, spread], "both", axis=1)
    graph.node("Gemm", [both, graph.weight("head.weight"), graph.weight("head.bias")], "logits", transB=1)
    of = lambda name, kind, shape: helper.make_tensor_value_info(name, kind, shape)
    feeds = [
        of("hidden", TensorProto.FLOAT, [1, "tokens", STATES]), of("exit_logits", TensorProto.FLOAT, [1, 3]),
        of("places", TensorProto.INT32, ["targets", "tokens"]),
    ]  # fmt: skip
    made = helper.make_graph(graph.nodes, "mood", feeds, [of("logits", TensorProto.FLOAT, ["targets", 3])], graph.weights)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(MICROSOFT, 1)]
    onnx.save(helper.make_model(made, opset_imports=opsets, ir_version=8, producer_name="vigie models/sentiment/mood_train.py"), HERE / "mood.onnx")
    path = HERE / "model.json"
    card = json.loads(path.read_text(encoding="utf-8"))
    digest = hashlib.sha256((HERE / "mood.onnx").read_bytes()).hexdigest()
    card["mood"] = {"file": "mood.onnx", "sha256": digest, "temperature": args.temperature, "reach": REACH}
    card["version"] = args.version or card["version"]
    path.write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    write_golden()


def write_golden() -> None:
    """``mood_golden.json``: probabilities that the Rust side must give too."""
    from onnx_model import OnnxModel

    model = OnnxModel(HERE)
    rows = [
        {"text": text, "targets": names, "probabilities": [p.round(5).tolist() for p in model.moods(text, [spans(text, [n]) for n in names])]}
        for text, names in GOLDEN
    ]
    (HERE / "mood_golden.json").write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--cache", nargs="+", type=pathlib.Path)
    cli.add_argument("--epochs", type=float, default=4)
    cli.add_argument("--rate", type=float, default=1e-3)
    cli.add_argument("--threads", type=int, default=1)
    cli.add_argument("--judge", type=int, default=1000)
    cli.add_argument("--seed", type=int, default=1)
    cli.add_argument("--init", type=pathlib.Path)
    cli.add_argument("--out", type=pathlib.Path)
    cli.add_argument("--export", type=pathlib.Path)
    cli.add_argument("--temperature", type=float, default=1.0)
    cli.add_argument("--version")
    args = cli.parse_args()
    if args.export:
        export(args)
    else:
        train(args)


if __name__ == "__main__":
    main()
