"""Train the forecaster, or the six that have not seen one series each, and write them as ONNX.

    python train.py --data SERIES --folds folds      # one per series left out, for evaluate.py; those that are there stay
    python train.py --data SERIES --out .            # on all series

One CPU thread, a few minutes each way; the seed fixes data and weights.
"""

import argparse
import pathlib
import time

import numpy as np
import torch
from torch import nn

import data
import export
from network import One, Forecaster

SEED, MEMBERS, EPOCHS, BATCH, RATE = 7, 3, 20, 1024, 2e-3
P = torch.tensor([0.1, 0.5, 0.9])


def pinball(error):
    """Of errors [rows, 3] to p10, p50 and p90; error = truth - quantile."""
    return torch.maximum(P * error, (P - 1) * error)


def loss(answer, level, asked, mean, weight, raw_share=0.5):
    total = 0.0
    for at, windows, truth in ((0, 1.0, asked[:, 0]), (3, 12.0, asked[:, 1])):
        base = (level * windows + 0.5).unsqueeze(1)
        logs = answer[:, at : at + 3]
        error = torch.log((truth.unsqueeze(1) + 0.5) / base) - logs
        total = total + (1 - raw_share) * (pinball(error).mean(1) * weight).mean()
        raw = (truth.unsqueeze(1) + 0.5 - base * torch.exp(logs.clamp(-12.0, 8.0))) / (windows * mean.unsqueeze(1))
        total = total + raw_share * (pinball(raw.clamp(-30.0, 30.0)).mean(1) * weight).mean()
    return total + 0.5 * (nn.functional.binary_cross_entropy_with_logits(answer[:, 6], asked[:, 2], reduction="none") * weight).mean()


def fit(table, seed, epochs=EPOCHS, members=MEMBERS, **options):
    rows, level, asked, mean, weight = (torch.tensor(np.asarray(part), dtype=torch.float32) for part in table)
    centre, scale = rows.mean(0), rows.std(0).clamp(min=1e-3)
    x = ((rows - centre) / scale).clamp(-6.0, 6.0)
    nets = []
    for member in range(members):
        torch.manual_seed(seed * 100 + member)
        net = One(rows.shape[1])
        steps = epochs * (len(x) // BATCH)
        optimiser = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=0.02)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps, pct_start=0.15)
        net.train()
        for _ in range(epochs):
            order = torch.randperm(len(x))
            for at in range(0, len(x) - BATCH + 1, BATCH):
                picked = order[at : at + BATCH]
                value = loss(net(x[picked]), level[picked], asked[picked], mean[picked], weight[picked], **options)
                optimiser.zero_grad()
                value.backward()
                nn.utils.clip_grad_norm_(net.parameters(), 1.0)
                optimiser.step()
                schedule.step()
        nets.append(net.eval())
    return Forecaster(centre, scale, nets).eval()


def main():
    cli = argparse.ArgumentParser(description=__doc__)
    cli.add_argument("--data", required=True, type=pathlib.Path)
    cli.add_argument("--folds", type=pathlib.Path)
    cli.add_argument("--out", type=pathlib.Path)
    cli.add_argument("--version", default="1.0.0")
    args = cli.parse_args()
    torch.set_num_threads(1)
    real = data.read(args.data)
    for left_out in sorted(real) if args.folds else []:
        if (args.folds / f"without-{left_out}.onnx").exists():
            continue
        started = time.time()
        rest = {name: series for name, series in real.items() if name != left_out}
        model = fit(data.training_table(rest, SEED), SEED)
        args.folds.mkdir(exist_ok=True)
        export.write(model, args.folds / f"without-{left_out}.onnx")
        print(f"without {left_out}: {time.time() - started:.0f} s", flush=True)
    if args.out:
        started = time.time()
        model = fit(data.training_table(real, SEED), SEED)
        export.write(model, args.out / "model.onnx")
        export.describe(model, args.out, args.version, real)
        print(f"all series: {time.time() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
