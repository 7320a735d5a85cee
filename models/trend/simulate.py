"""How often the detector raises an alarm on simulated series in which nothing happens: `python simulate.py`.

Counts of 55 days of 5 minutes with a daily wave of 80 %: Poisson, negative binomial, and self-exciting (Hawkes, with posts that follow a post
within half an hour on average), and bursts with heavy tails, 20 series each.
"""

import detector
import numpy as np

ROWS, SERIES, LEARNING = 55 * 288, 20, 750
random = np.random.default_rng(7)
wave = 1 + 0.8 * np.sin(2 * np.pi * np.arange(ROWS) / 288)


def poisson(rate: float) -> np.ndarray:
    return random.poisson(rate * wave)


def overdispersed(rate: float) -> np.ndarray:
    return random.poisson(random.gamma(2, rate / 2 * wave))


def self_exciting(rate: float, followers: float) -> np.ndarray:
    """Each post is followed by this many on average, so that the mean is `rate / (1 - followers)`."""
    counts, excited, decay = np.zeros(ROWS), 0.0, np.exp(-1 / 6)
    for row in range(ROWS):
        counts[row] = random.poisson(rate * wave[row] + excited)
        excited = excited * decay + counts[row] * followers * (1 - decay)
    return counts


def heavy_tailed() -> np.ndarray:
    """Two bursts a day, each of a height by Pareto's law of index 1.5, that decay within an hour."""
    rate = 2 * wave
    for start in random.integers(0, ROWS - 200, 2 * ROWS // 288):
        rate[start : start + 200] += 5 * (random.pareto(1.5) + 1) * np.exp(-np.arange(200) / 12)
    return random.poisson(rate)


KINDS = {f"poisson, mean {rate}": (poisson, rate) for rate in (0.5, 5, 50)}
KINDS["negative binomial, mean 20, shape 2"] = (overdispersed, 20)
KINDS |= {f"self-exciting, mean 10, {followers} followers": (self_exciting, 10 * (1 - followers), followers) for followers in (0.5, 0.8, 0.95)}
KINDS["bursts by Pareto's law"] = (heavy_tailed,)


def main() -> None:
    for name, (kind, *arguments) in KINDS.items():
        alarms = []
        for _ in range(SERIES):
            counts, parameters = kind(*arguments).astype(float), detector.Parameters()
            rarity, rises = detector.mean_rarity(counts, parameters), detector.risen(counts, parameters)
            alarms.append(np.array(detector.alarms(rarity, rises, parameters)))
        learning = np.mean([(one < LEARNING).sum() for one in alarms])
        later = np.mean([(one >= LEARNING).sum() for one in alarms]) / (ROWS - LEARNING) * 288 * 30
        print(f"{name}: {later:.1f} alarms in 30 days, {learning:.2f} in the first {LEARNING / 288:.1f} days")


if __name__ == "__main__":
    main()
