"""Spooled writes as JSON: all that a draft and its caller say, nothing else."""

from dataclasses import asdict
from typing import Any

import orjson

from memmcp_server.domain.caller import Caller
from memmcp_server.domain.identifiers import MemoryId, Namespace, TrajectoryId
from memmcp_server.domain.memory import MemoryDraft, Provenance, Trust

FORM = 1
_CALLER_FIELDS = ("agent", "session", "tool", "role", "transport")


def encode(drafts: tuple[MemoryDraft, ...], caller: Caller) -> bytes:
    """Return the body. A caller's grant stays out: it was asked for at the door, and tells of a token."""
    who = {name: getattr(caller, name) for name in _CALLER_FIELDS}
    return orjson.dumps({"form": FORM, "caller": who, "drafts": [_document(draft) for draft in drafts]})


def decode(body: bytes) -> tuple[tuple[MemoryDraft, ...], Caller]:
    """Raises: ValueError, KeyError, TypeError (not what ``encode`` gives)."""
    document = orjson.loads(body)
    return tuple(_draft(each) for each in document["drafts"]), Caller(**document["caller"])


def _document(draft: MemoryDraft) -> dict[str, Any]:
    document = asdict(draft)
    del document["is_new_id"]
    return {**document, "metadata": dict(draft.metadata)}


def _draft(document: dict[str, Any]) -> MemoryDraft:
    said = document.pop("provenance")
    trajectory_id, memory_id = document.pop("trajectory_id"), document.pop("id")
    lists = {name: tuple(document.pop(name)) for name in ("tags", "cites", "supersedes")}
    return MemoryDraft(
        **{**document, **lists, "namespace": Namespace(document["namespace"])},
        trajectory_id=None if trajectory_id is None else TrajectoryId(trajectory_id),
        id=MemoryId(memory_id),
        provenance=Provenance(**{**said, "trust": Trust(said["trust"])}),
    )
