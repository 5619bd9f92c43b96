"""The vector index, its embedder and its golden queries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from memmcp_server.domain.drift import DriftKind
from memmcp_server.domain.golden import GoldenSet
from memmcp_server.domain.identifiers import MemoryId
from memmcp_server.domain.memory import Memory, MemoryFilter

from .journal import Purge


@dataclass(frozen=True, slots=True)
class IndexPoint:
    """One version of a memory for the index. ``known_to_ns`` None: current. ``text_dense`` None: words only.

    ``context`` holds what was said before it in its thread, the nearest first; ``previous_id`` is the nearest of them.
    """

    memory: Memory
    known_to_ns: int | None
    text_lexical: str
    text_dense: str | None
    context: tuple[str, ...] = ()
    previous_id: MemoryId | None = None


@dataclass(frozen=True, slots=True)
class IndexHit:
    """``score`` in [0, 1] is the relevance, on one scale for all queries; the parts are those of each side.

    ``dense`` (cosine) and ``lexical`` (BM25) are None where that side did not find it. ``share`` says how much of the
    query's words it covers, by their weight, ``meaning`` how near it is in meaning; both from 0 to 1, None where that
    was not asked. ``previous_id``: the memory before it in its thread.
    """

    memory_id: MemoryId
    version: int
    score: float
    dense: float | None
    lexical: float | None
    share: float | None = None
    meaning: float | None = None
    previous_id: MemoryId | None = None


@dataclass(frozen=True, slots=True)
class NextGeneration:
    """A generation that is filled beside the searched one. ``token`` names this very filling: another one, also after
    the generation was lost and begun anew, has another. ``detail`` says what hinders it, empty for nothing.
    """

    generation: int
    model: str
    points: int
    token: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class IndexStatus:
    """``state``: starting (model or shard loading), ready, degraded (words only, no model), down.

    ``generation`` is the searched one. ``wants`` says why it should be replaced (another model, another recipe of
    texts), empty where it should not. ``unvectored``: points that could get their vector now.
    """

    state: Literal["starting", "ready", "degraded", "down"]
    backend: str
    model: str
    points: int
    detail: str = ""
    generation: int = 1
    next: NextGeneration | None = None
    wants: str = ""
    unvectored: int = 0


class VectorIndex(Protocol):
    """A projection of the journal that finds memories by meaning and by words. Raises IndexUnavailable.

    It has one generation, or two while a model changes: writes and removals go to both, everything else to the one that
    is searched, or, through ``beside``, to the other.
    """

    async def upsert(self, points: Sequence[IndexPoint]) -> None:
        """Store the points durably (flushed on return). A point is identified by (memory id, version)."""

    async def remove(self, memory_ids: Sequence[MemoryId]) -> None: ...

    async def search(self, query: str, where: MemoryFilter, *, limit: int) -> list[IndexHit]:
        """Return the best hits, best first, at most ``limit``."""

    async def similar(
        self, memory_id: MemoryId, version: int, where: MemoryFilter, *, limit: int
    ) -> list[IndexHit] | None:
        """Return what lies nearest to a version that is there, by its stored vector; ``dense`` is the cosine.

        The version itself is left out. None: it is not there yet, or has no vector.
        """

    async def compare(self, wanted: Mapping[MemoryId, Sequence[IndexPoint]]) -> dict[MemoryId, DriftKind]:
        """Return which memories stand otherwise than they should, all versions of each; those in order are left out."""

    async def memory_ids(
        self, *, after: str | None, limit: int, lacking_vector: bool = False
    ) -> tuple[list[MemoryId], str | None]:
        """Return the memories of the next ``limit`` points and where to go on (None: these were the last).

        A memory may come again for another of its versions. ``lacking_vector``: only those of such points.
        """

    async def clear(self) -> None:
        """Drop every point."""

    async def begin(self) -> None:
        """Begin a next generation with the configured model; one that is there already goes on."""

    async def switch(self) -> None:
        """Search the next generation from now on and drop the old one, in one step."""

    async def abandon(self) -> None:
        """Drop the next generation, if there is one."""

    def beside(self) -> "VectorIndex":
        """Return the next generation as an index: what is written there goes to it alone."""

    async def purge(self, forgotten: Mapping[MemoryId, int]) -> Purge:
        """Leave nothing of removed points in the files, logs included; searches and writes go on meanwhile.

        ``forgotten`` gives the last version of each memory whose points are then looked for.
        """

    async def status(self) -> IndexStatus: ...


class GoldenStore(Protocol):
    """Keeps the golden queries of this installation with their baseline. Raises everywhere: Unavailable."""

    async def load(self) -> GoldenSet | None:
        """Return the set that was kept last, None when there is none."""

    async def save(self, golden: GoldenSet) -> None:
        """Keep the set in place of the one before, durably."""


class Embedder(Protocol):
    """Text to unit vectors. Synchronous: it runs in the index worker's process."""

    @property
    def name(self) -> str: ...

    @property
    def dimension(self) -> int: ...

    def embed(self, texts: Sequence[str]) -> list[list[float]]: ...
