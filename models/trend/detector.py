"""The anomaly score of `processors/src/anomaly/score.rs` again, for choosing its parameters and for holding both against each other.

    python detector.py > golden.csv      # a synthetic series and its scores

What the parameters mean is said there. Row t depends on rows up to t only.
"""

import dataclasses

import numpy as np

BLOCK = 6  # counts
WARM_UP = 36  # counts
PRIOR_EXCESS, PRIOR_WEIGHT = 0.3, 4


@dataclasses.dataclass(frozen=True)
class Parameters:
    days: int = 14
    tail: int = 20  # one of this many sums is in the tail
    scales: tuple[int, ...] = (1, 2, 4)  # in blocks
    silent: int = 192  # counts
    growth: int = 2  # times the powers of ten of the last alarm
    alarm: float = 2.2  # powers of ten


def tail_rarity(counts: np.ndarray, days: int, tail: int, scale: int) -> np.ndarray:
    """Powers of ten by which the sum of the last `scale` blocks is rare among those of the last `days`; 0 below the tail."""
    cumulated = np.concatenate([[0.0], np.cumsum(counts)])
    rarity = np.zeros(len(counts))
    for begin in range(0, len(counts), BLOCK):
        blocks = begin // BLOCK  # whole blocks before these rows
        first = max(0, blocks - days * 288 // BLOCK)
        starts = np.arange(first, blocks - scale + 1) * BLOCK
        beyond = -(-len(starts) // tail)
        if begin < WARM_UP or len(starts) <= beyond:
            continue
        usual = np.sort(cumulated[starts + scale * BLOCK] - cumulated[starts])
        threshold, largest = usual[-beyond - 1], usual[-beyond:]
        base = np.log1p(threshold)
        mean = (np.sum(np.log1p(largest) - base) + PRIOR_WEIGHT * PRIOR_EXCESS) / (beyond + PRIOR_WEIGHT)
        mean = max(mean, 0.5 / np.sqrt(threshold + 0.375))
        rows = np.arange(begin, min(begin + BLOCK, len(counts)))
        sums = cumulated[rows + 1] - cumulated[np.maximum(rows + 1 - scale * BLOCK, 0)]
        beyond_threshold = np.log10(len(usual) / beyond) + (np.log1p(sums) - base) / mean / np.log(10)
        rarity[rows] = np.where(sums > threshold, beyond_threshold, 0.0)
    return rarity


def mean_rarity(counts: np.ndarray, parameters: Parameters) -> np.ndarray:
    one = lambda scale: tail_rarity(counts, parameters.days, parameters.tail, scale)
    return np.mean([one(scale) for scale in parameters.scales], axis=0)


def alarms(rarity: np.ndarray, parameters: Parameters) -> list[int]:
    """Rows that raise an alarm: rare enough, and not silenced by the one before."""
    rows, last, level = [], None, 0
    for row in np.flatnonzero(rarity >= parameters.alarm):
        thousandths = round(rarity[row] * 1000)
        if last is None or row - last >= parameters.silent or thousandths >= parameters.growth * level:
            rows.append(int(row))
            last, level = row, thousandths
    return rows


def scores(counts: np.ndarray, parameters: Parameters = Parameters()) -> np.ndarray:
    rarity = mean_rarity(counts, parameters)
    score = np.where(rarity > 0, 1 / (1 + 10 ** (parameters.alarm - rarity)), 0.0)
    told = alarms(rarity, parameters)
    silenced = np.zeros(len(counts), bool)
    for row in told:
        silenced[row + 1 : row + parameters.silent] = True
    silenced[told] = False
    return np.where(silenced, score / 2, score)


def golden_series() -> np.ndarray:
    """Posts of three weeks: a daily wave that goes silent at night, and bursts that decay; some follow soon after another."""
    random = np.random.default_rng(20150226)
    rows = np.arange(21 * 288)
    rate = 6 * np.maximum(0, np.sin(2 * np.pi * rows / 288)) + 0.5
    for start, height in ((400, 60), (1500, 25), (1530, 200), (1700, 90), (3000, 30), (3150, 35), (4700, 500), (5600, 60), (5630, 3000)):
        rate[start:] += height * np.exp(-(rows[start:] - start) / 8)
    return random.poisson(rate).astype(float)


if __name__ == "__main__":
    print("value,anomaly_score")
    series = golden_series()
    for count, score in zip(series, scores(series)):
        print(f"{count:.0f},{score:.7f}".removesuffix(",0.0000000") + (",0" if score == 0 else ""))
