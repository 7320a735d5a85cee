"""How good forecasts are: functions of truth and forecast, and their bootstrap by day."""

import numpy as np

from baselines import QUANTILES


def pinball(truth, said):
    """[rows, 3] losses of p10, p50 and p90."""
    error = truth[:, None] - said
    return np.maximum(QUANTILES * error, (QUANTILES - 1) * error)


def wql(truth, said):
    """Weighted quantile loss: twice the pinball loss, mean over the quantiles, over the sum of the truth."""
    return 2 * pinball(truth, said).mean(1).sum() / truth.sum()


def mase(truth, said, scale):
    """Mean absolute error of p50, over that of the naive forecast on what came before the test."""
    return np.abs(truth - said[:, 1]).mean() / scale


def brier(truth, said):
    return np.mean((truth - said) ** 2)


def auc(truth, said):
    """Mann-Whitney; ties count half."""
    order = np.argsort(said, kind="stable")
    ranks = np.empty(len(said))
    ranks[order] = np.arange(1, len(said) + 1)
    _, inverse, counts = np.unique(said, return_inverse=True, return_counts=True)
    ranks = (np.bincount(inverse, ranks) / counts)[inverse]
    positives = truth.sum()
    return (ranks[truth > 0].sum() - positives * (positives + 1) / 2) / max(positives * (len(truth) - positives), 1)


def average_precision(truth, said):
    order = np.argsort(-said, kind="stable")
    hits = truth[order]
    return (np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits > 0].mean() if hits.any() else 0.0


def interval(days, statistic, seed=5, rounds=300):
    """90 % interval of `statistic(rows)` when whole days are drawn with replacement."""
    rng = np.random.default_rng(seed)
    names = np.unique(days)
    rows = {day: np.flatnonzero(days == day) for day in names}
    drawn = [statistic(np.concatenate([rows[d] for d in rng.choice(names, len(names))])) for _ in range(rounds)]
    return [float(v) for v in np.quantile(drawn, [0.05, 0.95])]


def reliability(truth, said, edges=(0, 0.02, 0.05, 0.1, 0.2, 0.4, 1.0001)):
    """Rows, mean probability and share of doublings, by bins of the probability."""
    bins = np.digitize(said, edges[1:-1])
    return [[int((bins == b).sum()), float(said[bins == b].mean()), float(truth[bins == b].mean())] for b in range(len(edges) - 1) if (bins == b).any()]
