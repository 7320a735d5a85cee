"""Judge the output of `vigie model detect` on labelled series: NAB-style score, fixed thresholds, forecast coverage.

    for f in SERIES/*.csv; do vigie model detect $f > SCORED/$(basename $f); done
    python evaluate.py --labels SERIES/labels.json --scored SCORED

labels.json maps a series to its anomaly windows, ``{"FB": [["2015-02-28 06:42:53", "..."], ...]}``. Scoring
follows the standard profile of the Numenta Anomaly Benchmark (Lavin & Ahmad 2015): the first detection in a
window earns 0 to 1, earlier is more; a missed window costs 1; a detection outside costs up to 0.11; the first 15 % of a
series (750 rows at most) do not count; 100 is perfect, 0 is no detection at all. Standard library only.
"""

import argparse
import bisect
import csv
import datetime
import json
import math
import pathlib

FALSE_POSITIVE = 0.11


def sigmoid(position: float) -> float:
    return 2 / (1 + math.exp(5 * position)) - 1


def read(path: pathlib.Path, windows: list[list[str]]) -> dict:
    with open(path, newline="") as lines:
        rows = list(csv.DictReader(lines))
    parse = lambda text: datetime.datetime.fromisoformat(text[:19])
    times = [parse(row["timestamp"]) for row in rows]
    spans = [(bisect.bisect_left(times, parse(a)), bisect.bisect_right(times, parse(b)) - 1) for a, b in windows]
    return {"rows": rows, "scores": [float(row["anomaly_score"]) for row in rows], "spans": spans}


def judge(series: list[dict], threshold: float) -> tuple[float, int, int]:
    """NAB-style score from 0 to 100, windows found, rows outside windows at or above the threshold."""
    total, found, outside, windows = 0.0, 0, 0, 0
    for one in series:
        probation = min(int(0.15 * len(one["scores"])), 750)
        hits = [i for i, score in enumerate(one["scores"]) if score >= threshold and i >= probation]
        for start, end in one["spans"]:
            windows += 1
            first = next((i for i in hits if start <= i <= end), None)
            if first is None:
                total -= 1
            else:
                found += 1
                total += sigmoid(-(end - first + 1) / (end - start + 1)) / sigmoid(-1)
        for i in hits:
            if any(start <= i <= end for start, end in one["spans"]):
                continue
            outside += 1
            before = [(end, start) for start, end in one["spans"] if end < i]
            position = 4.0
            if before:
                end, start = max(before)
                position = (i - end) / (end - start)
            total += FALSE_POSITIVE * (sigmoid(position) if position <= 3 else -1)
    return 50 * (total + windows) / windows, found, outside


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__)
    cli.add_argument("--labels", required=True, type=pathlib.Path)
    cli.add_argument("--scored", required=True, type=pathlib.Path)
    args = cli.parse_args()
    labels = json.loads(args.labels.read_text())
    series = {name: read(args.scored / f"{name}.csv", windows) for name, windows in sorted(labels.items())}
    windows = sum(map(len, labels.values()))
    for threshold in (0.4, 0.5, 0.6, 0.7, 0.8, 0.9):
        score, found, outside = judge(list(series.values()), threshold)
        print(f"score >= {threshold}: NAB {score:.1f}, {found} of {windows} windows, {outside} rows outside")
    best = max((judge(list(series.values()), step / 200)[0], step / 200) for step in range(40, 200))
    print(f"best threshold {best[1]}: NAB {best[0]:.1f}")
    for name, one in series.items():
        rows = [row for row in one["rows"] if row["p10"]]
        inside = sum(float(row["p10"]) <= float(row["value"]) <= float(row["p90"]) for row in rows)
        print(f"{name}: {inside / len(rows):.3f} of {len(rows)} values between p10 and p90")


if __name__ == "__main__":
    main()
