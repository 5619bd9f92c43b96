"""From what a caller sent to a draft that the journal accepts: every limit on a memory is checked here, once.

Each error names the field, what was given and what is allowed.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from memmcp_server.errors import InvalidInput, PayloadTooLarge

from .identifiers import Json, MemoryId, Namespace, TrajectoryId, derived_id
from .lifecycle import ClearableField, UpdateMemory
from .memory import (
    DEFAULT_NAMESPACE,
    IMPORTANCE_DEFAULT,
    IMPORTANCE_MAX,
    NAMESPACE_PATTERN,
    Memory,
    MemoryDraft,
    Provenance,
)
from .times import NS_PER_S, instant_ns, to_ns

KIND_PATTERN = r"^[a-z][a-z0-9_.-]{0,47}$"
NAMESPACE_LENGTH_MAX = 128
TAGS_MAX = 32
TAG_LENGTH_MAX = 64
KEY_LENGTH_MAX = 200
LABEL_LENGTH_MAX = 256
TRAJECTORY_ID_LENGTH_MAX = 128
METADATA_DEPTH_MAX = 8
RELATIONS_MAX = 64
DERIVED_KEY = "content:"
"""How the key of a write begins that brings none."""
TS_AHEAD_NS_MAX = 24 * 3_600 * NS_PER_S
"""A clock may be off, a zone may be mixed up; more than a day ahead is a wrong unit or a wrong year."""

_INT64 = range(-(2**63), 2**63)
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_CONTROLS_IN_TEXT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_NAMESPACE = re.compile(NAMESPACE_PATTERN)
_KIND = re.compile(KIND_PATTERN)


@dataclass(frozen=True, slots=True)
class DraftLimits:
    """Sizes in bytes of UTF-8, as the journal's section sets them."""

    content_bytes_max: int = 65_536
    metadata_bytes_max: int = 16_384


@dataclass(frozen=True, slots=True)
class DraftFields:
    """A memory as a caller describes it. ``ts`` None: now. ``key`` None: derived from the content."""

    content: str
    namespace: str = DEFAULT_NAMESPACE
    kind: str = "note"
    tags: Sequence[str] = ()
    metadata: Mapping[str, Json] = field(default_factory=dict)
    ts: datetime | None = None
    expires_at: datetime | None = None
    trajectory_id: str | None = None
    key: str | None = None
    embed: bool = True
    importance: int = IMPORTANCE_DEFAULT
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    cites: Sequence[str] = ()
    supersedes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class UpdateFields:
    """What a caller wants changed. None: it stays; ``cleared`` names times that become open."""

    id: str
    content: str | None = None
    kind: str | None = None
    tags: Sequence[str] | None = None
    metadata: Mapping[str, Json] | None = None
    ts: datetime | None = None
    importance: int | None = None
    pinned: bool | None = None
    expires_at: datetime | None = None
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    cleared: Sequence[ClearableField] = ()
    supersedes: Sequence[str] = ()
    cites: Sequence[str] = ()
    expected_version: int | None = None
    key: str | None = None


def make_draft(fields: DraftFields, provenance: Provenance, limits: DraftLimits, now_ns: int) -> MemoryDraft:
    """Return the draft with its idempotency key.

    Raises: InvalidInput, PayloadTooLarge.
    """
    _check_content(fields.content, limits.content_bytes_max)
    check_namespace(fields.namespace)
    check_kind(fields.kind)
    tags = _checked_tags(fields.tags)
    _check_metadata(fields.metadata, limits.metadata_bytes_max)
    for name, value in (("agent", provenance.agent), ("session", provenance.session), ("source", provenance.source)):
        _check_line(name, value, LABEL_LENGTH_MAX)
    if fields.trajectory_id is not None:
        check_trajectory_id(fields.trajectory_id)
    if fields.key is not None:
        _check_line("idempotency_key", fields.key, KEY_LENGTH_MAX, length_min=1)
    ts_event_ns = _checked_ts(fields.ts, now_ns)
    expires_at_ns = _checked_expiry(fields.expires_at, ts_event_ns)
    valid_from_ns, valid_to_ns = _checked_validity(fields.valid_from, fields.valid_to)
    _check_importance(fields.importance)
    return MemoryDraft(
        content=fields.content,
        key=fields.key if fields.key is not None else derived_key(fields, tags, provenance.agent),
        ts_event_ns=ts_event_ns,
        namespace=Namespace(fields.namespace),
        kind=fields.kind,
        tags=tags,
        metadata=dict(fields.metadata),
        trajectory_id=None if fields.trajectory_id is None else TrajectoryId(fields.trajectory_id),
        expires_at_ns=expires_at_ns,
        provenance=provenance,
        embed=fields.embed,
        importance=fields.importance,
        valid_from_ns=valid_from_ns,
        valid_to_ns=valid_to_ns,
        cites=_checked_ids("cites", fields.cites),
        supersedes=_checked_ids("supersedes", fields.supersedes),
    )


def make_update(
    fields: UpdateFields, held: Memory, provenance: Provenance, limits: DraftLimits, now_ns: int
) -> UpdateMemory:
    """Return the command that makes these changes to what is held.

    Raises: InvalidInput (also when nothing would change), PayloadTooLarge.
    """
    if fields.content is not None:
        _check_content(fields.content, limits.content_bytes_max)
    if fields.kind is not None:
        check_kind(fields.kind)
    if fields.metadata is not None:
        _check_metadata(fields.metadata, limits.metadata_bytes_max)
    if fields.importance is not None:
        _check_importance(fields.importance)
    if fields.key is not None:
        _check_line("idempotency_key", fields.key, KEY_LENGTH_MAX, length_min=1)
    ts_event_ns = None if fields.ts is None else _checked_ts(fields.ts, now_ns)
    expires_at_ns = _checked_expiry(fields.expires_at, held.ts_event_ns if ts_event_ns is None else ts_event_ns)
    valid_from_ns, valid_to_ns = _checked_validity(fields.valid_from, fields.valid_to)
    cleared = frozenset(fields.cleared)
    begins_ns = None if "valid_from" in cleared else held.valid_from_ns if valid_from_ns is None else valid_from_ns
    ends_ns = None if "valid_to" in cleared else held.valid_to_ns if valid_to_ns is None else valid_to_ns
    _check_order(begins_ns, ends_ns)
    changes: dict[str, Any] = {
        "content": fields.content,
        "kind": fields.kind,
        "tags": None if fields.tags is None else _checked_tags(fields.tags),
        "metadata": None if fields.metadata is None else dict(fields.metadata),
        "ts_event_ns": ts_event_ns,
        "importance": fields.importance,
        "pinned": fields.pinned,
        "expires_at_ns": expires_at_ns,
        "valid_from_ns": valid_from_ns,
        "valid_to_ns": valid_to_ns,
        "cleared": cleared,
        "supersedes": _checked_ids("supersedes", fields.supersedes),
        "cites": _checked_ids("cites", fields.cites),
    }
    if all(value is None or value in ((), frozenset()) for value in changes.values()):
        msg = "nothing to change was given; allowed are content, tags, metadata, importance, pinned, times, supersedes"
        raise InvalidInput(msg, field="content")
    # Without a key of its own the same change of the same version is the same update.
    key = fields.key or "change:" + derived_id(str(held.version), *(repr(value) for value in changes.values()))
    return UpdateMemory(MemoryId(fields.id), key, provenance, expected_version=fields.expected_version, **changes)


def derived_key(fields: DraftFields, tags: Sequence[str], agent: str) -> str:
    """Return the key of a write that brings none: the same words said again are the same memory.

    The time counts only where the caller gave one, so that a retry a second later is still a repeat. Tags and expiry
    count too: a write that differs in them is not silently answered with the earlier one. What has its default adds
    nothing, so that keys of earlier versions stay the same.
    """
    more = [
        f"{name}={value}"
        for name, value in (
            ("importance", "" if fields.importance == IMPORTANCE_DEFAULT else str(fields.importance)),
            ("valid_from", "" if fields.valid_from is None else str(to_ns(fields.valid_from))),
            ("valid_to", "" if fields.valid_to is None else str(to_ns(fields.valid_to))),
            ("cites", "\x1f".join(sorted(fields.cites))),
            ("supersedes", "\x1f".join(sorted(fields.supersedes))),
        )
        if value
    ]
    return DERIVED_KEY + derived_id(
        fields.namespace,
        agent,
        fields.kind,
        fields.content,
        json.dumps(fields.metadata, sort_keys=True, separators=(",", ":"), allow_nan=False),
        fields.trajectory_id or "",
        "" if fields.ts is None else str(to_ns(fields.ts)),
        "\x1f".join(sorted(tags)),
        "" if fields.expires_at is None else str(to_ns(fields.expires_at)),
        *more,
    )


def check_namespace(namespace: str) -> None:
    if len(namespace) > NAMESPACE_LENGTH_MAX or not _NAMESPACE.fullmatch(namespace):
        msg = (
            f"namespace is {_shown(namespace)}; allowed are 1 to 4 lower-case segments of letters, digits, '_', '.' "
            f"and '-' joined by '/', each starting with a letter or digit, at most {NAMESPACE_LENGTH_MAX} characters"
        )
        raise InvalidInput(msg, field="namespace", hint="for example: default, team, strategies/momentum")


def check_kind(kind: str) -> None:
    if not _KIND.fullmatch(kind):
        msg = (
            f"kind is {_shown(kind)}; allowed is a lower-case word of letters, digits, '_', '.' and '-' that starts "
            f"with a letter, at most 48 characters"
        )
        raise InvalidInput(msg, field="kind", hint="for example: note, decision, lesson, digest")


def check_trajectory_id(trajectory_id: str) -> None:
    _check_line("trajectory_id", trajectory_id, TRAJECTORY_ID_LENGTH_MAX, length_min=1)


def check_line(name: str, value: str, length_max: int, *, length_min: int = 0) -> None:
    """Refuse a text that is too long or too short, or that is not one line of valid Unicode without controls."""
    _check_line(name, value, length_max, length_min=length_min)


def check_text(name: str, value: str) -> None:
    """Refuse a text with controls other than newline and tab, or with half of a character: no journal keeps it.

    Raises: InvalidInput naming the field and what stands where.
    """
    if value.isascii() and value.isprintable():
        return
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise _lone_surrogate(name, value, error.start) from error
    _refuse_controls(name, value, multiline=True)


def _check_content(content: str, bytes_max: int) -> None:
    try:
        size = len(content) if content.isascii() else len(content.encode())
    except UnicodeEncodeError as error:
        raise _lone_surrogate("content", content, error.start) from error
    if size > bytes_max:
        msg = f"content has {size} bytes of UTF-8; at most {bytes_max} are allowed"
        raise PayloadTooLarge(msg, field="content", hint="split it, or store a summary and a reference to the rest")
    if not content.strip():
        msg = "content is empty; at least one visible character is needed"
        raise InvalidInput(msg, field="content")
    _refuse_controls("content", content, multiline=True)


def _checked_tags(tags: Sequence[str]) -> tuple[str, ...]:
    if len(tags) > TAGS_MAX:
        msg = f"tags has {len(tags)} entries; at most {TAGS_MAX} are allowed"
        raise InvalidInput(msg, field="tags")
    for position, tag in enumerate(tags):
        if not (0 < len(tag) <= TAG_LENGTH_MAX and tag.isascii() and tag.isprintable()):
            _check_line(f"tags[{position}]", tag, TAG_LENGTH_MAX, length_min=1)
    return tuple(dict.fromkeys(tags))


def _check_line(name: str, value: str, length_max: int, *, length_min: int = 0) -> None:
    if not length_min <= len(value) <= length_max:
        msg = f"{name} has {len(value)} characters; allowed are {length_min} to {length_max}"
        raise InvalidInput(msg, field=name)
    if value.isascii() and value.isprintable():
        return
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise _lone_surrogate(name, value, error.start) from error
    _refuse_controls(name, value, multiline=False)


def _refuse_controls(name: str, text: str, *, multiline: bool) -> None:
    if text.isprintable():
        return
    found = (_CONTROLS_IN_TEXT if multiline else _CONTROLS).search(text)
    if found:
        listed = " other than newline and tab" if multiline else ""
        msg = f"{name} holds U+{ord(found[0]):04X} at {found.start()}; control characters{listed} are not allowed"
        raise InvalidInput(msg, field=name)


def _lone_surrogate(name: str, text: str, position: int) -> InvalidInput:
    msg = f"{name} holds the lone surrogate U+{ord(text[position]):04X} at {position}; only valid Unicode is allowed"
    return InvalidInput(msg, field=name, hint="the text was cut inside a character, or decoded wrongly")


def _check_metadata(metadata: Mapping[str, Json], bytes_max: int) -> None:
    if not metadata:
        return
    if not _is_plain(metadata, 1):
        _check_json("metadata", metadata, depth=1)
    size = len(orjson.dumps(metadata))
    if size > bytes_max:
        msg = f"metadata has {size} bytes as JSON; at most {bytes_max} are allowed"
        raise PayloadTooLarge(msg, field="metadata", hint="put long text into content")


def _is_plain(value: object, depth: int) -> bool:
    """Say "certainly right" of what nearly every caller sends; the rest is looked at closely, with its path."""
    kind = type(value)
    if kind is str:
        return value.isascii() and "\x00" not in value  # type: ignore[attr-defined, operator]
    if kind is int:
        return value in _INT64
    if kind is float:
        return math.isfinite(value)  # type: ignore[arg-type]
    if value is None or kind is bool:
        return True
    if depth > METADATA_DEPTH_MAX:
        return False
    if isinstance(value, dict):
        return all(type(key) is str and _is_plain(key, depth) for key in value) and all(
            _is_plain(child, depth + 1) for child in value.values()
        )
    return isinstance(value, list) and all(_is_plain(child, depth + 1) for child in value)


def _check_json(path: str, value: object, *, depth: int) -> None:
    if depth > METADATA_DEPTH_MAX:
        msg = f"{path} is nested deeper than {METADATA_DEPTH_MAX} levels"
        raise InvalidInput(msg, field="metadata")
    match value:
        case None | bool():
            return
        case int():
            if value not in _INT64:
                msg = f"{path} is an integer beyond 64 bits; write it as a string"
                raise InvalidInput(msg, field="metadata")
        case float():
            if not math.isfinite(value):
                msg = f"{path} is {value}; numbers must be finite"
                raise InvalidInput(msg, field="metadata")
        case str():
            _check_json_text(path, value)
        case Mapping():
            for key, child in value.items():
                if not isinstance(key, str):
                    msg = f"{path} has the key {_shown(key)}; keys must be strings"
                    raise InvalidInput(msg, field="metadata")
                _check_json_text(path, key)
                _check_json(f"{path}.{key[:64]}", child, depth=depth + 1)
        case list() | tuple():
            for position, child in enumerate(value):
                _check_json(f"{path}[{position}]", child, depth=depth + 1)
        case _:
            msg = f"{path} is a {type(value).__name__}; allowed is JSON: null, boolean, number, string, list, object"
            raise InvalidInput(msg, field="metadata")


def _check_json_text(path: str, text: str) -> None:
    if text.isascii() and "\x00" not in text:
        return
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise _lone_surrogate(path, text, error.start) from error
    if "\x00" in text:
        msg = f"{path} holds U+0000, which is not allowed"
        raise InvalidInput(msg, field="metadata")


def _checked_ts(ts: datetime | None, now_ns: int) -> int:
    ts_ns = instant_ns("ts", ts)
    if ts is None or ts_ns is None:
        return now_ns
    if ts_ns > now_ns + TS_AHEAD_NS_MAX:
        msg = f"ts is {ts.isoformat()}, more than a day in the future; it says when something happened"
        raise InvalidInput(msg, field="ts", hint="check the unit and the zone; leave it out for now")
    return ts_ns


def _checked_expiry(expires_at: datetime | None, ts_event_ns: int) -> int | None:
    expires_at_ns = instant_ns("expires_at", expires_at)
    if expires_at is None or expires_at_ns is None:
        return None
    if expires_at_ns <= ts_event_ns:
        msg = f"expires_at is {expires_at.isoformat()}, not later than ts; the memory could never be found"
        raise InvalidInput(msg, field="expires_at")
    return expires_at_ns


def _checked_validity(valid_from: datetime | None, valid_to: datetime | None) -> tuple[int | None, int | None]:
    bounds = instant_ns("valid_from", valid_from), instant_ns("valid_to", valid_to)
    _check_order(*bounds)
    return bounds


def _check_order(valid_from_ns: int | None, valid_to_ns: int | None) -> None:
    if valid_from_ns is not None and valid_to_ns is not None and valid_from_ns >= valid_to_ns:
        msg = "valid_from is not before valid_to, so that it would never hold"
        raise InvalidInput(msg, field="valid_to")


def _check_importance(importance: int) -> None:
    if not 0 <= importance <= IMPORTANCE_MAX:
        msg = f"importance is {importance}; allowed are 0 to {IMPORTANCE_MAX}, usual is {IMPORTANCE_DEFAULT}"
        raise InvalidInput(msg, field="importance")


def _checked_ids(name: str, given: Sequence[str]) -> tuple[MemoryId, ...]:
    if len(given) > RELATIONS_MAX:
        msg = f"{name} has {len(given)} ids; at most {RELATIONS_MAX} are allowed"
        raise InvalidInput(msg, field=name)
    if not given:
        return ()
    for position, memory_id in enumerate(given):
        _check_line(f"{name}[{position}]", memory_id, TRAJECTORY_ID_LENGTH_MAX, length_min=1)
    return tuple(MemoryId(memory_id) for memory_id in dict.fromkeys(given))


def _shown(value: object) -> str:
    """Return the value as a message may show it: quoted, escaped, short."""
    text = ascii(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
