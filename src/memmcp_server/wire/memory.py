"""Memories and trajectories as JSON."""

from datetime import datetime
from typing import Literal, Self
from urllib.parse import quote

from pydantic import Field

from memmcp_server.domain.caller import Caller
from memmcp_server.domain.drafts import DraftFields, DraftLimits, UpdateFields, make_draft
from memmcp_server.domain.evidence import MemoryDetails
from memmcp_server.domain.identifiers import TrajectoryId
from memmcp_server.domain.lifecycle import Link
from memmcp_server.domain.memory import Acknowledgement, Memory, MemoryDraft, MemoryFilter, Provenance
from memmcp_server.domain.search import Contradiction, Found, SearchQuery, SearchResult
from memmcp_server.domain.times import from_ns, instant_ns
from memmcp_server.domain.trajectory import CREDIT_UNIT, Trajectory, TrajectoryList, TrajectorySteps

from .base import IdempotencyKey, JsonValue, Kind, MemoryIdStr, Moment, NamespaceStr, Request, Tag, Wire

QUOTE_CHARS_MAX = 120


def memory_url(memory_id: str, base_url: str = "") -> str:
    """Return the permanent address of a memory; a path where no base is given."""
    return f"{base_url}/memory/{quote(memory_id, safe='')}"


def trajectory_url(trajectory_id: str, base_url: str = "") -> str:
    return f"{base_url}/trajectories/{quote(trajectory_id, safe='')}"


class MemoryWriteRequest(Request):
    content: str = Field(min_length=1, description="The text to remember, at most 64 KiB of UTF-8.")
    namespace: NamespaceStr = "default"
    kind: Kind = "note"
    tags: list[Tag] = Field(default_factory=list, max_length=32)
    metadata: dict[str, JsonValue] = Field(default_factory=dict, description="Any JSON object, at most 16 KiB.")
    ts: Moment | None = Field(default=None, description="When it happened (ISO 8601 with zone); default now.")
    expires_at: Moment | None = None
    trajectory_id: str | None = Field(default=None, max_length=128)
    idempotency_key: IdempotencyKey | None = None
    importance: int = Field(default=50, ge=0, le=100, description="0 fades first, 100 matters most; 50 is usual.")
    valid_from: Moment | None = Field(default=None, description="Since when it holds in the world; default always.")
    valid_to: Moment | None = Field(default=None, description="Until when it holds; default no end is known.")
    cites: list[MemoryIdStr] = Field(default_factory=list, max_length=64, description="Memories it rests on.")
    supersedes: list[MemoryIdStr] = Field(
        default_factory=list, max_length=64, description="Memories that are no longer right; as_of still finds them."
    )
    agent: str | None = Field(default=None, max_length=128, description="Who writes, where the door does not know it.")
    session: str | None = Field(default=None, max_length=128)
    source: str | None = Field(default=None, max_length=256)

    def to_draft(self, caller: Caller, limits: DraftLimits, now_ns: int) -> MemoryDraft:
        """Return the draft this request asks for; what the door knows of the caller goes before what the body says.

        Raises: InvalidInput, PayloadTooLarge.
        """
        fields = DraftFields(
            content=self.content,
            namespace=self.namespace,
            kind=self.kind,
            tags=self.tags,
            metadata=self.metadata,
            ts=self.ts,
            expires_at=self.expires_at,
            trajectory_id=self.trajectory_id,
            key=self.idempotency_key,
            importance=self.importance,
            valid_from=self.valid_from,
            valid_to=self.valid_to,
            cites=self.cites,
            supersedes=self.supersedes,
        )
        provenance = Provenance(
            agent=caller.agent or self.agent or "",
            session=self.session or caller.session,
            tool=caller.tool,
            source=self.source or "",
        )
        return make_draft(fields, provenance, limits, now_ns)


class MemoryUpdateRequest(Request):
    """What is left out stays as it is. ``confirm``: it was checked and still holds; may stand alone."""

    content: str | None = Field(default=None, min_length=1, description="The new text.")
    kind: Kind | None = None
    tags: list[Tag] | None = Field(default=None, max_length=32, description="All tags from now on.")
    metadata: dict[str, JsonValue] | None = Field(default=None, description="All metadata from now on.")
    ts: Moment | None = Field(default=None, description="When it happened.")
    importance: int | None = Field(default=None, ge=0, le=100)
    pinned: bool | None = Field(default=None, description="Pinned: never expires, fades or is merged.")
    expires_at: Moment | None = None
    valid_from: Moment | None = None
    valid_to: Moment | None = Field(default=None, description="Until when it held.")
    clear: list[Literal["expires_at", "valid_from", "valid_to"]] = Field(
        default_factory=list, max_length=3, description="Times that become open."
    )
    supersedes: list[MemoryIdStr] = Field(default_factory=list, max_length=64)
    cites: list[MemoryIdStr] = Field(default_factory=list, max_length=64)
    confirm: bool = False
    expected_version: int | None = Field(
        default=None, ge=1, le=2**31 - 1, description="Refuse when somebody changed it since this version."
    )
    idempotency_key: IdempotencyKey | None = None
    agent: str | None = Field(default=None, max_length=128)

    @property
    def only_confirms(self) -> bool:
        return self.confirm and not (self.model_fields_set - {"confirm", "idempotency_key", "agent"})

    def to_fields(self, memory_id: str, key: str | None = None) -> UpdateFields:
        return UpdateFields(
            id=memory_id,
            content=self.content,
            kind=self.kind,
            tags=self.tags,
            metadata=self.metadata,
            ts=self.ts,
            importance=self.importance,
            pinned=self.pinned,
            expires_at=self.expires_at,
            valid_from=self.valid_from,
            valid_to=self.valid_to,
            cleared=self.clear,
            supersedes=self.supersedes,
            cites=self.cites,
            expected_version=self.expected_version,
            key=self.idempotency_key or key,
        )


class ReasonRequest(Request):
    reason: str = Field(min_length=3, max_length=1_000, description="Why; kept in the audit.")
    agent: str | None = Field(default=None, max_length=128)


class MemoryWriteAnswer(Wire):
    """``durable`` is true once the journal has it. While the journal's server is away it is "local" and ``seq`` null:
    kept on this machine, under this id, and carried to the journal when that is back."""

    id: str
    seq: int | None
    version: int = 1
    durable: bool | Literal["local"] = True
    duplicate: bool = False
    namespace: str
    url: str

    @classmethod
    def of(cls, acknowledgement: Acknowledgement, namespace: str, base_url: str = "") -> Self:
        return cls(
            id=acknowledgement.id,
            seq=None if acknowledgement.is_local else acknowledgement.seq,
            version=acknowledgement.version,
            durable="local" if acknowledgement.is_local else True,
            duplicate=acknowledgement.duplicate,
            namespace=namespace,
            url=memory_url(acknowledgement.id, base_url),
        )


class MemorySearchRequest(Request):
    query: str = Field(min_length=1, max_length=4_000)
    namespace: str | None = Field(default=None, max_length=128, description="Exact, or a subtree when it ends in '/'.")
    kinds: list[Kind] = Field(default_factory=list, max_length=16)
    tags: list[Tag] = Field(default_factory=list, max_length=16)
    agent: str | None = Field(default=None, max_length=128)
    since: Moment | None = None
    until: Moment | None = None
    as_of: Moment | None = Field(default=None, description="Only what was known at that time.")
    valid_at: Moment | None = Field(default=None, description="What holds in the world at that time; default now.")
    limit: int = Field(default=10, ge=1, le=100)
    max_tokens: int | None = Field(default=None, ge=50, le=100_000, description="Never more than this, by estimate.")
    cursor: str | None = Field(default=None, max_length=200, description="next_cursor of the last answer.")
    detail: Literal["concise", "full"] = "concise"

    def to_query(self) -> SearchQuery:
        """Return the query in the journal's units. Raises: InvalidInput (a time without a zone)."""
        where = MemoryFilter(
            namespace=self.namespace,
            kinds=tuple(self.kinds),
            tags=tuple(self.tags),
            agent=self.agent,
            since_ns=instant_ns("since", self.since),
            until_ns=instant_ns("until", self.until),
            as_of_ns=instant_ns("as_of", self.as_of),
            valid_at_ns=instant_ns("valid_at", self.valid_at),
        )
        return SearchQuery(text=self.query, where=where, limit=self.limit, cursor=self.cursor)


class MemoryHit(Wire):
    """One memory that was found, with its receipt: why, who, when, from where, and what speaks against it.

    ``why`` says how it was found, e.g. "meaning 0.71, words 3.2" or "words (not yet indexed)".
    """

    id: str
    content: str
    score: float
    why: str
    kind: str
    namespace: str
    ts: datetime
    agent: str
    trust: str
    tags: list[str] = []
    trajectory_id: str | None = None
    source: str | None = None
    url: str
    is_cut: bool | None = Field(default=None, description="Cut to fit max_tokens; its address has the whole text.")
    pinned: bool | None = None
    valid_to: datetime | None = None
    stale: list[str] | None = Field(default=None, description="Why what it rests on does not stand any more.")
    contradicts: list[str] | None = Field(default=None, description="Ids of current memories that say the contrary.")
    unverified_days: int | None = Field(default=None, description="Nobody wrote or confirmed it for so long.")
    metadata: dict[str, JsonValue] | None = None
    parts: dict[str, float] | None = Field(default=None, description="What the score is made of.")
    session: str | None = None
    known_at: datetime | None = None
    version: int | None = None
    importance: int | None = None

    @classmethod
    def of(cls, found: Found, *, full: bool = False, base_url: str = "") -> Self:
        """``full`` adds metadata, score parts and the rest. A trajectory's own memory points at that trajectory."""
        memory = found.memory
        trajectory_id = memory.trajectory_id
        if memory.kind == "trajectory":
            trajectory_id = trajectory_id or TrajectoryId(memory.id)
        hit = cls(
            id=memory.id,
            content=memory.content,
            score=round(found.score, 4),
            why=found.why,
            kind=memory.kind,
            namespace=memory.namespace,
            ts=from_ns(memory.ts_event_ns),
            agent=memory.provenance.agent,
            trust=memory.provenance.trust.value,
            tags=list(memory.tags),
            trajectory_id=trajectory_id,
            source=memory.provenance.source or None,
            url=memory_url(memory.id, base_url),
            pinned=memory.pinned or None,
            valid_to=None if memory.valid_to_ns is None else from_ns(memory.valid_to_ns),
            stale=list(found.stale) or None,
            contradicts=list(found.contradicts) or None,
            unverified_days=found.unverified_days,
        )
        if full:
            hit.metadata = dict(memory.metadata)
            hit.parts = {name: round(value, 4) for name, value in found.parts.items()}
            hit.session = memory.provenance.session
            hit.known_at = from_ns(memory.known_at_ns)
            hit.version = memory.version
            hit.importance = memory.importance
        return hit


class ContradictionPair(Wire):
    """Two current memories that cannot both hold, the newer first; ``says`` quotes the beginning of each."""

    ids: list[str]
    says: list[str]

    @classmethod
    def of(cls, pair: Contradiction) -> Self:
        both = (pair.newer, pair.older)
        return cls(ids=[memory.id for memory in both], says=[memory.content[:QUOTE_CHARS_MAX] for memory in both])


class MemorySearchAnswer(Wire):
    """``index`` says how far meaning reaches: ready, or which part is answered by words alone for now."""

    hits: list[MemoryHit]
    total: int
    index: Literal["ready", "starting", "degraded", "down"]
    backlog: int = Field(default=0, description="Memories that the index has not reached; found by their words.")
    note: str | None = None
    next_cursor: str | None = Field(default=None, description="Pass it as cursor for the next hits.")
    contradictions: list[ContradictionPair] | None = None

    @classmethod
    def of(cls, result: SearchResult, *, full: bool = False, base_url: str = "") -> Self:
        return cls(
            hits=[MemoryHit.of(found, full=full, base_url=base_url) for found in result.found],
            total=len(result.found),
            index=result.index_state,
            backlog=result.backlog,
            note=result.note,
            next_cursor=result.next_cursor,
            contradictions=[ContradictionPair.of(pair) for pair in result.contradictions] or None,
        )


class MemoryLink(Wire):
    """``direction`` out: from this memory to ``id``; in: from ``id`` to this one."""

    kind: str
    direction: Literal["out", "in"]
    id: str
    version: int = Field(description="The version that the link was made to.")
    since: datetime
    url: str

    @classmethod
    def of(cls, link: Link, memory_id: str, base_url: str = "") -> Self:
        other = link.to_id if link.from_id == memory_id else link.from_id
        return cls(
            kind=link.kind.value,
            direction="out" if link.from_id == memory_id else "in",
            id=other,
            version=link.to_version,
            since=from_ns(link.known_at_ns),
            url=memory_url(other, base_url),
        )


class MemoryDocument(Wire):
    id: str
    seq: int
    version: int
    namespace: str
    kind: str
    content: str
    tags: list[str]
    metadata: dict[str, JsonValue]
    agent: str
    session: str
    tool: str
    source: str
    trust: str
    ts: datetime
    known_at: datetime
    superseded_at: datetime | None
    expires_at: datetime | None
    trajectory_id: str | None
    url: str
    importance: int = 50
    pinned: bool = False
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    links: list[MemoryLink] | None = Field(
        default=None, description="What it cites, supersedes, contradicts, was kept for."
    )
    credit: float | None = Field(default=None, description="Won minus lost decisions that rested on it.")
    confirmed_at: datetime | None = None
    stale: list[str] | None = Field(default=None, description="Why what it rests on does not stand any more.")

    @classmethod
    def detailed(cls, details: MemoryDetails, base_url: str = "") -> Self:
        """Return the memory with its links and its standing."""
        document, standing = cls.of(details.memory, base_url), details.standing
        document.links = [MemoryLink.of(link, details.memory.id, base_url) for link in details.links]
        document.credit = standing.credit / CREDIT_UNIT
        document.confirmed_at = None if standing.confirmed_at_ns is None else from_ns(standing.confirmed_at_ns)
        document.stale = list(details.stale)
        return document

    @classmethod
    def of(cls, memory: Memory, base_url: str = "") -> Self:
        return cls(
            id=memory.id,
            seq=memory.seq,
            version=memory.version,
            namespace=memory.namespace,
            kind=memory.kind,
            content=memory.content,
            tags=list(memory.tags),
            metadata=dict(memory.metadata),
            agent=memory.provenance.agent,
            session=memory.provenance.session,
            tool=memory.provenance.tool,
            source=memory.provenance.source,
            trust=memory.provenance.trust.value,
            ts=from_ns(memory.ts_event_ns),
            known_at=from_ns(memory.known_at_ns),
            superseded_at=None if memory.superseded_at_ns is None else from_ns(memory.superseded_at_ns),
            expires_at=None if memory.expires_at_ns is None else from_ns(memory.expires_at_ns),
            trajectory_id=memory.trajectory_id,
            url=memory_url(memory.id, base_url),
            importance=memory.importance,
            pinned=memory.pinned,
            valid_from=None if memory.valid_from_ns is None else from_ns(memory.valid_from_ns),
            valid_to=None if memory.valid_to_ns is None else from_ns(memory.valid_to_ns),
        )


class MemoryHistory(Wire):
    """Every version of a memory, oldest first."""

    versions: list[MemoryDocument]


class TrajectoryStep(Wire):
    id: str
    seq: int
    kind: str
    ts: datetime
    content: str
    metadata: dict[str, JsonValue]

    @classmethod
    def of(cls, memory: Memory) -> Self:
        return cls(
            id=memory.id,
            seq=memory.seq,
            kind=memory.kind,
            ts=from_ns(memory.ts_event_ns),
            content=memory.content,
            metadata=dict(memory.metadata),
        )


class TrajectoryDocument(Wire):
    id: str
    namespace: str
    kind: str
    title: str
    agent: str
    opened_at: datetime
    closed_at: datetime | None
    outcome: str | None
    reward: int | None
    reward_unit: str
    metadata: dict[str, JsonValue]
    steps: list[TrajectoryStep]
    steps_total: int
    next_cursor: str | None = None
    url: str

    @classmethod
    def of(cls, part: TrajectorySteps, base_url: str = "") -> Self:
        """``next_cursor`` is the seq to pass as ``after``."""
        document = cls.without_steps(part.trajectory, base_url)
        document.steps = [TrajectoryStep.of(step) for step in part.steps]
        document.next_cursor = None if part.next_after is None else str(part.next_after)
        return document

    @classmethod
    def without_steps(cls, trajectory: Trajectory, base_url: str = "") -> Self:
        return cls(
            id=trajectory.id,
            namespace=trajectory.namespace,
            kind=trajectory.kind,
            title=trajectory.title,
            agent=trajectory.agent,
            opened_at=from_ns(trajectory.opened_at_ns),
            closed_at=None if trajectory.closed_at_ns is None else from_ns(trajectory.closed_at_ns),
            outcome=trajectory.outcome,
            reward=trajectory.reward,
            reward_unit=trajectory.reward_unit,
            metadata=dict(trajectory.metadata),
            steps=[],
            steps_total=trajectory.steps,
            url=trajectory_url(trajectory.id, base_url),
        )


class TrajectoryPage(Wire):
    """The ``steps`` of each entry are left out; its address has them."""

    trajectories: list[TrajectoryDocument]
    next_cursor: str | None = None

    @classmethod
    def of(cls, page: TrajectoryList, base_url: str = "") -> Self:
        return cls(
            trajectories=[TrajectoryDocument.without_steps(each, base_url) for each in page.trajectories],
            next_cursor=page.next_cursor,
        )
