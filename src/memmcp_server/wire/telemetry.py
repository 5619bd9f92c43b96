"""Views of the desk made for one reader: risk, the brief answer of a tool, the report of an outside engine."""

from datetime import datetime
from types import MappingProxyType
from typing import Annotated, Final, Literal, Self

from pydantic import Field, StringConstraints

from memmcp_server.domain.telemetry import Snapshot
from memmcp_server.domain.times import from_ns

from .base import Bps, IdempotencyKey, JsonValue, Moment, MoneyKind, Request, TradingState, Wire
from .money import BPS_ONE, Amount, TradingContext, WaitingOrder
from .trading import EquitySeries, ExposureView, LimitView, TradingSnapshot

STALE_AFTER_S: Final = 120.0
"""An engine that has been silent for this long is shown as stale."""

WindowName = Annotated[str, StringConstraints(pattern=r"^(all|[1-9]\d{0,3}[mhdw])$")]
"""A span that ends now: minutes, hours, days or weeks, or ``all``."""

_WINDOW_SECONDS: Final = MappingProxyType({"m": 60, "h": 3_600, "d": 86_400, "w": 604_800})


def window_seconds(window: str) -> int | None:
    """Return the length of a WindowName in seconds, None for ``all``."""
    return None if window == "all" else int(window[:-1]) * _WINDOW_SECONDS[window[-1]]


class RiskView(TradingContext):
    """GET /risk and risk://current: what limits the desk now and how far each limit is.

    ``exposure`` is the marked value of each open position, largest first, as a share of equity; ``exposure_map`` adds
    it up by token, strategy, bucket, tier and group, open entries included.
    """

    ts: datetime
    state: TradingState
    state_reason: str
    entries_allowed: bool
    profile: str
    tier: str
    equity: Amount
    drawdown_bps: int
    exposure_bps: int
    exposure: list[dict[str, JsonValue]]
    exposure_map: ExposureView | None = None
    limits: list[LimitView]
    denials: dict[str, int]

    @classmethod
    def of(cls, snapshot: TradingSnapshot) -> Self:
        """Return the risk side of a snapshot."""
        equity = max(snapshot.equity.lamports, 1)
        positions = sorted(snapshot.positions, key=lambda position: -position.value.lamports)
        exposure: list[dict[str, JsonValue]] = [
            {
                "mint": position.mint,
                "symbol": position.symbol,
                "bucket": position.bucket,
                "value_lamports": position.value.lamports,
                "share_bps": position.value.lamports * BPS_ONE // equity,
            }
            for position in positions
        ]
        return cls(
            money=snapshot.money,
            feed=snapshot.feed,
            ts=snapshot.ts,
            state=snapshot.state,
            state_reason=snapshot.state_reason,
            entries_allowed=snapshot.entries_allowed,
            profile=snapshot.profile,
            tier=snapshot.tier,
            equity=snapshot.equity,
            drawdown_bps=snapshot.drawdown_bps,
            exposure_bps=sum(position.value.lamports for position in positions) * BPS_ONE // equity,
            exposure=exposure,
            exposure_map=snapshot.exposure,
            limits=snapshot.limits,
            denials=snapshot.denials,
        )


def given(value: int | None, otherwise: int) -> int:
    return otherwise if value is None else value


class WindowView(Wire):
    """What happened to equity within a window, between its points too; changes are last minus first point."""

    name: str
    since: datetime
    until: datetime
    points: int
    change_lamports: int
    change_bps: int | None
    low_lamports: int
    high_lamports: int
    drawdown_bps_max: int

    @classmethod
    def of(cls, name: str, series: EquitySeries) -> Self | None:
        """Return the window over the points of a series, None when there is none."""
        if not series.points:
            return None
        equities = [point.equity_lamports for point in series.points]
        lows = [given(point.low_lamports, point.equity_lamports) for point in series.points]
        highs = [given(point.high_lamports, point.equity_lamports) for point in series.points]
        change = equities[-1] - equities[0]
        return cls(
            name=name,
            since=series.points[0].ts,
            until=series.points[-1].ts,
            points=len(equities),
            change_lamports=change,
            change_bps=change * BPS_ONE // equities[0] if equities[0] > 0 else None,
            low_lamports=min(lows),
            high_lamports=max(highs),
            drawdown_bps_max=max(max(point.drawdown_bps, point.drawdown_bps_max or 0) for point in series.points),
        )


class TelemetryAnswer(TradingContext):
    """The tool ``telemetry_trading``: the state in brief; ``snapshot`` is the whole of it with detail=full."""

    ts: datetime
    run_id: str
    cycle: int
    engine: str
    state: TradingState
    state_reason: str
    entries_allowed: bool
    profile: str
    tier: str
    equity: Amount
    cash: Amount
    drawdown_bps: int
    realised: Amount
    unrealised: Amount
    time_weighted_return_bps: int
    trades_total: int
    signals_total: int
    positions: list[dict[str, JsonValue]]
    limits: list[LimitView]
    denials: dict[str, int]
    next_evaluation: datetime | None
    zone: str
    waiting_orders: list[WaitingOrder] = []
    window: WindowView | None = None
    snapshot: TradingSnapshot | None = None

    @classmethod
    def of(cls, snapshot: TradingSnapshot, window: WindowView | None, *, full: bool) -> Self:
        """Return the answer; positions are shortened to what a decision needs."""
        positions: list[dict[str, JsonValue]] = [
            {
                "mint": position.mint,
                "symbol": position.symbol,
                "amount": position.amount,
                "value_sol": position.value.sol,
                "unrealised_sol": position.unrealised.sol,
                "unrealised_bps": position.unrealised_bps,
                "strategy": position.strategy,
                "trajectory_id": position.trajectory_id,
            }
            for position in snapshot.positions
        ]
        brief = snapshot.model_dump(exclude={"positions", "desk_id", "queues", "costs", "compounding"})
        shared = {name: value for name, value in brief.items() if name in cls.model_fields}
        return cls(**shared, positions=positions, window=window, snapshot=snapshot if full else None)


class ForeignTelemetry(Request):
    """POST /telemetry/trading: an outside engine's report, kept under its own desk id and never added to ours."""

    schema_version: Literal[1] = 1
    desk_id: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
    key: IdempotencyKey
    ts: Moment
    money: MoneyKind
    equity_lamports: int = Field(ge=0)
    cash_lamports: int | None = Field(default=None, ge=0)
    exposure_lamports: int | None = Field(default=None, ge=0, description="What its positions are worth.")
    drawdown_bps: Bps | None = None
    state: TradingState | None = None
    positions: list[dict[str, JsonValue]] = Field(default_factory=list, max_length=1_000)
    detail: dict[str, JsonValue] = Field(default_factory=dict)


class TelemetryReceipt(Wire):
    """The report is durable. ``duplicate``: the desk had sent this key before, nothing was written now."""

    desk_id: str
    seq: int
    durable: bool = True
    duplicate: bool = False


class SnapshotView(Wire):
    """What a desk was at a time, as it reported it."""

    ts: datetime
    recorded_at: datetime
    report: dict[str, JsonValue]

    @classmethod
    def of(cls, snapshot: Snapshot) -> Self:
        return cls(
            ts=from_ns(snapshot.ts_event_ns), recorded_at=from_ns(snapshot.recorded_at_ns), report=dict(snapshot.body)
        )


class SnapshotSeries(Wire):
    """Whole snapshots of a desk in the order of its time, the last of each stretch where a resolution was asked for;
    the newest where there are more than ``limit``. Old ones are thinned: see the settings ``history``."""

    desk_id: str
    snapshots: list[SnapshotView]
    resolution_s: int | None
