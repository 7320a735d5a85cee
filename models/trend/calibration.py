"""How often tail probabilities are as small as they say, on series of several kinds: recorded, and simulated with nothing in them.

    python calibration.py DATA

DATA holds `trend/*.csv` with `labels.json`, and crawls of subreddits in `recorded/posts`. Printed is, for each level, the share of rows whose tail probability is
no larger, over the level: 1 is right, below 1 cautious. Rows in labelled windows are left out, as are the first 750, in which little is known. With its days in
random order a subreddit has bursts and busy hours as it had, and no month in which a coin fell.
"""

import argparse
import pathlib

import alerts
import detector
import nab
import numpy as np
import simulate

LEVELS = (0.5, 0.1, 0.01, 0.001)
SUBREDDITS = ("Bitcoin", "BitcoinBeginners", "CoinBase", "CryptoMarkets")


def quiet_rarity(counts: np.ndarray, windows: list[tuple[int, int]] = []) -> np.ndarray:
    """Powers of ten of the tail probability in the rows that count."""
    keep = np.arange(len(counts)) >= simulate.LEARNING
    for start, end in windows:
        keep[start : end + 1] = False
    return detector.mean_rarity(np.asarray(counts, float), detector.Parameters())[keep]


def line(name: str, rarities: list[np.ndarray]) -> str:
    rarity = np.concatenate(rarities)
    ratios = (np.mean(rarity >= -np.log10(level) - 1e-9) / level for level in LEVELS)
    return f"{name}: {', '.join(f'{ratio:.2f}' for ratio in ratios)} ({len(rarity)} rows)"


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("data", type=pathlib.Path)
    args = cli.parse_args()
    print(f"rows as rare as {', '.join(map(str, LEVELS))}, over that")
    series = nab.read_folder(args.data / "trend", args.data / "trend/labels.json")
    stocks = [quiet_rarity([float(row["value"]) for row in one.rows], one.windows) for one in series]
    for one, rarity in zip(series, stocks):
        print(line(f"mentions of {one.name}", [rarity]))
    print(line("mentions of stocks, all", stocks))
    for subreddit in SUBREDDITS:
        times = np.array([time for time, _ in alerts.read(args.data / "recorded/posts", subreddit)])
        counts = np.bincount(((times - alerts.FROM) // 300).astype(int))
        days = counts[: len(counts) // 288 * 288].reshape(-1, 288)
        print(line(f"r/{subreddit}", [quiet_rarity(counts)]))
        print(line(f"r/{subreddit}, days in random order", [quiet_rarity(simulate.random.permutation(days).ravel()) for _ in range(3)]))
    for name, (kind, *arguments) in simulate.KINDS.items():
        print(line(name, [quiet_rarity(kind(*arguments)) for _ in range(3)]))


if __name__ == "__main__":
    main()
