"""From what a caller sent about a trajectory to commands that the journal accepts, with the limits of memories."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime

from memmcp_server.errors import InvalidInput

from .drafts import (
    TRAJECTORY_ID_LENGTH_MAX,
    DraftFields,
    DraftLimits,
    check_line,
    derived_key,
    make_draft,
)
from .episodes import KIND_LESSON, KIND_STEP, KIND_TRAJECTORY, headline, learned_from
from .identifiers import Json, MemoryId, TrajectoryId, derived_id
from .memory import DEFAULT_NAMESPACE, MemoryDraft, Provenance
from .trajectory import CloseTrajectory, OpenTrajectory, Trajectory

UNNAMED = TrajectoryId("unnamed")
TITLE_LENGTH_MAX = 200
OUTCOME_LENGTH_MAX = 100
REWARD_UNIT_LENGTH_MAX = 64
KIND_SESSION = "session"
LESSON_IMPORTANCE = 60
"""What was paid for matters a little more than what was merely noted."""

CLOSING_FIELDS = ("outcome", "reward", "reward_unit")
"""Metadata that closing writes: what came of a trajectory is not for its opening to say."""

_INT64 = range(-(2**63), 2**63)


@dataclass(frozen=True, slots=True)
class OpenFields:
    """``id`` None: derived from ``key``, or from the content where there is none. ``ts`` None: now."""

    title: str
    kind: str = KIND_SESSION
    namespace: str = DEFAULT_NAMESPACE
    tags: Sequence[str] = ()
    metadata: Mapping[str, Json] = field(default_factory=dict)
    ts: datetime | None = None
    id: str | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class StepFields:
    content: str
    kind: str = KIND_STEP
    tags: Sequence[str] = ()
    metadata: Mapping[str, Json] = field(default_factory=dict)
    ts: datetime | None = None
    cites: Sequence[str] = ()
    importance: int = 50
    key: str | None = None


@dataclass(frozen=True, slots=True)
class CloseFields:
    """``text`` None: an extract of the steps takes its place. ``lesson`` becomes a memory of its own."""

    outcome: str
    reward: int | None = None
    reward_unit: str = ""
    text: str | None = None
    lesson: str | None = None
    cites: Sequence[str] = ()
    metadata: Mapping[str, Json] = field(default_factory=dict)
    ts: datetime | None = None


def make_open(fields: OpenFields, provenance: Provenance, limits: DraftLimits, now_ns: int) -> OpenTrajectory:
    """Return the command; its id is ``UNNAMED`` where none was given.

    Raises: InvalidInput, PayloadTooLarge.
    """
    check_line("title", fields.title, TITLE_LENGTH_MAX, length_min=1)
    if not fields.title.strip():
        msg = "title is blank; say in a few words what it is about"
        raise InvalidInput(msg, field="title")
    _check_metadata_names(fields.metadata)
    if fields.id is not None:
        check_line("id", fields.id, TRAJECTORY_ID_LENGTH_MAX, length_min=1)
    draft = make_draft(_draft_fields(fields), provenance, limits, now_ns)
    return OpenTrajectory(
        id=UNNAMED if fields.id is None else TrajectoryId(fields.id),
        namespace=draft.namespace,
        kind=draft.kind,
        title=fields.title,
        text=draft.content,
        ts_event_ns=draft.ts_event_ns,
        metadata=draft.metadata,
        tags=draft.tags,
        provenance=provenance,
    )


def derived_trajectory_id(fields: OpenFields, agent: str, number: int) -> TrajectoryId:
    """Return the id of a trajectory that came without one: the ``number``-th that its agent opens with these words.

    With a key of its own there is only one.
    """
    if fields.key is not None:
        return TrajectoryId(derived_id("trajectory", fields.namespace, agent, fields.key))
    return TrajectoryId(derived_id("trajectory", derived_key(_draft_fields(fields), fields.tags, agent), str(number)))


def make_step(
    fields: StepFields, trajectory: Trajectory, provenance: Provenance, limits: DraftLimits, now_ns: int
) -> MemoryDraft:
    """Return the step as a memory of the trajectory's namespace. Raises: InvalidInput, PayloadTooLarge."""
    draft = DraftFields(
        content=fields.content,
        namespace=trajectory.namespace,
        kind=fields.kind,
        tags=fields.tags,
        metadata=fields.metadata,
        ts=fields.ts,
        trajectory_id=trajectory.id,
        key=fields.key,
        importance=fields.importance,
        cites=fields.cites,
    )
    return make_draft(draft, provenance, limits, now_ns)


def make_close(
    fields: CloseFields,
    trajectory: Trajectory,
    retold: Sequence[str],
    provenance: Provenance,
    limits: DraftLimits,
    now_ns: int,
) -> CloseTrajectory:
    """Return the command; ``retold`` says what happened where the caller does not.

    Raises: InvalidInput, PayloadTooLarge.
    """
    check_line("outcome", fields.outcome, OUTCOME_LENGTH_MAX, length_min=1)
    if not fields.outcome.strip():
        msg = "outcome is blank; say in a word what came of it, for example done, failed, won, lost"
        raise InvalidInput(msg, field="outcome")
    check_line("reward_unit", fields.reward_unit, REWARD_UNIT_LENGTH_MAX)
    _check_metadata_names(fields.metadata)
    if fields.reward is not None and fields.reward not in _INT64:
        msg = f"reward is {fields.reward}, beyond 64 bits"
        raise InvalidInput(msg, field="reward", hint="choose a larger unit")
    said = "\n".join(retold) if fields.text is None else fields.text
    came: dict[str, Json] = {"outcome": fields.outcome}
    if fields.reward is not None:
        came |= {"reward": fields.reward, "reward_unit": fields.reward_unit}
    body = DraftFields(
        content=said,
        namespace=trajectory.namespace,
        kind=KIND_TRAJECTORY,
        metadata={**trajectory.metadata, **fields.metadata, **came},
        ts=fields.ts,
        cites=fields.cites,
    )
    text = f"{headline(trajectory, fields.outcome, fields.reward, fields.reward_unit)}\n{said}"
    draft = _checked_with_line("text", body, text, provenance, limits, now_ns)
    if draft.ts_event_ns < trajectory.opened_at_ns and fields.ts is not None:
        msg = f"ts is {fields.ts.isoformat()}, before the trajectory was opened"
        raise InvalidInput(msg, field="ts")
    return CloseTrajectory(
        id=trajectory.id,
        outcome=fields.outcome,
        text=text,
        ts_event_ns=max(draft.ts_event_ns, trajectory.opened_at_ns),
        reward=fields.reward,
        reward_unit=fields.reward_unit,
        metadata=dict(fields.metadata),
        provenance=provenance,
    )


def make_lesson(
    lesson: str, closing: CloseTrajectory, trajectory: Trajectory, limits: DraftLimits, now_ns: int
) -> MemoryDraft:
    """Return the lesson of an episode: it cites the trajectory and carries what came of it.

    Below the caller's words it says what it was learned from, so that it is found by the result and by the subject even
    where the words themselves name neither.

    Raises: InvalidInput, PayloadTooLarge.
    """
    learned = learned_from(trajectory, closing.outcome, closing.reward, closing.reward_unit)
    metadata: dict[str, Json] = {"trajectory_id": closing.id, "outcome": closing.outcome}
    if closing.reward is not None:
        metadata |= {"reward": closing.reward, "reward_unit": closing.reward_unit}
    fields = DraftFields(
        content=lesson,
        namespace=trajectory.namespace,
        kind=KIND_LESSON,
        tags=trajectory.tags,
        metadata=metadata,
        key=f"lesson:{derived_id(closing.id)}",
        importance=LESSON_IMPORTANCE,
        cites=(MemoryId(trajectory.id),),
    )
    draft = _checked_with_line("lesson", fields, f"{lesson}\n{learned}", closing.provenance, limits, now_ns)
    return replace(draft, ts_event_ns=closing.ts_event_ns)


def _draft_fields(fields: OpenFields) -> DraftFields:
    return DraftFields(
        content=f"Under way: {fields.title}",
        namespace=fields.namespace,
        kind=fields.kind,
        tags=fields.tags,
        metadata=fields.metadata,
        ts=fields.ts,
        key=fields.key,
    )


def _check_metadata_names(metadata: Mapping[str, Json]) -> None:
    taken = [name for name in CLOSING_FIELDS if name in metadata]
    if taken:
        msg = f"metadata.{taken[0]} is written when the trajectory is closed, from {taken[0]} itself"
        raise InvalidInput(msg, field="metadata", hint=f"give {taken[0]} at closing, or name the fact otherwise")


def _checked_with_line(
    name: str, fields: DraftFields, whole: str, provenance: Provenance, limits: DraftLimits, now_ns: int
) -> MemoryDraft:
    """Return the draft of the ``whole`` text: what the caller said, with a line of ours. Both have to fit, so that what
    is stored can be exported and imported again.
    """
    with _named(name):
        make_draft(fields, provenance, limits, now_ns)
    with _named(f"{name} with the line that says what came of it"):
        return make_draft(replace(fields, content=whole), provenance, limits, now_ns)


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Let an error about ``content`` name the caller's own field."""
    try:
        yield
    except InvalidInput as error:
        if error.field != "content":
            raise
        message = f"{name}{error.message.removeprefix('content')}"
        raise type(error)(message, field=name.partition(" ")[0], hint=error.hint) from error
