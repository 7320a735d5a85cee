"""Ways to answer more posts per second, each with what it costs in quality, on the same posts and one thread.

    python frontier.py --train TWEETS.tsv crypto_train.tsv --val VAL.tsv crypto_val.tsv [--model DIR]

A line per way: texts per second of CPU time, macro-recall by file, and the share of labels equal to those of all layers.

    all layers          the whole network
    2 layers, 4 layers  the exit there alone: students that share the network's lower layers and were taught by its last exit
    exits as set        the cascade that vigie runs: a text leaves at the first exit whose probability reaches its threshold
    exits looser        the same with thresholds fitted to 98 % agreement instead of 99.5 %
    linear model first  a logistic regression on hashed words and character n-grams answers what it is sure of (99.5 % agreement with all
                        layers on the even lines of each file), the exits the rest; "linear model alone" is its quality and pace by itself
    linear and 2 layers the same, with the exit after 2 layers for the rest

Also how much of the vocabulary the texts use: a pruned one saves memory, not time, since a lookup costs the same in a smaller table.
"""

import argparse
import pathlib
import time

import numpy as np
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import FeatureUnion

from calibrate import AGREEMENT, exit_threshold, fit_temperature, leaving, read_tsv
from evaluate import macro_recall
from onnx_model import OnnxModel, softmax

LOOSER = 0.98


class Linear:
    """The tiny model; probabilities [texts, 3] after ``fit``."""

    def __init__(self):
        words = HashingVectorizer(ngram_range=(1, 2), n_features=1 << 18, alternate_sign=False)
        pieces = HashingVectorizer(analyzer="char_wb", ngram_range=(2, 4), n_features=1 << 18, alternate_sign=False)
        self.features = FeatureUnion([("words", words), ("pieces", pieces)])
        self.model = SGDClassifier(loss="log_loss", alpha=2e-6, class_weight="balanced", random_state=1, max_iter=20)

    def fit(self, texts: list[str], labels: np.ndarray) -> None:
        self.model.fit(self.features.transform(texts), labels)

    def logits(self, texts: list[str]) -> np.ndarray:
        return self.model.decision_function(self.features.transform(texts))


def timed_exits(model: OnnxModel, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Logits [exits, texts, 3] of the first windows, and the CPU seconds [exits, texts] up to each exit."""
    logits, seconds = [], []
    for text in texts:
        started = time.thread_time()
        window = model.windows(text)[0]
        tokenised = time.thread_time() - started
        row, spent = model.exits(window)
        logits.append(row)
        seconds.append(tokenised + np.cumsum(spent))
    return np.array(logits, dtype=float).transpose(1, 0, 2), np.array(seconds).T


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--train", nargs="+", required=True)
    cli.add_argument("--val", nargs="+", required=True, type=pathlib.Path)
    cli.add_argument("--model", default=pathlib.Path(__file__).parent, type=pathlib.Path)
    args = cli.parse_args()
    model, linear = OnnxModel(args.model), Linear()
    learnt = [read_tsv(path) for path in args.train]
    linear.fit([text for _, texts, _ in learnt for text in texts], np.concatenate([labels for labels, _, _ in learnt]))
    files = [read_tsv(path) for path in args.val]
    labels, texts = np.concatenate([one[0] for one in files]), [text for one in files for text in one[1]]
    where = np.repeat(np.arange(len(files)), [len(one[0]) for one in files])
    even = np.concatenate([np.arange(len(one[0])) % 2 == 0 for one in files])
    logits, seconds = timed_exits(model, texts)
    segments = model.card["segments"]
    probability = np.array([softmax(each, segment["temperature"]) for each, segment in zip(logits, segments)])
    last = probability[-1].argmax(-1)
    started = time.thread_time()
    first = linear.logits(texts)
    linear_seconds = (time.thread_time() - started) / len(texts)
    first = softmax(first, fit_temperature(first[even], labels[even]))

    def report(name: str, guess: np.ndarray, spent: np.ndarray) -> None:
        recalls = "  ".join(f"{path.name} {macro_recall(labels[where == n], guess[where == n]):.3f}" for n, path in enumerate(args.val))
        print(f"  {name:20} {len(texts) / spent.sum():6.0f} texts/s  {recalls}  same label {(guess == last).mean():.3f}", flush=True)

    def cascade(thresholds: list[float]) -> tuple[np.ndarray, np.ndarray]:
        """Labels and seconds by text."""
        at = leaving(logits, [segment | {"exit_at": t} for segment, t in zip(segments, [*thresholds, 0.0])])
        every = np.arange(len(texts))
        return probability[at, every].argmax(-1), seconds[at, every]

    looser = [exit_threshold(probability[number][even], last[even], LOOSER) for number in range(len(segments) - 1)]
    as_set = cascade([segment["exit_at"] for segment in segments[:-1]])
    sure = first.max(-1) >= exit_threshold(first[even], last[even], AGREEMENT)
    print(f"frontier: {len(texts)} texts")
    report("all layers", last, seconds[-1])
    for number, name in enumerate(("2 layers", "4 layers")):
        report(name, probability[number].argmax(-1), seconds[number])
    report("exits as set", *as_set)
    report("exits looser", *cascade(looser))
    report("linear model alone", first.argmax(-1), np.full(len(texts), linear_seconds))
    mixed = lambda guess, spent: (np.where(sure, first.argmax(-1), guess), linear_seconds + np.where(sure, 0, spent))
    report("linear model first", *mixed(*as_set))
    report("linear and 2 layers", *mixed(probability[0].argmax(-1), seconds[0]))
    print(f"  the linear model answers {sure.mean():.3f} of the texts")
    used = {token for text in texts for window in model.windows(text) for token in window}
    used |= {token for _, each, _ in learnt for text in each for window in model.windows(text) for token in window}
    total = model.tokenizer.get_vocab_size()
    print(f"  these texts and those of --train use {len(used)} of {total} tokens: without the rest {(total - len(used)) * 384 / 1e6:.1f} MB less")


if __name__ == "__main__":
    main()
