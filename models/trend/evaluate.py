"""Judge the output of `vigie model detect` on labelled series: NAB score of the alarms, nulls beside it, coverage of the forecasts.

    for f in SERIES/*.csv; do vigie model detect $f > SCORED/$(basename $f); done
    python evaluate.py --labels SERIES/labels.json --scored SCORED
    python evaluate.py --labels SERIES/labels.json --scored SCORED --select    # leave one series out; minutes

labels.json maps a series to its anomaly windows, ``{"FB": [["2015-02-28 06:42:53", "..."], ...]}``. The score is that of `nab.py`.
The interval is from a bootstrap over windows: each series is cut half way between windows, and pieces are drawn with their false positives.
"""

import argparse
import dataclasses
import itertools
import pathlib
import random
from collections.abc import Callable

import detector
import nab
import numpy as np

THRESHOLDS = [round(1.6 + 0.02 * step, 2) for step in range(80)]  # powers of ten
SMOOTHED = 6  # thresholds to each side
AROUND = (0.8, 1, 1.2)  # times a threshold


def rarities_of(one: nab.Series) -> np.ndarray:
    """Powers of ten of the tail probability, 0 where there is none yet."""
    return np.array([-np.log10(float(cells["tail_probability"] or 1)) for cells in one.rows])


def counts_of(one: nab.Series) -> np.ndarray:
    return np.array([float(row["value"]) for row in one.rows])


def powers(score: float) -> float:
    """Powers of ten of the tail probability that has this score."""
    return float(np.log10(score / (1 - score) / detector.HALF))


def raised(series: list[nab.Series], rarities: list[np.ndarray], rises: list[np.ndarray], score: float) -> list[tuple]:
    """What the alarms from this score on are worth."""
    return judge(series, [detector.alarms(*both, detector.Parameters(alarm=powers(score))) for both in zip(rarities, rises)])


def transferred(series: list[nab.Series], raised_from: Callable[[float], list[tuple]]) -> None:
    """Prints the score of each series at the threshold chosen on the others, and at that 20 % lower and higher. The one chosen is best at its worst of
    the three."""
    grid = [round(0.3 + 0.01 * step, 2) for step in range(46)]
    table = {score: raised_from(score) for score in {round(score * by, 4) for score in grid for by in AROUND}}
    verdicts = {by: [] for by in AROUND}
    chosen = []
    for out in range(len(series)):
        others = lambda score: nab.pooled([one for at, one in enumerate(table[round(score, 4)]) if at != out])
        chosen.append(max(grid, key=lambda score: min(others(score * by) for by in AROUND)))
        for by in AROUND:
            verdicts[by].append(table[round(chosen[-1] * by, 4)][out])
    low, high = bootstrap(series, verdicts[1])
    print(f"threshold chosen on the other series ({', '.join(map(str, chosen))}): {line(verdicts[1])}; 95 % interval {low:.1f} to {high:.1f}")
    print(f"  20 % lower: {line(verdicts[0.8])}; 20 % higher: {line(verdicts[1.2])}")


def judge(series: list[nab.Series], found: list[list[int]]) -> list[tuple]:
    return [nab.judge(rows, one.windows, len(one.rows)) for one, rows in zip(series, found)]


def line(judged: list[tuple]) -> str:
    counted = [value for windows, _ in judged for value in windows]
    false = sum(len(one) for _, one in judged)
    return f"NAB {nab.pooled(judged):5.1f}, {sum(v > -nab.A_FN for v in counted)} of {len(counted)} windows, {false} false alarms"


def pieces(one: nab.Series, judged: tuple) -> list[float]:
    """What each window counts, with the false positives nearest to it."""
    counted, false = judged
    middles = [(a[1] + b[0]) / 2 for a, b in itertools.pairwise(one.windows)]
    total = list(counted)
    for row, cost in false.items():
        total[sum(row > middle for middle in middles)] += cost
    return total


def bootstrap(series: list[nab.Series], judged: list[tuple], draws: int = 10_000) -> tuple[float, float]:
    drawn = random.Random(1)
    all_pieces = [piece for one, verdict in zip(series, judged) for piece in pieces(one, verdict)]
    size = len(all_pieces)
    scores = sorted(nab.scaled(sum(drawn.choices(all_pieces, k=size)), size) for _ in range(draws))
    return scores[draws // 40], scores[-draws // 40]


def shifted(series: list[nab.Series], found: list[list[int]], draws: int = 1000) -> list[float]:
    """Scores of the same alarms moved in time, each series around a circle by its own random number of rows."""
    drawn = random.Random(2)

    def move(one: nab.Series, rows: list[int]) -> list[int]:
        span, by = len(one.rows) - one.probation, drawn.randrange(len(one.rows))
        return [one.probation + (row - one.probation + by) % span for row in rows if row >= one.probation]

    move_all = lambda: [move(one, rows) for one, rows in zip(series, found)]
    return sorted(nab.pooled(judge(series, move_all())) for _ in range(draws))


def periodic(series: list[nab.Series]) -> list[tuple[float, int]]:
    """Scores of an alarm every so many rows, and how many."""
    every = lambda period: [list(range(one.probation, len(one.rows), period)) for one in series]
    return [(nab.pooled(judge(series, every(period))), period) for period in range(50, 2000, 10)]


def by_threshold(series: list[nab.Series], rarities: list[np.ndarray], rises: list[np.ndarray], parameters: detector.Parameters) -> np.ndarray:
    """Scores of each series at each of THRESHOLDS, times its windows."""
    table = np.zeros((len(THRESHOLDS), len(series)))
    for (i, threshold), (j, one) in itertools.product(enumerate(THRESHOLDS), enumerate(series)):
        found = detector.alarms(rarities[j], rises[j], dataclasses.replace(parameters, alarm=threshold))
        table[i, j] = nab.pooled([nab.judge(found, one.windows, len(one.rows))]) * len(one.windows)
    return table


def smooth(values: np.ndarray) -> np.ndarray:
    kernel = np.ones(2 * SMOOTHED + 1) / (2 * SMOOTHED + 1)
    return np.convolve(np.pad(values, SMOOTHED, "edge"), kernel, "valid")


def left_out(tables: dict, series: list[nab.Series], rarities: Callable[[detector.Parameters], list[np.ndarray]], rises: list[np.ndarray]) -> None:
    """Prints the pooled score of the series, each with parameters and threshold that are best on the others: the best mean of a threshold
    and those around it, so that one lucky threshold is not chosen."""
    judged, chosen = [], []
    for out, one in enumerate(series):
        others = np.arange(len(series)) != out
        smoothed = {key: smooth(table[:, others].sum(1)) for key, table in tables.items()}
        key = max(smoothed, key=lambda key: smoothed[key].max())
        parameters = dataclasses.replace(key, alarm=THRESHOLDS[int(smoothed[key].argmax())])
        found = detector.alarms(rarities(parameters)[out], rises[out], parameters)
        judged.append(nab.judge(found, one.windows, len(one.rows)))
        chosen.append(parameters)
    low, high = bootstrap(series, judged)
    print(f"  {line(judged)}; 95 % interval {low:.1f} to {high:.1f}")
    for one, verdict, parameters in zip(series, judged, chosen):
        print(f"  {one.name}: {nab.pooled([verdict]):5.1f} with {parameters}")


def select(series: list[nab.Series]) -> None:
    counts = [counts_of(one) for one in series]
    rises = [detector.risen(values, detector.Parameters()) for values in counts]
    grid = dict(days=(7, 10, 14, 21), tail=(10, 20, 50), scales=((1,), (2,), (1, 2), (1, 4), (1, 2, 4)), silent=(96, 192, 288))
    one_scale = {}
    for days, tail, scale in itertools.product(grid["days"], grid["tail"], (1, 2, 4)):
        one_scale[days, tail, scale] = [detector.tail_rarity(values, days, tail, scale) for values in counts]

    def rarities(parameters: detector.Parameters) -> list[np.ndarray]:
        of_scales = [one_scale[parameters.days, parameters.tail, scale] for scale in parameters.scales]
        return [np.mean(of_one, axis=0) for of_one in zip(*of_scales)]

    settings = [detector.Parameters(**dict(zip(grid, values))) for values in itertools.product(*grid.values())]
    tables = {parameters: by_threshold(series, rarities(parameters), rises, parameters) for parameters in settings}
    windows = sum(len(one.windows) for one in series)
    hindsight = {parameters: table.sum(1).max() / windows for parameters, table in tables.items()}
    best = max(hindsight, key=hindsight.get)
    print(f"best of {len(tables)} settings and {len(THRESHOLDS)} thresholds in hindsight: {hindsight[best]:.1f} with {best}")
    quartiles = [np.quantile(list(hindsight.values()), q) for q in (0.25, 0.5, 0.75)]
    print(f"quartiles over the settings, each at its best threshold: {', '.join(f'{value:.1f}' for value in quartiles)}")
    for name, values in grid.items():
        of_value = {value: [score for setting, score in hindsight.items() if getattr(setting, name) == value] for value in values}
        print(f"  by {name}, best: {', '.join(f'{value}: {max(scores):.1f}' for value, scores in of_value.items())}")
    of_default = rarities(detector.Parameters())
    highest = [rarity[a : b + 1].max() for one, rarity in zip(series, of_default) for a, b in one.windows]
    print(f"highest rarity in each window, as used: {', '.join(f'{value:.2f}' for value in sorted(highest))}")
    print("one series left out, settings and threshold chosen on the others:")
    left_out(tables, series, rarities, rises)
    used = detector.Parameters()
    print("one series left out, only the threshold chosen on the others:")
    left_out({used: tables[used]}, series, rarities, rises)


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__)
    cli.add_argument("--labels", required=True, type=pathlib.Path)
    cli.add_argument("--scored", required=True, type=pathlib.Path)
    cli.add_argument("--select", action="store_true")
    args = cli.parse_args()
    series = nab.read_folder(args.scored, args.labels)
    rarities = [rarities_of(one) for one in series]
    rises = [detector.risen(counts_of(one), detector.Parameters()) for one in series]
    raised_from = lambda score: raised(series, rarities, rises, score)
    found = [[row for row, cells in enumerate(one.rows) if cells["alarm"] == "1"] for one in series]
    judged = judge(series, found)
    low, high = bootstrap(series, judged)
    print(f"alarms from a score of 0.5: {line(judged)}; 95 % interval {low:.1f} to {high:.1f}")
    for one, verdict in zip(series, judged):
        print(f"  {one.name}: {line([verdict])}")
    for threshold in (0.3, 0.4, 0.45, 0.55, 0.6, 0.7, 0.8, 0.9):
        print(f"from {threshold}: {line(raised_from(threshold))}")
    sweep = [step / 200 for step in range(40, 190)]
    best = max((nab.pooled(raised_from(at)), at) for at in sweep)
    print(f"best threshold in hindsight {best[1]}: NAB {best[0]:.1f}")
    transferred(series, raised_from)
    moved = shifted(series, found)
    print(f"null, the same alarms moved in time: median {moved[500]:.1f}, 97.5 % below {moved[975]:.1f}, best of 1000 {moved[-1]:.1f}")
    scores = sorted(periodic(series))
    print(f"null, an alarm every {scores[-1][1]} rows, the best period: {scores[-1][0]:.1f}; median of {len(scores)} periods {scores[len(scores) // 2][0]:.1f}")
    for one in series:
        rows = [row for row in one.rows if row["p10"]]
        inside = sum(float(row["p10"]) <= float(row["value"]) <= float(row["p90"]) for row in rows)
        print(f"{one.name}: {inside / len(rows):.3f} of {len(rows)} values between p10 and p90")
    if args.select:
        select(series)


if __name__ == "__main__":
    main()
