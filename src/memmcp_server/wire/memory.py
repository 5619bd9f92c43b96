"""Memories and trajectories as JSON."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from .base import IdempotencyKey, JsonValue, Kind, NamespaceStr, Request, Tag, Wire


class MemoryWriteRequest(Request):
    content: str = Field(min_length=1, description="The text to remember, at most 64 KiB of UTF-8.")
    namespace: NamespaceStr = "default"
    kind: Kind = "note"
    tags: list[Tag] = Field(default_factory=list, max_length=32)
    metadata: dict[str, JsonValue] = Field(default_factory=dict, description="Any JSON object, at most 16 KiB.")
    ts: datetime | None = Field(default=None, description="When it happened (ISO 8601 with zone); default now.")
    expires_at: datetime | None = None
    trajectory_id: str | None = Field(default=None, max_length=128)
    idempotency_key: IdempotencyKey | None = None
    agent: str | None = Field(default=None, max_length=128, description="Who writes, where the door does not know it.")
    session: str | None = Field(default=None, max_length=128)
    source: str | None = Field(default=None, max_length=256)


class MemoryWriteAnswer(Wire):
    id: str
    seq: int
    version: int = 1
    durable: bool = True
    duplicate: bool = False
    namespace: str
    url: str


class MemorySearchRequest(Request):
    query: str = Field(min_length=1, max_length=4_000)
    namespace: str | None = Field(default=None, max_length=128, description="Exact, or a subtree when it ends in '/'.")
    kinds: list[Kind] = Field(default_factory=list, max_length=16)
    tags: list[Tag] = Field(default_factory=list, max_length=16)
    agent: str | None = Field(default=None, max_length=128)
    since: datetime | None = None
    until: datetime | None = None
    as_of: datetime | None = None
    limit: int = Field(default=10, ge=1, le=100)
    detail: Literal["concise", "full"] = "concise"


class MemoryHit(Wire):
    """``why`` says how it was found, e.g. "meaning 0.71, words 3.2" or "words (not yet indexed)"."""

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
    url: str
    metadata: dict[str, JsonValue] | None = None
    source: str | None = None
    session: str | None = None
    known_at: datetime | None = None
    version: int | None = None


class MemorySearchAnswer(Wire):
    """``index`` says how far meaning reaches: ready, or which part is answered by words alone for now."""

    hits: list[MemoryHit]
    total: int
    index: Literal["ready", "starting", "degraded", "down"]
    backlog: int = Field(default=0, description="Memories that the index has not reached; found by their words.")
    note: str | None = None


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


class TrajectoryStep(Wire):
    id: str
    seq: int
    kind: str
    ts: datetime
    content: str
    metadata: dict[str, JsonValue]


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


class TrajectoryPage(Wire):
    trajectories: list[TrajectoryDocument]
    next_cursor: str | None = None
