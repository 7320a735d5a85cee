"""The anomaly score of `processors/src/anomaly/score.rs` again, for choosing its parameters and for holding both against each other.

    python detector.py > golden.csv      # a synthetic series, its scores and alarms

What the parameters mean is said there. Row t depends on rows up to t only.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np

BLOCK = 6  # counts
WARM_UP = 36  # counts
PRIOR_EXCESS, PRIOR_WEIGHT = 0.3, 4
LEAST_RISE = 4 / 3
HALF = 0.007  # the tail probability whose score is 0.5


@dataclasses.dataclass(frozen=True)
class Parameters:
    days: int = 14
    tail: int = 20  # one of this many sums is in the tail
    scales: tuple[int, ...] = (1, 2, 4)  # in blocks
    silent: int = 192  # counts
    growth: int = 2  # times the powers of ten of the last alarm
    alarm: float = -np.log10(HALF)  # powers of ten


def held_against(counts: np.ndarray, days: int, tail: int, scale: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, int]]:
    """For each block that can be judged: its rows, their sums of `scale` blocks, the sums of the last `days` in order, how many of them are the tail."""
    cumulated = np.concatenate([[0.0], np.cumsum(counts)])
    for begin in range(0, len(counts), BLOCK):
        blocks = begin // BLOCK  # whole blocks before these rows
        first = max(0, blocks - days * 288 // BLOCK)
        starts = np.arange(first, blocks - scale + 1) * BLOCK
        beyond = -(-len(starts) // tail)
        if begin < WARM_UP or len(starts) <= beyond:
            continue
        rows = np.arange(begin, min(begin + BLOCK, len(counts)))
        sums = cumulated[rows + 1] - cumulated[np.maximum(rows + 1 - scale * BLOCK, 0)]
        yield rows, sums, np.sort(cumulated[starts + scale * BLOCK] - cumulated[starts]), beyond


def tail_rarity(counts: np.ndarray, days: int, tail: int, scale: int) -> np.ndarray:
    """Powers of ten of the probability of as many posts as in the last `scale` blocks, by those of the last `days`; 0 while there are too few."""
    rarity = np.zeros(len(counts))
    for rows, sums, usual, beyond in held_against(counts, days, tail, scale):
        as_large = len(usual) - np.searchsorted(usual, sums)
        threshold, largest = usual[-beyond - 1], usual[-beyond:]
        base, least = np.log1p(threshold), 0.5 / np.sqrt(threshold + 0.375)
        own = np.log(max(np.mean(np.log1p(largest)) - base, least))
        mean = max(np.exp((beyond * own + PRIOR_WEIGHT * np.log(PRIOR_EXCESS)) / (beyond + PRIOR_WEIGHT)), least)
        by_rank = -np.log10((1 + as_large) / (1 + len(usual)))
        by_law = np.log10(len(usual) / beyond) + (np.log1p(sums) - base) / mean / np.log(10)
        rarity[rows] = np.where(as_large > beyond, by_rank, by_law)
    return rarity


def mean_rarity(counts: np.ndarray, parameters: Parameters) -> np.ndarray:
    one = lambda scale: tail_rarity(counts, parameters.days, parameters.tail, scale)
    return np.mean([one(scale) for scale in parameters.scales], axis=0)


def risen(counts: np.ndarray, parameters: Parameters) -> np.ndarray:
    """Whether the sum of some scale is larger than the tail's threshold by enough for an alarm."""
    rises = np.zeros(len(counts), bool)
    for scale in parameters.scales:
        for rows, sums, usual, beyond in held_against(counts, parameters.days, parameters.tail, scale):
            rises[rows] |= sums + 1 >= LEAST_RISE * (usual[-beyond - 1] + 1)
    return rises


def scores(rarity: np.ndarray) -> np.ndarray:
    return HALF / (HALF + 10**-rarity)


def alarms(rarity: np.ndarray, rises: np.ndarray, parameters: Parameters) -> list[int]:
    """Rows that raise an alarm: rare enough, much more than usual, and not silenced by the alarm before."""
    rows, last, level = [], None, 0
    for row in np.flatnonzero((rarity >= parameters.alarm) & rises):
        thousandths = round(rarity[row] * 1000)
        if last is None or row - last >= parameters.silent or thousandths >= parameters.growth * level:
            rows.append(int(row))
            last, level = row, thousandths
    return rows


def golden_series() -> np.ndarray:
    """Posts of three weeks: a daily wave that goes silent at night, and bursts that decay; some follow soon after another."""
    random = np.random.default_rng(20150226)
    rows = np.arange(21 * 288)
    rate = 6 * np.maximum(0, np.sin(2 * np.pi * rows / 288)) + 0.5
    for start, height in ((400, 60), (1500, 25), (1530, 200), (1700, 90), (3000, 30), (3150, 35), (4700, 500), (5600, 60), (5630, 3000)):
        rate[start:] += height * np.exp(-(rows[start:] - start) / 8)
    return random.poisson(rate).astype(float)


if __name__ == "__main__":
    print("value,anomaly_score,alarm")
    series = golden_series()
    rarity = mean_rarity(series, Parameters())
    raised = set(alarms(rarity, risen(series, Parameters()), Parameters()))
    for row, (count, score) in enumerate(zip(series, scores(rarity))):
        print(f"{count:.0f},{score:.7f},{int(row in raised)}")
