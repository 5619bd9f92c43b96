"""Search: the index and what it has not reached yet, united, ranked and explained."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

from memmcp_server.domain.cursors import SearchCursor, parse_search_cursor
from memmcp_server.domain.evidence import staleness
from memmcp_server.domain.identifiers import MemoryId
from memmcp_server.domain.lifecycle import Link, LinkKind, Standing, Surroundings
from memmcp_server.domain.memory import Memory, is_reserved, namespace_covers
from memmcp_server.domain.policy import PolicyBook
from memmcp_server.domain.search import Contradiction, Found, IndexState, SearchQuery, SearchResult
from memmcp_server.domain.times import NS_PER_DAY
from memmcp_server.errors import IndexUnavailable, InvalidInput
from memmcp_server.ports import Clock, IndexHit, IndexStatus, Journal, LexicalScope, VectorIndex

from .ranking import (
    HITS_WANTED,
    Ranked,
    blocks,
    facts_of,
    hit_of_words,
    is_called_for,
    is_nothing_relevant,
    previous_of,
    rank,
    shortlist,
)
from .words import coverage, query_words

SEARCH_LIMIT_MAX = 100
"""Hits over all pages of one question; whoever needs more narrows it."""

QUERY_LENGTH_MAX = 4_000
SHARE_MIN = 0.05
"""Relevance of a row that the journal found by a spelling which plain case folding does not see."""

LEXICAL_SCAN_MAX = 200
"""Rows that one lexical search may bring up for ranking."""

UNVERIFIED_DAYS_MIN = 30


class Finder:
    """``index_timeout_s`` bounds the wait for the index; after that the answer is by words alone and says so."""

    def __init__(self, journal: Journal, index: VectorIndex, clock: Clock, index_timeout_s: float) -> None:
        self._journal = journal
        self._index = index
        self._clock = clock
        self._index_timeout_s = index_timeout_s

    async def find(self, query: SearchQuery, book: PolicyBook, hidden: Sequence[str] = ()) -> SearchResult:
        """Find memories by meaning and by words, best first, among all that are durable now.

        What the index has not reached is found by its words; without an index everything is. Each hit is read from
        the journal, so that a late index shows neither a superseded nor an unknown text. Where nothing is relevant the
        answer is empty and its note says so. ``hidden``: namespaces and subtrees that nothing may come from.

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
        late = _found_by_words(rows, words, scope)
        candidates = _united(hits or (), [hit for hit, _ in late.values()])
        ranked, around = await self._rank(query, candidates, book, first_ns)
        state: IndexState = status.state if hits is not None or status.state == "starting" else "down"
        note = _note(state, backlog, status.detail)
        if not rows and hits is not None and is_nothing_relevant(hits) and not is_called_for(query.text, ranked):
            note = " ".join(filter(None, (_nothing_note(ranked), note)))
            ranked = []
        page, more = [_found(each, late) for each in ranked[cursor.offset : query.limit]], len(ranked) > query.limit
        explained, contradictions = await self._explained(page, around, hidden, now_ns)
        start = SearchCursor(cursor.offset, first_ns)
        result = SearchResult(tuple(explained), state, backlog, note, None, tuple(contradictions), start)
        if not more or query.limit >= SEARCH_LIMIT_MAX:
            return result
        return replace(result, next_cursor=result.cursor_after(asked, len(page)))

    async def _rank(
        self, query: SearchQuery, hits: Sequence[IndexHit], book: PolicyBook, first_ns: int
    ) -> tuple[list[Ranked], Surroundings]:
        """Return what the journal holds for the hits and what stands beside them, best first, and how it stands."""
        ranked: list[Ranked] = []
        memories: dict[MemoryId, Memory] = {}
        standings: dict[MemoryId, Standing] = {}
        links: dict[Link, None] = {}
        for block in blocks(query.text, shortlist(hits, previous_of(hits)), first_ns):
            ids = [each.memory_id for each in block]
            around = await self._journal.surroundings(ids, as_of_ns=query.where.as_of_ns, with_neighbours=False)
            admitted = {
                memory_id: memory
                for memory_id, memory in around.memories.items()
                if query.where.admits(memory) and not memory.is_expired_at(first_ns)
            }
            facts = {
                memory.id: facts_of(memory, around.credit(memory.id), book.of(memory.namespace), first_ns)
                for memory in admitted.values()
            }
            ranked += rank(query.text, block, admitted, facts, now_ns=first_ns)
            memories |= admitted
            standings |= around.standings
            links |= dict.fromkeys(around.links)
            if len(ranked) > query.limit:
                break
        return ranked, Surroundings(memories, {}, {}, standings, tuple(links))

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
                return await self._index.search(query.text, query.where, limit=HITS_WANTED)
        return None

    async def _explained(
        self, page: Sequence[Found], around: Surroundings, hidden: Sequence[str], now_ns: int
    ) -> tuple[list[Found], list[Contradiction]]:
        """Say of each hit what speaks against relying on it."""
        shown = {each.memory.id for each in page}
        links = [link for link in around.links if link.from_id in shown or link.to_id in shown]
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
            days = (now_ns - confirmed_ns) // NS_PER_DAY
            is_old = days >= UNVERIFIED_DAYS_MIN and not is_reserved(memory.namespace)
            stale = staleness(memory.id, links, lasts, now_ns)
            explained.append(replace(each, stale=stale, contradicts=ids, unverified_days=days if is_old else None))
        return explained, pairs


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


def _found_by_words(
    rows: Sequence[Memory], words: Sequence[str], scope: LexicalScope
) -> dict[MemoryId, tuple[IndexHit, str]]:
    """Return the rows as hits, each with why it was found."""
    late = " (not yet indexed)" if scope == "unindexed" else ""
    found = {}
    for memory in rows:
        present, share = coverage(words, "\n".join((memory.content, *memory.tags)))
        hit = hit_of_words(memory, max(share, SHARE_MIN))
        found[memory.id] = hit, f"words {present} of {len(words)}{late}"
    return found


def _united(hits: Sequence[IndexHit], late: Sequence[IndexHit]) -> list[IndexHit]:
    """Return both; of a version that was delivered while the two were asked, the index knows more."""
    delivered = {(hit.memory_id, hit.version) for hit in hits}
    return [*hits, *(hit for hit in late if (hit.memory_id, hit.version) not in delivered)]


def _found(ranked: Ranked, late: Mapping[MemoryId, tuple[IndexHit, str]]) -> Found:
    """Say of a memory in words and in numbers why it stands where it stands."""
    memory, hit = ranked.memory, ranked.hit
    reasons: list[str] = []
    if hit is not None and hit.dense is not None:
        reasons.append(f"meaning {hit.dense:.2f}")
    if hit is not None and hit.lexical is not None:
        reasons.append(f"words {hit.lexical:.1f}")
    if reasons and hit is not None and hit.version != memory.version:
        reasons.append("changed since it was indexed")
    if memory.id in late:
        reasons.append(late[memory.id][1])
    reasons += [f"{part.name} {part.value:+.2f}" for part in ranked.parts if part.name != "relevance"]
    return Found(memory, ranked.score, ", ".join(reasons), {part.name: part.value for part in ranked.parts})


def _nothing_note(ranked: Sequence[Ranked]) -> str:
    if not ranked:
        return "Nothing is stored that could answer this."
    nearest = ranked[0]
    return f"Nothing relevant is stored; the nearest, {nearest.memory.id}, has a score of {nearest.score:.2f}."


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
