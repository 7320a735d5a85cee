"""The score of the Numenta Anomaly Benchmark, standard profile (Lavin & Ahmad 2015, "Evaluating Real-time Anomaly Detection Algorithms").

Each labelled window holds one anomaly. With `s(y) = 2 / (1 + exp(5 y)) - 1`:

- The earliest detection in a window counts, `A_TP s(y) / s(-1)` at `y = -(end - row + 1) / rows of the window`, from -1 at its first row to nearly 0
  at its last; others in it count nothing. A window without one counts `-A_FN`.
- Each detection outside is a false positive, `A_FP s(y)` at `y = (row - end) / (rows of the window - 1)` past the window before it, so that one just
  behind it costs little; `-A_FP` from `y = 3` on or if there is no window before.
- Rows of the probationary period, the first 15 % of a series and 750 at most, are not scored, nor are windows that end in it.
- The sum over all series is scaled so that no detection at all is 0 and a detection in the first row of every window is 100.
"""

import bisect
import csv
import dataclasses
import datetime
import json
import math
import pathlib

A_TP, A_FP, A_FN = 1.0, 0.11, 1.0


def sigmoid(position: float) -> float:
    return 2 / (1 + math.exp(5 * position)) - 1 if position <= 3 else -1.0


@dataclasses.dataclass
class Series:
    name: str
    rows: list[dict]
    windows: list[tuple[int, int]]  # first and last row of each window that is scored, in the order of time

    @property
    def probation(self) -> int:
        return probation(len(self.rows))


def probation(rows: int) -> int:
    return math.floor(0.15 * min(rows, 5000))


def window_of(row: int, windows: list[tuple[int, int]]) -> int | None:
    return next((index for index, (start, end) in enumerate(windows) if start <= row <= end), None)


def true_positive(row: int, window: tuple[int, int]) -> float:
    start, end = window
    return A_TP * sigmoid(-(end - row + 1) / (end - start + 1)) / sigmoid(-1)


def false_positive(row: int, windows: list[tuple[int, int]]) -> float:
    before = [window for window in windows if window[1] < row]
    if not before:
        return -A_FP
    start, end = max(before, key=lambda window: window[1])
    return A_FP * sigmoid((row - end) / (end - start))


def judge(detections: list[int], windows: list[tuple[int, int]], rows: int) -> tuple[list[float], dict[int, float]]:
    """What each window counts, and each false positive by its row."""
    counted, false = [-A_FN] * len(windows), {}
    for row in sorted(detections):
        if row < probation(rows):
            continue
        window = window_of(row, windows)
        if window is None:
            false[row] = false_positive(row, windows)
        else:
            counted[window] = max(counted[window], true_positive(row, windows[window]))
    return counted, false


def scaled(total: float, windows: int) -> float:
    return 100 * (total + A_FN * windows) / ((A_TP + A_FN) * windows)


def pooled(judged: list[tuple[list[float], dict[int, float]]]) -> float:
    """The score over several series."""
    total = sum(sum(counted) + sum(false.values()) for counted, false in judged)
    return scaled(total, sum(len(counted) for counted, _ in judged))


def read(path: pathlib.Path, labels: list[list[str]]) -> Series:
    with open(path, newline="") as lines:
        rows = list(csv.DictReader(lines))
    parse = lambda text: datetime.datetime.fromisoformat(text[:19])
    times = [parse(row["timestamp"]) for row in rows]
    spans = [(bisect.bisect_left(times, parse(a)), bisect.bisect_right(times, parse(b)) - 1) for a, b in labels]
    return Series(path.stem, rows, [span for span in spans if span[1] >= probation(len(rows))])


def read_folder(folder: pathlib.Path, labels: pathlib.Path) -> list[Series]:
    return [read(folder / f"{name}.csv", spans) for name, spans in sorted(json.loads(labels.read_text()).items())]
