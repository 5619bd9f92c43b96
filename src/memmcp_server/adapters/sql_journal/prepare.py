"""Commands made ready on the caller's side: encoded, hashed and checked, so that the writer only looks up and inserts.

A command that cannot be stored fails here, before it can meet those of others.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson

from memmcp_server.domain.identifiers import Json, JsonObject, TrajectoryId
from memmcp_server.domain.lifecycle import (
    ForgetMemory,
    LinkMemories,
    MarkMemory,
    MergeMemory,
    RecordAudit,
    RestoreMemory,
    SetPolicy,
    UpdateMemory,
)
from memmcp_server.domain.memory import IMPORTANCE_DEFAULT, MemoryDraft, Provenance
from memmcp_server.domain.telemetry import RecordSnapshot
from memmcp_server.domain.threads import thread_of
from memmcp_server.domain.trajectory import CloseTrajectory, OpenTrajectory
from memmcp_server.errors import InvalidInput
from memmcp_server.ports import JournalCommand

KIND_TRAJECTORY = "trajectory"
TITLE_LENGTH_MAX = 80
TAG_SEPARATOR = "\x1f"
"""Stands before, between and after tags, so that a tag is found as a whole. No tag holds it: it is a control."""


@dataclass(frozen=True, slots=True)
class Text:
    """The columns of a memory that do not depend on the commit, in the table's order from ``namespace`` on."""

    columns: tuple[str, str, str, str, str, str, str, str, str, str, int]
    expires_at_ns: int | None = None
    embed: bool = True
    more: tuple[int, bool, int | None, int | None, str | None] = (IMPORTANCE_DEFAULT, False, None, None, None)
    """importance, pinned, valid_from_ns, valid_to_ns, thread."""


@dataclass(frozen=True, slots=True)
class PreparedOpen:
    digest: bytes
    fingerprint: bytes
    id: TrajectoryId
    text: Text
    row: tuple[str, str, str, str, str, str, str, int]
    """id, namespace, kind, title, tags, metadata, agent, opened_at_ns."""


@dataclass(frozen=True, slots=True)
class PreparedMemory:
    digest: bytes
    fingerprint: bytes
    text: Text
    draft: MemoryDraft

    def opening(self, trajectory_id: TrajectoryId) -> PreparedOpen:
        """Return the command that opens the unknown trajectory of which this is the first step."""
        return _prepare_open(_opened_by(self.draft, trajectory_id))


@dataclass(frozen=True, slots=True)
class PreparedClose:
    digest: bytes
    fingerprint: bytes
    id: TrajectoryId
    command: CloseTrajectory


@dataclass(frozen=True, slots=True)
class PreparedSnapshot:
    digest: bytes
    fingerprint: bytes
    row: tuple[str, str, int]
    body: str


@dataclass(frozen=True, slots=True)
class PreparedUpdate:
    """``tags`` and ``metadata`` as the table holds them; None: they stay."""

    digest: bytes
    fingerprint: bytes
    command: UpdateMemory
    tags: str | None
    metadata: str | None


Act = MergeMemory | RestoreMemory | ForgetMemory | LinkMemories | MarkMemory | SetPolicy | RecordAudit


@dataclass(frozen=True, slots=True)
class PreparedAct:
    """A command that needs no key: what is there already tells whether it was done before."""

    command: Act
    detail: str = "{}"
    digest: None = None


Prepared = PreparedMemory | PreparedOpen | PreparedClose | PreparedSnapshot | PreparedUpdate | PreparedAct


def prepare(command: JournalCommand) -> Prepared:
    """Return the command as the writer takes it.

    Raises: InvalidInput (a value that no database can hold, named).
    """
    try:
        match command:
            case MemoryDraft():
                return _prepare_memory(command)
            case OpenTrajectory():
                return _prepare_open(command)
            case CloseTrajectory():
                return _prepare_close(command)
            case RecordSnapshot():
                return _prepare_snapshot(command)
            case UpdateMemory():
                return _prepare_update(command)
            case SetPolicy():
                return PreparedAct(command, encode_object(command.policy or {}, "policy"))
            case RecordAudit():
                return PreparedAct(command, encode_object(command.detail, "detail"))
            case _:
                return PreparedAct(command)
    except UnicodeEncodeError as error:
        msg = f"the text holds a lone surrogate at {error.start}; only valid Unicode is allowed"
        raise InvalidInput(msg) from error


def encode_tags(tags: Sequence[str]) -> str:
    return f"{TAG_SEPARATOR}{TAG_SEPARATOR.join(tags)}{TAG_SEPARATOR}" if tags else ""


def decode_tags(text: str) -> tuple[str, ...]:
    return tuple(text[1:-1].split(TAG_SEPARATOR)) if text else ()


def encode_object(value: Mapping[str, Json], field: str = "metadata") -> str:
    """Return compact JSON with sorted keys.

    Raises: InvalidInput (not JSON, or an integer beyond 64 bits).
    """
    try:
        return orjson.dumps(value if type(value) is dict else dict(value), option=orjson.OPT_SORT_KEYS).decode()
    except TypeError as error:
        msg = f"{field} cannot be stored as JSON: {error}"
        raise InvalidInput(msg, field=field, hint="write integers beyond 64 bits as strings") from error


def decode_object(text: str) -> JsonObject:
    value: JsonObject = orjson.loads(text)
    return value


def _prepare_memory(draft: MemoryDraft) -> PreparedMemory:
    digest = _digest("memory", draft.namespace, draft.provenance.agent, draft.key)
    text = _text(draft, draft.kind, draft.content, draft.tags, draft.metadata)
    trajectory_id = draft.trajectory_id
    if trajectory_id == "":
        msg = "trajectory_id is empty; leave it out or name a trajectory"
        raise InvalidInput(msg, field="trajectory_id")
    return PreparedMemory(
        digest=digest,
        fingerprint=_fingerprint(*text.columns[1:5], trajectory_id or ""),
        text=text,
        draft=draft,
    )


def _opened_by(draft: MemoryDraft, trajectory_id: TrajectoryId) -> OpenTrajectory:
    first_line = draft.content.strip().partition("\n")[0]
    return OpenTrajectory(
        id=trajectory_id,
        namespace=draft.namespace,
        kind="session",
        title=first_line[:TITLE_LENGTH_MAX],
        text=f"Trajectory {trajectory_id}, begun with: {first_line[:400]}",
        ts_event_ns=draft.ts_event_ns,
        provenance=draft.provenance,
    )


def _prepare_open(command: OpenTrajectory) -> PreparedOpen:
    text = _text(command, KIND_TRAJECTORY, command.text, command.tags, command.metadata)
    row = (
        command.id,
        command.namespace,
        command.kind,
        command.title,
        text.columns[3],
        text.columns[4],
        command.provenance.agent,
        _int64("ts_event_ns", command.ts_event_ns),
    )
    return PreparedOpen(_digest("open", command.id), _fingerprint(command.id), command.id, text, row)


def _prepare_close(command: CloseTrajectory) -> PreparedClose:
    if command.reward is not None:
        _int64("reward", command.reward)
    _refuse_nul("text", command.text)
    encode_object(command.metadata)
    return PreparedClose(_digest("close", command.id), _fingerprint(command.outcome), command.id, command)


def _prepare_update(command: UpdateMemory) -> PreparedUpdate:
    if command.content is not None:
        _refuse_nul("content", command.content)
    for name in ("ts_event_ns", "expires_at_ns", "valid_from_ns", "valid_to_ns"):
        value = getattr(command, name)
        if value is not None:
            _int64(name, value)
    tags = None if command.tags is None else encode_tags(command.tags)
    metadata = None if command.metadata is None else encode_object(command.metadata)
    wished = [command.content, command.kind, tags, metadata, command.ts_event_ns, command.importance, command.pinned]
    times = [command.expires_at_ns, command.valid_from_ns, command.valid_to_ns, *sorted(command.cleared)]
    others = [*command.supersedes, "|", *command.cites]
    digest = _digest("update", command.id, command.provenance.agent, command.key)
    fingerprint = _fingerprint(*(repr(part) for part in (*wished, *times, *others)))
    return PreparedUpdate(digest, fingerprint, command, tags, metadata)


def snapshot_digest(desk_id: str, key: str) -> bytes:
    return _digest("snapshot", desk_id, key)


def _prepare_snapshot(command: RecordSnapshot) -> PreparedSnapshot:
    digest = snapshot_digest(command.desk_id, command.key)
    body = encode_object(command.body, "body")
    row = (command.desk_id, command.key, _int64("ts_event_ns", command.ts_event_ns))
    return PreparedSnapshot(digest, _fingerprint(command.key), row, body)


def closing_text(close: PreparedClose, namespace: str, tags: str, metadata: Mapping[str, Json]) -> Text:
    """Return the last version of a trajectory's memory; what was known when it was opened stays in its metadata."""
    command = close.command
    merged = {**metadata, **command.metadata, "outcome": command.outcome}
    if command.reward is not None:
        merged |= {"reward": command.reward, "reward_unit": command.reward_unit}
    columns = _columns(namespace, KIND_TRAJECTORY, command.text, tags, encode_object(merged), command.provenance)
    return Text((*columns, _int64("ts_event_ns", command.ts_event_ns)))


def _text(
    command: MemoryDraft | OpenTrajectory,
    kind: str,
    content: str,
    tags: Sequence[str],
    metadata: Mapping[str, Json],
) -> Text:
    _refuse_nul("content", content)
    columns = _columns(command.namespace, kind, content, encode_tags(tags), encode_object(metadata), command.provenance)
    row = (*columns, _int64("ts_event_ns", command.ts_event_ns))
    if isinstance(command, OpenTrajectory):
        return Text(row)
    for name in ("expires_at_ns", "valid_from_ns", "valid_to_ns"):
        value = getattr(command, name)
        if value is not None:
            _int64(name, value)
    thread = thread_of(command.trajectory_id, command.namespace, command.provenance, command.metadata)
    more = (command.importance, command.pinned, command.valid_from_ns, command.valid_to_ns, thread)
    return Text(row, command.expires_at_ns, command.embed, more)


def _columns(
    namespace: str, kind: str, content: str, tags: str, metadata: str, provenance: Provenance
) -> tuple[str, str, str, str, str, str, str, str, str, str]:
    return (
        namespace,
        kind,
        content,
        tags,
        metadata,
        provenance.agent,
        provenance.session,
        provenance.tool,
        provenance.source,
        provenance.trust.value,
    )


def _refuse_nul(name: str, text: str) -> None:
    if "\x00" in text:
        msg = f"{name} holds U+0000, which a database cannot store"
        raise InvalidInput(msg, field=name)


def _int64(name: str, value: int) -> int:
    if not -(2**63) <= value < 2**63:
        msg = f"{name} is {value}, beyond 64 bits"
        raise InvalidInput(msg, field=name)
    return value


def _digest(*parts: str) -> bytes:
    return _fingerprint(*parts)[:16]


def _fingerprint(*parts: str) -> bytes:
    """Return a digest of the parts; they are length-prefixed, so that ("ab", "c") and ("a", "bc") differ."""
    return hashlib.sha256("".join(f"{len(part)}:{part}" for part in parts).encode()).digest()
