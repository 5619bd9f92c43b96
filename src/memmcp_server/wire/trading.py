"""The trading desk as JSON: snapshot, history, strategies and why. Orders are in ``orders``, views in ``telemetry``."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from .base import JsonValue, TradingState, Wire
from .desk_health import DeskHealthView
from .money import Amount, CostView, FeedView, RunningCosts, TradingContext, WaitingOrder
from .orders import (
    CloseRequest,
    ControlAnswer,
    ControlRequest,
    RebalanceAnswer,
    RebalanceRequest,
    TradeAnswer,
    TradeRequest,
)
from .sidecar import SidecarView
from .status import QueueStats

__all__ = [
    "Amount",
    "CloseRequest",
    "CompoundingView",
    "ControlAnswer",
    "ControlRequest",
    "CostView",
    "EquityPoint",
    "EquitySeries",
    "ExposureShare",
    "ExposureView",
    "FeedView",
    "LimitView",
    "Outlook",
    "PositionView",
    "RebalanceAnswer",
    "RebalanceRequest",
    "StrategyDigest",
    "StrategyList",
    "StrategyView",
    "TradeAnswer",
    "TradePage",
    "TradeRequest",
    "TradeTotals",
    "TradeView",
    "TradingContext",
    "TradingSnapshot",
    "WhyAnswer",
]


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
    """How far one limit is used. ``used`` may be at most ``limit``, of a floor (``is_floor``) it must be at least that;
    ``distance_bps`` is what is left, below 0 where it is crossed."""

    name: str
    scope: str
    limit: int
    used: int
    unit: str
    is_floor: bool = False
    distance_bps: int


class ExposureShare(Wire):
    """``share_bps`` is of equity; ``label`` is what a person calls it: a token's symbol."""

    name: str
    label: str
    lamports: int
    share_bps: int


class ExposureView(Wire):
    """Where the money is, open entries counted as if filled. Each list adds up to ``total``, largest first.

    ``by_tier``: the largest tier for which the token's pool is deep enough. ``by_group``: tokens that move together, by
    the correlation of their hourly returns, named by one of them; those without history are one group, ``unknown``.
    """

    total: Amount
    by_token: list[ExposureShare]
    by_strategy: list[ExposureShare]
    by_bucket: list[ExposureShare]
    by_tier: list[ExposureShare]
    by_group: list[ExposureShare]


class CompoundingView(Wire):
    target: Amount
    progress_bps: int
    tier: str
    next_tier: str | None
    next_tier_at: Amount | None
    change_day: Amount | None = None
    change_week: Amount | None = None
    sparkline: list[int] = Field(default_factory=list, description="Equity in lamports, oldest first, at most 120.")


class WalletView(Wire):
    """One wallet of a desk that has several. ``cash`` is native SOL; ``reserved`` of it is promised to open orders,
    ``reserve`` stays for exits; ``tokens`` is what its tokens would bring. With a ``problem`` it is left alone."""

    name: str
    state: TradingState
    problem: str
    role: Literal["trade", "exit"]
    buckets: list[str]
    cash: Amount
    reserved: Amount
    reserve: Amount
    tokens: Amount
    base_units: dict[str, str]


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
    exposure: ExposureView | None = None
    costs: CostView
    slippage_bps_mean: int | None
    trades_total: int
    signals_total: int
    denials: dict[str, int]
    queues: dict[str, QueueStats]
    compounding: CompoundingView
    next_evaluation: datetime | None
    zone: str = "UTC"
    wallets: list[WalletView] = Field(default_factory=list)
    waiting_orders: list[WaitingOrder] = []
    sidecar: SidecarView | None = None
    health: DeskHealthView | None = None
    running_costs: RunningCosts | None = None


class EquityPoint(Wire):
    """The last mark of its stretch of time. What lies between it and the point before is told too where the series is
    thinned: ``first_lamports``, the lowest and highest equity, the deepest drawdown, and how many marks there were."""

    ts: datetime
    equity_lamports: int
    drawdown_bps: int
    sol_usd: str | None = None
    first_lamports: int | None = None
    low_lamports: int | None = None
    high_lamports: int | None = None
    drawdown_bps_max: int | None = None
    marks: int | None = None


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


class TradeTotals(Wire):
    """All trades that were asked for, not only those of the page. ``won`` and ``lost`` count sales; ``fees``: of the
    pool, the network and for priority. USD at SOL's price now."""

    trades: int
    won: int
    lost: int
    realised: Amount
    fees: Amount


class TradePage(TradingContext):
    trades: list[TradeView]
    next_cursor: str | None = None
    totals: TradeTotals | None = None


class StrategyView(Wire):
    """``enabled``: the profile names it. ``in_tier``: the desk's tier lets strategies of its kind enter. ``state``:
    of its level; REDUCING and HALTED let it enter nothing, ``state_reason`` says why. ``lineage``:
    the candidate whose parameters it trades, "" where none was promoted; ``stage``: candidate, paper, live or demoted;
    ``gates``: what each gate read last (name, value, bound, unit, is_floor, passed, sample, note). ``windows``: the
    last 1, 7 and 30 days. ``allocation``: its share of the capital, and what that rests on where shares rotate.
    ``recall``: what it knows of the strategy's situations, the errors of its answers, and whether it shifts edges."""

    name: str
    kind: str
    enabled: bool
    in_tier: bool = True
    state: TradingState = "ACTIVE"
    state_reason: str = ""
    parameters: dict[str, JsonValue]
    bucket: str
    capital: Amount
    trades: int
    wins: int
    realised: Amount
    unrealised: Amount
    win_rate_bps: int | None
    last_signal: datetime | None
    lineage: str = ""
    stage: str = ""
    gates: list[dict[str, JsonValue]] = []
    windows: list[dict[str, JsonValue]] = []
    allocation: dict[str, JsonValue] | None = None
    recall: dict[str, JsonValue] | None = None


class Outlook(Wire):
    """What the desk expects: the newest open forecasts, for each strategy and direction what came of earlier ones
    (counts first), and the ranking of all tokens at its last change."""

    forecasts: list[dict[str, JsonValue]]
    forecasts_open: int
    calibration: list[dict[str, JsonValue]]
    ranking: dict[str, JsonValue]


class TierView(Wire):
    """What the desk may do at its size. The tier goes by equity without deposits and withdrawals; it is left below
    ``left_below``. ``pools_admitted`` of the ``pools`` that trade now are as deep as ``pool_min``."""

    name: str
    from_equity: Amount
    left_below: Amount
    next_tier: str | None
    next_tier_at: Amount | None
    equity_without_flows: Amount
    pool_min: Amount
    pools: int
    pools_admitted: int
    fee_position_bps_max: int
    kelly_fraction_bps: int
    wallets_max: int
    barred_modules: list[str]


class StrategyList(TradingContext):
    """``evolution``: how the search in the background stands, absent where there is none."""

    strategies: list[StrategyView]
    outlook: Outlook | None = None
    tier: TierView | None = None
    evolution: dict[str, JsonValue] | None = None


class StrategyDigest(TradingContext):
    """Sample sizes first: ``confidence`` says what the sample allows to be said, ``evidence`` the trajectory ids.

    ``window``: its name, or ``range`` where its ends were given; ``until`` is not in it then. Of each strategy
    ``windows`` are the last 1, 7 and 30 days before ``until``, those that are shorter than the whole; ``counted_since``
    is set where older trades of the window were let go, so that they are in no figure here.
    """

    window: str
    since: datetime
    until: datetime
    strategies: list[dict[str, JsonValue]]
    confidence: str
    evidence: list[str]


class WhyAnswer(TradingContext):
    """``chain``: the steps of a trade. ``funnel``: seen, eligible, signalled, sized, denied by reason, both ends of the
    time included; ``is_cut``: there was too much to count, and its ``since`` says from when on it was. ``seen``,
    ``eligible``, ``passed_over`` and ``newest_price`` are of now."""

    order_id: str | None = None
    trajectory_id: str | None = None
    summary: str
    chain: list[dict[str, JsonValue]] = []
    funnel: dict[str, JsonValue] | None = None
    nearest_miss: dict[str, JsonValue] | None = None
