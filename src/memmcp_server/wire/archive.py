"""The lines of an export file: one JSON object each, in the order in which an import can take them.

First a heading, then every trajectory as it was opened, every memory as it was first written, its later versions, the
links and marks between and on them, the policies of namespaces, and the outcomes of trajectories. Ids are kept. What an
import brings becomes known when it is imported: the times of the first journal are in its back-up. Format 1 (without a
heading: current versions only, no links, marks or policies) is read as well.
"""

from dataclasses import replace
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from memmcp_server.domain.drafts import DraftFields, DraftLimits, make_draft
from memmcp_server.domain.identifiers import MemoryId, Namespace, TrajectoryId
from memmcp_server.domain.lifecycle import (
    ClearableField,
    Link,
    LinkKind,
    LinkMemories,
    Mark,
    MarkKind,
    MarkMemory,
    MergeMemory,
    SetPolicy,
    UpdateMemory,
)
from memmcp_server.domain.memory import IMPORTANCE_DEFAULT, Memory, MemoryDraft, Provenance, Trust
from memmcp_server.domain.policy import parse_policy
from memmcp_server.domain.times import from_ns, to_ns
from memmcp_server.domain.trajectory import CloseTrajectory, OpenTrajectory, Trajectory
from memmcp_server.errors import InvalidInput

from .base import JsonValue, Request, Strict, Wire

FORMAT_VERSION = 2
ArchivePart = Literal["heading", "trajectories", "memories", "versions", "links", "marks", "policies", "outcomes"]
PARTS: tuple[ArchivePart, ...] = (
    "heading", "trajectories", "memories", "versions", "links", "marks", "policies", "outcomes",
)  # fmt: skip
LINES_MAX = 256
IMPORTER = Provenance(agent="operator", tool="import")


class HeadingLine(Strict):
    type: Literal["export"] = "export"
    format: int = Field(ge=1)
    made_by: str = Field(max_length=64)
    exported_at: datetime

    def to_command(self, _limits: DraftLimits, _now_ns: int) -> None:
        """Raises: InvalidInput (written by a newer version)."""
        if self.format > FORMAT_VERSION:
            msg = f"format is {self.format}, written by memMCP {self.made_by}; this one reads up to {FORMAT_VERSION}"
            raise InvalidInput(msg, field="format", hint="import it with the newer version")


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
    importance: int = IMPORTANCE_DEFAULT
    pinned: bool = False
    valid_from: datetime | None = None
    valid_to: datetime | None = None

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
            importance=memory.importance,
            pinned=memory.pinned,
            valid_from=_moment(memory.valid_from_ns),
            valid_to=_moment(memory.valid_to_ns),
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
            importance=self.importance,
            valid_from=self.valid_from,
            valid_to=self.valid_to,
        )
        origin = Provenance(self.agent, self.session, self.tool, self.source, trust)
        draft = make_draft(fields, origin, limits, now_ns)
        return replace(draft, id=MemoryId(self.id), pinned=self.pinned)


class VersionLine(Strict):
    """A later version of a memory: whole, so that it does not matter what an import has made of the one before."""

    type: Literal["version"] = "version"
    version: int = Field(ge=2, le=2**31 - 1)
    memory: MemoryLine

    @classmethod
    def of(cls, memory: Memory) -> "VersionLine":
        return cls(version=memory.version, memory=MemoryLine.of(memory))

    @property
    def id(self) -> str:
        return self.memory.id

    def to_command(self, limits: DraftLimits, now_ns: int) -> UpdateMemory:
        draft = self.memory.to_command(limits, now_ns)
        times = {"expires_at": draft.expires_at_ns, "valid_from": draft.valid_from_ns, "valid_to": draft.valid_to_ns}
        open_times: list[ClearableField] = [name for name, at_ns in times.items() if at_ns is None]  # type: ignore[misc]
        return UpdateMemory(
            id=MemoryId(self.memory.id),
            key=f"import:{self.memory.id}:{self.version}",
            provenance=draft.provenance,
            content=draft.content,
            kind=draft.kind,
            tags=draft.tags,
            metadata=draft.metadata,
            ts_event_ns=draft.ts_event_ns,
            importance=draft.importance,
            pinned=draft.pinned,
            expires_at_ns=draft.expires_at_ns,
            valid_from_ns=draft.valid_from_ns,
            valid_to_ns=draft.valid_to_ns,
            cleared=frozenset(open_times),
        )


class LinkLine(Strict):
    type: Literal["link"] = "link"
    kind: LinkKind
    from_id: str = Field(min_length=1, max_length=128)
    to_id: str = Field(min_length=1, max_length=128)
    to_version: int = Field(ge=1, le=2**31 - 1)
    trajectory_id: str | None = Field(max_length=128)

    @classmethod
    def of(cls, link: Link) -> "LinkLine":
        return cls(
            kind=link.kind,
            from_id=link.from_id,
            to_id=link.to_id,
            to_version=link.to_version,
            trajectory_id=link.trajectory_id,
        )

    def to_command(self, _limits: DraftLimits, _now_ns: int) -> LinkMemories | MergeMemory:
        from_id, to_id = MemoryId(self.from_id), MemoryId(self.to_id)
        if self.kind is LinkKind.MERGED:
            return MergeMemory(to_id, from_id, "import", IMPORTER)
        trajectory_id = None if self.trajectory_id is None else TrajectoryId(self.trajectory_id)
        return LinkMemories(self.kind, from_id, to_id, IMPORTER, trajectory_id, self.to_version)


class MarkLine(Strict):
    type: Literal["mark"] = "mark"
    id: str = Field(min_length=1, max_length=128)
    kind: MarkKind
    source: str = Field(min_length=1, max_length=200)
    value: int = Field(ge=-(2**63), lt=2**63)

    @classmethod
    def of(cls, mark: Mark) -> "MarkLine":
        return cls(id=mark.memory_id, kind=mark.kind, source=mark.source, value=mark.value)

    def to_command(self, _limits: DraftLimits, _now_ns: int) -> MarkMemory:
        return MarkMemory(MemoryId(self.id), self.kind, self.source, self.value)


class PolicyLine(Strict):
    type: Literal["policy"] = "policy"
    namespace: str = Field(max_length=129)
    policy: dict[str, JsonValue]

    def to_command(self, _limits: DraftLimits, _now_ns: int) -> SetPolicy:
        return SetPolicy(self.namespace, parse_policy(self.namespace, self.policy).document(), IMPORTER)


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


Line = HeadingLine | TrajectoryLine | MemoryLine | VersionLine | LinkLine | MarkLine | PolicyLine | OutcomeLine
ArchiveLine = Annotated[Line, Field(discriminator="type")]


def archive_line_adapter() -> TypeAdapter[Line]:
    return TypeAdapter(ArchiveLine)


def _moment(ts_ns: int | None) -> datetime | None:
    return None if ts_ns is None else from_ns(ts_ns)


class ArchivePage(Wire):
    """``next_cursor`` None: this part is complete."""

    lines: list[ArchiveLine]
    next_cursor: str | None


class ImportRequest(Request):
    """Lines of an export file; all are taken, or none."""

    lines: list[ArchiveLine] = Field(min_length=1, max_length=LINES_MAX)


class ImportAnswer(Wire):
    """``redacted``: lines from which a secret was cut out."""

    taken: int
    duplicates: int
    redacted: int = 0
