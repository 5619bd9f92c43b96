"""The lines of an export file: one JSON object each, in the order in which an import can take them.

First every trajectory as it was opened, then every memory (its current version), then the outcomes.
"""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from memmcp_server.domain.drafts import DraftFields, DraftLimits, make_draft
from memmcp_server.domain.identifiers import Namespace, TrajectoryId
from memmcp_server.domain.memory import Memory, MemoryDraft, Provenance, Trust
from memmcp_server.domain.times import from_ns, to_ns
from memmcp_server.domain.trajectory import CloseTrajectory, OpenTrajectory, Trajectory

from .base import JsonValue, Request, Strict, Wire

FORMAT_VERSION = 1
ArchivePart = Literal["trajectories", "memories", "outcomes"]
PARTS: tuple[ArchivePart, ...] = ("trajectories", "memories", "outcomes")
LINES_MAX = 256


class TrajectoryLine(Strict):
    type: Literal["trajectory"] = "trajectory"
    id: str = Field(min_length=1, max_length=128)
    namespace: str
    kind: str
    title: str
    text: str
    tags: list[str]
    metadata: dict[str, JsonValue]
    agent: str
    opened_at: datetime

    @classmethod
    def of(cls, trajectory: Trajectory, text: str) -> "TrajectoryLine":
        return cls(
            id=trajectory.id,
            namespace=trajectory.namespace,
            kind=trajectory.kind,
            title=trajectory.title,
            text=text,
            tags=list(trajectory.tags),
            metadata=dict(trajectory.metadata),
            agent=trajectory.agent,
            opened_at=from_ns(trajectory.opened_at_ns),
        )

    def to_command(self, limits: DraftLimits, now_ns: int) -> OpenTrajectory:
        # A trajectory is a memory too: the same limits hold for its text, namespace, kind and tags.
        checked = make_draft(
            DraftFields(
                content=self.text,
                namespace=self.namespace,
                kind=self.kind,
                tags=self.tags,
                metadata=self.metadata,
                ts=self.opened_at,
                trajectory_id=self.id,
            ),
            Provenance(agent=self.agent),
            limits,
            now_ns,
        )
        return OpenTrajectory(
            id=TrajectoryId(self.id),
            namespace=Namespace(self.namespace),
            kind=self.kind,
            title=self.title,
            text=self.text,
            ts_event_ns=checked.ts_event_ns,
            metadata=checked.metadata,
            tags=checked.tags,
            provenance=checked.provenance,
        )


class MemoryLine(Strict):
    type: Literal["memory"] = "memory"
    id: str = Field(min_length=1, max_length=128)
    namespace: str
    kind: str
    content: str
    tags: list[str]
    metadata: dict[str, JsonValue]
    agent: str
    session: str
    tool: str
    source: str
    trust: Trust
    ts: datetime
    expires_at: datetime | None
    trajectory_id: str | None
    embed: bool

    @classmethod
    def of(cls, memory: Memory) -> "MemoryLine":
        origin = memory.provenance
        return cls(
            id=memory.id,
            namespace=memory.namespace,
            kind=memory.kind,
            content=memory.content,
            tags=list(memory.tags),
            metadata=dict(memory.metadata),
            agent=origin.agent,
            session=origin.session,
            tool=origin.tool,
            source=origin.source,
            trust=origin.trust,
            ts=from_ns(memory.ts_event_ns),
            expires_at=None if memory.expires_at_ns is None else from_ns(memory.expires_at_ns),
            trajectory_id=memory.trajectory_id,
            embed=memory.embed,
        )

    def to_command(self, limits: DraftLimits, now_ns: int) -> MemoryDraft:
        # What comes out of a file was not written by this server's runtime, whatever the file says.
        trust = Trust.AGENT if self.trust is Trust.SYSTEM else self.trust
        fields = DraftFields(
            content=self.content,
            namespace=self.namespace,
            kind=self.kind,
            tags=self.tags,
            metadata=self.metadata,
            ts=self.ts,
            expires_at=self.expires_at,
            trajectory_id=self.trajectory_id,
            key=f"import:{self.id}",
            embed=self.embed,
        )
        origin = Provenance(self.agent, self.session, self.tool, self.source, trust)
        return make_draft(fields, origin, limits, now_ns)


class OutcomeLine(Strict):
    type: Literal["outcome"] = "outcome"
    id: str = Field(min_length=1, max_length=128)
    outcome: str = Field(max_length=256)
    text: str
    reward: int | None
    reward_unit: str = Field(max_length=64)
    closed_at: datetime

    @classmethod
    def of(cls, trajectory: Trajectory, text: str) -> "OutcomeLine":
        return cls(
            id=trajectory.id,
            outcome=trajectory.outcome or "",
            text=text,
            reward=trajectory.reward,
            reward_unit=trajectory.reward_unit,
            closed_at=from_ns(trajectory.closed_at_ns or trajectory.opened_at_ns),
        )

    def to_command(self, _limits: DraftLimits, _now_ns: int) -> CloseTrajectory:
        return CloseTrajectory(
            id=TrajectoryId(self.id),
            outcome=self.outcome,
            text=self.text,
            ts_event_ns=to_ns(self.closed_at),
            reward=self.reward,
            reward_unit=self.reward_unit,
        )


ArchiveLine = Annotated[TrajectoryLine | MemoryLine | OutcomeLine, Field(discriminator="type")]


def archive_line_adapter() -> TypeAdapter[TrajectoryLine | MemoryLine | OutcomeLine]:
    return TypeAdapter(ArchiveLine)


class ArchivePage(Wire):
    """``next_cursor`` None: this part is complete."""

    lines: list[ArchiveLine]
    next_cursor: str | None


class ImportRequest(Request):
    """Lines of an export file; all are taken, or none."""

    lines: list[ArchiveLine] = Field(min_length=1, max_length=LINES_MAX)


class ImportAnswer(Wire):
    taken: int
    duplicates: int
