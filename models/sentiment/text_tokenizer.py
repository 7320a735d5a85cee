"""The tokenizer of the sentiment model: WordPiece of MiniLM plus the text normalisation.

All normalisation lives inside ``tokenizer.json`` (a ``Sequence`` of ``Replace`` steps before
``BertNormalizer``), so Python and Rust apply the same rules because they read the same file:

1. curly quotes become ASCII quotes, the HTML entities ``&amp; &lt; &gt; &quot; &#39;`` characters;
2. URLs (``http://``, ``https://`` or ``www.`` up to the next white space) become ``http``;
3. handles (``@name`` or ``@name@host``, not inside a word) become ``@user``;
4. frequent emoji, which the uncased BERT vocabulary lacks, become an English word.

    python text_tokenizer.py BASE_TOKENIZER.json OUT.json
"""

import json
import sys

QUOTES = {"\u2018": "'", "\u2019": "'", "\u02bc": "'", "\u201c": '"', "\u201d": '"'}
ENTITIES = {"&lt;": "<", "&gt;": ">", "&quot;": '"', "&#39;": "'", "&amp;": "&"}
URL = r"(?:[hH][tT][tT][pP][sS]?://|(?<![A-Za-z0-9_])[wW][wW][wW]\.)[^ \t\r\n]+"
HANDLE = r"(?<![A-Za-z0-9_])@[A-Za-z0-9_]+(?:@[A-Za-z0-9_.-]*[A-Za-z0-9_])?"
EMOJI = {
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


def build(base_json: str) -> dict:
    """The tokenizer definition: ``base_json`` (MiniLM) with our normaliser and no padding or truncation."""
    spec = json.loads(base_json)
    steps = [replace({"String": old}, new) for old, new in {**QUOTES, **ENTITIES}.items()]
    steps.append(replace({"Regex": URL}, "http"))
    steps.append(replace({"Regex": HANDLE}, "@user"))
    steps += [replace({"String": old}, f" {new} ") for old, new in EMOJI.items()]
    steps.append(spec["normalizer"])
    spec["normalizer"] = {"type": "Sequence", "normalizers": steps}
    spec["truncation"] = None
    spec["padding"] = None
    return spec


def replace(pattern: dict, content: str) -> dict:
    return {"type": "Replace", "pattern": pattern, "content": content}


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as source:
        built = build(source.read())
    with open(sys.argv[2], "w", encoding="utf-8") as target:
        json.dump(built, target, ensure_ascii=False, separators=(",", ":"))
