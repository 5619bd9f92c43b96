"""VectorIndex in memory: the contract in its plainest form, for tests of what stands above an index."""

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import anyio

from memmcp_server.domain.identifiers import MemoryId
from memmcp_server.domain.memory import Memory, MemoryFilter
from memmcp_server.errors import IndexUnavailable
from memmcp_server.ports import Clock, IndexHit, IndexPoint, IndexStatus, VectorIndex

from .hash_embedder import HashEmbedder


class MemoryIndex:
    """``is_down`` makes every call fail the way an index that is down does; ``upserts`` counts what got through."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._embedder = HashEmbedder()
        self._points: dict[tuple[MemoryId, int], IndexPoint] = {}
        self.is_down = False
        self.upserts = 0

    async def upsert(self, points: Sequence[IndexPoint]) -> None:
        self._require_up()
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

    async def search(self, query: str, where: MemoryFilter, *, limit: int) -> list[IndexHit]:
        self._require_up()
        wanted = _words(query)
        [vector] = self._embedder.embed([query])
        hits = []
        for point in self._points.values():
            if not wanted or not self._admits(where, point):
                continue
            words = len(wanted & _words(point.text_lexical)) / len(wanted)
            dense = None
            if point.text_dense is not None:
                [other] = self._embedder.embed([point.text_dense])
                dense = sum(a * b for a, b in zip(vector, other, strict=True))
            if words or dense is not None:
                score = (words + (dense or 0.0)) / 2
                hits.append(IndexHit(point.memory.id, point.memory.version, score, dense, words or None))
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

    async def clear(self) -> None:
        self._require_up()
        self._points.clear()

    async def status(self) -> IndexStatus:
        state = "down" if self.is_down else "ready"
        return IndexStatus(state, "memory", self._embedder.name, len(self._points))  # type: ignore[arg-type]

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
        return where.admits(memory) and (memory.expires_at_ns is None or memory.expires_at_ns > at_ns)


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
