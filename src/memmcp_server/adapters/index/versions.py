"""Which version of a memory is valid when: every order of arrival gives the same index.

Invariant: the validity of a version ends when the next one begins, at the latest; so at any time at most one version of
a memory is valid, also when an older one is delivered late.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from memmcp_server.domain.identifiers import Json

from .documents import PointDocument
from .store import StoredPoint


@dataclass(frozen=True, slots=True)
class Write:
    """A point to be stored with its vectors."""

    document: PointDocument
    known_to_ns: int | None


@dataclass(frozen=True, slots=True)
class Revalidate:
    """A point that is there already and ends at another time than it says."""

    point_id: str
    known_to_ns: int


@dataclass(frozen=True, slots=True)
class _Known:
    version: int
    known_from_ns: int
    known_to_ns: int | None


def reconcile(
    incoming: Sequence[PointDocument], stored: Sequence[StoredPoint], *, has_model: bool
) -> tuple[list[Write], list[Revalidate]]:
    """Return what to do so that the index holds both. All points are of ONE memory.

    A version that is there with the same fingerprint is not written again, unless its vector was missing and
    ``has_model`` says that it can be made now.
    """
    there = {_integer(point.payload, "version"): point for point in stored}
    given = {document.version: document for document in incoming}
    ends = _ends(
        [_Known(d.version, d.known_from_ns, d.known_to_ns) for d in incoming]
        + [_Known(number, _integer(p.payload, "known_from_ns"), _end(p.payload)) for number, p in there.items()]
    )
    writes: list[Write] = []
    changes: list[Revalidate] = []
    for version in sorted(ends):
        document, point, end = given.get(version), there.get(version), ends[version]
        if document is not None and (point is None or _is_outdated(point, document, has_model=has_model)):
            writes.append(Write(document, end))
        elif point is not None and end is not None and end != _end(point.payload):
            changes.append(Revalidate(point.id, end))
    return writes, changes


def _ends(known: Sequence[_Known]) -> dict[int, int | None]:
    begins = {item.version: item.known_from_ns for item in known}
    ordered = sorted(begins)
    following = {version: begins[after] for version, after in pairwise(ordered)}
    ends: dict[int, int | None] = {}
    for version in ordered:
        said = [item.known_to_ns for item in known if item.version == version and item.known_to_ns is not None]
        if version in following:
            said.append(following[version])
        ends[version] = min(said, default=None)
    return ends


def _is_outdated(point: StoredPoint, document: PointDocument, *, has_model: bool) -> bool:
    if point.payload.get("fingerprint") != document.fingerprint:
        return True
    return has_model and point.payload.get("dense") == "missing"


def _integer(payload: Mapping[str, Json], name: str) -> int:
    value = payload.get(name)
    assert isinstance(value, int)
    return value


def _end(payload: Mapping[str, Json]) -> int | None:
    value = payload.get("known_to_ns")
    return value if isinstance(value, int) else None
