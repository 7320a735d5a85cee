"""The exported model in Python, as the Rust side runs it: windows, one run per window, exits, token-weighted mean."""

import json
import pathlib
import time

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

from turns import Turns

MAX_WINDOWS = 16


def softmax(logits: np.ndarray, temperature: float) -> np.ndarray:
    powers = np.exp((logits - logits.max(-1, keepdims=True)) / temperature)
    return powers / powers.sum(-1, keepdims=True)


def temperature(segment: dict, language: str | None) -> float:
    """Of the answers for a language; ``temperatures`` names those that need another than the rest."""
    return segment.get("temperatures", {}).get(language, segment["temperature"])


class OnnxModel:
    def __init__(self, folder: pathlib.Path, card: dict | None = None):
        self.card = card or json.loads((folder / "model.json").read_text())
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        load = lambda name: onnxruntime.InferenceSession(str(folder / name), options, providers=["CPUExecutionProvider"])
        self.segments = [load(segment["file"]) for segment in self.card["segments"]]
        # A folder of float segments (dequantise.py) has none.
        head = self.card.get("mood", {}).get("file", "")
        self.mood = load(head) if head and (folder / head).is_file() else None
        turns = self.card.get("turns")
        # Nor has it the words: they are those beside this file.
        beside = [place / turns["file"] for place in (folder, pathlib.Path(__file__).parent)] if turns else []
        self.turns = Turns(next(path for path in beside if path.is_file()), turns["weights"]) if turns else None
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_truncation()
        self.weights = np.array(self.card.get("class_weights", [1, 1, 1]), dtype=float)
        self.cls, self.sep = (self.tokenizer.token_to_id(name) for name in ("[CLS]", "[SEP]"))

    def windows(self, text: str) -> list[list[int]]:
        room = self.card["max_tokens"] - 2
        ids = self.tokenizer.encode(text, add_special_tokens=False).ids[: room * MAX_WINDOWS]
        if not ids:
            return []
        size = -(-len(ids) // -(-len(ids) // room))
        return [[self.cls, *ids[i : i + size], self.sep] for i in range(0, len(ids), size)]

    def exits(self, ids: list[int]) -> tuple[np.ndarray, list[float]]:
        """Logits [exits, 3] of a window, and the CPU seconds of each segment."""
        feed, logits, seconds = {"ids": np.array([ids], dtype=np.int32)}, [], []
        for session in self.segments:
            started = time.thread_time()
            out = session.run(None, feed)
            seconds.append(time.thread_time() - started)
            logits.append(out[0][0])
            feed = {"hidden_in": out[-1]}
        return np.array(logits), seconds

    def middle(self, ids: list[int]) -> tuple[np.ndarray, np.ndarray]:
        """States [tokens, 384] of the last segment but one, and its logits [3], of a window without its special tokens."""
        feed = {"ids": np.array([[self.cls, *ids, self.sep]], dtype=np.int32)}
        for session in self.segments[:-1]:
            logits, hidden = session.run(None, feed)
            feed = {"hidden_in": hidden}
        return hidden[0], logits[0]

    def moods(self, text: str, targets: list[list[tuple[int, int]]]) -> list[np.ndarray | None]:
        """Probabilities [3] towards each target, given its places; none where it is not in the text that is read."""
        from mood_data import marks, places

        encoding, parts = self.tokenizer.encode(text, add_special_tokens=False), [[] for _ in targets]
        room = self.card["max_tokens"] - 2
        ids, offsets = encoding.ids[: room * MAX_WINDOWS], encoding.offsets
        size = -(-len(ids) // max(1, -(-len(ids) // room)))
        for start in range(0, len(ids), max(1, size)):
            role = marks(offsets[start : start + size][: len(ids) - start], targets)
            own = (role == 1).sum(1)
            here = np.flatnonzero(own)
            if len(here):
                hidden, logits = self.middle(ids[start : start + size])
                feed = {"hidden": hidden[None], "exit_logits": logits[None], "places": places(role[here]).astype(np.int32)}
                for target, row in zip(here, self.mood.run(None, feed)[0]):
                    parts[target].append((own[target], softmax(row.astype(float), self.card["mood"]["temperature"])))
        return [sum(n * p for n, p in each) / sum(n for n, _ in each) if each else None for each in parts]

    def every_exit(self, texts: list[str]) -> np.ndarray:
        """Logits [exits, texts, 3] of the first window of each text: what exits are calibrated on."""
        return np.array([self.exits(self.windows(text)[0])[0] for text in texts]).transpose(1, 0, 2)

    def probabilities(self, texts: list[str], early_exit: bool = True, language: str | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities [texts, 3] as vigie gives them for texts of that language, and how many windows left at each exit."""
        left = np.zeros(len(self.segments), dtype=int)
        answers = []
        for text in texts:
            total = np.zeros(3)
            windows = self.windows(text)
            for ids in windows:
                p, exit_number = self.first_sure(ids, early_exit, language)
                left[exit_number] += 1
                total += p * (len(ids) - 2)
            mean = total / sum(len(ids) - 2 for ids in windows) if windows else np.full(3, 1 / 3)
            answers.append(self.turned(mean, text, language))
        return np.array(answers), left

    def turned(self, p: np.ndarray, text: str, language: str | None) -> np.ndarray:
        """Probabilities [3], after what turns the tone of the text around."""
        odds = p * np.exp(self.turns.shift(text, language)) if self.turns else p
        return odds / odds.sum()

    def weighted(self, logits: np.ndarray, temperature: float) -> np.ndarray:
        p = softmax(logits.astype(float), temperature) * self.weights
        return p / p.sum()

    def first_sure(self, ids: list[int], early_exit: bool, language: str | None) -> tuple[np.ndarray, int]:
        # Where to leave does not depend on the language, so neither does the label of a window.
        feed = {"ids": np.array([ids], dtype=np.int32)}
        for number, (session, segment) in enumerate(zip(self.segments, self.card["segments"])):
            out = session.run(None, feed)
            p = self.weighted(out[0][0], segment["temperature"])
            if number + 1 == len(self.segments) or (early_exit and p.max() >= segment["exit_at"]):
                return self.weighted(out[0][0], temperature(segment, language)), number
            feed = {"hidden_in": out[1]}
        raise AssertionError("the last segment always answers")
