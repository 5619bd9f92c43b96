"""Valid documents of the page's stream and requests, made with the wire models themselves."""

import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from memmcp_server.wire.memory import TrajectoryDocument, TrajectoryStep
from memmcp_server.wire.night import Happening, NightReport, WaitingItem
from memmcp_server.wire.prices import Candle, CandleSeries, PricedToken
from memmcp_server.wire.status import MetricsAnswer, QueueStats
from memmcp_server.wire.trading import (
    Amount,
    CompoundingView,
    CostView,
    EquityPoint,
    EquitySeries,
    FeedView,
    LimitView,
    PositionView,
    TradePage,
    TradeTotals,
    TradeView,
    TradingSnapshot,
)

Document = dict[str, Any]
START = datetime(2026, 11, 22, 6, 0, tzinfo=UTC)
SOL_USD = Decimal("182.40")
LAMPORTS_PER_SOL = 1_000_000_000
BONK = "DezXAZ8z7PnrnRJjz3wXBoRgixCa6xjnB7YaB1pPB263"
WIF = "EKpQGSJtjMFqKZ9KQanSqYXRcF8fBopzLHYxdM65zcjm"


def amount(lamports: int) -> Amount:
    sol = Decimal(lamports) / LAMPORTS_PER_SOL
    return Amount(lamports=lamports, sol=f"{sol:.9f}", usd=f"{sol * SOL_USD:.2f}")


def feed(*, stale: bool = False, age_s: float | None = 2.0) -> FeedView:
    return FeedView(
        kind="synthetic",
        detail="seed 7, regimes, 12 tokens, 5 min bars",
        age_s=age_s,
        stale=stale,
        last_event=None if age_s is None else START + timedelta(hours=3),
    )


def position(symbol: str, mint: str, cost: int, value: int) -> PositionView:
    gain = value - cost
    return PositionView(
        mint=mint,
        symbol=symbol,
        bucket="momentum",
        strategy="momentum_breakout",
        amount_base_units="123456789012",
        decimals=5,
        amount="1234567.89012",
        cost=amount(cost),
        value=amount(value),
        unrealised=amount(gain),
        unrealised_bps=gain * 10_000 // cost,
        average_price_sol="0.00000014823",
        mark_price_sol="0.00000015012",
        opened_at=START + timedelta(hours=2, minutes=15),
        trajectory_id=f"trade-{symbol.lower()}",
    )


def equity_lamports(step: int) -> int:
    """A curve that rises and falls like a small account's."""
    drift = (
        2.0 + 0.0011 * step + 0.06 * math.sin(step / 17) + 0.025 * math.sin(step / 5.3) + 0.01 * math.sin(step * 1.7)
    )
    return int(drift * LAMPORTS_PER_SOL)


def snapshot(cycle: int = 180, **changes: Any) -> Document:
    equity = equity_lamports(cycle)
    peak = max(equity_lamports(step) for step in range(cycle + 1))
    values: dict[str, Any] = {
        "money": "paper",
        "feed": feed(),
        "run_id": "run-7f3a",
        "ts": START + timedelta(minutes=cycle),
        "cycle": cycle,
        "state": "ACTIVE",
        "state_reason": "",
        "entries_allowed": True,
        "profile": "foundation",
        "tier": "foundation",
        "equity": amount(equity),
        "cash": amount(equity - 640_000_000),
        "start": amount(2 * LAMPORTS_PER_SOL),
        "peak": amount(peak),
        "drawdown_bps": (peak - equity) * 10_000 // peak,
        "realised": amount(equity - 2 * LAMPORTS_PER_SOL - 21_500_000),
        "unrealised": amount(21_500_000),
        "net_deposits": amount(0),
        "time_weighted_return_bps": (equity - 2 * LAMPORTS_PER_SOL) * 10_000 // (2 * LAMPORTS_PER_SOL),
        "sol_usd": str(SOL_USD),
        "positions": [position("BONK", BONK, 310_000_000, 341_200_000), position("WIF", WIF, 308_500_000, 298_800_000)],
        "limits": [
            LimitView(name="drawdown_bps_max", scope="desk", limit=1_500, used=410, unit="bps", distance_bps=7_267),
            LimitView(
                name="order_size_max",
                scope="order",
                limit=400_000_000,
                used=310_000_000,
                unit="lamports",
                distance_bps=2_250,
            ),
            LimitView(name="exposure_bps_max", scope="desk", limit=3_000, used=2_830, unit="bps", distance_bps=567),
            LimitView(name="positions_max", scope="desk", limit=6, used=2, unit="positions", distance_bps=6_667),
            LimitView(
                name="exit_reserve_lamports",
                scope="account",
                limit=4_000_000,
                used=1_700_000_000,
                unit="lamports",
                is_floor=True,
                distance_bps=9_976,
            ),
        ],
        "costs": CostView(fee_lamports=8_120_000, impact_lamports=3_410_000, priority_lamports=410_000),
        "slippage_bps_mean": 34,
        "trades_total": 41,
        "signals_total": 260,
        "denials": {"exposure_bps_max": 37, "average_down": 21, "pool_too_shallow": 118, "cooldown": 9},
        "queues": {"memory": QueueStats(pending=3, oldest_s=0.4, dead=0, delivered=1_912)},
        "compounding": CompoundingView(
            target=amount(20 * LAMPORTS_PER_SOL),
            progress_bps=equity * 10_000 // (20 * LAMPORTS_PER_SOL),
            tier="foundation",
            next_tier="acceleration",
            next_tier_at=amount(20 * LAMPORTS_PER_SOL),
            change_day=amount(41_300_000),
            change_week=amount(-12_700_000),
            sparkline=[equity_lamports(max(0, cycle - 119) + step) for step in range(min(120, cycle + 1))],
        ),
        "next_evaluation": START + timedelta(minutes=cycle + 5),
    }
    return TradingSnapshot.model_validate(values | changes).model_dump(mode="json")


def metrics(second: int = 0, **changes: Any) -> Document:
    values: dict[str, Any] = {
        "ts": START + timedelta(hours=3, seconds=second),
        "uptime_s": 10_800.0 + second,
        "journal_seq": 5_210 + second * 3,
        "memories": 2_104 + second,
        "queues": {"qdrant": QueueStats(pending=12, oldest_s=0.8, dead=0, delivered=2_092 + second)},
        "index": {"state": "ready", "backend": "qdrant-edge", "model": "all-MiniLM-L6-v2", "points": 2_092},
        "clients": 4,
        "event_loop_lag_ms": 0.6,
        "cycle": None,
    }
    return MetricsAnswer.model_validate(values | changes).model_dump(mode="json")


def memory(seq: int, content: str, **changes: Any) -> Document:
    """The SSE event ``memory``; its shape is fixed by the stream's contract, there is no wire model for it."""
    return {
        "seq": seq,
        "id": f"mem-{seq}",
        "kind": "signal",
        "namespace": "trading",
        "agent": "xavier",
        "content": content,
        "ts": (START + timedelta(hours=3, seconds=seq)).isoformat(),
        "trajectory_id": "trade-bonk",
    } | changes


def series(points: int = 180) -> Document:
    peak = 0
    made = []
    for step in range(points):
        equity = equity_lamports(step)
        peak = max(peak, equity)
        made.append(
            EquityPoint(
                ts=START + timedelta(minutes=step),
                equity_lamports=equity,
                drawdown_bps=(peak - equity) * 10_000 // peak,
                sol_usd=str(SOL_USD),
            )
        )
    return EquitySeries(money="paper", feed=feed(), points=made, resolution_s=60).model_dump(mode="json")


def trade(number: int, **changes: Any) -> TradeView:
    is_sale = number % 2 == 0
    gain = (number % 6 - 2) * 3_650_000
    values: dict[str, Any] = {
        "order_id": f"order-{number}",
        "trajectory_id": f"trade-{number // 2}",
        "ts": START + timedelta(minutes=4 * number),
        "side": "sell" if is_sale else "buy",
        "mint": (BONK, WIF)[number // 2 % 2],
        "symbol": ("BONK", "WIF")[number // 2 % 2],
        "strategy": "momentum_breakout" if number // 2 % 3 else "mean_reversion",
        "bucket": "momentum",
        "amount": "2091240.11829",
        "amount_base_units": "209124011829",
        "value": amount(310_000_000 + number * 1_000_000),
        "price_sol": "0.00000014823",
        "costs": CostView(fee_lamports=775_000, impact_lamports=372_000, priority_lamports=10_000),
        "slippage_bps": 14 + number,
        "realised": amount(gain) if is_sale else None,
        "reason": "trailing stop at 4 % below the high" if is_sale else "breakout over 48 bars, score 0.71",
    }
    return TradeView.model_validate(values | changes)


def trades(count: int = 14) -> Document:
    newest_first = [trade(number) for number in range(count, 0, -1)]
    realised = [each.realised.lamports for each in newest_first if each.realised is not None]
    fees = sum(each.costs.fee_lamports + each.costs.priority_lamports for each in newest_first)
    totals = TradeTotals(
        trades=count,
        won=sum(each > 0 for each in realised),
        lost=sum(each <= 0 for each in realised),
        realised=amount(sum(realised)),
        fees=amount(fees),
    )
    return TradePage(money="paper", feed=feed(), trades=newest_first, totals=totals).model_dump(mode="json")


def _price(of_bonk: float) -> str:
    return f"{of_bonk / 10_000_000:.14f}"


def candles(count: int = 90, **changes: Any) -> Document:
    """Five minutes each, with a gap of an hour in the middle; the trades of ``trades`` lie among them."""
    made = []
    for number in range(count):
        at = START + timedelta(minutes=5 * (number if number < count // 2 else number + 12) - 60)
        opened, closed = (1.5 + 0.2 * math.sin(step / 7) + 0.05 * math.sin(step * 1.7) for step in (number, number + 1))
        made.append(
            Candle(
                ts=at,
                open=_price(opened),
                high=_price(max(opened, closed) + 0.04),
                low=_price(min(opened, closed) - 0.05),
                close=_price(closed),
                volume="12500.5",
                bars=1,
            )
        )
    token = PricedToken(mint=BONK, symbol="BONK", trades=14, is_held=True)
    values: dict[str, Any] = {
        "money": "paper",
        "feed": feed(),
        "mint": BONK,
        "symbol": "BONK",
        "interval_s": 300,
        "candles": made,
        "is_cut": False,
        "tokens": [token, PricedToken(mint=WIF, symbol="WIF", trades=2, is_held=False)],
    }
    return CandleSeries.model_validate(values | changes).model_dump(mode="json")


def chain(*extra: dict[str, Any]) -> Document:
    """The chain of a trade as GET /why?order_id tells it, beside the funnel that it tells otherwise."""
    told = [
        ("recalled", "24 like it were recalled: mean +35 bps"),
        ("signal", "momentum_breakout on BONK: breakout over 48 bars"),
        ("order", "approved, within 20 limits: buy 0.31 SOL of BONK"),
        ("fill", "buy filled: 1234567 BONK for 0.31 SOL"),
        ("outcome", "closed with 0.02 SOL (640 bps): take profit"),
    ]
    steps = [
        {"step": step, "ts": START.isoformat(), "text": text, "order_id": None, "figures": {}} for step, text in told
    ]
    names = {"order_id": "ord-1", "trajectory_id": "trade-bonk", "money": "paper"}
    return why() | names | {"chain": [*steps, *extra]}


def trajectory(number: int, **changes: Any) -> Document:
    opened = START + timedelta(minutes=4 * number)
    reward = (number % 5 - 2) * 7_300_000
    values: dict[str, Any] = {
        "id": f"trade-{number}",
        "namespace": "trading",
        "kind": "trade",
        "title": f"Buy {('BONK', 'WIF', 'POPCAT')[number % 3]}: breakout over 48 bars",
        "agent": "xavier",
        "opened_at": opened,
        "closed_at": opened + timedelta(minutes=35),
        "outcome": "win" if reward > 0 else "loss" if reward < 0 else "flat",
        "reward": reward,
        "reward_unit": "lamports",
        "metadata": {},
        "steps": [
            TrajectoryStep(
                id=f"step-{number}-{kind}",
                seq=number,
                kind=kind,
                ts=opened,
                content=f"{kind} of trade {number}",
                metadata={},
            )
            for kind in ("signal", "verdict", "order", "fill", "outcome")
        ],
        "steps_total": 5,
        "url": f"/trajectories/trade-{number}",
    }
    return TrajectoryDocument.model_validate(values | changes).model_dump(mode="json")


def night(text: str = "A gap: nothing was seen for 30300 s. Positions: 1 to exit.") -> Document:
    """A night with a gap, a loss and a desk that waits."""
    return NightReport(
        money="paper",
        feed=feed(),
        since=START - timedelta(hours=9),
        until=START,
        equity_before=amount(2_100_000_000),
        equity=amount(2_050_000_000),
        closed=3,
        wins=1,
        realised=amount(-50_000_000),
        trades=[],
        denials={"after_gap": 4, "cooldown_s": 2},
        happenings=[Happening(ts=START - timedelta(hours=3), kind="gap_seen", text=text)],
        is_cut=False,
        waiting=[
            WaitingItem(
                id="desk",
                what="the desk is HALTED",
                evidence=["state HALTED: drawdown"],
                answers=["memmcp-trade resume --reason 'the cause, and why it is over'"],
            )
        ],
    ).model_dump(mode="json")


def digest(*strategies: dict[str, Any], **more: Any) -> dict[str, Any]:
    """How strategies did in a range, as GET /strategies/digest says it: here of the whole run."""
    times = {"since": "1970-01-01T00:00:00+00:00", "until": "2026-11-22T09:00:00+00:00"}
    return {"window": "all", **times, "strategies": list(strategies)} | more


def why(**more: Any) -> dict[str, Any]:
    """Why nothing happened, as GET /why says it without being asked about a trade."""
    funnel = {
        "since": "2026-11-21T09:00:00Z",
        "until": "2026-11-22T09:00:00Z",
        "is_cut": False,
        "seen": 12,
        "eligible": 9,
        "passed_over": {"pool_too_small": 3},
        "forecast": 6,
        "signalled": 4,
        "sized": 3,
        "approved": 1,
        "filled": 1,
        "rejected": 0,
        "exits": 0,
        "denied": {"exposure_bps_max": 2},
        "newest_price": {"ts": "2026-11-22T08:59:00Z", "age_s": 60},
    }
    return {"summary": "Of 12 tokens one was bought.", "chain": [], "funnel": funnel | more, "nearest_miss": None}
