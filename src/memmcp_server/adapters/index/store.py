"""The seam between the index engine and where points are kept. Synchronous: it lives in the worker."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, Protocol

from memmcp_server.domain.identifiers import Json, JsonObject

DENSE = "dense"
WORDS = "words"
RECIPE = 4
"""Number of the way texts and words of a point are made (``texts``, ``sink``, ``word_vectors``). Whoever changes what
they make raises it, so that the first start of the newer version fills a new generation beside the old one.

1: date, content, kind and tags. 2: before them, in the words, the turn before in the thread. 3: the two turns before
count as context, at less; dates that are spoken of are written out; the vector is of the content alone. 4: the
numbers of a date are words of their own.
"""
TERMS_MAX = 32
"""Words of one query whose rarity is asked for; a longer query is judged by these."""


class StoreUnavailable(Exception):
    """The store cannot be reached or opened now; the same call may work later."""


class StoreDamaged(Exception):
    """What is on disk cannot be opened. It is a projection: clear and rebuild."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Which model the vectors of an index came from. ``probe``: the vector of a fixed text, once a model was loaded.

    ``dimension`` None: no dense vectors (the model's dimension was not known). ``path``: the directory that the model
    was loaded from, empty for one that is found by its name. ``token`` is drawn anew whenever a store begins empty, so
    that nobody takes an emptied one for the one that was filled.
    """

    model: str
    dimension: int | None
    probe: tuple[float, ...] = ()
    recipe: int = RECIPE
    path: str = ""
    token: str = ""

    def begun(self) -> "Identity":
        """Return this identity for a store that begins empty now."""
        return replace(self, token=uuid.uuid4().hex)


@dataclass(frozen=True, slots=True)
class SparseVector:
    indices: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class StoredPoint:
    """``payload`` holds at least ``conditions.PAYLOAD_FIELDS``."""

    id: str
    payload: Mapping[str, Json]


class Match(NamedTuple):
    """A point that was found, before anything of it is read; hundreds in a search, hence a tuple."""

    id: str
    score: float


@dataclass(frozen=True, slots=True)
class NewPoint:
    """``dense`` None: found by its words only."""

    id: str
    dense: tuple[float, ...] | None
    words: SparseVector
    payload: JsonObject


@dataclass(frozen=True, slots=True)
class Query:
    """At most ``limit`` points a side; a side that is None is not asked.

    ``corpus`` names the points over which a word is rare or common, None for all of the index.
    """

    dense: tuple[float, ...] | None
    words: SparseVector | None
    where: JsonObject
    limit: int
    corpus: JsonObject | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """Points of each side, best first. ``idf``: of those of the first ``TERMS_MAX`` words that exist, by index."""

    dense: Sequence[Match]
    words: Sequence[Match]
    idf: Mapping[int, float]


def terms_of(query: Query) -> tuple[int, ...]:
    """Return the words of the query whose rarity is asked for."""
    return query.words.indices[:TERMS_MAX] if query.words is not None else ()


def idf_of(found: Sequence[tuple[int, float, SparseVector]]) -> dict[int, float]:
    """Return the inverse document frequency of each word, from (word, score, vector) of its best point.

    No engine tells it, and each computes its own; but the score of a search for that one word is the weight times it.
    """
    frequencies: dict[int, float] = {}
    for term, score, vector in found:
        weight = dict(zip(vector.indices, vector.values, strict=True)).get(term, 0.0)
        if weight > 0:
            frequencies[term] = score / weight
    return frequencies


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

    def page(self, where: JsonObject, *, after: str | None, limit: int) -> tuple[list[StoredPoint], str | None]:
        """Return points in the order of their ids, from ``after`` on, and the next page's ``after`` (None: no more)."""

    def write(self, points: Sequence[NewPoint]) -> None:
        """Store the points. One that is current never replaces one that is already superseded."""

    def set_payload(self, point_id: str, changes: JsonObject) -> None: ...

    def remove(self, where: JsonObject) -> None: ...

    def flush(self) -> None:
        """Return when everything written is on disk."""

    def search(self, query: Query) -> Answer: ...

    def payloads(self, point_ids: Sequence[str]) -> dict[str, Mapping[str, Json]]:
        """Return what ``conditions.PAYLOAD_FIELDS`` says of those points that exist."""

    def vector(self, point_id: str) -> tuple[float, ...] | None:
        """Return the dense vector of a point, None where there is no such point or vector."""

    def count(self, where: JsonObject | None = None) -> int: ...

    def purge(self, *, begin: bool) -> bool:
        """Do a slice of the work that leaves nothing of removed points in the files; return whether it is done.

        ``begin``: whatever was begun before is worth nothing. Writes and searches may come between two slices.
        """

    def files(self) -> list[Path]:
        """Return the files that hold the points; empty where they are not this machine's to read."""

    def reset(self, identity: Identity) -> Identity:
        """Drop everything, also what is damaged, and begin anew; return the identity with its new token."""

    def close(self) -> None: ...


def dense_of(vectors: object) -> tuple[float, ...] | None:
    """Return the dense one of a point's named vectors, as either engine hands them out."""
    dense = vectors.get(DENSE) if isinstance(vectors, Mapping) else None
    return tuple(float(value) for value in dense) if isinstance(dense, Sequence) else None
