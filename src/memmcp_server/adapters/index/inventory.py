"""What an index holds of memories, compared with what it should hold."""

from collections.abc import Mapping, Sequence

from memmcp_server.domain.drift import DriftKind
from memmcp_server.domain.identifiers import Json, JsonObject, MemoryId
from memmcp_server.ports import IndexPoint

from .documents import parse_point, point_document
from .store import StoredPoint

HELD_FIELDS = ("memory_id", "version", "known_to_ns", "fingerprint", "dense")


def held_document(point: StoredPoint) -> JsonObject:
    """Return one version of the inventory as it crosses the pipe."""
    return {name: point.payload.get(name) for name in HELD_FIELDS}


def drifts(
    wanted: Mapping[MemoryId, Sequence[IndexPoint]], held: Sequence[Mapping[str, Json]]
) -> dict[MemoryId, DriftKind]:
    """Return how each memory stands otherwise than it should; those in order are left out.

    A version that ended is in order when the index knows its end, whatever it was asked for before.
    """
    found: dict[str, dict[int, Mapping[str, Json]]] = {memory_id: {} for memory_id in wanted}
    for point in held:
        memory_id, version = point.get("memory_id"), point.get("version")
        if isinstance(memory_id, str) and isinstance(version, int) and memory_id in found:
            found[memory_id][version] = point
    kinds = {memory_id: _drift(points, found[memory_id]) for memory_id, points in wanted.items()}
    return {memory_id: kind for memory_id, kind in kinds.items() if kind is not None}


def _drift(wanted: Sequence[IndexPoint], held: Mapping[int, Mapping[str, Json]]) -> DriftKind | None:
    if held.keys() - {point.memory.version for point in wanted}:
        return DriftKind.SURPLUS
    if len(held) < len(wanted):
        return DriftKind.MISSING
    documents = [parse_point(point_document(point)) for point in wanted]
    for document in documents:
        point = held[document.version]
        if point.get("fingerprint") != document.fingerprint or point.get("known_to_ns") != document.known_to_ns:
            return DriftKind.OUTDATED
    return DriftKind.UNVECTORED if any(point.get("dense") == "missing" for point in held.values()) else None
