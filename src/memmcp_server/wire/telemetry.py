"""Views of the desk made for one reader: risk, the brief answer of a tool, the report of an outside engine."""

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints

from .base import Bps, IdempotencyKey, JsonValue, MoneyKind, Request, TradingState, Wire
from .money import BPS_ONE, Amount, TradingContext
from .trading import LimitView, TradingSnapshot


class RiskView(TradingContext):
    """GET /risk and risk://current: what limits the desk now and how far each limit is.

    ``exposure`` is the marked value of each open position, largest first, as a share of equity.
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
            limits=snapshot.limits,
            denials=snapshot.denials,
        )


class WindowView(Wire):
    """What happened to equity within a window; changes are last minus first point."""

    name: str
    since: datetime
    until: datetime
    points: int
    change_lamports: int
    change_bps: int | None
    low_lamports: int
    high_lamports: int
    drawdown_bps_max: int


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
    ts: datetime
    money: MoneyKind
    equity_lamports: int = Field(ge=0)
    cash_lamports: int | None = Field(default=None, ge=0)
    drawdown_bps: Bps | None = None
    positions: list[dict[str, JsonValue]] = Field(default_factory=list, max_length=1_000)
    detail: dict[str, JsonValue] = Field(default_factory=dict)
