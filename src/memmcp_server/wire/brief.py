"""The answer to a search as a model reads it when it asks for nothing more: ten hits in two kilobytes.

Short memories are told whole, with who wrote them, when, and how they were found. Where that is too much, the best hits
keep that and a passage around the words that were asked for; the others become a line each. What is cut shows it, and
its id opens it; ``max_tokens`` or ``detail=full`` ask for more.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal, Self

from pydantic import Field, field_serializer

from memmcp_server.domain.memory import Trust
from memmcp_server.domain.search import Found, SearchResult
from memmcp_server.domain.times import NS_PER_S, from_ns

from .base import Wire
from .memory import ContradictionPair, MemoryHit

BYTES_OF_TEN: Final = 1_960
"""Two kilobytes without what a transport puts around them."""

TEN: Final = 10
BEST: Final = 3
"""So many keep their receipt where not all of them can."""

CHARS_MIN: Final = 40
CHARS_MAX: Final = 400
CHARS_STEP: Final = 8
"""Lengths of a passage are tried from the longest; the best hits have twice as much."""

_WORD: Final = re.compile(r"\w{3,}")
_SPACES: Final = re.compile(r"\s+")


class BriefHit(Wire):
    """One memory. A passage that stands for a longer text begins or ends with "..."; the id opens the whole."""

    id: str
    content: str
    score: float
    why: str | None = None
    kind: str | None = None
    ts: datetime | None = None
    agent: str | None = None
    namespace: str | None = None
    trust: str | None = None
    trajectory_id: str | None = None
    pinned: bool | None = None
    valid_to: datetime | None = None
    stale: list[str] | None = None
    contradicts: list[str] | None = None
    unverified_days: int | None = None

    @field_serializer("ts", "valid_to", when_used="json-unless-none")
    def _to_the_second(self, moment: datetime) -> str:
        return moment.strftime("%Y-%m-%dT%H:%M:%SZ")

    @classmethod
    def of(cls, found: Found) -> Self:
        whole, memory = MemoryHit.of(found), found.memory
        return cls(
            id=whole.id,
            content=whole.content,
            score=round(found.score, 2),
            why=whole.why,
            kind=whole.kind,
            ts=from_ns(memory.ts_event_ns // NS_PER_S * NS_PER_S),
            agent=whole.agent,
            namespace=None if whole.namespace == "default" else whole.namespace,
            trust=None if memory.provenance.trust is Trust.AGENT else whole.trust,
            trajectory_id=None if whole.trajectory_id == whole.id else whole.trajectory_id,
            pinned=whole.pinned,
            valid_to=whole.valid_to,
            stale=whole.stale,
            contradicts=whole.contradicts,
            unverified_days=whole.unverified_days,
        )


class BriefSearchAnswer(Wire):
    """``index`` and ``backlog`` are said only where meaning does not reach all there is."""

    hits: list[BriefHit]
    total: int
    index: Literal["starting", "degraded", "down"] | None = None
    backlog: int | None = Field(default=None, description="Memories that are found by their words alone for now.")
    note: str | None = None
    next_cursor: str | None = None
    contradictions: list[ContradictionPair] | None = None


def brief_answer(result: SearchResult, query: str) -> BriefSearchAnswer:
    """Return the answer within two kilobytes for ten hits, in proportion for more, both as JSON and as lines."""
    hits = [BriefHit.of(each) for each in result.found]
    answer = BriefSearchAnswer(
        hits=hits,
        total=len(hits),
        index=None if result.index_state == "ready" else result.index_state,
        backlog=result.backlog or None,
        note=result.note,
        next_cursor=result.next_cursor,
        contradictions=[ContradictionPair.of(each) for each in result.contradictions] or None,
    )
    shorten(answer, query)
    return answer


def shorten(answer: BriefSearchAnswer, query: str, bytes_beside: int = 0) -> bool:
    """Cut the answer until it keeps its bound together with so many bytes of what else goes with it.

    Returns False where that much beside it leaves too little room for so many hits, even as a few words each.
    """
    hits = answer.hits
    bytes_max = BYTES_OF_TEN * max(len(hits), TEN) // TEN - bytes_beside
    if _size(answer) <= bytes_max:
        return True
    answer.contradictions = None  # each of the hits names what contradicts it
    words = [word.casefold() for word in _WORD.findall(query)]
    wholes = [hit.content for hit in hits]
    for hit in hits[BEST:]:
        hit.why = hit.kind = hit.ts = hit.agent = hit.namespace = None
    for share in range(CHARS_MAX, CHARS_MIN, -CHARS_STEP):
        _cut(hits, wholes, words, share)
        if _size(answer) <= bytes_max:
            return True
    for hit in hits:
        hit.why = hit.namespace = hit.trajectory_id = None
    _cut(hits, wholes, words, CHARS_MIN)
    return _size(answer) <= bytes_max


def _cut(hits: Sequence[BriefHit], wholes: Sequence[str], words: Sequence[str], share: int) -> None:
    for place, (hit, whole) in enumerate(zip(hits, wholes, strict=True)):
        chars_max = 2 * share if place < BEST else share
        hit.content = passage(whole, words, chars_max)


def passage(text: str, words: Sequence[str], chars_max: int) -> str:
    """Return the part of a text around the first of the words, on one line where it had to be cut."""
    if len(text) <= chars_max:
        return text
    flat = _SPACES.sub(" ", text).strip()
    if len(flat) <= chars_max:
        return flat
    low = flat.casefold()
    places = [place for word in words if (place := low.find(word)) >= 0]
    room = max(1, chars_max - 6)
    first = min(places, default=0)
    begin = 0 if first < room // 2 else max(0, min(first - room // 4, len(flat) - room))
    if begin:
        begin = flat.find(" ", begin, begin + 20) + 1 or begin
    end = min(len(flat), begin + room)
    if end < len(flat):
        end = max(flat.rfind(" ", begin + room // 2, end), begin + room // 2)
    return f"{'...' if begin else ''}{flat[begin:end].strip()}{'...' if end < len(flat) else ''}"


def _size(answer: BriefSearchAnswer) -> int:
    return len(answer.model_dump_json(exclude_none=True).encode())
