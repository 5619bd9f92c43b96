"""Identifiers and clocks' units: one word each, the same at every door."""

import hashlib
import uuid
from typing import NewType

MemoryId = NewType("MemoryId", str)
TrajectoryId = NewType("TrajectoryId", str)
Namespace = NewType("Namespace", str)
Seq = NewType("Seq", int)
"""Position in the journal's order of commits; 1 is the first."""

SEQ_MAX = 2**63 - 1
"""The largest that a journal row can hold."""

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
JsonObject = dict[str, Json]

MEMORY_NAMESPACE = uuid.UUID("5f0e4d54-1a0b-5b1c-9c55-0d3a5c0e7a11")
"""UUIDv5 name space from which content-derived and point identifiers are made."""


def derived_id(*parts: str) -> str:
    """Return a UUID that depends on the parts only, so that a repeat gives the same id.

    Parts are length-prefixed: ("ab", "c") and ("a", "bc") differ.
    """
    name = "".join(f"{len(part)}:{part}" for part in parts)
    return str(uuid.uuid5(MEMORY_NAMESPACE, hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()))
