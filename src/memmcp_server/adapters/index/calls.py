"""What the daemon asks of the index worker, as ``ports.VectorIndex``: the same questions for both generations."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from memmcp_server.domain.drift import DriftKind
from memmcp_server.domain.identifiers import Json, JsonObject, MemoryId
from memmcp_server.domain.memory import MemoryFilter
from memmcp_server.errors import IndexUnavailable
from memmcp_server.ports import Clock, IndexHit, IndexPoint, IndexStatus, Purge

from .documents import (
    BadField,
    array,
    filter_document,
    integer,
    object_of,
    optional_text,
    parse_hits,
    point_document,
    point_id_of,
    texts,
)
from .inventory import drifts

CHUNK_POINTS_MAX = 64
FILL_POINTS_MAX = 256
"""A generation that is filled takes more at once: each call ends with a flush, during which nobody can search."""
CHUNK_CHARS_MAX = 1_000_000
QUERY_CHARS_MAX = 8_000
POINT_IDS_MAX = 5_000
REMOTE_NOTE = "the Qdrant server was asked to delete the points; its files are not ours to search"


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    """``ready_wait_s``: how long a write waits for a worker that is starting. A worker that lived for
    ``healthy_after_s`` is started again at once, one that dies young ever later, up to ``backoff_cap_s``.
    """

    in_flight_max: int = 128
    search_timeout_s: float = 5.0
    write_timeout_s: float = 120.0
    ready_wait_s: float = 10.0
    send_timeout_s: float = 10.0
    close_timeout_s: float = 3.0
    backoff_base_s: float = 0.2
    backoff_cap_s: float = 10.0
    healthy_after_s: float = 30.0


class IndexCalls(ABC):
    """The calls of the port over ``_call``, which a body of the port provides."""

    _points_max = CHUNK_POINTS_MAX

    def __init__(self, clock: Clock, limits: WorkerLimits) -> None:
        self._clock = clock
        self._limits = limits

    async def upsert(self, points: Sequence[IndexPoint]) -> None:
        await self._until_writable()
        for chunk in _chunks(points, self._points_max):
            documents: list[Json] = [point_document(point) for point in chunk]
            await self._call("upsert", {"points": documents}, self._limits.write_timeout_s)

    async def remove(self, memory_ids: Sequence[MemoryId]) -> None:
        await self._until_writable()
        ids: list[Json] = list(memory_ids)
        await self._call("remove", {"memory_ids": ids}, self._limits.write_timeout_s)

    async def search(self, query: str, where: MemoryFilter, *, limit: int) -> list[IndexHit]:
        fields: JsonObject = {
            "query": query[:QUERY_CHARS_MAX],
            "where": filter_document(where),
            "limit": limit,
            "now_ns": self._clock.now_ns(),
        }
        return _hits(await self._call("search", fields, self._limits.search_timeout_s))

    async def similar(
        self, memory_id: MemoryId, version: int, where: MemoryFilter, *, limit: int
    ) -> list[IndexHit] | None:
        fields: JsonObject = {
            "memory_id": memory_id,
            "version": version,
            "where": filter_document(where),
            "limit": limit,
            "now_ns": self._clock.now_ns(),
        }
        answer = await self._call("similar", fields, self._limits.search_timeout_s)
        return None if answer.get("hits") is None else _hits(answer)

    async def compare(self, wanted: Mapping[MemoryId, Sequence[IndexPoint]]) -> dict[MemoryId, DriftKind]:
        held: list[JsonObject] = []
        wanted_ids: list[Json] = list(wanted)
        for start in range(0, len(wanted_ids), CHUNK_POINTS_MAX):
            ids = wanted_ids[start : start + CHUNK_POINTS_MAX]
            answer = await self._call("held", {"memory_ids": ids}, self._limits.write_timeout_s)
            with _reading():
                held.extend(object_of(point, "held") for point in array(answer, "held"))
        return drifts(wanted, held)

    async def memory_ids(
        self, *, after: str | None, limit: int, lacking_vector: bool = False
    ) -> tuple[list[MemoryId], str | None]:
        fields: JsonObject = {"after": after, "limit": limit, "lacking_vector": lacking_vector}
        answer = await self._call("page", fields, self._limits.write_timeout_s)
        with _reading():
            return [MemoryId(each) for each in texts(answer, "memory_ids")], optional_text(answer, "next")

    async def clear(self) -> None:
        await self._call("clear", {}, self._limits.write_timeout_s)

    async def purge(self, forgotten: Mapping[MemoryId, int]) -> Purge:
        await self._until_writable()
        is_done, begin = False, True
        while not is_done:
            answer = await self._call("purge", {"begin": begin}, self._limits.write_timeout_s)
            is_done, begin = answer.get("done") is True, False
        backend = (await self.status()).backend
        steps = ("delete", "copy") if backend == "qdrant-edge" else ("delete",)
        purge = Purge(backend, steps, note="" if backend == "qdrant-edge" else REMOTE_NOTE)
        point_ids = [point_id_of(each, version + 1) for each, last in forgotten.items() for version in range(last)]
        for start in range(0, len(point_ids), POINT_IDS_MAX):
            asked: list[Json] = list(point_ids[start : start + POINT_IDS_MAX])
            purge = _searched(purge, await self._call("residues", {"point_ids": asked}, self._limits.write_timeout_s))
        return purge

    async def begin(self) -> None:
        await self._until_writable()
        await self._call("begin", {}, self._limits.write_timeout_s)

    async def switch(self) -> None:
        await self._call("switch", {}, self._limits.write_timeout_s)

    async def abandon(self) -> None:
        await self._call("abandon", {}, self._limits.write_timeout_s)

    def beside(self) -> "BesideIndex":
        return BesideIndex(self)

    @abstractmethod
    async def status(self) -> IndexStatus: ...

    @abstractmethod
    async def _until_writable(self) -> None:
        """Wait for a worker that is starting; give up when it does not come."""

    @abstractmethod
    async def _call(self, op: str, fields: JsonObject, timeout_s: float) -> JsonObject:
        """Return the worker's answer. Raises: IndexUnavailable, InvalidInput."""


class BesideIndex(IndexCalls):
    """The generation that is being filled, over the worker of the one that is searched."""

    _points_max = FILL_POINTS_MAX

    def __init__(self, searched: IndexCalls) -> None:
        super().__init__(searched._clock, searched._limits)
        self._searched = searched

    def beside(self) -> "BesideIndex":
        return self

    async def status(self) -> IndexStatus:
        said = await self._searched.status()
        if said.next is None:
            return replace(said, state="down", points=0, detail="no other generation is being filled")
        return replace(said, model=said.next.model, points=said.next.points, generation=said.next.generation)

    async def _until_writable(self) -> None:
        await self._searched._until_writable()

    async def _call(self, op: str, fields: JsonObject, timeout_s: float) -> JsonObject:
        return await self._searched._call(op, {**fields, "generation": "next"}, timeout_s)


def _searched(purge: Purge, answer: JsonObject) -> Purge:
    """Return the purge with what one more search found."""
    with _reading():
        return replace(
            purge,
            files=integer(answer, "files"),
            bytes_read=integer(answer, "bytes"),
            windows=purge.windows + integer(answer, "points"),
            residues=purge.residues + integer(answer, "residues"),
        )


def _hits(answer: JsonObject) -> list[IndexHit]:
    with _reading():
        return parse_hits(answer.get("hits"))


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except BadField as problem:
        message = f"the index worker answered nonsense: {problem}"
        raise IndexUnavailable(message) from problem


def _chunks(points: Sequence[IndexPoint], points_max: int) -> Iterator[list[IndexPoint]]:
    chunk: list[IndexPoint] = []
    chars = 0
    for point in points:
        size = len(point.text_lexical) + len(point.text_dense or "")
        if chunk and (len(chunk) >= points_max or chars + size > CHUNK_CHARS_MAX):
            yield chunk
            chunk, chars = [], 0
        chunk.append(point)
        chars += size
    if chunk:
        yield chunk
