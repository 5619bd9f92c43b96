"""Kernels under a desk's own fees, impact and exits, against the full engine: the same trades, and the same return."""

import math
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from random import Random

import numpy as np
import pytest
from tests.support import alone
from tests.support.trading import STEP, T0, make_bar

from trading.evolution.kernels import Market, fills, screen
from trading.feeds.replay import ReplayFeed, ReplaySummary, open_replay
from trading.model.instrument import Instrument
from trading.model.market_data import CycleEnd, FeedDescription, MarketEvent, TokenListed
from trading.runtime.backtest import BacktestSpec, run_backtest
from trading.strategies.parameters import Value

DAY_NS = 86_400 * 10**9
CASES: Mapping[str, Mapping[str, Value]] = {
    "trend_following": {"fast_bars": 5, "slow_bars": 20, "range_bars": 10, "entry_ranges": 0.3, "stop_ranges": 4.0},
    "mean_reversion": {"mean_bars": 20, "trend_bars": 40, "entry_z": 1.2, "exit_z": 0.3, "strength_max": 60.0},
}
RECORDED: Mapping[str, Mapping[str, Value]] = {
    "volatility_breakout": {"range_bars": 8, "usual_bars": 72, "quiet_share": 1.1, "widening": 1.8, "hold_bars": 24},
}


def made_feed() -> ReplayFeed:
    """Return three tokens of 900 bars that rise and fall enough for every exit rule to have a say."""
    chance = Random(11)
    groups: dict[int, list[MarketEvent]] = {}
    for mint in "abc":
        price = 0.01
        for number in range(900):
            opened, price = price, price * math.exp(chance.gauss(0, 0.03))
            first, last = Decimal(f"{opened:.9f}"), Decimal(f"{price:.9f}")
            bar = make_bar(number, str(last), mint=mint, open=first, high=max(first, last), low=min(first, last))
            group = groups.setdefault(bar.ts_close_ns, [])
            if number == 0:
                group.append(TokenListed(bar.ts_close_ns, Instrument(mint, mint.upper(), 6), bar.source))
            group.append(bar)
    cycles = [CycleEnd(ts_ns, None) for ts_ns in sorted(groups)]
    description = FeedDescription("replay", "three walks", STEP // 10**9, (("walks", "00"),))
    return ReplayFeed(groups, cycles, description, ReplaySummary(bars=2_700, first_ns=T0))


def assert_alike(feed: ReplayFeed, market: Market, name: str, values: Mapping[str, Value]) -> None:
    result = run_backtest(
        BacktestSpec(
            feed, rules=alone.profile(name, values), equity_lamports=alone.EQUITY_LAMPORTS, target_lamports=10**15
        )
    )
    engine = alone.trades_of(result.journal)
    kernel = {(each.mint, each.ts_ns, each.is_buy) for each in fills(name, market, values)}
    assert len(engine) >= 40
    assert kernel == engine
    screened = screen(name, market, [values])
    made_bps = float(np.expm1(np.log1p(screened.returns[0]).sum())) * 1e4
    # The kernel takes the network's fee as a share of the usual order.
    assert made_bps == pytest.approx(result.document["return_bps"], abs=1.0 + 0.05 * len(engine))
    assert screened.max_drawdown[0] * 1e4 == pytest.approx(result.document["max_drawdown_bps"], abs=10.0)


@pytest.mark.requirement("T11")
def test_a_kernel_trades_what_the_engine_trades_under_its_exits() -> None:
    feed = made_feed()
    market = alone.market_of(feed)
    for name, values in CASES.items():
        assert_alike(feed, market, name, values)


@pytest.mark.market
@pytest.mark.requirement("T11")
def test_a_kernel_trades_what_the_engine_trades_on_recorded_bars(market_dir: Path) -> None:
    paths = [market_dir / "ohlcv_1h" / f"{symbol}USDT_1h.csv.gz" for symbol in ("SOL", "WIF", "RENDER")]
    whole = open_replay(paths)
    assert whole.summary.last_ns
    feed = whole.cut(whole.summary.last_ns - 150 * DAY_NS, whole.summary.last_ns)
    for name, values in RECORDED.items():
        assert_alike(feed, alone.market_of(feed), name, values)
