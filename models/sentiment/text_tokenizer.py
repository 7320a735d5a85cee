"""The tokenizer of the sentiment model: WordPiece of MiniLM plus text normalisation and a vocabulary for posts.

All of it lives inside ``tokenizer.json``, so Python and Rust apply the same rules because they read the same file:

1. curly quotes become ASCII quotes, the HTML entities ``&amp; &lt; &gt; &quot; &#39;`` characters, skin tones are dropped;
2. URLs (``http://``, ``https://`` or ``www.`` up to the next white space) become ``http``;
3. handles (``@name`` or ``@name@host``, not inside a word) become ``@user``;
4. emoji stand alone, so that a row of them is a row of tokens; the frequent ones, and words of crypto posts and of French that the
   base vocabulary breaks into pieces, take the place of its unused tokens (``vocabulary.txt``, made by ``vocabulary.py``).

    python text_tokenizer.py BASE_TOKENIZER.json OUT.json
"""

import json
import pathlib
import sys

QUOTES = {"\u2018": "'", "\u2019": "'", "\u02bc": "'", "\u201c": '"', "\u201d": '"'}
ENTITIES = {"&lt;": "<", "&gt;": ">", "&quot;": '"', "&#39;": "'", "&amp;": "&"}
URL = r"(?:[hH][tT][tT][pP][sS]?://|(?<![A-Za-z0-9_])[wW][wW][wW]\.)[^ \t\r\n]+"
HANDLE = r"(?<![A-Za-z0-9_])@[A-Za-z0-9_]+(?:@[A-Za-z0-9_.-]*[A-Za-z0-9_])?"
EMOJI_WORDS = {
    "🚀": "rocket", "🌕": "moon", "🌙": "moon", "📈": "rising", "📉": "falling", "🐂": "bull",
    "🐻": "bear", "💎": "diamond", "🙌": "celebrate", "🔥": "fire", "💰": "money", "🤑": "money",
    "💸": "money gone", "🎉": "celebrate", "🥳": "celebrate", "👍": "good", "👎": "bad", "👏": "applause",
    "🙏": "thanks", "💪": "strong", "✅": "yes", "❌": "no", "⚠": "warning", "🚨": "alert",
    "❤": "love", "💔": "heartbroken", "😍": "love", "🥰": "love", "😊": "smile", "😀": "smile",
    "😁": "smile", "😃": "smile", "😄": "smile", "🙂": "smile", "😎": "cool", "😂": "laughing",
    "🤣": "laughing", "😭": "crying", "😢": "sad", "😞": "sad", "😔": "sad", "😡": "angry",
    "😠": "angry", "🤬": "angry", "😱": "scared", "😨": "scared", "😰": "worried", "🤮": "disgusting",
    "🤡": "clown", "💩": "crap", "💀": "dead", "🩸": "blood", "🤔": "thinking", "🙄": "annoyed",
}
SKIN_TONES = "[\U0001F3FB-\U0001F3FF]"
EMOJI_PATTERN = "[\u2190-\u21ff\u2300-\u23ff\u25a0-\u27bf\u2b00-\u2bff\U0001F000-\U0001FAFF]"


def vocabulary() -> list[list[str]]:
    """Lines of ``vocabulary.txt``: a word alone, or an emoji and the words that it begins as."""
    text = (pathlib.Path(__file__).parent / "vocabulary.txt").read_text(encoding="utf-8")
    return [line.split("\t") for line in text.splitlines()]


def build(base_json: str, words: list[str] | None = None) -> dict:
    """The tokenizer definition: ``base_json`` (MiniLM) with our normaliser and vocabulary, no padding or truncation."""
    spec = json.loads(base_json)
    steps = [replace({"String": old}, new) for old, new in {**QUOTES, **ENTITIES}.items()]
    steps.append(replace({"Regex": URL}, "http"))
    steps.append(replace({"Regex": HANDLE}, "@user"))
    steps.append(replace({"Regex": SKIN_TONES}, ""))
    steps.append(spec["normalizer"])
    spec["normalizer"] = {"type": "Sequence", "normalizers": steps}
    alone = {"type": "Split", "pattern": {"Regex": EMOJI_PATTERN}, "behavior": "Isolated", "invert": False}
    spec["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [alone, spec["pre_tokenizer"]]}
    spec["truncation"] = None
    spec["padding"] = None
    entries = spec["model"]["vocab"]
    unused = sorted((name for name in entries if name.startswith("[unused")), key=entries.__getitem__)
    for word in [line[0] for line in vocabulary()] if words is None else words:
        if word not in entries:
            entries[word] = entries.pop(unused.pop(0))
    spec["model"]["vocab"] = dict(sorted(entries.items(), key=lambda entry: entry[1]))
    return spec


def replace(pattern: dict, content: str) -> dict:
    return {"type": "Replace", "pattern": pattern, "content": content}


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as source:
        built = build(source.read())
    with open(sys.argv[2], "w", encoding="utf-8") as target:
        json.dump(built, target, ensure_ascii=False, separators=(",", ":"))
