"""Orders, fills, bars and views for tests of the trading core: sound by default, each field can be given."""

import csv
import gzip
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from trading.model.account import TradingState
from trading.model.events import CapitalDeposited, OrderFilled, OrderRejected
from trading.model.market_data import Bar
from trading.model.order import Fill, Order, Purpose, Rejected, Side, Signal, SwapQuote
from trading.model.profile import FOUNDATION
from trading.model.tier import TIERS
from trading.model.units import LAMPORTS_PER_SOL, NS_PER_S
from trading.risk.views import AccountView, Bounds, TokenView

SOL = LAMPORTS_PER_SOL
MINT = "sim:BONK"
T0 = 1_704_067_200 * NS_PER_S
STEP = 300 * NS_PER_S
RENT = 2_039_280


def make_bar(n: int = 0, close: str = "0.001", **changes: Any) -> Bar:
    """Return the n-th five-minute bar; open, high and low follow the close unless given."""
    price = Decimal(close)
    bar = Bar(
        mint=MINT,
        ts_open_ns=T0 + n * STEP,
        ts_close_ns=T0 + (n + 1) * STEP,
        open=price,
        high=price,
        low=price,
        close=price,
        volume=Decimal(1_000),
        sol_usd=None,
        pool_lamports=None,
        source=f"test:{n}",
    )
    return replace(bar, **changes)


def make_order(**changes: Any) -> Order:
    order = Order(
        id="ord_1",
        trajectory_id="trj_1",
        ts_ns=T0,
        side=Side.BUY,
        purpose=Purpose.ENTRY,
        mint=MINT,
        strategy="momentum_breakout",
        bucket="momentum_breakout",
        amount_in=SOL // 5,
        min_out=0,
        priority_fee_lamports=20_000,
        reason="test",
    )
    return replace(order, **changes)


def make_exit(**changes: Any) -> Order:
    return make_order(side=Side.SELL, purpose=Purpose.EXIT, **changes)


def make_fill(order_id: str = "ord_1", **changes: Any) -> Fill:
    fill = Fill(
        order_id=order_id,
        ts_ns=T0,
        side=Side.BUY,
        mint=MINT,
        lamports=100_000_000,
        base_units=1_000_000,
        pool_fee_lamports=250_000,
        impact_lamports=50_000,
        network_fee_lamports=5_000,
        priority_fee_lamports=20_000,
        rent_lamports=0,
        slippage_bps=30,
    )
    return replace(fill, **changes)


def filled(fill: Fill, bucket: str = "a", strategy: str = "s", trajectory_id: str = "trj_1") -> OrderFilled:
    return OrderFilled(trajectory_id, strategy, bucket, fill)


def rejected(order_id: str, charged: int, bucket: str = "a") -> OrderRejected:
    return OrderRejected("trj_1", "s", bucket, Rejected(order_id, T0, "slippage", "test", charged))


def deposit(lamports: int, bucket: str = "a", key: str = "d1") -> CapitalDeposited:
    return CapitalDeposited(key, T0, bucket, lamports, "test")


def make_signal(**changes: Any) -> Signal:
    signal = Signal(
        strategy="momentum_breakout",
        mint=MINT,
        ts_ns=T0,
        strength=1.0,
        edge_bps=300,
        horizon_s=3_600,
        reason="test",
        evidence={"volatility_day_bps": 600},
    )
    return replace(signal, **changes)


def make_quote(**changes: Any) -> SwapQuote:
    quote = SwapQuote(
        mint=MINT,
        side=Side.BUY,
        amount_in=SOL // 5,
        amount_out=1_000_000,
        pool_fee_lamports=500_000,
        impact_lamports=20_000,
        network_fee_lamports=5_000,
        rent_lamports=RENT,
        price_impact_bps=1,
        ts_ns=T0,
    )
    return replace(quote, **changes)


def make_account(**changes: Any) -> AccountView:
    account = AccountView(
        now_ns=T0,
        state=TradingState.ACTIVE,
        entries_allowed=True,
        equity_lamports=2 * SOL,
        cash_lamports=2 * SOL,
        exposure_lamports=0,
        tokens_held=0,
        drawdown_bps=0,
        total_drawdown_bps=0,
        day_loss_bps=0,
    )
    return replace(account, **changes)


def make_token(**changes: Any) -> TokenView:
    token = TokenView(
        mint=MINT,
        decimals=5,
        mark_sol=Decimal("0.001"),
        data_age_ns=0,
        quote=make_quote(),
        pool_lamports=2_000 * SOL,
        exposure_lamports=0,
        holding=None,
        losing_exit=None,
        open_orders=0,
        bucket_cash_lamports=SOL,
        sellable_base_units=0,
        rent_lamports=RENT,
        edge_bps=300,
    )
    return replace(token, **changes)


def make_bounds(tier: int = 0, **limits: Any) -> Bounds:
    return Bounds(FOUNDATION.limits.model_copy(update=limits), TIERS[tier])


def recorded_bars(market_dir: Path, symbol: str, count: int) -> Sequence[Bar]:
    """Return the first ``count`` recorded five-minute bars of a token, quoted in SOL."""
    token = _rows(market_dir / "ohlcv_5m" / f"{symbol}USDT_5m.csv.gz", count, 2**63)
    sol = _rows(market_dir / "ohlcv_5m" / "SOLUSDT_5m.csv.gz", 2**63, max(token))
    bars = []
    for ts in sorted(sol.keys() & token.keys()):
        row, usd = token[ts], Decimal(sol[ts]["close"])
        prices = {name: Decimal(row[name]) / usd for name in ("open", "high", "low", "close")}
        bars.append(
            Bar(
                mint=f"sim:{symbol}",
                ts_open_ns=ts * NS_PER_S,
                ts_close_ns=ts * NS_PER_S + STEP,
                **prices,
                volume=Decimal(row["volume"]),
                sol_usd=usd,
                pool_lamports=None,
                source=f"{symbol}:{ts}",
            )
        )
    return bars


def _rows(path: Path, count: int, ts_max: int) -> dict[int, dict[str, str]]:
    rows: dict[int, dict[str, str]] = {}
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if len(rows) == count or int(row["ts"]) > ts_max:
                break
            rows[int(row["ts"])] = row
    return rows
