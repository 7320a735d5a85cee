"""The network: a few small ones side by side, whose answers are averaged.

Output of a row: for the next window and the next hour each p10, p50 and p90 as logarithms relative to the row's level,
log((posts + 0.5) / (level + 0.5)), and the logit of the doubling.
"""

import torch
from torch import nn

WIDTH, OUT = 64, 7


class One(nn.Module):
    """Linear in its inputs plus two hidden layers."""

    def __init__(self, inputs: int, width: int = WIDTH, drop: float = 0.1):
        super().__init__()
        self.linear = nn.Linear(inputs, OUT)
        self.deep = nn.Sequential(
            nn.Dropout(drop), nn.Linear(inputs, width), nn.SiLU(), nn.Dropout(drop), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, OUT)
        )

    def forward(self, x):
        raw = self.linear(x) + self.deep(x)
        answers = []
        for at in (0, 3):
            middle = raw[:, at : at + 1]
            down, up = nn.functional.softplus(raw[:, at + 1 : at + 2]), nn.functional.softplus(raw[:, at + 2 : at + 3])
            answers += [middle - down, middle, middle + up]
        return torch.cat([*answers, raw[:, 6:7]], dim=1)


class Forecaster(nn.Module):
    """Scales the features and averages the members."""

    def __init__(self, mean, scale, members):
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)
        self.members = nn.ModuleList(members)

    def forward(self, features):
        x = ((features - self.mean) / self.scale).clamp(-6.0, 6.0)
        return torch.stack([member(x) for member in self.members]).mean(0)
