"""insights://current: what the machine has learned so far, and what is wrong with it right now."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from .base import JsonValue, MoneyKind, Wire
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


class Insights(Wire):
    """``money``, ``feed`` and ``strategies`` are the desk's and absent while there is none to ask.

    ``lessons``: those that weigh most first. ``digests``: the newest of each namespace. ``strategies``: how each did
    over the whole run, with ``confidence`` in so few or so many trades. ``profiles``: what came into force last, newest
    first. Every list is bounded.
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
    profiles: list[InForce] | None = None
    confidence: str | None = None
    evidence: list[str] | None = Field(default=None, description="Trajectories that the figures rest on.")
