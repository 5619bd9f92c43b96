"""The exposure map adds up: whichever way the money is looked at, it is the account's exposure."""

from collections import deque
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.doubles.kernel_bench import KernelBench, profile
from tests.doubles.scripted_market import MINT, merged, script
from tests.support.trading import SOL

from trading.engine.exposures import exposures
from trading.model import commands
from trading.model.market_data import Bar, CycleEnd, MarketEvent
from trading.model.order import Side
from trading.model.tier import TIERS, admitted_by
from trading.risk.exposure import UNKNOWN, Exposed, exposure_map, groups, move_together, split_exactly
from trading.risk.returns import ReturnBook
from trading.runtime.views import exposure

pytestmark = pytest.mark.requirement("T7")

OTHER = "sim:BBB"
names = st.sampled_from(["a", "b", "c"])
WAYS = ("by_token", "by_strategy", "by_bucket", "by_tier", "by_group")


@given(st.lists(st.builds(Exposed, names, names, names, names, st.integers(0, 10**15)), max_size=20))
def test_every_way_of_looking_adds_up_to_the_same(parts: list[Exposed]) -> None:
    found = exposure_map(parts, {"a": "g", "b": "g", "c": "h"})
    assert found.total_lamports == sum(part.lamports for part in parts)
    for way in WAYS:
        assert sum(getattr(found, way).values()) == found.total_lamports
        assert list(getattr(found, way).values()) == sorted(getattr(found, way).values(), reverse=True)
    assert found.by_group.get("h", 0) == found.by_token.get("c", 0)


@given(st.integers(0, 10**15), st.lists(st.integers(1, 10**12), min_size=1, max_size=8))
def test_a_split_loses_nothing_and_is_fair_to_a_lamport(lamports: int, weights: list[int]) -> None:
    found = split_exactly(lamports, weights)
    assert sum(found) == lamports
    for part, weight in zip(found, weights, strict=True):
        assert abs(part - Fraction(lamports * weight, sum(weights))) < 1


def book(**rows: list[int]) -> ReturnBook:
    made = ReturnBook()
    made._returns = {mint: deque(row) for mint, row in rows.items()}
    return made


def test_tokens_that_move_together_are_one_group_also_through_a_third() -> None:
    swing = [1_000 * (-1) ** number for number in range(48)]
    drift = [1_000 * (-1) ** (number // 2) for number in range(48)]
    between = [a + b for a, b in zip(swing, drift, strict=True)]
    found = book(a=swing, b=drift, c=between, d=[-each for each in swing], e=swing[:47])
    assert move_together(swing, between)
    assert not move_together(swing, drift)
    assert groups(found, ["a", "b", "d", "e"]) == {"a": "a", "b": "b", "d": "d", "e": UNKNOWN}
    assert groups(found, ["d", "b", "c", "a"]) == {"d": "d", "b": "b", "c": "b", "a": "b"}
    assert groups(found, ["x", "y"]) == {"x": UNKNOWN, "y": UNKNOWN}


def test_a_token_that_never_moved_is_in_no_group_with_others() -> None:
    assert not move_together([0] * 48, [5, -5] * 24)


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(-(10**5), 10**5), st.integers(-(10**5), 10**5)), min_size=3, max_size=40))
def test_the_correlation_is_pearsons(pairs: list[tuple[int, int]]) -> None:
    from statistics import StatisticsError, correlation

    one, other = [a for a, _ in pairs], [b for _, b in pairs]
    try:
        exact = correlation(one, other)
    except StatisticsError:
        assert not move_together(one, other)
        return
    if abs(exact - 0.7) > 1e-9:
        assert move_together(one, other) is (exact > 0.7)


def test_a_pool_is_deep_enough_for_the_largest_tier_that_admits_it() -> None:
    assert admitted_by(20 * SOL - 1) is None
    assert admitted_by(20 * SOL) is TIERS[0]
    assert admitted_by(2_000 * SOL - 1) is TIERS[1]
    assert admitted_by(10**15) is TIERS[2]


def markets() -> st.SearchStrategy[list[MarketEvent]]:
    moves = st.lists(st.integers(-300, 320), min_size=8, max_size=20)

    def walk(jumps: list[int]) -> list[str]:
        price, found = Decimal(1), []
        for jump in jumps:
            price = (price * (10_000 + jump) / 10_000).quantize(Decimal("0.000001"))
            found.append(str(price))
        return found

    return st.builds(
        lambda one, two: merged(script(walk(one)), script(walk(two), mint=OTHER, depth_sol=150)), moves, moves
    )


@settings(max_examples=30, deadline=None)
@given(markets(), st.sets(st.integers(1, 20), max_size=6))
def test_at_every_cycle_the_map_is_the_accounts_exposure_to_the_lamport(
    market: list[MarketEvent], hand: set[int]
) -> None:
    """A person buys the same tokens in a bucket of their own, so that one token is in two."""
    rules = profile(edge_over_cost_bps_min=0, cvar_bps_max=10_000, protections=())
    bench = KernelBench(lambda bar: 1.0 if isinstance(bar, Bar) else None, rules=rules)
    for event in market:
        bench.feed([event])
        if not isinstance(event, CycleEnd):
            continue
        kernel = bench.kernel
        if kernel.cycles in hand:
            bench.control.take(
                commands.PlaceOrder(f"{kernel.cycles}", "o", "mine", Side.BUY, MINT, "manual", "manual", SOL // 10, 0)
            )
        valuation = kernel.valuer.value()
        found = exposures(kernel.state, kernel.venue, valuation)
        assert found.total_lamports == kernel.valuer.account(valuation).exposure_lamports
        for way in WAYS:
            assert sum(getattr(found, way).values()) == found.total_lamports
        shown = exposure(kernel, valuation)
        assert {way: [each["lamports"] for each in shown[way]] for way in WAYS} == {
            way: list(getattr(found, way).values()) for way in WAYS
        }


def test_the_map_names_what_people_know() -> None:
    bench = KernelBench(lambda _: 1.0, rules=profile(edge_over_cost_bps_min=0))
    bench.feed(script(["1", "1", "1"], depth_sol=150))
    shown = exposure(bench.kernel, bench.kernel.valuer.value())
    assert [(each["name"], each["label"]) for each in shown["by_token"]] == [(MINT, "AAA")]
    assert [each["label"] for each in shown["by_strategy"]] == ["momentum_breakout"]
    assert [each["label"] for each in shown["by_tier"]] == ["foundation"]
    assert [each["label"] for each in shown["by_group"]] == [UNKNOWN]
    assert 0 < shown["by_token"][0]["share_bps"] < 10_000
