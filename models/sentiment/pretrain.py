"""Go on pretraining the base weights on unlabelled posts by masked-language modelling (Devlin et al. 2019); CPU only.

    python pretrain.py --texts TWEETS.tsv POSTS.json --epochs 1 --out DIR           # then train.py --init DIR/final.pt

TEXTS are labelled files, whose labels are not read, or JSON lists. 15 % of the tokens are hidden: 80 % of those by [MASK], 10 % by a random
token, 10 % not at all. The base weights come without a head for words, so one is learnt: a linear layer that begins as the identity, GELU,
LayerNorm, and the word embeddings themselves as output (tied). It is thrown away afterwards. Task-adaptive pretraining as in Gururangan et al. 2020.
"""

import argparse
import json
import pathlib
import random
import time

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

from network import EPSILON, HIDDEN, base_dir, pretrained
from text_tokenizer import build, vocabulary
from train import batches, pad, read_tsv

MASKED, MAX_TOKENS = 0.15, 96


class WordHead(torch.nn.Module):
    """Hidden states [masked, 384] in, logits [masked, vocabulary] out."""

    def __init__(self, words: torch.nn.Embedding):
        super().__init__()
        self.linear, self.norm = torch.nn.Linear(HIDDEN, HIDDEN), torch.nn.LayerNorm(HIDDEN, EPSILON)
        self.bias = torch.nn.Parameter(torch.zeros(words.num_embeddings))
        torch.nn.init.eye_(self.linear.weight)
        self.words = [words]  # not a parameter of its own

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return F.linear(self.norm(F.gelu(self.linear(hidden))), self.words[0].weight, self.bias)


def mask_tokens(ids: torch.Tensor, mask: torch.Tensor, tokenizer: Tokenizer, share: float = MASKED) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids with that share of the tokens hidden, and which [batch, tokens]."""
    special = torch.tensor([tokenizer.token_to_id(name) for name in ("[CLS]", "[SEP]", "[PAD]")])
    hide = tokenizer.token_to_id("[MASK]")
    chosen = (torch.rand(ids.shape) < share) & mask.bool() & ~torch.isin(ids, special)
    how, out = torch.rand(ids.shape), ids.clone()
    out[chosen & (how < 0.8)] = hide
    swapped = chosen & (how >= 0.8) & (how < 0.9)
    out[swapped] = torch.randint(1000, 30522, (int(swapped.sum()),))
    return out, chosen


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--texts", nargs="+", required=True)
    cli.add_argument("--epochs", type=float, default=1)
    cli.add_argument("--rate", type=float, default=2e-4)
    cli.add_argument("--seed", type=int, default=7)
    cli.add_argument("--out", type=pathlib.Path, required=True)
    args = cli.parse_args()
    torch.manual_seed(args.seed)
    random.seed(args.seed)
    torch.set_num_threads(1)
    base = (base_dir() / "tokenizer.json").read_text(encoding="utf-8")
    tokenizer = Tokenizer.from_str(json.dumps(build(base)))
    tokenizer.enable_truncation(MAX_TOKENS)
    texts: list[str] = []
    for path in args.texts:
        read = json.loads(pathlib.Path(path).read_text(encoding="utf-8")) if path.endswith(".json") else [text for _, text in read_tsv(path)]
        texts += read
    ids = [encoding.ids for encoding in tokenizer.encode_batch(list(dict.fromkeys(texts)))]
    model = pretrained(Tokenizer.from_str(json.dumps(build(base, []))), vocabulary()).train()
    head = WordHead(model.words)
    parameters = [p for name, p in model.named_parameters() if not name.startswith("heads")] + list(head.parameters())
    optimiser = torch.optim.AdamW(parameters, lr=args.rate, fused=True, betas=(0.9, 0.98), weight_decay=0.01)
    order, rng = [], random.Random(args.seed)
    lengths = [len(row) for row in ids]
    while len(order) < args.epochs * len(batches(lengths, 1500, random.Random(0))):
        order += batches(lengths, 1500, rng)
    order = order[: int(args.epochs * len(batches(lengths, 1500, random.Random(0))))]
    warmup, started, seen, mean = max(1, len(order) // 20), time.monotonic(), 0, None
    for step, part in enumerate(order):
        for group in optimiser.param_groups:
            group["lr"] = args.rate * min((step + 1) / warmup, (len(order) - step) / (len(order) - warmup))
        clear, mask = pad([ids[i] for i in part])
        hidden_ids, chosen = mask_tokens(clear, mask, tokenizer)
        if not chosen.any():  # a last batch of few words
            continue
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = head(model.hidden(hidden_ids, mask)[-1][chosen])
        loss = F.cross_entropy(logits.float(), clear[chosen])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        optimiser.zero_grad()
        seen += len(part)
        mean = loss.item() if mean is None else 0.98 * mean + 0.02 * loss.item()
        if step % 100 == 0:
            pace = seen / (time.monotonic() - started)
            print(f"step {step}/{len(order)} loss {mean:.3f}, {pace:.0f} texts/s", flush=True)
    args.out.mkdir(parents=True, exist_ok=True)
    torch.save({"model": model.state_dict()}, args.out / "final.pt")


if __name__ == "__main__":
    main()
