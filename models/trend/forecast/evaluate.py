"""Judge the forecaster, leaving one series out: each series is forecast by a model that was trained without it (`folds/`, by train.py).

    python evaluate.py --data SERIES            # text
    python evaluate.py --data SERIES --json     # the same as JSON

Origins are an hour apart, from a quarter of each series on and after two weeks at least. Baselines are in `baselines.py`, measures in
`scores.py`. Intervals are 90 %, by drawing whole days. Beside each signal stands its null: the forecasts of other origins of the
same series (drawn at random), or shuffled labels. Minutes on one core.
"""

import argparse
import json
import pathlib
import sys

import numpy as np
from sklearn.linear_model import LogisticRegression

import baselines
import data
import export
import features
import scores

ROUNDS = 300


def origins_of(x):
    return np.arange(max(14 * 288, len(x) // 4), len(x) - features.HOUR, features.HOUR)


def table(x, index0, origins, history=None):
    nothing = np.zeros(len(x))
    starts = np.zeros(len(origins), int) if history is None else np.maximum(0, origins + 1 - history)
    return features.table(x, nothing - 1, nothing, nothing, starts, origins, index0, features.COUNT)


def simple(x, origins):
    """Three logarithms: the last hour, and its ratio to the hour before and to the day."""
    hours = baselines.rolling_hours(x) + 0.5
    day = np.convolve(x, np.ones(288), "full")[: len(x)] / 24 + 0.5
    return np.log(np.stack([hours[origins], hours[origins] / hours[origins - 12], hours[origins] / day[origins]], axis=1))


def coverage(truth, said):
    """Share of truths below and up to each quantile: for counts the nominal share lies between the two."""
    return {f"p{int(q * 100)}": [float((truth < said[:, i]).mean()), float((truth <= said[:, i]).mean())] for i, q in enumerate(baselines.QUANTILES)}


def judge_counts(truth, said, others, days, scale, rng):
    """WQL and MASE of the model and the others, the null, and the gain over the best other one."""
    names = {"model": said, **others}
    found = {name: {"wql": scores.wql(truth, one), "mase": scores.mase(truth, one, scale)} for name, one in names.items()}
    best = min(others, key=lambda name: found[name]["wql"])
    null = np.mean([scores.wql(truth, said[rng.permutation(len(truth))]) for _ in range(20)])
    gain = lambda rows: 1 - scores.wql(truth[rows], said[rows]) / scores.wql(truth[rows], others[best][rows])
    return {
        "scores": found,
        "best_other": best,
        "gain_over_best": [float(gain(np.arange(len(truth)))), *scores.interval(days, gain)],
        "wql_interval": scores.interval(days, lambda rows: scores.wql(truth[rows], said[rows])),
        "null_wql": float(null),
        "coverage": coverage(truth, said),
    }


def judge_doubling(truth, said, logistic, rate, days, rng):
    names = {"model": said, "logistic": logistic, "base rate of the others": np.full(len(truth), rate)}
    found = {
        name: {"brier": float(scores.brier(truth, one)), "auc": float(scores.auc(truth, one)), "average_precision": float(scores.average_precision(truth, one))}
        for name, one in names.items()
    }
    shuffled = [rng.permutation(truth) for _ in range(200)]
    null = {
        "auc_95": float(np.quantile([scores.auc(s, said) for s in shuffled], 0.95)),
        "average_precision_95": float(np.quantile([scores.average_precision(s, said) for s in shuffled], 0.95)),
        "brier_5": float(np.quantile([scores.brier(s, said) for s in shuffled], 0.05)),
    }
    own = found["model"]
    return {
        "rate": float(truth.mean()),
        "scores": found,
        "auc_interval": scores.interval(days, lambda rows: scores.auc(truth[rows], said[rows])),
        "brier_gain_over_base_rate": [1 - own["brier"] / found["base rate of the others"]["brier"]],
        "null": null,
        "beats_null": {"auc": own["auc"] > null["auc_95"], "average_precision": own["average_precision"] > null["average_precision_95"], "brier": own["brier"] < null["brier_5"]},
        "reliability": scores.reliability(truth, said),
    }


def one_series(name, real, folds):
    rng = np.random.default_rng(3)
    x, index0 = real[name]
    origins = origins_of(x)
    days = (index0 + origins) // 288
    rows, levels, asked = table(x, index0, origins)
    runtime = export.session(folds / f"without-{name}.onnx")
    window, hour, doubling = export.forecast(runtime, rows, levels)
    before = x[: origins[0] + 1]
    hours_before = baselines.rolling_hours(before)
    hour_scale = np.abs(hours_before[23:] - hours_before[11:-12]).mean()
    window_scale = np.abs(np.diff(before)).mean()
    hour_others = {
        "naive": baselines.hour_naive(x, origins),
        "seasonal naive (day)": baselines.hour_naive(x, origins, 288),
        "AutoETS": baselines.hour_ets(x, origins, 24, False),
        "AutoETS of logarithms": baselines.hour_ets(x, origins, 1, True),
    }
    window_others = {
        "naive": baselines.window_naive(x, origins),
        "seasonal naive (day)": baselines.window_naive(x, origins, 288),
        "former formula": baselines.window_formula(x, origins),
        "AutoETS": baselines.window_ets(x, origins, False),
        "AutoETS of logarithms": baselines.window_ets(x, origins, True),
    }
    rest = [(other, origins_of(other)) for key, (other, _) in real.items() if key != name]
    labels = [np.array([label(other, t) for t in at]) for other, at in rest]
    logistic = LogisticRegression(C=1.0, max_iter=500).fit(np.concatenate([simple(other, at) for other, at in rest]), np.concatenate(labels))
    young = {}
    for text, windows in (("1 hour", 12), ("6 hours", 72), ("1 day", 288)):
        short_rows, short_levels, _ = table(x, index0, origins, windows)
        _, said, _ = export.forecast(runtime, short_rows, short_levels)
        young[text] = {"wql": float(scores.wql(asked[:, 1], said)), "coverage": coverage(asked[:, 1], said)}
    return {
        "origins": len(origins),
        "next_hour": judge_counts(asked[:, 1], hour, hour_others, days, hour_scale, rng),
        "next_window": judge_counts(asked[:, 0], window, window_others, days, window_scale, rng),
        "doubling": judge_doubling(asked[:, 2], doubling, logistic.predict_proba(simple(x, origins))[:, 1], float(np.concatenate(labels).mean()), days, rng),
        "short_history": young,
    }


def label(x, t):
    three = np.zeros(3)
    features.targets(x, t, three)
    return three[2]


def together(found):
    """Means over the series, and the gain over the baseline that is best by its mean."""
    summary = {}
    for part in ("next_hour", "next_window"):
        mean = {m: float(np.mean([one[part]["scores"][m]["wql"] for one in found.values()])) for m in next(iter(found.values()))[part]["scores"]}
        mase = {m: float(np.mean([one[part]["scores"][m]["mase"] for one in found.values()])) for m in mean}
        best = min((m for m in mean if m != "model"), key=mean.get)
        gains = [one[part]["gain_over_best"][0] for one in found.values()]
        plain = min(("naive", "seasonal naive (day)", "AutoETS"), key=mean.get)
        summary[part] = {"mean_wql": mean, "mean_mase": mase, "best_other": best, "gain_over_it": 1 - mean["model"] / mean[best], "best_plain": plain, "gain_over_plain": 1 - mean["model"] / mean[plain], "mean_gain_over_best_of_each": float(np.mean(gains))}
    return summary


def text(found, summary):
    for name, one in found.items():
        print(f"{name}, {one['origins']} origins")
        for part in ("next_hour", "next_window"):
            said = one[part]
            low, high = said["wql_interval"]
            print(f"  {part}: WQL {said['scores']['model']['wql']:.3f} [{low:.3f}, {high:.3f}], MASE {said['scores']['model']['mase']:.3f}; null {said['null_wql']:.3f}")
            for other, values in said["scores"].items():
                if other != "model":
                    print(f"      {other:24} WQL {values['wql']:.3f}  MASE {values['mase']:.3f}")
            gain, low, high = said["gain_over_best"]
            print(f"      gain over {said['best_other']}: {100 * gain:.1f} % [{100 * low:.1f}, {100 * high:.1f}]")
            print("      coverage " + ", ".join(f"{q} {a:.3f}..{b:.3f}" for q, (a, b) in said["coverage"].items()))
        said = one["doubling"]
        print(f"  doubling, rate {said['rate']:.3f}")
        for other, values in said["scores"].items():
            print(f"      {other:24} Brier {values['brier']:.4f}  AUC {values['auc']:.3f}  AP {values['average_precision']:.3f}")
        null = said["null"]
        print(f"      null: AUC {null['auc_95']:.3f}, AP {null['average_precision_95']:.3f}, Brier {null['brier_5']:.4f}; beaten: {said['beats_null']}")
        print("      reliability " + ", ".join(f"{p:.3f}->{y:.3f} ({n})" for n, p, y in said["reliability"]))
        for length, values in one["short_history"].items():
            spans = ", ".join(f"{q} {a:.3f}..{b:.3f}" for q, (a, b) in values["coverage"].items())
            print(f"  next_hour with {length} of history: WQL {values['wql']:.3f}, coverage {spans}")
    for part, said in summary.items():
        print(f"{part}, mean of the series: " + ", ".join(f"{m} {v:.4f}" for m, v in said["mean_wql"].items()))
        print("    MASE: " + ", ".join(f"{m} {v:.3f}" for m, v in said["mean_mase"].items()))
        print(f"    gain over {said['best_plain']}, the best of naive, seasonal naive and AutoETS, {100 * said['gain_over_plain']:.1f} %")
        print(f"    gain over {said['best_other']} {100 * said['gain_over_it']:.1f} %, over the best of each series {100 * said['mean_gain_over_best_of_each']:.1f} % on average")


def main():
    here = pathlib.Path(__file__).parent
    cli = argparse.ArgumentParser(description=__doc__)
    cli.add_argument("--data", required=True, type=pathlib.Path)
    cli.add_argument("--folds", default=here / "folds", type=pathlib.Path)
    cli.add_argument("--json", action="store_true")
    args = cli.parse_args()
    real = data.read(args.data)
    found = {}
    for name in sorted(real):
        print(f"{name} ...", file=sys.stderr, flush=True)
        found[name] = one_series(name, real, args.folds)
    summary = together(found)
    if args.json:
        json.dump({"series": found, "summary": summary}, sys.stdout, indent=1)
    else:
        text(found, summary)


if __name__ == "__main__":
    main()
