"""The trading desk as JSON: snapshot, history, strategies, why, orders and controls."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from .base import (
    Bps,
    FeedKind,
    IdempotencyKey,
    JsonValue,
    MoneyKind,
    Request,
    SolAmount,
    TokenAmount,
    TradingState,
    Wire,
)
from .status import QueueStats


class TradingContext(Wire):
    """Every reply about trading says whose money and how old the data is."""

    money: MoneyKind
    feed: "FeedView"


class FeedView(Wire):
    """``detail`` names files, seed or endpoints; ``age_s`` is the newest event's age by the feed's own clock."""

    kind: FeedKind
    detail: str
    age_s: float | None
    stale: bool
    last_event: datetime | None = None


class Amount(Wire):
    """One sum of money: exact lamports, SOL as text, USD as text where a SOL price is known."""

    lamports: int
    sol: str
    usd: str | None = None


class PositionView(Wire):
    mint: str
    symbol: str
    bucket: str
    strategy: str
    amount_base_units: str
    decimals: int
    amount: str
    cost: Amount
    value: Amount
    unrealised: Amount
    unrealised_bps: int
    average_price_sol: str
    mark_price_sol: str
    opened_at: datetime
    trajectory_id: str


class LimitView(Wire):
    name: str
    scope: str
    limit: int
    used: int
    unit: str
    distance_bps: int


class CompoundingView(Wire):
    target: Amount
    progress_bps: int
    tier: str
    next_tier: str | None
    next_tier_at: Amount | None
    change_day: Amount | None = None
    change_week: Amount | None = None
    sparkline: list[int] = Field(default_factory=list, description="Equity in lamports, oldest first, at most 120.")


class CostView(Wire):
    fee_lamports: int = 0
    impact_lamports: int = 0
    priority_lamports: int = 0
    failed_lamports: int = 0
    rent_lamports: int = 0


class TradingSnapshot(TradingContext):
    """GET /telemetry/trading, telemetry://latest and the SSE event ``trading``."""

    schema_version: int = 1
    desk_id: str = "local"
    run_id: str
    ts: datetime
    cycle: int
    engine: str = "xavier"
    state: TradingState
    state_reason: str
    entries_allowed: bool
    profile: str
    tier: str
    equity: Amount
    cash: Amount
    start: Amount
    peak: Amount
    drawdown_bps: int
    realised: Amount
    unrealised: Amount
    net_deposits: Amount
    time_weighted_return_bps: int
    sol_usd: str | None
    positions: list[PositionView]
    limits: list[LimitView]
    costs: CostView
    slippage_bps_mean: int | None
    trades_total: int
    signals_total: int
    denials: dict[str, int]
    queues: dict[str, QueueStats]
    compounding: CompoundingView
    next_evaluation: datetime | None
    zone: str = "UTC"


class EquityPoint(Wire):
    ts: datetime
    equity_lamports: int
    drawdown_bps: int
    sol_usd: str | None = None


class EquitySeries(TradingContext):
    points: list[EquityPoint]
    resolution_s: int | None


class TradeView(Wire):
    order_id: str
    trajectory_id: str
    ts: datetime
    side: Literal["buy", "sell"]
    mint: str
    symbol: str
    strategy: str
    bucket: str
    amount: str
    amount_base_units: str
    value: Amount
    price_sol: str
    costs: CostView
    slippage_bps: int
    realised: Amount | None
    reason: str


class TradePage(TradingContext):
    trades: list[TradeView]
    next_cursor: str | None = None


class StrategyView(Wire):
    name: str
    kind: str
    enabled: bool
    parameters: dict[str, JsonValue]
    bucket: str
    capital: Amount
    trades: int
    wins: int
    realised: Amount
    unrealised: Amount
    win_rate_bps: int | None
    last_signal: datetime | None


class StrategyList(TradingContext):
    strategies: list[StrategyView]


class StrategyDigest(TradingContext):
    """Sample sizes first: ``confidence`` says what the sample allows to be said, ``evidence`` the trajectory ids."""

    window: str
    since: datetime
    until: datetime
    strategies: list[dict[str, JsonValue]]
    confidence: str
    evidence: list[str]


class WhyAnswer(TradingContext):
    """``chain``: the steps of a trade. ``funnel``: seen, eligible, signalled, sized, denied by reason."""

    order_id: str | None = None
    trajectory_id: str | None = None
    summary: str
    chain: list[dict[str, JsonValue]] = []
    funnel: dict[str, JsonValue] | None = None
    nearest_miss: dict[str, JsonValue] | None = None


class TradeRequest(Request):
    side: Literal["buy", "sell"]
    mint: str = Field(min_length=2, max_length=64, description="Mint address; a symbol returns candidates, no trade.")
    amount_sol: SolAmount | None = None
    amount_token: TokenAmount | None = None
    max_slippage_bps: Bps | None = None
    strategy: str | None = Field(default=None, max_length=64)
    bucket: str = Field(default="manual", max_length=64)
    reason: str = Field(min_length=3, max_length=1_000)
    preview_id: str | None = Field(default=None, max_length=64)


class CloseRequest(Request):
    mint: str = Field(min_length=2, max_length=64)
    percent: int = Field(ge=1, le=100)
    reason: str = Field(min_length=3, max_length=1_000)
    preview_id: str | None = Field(default=None, max_length=64)


class TradeAnswer(TradingContext):
    """``status``: preview (nothing happened yet), done, denied, rejected, candidates, stale, expired."""

    status: Literal["preview", "done", "denied", "rejected", "candidates", "stale", "expired", "working"]
    message: str
    preview_id: str | None = None
    expires_at: datetime | None = None
    quote: dict[str, JsonValue] | None = None
    costs: CostView | None = None
    verdict: dict[str, JsonValue] | None = None
    order_id: str | None = None
    trajectory_id: str | None = None
    fill: dict[str, JsonValue] | None = None
    candidates: list[dict[str, JsonValue]] | None = None


class RebalanceRequest(Request):
    scope: Literal["buckets", "tokens"]
    weights_bps: dict[str, Bps] | None = None
    policy: Literal["equal", "cash"] | None = None
    reason: str = Field(min_length=3, max_length=1_000)
    preview_id: str | None = Field(default=None, max_length=64)


class RebalanceAnswer(TradingContext):
    status: Literal["preview", "done", "denied", "stale", "expired"]
    message: str
    preview_id: str | None = None
    expires_at: datetime | None = None
    legs: list[dict[str, JsonValue]] = []


class ControlRequest(Request):
    """``close`` sells a share of one position; the deposit and withdraw actions book a paper movement."""

    action: Literal[
        "stop_entries", "reduce_only", "flatten_and_halt", "resume", "close", "deposit", "withdraw", "target"
    ]
    reason: str = Field(min_length=3, max_length=1_000)
    mint: str | None = None
    percent: int | None = Field(default=None, ge=1, le=100)
    amount_sol: SolAmount | None = None


class ControlAnswer(TradingContext):
    """``effect`` says what happens to open positions."""

    status: Literal["done", "denied"]
    state: TradingState
    entries_allowed: bool
    effect: str
    order_ids: list[str] = []


class ForeignTelemetry(Request):
    """POST /telemetry/trading: an outside engine's report, kept under its own desk id and never added to ours."""

    schema_version: Literal[1] = 1
    desk_id: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
    key: IdempotencyKey
    ts: datetime
    money: MoneyKind
    equity_lamports: int = Field(ge=0)
    cash_lamports: int | None = Field(default=None, ge=0)
    drawdown_bps: Bps | None = None
    positions: list[dict[str, JsonValue]] = Field(default_factory=list, max_length=1_000)
    detail: dict[str, JsonValue] = Field(default_factory=dict)


TradingContext.model_rebuild()
