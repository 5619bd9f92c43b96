"""MemoryFilter as a Qdrant filter, in the JSON shape of its REST interface.

Both stores are handed the same document. The engine compares numbers as doubles, which are exact to 2**53 only, so the
payload carries times in microseconds for its range indexes (rounded down on both sides, hence never too narrow) and in
nanoseconds for ``admits``, which decides the microsecond in question. Nothing known later than ``as_of`` gets through.
"""

from collections.abc import Mapping

from memmcp_server.domain.identifiers import Json, JsonObject
from memmcp_server.domain.memory import MemoryFilter

from .documents import PointDocument

FOREVER_US = 2**53 - 1

# Each index costs its share of every flush (with 12 of them four times as long as with none), so there are no more.
KEYWORD_FIELDS = ("namespace", "current", "kind", "tags", "agent", "trajectory_id", "memory_id")
INTEGER_FIELDS = ("ts_event_us", "known_from_us", "known_to_us", "expires_at_us")
TENANT_FIELDS = ("namespace", "current")
"""``current`` names the same patterns, and ``EVERYWHERE``, as long as the version is the last one: one look-up instead
of a range beside it, which took as long as finding the nearest vectors did."""
EVERYWHERE = "*"
PAYLOAD_FIELDS = (
    "memory_id", "version", "ts_event_ns", "known_from_ns", "known_to_ns", "expires_at_ns", "valid_from_ns",
    "valid_to_ns", "fingerprint", "dense", "dense_print", "previous_id",
)  # fmt: skip
"""What is read back with a point; the rest of the payload is for the engine's filters only."""


def payload_of(point: PointDocument, known_to_ns: int | None, dense: str) -> JsonObject:
    """``dense`` tells whether the point has its vector: "yes", "no" (not wanted), "missing" (no model then)."""
    return {
        "memory_id": point.memory_id,
        "version": point.version,
        "namespace": list(covering(point.namespace)),
        "kind": point.kind,
        "tags": list(point.tags),
        "agent": point.agent,
        "trajectory_id": point.trajectory_id,
        "ts_event_us": point.ts_event_ns // 1_000,
        "ts_event_ns": point.ts_event_ns,
        "known_from_us": point.known_from_ns // 1_000,
        "known_from_ns": point.known_from_ns,
        "expires_at_us": FOREVER_US if point.expires_at_ns is None else point.expires_at_ns // 1_000,
        "expires_at_ns": point.expires_at_ns,
        "valid_from_ns": point.valid_from_ns,
        "valid_to_ns": point.valid_to_ns,
        "fingerprint": point.fingerprint,
        "dense": dense,
        "dense_print": point.dense_print,
        "previous_id": point.previous_id,
        "current": [*covering(point.namespace), EVERYWHERE],
        "known_to_us": FOREVER_US,
        "known_to_ns": None,
        **({} if known_to_ns is None else validity_of(known_to_ns)),
    }


def validity_of(known_to_ns: int) -> JsonObject:
    """Return the part of the payload that changes when the next version comes."""
    return {"current": [], "known_to_us": known_to_ns // 1_000, "known_to_ns": known_to_ns}


def covering(namespace: str) -> tuple[str, ...]:
    """Return every pattern that covers the namespace: ``a/b`` -> ``a/b``, ``a/``, ``a/b/``."""
    parts = namespace.split("/")
    return namespace, *("/".join(parts[: count + 1]) + "/" for count in range(len(parts)))


def conditions(where: MemoryFilter, now_ns: int, *, may_expire: bool = True) -> JsonObject:
    """Return the filter; ``now_ns`` decides what has expired where no ``as_of`` is given.

    ``may_expire``: whether anything in the index does; a range that all meet is not for nothing.
    """
    at_ns = now_ns if where.as_of_ns is None else where.as_of_ns
    must: list[Json] = []
    if where.as_of_ns is None:
        must.append(_is("current", where.namespace or EVERYWHERE))
    else:
        if where.namespace is not None:
            must.append(_is("namespace", where.namespace))
        must.append(_range("known_from_us", lte=at_ns // 1_000))
        must.append(_range("known_to_us", gte=at_ns // 1_000))
    if may_expire:
        must.append(_range("expires_at_us", gte=at_ns // 1_000))
    if where.kinds:
        must.append({"key": "kind", "match": {"any": list(where.kinds)}})
    must.extend(_is("tags", tag) for tag in where.tags)
    if where.agent is not None:
        must.append(_is("agent", where.agent))
    if where.trajectory_id is not None:
        must.append(_is("trajectory_id", where.trajectory_id))
    if where.since_ns is not None:
        must.append(_range("ts_event_us", gte=where.since_ns // 1_000))
    if where.until_ns is not None:
        must.append(_range("ts_event_us", lte=where.until_ns // 1_000))
    if not where.hidden:
        return {"must": must}
    # Each point names every pattern that covers it, so what is hidden is told by one lookup.
    return {"must": must, "must_not": [{"key": "namespace", "match": {"any": list(where.hidden)}}]}


def corpus_of(where: MemoryFilter) -> JsonObject | None:
    """Return the points over which a word is rare or common, None for all: the namespace, as far as known then."""
    if where.as_of_ns is None:
        return None if where.namespace is None else {"must": [_is("current", where.namespace)]}
    must: list[Json] = [_range("known_from_us", lte=where.as_of_ns // 1_000)]
    if where.namespace is not None:
        must.append(_is("namespace", where.namespace))
    return {"must": must}


def of_memories(memory_ids: list[str]) -> JsonObject:
    ids: list[Json] = list(memory_ids)
    return {"must": [{"key": "memory_id", "match": {"any": ids}}]}


def is_current() -> JsonObject:
    return {"must": [_range("known_to_us", gte=FOREVER_US)]}


def expires() -> JsonObject:
    return {"must": [_range("expires_at_us", lte=FOREVER_US - 1)]}


def lacks_vector() -> JsonObject:
    """Points that were written while there was no model."""
    return {"must": [_is("dense", "missing")]}


def admits(where: MemoryFilter, now_ns: int, payload: Mapping[str, Json]) -> bool:
    """Decide exactly, in nanoseconds, what ``conditions`` decided to the microsecond, and the validity in the world.

    Validity has no range index: each index costs its share of every flush, and few searches ask for it.
    """
    at_ns = now_ns if where.as_of_ns is None else where.as_of_ns
    expires, known_to = _ns(payload, "expires_at_ns"), _ns(payload, "known_to_ns")
    ts_event, known_from = _ns(payload, "ts_event_ns") or 0, _ns(payload, "known_from_ns") or 0
    if expires is not None and expires <= at_ns:
        return False
    if where.as_of_ns is not None and (known_from > at_ns or (known_to is not None and known_to <= at_ns)):
        return False
    if where.valid_at_ns is not None and not _holds(payload, where.valid_at_ns):
        return False
    if where.since_ns is not None and ts_event < where.since_ns:
        return False
    return where.until_ns is None or ts_event < where.until_ns


def _holds(payload: Mapping[str, Json], moment_ns: int) -> bool:
    begins, ends = _ns(payload, "valid_from_ns"), _ns(payload, "valid_to_ns")
    return (begins is None or begins <= moment_ns) and (ends is None or ends > moment_ns)


def _ns(payload: Mapping[str, Json], name: str) -> int | None:
    value = payload.get(name)
    return value if isinstance(value, int) else None


def _is(key: str, value: str) -> JsonObject:
    return {"key": key, "match": {"value": value}}


def _range(key: str, *, gte: int | None = None, lte: int | None = None) -> JsonObject:
    bounds: JsonObject = {name: bound for name, bound in (("gte", gte), ("lte", lte)) if bound is not None}
    return {"key": key, "range": bounds}
