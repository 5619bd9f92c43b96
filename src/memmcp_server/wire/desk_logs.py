"""What the desk wrote down of its settings and of its sidecar, on the wire."""

from datetime import datetime
from typing import Literal

from .base import Wire
from .money import TradingContext
from .sidecar import SidecarView


class ProfileField(Wire):
    field: str
    before: str
    after: str


class GateNote(Wire):
    name: str
    passed: bool
    note: str


class ProfileEntry(Wire):
    """Something came into force. ``kind`` is the journal's word; ``what`` changed: the profile, the tier, a strategy's
    parameters, the shares of the capital, or whether recall is used. ``by``: who commanded it, ``desk`` where it was
    by the desk's own rules. ``changes_total``: fields that are other now, the first of them in ``changes``."""

    seq: int
    ts: datetime
    kind: str
    what: Literal["profile", "tier", "parameters", "shares", "recall"]
    strategy: str | None
    before: str
    after: str
    by: str
    why: str
    changes: list[ProfileField]
    changes_total: int
    gates: list[GateNote]


class ProfileLog(TradingContext):
    """GET /profiles/log: of the present run, newest first."""

    entries: list[ProfileEntry]
    next_cursor: str | None = None


class AdviceEffect(Wire):
    """``scale_bps``: the share of the desk's own size that the answer left of an entry; ``reason`` says why it changed
    nothing."""

    scale_bps: int
    wait_until: datetime | None
    weight_bps: int
    reason: str


class AdviceOutcome(Wire):
    is_hit: bool
    realised_bps: int
    brier_ppm: int


class SidecarEntry(Wire):
    """A question of the desk and what came of it. ``detail`` says more about a fault; ``text`` quotes the answer, which
    is a model's words. ``effect``: on the newest entry that it was weighed for; ``score``: how it came out."""

    seq: int
    id: str
    ts: datetime
    kind: str
    mint: str
    symbol: str
    strategy: str
    question: str
    evidence: int
    outcome: str
    is_answered: bool
    detail: str
    text: str
    model: str
    latency_ms: int
    tokens_in: int
    tokens_out: int
    cost_micro_usd: int
    is_cached: bool
    effect: AdviceEffect | None
    score: AdviceOutcome | None


class SidecarLog(TradingContext):
    """GET /sidecar/log: of the present run, newest first, with how the sidecar stands (``asking`` null: it is off).
    What agents asked is in memory, in the namespace memory_bank."""

    standing: SidecarView
    entries: list[SidecarEntry]
    next_cursor: str | None = None
