"""A desk whose rules bind nothing but sizes and exits: what a kernel does, the full engine does under it."""

from collections.abc import Mapping
from typing import Final

from trading.adapters.canonical import parse_json
from trading.evolution.kernels import Market, Terms
from trading.feeds.replay import ReplayFeed
from trading.model.event_codec import decode
from trading.model.events import OrderApproved, OrderFilled
from trading.model.market_data import Bar, TokenListed
from trading.model.order import Side
from trading.model.profile import ExitRules, FeeRules, Limits, Profile, SizingRules, StrategyChoice
from trading.ports import Journal
from trading.strategies.parameters import Value

EQUITY_LAMPORTS: Final = 100 * 10**9
"""Enough for every module, and for orders that dwarf what the network takes."""
EXITS: Final = ExitRules(
    stop_loss_bps=1_000,
    trailing_stop_bps=1_500,
    trailing_arm_bps=500,
    take_profit_bps=4_000,
    holding_s_max=14 * 86_400,
)
Trades = set[tuple[str, int, bool]]
"""Mint, time of the fill in ns, and whether it bought."""


def profile(strategy: str, values: Mapping[str, Value]) -> Profile:
    """Return rules under which one strategy puts a tenth of equity, times its strength, on every entry."""
    return Profile(
        name="alone",
        title="Limits that never bind, a tenth of equity a trade.",
        limits=Limits(
            order_bps_max=10_000,
            token_exposure_bps_max=10_000,
            total_exposure_bps_max=10_000,
            positions_max=1_000,
            impact_bps_max=10_000,
            slippage_bps_max=10_000,
            priority_fee_lamports_max=0,
            fee_position_bps_max=10_000,
            exit_reserve_lamports=10_000,
            edge_over_cost_bps_min=-10_000,
            day_loss_bps_max=10_000,
            drawdown_reducing_bps=10_000,
            drawdown_halted_bps=10_000,
            reducing_s=0,
            cooldown_s=0,
            reentry_s=0,
            data_age_s_max=86_400,
        ),
        sizing=SizingRules(
            kelly_fraction_bps=0,
            trades_min=1_000,
            probe_bps=1_000,
            volatility_target_bps=10_000,
            order_lamports_min=1_000_000,
        ),
        exits=EXITS,
        fees=FeeRules(priority_micro_lamports_per_cu=0, compute_units_max=200_000, exit_slippage_bps_max=10_000),
        strategies=(StrategyChoice(name=strategy, weight_bps=10_000, parameters=dict(values)),),
    )


def market_of(feed: ReplayFeed) -> Market:
    """Return a feed's bars on the terms of that desk; all its pools have the same fee and depth."""
    bars: dict[str, list[Bar]] = {}
    pools: set[tuple[int, int]] = set()
    for event in feed.events():
        if isinstance(event, Bar):
            bars.setdefault(event.mint, []).append(event)
        elif isinstance(event, TokenListed):
            pools.add((event.instrument.pool_fee_bps, event.instrument.pool_lamports_default))
    ((fee_bps, pool_lamports),) = pools
    return Market.of(bars, Terms.of(profile("sma_cross", {}), fee_bps, EQUITY_LAMPORTS, pool_lamports))


def trades_of(journal: Journal) -> Trades:
    """Return what filled in a run of the engine."""
    found: Trades = set()
    mints: dict[str, str] = {}
    for row in journal.rows(kinds=("order_approved", "order_filled")):
        event = decode(row.kind, parse_json(row.body))
        if isinstance(event, OrderApproved):
            mints[event.order.id] = event.order.mint
        elif isinstance(event, OrderFilled):
            found.add((mints[event.fill.order_id], event.fill.ts_ns, event.fill.side is Side.BUY))
    return found
