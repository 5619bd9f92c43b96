"""insights://current: what the machine has learned so far, and what is wrong with it right now."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from .base import JsonValue, MoneyKind, Wire
from .desks import DeskTotals
from .findings import Finding
from .money import FeedView
from .summary import MemoryBrief


class InsightWarning(Wire):
    """One thing that somebody should look at; ``next`` says where, or what to do."""

    about: Literal["journal", "index", "outbox", "trading", "feed", "limit", "order", "memory"]
    text: str
    next: str


class InForce(Wire):
    """Something of the profile log; GET /profiles/log has more of it, and what each entry changed."""

    ts: datetime
    what: str
    strategy: str | None
    before: str
    after: str
    by: str
    why: str


class NodeTotals(Wire):
    """Nodes that execute for this desk, and what all their transactions came to."""

    nodes: int
    working: int
    success: int
    failed: int
    expired: int


class AgentTotals(Wire):
    """``connected`` now over a bridge; ``callers`` have called a tool since the daemon began; ``writers`` wrote
    ``memories`` that this caller may read."""

    connected: int
    callers: int
    calls: int
    writers: int
    writers_left_out: bool = Field(default=False, description="There are more writers than are counted.")
    memories: int


class InsightTotals(Wire):
    """``nodes`` None: there is no desk to ask. Totals of desks never mix ours with those that report to us."""

    desks: DeskTotals
    nodes: NodeTotals | None
    agents: AgentTotals


class Insights(Wire):
    """``money``, ``feed`` and ``strategies`` are the desk's and absent while there is none to ask.

    ``lessons``: those that weigh most first. ``digests``: the newest of each namespace. ``strategies``: how each did
    over the whole run, with ``confidence`` in so few or so many trades. ``findings``: what the figures let anybody say,
    decided ones first, each with its sample and evidence. ``totals``: of desks, nodes and agents. ``profiles``: what
    came into force last, newest first. Every list is bounded.
    """

    ts: datetime
    money: MoneyKind | None = None
    feed: FeedView | None = None
    warnings: list[InsightWarning]
    warnings_left_out: int = 0
    lessons: list[MemoryBrief]
    lessons_total: int
    digests: list[MemoryBrief]
    strategies: list[dict[str, JsonValue]] | None = None
    findings: list[Finding] = []
    totals: InsightTotals | None = None
    profiles: list[InForce] | None = None
    confidence: str | None = None
    evidence: list[str] | None = Field(default=None, description="Trajectories that the figures rest on.")
