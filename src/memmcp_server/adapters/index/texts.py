"""What of a memory is searched: the text that is embedded, and the words that are counted.

The words are those of the memory, its date, the dates it speaks of ("yesterday"), its kind and tags; the numbers of a
date are words of their own (``domain.dates``). The turns before it in its thread are context: "Yes, in Lisbon, with my
sister" is found by what it answers. The worker lets context fill in only what the memory does not say itself
(``word_vectors``). The vector is of the memory alone: a date in front of it changed nothing for conversations and made
short records of one day alike.
"""

import re
from collections.abc import Sequence

from memmcp_server.domain.dates import date_of, dates_as_words, spoken_dates
from memmcp_server.domain.memory import Memory
from memmcp_server.ports import IndexPoint

DENSE_CHARS_MAX = 4_000
"""The model reads 256 tokens; more characters than this would only travel."""
CONTEXT_MAX = 2
"""Turns before a memory that count as its context."""
CONTEXT_CHARS_MAX = 2_000
"""Of each of them: a long text before a short one would otherwise make the short one about everything."""

_SPEAKER = re.compile(r"^[^\s:][^:\n]{0,40}:\s+")


def point_of(memory: Memory, previous: Sequence[Memory] = ()) -> IndexPoint:
    """Return the memory as a point; its validity is that of its version.

    ``previous`` holds the memories before it in its thread, the nearest first; more than ``CONTEXT_MAX`` are not used.
    """
    day = date_of(memory.ts_event_ns)
    dated = f"{day.words() if day else ''}: {dates_as_words(memory.content)}"
    dates = " ".join(date.words() for date in spoken_dates(memory.content, memory.ts_event_ns))
    return IndexPoint(
        memory=memory,
        known_to_ns=memory.superseded_at_ns,
        text_lexical="\n".join([dated, " ".join([memory.kind, *memory.tags]), dates]),
        text_dense=memory.content[:DENSE_CHARS_MAX] if memory.embed else None,
        context=tuple(_as_context(before.content) for before in previous[:CONTEXT_MAX]),
        previous_id=previous[0].id if previous else None,
    )


def _as_context(text: str) -> str:
    """Return the text without its ``Speaker: ``: who spoke before says nothing about who speaks now."""
    return dates_as_words(_SPEAKER.sub("", text, count=1)[:CONTEXT_CHARS_MAX])
