"""VectorIndex in memory: the contract in its plainest form, for tests of what stands above an index."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import anyio

from memmcp_server.domain.dates import dates_as_words
from memmcp_server.domain.drift import DriftKind
from memmcp_server.domain.identifiers import MemoryId
from memmcp_server.domain.memory import Memory, MemoryFilter
from memmcp_server.errors import IndexUnavailable
from memmcp_server.ports import Clock, Embedder, IndexHit, IndexPoint, IndexStatus, NextGeneration, Purge, VectorIndex

from .hash_embedder import HashEmbedder


class MemoryIndex:
    """``is_down`` makes every call fail the way an index that is down does; ``upserts`` counts what got through.

    ``wants`` is told as if another model were configured; ``unable`` are memories that nothing can be written of.
    """

    def __init__(self, clock: Clock, embedder: Embedder | None = None) -> None:
        self._clock = clock
        self._embedder = embedder or HashEmbedder()
        self._points: dict[tuple[MemoryId, int], IndexPoint] = {}
        self._beside: MemoryIndex | None = None
        self._generation = self._last = 1
        self._token = ""
        self.is_down = False
        self.upserts = 0
        self.wants = ""
        self.unable: set[MemoryId] = set()
        self.next_embedder: Embedder | None = None

    async def upsert(self, points: Sequence[IndexPoint]) -> None:
        self._require_up()
        if self.unable & {point.memory.id for point in points}:
            raise IndexUnavailable("the worker has died of it")
        if self._beside is not None:
            await self._beside.upsert(points)
        for point in points:
            key = (point.memory.id, point.memory.version)
            held = self._points.get(key)
            ends = [p.known_to_ns for p in (point, held) if p is not None and p.known_to_ns is not None]
            self._points[key] = replace(point, known_to_ns=min(ends, default=None))
            self._close_superseded(point.memory.id)
        self.upserts += 1

    async def remove(self, memory_ids: Sequence[MemoryId]) -> None:
        self._require_up()
        self._points = {key: point for key, point in self._points.items() if key[0] not in memory_ids}
        if self._beside is not None:
            await self._beside.remove(memory_ids)

    async def search(self, query: str, where: MemoryFilter, *, limit: int) -> list[IndexHit]:
        self._require_up()
        wanted = _words(dates_as_words(query))
        [vector] = self._embedder.embed([query])
        hits = []
        for point in self._points.values():
            if not wanted or not self._admits(where, point):
                continue
            said = "\n".join([point.text_lexical, *point.context])
            words = len(wanted & _words(said)) / len(wanted)
            dense = None
            if point.text_dense is not None:
                [other] = self._embedder.embed([point.text_dense])
                dense = sum(a * b for a, b in zip(vector, other, strict=True))
            if words or dense is not None:
                score = (words + (dense or 0.0)) / 2
                key = (point.memory.id, point.memory.version)
                meaning = None if dense is None else max(0.0, dense)
                hits.append(IndexHit(*key, score, dense, words or None, words, meaning, point.previous_id))
        return sorted(hits, key=lambda hit: (-hit.score, hit.memory_id, hit.version))[:limit]

    async def similar(
        self, memory_id: MemoryId, version: int, where: MemoryFilter, *, limit: int
    ) -> list[IndexHit] | None:
        self._require_up()
        point = self._points.get((memory_id, version))
        if point is None or point.text_dense is None:
            return None
        [vector] = self._embedder.embed([point.text_dense])
        hits = []
        for key, other in self._points.items():
            if key != (memory_id, version) and other.text_dense is not None and self._admits(where, other):
                [near] = self._embedder.embed([other.text_dense])
                dense = sum(a * b for a, b in zip(vector, near, strict=True))
                hits.append(IndexHit(*key, dense, dense, None))
        return sorted(hits, key=lambda hit: -hit.score)[:limit]

    async def compare(self, wanted: Mapping[MemoryId, Sequence[IndexPoint]]) -> dict[MemoryId, DriftKind]:
        self._require_up()
        found: dict[MemoryId, DriftKind] = {}
        for memory_id, points in wanted.items():
            held = {key[1]: point for key, point in self._points.items() if key[0] == memory_id}
            if held.keys() - {point.memory.version for point in points}:
                found[memory_id] = DriftKind.SURPLUS
            elif len(held) < len(points):
                found[memory_id] = DriftKind.MISSING
            elif any(_said(held[point.memory.version]) != _said(point) for point in points):
                found[memory_id] = DriftKind.OUTDATED
        return found

    async def memory_ids(
        self, *, after: str | None, limit: int, lacking_vector: bool = False
    ) -> tuple[list[MemoryId], str | None]:
        self._require_up()
        keys = sorted(f"{memory_id}#{version}" for memory_id, version in self._points if not lacking_vector)
        page = [key for key in keys if after is None or key >= after]
        ids = [MemoryId(key.rpartition("#")[0]) for key in page[:limit]]
        return list(dict.fromkeys(ids)), page[limit] if len(page) > limit else None

    async def clear(self) -> None:
        self._require_up()
        self._points.clear()

    async def purge(self, forgotten: Mapping[MemoryId, int]) -> Purge:
        self._require_up()
        left = sum(memory_id in forgotten for memory_id, _ in self._points)
        return Purge("memory", ("delete",), windows=sum(forgotten.values()), residues=left)

    async def begin(self) -> None:
        self._require_up()
        if self._beside is None:
            self._last += 1
            self._beside = MemoryIndex(self._clock, self.next_embedder or self._embedder)
            self._beside._generation, self._beside._token = self._last, f"filling {self._last}"

    async def switch(self) -> None:
        self._require_up()
        following = self._following()
        self._points, self._embedder, self._generation = (
            following._points,
            following._embedder,
            following._generation,
        )
        self._beside, self.wants = None, ""

    async def abandon(self) -> None:
        self._require_up()
        self._beside = None

    def beside(self) -> "VectorIndex":
        return self if self._token else self._beside or _Nothing(self._clock)

    async def status(self) -> IndexStatus:
        following = None
        if (beside := self._beside) is not None:
            name, points = beside._embedder.name, len(beside._points)
            following = NextGeneration(beside._generation, name, points, beside._token)
        return IndexStatus(
            "down" if self.is_down else "ready",
            "memory",
            self._embedder.name,
            len(self._points),
            generation=self._generation,
            next=following,
            wants=self.wants,
        )

    def _following(self) -> "MemoryIndex":
        if self._beside is None:
            raise IndexUnavailable("no other generation is being filled")
        return self._beside

    def _require_up(self) -> None:
        if self.is_down:
            raise IndexUnavailable("the index is down")

    def _close_superseded(self, memory_id: MemoryId) -> None:
        versions = sorted(key for key in self._points if key[0] == memory_id)
        for key, following in pairwise(versions):
            begins = self._points[following].memory.known_at_ns
            ends = self._points[key].known_to_ns
            self._points[key] = replace(self._points[key], known_to_ns=begins if ends is None else min(ends, begins))

    def _admits(self, where: MemoryFilter, point: IndexPoint) -> bool:
        memory: Memory = replace(point.memory, superseded_at_ns=point.known_to_ns)
        at_ns = self._clock.now_ns() if where.as_of_ns is None else where.as_of_ns
        return where.admits(memory) and not memory.is_expired_at(at_ns)


class _Nothing(MemoryIndex):
    """The next generation of an index that has none."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.is_down = True


def _said(point: IndexPoint) -> tuple[object, ...]:
    memory = point.memory
    return (point.known_to_ns, point.text_lexical, point.text_dense, memory.tags, memory.expires_at_ns, memory.pinned)


def _words(text: str) -> set[str]:
    return set(re.findall(r"[^\W_]+", text.lower())) - {"the", "a", "of", "and", "is", "to", "in"}


async def state_of(index: VectorIndex, *states: str, timeout_s: float = 30.0) -> IndexStatus:
    """Wait until any index, real or double, is in one of the states, and return its status."""
    status = await index.status()
    with anyio.move_on_after(timeout_s):
        while status.state not in states:
            await anyio.sleep(0.01)
            status = await index.status()
    assert status.state in states, status
    return status
