"""Fine-tune the sentiment model on labelled posts and on the opinions of teachers; CPU only.

    python train.py --train TRAIN.tsv crypto_train.tsv*2 --val VAL.tsv --epochs 3 --out DIR
    python train.py ... --init DIR/final.pt --soft teacher.npz --alpha 0.4 --quantise-from 0.6 --out DIR2

Labelled lines are ``label<TAB>text``; ``FILE*N`` counts a file N times (``*0.1``: a tenth of it). ``--soft`` files hold the logits of a teacher by the SHA-256 of
the text (``teacher.py``); where they know a text, its target is ``alpha`` of the label and the rest of the teachers' mean (Hinton et al.
2015); texts of ``--unlabelled`` (a JSON list) have the teachers' mean alone. For texts of ``--keep`` the model that ``--init`` names is a teacher too,
so that it forgets less of what it knows. Earlier exits also learn from the last one.
A checkpoint is written every five minutes and after each epoch; macro-recall on VAL is printed by exit after each epoch.
"""

import argparse
import collections
import hashlib
import json
import pathlib
import random
import time

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

from labels import LABELS, MAX_TOKENS
from network import EXITS, LAYERS, SentimentNetwork, base_dir, pretrained
from text_tokenizer import build, vocabulary

EXIT_SHARE = 0.3  # weight of each earlier exit beside the last


def read_tsv(path: str) -> list[tuple[int, str]]:
    rows = []
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            label, tab, text = line.rstrip("\n").partition("\t")
            if not tab or label not in LABELS:
                raise SystemExit(f"{path}:{number}: expected label<TAB>text with a label of {LABELS}")
            rows.append((LABELS.index(label), text.split("\t")[0]))
    return rows


def read_repeated(names: list[str]) -> list[tuple[int, str]]:
    rows = []
    for name in names:
        path, _, times = name.partition("*")
        whole, part = divmod(float(times or 1), 1)
        own = read_tsv(path)
        rows += own * int(whole) + random.Random(0).sample(own, int(part * len(own)))
    return rows


def text_key(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_soft(paths: list[str]) -> dict[str, torch.Tensor]:
    """Mean probabilities [3] of the teachers by text key."""
    votes = collections.defaultdict(list)
    for path in paths:
        stored = np.load(path)
        for key, logits in zip(stored["keys"], torch.softmax(torch.tensor(stored["logits"].astype(np.float32)), -1)):
            votes[str(key)].append(logits)
    return {key: torch.stack(each).mean(0) for key, each in votes.items()}


def batches(lengths: list[int], tokens: int, rng: random.Random) -> list[list[int]]:
    """Shuffled batches of about ``tokens`` tokens whose members have similar lengths."""
    order = list(range(len(lengths)))
    rng.shuffle(order)
    made = []
    for start in range(0, len(order), 3200):
        batch: list[int] = []
        for i in sorted(order[start : start + 3200], key=lengths.__getitem__, reverse=True):
            if batch and (len(batch) + 1) * lengths[batch[0]] > tokens:
                made.append(batch)
                batch = []
            batch.append(i)
        made.append(batch)
    rng.shuffle(made)
    return made


def pad(token_ids: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(map(len, token_ids))
    ids = torch.tensor([row + [0] * (width - len(row)) for row in token_ids])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in token_ids])
    return ids, mask


def macro_recall(labels: list[int], guess: list[int]) -> float:
    hit, total = collections.Counter(), collections.Counter(labels)
    for truth, one in zip(labels, guess):
        hit[truth] += truth == one
    return sum(hit[k] / total[k] for k in total) / len(total)


@torch.no_grad()
def predict(model, encoded: list[list[int]]) -> torch.Tensor:
    """Logits [exits, texts, 3]."""
    model.eval()
    order = sorted(range(len(encoded)), key=lambda i: len(encoded[i]))
    out = torch.zeros(len(EXITS), len(encoded), 3)
    for start in range(0, len(order), 32):
        part = order[start : start + 32]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            for exit_number, logits in enumerate(model(*pad([encoded[i] for i in part]))):
                out[exit_number, part] = logits.float()
    model.train()
    return out


def parameter_groups(model, rate: float, decay: float) -> list[dict]:
    """Lower layers learn slower (factor ``decay`` per layer); the new heads learn at five times the rate."""
    groups = collections.defaultdict(list)
    for name, parameter in model.named_parameters():
        if name.startswith("heads"):
            scale = 5.0
        elif name.startswith("layers"):
            scale = decay ** (LAYERS - 1 - int(name.split(".")[1]))
        else:
            scale = decay**LAYERS
        groups[(scale, parameter.ndim == 1)].append(parameter)
    return [
        {"params": p, "lr": rate * scale, "peak": rate * scale, "weight_decay": 0.0 if no_decay else 0.01}
        for (scale, no_decay), p in groups.items()
    ]


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--train", nargs="+", required=True)
    cli.add_argument("--val", nargs="+", required=True)
    cli.add_argument("--soft", nargs="*", default=[])
    cli.add_argument("--unlabelled", nargs="*", default=[])
    cli.add_argument("--keep", nargs="*", default=[])
    cli.add_argument("--alpha", type=float, default=0.4)
    cli.add_argument("--init", help="checkpoint to begin from instead of the base weights")
    cli.add_argument("--epochs", type=float, default=3)
    cli.add_argument("--rate", type=float, default=1e-4)
    cli.add_argument("--layer-decay", type=float, default=0.95)
    cli.add_argument("--smoothing", type=float, default=0.05)
    cli.add_argument("--average", type=float, default=0.998, help="decay per step of the averaged weights, which are what is saved")
    cli.add_argument("--quantise-from", type=float, default=2.0, help="share of the steps after which int8 rounding is trained through")
    cli.add_argument("--tokens", type=int, default=1000, help="padded tokens of a batch")
    cli.add_argument("--seed", type=int, default=7)
    cli.add_argument("--threads", type=int, default=1)
    cli.add_argument("--max-steps", type=int, default=0)
    cli.add_argument("--out", required=True)
    args = cli.parse_args()

    torch.manual_seed(args.seed)
    random.seed(args.seed)
    torch.set_num_threads(args.threads)
    rng = random.Random(args.seed)
    out = pathlib.Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    (out / "args.json").write_text(json.dumps(vars(args)))
    base = (base_dir() / "tokenizer.json").read_text(encoding="utf-8")
    tokenizer = Tokenizer.from_str(json.dumps(build(base)))
    tokenizer.enable_truncation(MAX_TOKENS)
    encode = lambda texts: [e.ids for e in tokenizer.encode_batch(texts)]

    if args.init:
        model = SentimentNetwork()
        model.load_state_dict(torch.load(args.init, map_location="cpu")["model"])
    else:
        model = pretrained(Tokenizer.from_str(json.dumps(build(base, []))), vocabulary())
    rows = read_repeated(args.train)
    counts = collections.Counter(label for label, _ in rows)
    soft = read_soft(args.soft)
    kept = list({text: None for _, text in read_repeated(args.keep)})
    for text, own in zip(kept, torch.softmax(predict(model, encode(kept))[-1], -1)):
        soft[text_key(text)] = (own + soft.get(text_key(text), own)) / 2
    for path in args.unlabelled:
        rows += [(-1, text) for text in json.loads(pathlib.Path(path).read_text(encoding="utf-8")) if text_key(text) in soft]
    ids = encode([text for _, text in rows])
    target = torch.full((len(rows), 3), args.smoothing / 3)
    for i, (label, text) in enumerate(rows):
        if label >= 0:
            target[i, label] += 1 - args.smoothing
        opinion = soft.get(text_key(text))
        if opinion is not None:
            target[i] = opinion if label < 0 else args.alpha * target[i] + (1 - args.alpha) * opinion
    weights = torch.tensor([(sum(counts.values()) / counts[k]) ** 0.5 for k in range(3)])
    weights *= 3 / weights.sum()
    print(f"{len(rows)} rows, {sum(map(len, ids)) / len(ids):.1f} tokens on average, labels {dict(counts)}, {len(soft)} opinions")
    vals = [(path, read_tsv(path)) for path in args.val]
    vals = [(path, [label for label, _ in val], encode([text for _, text in val])) for path, val in vals]

    model.train()
    optimiser = torch.optim.AdamW(parameter_groups(model, args.rate, args.layer_decay), fused=True, betas=(0.9, 0.98))
    lengths = [len(row) for row in ids]
    per_epoch = len(batches(lengths, args.tokens, random.Random(0)))
    steps = int(args.epochs * per_epoch)
    warmup, step, seen, started, saved = max(1, steps // 20), 0, 0, time.monotonic(), time.monotonic()
    running, averaged = None, None

    def report(tag: str) -> None:
        nonlocal averaged
        current = {name: value.clone() for name, value in model.state_dict().items()}
        model.load_state_dict(averaged or current)
        for path, labels, encoded in vals:
            by_exit = [macro_recall(labels, one.argmax(-1).tolist()) for one in predict(model, encoded)]
            print(tag, pathlib.Path(path).name, "macro-recall by exit", " ".join(f"{one:.4f}" for one in by_exit), flush=True)
        model.load_state_dict(current)

    def save(name: str) -> None:
        torch.save({"model": averaged or model.state_dict(), "step": step}, out / name)

    while step < steps:
        for part in batches(lengths, args.tokens, rng):
            if step == int(args.quantise_from * steps):
                model.quantise(True)
            factor = min((step + 1) / warmup, (steps - step) / (steps - warmup))
            for group in optimiser.param_groups:
                group["lr"] = group["peak"] * factor
            with torch.autocast("cpu", dtype=torch.bfloat16):
                exits = [F.log_softmax(logits.float(), -1) for logits in model(*pad([ids[i] for i in part]))]
            wanted = target[part]
            weight = (wanted * weights).sum(-1)
            # Earlier exits learn half from the targets and half from what the last exit says.
            taught = 0.5 * wanted + 0.5 * exits[-1].detach().exp()
            loss = -(wanted * exits[-1]).sum(-1)
            for early in exits[:-1]:
                loss = loss - EXIT_SHARE * (taught * early).sum(-1)
            loss = (loss * weight).sum() / weight.sum()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            optimiser.zero_grad()
            running = loss.item() if running is None else 0.98 * running + 0.02 * loss.item()
            step, seen = step + 1, seen + len(part)
            if step > warmup and step % 4 == 0:
                state = model.state_dict()
                if averaged is None:
                    averaged = {name: value.clone() for name, value in state.items()}
                for name, value in state.items():
                    averaged[name].lerp_(value, 1 - args.average**4)
            if step % 100 == 0:
                pace = seen / (time.monotonic() - started)
                print(f"step {step}/{steps} loss {running:.4f} {pace:.0f} texts/s {time.monotonic() - started:.0f}s", flush=True)
            if step % per_epoch == 0:
                report(f"epoch {step // per_epoch}")
                save(f"epoch{step // per_epoch}.pt")
                saved = time.monotonic()
            elif time.monotonic() - saved > 300:
                save("checkpoint.pt")
                saved = time.monotonic()
            if step >= steps:
                break
            if args.max_steps and step >= args.max_steps:
                return
    report("end")
    save("final.pt")


if __name__ == "__main__":
    main()
