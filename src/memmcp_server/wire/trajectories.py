"""What agents ask of trajectories and are answered, the same on every door."""

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints

from memmcp_server.domain.memory import Acknowledgement
from memmcp_server.domain.recap import Recap, RecapStep
from memmcp_server.domain.times import NS_PER_S, from_ns
from memmcp_server.domain.trajectory import Trajectory
from memmcp_server.domain.trajectory_drafts import (
    OUTCOME_LENGTH_MAX,
    REWARD_UNIT_LENGTH_MAX,
    TITLE_LENGTH_MAX,
    CloseFields,
    OpenFields,
    StepFields,
)

from .base import IdempotencyKey, JsonValue, Kind, MemoryIdStr, Moment, NamespaceStr, Request, Tag, Wire
from .memory import TrajectoryDocument, memory_url, trajectory_url

INT64_MAX = 2**63 - 1
Name = Annotated[str, StringConstraints(max_length=128)]


class TrajectoryOpenRequest(Request):
    title: str = Field(min_length=1, max_length=TITLE_LENGTH_MAX, description="What it is about, on one line.")
    kind: Kind = "session"
    namespace: NamespaceStr = "default"
    tags: list[Tag] = Field(default_factory=list, max_length=32)
    metadata: dict[str, JsonValue] = Field(default_factory=dict, description="Any JSON object, at most 16 KiB.")
    ts: Moment | None = Field(default=None, description="When it began (ISO 8601 with zone); default now.")
    id: MemoryIdStr | None = Field(default=None, description="An id of your own; default one is made.")
    idempotency_key: IdempotencyKey | None = None
    agent: Name | None = Field(default=None, description="Who writes, where the door does not know it.")
    session: Name | None = None

    def to_fields(self) -> OpenFields:
        return OpenFields(
            title=self.title,
            kind=self.kind,
            namespace=self.namespace,
            tags=self.tags,
            metadata=self.metadata,
            ts=self.ts,
            id=self.id,
            key=self.idempotency_key,
        )


class TrajectoryStepRequest(Request):
    content: str = Field(min_length=1, description="What happened, at most 64 KiB of UTF-8.")
    kind: Kind = "step"
    tags: list[Tag] = Field(default_factory=list, max_length=32)
    metadata: dict[str, JsonValue] = Field(default_factory=dict, description="Any JSON object, at most 16 KiB.")
    ts: Moment | None = Field(default=None, description="When it happened (ISO 8601 with zone); default now.")
    cites: list[MemoryIdStr] = Field(default_factory=list, max_length=64, description="Memories it rests on.")
    importance: int = Field(default=50, ge=0, le=100, description="0 fades first, 100 matters most; 50 is usual.")
    idempotency_key: IdempotencyKey | None = None
    agent: Name | None = None
    session: Name | None = None

    def to_fields(self) -> StepFields:
        return StepFields(
            content=self.content,
            kind=self.kind,
            tags=self.tags,
            metadata=self.metadata,
            ts=self.ts,
            cites=self.cites,
            importance=self.importance,
            key=self.idempotency_key,
        )


class TrajectoryCloseRequest(Request):
    """It needs no key: a trajectory is closed once, and closing it again with the same outcome changes nothing."""

    outcome: str = Field(
        min_length=1, max_length=OUTCOME_LENGTH_MAX, description="A word: done, failed, won, lost; a remark after ':'."
    )
    reward: int | None = Field(
        default=None, ge=-INT64_MAX - 1, le=INT64_MAX, description="A whole number; its sign gives or takes credit."
    )
    reward_unit: str = Field(default="", max_length=REWARD_UNIT_LENGTH_MAX, description="lamports, points, tests ...")
    text: str | None = Field(default=None, min_length=1, description="What happened; default an extract of the steps.")
    lesson: str | None = Field(default=None, min_length=1, description="What to do otherwise next time: a memory.")
    cites: list[MemoryIdStr] = Field(default_factory=list, max_length=64, description="Memories it rested on.")
    metadata: dict[str, JsonValue] = Field(default_factory=dict, description="Added to that of the opening.")
    ts: Moment | None = Field(default=None, description="When it ended (ISO 8601 with zone); default now.")
    agent: Name | None = None
    session: Name | None = None

    def to_fields(self) -> CloseFields:
        return CloseFields(
            outcome=self.outcome,
            reward=self.reward,
            reward_unit=self.reward_unit,
            text=self.text,
            lesson=self.lesson,
            cites=self.cites,
            metadata=self.metadata,
            ts=self.ts,
        )


class TrajectoryAnswer(Wire):
    """``id`` and ``url`` are the trajectory's; ``memory_id`` is the step's or the closing text's."""

    id: str
    url: str
    namespace: str
    memory_id: str
    seq: int | None
    version: int = 1
    durable: bool | Literal["local"] = True
    duplicate: bool = False
    outcome: str | None = None
    lesson_id: str | None = None
    lesson_url: str | None = None

    @classmethod
    def of(
        cls,
        trajectory_id: str,
        namespace: str,
        acknowledgement: Acknowledgement,
        *,
        outcome: str | None = None,
        lesson: Acknowledgement | None = None,
        base_url: str = "",
    ) -> Self:
        return cls(
            id=trajectory_id,
            url=trajectory_url(trajectory_id, base_url),
            namespace=namespace,
            memory_id=acknowledgement.id,
            seq=None if acknowledgement.is_local else acknowledgement.seq,
            version=acknowledgement.version,
            durable="local" if acknowledgement.is_local else True,
            duplicate=acknowledgement.duplicate,
            outcome=outcome,
            lesson_id=None if lesson is None else lesson.id,
            lesson_url=None if lesson is None else memory_url(lesson.id, base_url),
        )


class RecapStepView(Wire):
    """``why`` says what the step was chosen for: first, last, its kind, cited, important, largest change."""

    id: str
    seq: int
    kind: str
    ts: datetime
    text: str
    why: str
    url: str

    @classmethod
    def of(cls, step: RecapStep, base_url: str = "") -> Self:
        return cls(
            id=step.id,
            seq=step.position,
            kind=step.kind,
            ts=from_ns(step.ts_event_ns),
            text=step.text,
            why=step.why,
            url=memory_url(step.id, base_url),
        )


class RecapView(Wire):
    """A trajectory in a few lines, an extract of its steps; ``text`` is all of it as a model reads it."""

    text: str
    lasted_s: float
    kinds: dict[str, int]
    steps: list[RecapStepView]
    left_out: int = Field(description="Steps that are not told.")
    unread: int = Field(description="Steps of those that were not even looked at: they lie in the middle.")

    @classmethod
    def of(cls, recap: Recap, base_url: str = "") -> Self:
        return cls(
            text=recap.text,
            lasted_s=recap.lasted_ns / NS_PER_S,
            kinds=dict(recap.kinds),
            steps=[RecapStepView.of(step, base_url) for step in recap.steps],
            left_out=recap.left_out,
            unread=recap.unread,
        )


class TrajectoryReport(TrajectoryDocument):
    """A trajectory with a page of its steps, or with its recap in their place, or both."""

    recap: RecapView | None = None

    @classmethod
    def retold(cls, trajectory: Trajectory, recap: Recap, base_url: str = "") -> Self:
        report = cls.without_steps(trajectory, base_url)
        report.recap = RecapView.of(recap, base_url)
        return report


Detail = Literal["steps", "summary"]
