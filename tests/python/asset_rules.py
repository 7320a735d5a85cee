"""The rules of processors/src/assets.rs, read a second time: slow, short, and without vigie's code.

Standard library only.
"""

import itertools
import re
import tomllib
from collections import defaultdict
from pathlib import Path

from asset_context import NAME, SHARE, TICKER, Scorer, form, tokens

ASSETS = Path(__file__).parents[2] / "processors/assets/assets.toml"
UPPER, LOWER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz"
ASCII_LOWER = str.maketrans(UPPER, LOWER)
FOLD = str.maketrans(UPPER + "\n-", LOWER + "  ")
TICKERS = ("tickers", "ambiguous", "beside", "cashtags")
NAMES = ("names", "proper", "common", "words")
QUOTES = {"usdt", "usdc", "usd", "busd", "fdusd", "tusd", "perp"}
CAPITAL_QUOTES = {"btc", "eth", "bnb", "eur", "gbp", "try", "krw", "jpy"}
ASSET_QUOTES = {"btc", "eth", "bnb", "xbt"}
ALL_QUOTES = QUOTES | CAPITAL_QUOTES | ASSET_QUOTES | {"dai", "inr", "aud", "brl", "cad", "chf"}
WORD = re.compile(r"[0-9A-Za-z_\u00c0-\u024f]+")
BEHIND = re.compile(r"(?:'s)?(?:\u2019s)?[ -](?=[0-9A-Za-z_\u00c0-\u024f])")
URL_END = re.compile(r"[ \t\n\f\r()\[\]<>\"]|\Z")
PREFIX = 3
# What a candidate needs that an enumeration does not give.
ALONE = ("context only", "parentheses")
# Evidence of the rules for a candidate: none, a text with context, something that touches it, or no doubt.
NONE, CONTEXT, BESIDE, SURE = range(4)
LEAST_OF_SHARES, LEAST_OF_SHARES_BESIDE = -64, -120


def is_word(text, at):
    return 0 <= at < len(text) and WORD.match(text[at]) is not None


def word_end(text, at):
    found = WORD.match(text, at)
    return found.end() if found else at


def capitals(text):
    return not any(c in LOWER for c in text)


def camel(text, at):
    if not 0 < at < len(text):
        return False
    before, here, after = text[at - 1], text[at], text[at + 1 : at + 2]
    if here.isascii() and here.isdigit():
        return before in UPPER + LOWER
    return here in UPPER and (before not in UPPER or (after != "" and after in LOWER))


def one_letter_off(word, name):
    """Whether a letter inside is missing, wrong, too much, or two are swapped; the first and the last are right."""
    if word == name or word[0] != name[0] or word[-1] != name[-1]:
        return False
    swaps = {name[:i] + name[i + 1] + name[i] + name[i + 2 :] for i in range(1, len(name) - 2)}
    if word in swaps:
        return True
    short, long = sorted((word, name), key=len)
    if len(long) - len(short) > 1:
        return False
    gap = next(i for i in range(len(long)) if short[i : i + 1] != long[i])
    return short[gap + (len(short) == len(long)) :] == long[gap + 1 :]


class Candidate:
    def __init__(self, start, end, asset, need, named=False, ticker=False):
        self.start, self.end, self.asset = start, end, asset
        self.need, self.named, self.ticker, self.counts = need, named, ticker, need in ("", "proper")
        self.rule = SURE if need == "" else CONTEXT if need == "proper" else NONE


class Assets:
    """The asset table: `find` gives the ids of the assets in a text."""

    def __init__(self, path=ASSETS, scorer=None):
        table = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        self.entries = defaultdict(lambda: defaultdict(set))
        self.contracts, self.listed, self.typos = {}, set(), []
        for asset in table["asset"]:
            for field in (*TICKERS, *NAMES, "lower", "ens"):
                for string in asset.get(field, ()):
                    forms = [string]
                    if field in NAMES and re.search("[ -]", string):
                        forms.append(re.sub("[ -]", "", string))
                    for spelling in forms:
                        entry = self.entries[spelling.translate(FOLD)]
                        entry["asset"] = asset["id"]
                        entry[field].add(string)
            for company in asset.get("companies", ()):
                self.entries[company.translate(FOLD)]["company"].add(asset["id"])
                self.listed.add(asset["id"])
            for typo in asset.get("typos", ()):
                self.typos.append((typo, asset["id"]))
            for contract in asset.get("contracts", ()):
                self.contracts[contract.lower()] = (contract, asset["id"])
        for word in table["context"]["words"]:
            self.entries[word.translate(FOLD)]["context"].add(word)
        for phrase in table["context"]["never"]:
            self.entries[phrase.translate(FOLD)]["never"].add(phrase)
        places = ("after", "moves", "auxiliary", "before", "between", "on", "joins")
        self.scorer = scorer or Scorer()
        self.near = {name: set(table["context"][name]) for name in places}
        self.lengths = defaultdict(set)
        for string in self.entries:
            self.lengths[string[:PREFIX]].add(len(string))

    def lengths_at(self, folded, at):
        found = set()
        for size in range(1, PREFIX + 1):
            lengths = self.lengths.get(folded[at : at + size], ())
            found |= {length for length in lengths if size == PREFIX or length == size}
        return found

    def find(self, text):
        scan = Scan(self, text)
        scan.run()
        Settle(self, text, scan).run()
        return {one.asset for one in scan.candidates if one.counts}


class Scan:
    def __init__(self, assets, text):
        self.assets, self.text, self.folded = assets, text, text.translate(FOLD)
        self.candidates, self.context, self.companies = [], False, set()

    def run(self):
        at = 0
        while at < len(self.text):
            if is_word(self.text, at):
                at = self.word(at)
            elif self.text[at].isascii():
                at += 1
            else:
                end, candidate = self.best(at, "", None)
                at = self.take(end, candidate) if end > at else at + 1

    def take(self, end, candidate):
        if candidate:
            self.candidates.append(candidate)
        return end

    def word(self, at):
        text = self.text
        sign = text[at - 1] if at and text[at - 1] in "$#@" else ""
        if sign == "$" and is_word(text, at - 2):
            sign = ""
        if not sign:
            end, candidate = self.best(at, "", None)
            if end > at:
                return self.take(end, candidate)
        stop = word_end(text, at)
        if text[at:stop].lower() in ("http", "https") and text.startswith("://", stop):
            return self.url(stop)
        self.contract(at, stop)
        end, candidate = self.best(at, sign, stop)
        if end > at:
            return self.take(end, candidate)
        if sign == "#":
            return self.hashtag(at, stop)
        digits = re.match("[0-9]*", text[at:stop]).end()
        if 0 < digits < stop - at:
            end, candidate = self.best(at + digits, "amount", stop)
            if end == stop:
                return self.take(end, candidate)
        if not sign:
            self.typo(at, stop)
        return stop

    def typo(self, at, end):
        for name, asset in self.assets.typos:
            if one_letter_off(self.text[at:end].translate(ASCII_LOWER), name):
                self.candidates.append(Candidate(at, end, asset, "" if len(name) > 6 else "context", True))
                return

    def hashtag(self, at, stop):
        begin = at
        while at < stop:
            end, candidate = self.best(at, "#", stop) if at == begin or camel(self.text, at) else (0, None)
            at = self.take(end, candidate) if end > at else at + 1
        return stop

    def url(self, at):
        end = URL_END.search(self.text, at).start()
        for word in re.compile(r"[0-9A-Za-z_]+").finditer(self.text, at, end):
            self.contract(word.start(), word.end())
        return end

    def contract(self, at, end):
        known = self.assets.contracts.get(self.text[at:end].lower())
        if known and (known[0].startswith("0x") or known[0] == self.text[at:end]):
            self.candidates.append(Candidate(at, end, known[1], "", True))

    def best(self, at, sign, stop):
        """End and candidate of the longest reading at `at`; no candidate where a phrase swallows."""
        best = (0, None)
        for length in sorted(self.assets.lengths_at(self.folded, at)):
            end = at + length
            entry = self.assets.entries.get(self.folded[at:end]) if end <= len(self.text) else None
            if entry is None:
                continue
            kind, border = self.border(at, end, sign, stop, entry)
            if kind is None or border <= best[0]:
                continue
            asset = entry.get("asset")
            if kind == "pair":
                if asset:
                    best = (border, Candidate(at, border, asset, "", True))
                continue
            if entry.get("context"):
                self.context = True
            self.companies |= entry.get("company", set())
            if not asset:
                if not entry.get("context"):
                    best = (border, None)
                continue
            if self.foreign_ens(at, border, entry) or self.quotes_another(at, self.text[at:end]):
                best = (border, None)
                continue
            need = self.need(self.text[at:end], sign, entry)
            if need:
                best = (border, Candidate(at, border, asset, *need))
        return best

    def border(self, at, end, sign, stop, entry):
        text = self.text
        base, ticker = text[at:end], any(entry.get(field) for field in TICKERS)
        if ticker and text[end : end + 1] in ("/", "-", "_") and sign != "@":
            last = word_end(text, end + 1)
            quote = text[end + 1 : last]
            if quote.lower() in ALL_QUOTES and self.written_out(base, quote, entry):
                return "pair", end if quote.lower() in ASSET_QUOTES else last
        if not is_word(text, end):
            return "word", end
        certain = base in entry.get("tickers", ())
        name = bool(entry.get("names"))
        if text[end] == "s" and not is_word(text, end + 1) and (name or certain or base in entry.get("ambiguous", ())):
            return "word", end + 1
        if sign == "#" and (camel(text, end) or (name and len(base.encode()) >= 7)):
            return ("word", end) if name or entry.get("proper") or entry.get("common") or certain else (None, 0)
        if stop is None or stop <= end or not ticker or end - at < 2:
            return None, 0
        quote = text[end:stop]
        quoted = quote.lower() in QUOTES or (capitals(text[at:stop]) and quote.lower() in CAPITAL_QUOTES)
        if quoted and self.written_out(base, quote, entry):
            return "pair", end if quote.lower() in ASSET_QUOTES else stop
        return None, 0

    @staticmethod
    def written_out(base, quote, entry):
        if capitals(base) and capitals(quote):
            return True
        more_than_cashtag = any(entry.get(field) for field in ("tickers", "ambiguous", "beside"))
        return more_than_cashtag and not capitals(base) and not capitals(quote)

    def foreign_ens(self, at, end, entry):
        text = self.text
        if entry.get("ens") and text[at:end].endswith("eth"):
            return False
        ahead = text[at:end].lower() == "eth" and text[at - 1 : at] == "." and is_word(text, at - 2)
        return ahead or (text[end : end + 4].lower() == ".eth" and not is_word(text, end + 4))

    def quotes_another(self, at, piece):
        """Whether a pair whose base is not in the table is quoted in this: `XYZ/USDT`, `#Exchange-USDT`, `#XYZ/#USDT`."""
        at -= self.text[at - 1 : at] in ("#", "$")
        return piece.lower() in QUOTES and self.text[at - 1 : at] in ("/", "-", "_") and is_word(self.text, at - 2)

    @staticmethod
    def need(piece, sign, entry):
        """(need, named, ticker) of how a string of an asset is written; none if it cannot count so."""
        capital = piece[0] not in LOWER
        spelled = {field for field in TICKERS if piece in entry.get(field, ())}
        ticker = any(entry.get(field) for field in TICKERS)
        any_case = any(capitals(form) for form in entry.get("tickers", ()))
        lower, name = bool(entry.get("lower")), bool(entry.get("names"))
        if sign == "$" and ticker:
            return "", False, False
        if sign == "@" and not name:
            return None
        if sign == "amount":
            sure = spelled & {"tickers", "ambiguous", "beside"} or any_case or lower
            return ("", False, True) if sure else None
        if "tickers" in spelled and sign != "@":
            return "", False, True
        if entry.get("ens"):
            return "", True, False
        if name or (entry.get("proper") and capital):
            return "" if name else "proper", True, False
        if "ambiguous" in spelled:
            return "context", False, True
        if sign == "#" and (entry.get("ambiguous") or any_case):
            return "context only", False, True
        if entry.get("common") and (capital or sign == "#"):
            return "context", True, False
        if entry.get("words") and (capital or sign == "#"):
            return "beside", True, False
        if "beside" in spelled or lower or any_case:
            return "beside", False, True
        if entry.get("common") or entry.get("proper"):
            return "beside", True, False
        return ("parentheses", False, True) if ticker and capitals(piece) and not entry.get("context") else None


class Settle:
    """Decides which candidates count."""

    def __init__(self, assets, text, scan):
        self.assets, self.near, self.text, self.all = assets, assets.near, text, scan.candidates
        self.companies = scan.companies
        for one, other in itertools.pairwise(self.all):
            gap = text[one.end : other.start] if other.start >= one.end else ""
            if gap in (" (", " ($") and one.asset == other.asset and text[other.end : other.end + 1] == ")":
                one.counts = other.counts = True
                one.rule = other.rule = SURE
        self.context = scan.context or any(one.counts for one in self.all)
        tickers = {one.asset for one in self.all if one.need == "context" and not one.named}
        upper, lower = sum(c in UPPER for c in text), sum(c in LOWER for c in text)
        self.shouted = upper + lower >= 16 and upper >= 4 * lower
        self.context = self.context or (len(tickers) > 1 and not self.shouted)

    def run(self):
        last = None
        for one in self.all:
            if not one.counts:
                one.rule = self.by_itself(one)
                if one.need != "context only" and self.joined(last, one, last):
                    one.rule = CONTEXT if one.need == "parentheses" else BESIDE
                one.counts = one.rule != NONE
            last = one
        self.vouch()
        for one, following in reversed(list(itertools.pairwise(self.all))):
            if not one.counts and one.need != "context only" and self.joined(one, following, following):
                one.counts, one.rule = True, CONTEXT if one.need == "parentheses" else BESIDE
        self.weigh()

    def by_itself(self, one):
        if one.need in ALONE:
            return CONTEXT if one.need == "context only" and self.context else NONE
        if self.touches(one):
            return BESIDE
        in_context = self.context and not self.shouted and self.text[one.end : one.end + 1] != ":"
        return CONTEXT if one.need == "context" and in_context else NONE

    def vouch(self):
        runs = []
        for one in self.all:
            if runs and "parentheses" not in (runs[-1][0].need, one.need) and self.enumerates(runs[-1][-1], one):
                runs[-1].append(one)
            else:
                runs.append([one])
        for run in runs:
            if sum(one.need == "context" and not one.named for one in run) >= 2 or len(run) >= 3:
                for one in run:
                    one.counts, one.rule = True, max(one.rule, BESIDE)

    def weigh(self):
        """Lets the words around decide where the rules leave a doubt."""
        sure = list(dict.fromkeys(one.asset for one in self.all if one.counts and one.need in ("", "proper")))[:4]
        found = None
        for one in self.all:
            listed = one.asset in self.assets.listed and not one.named
            if one.rule == SURE and not listed:
                continue
            found = found or tokens(self.text)
            others = min(3, sum(asset != one.asset for asset in sure))
            place, rest = (self.text, found, one.start, one.end), (True, others, self.shouted)
            if one.rule != SURE:
                score = self.assets.scorer.score(*place, NAME if one.named else TICKER, *rest)
                one.counts = score >= self.least(one)
            if listed and one.counts:
                least = LEAST_OF_SHARES_BESIDE if one.rule == BESIDE else LEAST_OF_SHARES
                one.counts = one.asset not in self.companies and self.assets.scorer.score(*place, SHARE, *rest) >= least

    def least(self, one):
        """What the words around a candidate must score, in 32nds of a logit."""
        piece = self.text[one.start : one.end]
        if one.need == "parentheses":
            return 1000 if len(piece) <= 2 else 28 if one.rule == CONTEXT else 64
        if one.rule == CONTEXT:
            return -60 if one.need == "proper" else -100 if one.named else -66
        if one.rule != NONE:
            return -90
        if one.need == "context only":
            return 50
        if form(piece) == 0:
            return 38 if self.context and not one.named else 76
        if one.named:
            return 10 if one.need == "context" else 40
        if form(piece) != 2:
            return 66
        if self.text[one.end : one.end + 1] == ":":
            return 30
        return 14 if self.context else 22

    def touches(self, one):
        near, text = self.near, self.text
        word, end = self.next_word(one.end)
        if word in near["after"] or (not one.named and word in near["moves"]):
            return True
        if not one.named and word in near["auxiliary"] and self.next_word(end)[0] in near["moves"]:
            return True
        if one.need == "context" and self.price(one.end):
            return True
        ahead = self.last_word(one.start)
        if not ahead:
            return False
        if self.amount(ahead):
            return True
        word = text[slice(*ahead)].translate(ASCII_LOWER)
        if word in near["before"] or (one.named and self.context and word in near["on"]):
            return True
        for _ in range(2):
            ahead = self.last_word(ahead[0]) if word in near["between"] else None
            if not ahead:
                return False
            word = text[slice(*ahead)].translate(ASCII_LOWER)
            if word in near["before"]:
                return True
        return False

    def next_word(self, end):
        behind = BEHIND.match(self.text, end)
        if not behind:
            return "", end
        end = word_end(self.text, behind.end())
        return self.text[behind.end() : end].translate(ASCII_LOWER), end

    def price(self, end):
        behind = re.split(rb"[.!?\n,;]", self.text[end:].encode()[:16])[0]
        return bool(re.search(rb"\$[0-9]", behind)) or (b"%" in behind and bool(re.search(rb"[0-9]", behind)))

    def last_word(self, start):
        text = self.text
        end = start - (text[start - 1 : start] in ("#", "$", "@")) - 1
        if end < 0 or text[end] != " ":
            return None
        begin = end
        while is_word(text, begin - 1):
            begin -= 1
        return (begin, end) if begin < end else None

    def amount(self, ahead):
        if self.text[slice(*ahead)].translate(ASCII_LOWER) in ("million", "billion", "millions"):
            ahead = self.last_word(ahead[0])
            if not ahead:
                return False
        number = self.text[slice(*ahead)]
        sign = self.text[max(0, ahead[0] - 1) : ahead[0]]
        return re.fullmatch("[0-9]+[kM]?", number) is not None and sign not in ("$", ":")

    def joined(self, first, second, other):
        return first is not None and second is not None and other.counts and self.enumerates(first, second)

    def enumerates(self, first, second):
        gap = self.text[first.end : second.start]
        if second.start < first.end or len(gap.encode()) > 24:
            return False
        joins = False
        for part in re.split(r"[ \t\n\f\r()$#@]", gap):
            mark = part.strip("0123456789.%-:")
            is_join = mark in self.near["joins"]
            joins = joins or is_join or any(c in ",/&+|;" for c in part)
            if not is_join and mark.strip(",/&+|;"):
                return False
        return joins
