"""Cash that moves between buckets by the profile's policy: once a day, and when the strategies change."""

from collections.abc import Sequence
from decimal import Decimal

import pytest
from tests.doubles.kernel_bench import KernelBench, fingerprint, levels_of, profile
from tests.doubles.scripted_market import MINT, ScriptedFeed, script

from trading.engine.treasury import DAY_POLICY, SWITCH_POLICY
from trading.model import commands, events
from trading.model.account import Level
from trading.model.bucket_rules import BucketRules
from trading.model.market_data import MarketEvent
from trading.model.order import Side
from trading.model.profile import Profile, StrategyChoice
from trading.model.profile_content import content_of

SOL = 10**9
DAYS = 3
CYCLES = DAYS * 288


def halves(band_bps: int, names: Sequence[str] = ("momentum_breakout", "mean_reversion"), **limits: int) -> Profile:
    choices = tuple(StrategyChoice(name=name, weight_bps=10_000 // len(names)) for name in names)
    rules = profile(slippage_bps_max=10_000, **limits)
    return rules.model_copy(update={"strategies": choices, "buckets": BucketRules(band_bps=band_bps)})


def cash(bench: KernelBench) -> dict[str, int]:
    return {name: bucket.cash_lamports for name, bucket in bench.kernel.state.ledger.buckets.items()}


def market() -> list[MarketEvent]:
    return script([Decimal(1)] * CYCLES)


def moved(bench: KernelBench) -> list[tuple[str, str, int, str]]:
    return [
        (each.from_bucket, each.to_bucket, each.lamports, each.reason) for each in bench.events(events.CapitalMoved)
    ]


def begun(rules: Profile) -> KernelBench:
    """Return a desk in whose first bucket there are 7 SOL and in the second 3, after the first cycle."""
    bench = KernelBench(rules=rules)
    bench.feed(market()[:3])
    given = commands.MoveCapital("m", "o", "by hand", "mean_reversion", "momentum_breakout", 2 * SOL)
    assert bench.control.take(given).denied is None
    return bench


@pytest.mark.requirement("T8")
def test_shares_beyond_their_band_are_made_as_they_should_be_at_the_first_cycle_of_a_day() -> None:
    bench = begun(halves(1_000))
    bench.feed(market()[3:])
    assert moved(bench)[1:] == [("momentum_breakout", "mean_reversion", 2 * SOL, DAY_POLICY)]
    assert set(cash(bench).values()) == {5 * SOL}
    [_, by_policy] = bench.events(events.CapitalMoved)
    assert by_policy.ts_ns % (86_400 * SOL) < 300 * SOL
    assert fingerprint(bench.restored(ScriptedFeed(market())).kernel) == fingerprint(bench.kernel)


@pytest.mark.parametrize("band_bps", [2_000, 10_000])
def test_profit_stays_where_it_was_made_within_the_band_and_without_one(band_bps: int) -> None:
    bench = begun(halves(band_bps))
    bench.feed(market()[3:])
    assert len(moved(bench)) == 1


@pytest.mark.requirement("T8")
def test_a_bucket_that_may_buy_nothing_gets_nothing() -> None:
    bench = begun(halves(1_000))
    bench.control.take(commands.ReduceOnly("r", "o", "too many losses", "bucket:mean_reversion"))
    bench.feed(market()[3:])
    assert len(moved(bench)) == 1


def switched(bench: KernelBench, rules: Profile, key: str = "s") -> None:
    after = rules.model_copy(update={"name": "other"})
    assert bench.control.take(commands.SwitchProfile(key, "o", "why", "other", content_of(after))).denied is None
    bench.kernel.state.ledger.verify()


@pytest.mark.requirement("T2")
def test_the_strategies_of_another_profile_get_their_shares_of_the_cash_and_the_others_of_what_is_sold_later() -> None:
    bench = begun(halves(10_000))
    order = commands.PlaceOrder("k", "o", "x", Side.BUY, MINT, "mean_reversion", "mean_reversion", SOL, 1)
    assert bench.control.take(order).denied is None
    bench.feed(market()[3:5])
    switched(bench, halves(10_000, ("momentum_breakout", "trend_following")))
    free = cash(bench)
    assert free["mean_reversion"] == 0
    assert free["momentum_breakout"] == pytest.approx(5 * SOL, rel=0.01)
    assert free["trend_following"] == pytest.approx(4 * SOL, rel=0.01)
    assert {each[3] for each in moved(bench)[1:]} == {SWITCH_POLICY}
    bench.control.take(commands.ClosePosition("c", "o", "sell", MINT, 100))
    bench.feed(market()[5:])
    assert cash(bench)["mean_reversion"] == 0
    assert cash(bench)["trend_following"] == pytest.approx(5 * SOL, rel=0.01)
    assert {each[3] for each in moved(bench)[-1:]} == {DAY_POLICY}
    assert bench.kernel.state.ledger.cash_lamports == sum(cash(bench).values())


def test_a_profile_whose_strategies_share_as_before_moves_nothing_and_neither_does_a_persons_own_bucket() -> None:
    bench = begun(halves(10_000))
    bench.control.take(commands.MoveCapital("h", "o", "mine", "momentum_breakout", "manual", SOL))
    switched(bench, halves(10_000, order_bps_max=1_000))
    assert len(moved(bench)) == 2
    switched(bench, halves(10_000, ("trend_following",)), key="s2")
    assert cash(bench) == {
        "momentum_breakout": 0,
        "mean_reversion": 0,
        "manual": SOL,
        "trend_following": 9 * SOL,
    }
    switched(bench, halves(10_000), key="s3")
    assert cash(bench)["momentum_breakout"] == cash(bench)["mean_reversion"] == 4_500_000_000


def test_moves_change_neither_return_nor_drawdown_nor_any_level() -> None:
    bench = begun(halves(1_000))
    state = bench.kernel.state
    before = (state.curve.time_weighted_return_bps, state.guard.total_drawdown_bps, state.trading_state, state.tier)
    bench.feed(market()[3:])
    after = (state.curve.time_weighted_return_bps, state.guard.total_drawdown_bps, state.trading_state, state.tier)
    assert after == before
    assert bench.events(events.LevelStateChanged) == bench.events(events.TradingStateChanged) == []


@pytest.mark.requirement("T8")
def test_the_levels_of_a_desk_whose_shares_were_made_anew_come_back_as_they_were() -> None:
    prices = [Decimal(1), Decimal(1), *(1 - Decimal(number) / 50_000 for number in range(CYCLES - 2))]
    events_of_market = script(prices)
    rules = halves(100)
    patient = rules.exits.model_copy(update={"holding_s_max": 10 * 86_400})
    bench = KernelBench(rules=rules.model_copy(update={"exits": patient}))
    bench.feed(events_of_market[:3])
    own = "momentum_breakout"
    bought = commands.PlaceOrder("b", "o", "by hand", Side.BUY, MINT, own, own, SOL, 0)
    given = commands.MoveCapital("m", "o", "by hand", "mean_reversion", own, 2 * SOL)
    for command in (bought, given):
        assert bench.control.take(command).denied is None
    bench.feed(events_of_market[3:])
    assert DAY_POLICY in [reason for *_, reason in moved(bench)]
    assert bench.kernel.state.ledger.holdings
    assert fingerprint(bench.restored(ScriptedFeed(events_of_market)).kernel) == fingerprint(bench.kernel)


@pytest.mark.requirement("T8")
def test_a_level_that_began_after_a_cycle_is_marked_before_money_moves_and_comes_back_as_it_was() -> None:
    events_of_market = script([Decimal(1), Decimal("1.05"), Decimal("1.05"), Decimal("1.05"), Decimal(1)])
    bench = KernelBench(rules=halves(10_000))
    bench.feed(events_of_market[:3])
    # What the hand holds in another strategy's bucket counts for the hand, once it has a bucket of its own.
    lent = commands.PlaceOrder("b", "o", "by hand", Side.BUY, MINT, "momentum_breakout", "manual", SOL // 10, 0)
    assert bench.control.take(lent).denied is None
    bench.feed(events_of_market[3:7])
    own = commands.MoveCapital("m", "o", "by hand", "mean_reversion", "manual", SOL)
    gone = commands.Withdraw("w", "o", "by hand", 1)
    for command in (own, gone):
        assert bench.control.take(command).denied is None
    assert levels_of(bench.kernel)[Level.STRATEGY, "manual"][2] != SOL
    assert fingerprint(bench.restored(ScriptedFeed(events_of_market)).kernel) == fingerprint(bench.kernel)
