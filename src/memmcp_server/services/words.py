"""Words of a query for the search that needs no index."""

import re
from collections.abc import Sequence

WORDS_MAX = 16
PART_WEIGHT = 0.9
SMALL_WORDS = frozenset(
    """
    a about all an and any are as at be been but by can did do does for from had has have how i if in into is it its
    me my no not of on or our so than that the their them then there they this to was we were what when where which
    who why will with you your
    """.split()  # noqa: SIM905 - sixty words in three lines
)


def query_words(text: str) -> tuple[str, ...]:
    """Return the distinct words worth looking for, in order, at most ``WORDS_MAX``.

    A query of nothing but small words keeps them; one without any word is looked for as it stands.
    """
    words = list(dict.fromkeys(re.findall(r"\w+", text.casefold())))
    telling = [word for word in words if word not in SMALL_WORDS and not (len(word) == 1 and "a" <= word <= "z")]
    return tuple((telling or words or [text.strip()])[:WORDS_MAX])


def coverage(words: Sequence[str], text: str) -> tuple[int, float]:
    """Return how many of the words the text contains, and the share of their letters.

    Longer words say more: of "the BONK momentum" the word "momentum" counts for more than "bonk". One that is only a
    part of another word counts a little less: 26 is in 126 too.
    """
    folded = text.casefold()
    own = set(re.findall(r"\w+", folded))
    present = [word for word in words if word in folded]
    letters = sum(len(word) if word in own else len(word) * PART_WEIGHT for word in present)
    return len(present), letters / max(1, sum(map(len, words)))
