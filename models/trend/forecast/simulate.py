"""Made-up series: self-exciting counts (Hawkes) with a day, a week, slow drift and bursts, and the series of one account that posts in bulk."""

import numba
import numpy as np


@numba.njit(cache=False)
def _hawkes(base, branching, memory, burst_at, burst_size, burst_memory, noise, seed):
    np.random.seed(seed)
    n = len(base)
    counts = np.zeros(n)
    authors = np.zeros(n)
    excited, burst, slow = 0.0, 0.0, 0.0
    fade, burst_fade = np.exp(-1.0 / memory), np.exp(-1.0 / burst_memory)
    for t in range(n):
        slow = 0.999 * slow + 0.03 * noise * np.random.normal()
        burst = burst * burst_fade + burst_size[t] * burst_at[t]
        rate = base[t] * np.exp(slow) * (1.0 + burst) + branching * (1.0 - fade) * excited
        if noise > 0:
            rate *= np.random.gamma(1.0 / (0.2 * noise), 0.2 * noise)
        counts[t] = np.random.poisson(min(rate, 1e5))
        authors[t] = counts[t]
        excited = excited * fade + counts[t]
    return counts, authors


def series(rng, days=24):
    """Counts, authors, sums of scores and scored posts of one made-up asset."""
    n = days * 288
    t = np.arange(n)
    level = np.exp(rng.uniform(np.log(0.05), np.log(60)))
    day = rng.uniform(0, 1.2) * np.sin(2 * np.pi * (t / 288 + rng.random())) + rng.uniform(0, 0.5) * np.sin(4 * np.pi * (t / 288 + rng.random()))
    week = np.where((t // 288 + rng.integers(7)) % 7 < 2, -rng.uniform(0, 0.8), 0.0)
    every = rng.uniform(1, 6) * 288
    bursts = (rng.random(n) < 1 / every).astype(float)
    sizes = np.exp(rng.normal(1.0, 1.0, n))
    branching = rng.uniform(0.1, 0.85)
    base = level * np.exp(day + week) * (1 - branching)
    counts, authors = _hawkes(
        base, branching, np.exp(rng.uniform(0, np.log(36))), bursts, sizes, np.exp(rng.uniform(np.log(1), np.log(48))), rng.uniform(0.05, 2.0), int(rng.integers(2**31))
    )
    authors = np.floor(authors * rng.uniform(0.6, 1.0) + rng.random(n))
    authors = np.minimum(authors, counts)
    # One account posts in bulk for a while and stops: many posts, one author, no echo.
    for at in np.flatnonzero(rng.random(n) < 1 / (3 * 288)):
        length = int(rng.integers(1, 8))
        counts[at : at + length] += rng.poisson(level * np.exp(rng.normal(1, 0.7)) + 1, len(counts[at : at + length]))
        authors[at : at + length] += 1
    authors = np.minimum(authors, counts)
    return counts, authors, *mood(rng, counts)


def mood(rng, counts):
    """Scores that say nothing about what follows."""
    scored = rng.binomial(counts.astype(int), rng.uniform(0.5, 1.0)).astype(float)
    drift = np.clip(np.convolve(rng.normal(0, 1, len(counts)), np.ones(144) / 144, "same") * 3 + rng.uniform(-0.3, 0.3), -1, 1)
    scores = np.clip(drift * scored + rng.normal(0, 0.5, len(counts)) * np.sqrt(scored), -scored, scored)
    return scores, scored
