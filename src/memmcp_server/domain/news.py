"""What changed, as readers are told of it: a page behind a cursor, and the headlines that an agent should not miss."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Literal

from memmcp_server.errors import InvalidInput

from .caller import Caller
from .identifiers import MemoryId, Namespace, Seq
from .lifecycle import AUDIT_CONTRADICT, AuditEntry, Change, Link, LinkKind
from .memory import Memory, Trust, namespace_covers
from .policy import PolicyBook

FROM_START: Final = "start"
FROM_NOW: Final = "now"
CURSOR_PATTERN: Final = re.compile(r"([0-9a-f]{12})\.([0-9]{1,19})\Z")
INSTANCE_CHARS: Final = 12
SAYS_CHARS_MAX: Final = 80
KIND_TRAJECTORY: Final = "trajectory"


def write_cursor(instance_id: str, seq: Seq) -> str:
    """Return the cursor after that seq of this journal."""
    return f"{instance_id.replace('-', '')[:INSTANCE_CHARS]}.{seq}"


def read_cursor(cursor: str, instance_id: str, horizon: Seq) -> Seq:
    """Return the seq that the cursor stands after.

    Raises: InvalidInput (no cursor of ours, of another journal, or beyond the end of this one).
    """
    if cursor == FROM_START:
        return Seq(0)
    if cursor == FROM_NOW:
        return horizon
    found = CURSOR_PATTERN.match(cursor)
    hint = f"begin again with cursor={FROM_START} (everything) or cursor={FROM_NOW} (what comes from here on)"
    if found is None:
        msg = f"cursor is {cursor[:64]!a}; pass the next_cursor of an earlier answer unchanged"
        raise InvalidInput(msg, field="cursor", hint=hint)
    seq = Seq(int(found[2]))
    if write_cursor(instance_id, seq) != f"{found[1]}.{seq}":
        msg = f"cursor {cursor} is of another journal than the one that is open here"
        raise InvalidInput(msg, field="cursor", hint=hint)
    if seq > horizon:
        msg = f"cursor {cursor} is beyond the end of the journal (seq {horizon}): made up, or an older copy is open"
        raise InvalidInput(msg, field="cursor", hint=hint)
    return seq


@dataclass(frozen=True, slots=True)
class Told:
    """A change with the links from its memory that say what it does to others: supersedes, contradicts."""

    change: Change
    links: tuple[Link, ...] = ()


@dataclass(frozen=True, slots=True)
class ChangePage:
    """What lies beyond ``after``; ``next_cursor`` stands after everything told here and all that was left out.

    ``more``: there is more to read right now.
    """

    told: tuple[Told, ...]
    after: Seq
    next_after: Seq
    next_cursor: str
    horizon: Seq
    more: bool


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive changes as the followers of the journal get them, with what is needed to tell who may see them.

    ``links`` are those of the memories in it, ``versions`` those of the memories that were changed or linked to.
    """

    changes: tuple[Change, ...]
    links: tuple[Link, ...]
    versions: Mapping[MemoryId, Sequence[Memory]]
    book: PolicyBook


def is_visible(change: Change, hidden: Sequence[str], caller: Caller) -> bool:
    """Say whether the caller may learn of the change; what was done to no single memory is the operator's."""
    namespace = namespace_of(change)
    if namespace is None:
        return caller.role == "operator"
    return not any(namespace_covers(pattern, namespace) for pattern in hidden)


def namespace_of(change: Change) -> Namespace | None:
    if change.memory is not None:
        return change.memory.namespace
    return None if change.audit is None else change.audit.namespace


class Weight(IntEnum):
    """What a headline is about; the smaller the more it matters."""

    LESSON = 0
    DECISION = 1
    DIGEST = 2
    OUTCOME = 3
    REVISION = 4


WEIGHT_OF_KIND: Final[Mapping[str, Weight]] = {
    "lesson": Weight.LESSON,
    "decision": Weight.DECISION,
    "digest": Weight.DIGEST,
}
HEADLINE_KINDS: Final = (*WEIGHT_OF_KIND, KIND_TRAJECTORY)
"""Kinds that make a headline by themselves (a trajectory once it is closed)."""

Revision = Literal["supersedes", "contradicts", "updates"]


@dataclass(frozen=True, slots=True)
class Headline:
    """One thing that other agents may want to know of.

    ``revises`` are the memories that it supersedes, contradicts or (being the next version) updates, and
    ``authors`` who wrote those. A REVISION matters only to its authors and to whom those memories were shown.
    """

    seq: Seq
    id: MemoryId
    kind: str
    agent: str
    namespace: Namespace
    is_untrusted: bool
    at_ns: int
    says: str
    weight: Weight
    revision: Revision | None = None
    revises: tuple[MemoryId, ...] = ()
    authors: frozenset[str] = frozenset()


def headlines_of(batch: Batch) -> list[Headline]:
    """Return what is worth a headline in the batch, in its order."""
    found: list[Headline] = []
    for change in batch.changes:
        if change.memory is not None:
            headline = _of_memory(change.memory, batch)
            found += [] if headline is None else [headline]
        elif change.audit is not None and change.audit.action == AUDIT_CONTRADICT:
            found += _of_contradiction(change.audit, batch)
    return found


def _of_memory(memory: Memory, batch: Batch) -> Headline | None:
    if memory.trajectory_id is not None or memory.superseded_at_ns is not None:
        return None
    weight = WEIGHT_OF_KIND.get(memory.kind)
    if "denied" in memory.metadata:
        weight = None  # a record of what was refused is no decision
    if memory.kind == KIND_TRAJECTORY:
        return _headline(memory, memory.seq, Weight.OUTCOME) if memory.version > 1 else None
    revises = tuple(
        link.to_id for link in batch.links if link.from_id == memory.id and link.kind is LinkKind.SUPERSEDES
    )
    revision: Revision | None = "supersedes" if revises else None
    authors = _authors(revises, batch)
    if memory.version > 1 and not revises:
        revision, revises = "updates", (memory.id,)
        earlier = [each for each in batch.versions.get(memory.id, ()) if each.version < memory.version]
        authors = frozenset(each.provenance.agent for each in earlier)
    if weight is None and revision is None:
        return None
    return _headline(
        memory, memory.seq, Weight.REVISION if weight is None else weight, revision, revises=revises, authors=authors
    )


def _of_contradiction(entry: AuditEntry, batch: Batch) -> list[Headline]:
    """Tell the author of either memory of the other one."""
    one, other = entry.memory_id, entry.detail.get("with")
    if one is None or not isinstance(other, str):
        return []
    found = []
    for shown, against in ((one, MemoryId(other)), (MemoryId(other), one)):
        versions = batch.versions.get(shown, ())
        if versions:
            found.append(
                _headline(
                    versions[-1],
                    entry.seq,
                    Weight.REVISION,
                    "contradicts",
                    revises=(against,),
                    authors=_authors((against,), batch),
                )
            )
    return found


def _authors(memory_ids: Sequence[MemoryId], batch: Batch) -> frozenset[str]:
    return frozenset(
        version.provenance.agent for memory_id in memory_ids for version in batch.versions.get(memory_id, ())
    )


def _headline(
    memory: Memory,
    seq: Seq,
    weight: Weight,
    revision: Revision | None = None,
    *,
    revises: tuple[MemoryId, ...] = (),
    authors: frozenset[str] = frozenset(),
) -> Headline:
    return Headline(
        seq=seq,
        id=memory.id,
        kind=memory.kind,
        agent=memory.provenance.agent,
        namespace=memory.namespace,
        is_untrusted=memory.provenance.trust is Trust.UNTRUSTED,
        at_ns=memory.known_at_ns,
        says=shortened(memory.content, SAYS_CHARS_MAX),
        weight=weight,
        revision=revision,
        revises=revises,
        authors=authors,
    )


def shortened(text: str, chars_max: int) -> str:
    """Return the text as one printable line of at most so many characters."""
    # A prefix is enough: the rest would be cut away, and a text may have 64 KiB.
    head = text[: 8 * chars_max]
    line = " ".join("".join(char if char.isprintable() else " " for char in head).split())
    is_whole = len(line) <= chars_max and len(head) == len(text)
    return line if is_whole else f"{line[: chars_max - 1]}\N{HORIZONTAL ELLIPSIS}"


@dataclass(frozen=True, slots=True)
class Look:
    """What is new to an agent, the weightiest first. ``since_ns`` None: nobody knows when it looked last.

    ``is_first``: the agent was never here before; what the headlines stand for is then only counted. ``is_partial``:
    it looked so long ago that there may be more than is known here.
    """

    agent: str
    session: str
    upto: Seq
    since_ns: int | None
    headlines: tuple[Headline, ...]
    is_first: bool = False
    is_partial: bool = False
