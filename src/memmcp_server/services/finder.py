"""Search: the index and what it has not reached yet, united, ranked and explained."""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import replace

from memmcp_server.domain.cursors import SearchCursor, parse_search_cursor
from memmcp_server.domain.evidence import staleness
from memmcp_server.domain.identifiers import MemoryId
from memmcp_server.domain.lifecycle import Link, LinkKind, Surroundings
from memmcp_server.domain.memory import Memory, is_reserved, namespace_covers
from memmcp_server.domain.search import Contradiction, Found, IndexState, SearchQuery, SearchResult
from memmcp_server.domain.times import NS_PER_S
from memmcp_server.errors import IndexUnavailable, InvalidInput
from memmcp_server.ports import Clock, IndexHit, IndexStatus, Journal, LexicalScope, VectorIndex

from .fusion import Candidate, fuse
from .words import coverage, query_words

SEARCH_LIMIT_MAX = 100
"""Hits over all pages of one question; whoever needs more narrows it."""

QUERY_LENGTH_MAX = 4_000
SHARE_MIN = 0.05
"""Weight of a row that the journal found by a spelling which plain case folding does not see."""

LEXICAL_SCAN_MAX = 200
"""Rows that one lexical search may bring up for ranking."""

UNVERIFIED_DAYS_MIN = 30
_DAY_NS = 86_400 * NS_PER_S


class Finder:
    """``index_timeout_s`` bounds the wait for the index; after that the answer is by words alone and says so."""

    def __init__(self, journal: Journal, index: VectorIndex, clock: Clock, index_timeout_s: float) -> None:
        self._journal = journal
        self._index = index
        self._clock = clock
        self._index_timeout_s = index_timeout_s

    async def find(self, query: SearchQuery, hidden: Sequence[str] = ()) -> SearchResult:
        """Find memories by meaning and by words, best first, among all that are durable now.

        What the index has not reached is found by its words; without an index everything is. Each hit is read from
        the journal, so that a late index shows neither a superseded nor an unknown text. ``hidden``: namespaces and
        subtrees that nothing may come from.

        Raises: InvalidInput, JournalBusy, JournalUnavailable.
        """
        _check_query(query)
        asked = query
        cursor = SearchCursor(0, 0)
        if query.cursor is not None:
            cursor = parse_search_cursor(query.cursor, query.text, query.where, SEARCH_LIMIT_MAX)
        now_ns = self._clock.now_ns()
        first_ns = query.where.as_of_ns or cursor.as_of_ns or now_ns
        query = self._bound(query, cursor, first_ns, hidden)
        words = query_words(query.text)
        status = await self._index_status()
        hits: Sequence[IndexHit] | None = None
        scope: LexicalScope = "unindexed"
        if status.state in ("ready", "degraded"):
            # Words before meaning: a row that is delivered in between is then found twice rather than not at all.
            rows, backlog = await self._journal.unindexed(words, query.where, limit=LEXICAL_SCAN_MAX)
            hits = await self._ask_index(query)
        if hits is None:
            scope = "all"
            rows = await self._journal.lexical(words, query.where, scope="all", limit=LEXICAL_SCAN_MAX)
            backlog = await self._journal.backlog()
        around = await self._journal.surroundings(_ids(hits or ()), as_of_ns=query.where.as_of_ns)
        candidates = [*_hydrated(hits or (), query, around), *_ranked_by_words(rows, words, scope)]
        ranked = [each for each in fuse(candidates) if not each.memory.is_expired_at(first_ns)]
        page, more = ranked[cursor.offset : query.limit], len(ranked) > query.limit
        found, contradictions = await self._explained(page, around, hidden, now_ns)
        state: IndexState = status.state if hits is not None or status.state == "starting" else "down"
        note = _note(state, backlog, status.detail)
        start = SearchCursor(cursor.offset, first_ns)
        result = SearchResult(tuple(found), state, backlog, note, None, tuple(contradictions), start)
        if not more or query.limit >= SEARCH_LIMIT_MAX:
            return result
        return replace(result, next_cursor=result.cursor_after(asked, len(page)))

    def _bound(self, query: SearchQuery, cursor: SearchCursor, first_ns: int, hidden: Sequence[str]) -> SearchQuery:
        """Return the query with what it leaves open: what holds, what may be seen, and how many hits over all pages."""
        where = query.where
        if query.cursor is not None and where.as_of_ns is None:
            where = replace(where, as_of_ns=cursor.as_of_ns)
        valid_at_ns = first_ns if where.valid_at_ns is None else where.valid_at_ns
        where = replace(where, valid_at_ns=valid_at_ns, hidden=tuple(hidden))
        return replace(query, where=where, limit=min(cursor.offset + query.limit, SEARCH_LIMIT_MAX))

    async def _index_status(self) -> IndexStatus:
        with contextlib.suppress(IndexUnavailable, TimeoutError):
            async with asyncio.timeout(self._index_timeout_s):
                return await self._index.status()
        return IndexStatus("down", "", "", 0)

    async def _ask_index(self, query: SearchQuery) -> Sequence[IndexHit] | None:
        """Return the index's hits, None where it could not answer in time."""
        with contextlib.suppress(IndexUnavailable, TimeoutError):
            async with asyncio.timeout(self._index_timeout_s):
                # Twice the limit: some hits fall away when the journal is asked what they say now.
                return await self._index.search(query.text, query.where, limit=2 * query.limit)
        return None

    async def _explained(
        self, page: Sequence[Found], around: Surroundings, hidden: Sequence[str], now_ns: int
    ) -> tuple[list[Found], list[Contradiction]]:
        """Say of each hit what speaks against relying on it."""
        links = await self._journal.links([each.memory.id for each in page])
        others = {link.to_id for link in links} | {link.from_id for link in links}
        present = await self._journal.all_versions(sorted(others)) if links else {}
        lasts = {memory_id: versions[-1] for memory_id, versions in present.items()}
        pairs = _contradictions(links, lasts, hidden)
        explained: list[Found] = []
        for each in page:
            memory = each.memory
            contrary = [pair for pair in pairs if memory.id in (pair.newer.id, pair.older.id)]
            ids = tuple(p.older.id if p.newer.id == memory.id else p.newer.id for p in contrary)
            standing = around.standings.get(memory.id)
            confirmed_ns = max(memory.known_at_ns, (standing.confirmed_at_ns if standing else None) or 0)
            days = (now_ns - confirmed_ns) // _DAY_NS
            is_old = days >= UNVERIFIED_DAYS_MIN and not is_reserved(memory.namespace)
            stale = staleness(memory.id, links, lasts, now_ns)
            explained.append(replace(each, stale=stale, contradicts=ids, unverified_days=days if is_old else None))
        return explained, pairs


def _ids(hits: Sequence[IndexHit]) -> list[MemoryId]:
    return list(dict.fromkeys(hit.memory_id for hit in hits))


def _hydrated(hits: Sequence[IndexHit], query: SearchQuery, around: Surroundings) -> list[Candidate]:
    """Return what the journal holds for the hits, in their order; unknown and unfit ones fall away."""
    candidates: list[Candidate] = []
    for rank, hit in enumerate(hits):
        memory = around.memories.get(hit.memory_id)
        if memory is not None and query.where.admits(memory):
            late = "" if memory.version == hit.version else ", changed since it was indexed"
            candidates.append(Candidate(memory, "index", rank, 1.0, _parts(hit) + late))
    return candidates


def _contradictions(links: Sequence[Link], lasts: dict[MemoryId, Memory], hidden: Sequence[str]) -> list[Contradiction]:
    """Return the pairs of current memories that are tied as contrary, each once."""
    pairs: dict[tuple[MemoryId, MemoryId], Contradiction] = {}
    for link in links:
        one, other = lasts.get(link.from_id), lasts.get(link.to_id)
        if link.kind is not LinkKind.CONTRADICTS or one is None or other is None:
            continue
        if any(each.superseded_at_ns is not None or _is_hidden(each, hidden) for each in (one, other)):
            continue
        newer, older = sorted((one, other), key=lambda memory: -memory.seq)
        pairs[newer.id, older.id] = Contradiction(newer, older)
    return list(pairs.values())


def _is_hidden(memory: Memory, hidden: Sequence[str]) -> bool:
    return any(namespace_covers(pattern, memory.namespace) for pattern in hidden)


def _check_query(query: SearchQuery) -> None:
    if not query.text.strip() or len(query.text) > QUERY_LENGTH_MAX:
        msg = f"query has {len(query.text)} characters; allowed are 1 to {QUERY_LENGTH_MAX}, not all blank"
        raise InvalidInput(msg, field="query")
    try:
        query.text.encode()
    except UnicodeEncodeError as error:
        msg = f"query holds a lone surrogate at {error.start}; only valid Unicode is allowed"
        raise InvalidInput(msg, field="query") from error
    if "\x00" in query.text:
        msg = "query holds U+0000; control characters are not allowed"
        raise InvalidInput(msg, field="query")
    if not 1 <= query.limit <= SEARCH_LIMIT_MAX:
        msg = f"limit is {query.limit}; allowed are 1 to {SEARCH_LIMIT_MAX}"
        raise InvalidInput(msg, field="limit")
    where = query.where
    if where.since_ns is not None and where.until_ns is not None and where.since_ns >= where.until_ns:
        msg = "since is not before until, so that nothing can lie between them"
        raise InvalidInput(msg, field="since")


def _ranked_by_words(rows: Sequence[Memory], words: Sequence[str], scope: LexicalScope) -> list[Candidate]:
    """Return the rows with the most of the query first, then the newest."""
    late = " (not yet indexed)" if scope == "unindexed" else ""
    scored = [(memory, *coverage(words, "\n".join((memory.content, *memory.tags)))) for memory in rows]
    scored.sort(key=lambda each: (-each[2], -each[0].seq))
    return [
        Candidate(memory, "words", rank, max(share, SHARE_MIN), f"words {present} of {len(words)}{late}")
        for rank, (memory, present, share) in enumerate(scored)
    ]


def _parts(hit: IndexHit) -> str:
    parts = []
    if hit.dense is not None:
        parts.append(f"meaning {hit.dense:.2f}")
    if hit.lexical is not None:
        parts.append(f"words {hit.lexical:.1f}")
    return ", ".join(parts) or f"index {hit.score:.2f}"


def _note(state: IndexState, backlog: int, detail: str) -> str | None:
    reason = f" ({detail})" if detail else ""
    match state:
        case "starting":
            return "The index is still starting: this answer is by words alone, over all memories."
        case "down":
            return f"The index does not answer{reason}: this answer is by words alone, over all memories."
        case "degraded":
            return f"The embedding model is not available{reason}: this answer is by words alone."
        case "ready":
            return f"{backlog} memories are not indexed yet; they were searched by their words." if backlog else None
