"""Whether anything of a removed point is left in the files of an index: its id stands wherever the engine keeps it.

The id of a point is derived from its memory and version, so that no other point, payload or text contains it. In the
files it is 16 bytes, in either order, or text.
"""

import uuid
from collections.abc import Sequence
from pathlib import Path

from memmcp_server.domain.identifiers import JsonObject
from memmcp_server.domain.residues import windows_of

from .store import StoreUnavailable


def residues_of(files: Sequence[Path], point_ids: Sequence[str]) -> JsonObject:
    """Return how many files and bytes were searched, and how many of the points stand there.

    Raises: StoreUnavailable.
    """
    from memmcp_server.adapters.residues import Findings, Sought  # numpy: a worker without a model starts without it

    forms = {point_id: _forms(point_id) for point_id in point_ids}
    sought = Sought({window for windows in forms.values() for window in windows})
    findings = Findings()
    try:
        sought.search(files, findings)
    except OSError as problem:
        raise StoreUnavailable(str(problem)) from problem
    found = sum(bool(windows & findings.found) for windows in forms.values())
    return {"files": findings.files, "bytes": findings.bytes_read, "points": len(forms), "residues": found}


def _forms(point_id: str) -> frozenset[bytes]:
    raw = uuid.UUID(point_id).bytes
    return frozenset({raw, raw[::-1], *windows_of(point_id, 2)})
