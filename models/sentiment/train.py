"""Fine-tune the sentiment model on labelled tweets; CPU only, one thread by default.

    python train.py --train TRAIN.tsv --val VAL.tsv [--crypto crypto_train.tsv] --epochs 2 --out DIR

Input lines are ``label<TAB>text``. A checkpoint (weights, step) is written to DIR every ten minutes
and ``final.pt`` at the end; macro-recall on VAL is printed after each epoch.
"""

import argparse
import collections
import json
import pathlib
import random
import time

import torch
from tokenizers import Tokenizer

from labels import LABELS, MAX_TOKENS
from network import SentimentNetwork, base_dir
from text_tokenizer import build


def read_tsv(path: str) -> list[tuple[int, str]]:
    rows = []
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            label, tab, text = line.rstrip("\n").partition("\t")
            if not tab or label not in LABELS:
                raise SystemExit(f"{path}:{number}: expected label<TAB>text with a label of {LABELS}")
            rows.append((LABELS.index(label), text))
    return rows


def batches(lengths: list[int], size: int, rng: random.Random) -> list[list[int]]:
    """Shuffled batches whose members have similar lengths (sorted inside chunks of 50 batches)."""
    order = list(range(len(lengths)))
    rng.shuffle(order)
    made = []
    for start in range(0, len(order), size * 50):
        chunk = sorted(order[start : start + size * 50], key=lengths.__getitem__)
        made += [chunk[i : i + size] for i in range(0, len(chunk), size)]
    rng.shuffle(made)
    return made


def pad(token_ids: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(map(len, token_ids))
    ids = torch.tensor([row + [0] * (width - len(row)) for row in token_ids])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in token_ids])
    return ids, mask


def macro_recall(labels: list[int], predicted: list[int]) -> float:
    hit, total = collections.Counter(), collections.Counter(labels)
    for truth, guess in zip(labels, predicted):
        hit[truth] += truth == guess
    return sum(hit[k] / total[k] for k in total) / len(total)


@torch.no_grad()
def predict(model, encoded: list[list[int]], bf16: bool) -> list[int]:
    model.eval()
    order = sorted(range(len(encoded)), key=lambda i: len(encoded[i]))
    out = [0] * len(encoded)
    for start in range(0, len(order), 64):
        part = order[start : start + 64]
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            guess = model(*pad([encoded[i] for i in part])).argmax(-1)
        for i, g in zip(part, guess.tolist()):
            out[i] = g
    model.train()
    return out


def parameter_groups(model, rate: float, decay: float) -> list[dict]:
    """Lower layers learn slower (factor ``decay`` per layer); the new head learns at the full rate times 5."""
    groups = collections.defaultdict(list)
    for name, parameter in model.named_parameters():
        if name.startswith("classifier"):
            scale = 5.0
        elif ".layer." in name:
            scale = decay ** (5 - int(name.split(".layer.")[1].split(".")[0]))
        else:
            scale = decay**6
        no_decay = parameter.ndim == 1
        groups[(scale, no_decay)].append(parameter)
    return [
        {"params": p, "lr": rate * scale, "peak": rate * scale, "weight_decay": 0.0 if no_decay else 0.01}
        for (scale, no_decay), p in groups.items()
    ]


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__)
    cli.add_argument("--train", required=True)
    cli.add_argument("--val", required=True)
    cli.add_argument("--crypto", help="own crypto examples, repeated --crypto-repeat times per epoch")
    cli.add_argument("--crypto-repeat", type=int, default=2)
    cli.add_argument("--epochs", type=int, default=2)
    cli.add_argument("--rate", type=float, default=8e-5)
    cli.add_argument("--layer-decay", type=float, default=0.9)
    cli.add_argument("--batch", type=int, default=32)
    cli.add_argument("--seed", type=int, default=7)
    cli.add_argument("--threads", type=int, default=1)
    cli.add_argument("--no-bf16", action="store_true")
    cli.add_argument("--max-steps", type=int, default=0)
    cli.add_argument("--out", required=True)
    args = cli.parse_args()

    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    rng = random.Random(args.seed)
    out = pathlib.Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    (out / "args.json").write_text(json.dumps(vars(args)))
    spec = build((base_dir() / "tokenizer.json").read_text(encoding="utf-8"))
    tokenizer = Tokenizer.from_str(json.dumps(spec))
    tokenizer.enable_truncation(MAX_TOKENS)
    encode = lambda rows: [e.ids for e in tokenizer.encode_batch([text for _, text in rows])]

    rows, val = read_tsv(args.train), read_tsv(args.val)
    counts = collections.Counter(label for label, _ in rows)
    if args.crypto:
        rows += read_tsv(args.crypto) * args.crypto_repeat
    ids, val_ids = encode(rows), encode(val)
    weights = torch.tensor([(len(rows) / counts[k]) ** 0.5 for k in range(3)])
    weights *= 3 / weights.sum()
    loss_of = torch.nn.CrossEntropyLoss(weight=weights, label_smoothing=0.05)

    model = SentimentNetwork().train()
    optimiser = torch.optim.AdamW(parameter_groups(model, args.rate, args.layer_decay), fused=True)
    lengths = [len(row) for row in ids]
    steps = args.epochs * -(-len(rows) // args.batch)
    warmup, step, started, saved = steps // 20, 0, time.monotonic(), time.monotonic()
    running = None
    for epoch in range(args.epochs):
        for part in batches(lengths, args.batch, rng):
            factor = min((step + 1) / warmup, (steps - step) / (steps - warmup))
            for group in optimiser.param_groups:
                group["lr"] = group["peak"] * factor
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=not args.no_bf16):
                logits = model(*pad([ids[i] for i in part]))
            loss = loss_of(logits.float(), torch.tensor([rows[i][0] for i in part]))
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            optimiser.zero_grad()
            running = loss.item() if running is None else 0.98 * running + 0.02 * loss.item()
            step += 1
            if step % 50 == 0:
                print(f"step {step}/{steps} loss {running:.4f} {time.monotonic() - started:.0f}s", flush=True)
            if time.monotonic() - saved > 600:
                torch.save({"model": model.state_dict(), "step": step}, out / "checkpoint.pt")
                saved = time.monotonic()
            if args.max_steps and step >= args.max_steps:
                return
        recall = macro_recall([label for label, _ in val], predict(model, val_ids, not args.no_bf16))
        print(f"epoch {epoch + 1} validation macro-recall {recall:.4f}", flush=True)
        torch.save({"model": model.state_dict(), "step": step}, out / f"epoch{epoch + 1}.pt")
    torch.save({"model": model.state_dict(), "step": step}, out / "final.pt")


if __name__ == "__main__":
    main()
