"""The task by which engines are compared: a moving-average crossover on a random walk of one-minute bars, one whole
token a trade, fee on the quote, next open. It is the walk, bar by bar, that published figures of the peers rest on."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import numpy as np

from trading.feeds.replay import ReplayFeed, ReplaySummary
from trading.model.instrument import Instrument
from trading.model.market_data import Bar, CycleEnd, FeedDescription, MarketEvent, TokenListed
from trading.model.profile import ExitRules, FeeRules, Limits, Profile, SizingRules, StrategyChoice

MINT: Final = "sim:WALK"
DECIMALS: Final = 6
ONE_TOKEN: Final = 10**DECIMALS
FEE_BPS: Final = 10
FAST, SLOW = 10, 50
BARS: Final = 500_000
BARS_START_NS: Final = 1_699_999_980 * 10**9
MINUTE_NS: Final = 60 * 10**9
EQUITY_LAMPORTS: Final = 10**13
"""Ten thousand SOL: enough for one token at any time."""
DEPTH_LAMPORTS: Final = 9 * 10**18
"""So deep that a purchase of one token pays an impact of two parts in a thousand million; the peers know none."""
PRICE_SCALE: Final = Decimal("0.001")
"""A unit of the walk's price is a thousandth of a SOL."""


@dataclass(frozen=True)
class Walk:
    """Open, high, low and close of each bar, rounded to 0.01: numpy arrays of float64."""

    opens: Any
    highs: Any
    lows: Any
    closes: Any

    def cut(self, bars: int) -> "Walk":
        return Walk(self.opens[:bars], self.highs[:bars], self.lows[:bars], self.closes[:bars])


def walk(bars: int = BARS, seed: int = 42) -> Walk:
    """Return a geometric Brownian motion without drift: 5 bp a minute in eight steps, gaps of 1 bp before each open."""
    chance = np.random.default_rng(seed)
    step = 5e-4 / np.sqrt(8)
    moves = chance.normal(0, step, (bars, 8))
    gaps = chance.normal(0, 1e-4, bars)
    inside = np.exp(np.cumsum((moves - 0.5 * step**2).ravel()).reshape(bars, 8) + np.log(20_000.0))
    opens = np.concatenate([[20_000.0], inside[:-1, -1]]) * np.exp(gaps)
    highs, lows = np.maximum(inside.max(1), opens), np.minimum(inside.min(1), opens)
    return Walk(*(np.round(each, 2) for each in (opens, highs, lows, inside[:, -1])))


def bars_of(prices: Walk) -> Iterator[Bar]:
    for number in range(len(prices.closes)):
        ts_ns = BARS_START_NS + number * MINUTE_NS
        quoted = (prices.opens, prices.highs, prices.lows, prices.closes)
        opened, high, low, close = (Decimal(f"{column[number]:.2f}") * PRICE_SCALE for column in quoted)
        name = f"walk:{number + 1}"
        yield Bar(MINT, ts_ns, ts_ns + MINUTE_NS, opened, high, low, close, Decimal(1), None, None, name)


def feed_of(prices: Walk) -> ReplayFeed:
    """Return the walk as a recorded feed of one token, in SOL."""
    groups: dict[int, list[MarketEvent]] = {}
    instrument = Instrument(MINT, "WALK", DECIMALS, FEE_BPS, DEPTH_LAMPORTS)
    for bar in bars_of(prices):
        listed = [] if groups else [TokenListed(bar.ts_close_ns, instrument, bar.source)]
        groups[bar.ts_close_ns] = [*listed, bar]
    cycles = [CycleEnd(ts_ns, None) for ts_ns in groups]
    description = FeedDescription("replay", f"a random walk of {len(cycles)} bars", 60, (("walk", "00"),))
    return ReplayFeed(groups, cycles, description, ReplaySummary(bars=len(cycles)))


def profile() -> Profile:
    """Return rules that are all asked at every order and bind none, with one whole token a trade."""
    return Profile(
        name="yardstick",
        title="Limits that never bind, one whole token a trade.",
        limits=Limits(
            order_bps_max=10_000,
            token_exposure_bps_max=10_000,
            total_exposure_bps_max=10_000,
            positions_max=10,
            impact_bps_max=100,
            slippage_bps_max=100,
            priority_fee_lamports_max=0,
            fee_position_bps_max=50,
            exit_reserve_lamports=10_000,
            edge_over_cost_bps_min=0,
            day_loss_bps_max=10_000,
            drawdown_reducing_bps=10_000,
            drawdown_halted_bps=10_000,
            reducing_s=0,
            cooldown_s=0,
            reentry_s=0,
            data_age_s_max=900,
        ),
        sizing=SizingRules(
            kelly_fraction_bps=5_000,
            trades_min=20,
            probe_bps=1_000,
            volatility_target_bps=10_000,
            order_lamports_min=1_000_000,
            base_units_fixed=ONE_TOKEN,
        ),
        exits=ExitRules(
            stop_loss_bps=0, trailing_stop_bps=0, trailing_arm_bps=0, take_profit_bps=0, holding_s_max=365 * 86_400
        ),
        fees=FeeRules(priority_micro_lamports_per_cu=0, compute_units_max=200_000, exit_slippage_bps_max=1_000),
        strategies=(
            StrategyChoice(
                name="sma_cross",
                weight_bps=10_000,
                parameters={"fast_bars": FAST, "slow_bars": SLOW, "edge_share": 10.0},
            ),
        ),
    )
