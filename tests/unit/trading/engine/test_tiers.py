"""What a tier does to a running desk: who may enter, how much, and when it changes."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import pytest
from tests.doubles.kernel_bench import KernelBench, fingerprint, profile
from tests.doubles.scripted_market import MINT, ScriptedFeed, script
from tests.support.trading import make_signal

from memmcp_server.wire.trading import TierView
from trading.model import commands, events
from trading.model.account import Level, TrackRecord
from trading.model.order import Side
from trading.model.profile import FOUNDATION, ExitRules, Profile, StrategyChoice
from trading.model.tier import TIERS
from trading.risk.sizing import Sized, SizingView, kelly_fraction_bps, size
from trading.runtime import views
from trading.strategies.registry import STRATEGIES, module_of

SOL = 10**9


def unbound(strategy: str = "momentum_breakout") -> Profile:
    """Return a profile under which equity can go where the market takes it."""
    wanted = profile(
        order_bps_max=9_000,
        token_exposure_bps_max=9_500,
        total_exposure_bps_max=9_500,
        gap_token_bps_max=10_000,
        gap_joint_bps_max=10_000,
        cvar_bps_max=10_000,
        protections=(),
        **{f"{level}_drawdown_{state}_bps": 10_000 for level in Level for state in ("reducing", "halted")},
        drawdown_reducing_bps=10_000,
        drawdown_halted_bps=10_000,
        day_loss_bps_max=10_000,
        slippage_bps_max=10_000,
        impact_bps_max=10_000,
    )
    off = ExitRules(
        stop_loss_bps=0, trailing_stop_bps=0, trailing_arm_bps=0, take_profit_bps=0, holding_s_max=365 * 86_400
    )
    choices = (StrategyChoice(name=strategy, weight_bps=10_000),)
    return wanted.model_copy(update={"exits": off, "strategies": choices})


def invested(prices: Sequence[str], *, equity: int = 19 * SOL) -> KernelBench:
    """Return a desk that put nearly everything into one token at the price 1, after these closes."""
    bench = KernelBench(rules=unbound(), equity=equity)
    bench.feed(script([Decimal(1)]))
    order = commands.PlaceOrder("k", "o", "all in", Side.BUY, MINT, "manual", "manual", equity * 8 // 10, 1)
    assert bench.control.take(order).denied is None
    return bench.feed(script([Decimal(1), *map(Decimal, prices)])[3:])


def tiers(bench: KernelBench) -> list[tuple[str, str]]:
    return [(event.before, event.after) for event in bench.events(events.TierChanged)]


ACROSS = ["1.05", "1.10", "1.05", "1.12", "0.98", "1.10", "0.95", "0.80", "0.85", "0.95", "0.90"]
UP_AND_DOWN = [("foundation", "acceleration"), ("acceleration", "foundation")]


@pytest.mark.requirement("T3")
def test_a_run_across_20_sol_up_and_down_changes_its_tier_once_each_way() -> None:
    bench = invested(ACROSS)
    assert tiers(bench) == UP_AND_DOWN
    changed = bench.events(events.TierChanged)
    assert changed[0].equity_lamports >= 20 * SOL
    assert changed[1].equity_lamports < 18 * SOL
    assert bench.kernel.state.tier is TIERS[0]
    feed = ScriptedFeed(script([Decimal(1), *map(Decimal, ACROSS)]))
    assert fingerprint(bench.restored(feed).kernel) == fingerprint(bench.kernel)


@pytest.mark.requirement("T20")
def test_a_deposit_jumps_no_tier_and_growth_after_it_does() -> None:
    prices = [Decimal(1)] * 4 + [Decimal("1.10")]
    bench = KernelBench(rules=unbound(), equity=19 * SOL)
    market = script(prices)
    bench.feed(market[:3])
    order = commands.PlaceOrder("k", "o", "all in", Side.BUY, MINT, "manual", "manual", 15 * SOL, 1)
    assert bench.control.take(order).denied is None
    bench.feed(market[3:5])
    assert bench.control.take(commands.Deposit("d", "o", "in", 5 * SOL)).denied is None
    bench.feed(market[5:9])
    assert bench.kernel.state.equity_lamports > 20 * SOL
    assert tiers(bench) == []
    bench.feed(market[9:])
    assert tiers(bench) == UP_AND_DOWN[:1]


@pytest.mark.requirement("T3")
def test_a_strategy_whose_module_is_not_in_the_tier_makes_no_entries() -> None:
    bench = KernelBench(lambda bar: 1.0, rules=unbound("lead_lag"), equity=10 * SOL)
    bench.feed(script([Decimal(1)] * 3))
    assert bench.events(events.OrderApproved) == []
    passed = bench.events(events.SignalPassed)
    assert {each.denied.reason for each in passed} == {"module_not_in_tier"}
    assert passed[0].denied.message == ("lead_lag is of the module lead-lag, which does not enter in tier foundation")
    assert bench.kernel.state.denials["module_not_in_tier"] == len(passed) == 3
    [shown] = views.strategies(bench.kernel)
    assert (shown["enabled"], shown["in_tier"]) == (True, False)


def test_a_tier_above_lets_it_enter() -> None:
    bench = KernelBench(lambda bar: 1.0, rules=unbound("lead_lag"), equity=30 * SOL)
    bench.feed(script([Decimal(1)] * 3))
    assert len(bench.events(events.OrderApproved)) >= 1
    [shown] = views.strategies(bench.kernel)
    assert shown["in_tier"]


def test_every_strategy_is_of_a_module_that_some_tier_admits_and_orders_by_hand_are_of_none() -> None:
    for name in STRATEGIES:
        assert any(tier.admits(module_of(name)) for tier in TIERS), name
    assert module_of("manual") == ""
    assert all(tier.admits("") for tier in TIERS)


@pytest.mark.requirement("T3")
def test_the_tier_scales_the_fraction_of_kelly() -> None:
    rules = FOUNDATION.sizing.model_copy(update={"volatility_target_bps": 10_000, "probe_bps": 0})
    view = SizingView(2 * SOL, 2 * SOL, 2_000_000 * SOL, 25, 50_000, 10_000, 50)
    record = TrackRecord(400, 215, 400, 400)
    sizes = [size(make_signal(), record, view, rules, tier) for tier in TIERS]
    assert [each.bound_by for each in sizes if isinstance(each, Sized)] == ["kelly"] * 3
    lamports = [each.lamports for each in sizes if isinstance(each, Sized)]
    assert lamports[0] == lamports[1] > lamports[2]
    assert lamports[2] / lamports[0] == pytest.approx(0.8, rel=1e-4)
    assert [kelly_fraction_bps(FOUNDATION.sizing, tier) for tier in TIERS] == [5_000, 5_000, 4_000]
    half = replace(TIERS[0], kelly_scale_bps=5_000)
    assert kelly_fraction_bps(FOUNDATION.sizing, half) == 2_500


def test_the_tier_as_it_is_shown_counts_the_pools_that_are_deep_enough() -> None:
    bench = KernelBench(rules=unbound(), equity=30 * SOL)
    bench.feed(script([Decimal(1)], depth_sol=100))
    shown = views.tier(bench.kernel)
    assert (shown["name"], shown["pools"], shown["pools_admitted"]) == ("acceleration", 1, 0)
    assert shown["left_below"]["lamports"] == 18 * SOL
    assert (shown["next_tier"], shown["next_tier_at"]["lamports"]) == ("institutional", 2_000 * SOL)
    assert TierView.model_validate(shown).name == "acceleration"
    assert (shown["wallets_max"], shown["barred_modules"], shown["kelly_fraction_bps"]) == (4, [], 5_000)
