"""A hard budget for answers that a model reads: whole hits while they fit, then the beginning of one, then none."""

import json
from collections.abc import Callable
from typing import Final

from memmcp_server.domain.identifiers import Json
from memmcp_server.domain.search import SearchQuery, SearchResult

from .memory import MemoryHit, MemorySearchAnswer

BYTES_PER_TOKEN: Final = 3
"""A cautious estimate over common tokenizers: English text has about four bytes a token, code and ids about three."""

CUT_CHARS_MIN: Final = 80
"""A shorter beginning of a memory says nothing."""


def tokens_of(document: Json) -> int:
    """Return a cautious estimate of what a document costs a model."""
    return -(-len(as_sent(document)) // BYTES_PER_TOKEN)


def as_sent(document: Json) -> bytes:
    """Return the document as it goes over the wire."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def search_answer(
    result: SearchResult, query: SearchQuery, *, full: bool, tokens_max: int | None
) -> MemorySearchAnswer:
    """Return the answer to a search within its budget; None: as long as it is."""
    answer = MemorySearchAnswer.of(result, full=full)
    if tokens_max is not None:
        _fit(answer, tokens_max, lambda hits: result.cursor_after(query, hits))
    return answer


def _fit(answer: MemorySearchAnswer, tokens_max: int, cursor_after: Callable[[int], str | None]) -> None:
    """Shorten the answer until it costs at most ``tokens_max`` and say so; what was left out is on the next page.

    ``cursor_after`` returns the cursor that goes on after so many hits of this page.
    """
    if _cost(answer) <= tokens_max:
        return
    hits = answer.hits
    answer.contradictions = None
    while hits and _cost(answer) > tokens_max:
        dropped = hits.pop()
        answer.next_cursor = cursor_after(len(hits))
        answer.note = f"max_tokens={tokens_max} left room for {len(hits)} hits"
        if not hits:
            _keep_beginning(answer, dropped, tokens_max, cursor_after(1))
    if _cost(answer) > tokens_max:
        answer.note = None
    answer.total = len(hits)


def _keep_beginning(answer: MemorySearchAnswer, hit: MemoryHit, tokens_max: int, next_cursor: str | None) -> None:
    """Put the best hit back with as much of its text as fits, where that says anything."""
    whole, rest = hit.content, (answer.note, answer.next_cursor)
    answer.hits.append(hit)
    hit.is_cut, hit.metadata, hit.parts = True, None, None
    answer.note, answer.next_cursor = f"cut to fit max_tokens={tokens_max}", next_cursor
    room = len(whole)
    while room >= CUT_CHARS_MIN:
        hit.content = f"{whole[:room]}..."
        over = _cost(answer) - tokens_max
        if over <= 0:
            return
        room -= max(over, 8)
    answer.hits.pop()
    answer.note, answer.next_cursor = rest


def _cost(answer: MemorySearchAnswer) -> int:
    return tokens_of(answer.model_dump(mode="json", exclude_none=True))
