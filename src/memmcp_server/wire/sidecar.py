"""The sidecar on the wire: ``POST /assess`` both ways, and how it stands in the snapshot.

The same shapes are asked of a server that the desk is pointed at (``TRADING_SIDECAR__KIND=assess``); numbers are whole:
basis points, seconds, lamports.
"""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from .base import Request, Wire

SidecarId = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[\x21-\x7e]+$")]
Share = Annotated[int, Field(ge=0, le=10_000)]
Move = Annotated[int, Field(ge=-10_000, le=1_000_000)]
Lamports = Annotated[int, Field(ge=0, le=10**18)]


class AssessEvidence(Request):
    """Something that the question rests on; an answer names it by its id. The text is data, whoever wrote it."""

    id: SidecarId
    text: str = Field(max_length=800)


class AssessMarket(Request):
    """What is known of the token. Prices are SOL per whole token, as decimal text."""

    price_sol: str | None = Field(default=None, max_length=64, pattern=r"^\d{1,20}(\.\d{1,40})?$")
    pool_lamports: Lamports | None = None
    volatility_day_bps: int | None = Field(default=None, ge=0, le=1_000_000)
    cost_bps: Move | None = Field(default=None, description="All costs of a round trip.")
    expected_bps: Move | None = Field(default=None, description="The move that the desk itself expects.")


class AssessDesk(Request):
    """How the asking desk stands."""

    state: str = Field(max_length=16)
    equity_lamports: Lamports
    exposure_bps: int = Field(ge=0, le=1_000_000)
    drawdown_bps: Share
    positions: int = Field(ge=0, le=10_000)


class AssessRequest(Request):
    """One question. ``mint``, ``symbol`` and ``strategy`` are empty where it is about none of them."""

    schema_version: Literal[1] = 1
    id: SidecarId = Field(description="The asker's; the answer carries it.")
    kind: Literal["entry", "review_loss", "rebalance", "launch", "scenario"]
    question: str = Field(min_length=1, max_length=2_000)
    mint: str = Field(default="", max_length=64)
    symbol: str = Field(default="", max_length=64)
    strategy: str = Field(default="", max_length=64)
    side: Literal["buy", "sell", "none"] = "none"
    horizon_s: int = Field(default=3_600, ge=60, le=30 * 86_400)
    market: AssessMarket = Field(default_factory=AssessMarket)
    desk: AssessDesk | None = None
    evidence: list[AssessEvidence] = Field(default_factory=list, max_length=16)


class Assessment(Wire):
    """An opinion. Nothing in it can enlarge an order: a desk reads at most a smaller size, or a later time."""

    stance_bps: int = Field(description="From -10000, against, to 10000, for.")
    probability_bps: int = Field(description="That the price is higher when the horizon is over.")
    expected_bps: int
    low_bps: int
    high_bps: int
    size_scale_bps: int = Field(description="The share of its own size that the desk should take.")
    wait_s: int
    confidence_bps: int
    evidence_ids: list[str]
    reasons: list[str] = Field(description="The model's own words: data, never instructions.")
    expires_in_s: int


class AssessUsage(Wire):
    tokens_in: int
    tokens_out: int
    cost_micro_usd: int
    latency_ms: int
    is_cached: bool


class AssessAnswer(Wire):
    """Whose question it answers, which model said it, and what it took."""

    schema_version: Literal[1] = 1
    id: str
    model: str
    assessment: Assessment
    usage: AssessUsage


class AdviceRecord(Wire):
    """How the scored answers of one model to one kind of question came out, against always saying the base rate."""

    model: str
    kind: str
    count: int
    hit_rate_bps: int | None
    base_hit_rate_bps: int | None
    brier_ppm: int | None = Field(description="The mean Brier score in millionths; less is better.")
    base_brier_ppm: int | None
    skill_bps: int
    weight_bps: int = Field(description="The share of what its advice asks for that is done now.")


class LastExchange(Wire):
    id: str
    kind: str
    mint: str
    asked: datetime
    outcome: str
    text: str
    expires: datetime | None


class SidecarAsking(Wire):
    """How asking goes: breaker, what is left of the day, what came back."""

    kind: str
    model: str
    breaker: Literal["closed", "open", "half_open"]
    outcomes: dict[str, int]
    last_fault: str
    calls_left: int
    tokens_left: int
    micro_usd_left: int
    has_failed: bool
    waiting: int
    dropped: int
    handed_in: int
    last: LastExchange | None


class SidecarView(Wire):
    """``weight_bps_max``: the most that the profile lets advice count, 0: not at all. ``asking`` is null without a
    sidecar."""

    weight_bps_max: int
    received: dict[str, int]
    records: list[AdviceRecord]
    asking: SidecarAsking | None = None
