"""What the forecaster sees of a series, and what it is asked for.

`row` is the definition: `processors/src/forecast/features.rs` computes the same numbers, and `golden.json` holds both to it. A series is an
array of counts of 5-minute windows; `index0` is the number of its first window since 1970. Everything a row says at window t
depends on windows `start` to t only.
"""

import numba
import numpy as np

DAY, HOUR, DAYS = 288, 12, 7
NAMES = (
    [f"count_{i}" for i in range(12)]
    + [f"mean_{w}" for w in (2, 3, 6, 12, 24, 36, 72, 144)]
    + [f"median_{w}" for w in (12, 72, 288)]
    + [f"roughness_{w}" for w in (12, 72, 288)]
    + [f"highest_{w}" for w in (12, 72, 288)]
    + ["since_highest", "days", "season", "season_sum", "season_spread", "season_1", "season_7", "usual", "usual_1", "usual_7"]
    + ["week", "hours_spread", "hours_roughness", "level", "windows", "hours"]
    + ["authors_known", "posts_per_author", "mood_known", "mood", "mood_change"]
)
COUNT = len(NAMES)
# Least windows of history for a forecast.
LEAST = HOUR
# A count beyond this is taken as this.
CEILING = 1e9


@numba.njit(cache=False)
def _median(values):
    ordered = np.sort(values)
    n = len(ordered)
    return ordered[n // 2] if n % 2 else 0.5 * (ordered[n // 2 - 1] + ordered[n // 2])


@numba.njit(cache=False)
def _relative(value, base):
    return np.log((value + 0.5) / (base + 0.5))


@numba.njit(cache=False)
def _block(x, start, t, index0, block):
    """Posts in one hour of the clock, as far as they lie between start and t."""
    total = 0.0
    first = max(block * HOUR - index0, start)
    last = min(block * HOUR + HOUR - 1 - index0, t)
    for i in range(first, last + 1):
        total += min(x[i], CEILING)
    return total


@numba.njit(cache=False)
def _spanning(x, start, t, index0, first):
    """Posts in the hour that begins with window `first`, each hour of the clock taken as even."""
    block, part = first // HOUR, first % HOUR
    early = _block(x, start, t, index0, block) * (HOUR - part)
    return (early + _block(x, start, t, index0, block + 1) * part) / HOUR


@numba.njit(cache=False)
def row(x, authors, scores, scored, start, t, index0, out):
    """Fills `out` for the forecast made after window t; returns posts per window of the last day. `authors` < 0 is unknown."""
    n = min(t + 1 - start, DAY)
    recent = np.empty(n)
    for i in range(n):
        recent[i] = min(x[t - i], CEILING)
    level = (recent.sum() + 0.5) / n
    at = 0
    for i in range(12):
        out[at] = _relative(recent[i], level)
        at += 1
    for w in (2, 3, 6, 12, 24, 36, 72, 144):
        m = min(w, n)
        out[at] = _relative(recent[:m].sum(), level * m)
        at += 1
    for w in (12, 72, 288):
        out[at] = _relative(_median(recent[: min(w, n)]), level)
        at += 1
    for w in (12, 72, 288):
        m = min(w, n)
        steps = 0.0
        for i in range(m - 1):
            steps += abs(2.0 * np.sqrt(recent[i] + 0.375) - 2.0 * np.sqrt(recent[i + 1] + 0.375))
        out[at] = np.log(steps / (m - 1) + 0.1)
        at += 1
    for w in (12, 72, 288):
        out[at] = _relative(recent[: min(w, n)].max(), level)
        at += 1
    out[at] = np.argmax(recent) / DAY
    at += 1

    now = index0 + t
    base = HOUR * level
    known = 0
    ratios = np.zeros(DAYS)
    ahead_sum, behind_sum, usual = 0.0, 0.0, 0.0
    season_1, season_7, usual_1, usual_7 = 0.0, 0.0, 0.0, 0.0
    for d in range(1, DAYS + 1):
        ahead_at = now + 1 - DAY * d
        if (ahead_at // HOUR - 1) * HOUR < index0 + start:
            break
        ahead = _spanning(x, start, t, index0, ahead_at)
        behind = _spanning(x, start, t, index0, ahead_at - HOUR)
        ratio = min(max(_relative(ahead, behind), -2.0), 2.0)
        ratios[known] = ratio
        known += 1
        ahead_sum += ahead
        behind_sum += behind
        usual += _relative(ahead, base)
        if d == 1:
            season_1, usual_1 = ratio, _relative(ahead, base)
        if d == DAYS:
            season_7, usual_7 = ratio, _relative(ahead, base)
    out[at] = known / DAYS
    if known:
        mean = ratios[:known].mean()
        spread = 0.0
        for d in range(known):
            spread += (ratios[d] - mean) ** 2
        out[at + 1] = mean
        out[at + 2] = _relative(ahead_sum, behind_sum)
        out[at + 3] = np.sqrt(spread / known)
        out[at + 4] = season_1
        out[at + 5] = season_7
        out[at + 6] = usual / known
        out[at + 7] = usual_1
        out[at + 8] = usual_7
    else:
        out[at + 1 : at + 9] = 0.0
    at += 9

    # Whole hours of the clock, newest first.
    newest = (now + 1) // HOUR - 1
    oldest = -((-(index0 + start)) // HOUR)
    hours = min(max(newest - oldest + 1, 0), 24 * DAYS)
    total, logs, squares, steps, previous = 0.0, 0.0, 0.0, 0.0, 0.0
    day = min(hours, 24)
    for h in range(hours):
        posts = _block(x, start, t, index0, newest - h)
        total += posts
        if h < day:
            one = np.log(posts + 0.5)
            logs += one
            squares += one * one
            if h:
                steps += abs(one - previous)
            previous = one
    out[at] = _relative(total / hours, base) if hours else 0.0
    out[at + 1] = np.sqrt(max(squares / day - (logs / day) ** 2, 0.0)) if hours else 0.0
    out[at + 2] = steps / (day - 1) if day > 1 else 0.0
    out[at + 3] = np.log(level + 0.05)
    out[at + 4] = n / DAY
    out[at + 5] = hours / (24 * DAYS)
    at += 6

    # The last hour's authors and mood, as far as they are known.
    posts, people, count, weight, near, near_weight = 0.0, 0.0, 0, 0.0, 0.0, 0.0
    mood = 0.0
    for i in range(12):
        if authors[t - i] >= 0:
            posts += recent[i]
            people += authors[t - i]
            count += 1
        if scored[t - i] > 0:
            mood += scores[t - i]
            weight += scored[t - i]
            if i < 3:
                near += scores[t - i]
                near_weight += scored[t - i]
    out[at] = 1.0 if count and people > 0 else 0.0
    out[at + 1] = _relative(posts, people) if count and people > 0 else 0.0
    out[at + 2] = 1.0 if weight > 0 else 0.0
    out[at + 3] = mood / weight if weight > 0 else 0.0
    out[at + 4] = near / near_weight - mood / weight if near_weight > 0 else 0.0
    return level


@numba.njit(cache=False)
def targets(x, t, out):
    """Next window, next hour, and whether attention doubles; windows t + 1 to t + 12 must be there."""
    now = 0.0
    for i in range(HOUR):
        now += x[t - i]
    ahead, rolling, highest = 0.0, now, 0.0
    for k in range(1, HOUR + 1):
        ahead += x[t + k]
        rolling += x[t + k] - x[t + k - HOUR]
        highest = max(highest, rolling)
    out[0] = x[t + 1]
    out[1] = ahead
    out[2] = 1.0 if highest >= max(2.0 * now, DOUBLING_FLOOR) else 0.0


# Fewer posts in an hour than this are no doubling, however few there were before.
DOUBLING_FLOOR = 10.0


@numba.njit(cache=False)
def table(x, authors, scores, scored, starts, origins, index0, count):
    """Rows, levels and targets of many origins; -1 where the future is not there."""
    rows = np.zeros((len(origins), count), dtype=np.float32)
    levels = np.zeros(len(origins))
    asked = np.full((len(origins), 3), -1.0)
    one = np.zeros(count)
    three = np.zeros(3)
    for j in range(len(origins)):
        t = origins[j]
        levels[j] = row(x, authors, scores, scored, starts[j], t, index0, one)
        rows[j] = one
        if t + HOUR < len(x):
            targets(x, t, three)
            asked[j] = three
    return rows, levels, asked
