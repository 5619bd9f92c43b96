"""The scanner itself: cheap tell-tale signs first, the detectors only for a text that shows one.

An ordinary text of 200 bytes costs 5 to 15 microseconds. A text in which something looks like a key pair costs about
20 more for each, since only deriving the public key tells a pair from a signature.
"""

import re
from collections.abc import Iterator
from typing import Final

from memmcp_server.domain.secrets import SecretFinding, united

from . import keypairs, labels, links, phrases, vendors

SECRET_LENGTH_MIN: Final = 8
INVISIBLE: Final = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f"
    "\ufe00-\ufe0f\ufeff]"
)
"""Characters that a reader does not see and a key may be broken with."""
FULL_WIDTH: Final = {0xFF01 + offset: 0x21 + offset for offset in range(94)} | {0xA0: 0x20, 0x3000: 0x20, 0x2028: 0x0A}
WIDE: Final = re.compile("[\uff01-\uff5e\xa0\u3000\u2028]")
LOWER: Final = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}
LISTED_RUN: Final = bytes([True] * phrases.WORDS_MIN)
NOT_A_WORD: Final = bytes(code if chr(code).isalpha() and code < 128 else 32 for code in range(256))


class RuleScanner:
    """Finds private keys, seed phrases, tokens and passwords in any text."""

    def __init__(self) -> None:
        self._words = phrases.word_indexes()
        self._plain_words = frozenset(word.encode() for word in self._words).__contains__

    def load(self) -> None:
        """Import what is otherwise imported at the first text that looks like holding a secret (about 0.2 s)."""
        vendors.load()
        keypairs.is_key_pair(bytes(keypairs.PAIR_LENGTH))

    def scan(self, text: str) -> list[SecretFinding]:
        """Return where secrets are, in order and without overlaps. Takes any string and never raises."""
        if len(text) < SECRET_LENGTH_MIN:
            return []
        if text.isascii():
            if text.isprintable() or INVISIBLE.search(text) is None:
                return united(self._findings(text, text.lower()))
            return self._scan_seen(text)
        return self._scan_seen(text.translate(FULL_WIDTH) if WIDE.search(text) else text)

    def _scan_seen(self, text: str) -> list[SecretFinding]:
        """Scan what a reader sees, and give places in the text as it is."""
        places = None
        seen = text
        if INVISIBLE.search(text):
            places = [place for place, character in enumerate(text) if not INVISIBLE.match(character)]
            seen = INVISIBLE.sub("", text)
        lowered = seen.lower()
        if len(lowered) != len(seen):
            # A capital whose small letter is two characters would shift every place behind it.
            lowered = seen.translate(LOWER)
        found = united(self._findings(seen, lowered))
        if places is None:
            return found
        return [SecretFinding(places[each.start], places[each.end - 1] + 1, each.kind) for each in found]

    def _findings(self, text: str, lowered: str) -> Iterator[SecretFinding]:
        # Between spaces first: an expression over the whole text would take three times as long.
        blocks = " ".join([block for block in text.split() if len(block) >= vendors.LONG_WORD_LENGTH_MIN])
        long_words = vendors.LONG_WORD.findall(blocks) if blocks else ()
        if long_words:
            yield from vendors.in_text(text, blocks, " ".join(long_words))
            if max(map(len, long_words)) >= keypairs.RUN_LENGTH_MIN:
                yield from keypairs.in_runs(text)
            if "\n" in text and keypairs.WRAPPED_TELLTALE.search(text):
                yield from keypairs.in_wrapped_lines(text)
        if any(map(lowered.__contains__, labels.PROBES)):
            yield from labels.in_text(text, lowered)
        if any(map(lowered.__contains__, links.HEADER_PROBES)):
            yield from links.in_headers(text)
        if "://" in text:
            yield from links.in_links(text)
        if any(map(text.__contains__, links.KEY_BLOCK_PROBES)):
            yield from links.in_key_blocks(text)
        if text.count(",") >= keypairs.SEED_LENGTH - 1 or text.count(";") >= keypairs.SEED_LENGTH - 1:
            yield from keypairs.in_number_lists(text, labels.SPEAKS_OF_KEY)
        if self._has_listed_run(lowered):
            yield from phrases.in_text(lowered)

    def _has_listed_run(self, lowered: str) -> bool:
        """Say whether as many words of the list as a phrase has stand in a row."""
        if not lowered.isascii():
            return LISTED_RUN in bytes(map(self._words.__contains__, phrases.WORD.findall(lowered)))
        # As bytes: a table for them is ten times as fast as one for characters.
        words = lowered.encode().translate(NOT_A_WORD).split()
        # A run that long has one of every so many words; hardly any prose gets further than this.
        if not any(map(self._plain_words, words[phrases.WORDS_MIN - 1 :: phrases.WORDS_MIN])):
            return False
        return LISTED_RUN in bytes(map(self._plain_words, words))
