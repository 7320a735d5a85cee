"""What each step of the recipe gains by itself, on a reduced protocol that fits a CPU; several seeds.

    python ablation.py --train TWEETS.tsv --val VAL.tsv [--texts 3000] [--seeds 1 2 3] [--steps NAME ...] [--out ablation.tsv]
    python ablation.py --print [--out ablation.tsv]

Plain recipe: one epoch over ``--texts`` tweets, drawn by the seed, from the base weights; the last exit alone; AdamW at 6e-5 with linear
warm-up and decay; batches of some 1,000 padded tokens of like lengths; class weights by the inverse square root of the frequency; label
smoothing 0.05; 64 tokens. Each other run changes one thing, with the tweets and the order of the same seed, so that differences are paired. EMA
and SWA are other weights of the plain run and train nothing more.

    rate           1e-4 instead of 6e-5
    layers         5 % less rate per layer downwards, five times the rate for the heads
    exits          the earlier exits learn as well, as in ``train.py``
    mlm            from weights that were pretrained further on the tweets and posts (--mlm CHECKPOINT of ``pretrain.py``)
    ensemble       0.4 of the label and 0.6 of the mean opinion of three plain runs on the same tweets with other orders (self-distillation)
    soft           0.4 of the label and 0.6 of the teacher's opinion (teacher_tweets.npz; it has seen the labels of all tweets)
    augment        a tenth of the tokens hidden or swapped as ``pretrain.py`` does it, others in each batch
    no smoothing   labels as they are
    rdrop          two passes with other dropout masks, and the symmetric divergence between them (Liang et al. 2021), weight 1
    fgm            a second pass with word embeddings moved along their gradient by 0.5 (Miyato et al. 2017)
    no words       the base vocabulary with the normaliser of ``text_tokenizer.py``
    no normaliser  the base tokenizer as it is

A line of the output is a run: step, seed, texts, macro-recall on VAL, seconds. Runs that are there already are not done again. ``--print``
makes the table for the card: mean and standard deviation over seeds, and of the paired differences to the plain recipe.
"""

import argparse
import collections
import json
import pathlib
import random
import statistics
import time

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

from network import PoolDropout, SentimentNetwork, base_dir, pretrained
from pretrain import mask_tokens
from text_tokenizer import build, vocabulary
from train import EXIT_SHARE, batches, macro_recall, pad, parameter_groups, predict, read_soft, read_tsv, text_key

HERE = pathlib.Path(__file__).parent
RATE, SMOOTHING, ALPHA, TOKENS, MAX_TOKENS = 6e-5, 0.05, 0.4, 1000, 64
EMA_DECAY, SWA_SHARE, FGM_SIZE = 0.98, 1 / 3, 0.5
PLAIN, FREE = "plain", ("EMA", "SWA")
STEPS = (PLAIN, "layers", "mlm", "ensemble", "soft", "augment", "no smoothing", "rdrop", "fgm", "rate", "exits", "no words", "no normaliser")


def tokenizer_of(step: str) -> Tokenizer:
    base = (base_dir() / "tokenizer.json").read_text(encoding="utf-8")
    if step == "no normaliser":
        made = Tokenizer.from_str(base)
        made.no_padding()
    else:
        made = Tokenizer.from_str(json.dumps(build(base, [] if step == "no words" else None)))
    made.enable_truncation(MAX_TOKENS)
    return made


def network_of(step: str, mlm: pathlib.Path | None):
    if step == "mlm":
        network = SentimentNetwork()
        network.load_state_dict(torch.load(mlm, map_location="cpu")["model"])
        return network
    base = (base_dir() / "tokenizer.json").read_text(encoding="utf-8")
    added = [] if step.startswith("no ") else vocabulary()
    return pretrained(Tokenizer.from_str(json.dumps(build(base, []))), added)


def ensemble_opinions(rows: list[tuple[int, str]], seed: int) -> torch.Tensor:
    """Mean probabilities [texts, 3] of three plain runs."""
    votes = []
    for member in range(3):
        run = Run(PLAIN, 1000 * seed + member, rows)
        run.model.load_state_dict(run.train()[PLAIN])
        votes.append(predict(run.model, run.ids)[-1].softmax(-1))
    return torch.stack(votes).mean(0)


def targets(rows: list[tuple[int, str]], step: str, seed: int) -> torch.Tensor:
    smoothing = 0.0 if step == "no smoothing" else SMOOTHING
    wanted = torch.full((len(rows), 3), smoothing / 3)
    wanted[range(len(rows)), [label for label, _ in rows]] += 1 - smoothing
    if step == "ensemble":
        return ALPHA * wanted + (1 - ALPHA) * ensemble_opinions(rows, seed)
    if step == "soft":
        opinions = read_soft([str(HERE / "teacher_tweets.npz")])
        known = 0
        for i, (_, text) in enumerate(rows):
            if (opinion := opinions.get(text_key(text))) is not None:
                wanted[i] = ALPHA * wanted[i] + (1 - ALPHA) * opinion
                known += 1
        print(f"the teacher knows {known} of {len(rows)} tweets")
    return wanted


def divergence(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Symmetric Kullback-Leibler divergence of two rows of log probabilities, halved."""
    return 0.5 * ((one.exp() - other.exp()) * (one - other)).sum(-1)


class Run:
    """One training of one step with one seed."""

    def __init__(self, step: str, seed: int, rows: list[tuple[int, str]], mlm: pathlib.Path | None = None):
        wanted = targets(rows, step, seed)
        torch.manual_seed(seed)
        random.seed(seed)
        PoolDropout.pools.clear()
        self.step, self.seed = step, seed
        self.tokenizer = tokenizer = tokenizer_of(step)
        self.encode = lambda texts: [e.ids for e in tokenizer.encode_batch(texts)]
        self.ids = self.encode([text for _, text in rows])
        self.wanted = wanted
        counts = collections.Counter(label for label, _ in rows)
        weights = torch.tensor([(len(rows) / counts[k]) ** 0.5 for k in range(3)])
        self.weights = weights * 3 / weights.sum()
        self.model = network_of(step, mlm)
        rate = 1e-4 if step == "rate" else RATE
        if step == "layers":
            groups = parameter_groups(self.model, rate, 0.95)
        else:
            flat = [p for p in self.model.parameters() if p.ndim == 1]
            square = [p for p in self.model.parameters() if p.ndim > 1]
            groups = [{"params": p, "lr": rate, "peak": rate, "weight_decay": d} for p, d in ((flat, 0.0), (square, 0.01))]
        self.optimiser = torch.optim.AdamW(groups, fused=True, betas=(0.9, 0.98))

    def loss(self, part: list[int]) -> torch.Tensor:
        double = 2 if self.step == "rdrop" else 1
        ids, mask = pad([self.ids[i] for i in part] * double)
        if self.step == "augment":
            ids, _ = mask_tokens(ids, mask, self.tokenizer, share=0.1)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            exits = [F.log_softmax(logits.float(), -1) for logits in self.model(ids, mask)]
        wanted = self.wanted[part * double]
        weight = (wanted * self.weights).sum(-1)
        each = -(wanted * exits[-1]).sum(-1)
        if self.step == "exits":
            taught = 0.5 * wanted + 0.5 * exits[-1].detach().exp()
            for early in exits[:-1]:
                each = each - EXIT_SHARE * (taught * early).sum(-1)
        loss = (each * weight).sum() / weight.sum()
        if self.step == "rdrop":
            loss = loss + divergence(*exits[-1].chunk(2)).mean()
        return loss

    def gradients(self, part: list[int]) -> None:
        self.loss(part).backward()
        if self.step != "fgm":
            return
        words = self.model.words.weight
        shift = FGM_SIZE * words.grad / words.grad.norm().clamp(min=1e-12)
        with torch.no_grad():
            words += shift
        self.loss(part).backward()
        with torch.no_grad():
            words -= shift

    def train(self) -> dict[str, dict]:
        """States by name: the trained weights, and for the plain recipe their two means."""
        order = batches([len(row) for row in self.ids], TOKENS, random.Random(self.seed))
        warmup, ema, swa = max(1, len(order) // 20), None, None
        averaging, taken = self.step == PLAIN, 0
        self.model.train()
        for number, part in enumerate(order):
            factor = min((number + 1) / warmup, (len(order) - number) / (len(order) - warmup))
            for group in self.optimiser.param_groups:
                group["lr"] = group["peak"] * factor
            self.gradients(part)
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimiser.step()
            self.optimiser.zero_grad()
            if averaging and (number % 4 == 0 or number + 1 == len(order)):
                state = self.model.state_dict()
                ema = ema or {name: value.clone() for name, value in state.items()}
                for name, value in state.items():
                    ema[name].lerp_(value, 1 - EMA_DECAY**4)
                if number >= (1 - SWA_SHARE) * len(order):
                    taken += 1
                    swa = swa or {name: value.clone() for name, value in state.items()}
                    for name, value in state.items():
                        swa[name].lerp_(value, 1 / taken)
        states = {self.step: {name: value.clone() for name, value in self.model.state_dict().items()}}
        return states | ({"EMA": ema, "SWA": swa} if averaging else {})


def read_runs(path: pathlib.Path) -> dict[tuple[str, int, int], float]:
    if not path.exists():
        return {}
    lines = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
    return {(step, int(seed), int(texts)): float(recall) for step, seed, texts, recall, _ in lines}


def print_table(runs: dict[tuple[str, int, int], float]) -> None:
    spread = lambda values: f"{statistics.stdev(values):.4f}" if len(values) > 1 else "-"
    for size in sorted({texts for _, _, texts in runs}):
        print(f"{size} tweets, one epoch; macro-recall of the last exit on VAL, and the difference to plain of the same seed")
        plain = {seed: recall for (step, seed, texts), recall in runs.items() if (step, texts) == (PLAIN, size)}
        for name in (PLAIN, *FREE, *STEPS[1:]):
            mine = {seed: recall for (step, seed, texts), recall in runs.items() if (step, texts) == (name, size)}
            if not mine:
                continue
            line = f"  {name:14} seeds {len(mine)}  {statistics.mean(mine.values()):.4f} sd {spread(list(mine.values()))}"
            gains = [recall - plain[seed] for seed, recall in mine.items() if seed in plain]
            if name != PLAIN and gains:
                line += f"  {statistics.mean(gains):+.4f} sd {spread(gains)}"
            print(line)


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--train")
    cli.add_argument("--val")
    cli.add_argument("--texts", type=int, default=3000)
    cli.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    cli.add_argument("--steps", nargs="+", choices=STEPS, default=STEPS)
    cli.add_argument("--mlm", type=pathlib.Path, help="what the step mlm begins from")
    cli.add_argument("--out", default=HERE / "ablation.tsv", type=pathlib.Path)
    cli.add_argument("--print", action="store_true", help="only print the table of what is there")
    args = cli.parse_args()
    if args.print:
        return print_table(read_runs(args.out))
    if not args.train or not args.val:
        cli.error("--train and --val are needed")
    if "mlm" in args.steps and not args.mlm:
        cli.error("the step mlm needs --mlm CHECKPOINT")
    torch.set_num_threads(1)
    rows, val = read_tsv(args.train), read_tsv(args.val)
    for seed in args.seeds:
        drawn = random.Random(seed).sample(rows, args.texts)
        for step in args.steps:
            if (step, seed, args.texts) in read_runs(args.out):
                continue
            started = time.monotonic()
            run = Run(step, seed, drawn, args.mlm)
            states = run.train()
            seconds = time.monotonic() - started
            encoded = run.encode([text for _, text in val])
            for name, state in states.items():
                run.model.load_state_dict(state)
                guess = predict(run.model, encoded)[-1].argmax(-1).tolist()
                recall = macro_recall([label for label, _ in val], guess)
                with open(args.out, "a", encoding="utf-8") as out:
                    out.write(f"{name}\t{seed}\t{args.texts}\t{recall:.5f}\t{seconds:.0f}\n")
                print(f"{name} seed {seed}: {recall:.4f} after {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
