"""Pieces of texts to look for in files: whatever a store leaves of a forgotten text shows one of its windows.

A long text lies in pieces over pages, so one window is not enough; texts are covered from end to end as far as the
budget goes. Windows that say little (blanks, rules of dashes) are left out: they stand in every other text too.
"""

from collections.abc import Iterator

from .identifiers import Json
from .memory import Memory

WINDOW_BYTES = 16
SHORT_WINDOW_BYTES = 8
"""Of texts that have no whole window; what is shorter still cannot be told from chance and is not looked for."""

DISTINCT_BYTES_MIN = 5
WINDOWS_PER_TEXT_MIN = 12


def windows_of(text: str, windows_max: int) -> frozenset[bytes]:
    """Return telling pieces of the text as it is stored (UTF-8), spread over it, at most ``windows_max``."""
    raw = text.encode(errors="replace")
    length = WINDOW_BYTES if len(raw) >= WINDOW_BYTES else SHORT_WINDOW_BYTES
    last = len(raw) - length
    if last < 0:
        return frozenset()
    count = min(max(1, windows_max), -(-len(raw) // length))
    starts = {round(place * last / max(1, count - 1)) for place in range(count)}
    found = (raw[start : start + length] for start in starts)
    return frozenset(window for window in found if len(set(window)) >= DISTINCT_BYTES_MIN)


def is_covered(text: str, windows_max: int) -> bool:
    """Say whether so many windows cover the whole text."""
    return len(text.encode(errors="replace")) <= windows_max * WINDOW_BYTES


def said_in(memory: Memory) -> Iterator[str]:
    """Yield every text of a version that somebody wrote: content, tags and the strings of its metadata."""
    yield memory.content
    yield from memory.tags
    for name, value in memory.metadata.items():
        yield name
        yield from _strings(value)


def _strings(value: Json) -> Iterator[str]:
    match value:
        case str():
            yield value
        case list():
            for each in value:
                yield from _strings(each)
        case dict():
            for name, each in value.items():
                yield name
                yield from _strings(each)
        case _:
            return
