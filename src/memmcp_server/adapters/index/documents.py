"""What crosses the pipe: points, filters and hits as JSON objects, checked where they arrive."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Any

import orjson

from memmcp_server.domain.identifiers import Json, JsonObject, TrajectoryId, derived_id
from memmcp_server.domain.memory import MemoryFilter
from memmcp_server.ports import IndexHit, IndexPoint

HIT_COLUMNS: dict[str, set[type]] = {
    "memory_id": {str},
    "version": {int},
    "score": {float},
    "dense": {float, NoneType},
    "lexical": {float, NoneType},
    "share": {float, NoneType},
    "meaning": {float, NoneType},
    "previous_id": {str, NoneType},
}


class BadField(ValueError):
    """A field of a document is missing or of the wrong type."""


@dataclass(frozen=True, slots=True)
class PointDocument:
    """One version of a memory as the worker receives it."""

    memory_id: str
    version: int
    namespace: str
    kind: str
    tags: tuple[str, ...]
    agent: str
    trajectory_id: str | None
    ts_event_ns: int
    known_from_ns: int
    known_to_ns: int | None
    expires_at_ns: int | None
    valid_from_ns: int | None
    valid_to_ns: int | None
    text_lexical: str
    text_dense: str | None
    context: tuple[str, ...] = ()
    previous_id: str | None = None

    @property
    def point_id(self) -> str:
        return point_id_of(self.memory_id, self.version)

    @property
    def fingerprint(self) -> str:
        """Changes when anything but the validity does; equal means that vectors need not be computed again."""
        parts = [
            self.namespace, self.kind, list(self.tags), self.agent, self.trajectory_id, self.ts_event_ns,
            self.known_from_ns, self.expires_at_ns, self.valid_from_ns, self.valid_to_ns, self.text_lexical,
            self.text_dense, list(self.context), self.previous_id,
        ]  # fmt: skip
        return hashlib.sha256(orjson.dumps(parts)).hexdigest()[:24]

    @property
    def dense_print(self) -> str | None:
        """Changes with the embedded text only; equal means that the vector which is there can be used again."""
        return None if self.text_dense is None else hashlib.sha256(self.text_dense.encode()).hexdigest()[:24]


def point_id_of(memory_id: str, version: int) -> str:
    return derived_id("index-point", memory_id, str(version))


def point_document(point: IndexPoint) -> JsonObject:
    memory = point.memory
    return {
        "memory_id": memory.id,
        "version": memory.version,
        "namespace": memory.namespace,
        "kind": memory.kind,
        "tags": list(memory.tags),
        "agent": memory.provenance.agent,
        "trajectory_id": memory.trajectory_id,
        "ts_event_ns": memory.ts_event_ns,
        "known_from_ns": memory.known_at_ns,
        "known_to_ns": point.known_to_ns,
        # What is pinned stays, whatever its end says; this holds for the version, as ``Memory.is_expired_at`` has it.
        "expires_at_ns": None if memory.pinned else memory.expires_at_ns,
        "valid_from_ns": memory.valid_from_ns,
        "valid_to_ns": memory.valid_to_ns,
        "text_lexical": point.text_lexical,
        "text_dense": point.text_dense,
        "context": list(point.context),
        "previous_id": point.previous_id,
    }


def parse_point(document: Json) -> PointDocument:
    """Raises: BadField."""
    fields = object_of(document, "points")
    return PointDocument(
        memory_id=text(fields, "memory_id"),
        version=integer(fields, "version"),
        namespace=text(fields, "namespace"),
        kind=text(fields, "kind"),
        tags=texts(fields, "tags"),
        agent=text(fields, "agent"),
        trajectory_id=optional_text(fields, "trajectory_id"),
        ts_event_ns=integer(fields, "ts_event_ns"),
        known_from_ns=integer(fields, "known_from_ns"),
        known_to_ns=optional_integer(fields, "known_to_ns"),
        expires_at_ns=optional_integer(fields, "expires_at_ns"),
        valid_from_ns=optional_integer(fields, "valid_from_ns"),
        valid_to_ns=optional_integer(fields, "valid_to_ns"),
        text_lexical=text(fields, "text_lexical"),
        text_dense=optional_text(fields, "text_dense"),
        context=texts(fields, "context"),
        previous_id=optional_text(fields, "previous_id"),
    )


def filter_document(where: MemoryFilter) -> JsonObject:
    return {
        "namespace": where.namespace,
        "kinds": list(where.kinds),
        "tags": list(where.tags),
        "agent": where.agent,
        "since_ns": where.since_ns,
        "until_ns": where.until_ns,
        "as_of_ns": where.as_of_ns,
        "trajectory_id": where.trajectory_id,
        "valid_at_ns": where.valid_at_ns,
        "hidden": list(where.hidden),
    }


def parse_filter(document: Json) -> MemoryFilter:
    """Raises: BadField."""
    fields = object_of(document, "where")
    trajectory = optional_text(fields, "trajectory_id")
    return MemoryFilter(
        namespace=optional_text(fields, "namespace"),
        kinds=texts(fields, "kinds"),
        tags=texts(fields, "tags"),
        agent=optional_text(fields, "agent"),
        since_ns=optional_integer(fields, "since_ns"),
        until_ns=optional_integer(fields, "until_ns"),
        as_of_ns=optional_integer(fields, "as_of_ns"),
        trajectory_id=TrajectoryId(trajectory) if trajectory is not None else None,
        valid_at_ns=optional_integer(fields, "valid_at_ns"),
        hidden=texts(fields, "hidden"),
    )


def hits_document(hits: Sequence[IndexHit]) -> JsonObject:
    """Return the hits by columns: a search has hundreds, and names in each would be most of what is said."""
    return {name: [getattr(hit, name) for hit in hits] for name in HIT_COLUMNS}


def parse_hits(document: Json) -> list[IndexHit]:
    """Raises: BadField."""
    columns = object_of(document, "hits")
    for name, types in HIT_COLUMNS.items():
        column = columns.get(name)
        if not isinstance(column, list) or not set(map(type, column)) <= types:
            wanted = f"a list of {' or '.join(sorted(each.__name__ for each in types))}"
            raise BadField(_expected(f"hits.{name}", wanted, column))
    rows: Any = zip(*(columns[name] for name in HIT_COLUMNS), strict=False)
    if len({len(column) for column in columns.values()}) > 1:  # type: ignore[arg-type]
        raise BadField(_expected("hits", "columns of one length", [*columns]))
    return [IndexHit(*row) for row in rows]


def text(fields: Mapping[str, Json], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise BadField(_expected(name, "a string", value))
    return value


def optional_text(fields: Mapping[str, Json], name: str) -> str | None:
    return None if fields.get(name) is None else text(fields, name)


def integer(fields: Mapping[str, Json], name: str) -> int:
    value = fields.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise BadField(_expected(name, "an integer", value))
    return value


def optional_integer(fields: Mapping[str, Json], name: str) -> int | None:
    return None if fields.get(name) is None else integer(fields, name)


def texts(fields: Mapping[str, Json], name: str) -> tuple[str, ...]:
    found: list[str] = []
    for item in array(fields, name):
        if not isinstance(item, str):
            raise BadField(_expected(name, "a list of strings", item))
        found.append(item)
    return tuple(found)


def array(fields: Mapping[str, Json], name: str) -> list[Json]:
    value = fields.get(name)
    if not isinstance(value, list):
        raise BadField(_expected(name, "a list", value))
    return value


def object_of(document: Json, name: str) -> JsonObject:
    if not isinstance(document, dict):
        raise BadField(_expected(name, "an object", document))
    return document


def _expected(name: str, wanted: str, given: object) -> str:
    return f"{name}: expected {wanted}, got {type(given).__name__}"
