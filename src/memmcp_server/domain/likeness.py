"""Whether two texts say the same, contrary things, or simply different ones; by their words alone.

Vectors say what is alike, not what is equal: "fee is 25 bps" and "fee is 30 bps" are neighbours. So before two
memories are taken for one, their numbers, names, negations and opposites must agree, and nearly all of their words.
"""

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from typing import Literal

Likeness = Literal["same", "contrary", "different"]

SAME_WORDS_MIN = 0.75
CONTRARY_WORDS_MIN = 0.6
WORDS_MIN = 3
"""Fewer words than this say too little to be called the same or contrary."""

_TOKEN = re.compile(r"\d+(?:[.,:/-]\d+)*%?|[^\W\d_][\w\'\u2019$-]*|[$#@]\w+")
_CLOCK = re.compile(r"\d{1,2}:\d{2}|\d{4}-\d{2}")
_NEGATIONS = frozenset(
    [
        "not",
        "no",
        "never",
        "without",
        "cannot",
        "nor",
        "neither",
        "none",
        "avoid",
        "stop",
        "stopped",
        "don't",
        "doesn't",
        "didn't",
        "isn't",
        "aren't",
        "wasn't",
        "won't",
        "can't",
        "shouldn't",
        "wouldn't",
        "mustn't",
        "hasn't",
        "haven't",
    ]
)
_OPPOSITES = (
    ("buy", "sell"), ("bought", "sold"), ("long", "short"), ("up", "down"), ("above", "below"), ("over", "under"),
    ("rises", "falls"), ("rise", "fall"), ("increase", "decrease"), ("increases", "decreases"), ("raise", "lower"),
    ("enable", "disable"), ("enabled", "disabled"), ("allow", "deny"), ("allowed", "denied"), ("win", "lose"),
    ("won", "lost"), ("true", "false"), ("before", "after"), ("always", "never"), ("more", "less"), ("most", "least"),
    ("higher", "lower"), ("high", "low"), ("on", "off"), ("open", "closed"), ("works", "fails"), ("safe", "unsafe"),
    ("good", "bad"), ("profit", "loss"), ("fast", "slow"), ("first", "last"), ("min", "max"), ("minimum", "maximum"),
    ("accept", "reject"), ("accepted", "rejected"), ("add", "remove"), ("required", "optional"), ("bullish", "bearish"),
)  # fmt: skip
_SMALL = frozenset(
    [
        "a",
        "an",
        "the",
        "is",
        "are",
        "was",
        "were",
        "be",
        "been",
        "of",
        "to",
        "in",
        "on",
        "at",
        "for",
        "and",
        "or",
        "it",
        "its",
        "this",
        "that",
        "with",
        "as",
        "by",
        "from",
    ]
)


@dataclass(frozen=True, slots=True)
class _Said:
    words: frozenset[str]
    numbers: Counter[str]
    names: frozenset[str]
    tokens: frozenset[str]
    negations: int


def compare(one: str, other: str) -> Likeness:
    """Return how the texts stand to each other.

    ``same``: nearly all words in common, and every number, name, negation and opposite agrees. ``contrary``: about the
    same thing, but numbers, a negation or an opposite differ. A clock time or a date in either makes differing numbers
    a course of events, which is no contradiction.
    """
    a, b = _read(one), _read(other)
    everything = a.words | b.words
    if min(len(a.words), len(b.words)) < WORDS_MIN:
        is_same = bool(everything) and a == b
        return "same" if is_same else "different"
    shared = len(a.words & b.words) / len(everything)
    if not (a.names <= b.names | b.tokens and b.names <= a.names | a.tokens):
        return "different"
    is_opposed = (a.negations % 2 != b.negations % 2) or _opposites(a.words ^ b.words)
    if a.numbers == b.numbers and not is_opposed:
        return "same" if shared >= SAME_WORDS_MIN else "different"
    if shared < CONTRARY_WORDS_MIN:
        return "different"
    if a.numbers != b.numbers and not is_opposed and (_CLOCK.search(one) or _CLOCK.search(other)):
        return "different"
    if a.numbers != b.numbers and a.numbers.total() != b.numbers.total():
        return "different"
    return "contrary"


def _read(text: str) -> _Said:
    plain = unicodedata.normalize("NFKC", text).replace("\u2019", "'")
    words: set[str] = set()
    names: set[str] = set()
    tokens: set[str] = set()
    numbers: Counter[str] = Counter()
    negations = 0
    is_first = True
    for token in _TOKEN.findall(plain):
        folded = token.casefold()
        if folded[0].isdigit():
            numbers[folded.rstrip("%").replace(",", "")] += 1
        elif folded in _NEGATIONS:
            negations += 1
        else:
            # A capital inside of a sentence, or a digit or sign in a word, makes it a name: a ticker, a mint, a path.
            if token[0] in "$#@" or any(c.isdigit() for c in token) or (any(map(str.isupper, token[1:]))):
                names.add(folded.lstrip("$"))
            elif token[0].isupper() and not is_first:
                names.add(folded)
            tokens.add(folded)
            if folded not in _SMALL:
                words.add(_stem(folded))
        is_first = False
    return _Said(frozenset(words), numbers, frozenset(names), frozenset(tokens), negations)


def _stem(word: str) -> str:
    """Return the word without the endings of number and tense: enough to see that "fades" and "fade" are one."""
    for ending in ("ing", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith("ss"):
            return word[: -len(ending)]
    return word


def _opposites(different: frozenset[str]) -> bool:
    return any(_stem(one) in different and _stem(other) in different for one, other in _OPPOSITES)
