"""The seam between the index engine and where points are kept. Synchronous: it lives in the worker."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from memmcp_server.domain.identifiers import Json, JsonObject

DENSE = "dense"
WORDS = "words"


class StoreUnavailable(Exception):
    """The store cannot be reached or opened now; the same call may work later."""


class StoreDamaged(Exception):
    """What is on disk cannot be opened. It is a projection: clear and rebuild."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Which model the vectors of an index came from. ``probe``: the vector of a fixed text, once a model was loaded.

    ``dimension`` None: no dense vectors (the model's dimension was not known).
    """

    model: str
    dimension: int | None
    probe: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class SparseVector:
    indices: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class StoredPoint:
    """``payload`` holds at least ``conditions.PAYLOAD_FIELDS``."""

    id: str
    payload: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class ScoredPoint:
    id: str
    score: float
    payload: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class NewPoint:
    """``dense`` None: found by its words only."""

    id: str
    dense: tuple[float, ...] | None
    words: SparseVector
    payload: JsonObject


@dataclass(frozen=True, slots=True)
class Query:
    """At most ``limit`` points a side; a side that is None is not asked."""

    dense: tuple[float, ...] | None
    words: SparseVector | None
    where: JsonObject
    limit: int


class PointStore(Protocol):
    """Provides points for one index. One thread writes, others may search meanwhile.

    Raises everywhere: StoreUnavailable; ``open`` also StoreDamaged.
    """

    @property
    def backend(self) -> str: ...

    def open(self, wanted: Identity) -> Identity:
        """Open what is there, or make an empty index for ``wanted``; return the identity it really has."""

    def write_identity(self, identity: Identity) -> None: ...

    def find(self, where: JsonObject, limit: int) -> list[StoredPoint]: ...

    def write(self, points: Sequence[NewPoint]) -> None:
        """Store the points. One that is current never replaces one that is already superseded."""

    def set_payload(self, point_id: str, changes: JsonObject) -> None: ...

    def remove(self, where: JsonObject) -> None: ...

    def flush(self) -> None:
        """Return when everything written is on disk."""

    def search(self, query: Query) -> tuple[list[ScoredPoint], list[ScoredPoint]]:
        """Return (dense, words) hits, each best first."""

    def vector(self, point_id: str) -> tuple[float, ...] | None:
        """Return the dense vector of a point, None where there is no such point or vector."""

    def count(self, where: JsonObject | None = None) -> int: ...

    def reset(self, identity: Identity) -> None:
        """Drop everything, also what is damaged, and begin anew."""

    def close(self) -> None: ...


def dense_of(vectors: object) -> tuple[float, ...] | None:
    """Return the dense one of a point's named vectors, as either engine hands them out."""
    dense = vectors.get(DENSE) if isinstance(vectors, Mapping) else None
    return tuple(float(value) for value in dense) if isinstance(dense, Sequence) else None
