"""Series from disk and the training table: real ones, thinned, cut short and shuffled by day, and made-up ones."""

import datetime
import pathlib

import numpy as np

import features
import simulate

EPOCH = datetime.datetime(1970, 1, 1)


def read(folder: pathlib.Path) -> dict[str, tuple[np.ndarray, int]]:
    """Name to counts and number of the first window since 1970."""
    found = {}
    for path in sorted(folder.glob("*.csv")):
        lines = path.read_text().split()[1:]  # the header; a row is split at its blank
        first = datetime.datetime.fromisoformat(f"{lines[0]} {lines[1].split(',')[0]}"[:19])
        counts = np.array([float(line.split(",")[1]) for line in lines[1::2]])
        found[path.stem] = counts, int((first - EPOCH).total_seconds()) // 300
    return found


def thinned(rng, x, share):
    """Each post is kept with probability `share`: the same asset seen by a smaller source."""
    return x if share == 1.0 else rng.binomial(x.astype(np.int64), share).astype(float)


def shuffled_days(rng, x):
    """Days in blocks of one to three, in another order."""
    days = [x[i : i + 288] for i in range(0, len(x) - 287, 288)]
    order, blocks = [], []
    while days:
        size = int(rng.integers(1, 4))
        blocks.append(days[:size])
        days = days[size:]
    for at in rng.permutation(len(blocks)):
        order.extend(blocks[at])
    return np.concatenate(order)


def rows_of(rng, x, index0, stride, extra=None, unknown=0.5):
    """Rows of one series: whole histories, and a third as many that begin a short while ago."""
    n = len(x)
    if extra is None:
        # Nothing is known of authors and mood: unknown in some rows, made up without any meaning in the others.
        authors = np.floor(x * rng.uniform(0.6, 1.0) + rng.random(n))
        extra = (np.minimum(authors, x), *simulate.mood(rng, x))
    authors, scores, scored = extra
    whole = np.arange(int(rng.integers(features.LEAST, features.LEAST + stride)), n - features.HOUR, stride)
    young = rng.choice(whole, max(1, len(whole) // 3))
    lengths = np.exp(rng.uniform(np.log(features.LEAST), np.log(8 * 288), len(young))).astype(int)
    origins = np.concatenate([whole, young])
    starts = np.concatenate([np.zeros(len(whole), dtype=int), np.maximum(0, young + 1 - lengths)])
    shift = int(rng.integers(0, 12))
    table = features.table(x, authors, scores, scored, starts, origins, index0 + shift, features.COUNT)
    hidden = rng.random(len(origins)) < unknown
    table[0][np.ix_(hidden, np.arange(features.COUNT - 5, features.COUNT))] = 0.0
    return table


def training_table(real, seed, simulated=80, stride=4):
    """Rows, levels, targets and the weight of each row's raw loss, of all series together."""
    rng = np.random.default_rng(seed)
    parts = []
    for x, index0 in real.values():
        variants = [x, shuffled_days(rng, x)]
        for share in (0.5, 0.2, 0.05, 0.01, 0.003):
            if x.mean() * share > 0.1:
                variants.append(thinned(rng, x, share * rng.uniform(0.7, 1.4)))
        for at, variant in enumerate(variants):
            table = rows_of(rng, variant, index0, stride if at == 0 else 2 * stride)
            parts.append((*table, np.full(len(table[1]), variant.mean()), np.full(len(table[1]), 1.0)))
    for _ in range(simulated):
        x, *extra = simulate.series(rng)
        table = rows_of(rng, x, int(rng.integers(0, 2016)), 4 * stride, extra, unknown=0.3)
        parts.append((*table, np.full(len(table[1]), x.mean() + 0.01), np.full(len(table[1]), 0.5)))
    return [np.concatenate([part[i] for part in parts]) for i in range(5)]
