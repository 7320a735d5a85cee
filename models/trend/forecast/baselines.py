"""What the forecaster is held against. Each gives p10, p50 and p90 of origins, from what was known at each."""

import warnings

import numpy as np
from statsforecast.models import AutoETS

QUANTILES = np.array([0.1, 0.5, 0.9])
HOUR, DAY = 12, 288


def rolling_hours(x):
    """Posts in the 12 windows up to each window."""
    return np.convolve(x, np.ones(HOUR), "full")[: len(x)]


def _with_past_errors(point, truth, origins, step, past):
    """A point forecast plus the quantiles of its own errors over the last `past` windows, each known at the origin."""
    found = []
    for t in origins:
        known = np.arange(t - past, t + 1 - step, step)
        found.append(point[t] + np.quantile(truth[known] - point[known], QUANTILES))
    return np.maximum(np.array(found), 0)


def hour_naive(x, origins, lag=HOUR):
    """The last hour again (lag 12), or the hour a day earlier (lag 288), with the errors of the last week."""
    hours = rolling_hours(x)
    ahead = np.append(hours[HOUR:], np.full(HOUR, np.nan))
    point = np.full(len(x), np.nan)
    point[lag - HOUR :] = hours[: len(x) - lag + HOUR]
    return _with_past_errors(point, ahead, origins, HOUR, 7 * DAY)


def window_naive(x, origins, lag=1):
    """The last window again, or the one a day earlier, with the errors of the last day."""
    ahead = np.append(x[1:], np.nan)
    point = np.full(len(x), np.nan)
    point[lag - 1 :] = x[: len(x) - lag + 1]
    return _with_past_errors(point, ahead, origins, 1, DAY)


def window_formula(x, origins):
    """The quantiles that `processors/src/anomaly.rs` gave: median of 12 transformed counts plus quantiles of 288 residuals."""
    z = 2 * np.sqrt(x + 0.375)
    level = np.array([np.median(z[max(0, i - 12) : i]) if i else 0.0 for i in range(len(x) + 1)])
    residual = z - level[:-1]
    found = [level[t + 1] + np.quantile(residual[t - DAY + 1 : t + 1], QUANTILES) for t in origins]
    return np.maximum((np.maximum(np.array(found), 0) / 2) ** 2 - 0.375, 0)


def ets(y, first, season, log, refit, past):
    """AutoETS, one step ahead of each value from `first` on. The model is chosen and fitted again every `refit` values on the last `past`;
    between that, the fitted model is brought up to date with the newest values (`forward`)."""
    there = (lambda v: np.log(v + 0.5)) if log else (lambda v: v)
    back = (lambda v: np.exp(v) - 0.5) if log else (lambda v: v)
    found, model = [], None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for i in range(first, len(y)):
            known = there(y[max(0, i - past) : i])
            if (i - first) % refit == 0:
                model = AutoETS(season_length=season).fit(known)
                said = model.predict(h=1, level=[80])
            else:
                said = model.forward(known, h=1, level=[80])
            found.append([said["lo-80"][0], said["mean"][0], said["hi-80"][0]])
    counts = back(np.clip(np.nan_to_num(np.array(found)), -1e9, 20.0 if log else 1e9))
    return np.maximum(np.sort(counts, axis=1), 0)


def hour_ets(x, origins, season, log, refit=24):
    """On the hours that end at the origins, which must be an hour apart; two weeks of them; fitted again once a day."""
    offset = (origins[0] + 1) % HOUR
    hours = x[offset : offset + (len(x) - offset) // HOUR * HOUR].reshape(-1, HOUR).sum(1)
    first = (origins[0] + 1 - offset) // HOUR
    return ets(hours[: first + len(origins)], first, season, log, refit, 336)


def window_ets(x, origins, log):
    """On the last day's windows, without a season (a day of windows is too long a season for ETS); fitted again every two days of origins."""
    found, model = [], None
    there = (lambda v: np.log(v + 0.5)) if log else (lambda v: v)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for i, t in enumerate(origins):
            known = there(x[t - DAY + 1 : t + 1])
            if i % 48 == 0:
                model = AutoETS(season_length=1).fit(known)
                said = model.predict(h=1, level=[80])
            else:
                said = model.forward(known, h=1, level=[80])
            found.append([said["lo-80"][0], said["mean"][0], said["hi-80"][0]])
    counts = np.clip(np.nan_to_num(np.array(found)), -1e9, 20.0 if log else 1e9)
    return np.maximum(np.sort(np.exp(counts) - 0.5 if log else counts, axis=1), 0)
