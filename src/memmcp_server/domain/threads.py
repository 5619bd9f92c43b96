"""Threads: the order in which things were said. What stands before and after a memory there is its context.

The steps of a trajectory are a thread. Elsewhere the session makes one: named in the metadata by the caller, else that
of the connection. Within a thread the journal's order of commits is the order of reading.
"""

import hashlib
from collections.abc import Mapping

from .identifiers import Json, Namespace, TrajectoryId
from .memory import Provenance

SESSION_FIELDS = ("session", "session_id", "conversation", "conversation_id")
"""Metadata under one of these names (a string or an integer) says which conversation a memory is from."""

CONNECTION_MARK = "c:"
SESSION_MARK = "s:"


def thread_of(
    trajectory_id: TrajectoryId | None, namespace: Namespace, provenance: Provenance, metadata: Mapping[str, Json]
) -> str | None:
    """Return the thread's name, None for a memory that stands alone."""
    if trajectory_id is not None:
        return trajectory_id
    for field in SESSION_FIELDS:
        value = metadata.get(field)
        if (isinstance(value, str) and value) or (isinstance(value, int) and not isinstance(value, bool)):
            return SESSION_MARK + _digest(namespace, provenance.agent, str(value))
    if provenance.session:
        return CONNECTION_MARK + _digest(namespace, provenance.agent, provenance.session)
    return None


def _digest(*parts: str) -> str:
    text = "".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
