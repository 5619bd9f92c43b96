"""Memories for tests: everything has a default, so that a test says only what it is about."""

from typing import Any

from memmcp_server.domain.identifiers import MemoryId, Namespace, Seq
from memmcp_server.domain.memory import Memory, Provenance

T0_NS = 1_700_000_000_000_000_000


def a_memory(memory_id: str, content: str, **fields: Any) -> Memory:
    agent = fields.pop("agent", "claude")
    defaults: dict[str, Any] = {
        "seq": Seq(1),
        "version": 1,
        "namespace": Namespace("default"),
        "kind": "note",
        "tags": (),
        "metadata": {},
        "provenance": Provenance(agent=agent),
        "ts_event_ns": T0_NS,
        "known_at_ns": T0_NS,
        "superseded_at_ns": None,
        "expires_at_ns": None,
        "trajectory_id": None,
        "embed": True,
    }
    return Memory(id=MemoryId(memory_id), content=content, **{**defaults, **fields})
