"""The risk budget: expected shortfall against its definition, the returns it rests on, what the gate makes of it."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.doubles.kernel_bench import KernelBench, fingerprint, profile
from tests.doubles.scripted_market import MINT, ScriptedFeed, merged, script
from tests.support.trading import SOL, make_account, make_bounds, make_order, make_token

from trading.engine import checkpoint
from trading.model import events
from trading.model.market_data import Bar
from trading.model.order import Approved, Denied
from trading.model.profile import FOUNDATION, Limits
from trading.risk.gate import Gate
from trading.risk.returns import MILLION, RETURNS_MAX, ReturnBook, over_horizon
from trading.risk.shortfall import (
    TailView,
    expected_shortfall,
    headroom_lamports,
    shortfall_bps,
    shortfall_lamports,
    tail_of,
)
from trading.runtime.views import limits

pytestmark = pytest.mark.requirement("T7")

HOUR = 3_600 * 10**9
OTHER = "sim:BBB"
losses = st.lists(st.integers(-(10**12), 10**12), min_size=1, max_size=60)
levels = st.integers(5_000, 9_990)


def rules(**changes: Any) -> Limits:
    return FOUNDATION.limits.model_copy(update={"cvar_bps_max": 1_000, "cvar_horizon_h": 1, **changes})


@settings(max_examples=300, deadline=None)
@given(losses, levels)
def test_the_shortfall_is_the_least_of_what_rockafellar_and_uryasev_minimise(found: list[int], level: int) -> None:
    tail = Fraction(10_000 - level, 10_000)
    over = [z + Fraction(sum(max(0, loss - z) for loss in found), len(found)) / tail for z in found]
    exact = min(over)
    assert exact <= expected_shortfall(found, level) < exact + 1  # rounded up to a whole unit


@given(losses, levels, st.integers(0, 10**6))
def test_the_shortfall_is_coherent(found: list[int], level: int, factor: int) -> None:
    one = expected_shortfall(found, level)
    assert min(found) <= one <= max(found)
    assert expected_shortfall([loss + 7 for loss in found], level) == one + 7
    mirrored = found[::-1]
    both = expected_shortfall([a + b for a, b in zip(found, mirrored, strict=True)], level)
    assert both <= one + expected_shortfall(mirrored, level)
    assert abs(expected_shortfall([loss * factor for loss in found], level) - one * factor) <= factor + 1


def test_a_part_of_a_case_counts_with_its_part() -> None:
    assert expected_shortfall([100, 50, 0, 0, 0, 0, 0, 0, 0, 0], 9_000) == 100
    assert expected_shortfall([100, 50, 0, 0, 0, 0, 0, 0, 0, 0], 8_500) == 84  # (100 + 50 / 2) / 1.5, rounded up
    assert expected_shortfall([], 9_500) == 0


def hourly(book: ReturnBook, mint: str, prices: list[str]) -> None:
    sample(book, {mint: prices})


def sample(book: ReturnBook, prices: dict[str, list[str]]) -> None:
    rows = {
        mint: [event for event in script(each, mint=mint) if hasattr(event, "close")] for mint, each in prices.items()
    }
    for number in range(max(len(row) for row in rows.values())):
        bars = [
            replace(row[min(number, len(row) - 1)], ts_close_ns=min(number + 1, len(row)) * HOUR)
            for row in rows.values()
        ]
        book.sample((number + 1) * HOUR, bars)


def test_returns_are_kept_by_the_hour_in_millionths() -> None:
    book = ReturnBook()
    hourly(book, MINT, ["1", "1.1", "0.99", "0.33"])
    assert book.over(MINT, 1) == [100_000, -100_000, -666_667]
    assert book.hours(MINT) == 3
    assert book.due_ns == 5 * HOUR
    hourly(other := ReturnBook(), MINT, ["1", "2"] * RETURNS_MAX)
    assert other.hours(MINT) == RETURNS_MAX


def test_a_token_without_a_new_bar_begins_anew_and_is_not_taken_for_a_calm_one() -> None:
    book = ReturnBook()
    sample(book, {MINT: ["1"] * 4, OTHER: ["1"] * 2})
    assert (book.hours(MINT), book.hours(OTHER)) == (3, 0)


@st.composite
def followed_late(draw: st.DrawFn) -> tuple[list[int], dict[int, Bar], int]:
    """Return when samples were taken, in minutes, the bars of five minutes by their close, and when the last came."""
    steps = draw(st.lists(st.sampled_from([60, 60, 60, 65, 120, 185]), min_size=2, max_size=30))
    times = [sum(steps[: place + 1]) for place in range(len(steps))]
    last = times[-1] + draw(st.integers(0, 11)) * 5
    known = draw(st.sets(st.sampled_from(range(5, last + 1, 5)), min_size=1))
    whole = next(event for event in script(["1"], mint=OTHER) if isinstance(event, Bar))
    return times, {at: replace(whole, ts_close_ns=at * HOUR // 60, close=Decimal(at % 17 + 1)) for at in known}, last


@given(followed_late())
def test_a_past_is_learned_as_if_the_token_had_been_followed_all_along(
    case: tuple[list[int], dict[int, Bar], int],
) -> None:
    times, bars, last = case
    always, late = ReturnBook(), ReturnBook()
    for at in times:
        # The first sample of all takes a bar however old it is; there the past is asked for the hour before.
        newest = max((close for close in bars if (at - 60 if at == times[0] else 0) < close <= at), default=None)
        always.sample(at * HOUR // 60, [] if newest is None else [bars[newest]])
        late.sample(at * HOUR // 60, [])
    late.learn(last * HOUR // 60, [bars[close] for close in sorted(bars)])
    known = late.over(OTHER, 1)
    assert always.over(OTHER, 1) == (known[-always.hours(OTHER) :] if always.hours(OTHER) else [])
    following = replace(bars[max(bars)], ts_close_ns=(last + 60) * HOUR // 60, close=Decimal(2))
    for book in (always, late):
        book.sample((last + 60) * HOUR // 60, [following])
    assert always.over(OTHER, 1) == (late.over(OTHER, 1)[-always.hours(OTHER) :] if always.hours(OTHER) else [])


def test_before_the_first_sample_a_past_is_taken_hour_by_hour_and_a_known_token_is_left_alone() -> None:
    [whole] = [event for event in script(["1"]) if isinstance(event, Bar)]
    bars = [replace(whole, ts_close_ns=each * HOUR // 12, close=Decimal(100 + each // 12)) for each in range(1, 1_001)]
    book = ReturnBook()
    book.learn(1_000 * HOUR // 12, bars)
    assert book.hours(MINT) == 82  # a page of a thousand bars of five minutes: more than the budget asks for
    assert book.hours(MINT) >= FOUNDATION.limits.cvar_history_h_min
    assert book.over(MINT, 1)[-1] == round(MILLION / 182)
    assert book.due_ns == 84 * HOUR
    before = book.over(MINT, 1)
    book.learn(1_000 * HOUR // 12, bars[:500])
    assert book.over(MINT, 1) == before


def test_what_is_learned_is_known_although_it_was_asked_for_before() -> None:
    [whole] = [event for event in script(["1"]) if isinstance(event, Bar)]
    bars = [replace(whole, ts_close_ns=each * HOUR, close=Decimal(100 + each)) for each in range(1, 31)]
    book = ReturnBook()
    assert (book.over(MINT, 1), book.tokens, book.all_hours()) == ([], 0, [])
    book.learn(30 * HOUR, bars)
    assert len(book.over(MINT, 1)) == 29
    assert (book.tokens, book.all_hours()) == (1, [book.over(MINT, 1)])


@given(st.lists(st.integers(-900_000, 2_000_000), min_size=1, max_size=30), st.integers(1, 6))
def test_returns_over_several_hours_compound(returns: list[int], horizon: int) -> None:
    found = over_horizon(returns, horizon)
    assert len(found) == max(0, len(returns) - horizon + 1)
    for first, each in enumerate(found):
        exact = Fraction(1)
        for one in returns[first : first + horizon]:
            exact *= 1 + Fraction(one, MILLION)
        assert exact - 1 - Fraction(2, MILLION) <= Fraction(each, MILLION) <= exact - 1 + Fraction(2, MILLION)


def test_all_that_is_held_falls_in_the_same_hours() -> None:
    """Two tokens that fall together cost the sum, two that take turns cost less."""
    book = ReturnBook()
    up, down = ["1", "1.1"] * 60, ["1.1", "1"] * 60
    sample(book, {"a": up, "b": up, "c": down})
    together = tail_of(book, {"a": SOL, "b": SOL}, None, rules())
    in_turns = tail_of(book, {"a": SOL, "c": SOL}, None, rules())
    assert shortfall_lamports(together, rules()) == 2 * 90_909 * SOL // MILLION
    assert shortfall_lamports(in_turns, rules()) == 0  # one gains more than the other loses
    alone = tail_of(book, {}, "a", rules())
    assert shortfall_lamports(alone, rules(), 2 * SOL) == shortfall_lamports(together, rules())


def test_of_an_unknown_token_the_declared_loss_is_assumed_and_no_gain_of_others_is_set_against_it() -> None:
    book = ReturnBook()
    hourly(book, "a", [str(Decimal(101) ** number / Decimal(100) ** number) for number in range(100)])
    tail = tail_of(book, {"a": SOL, "new": SOL}, "newer", rules())
    assert tail.token is None
    assert shortfall_lamports(tail, rules()) == SOL // 5
    assert shortfall_lamports(tail, rules(), SOL // 2) == SOL // 5 + SOL // 10
    assert shortfall_lamports(tail_of(book, {}, None, rules()), rules()) == 0
    short = rules(cvar_history_h_min=100)
    assert tail_of(book, {"a": SOL}, "a", short) == TailView((), None, SOL)


def test_an_order_beyond_the_budget_is_denied_by_its_name_and_a_smaller_one_passes() -> None:
    tail = TailView((), None, SOL // 2)  # of 2 SOL; a fifth of it is 500 bps
    order = make_order(min_out=990_000)
    account = make_account(exposure_lamports=SOL // 2)
    at_limit = Gate(make_bounds(cvar_bps_max=700)).check(order, account, make_token(tail=tail))
    assert isinstance(at_limit, Approved)
    assert {measure.name: measure.used for measure in at_limit.measures}["cvar_bps"] == 700
    denied = Gate(make_bounds(cvar_bps_max=699)).check(order, account, make_token(tail=tail))
    assert isinstance(denied, Denied)
    assert (denied.reason, denied.used, denied.limit) == ("cvar_bps", 700, 699)
    assert "in the worst hours all tokens would cost 700 bps of equity on average" in denied.message


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-(10**14), 10**14), st.integers(-300_000, 300_000)), min_size=24, max_size=60),
    st.booleans(),
    st.integers(0, SOL),
    st.integers(0, 3 * SOL),
    st.integers(1, 2_000),
)
def test_the_headroom_keeps_the_budget_and_leaves_at_most_a_thousandth(
    cases: list[tuple[int, int]], is_known: bool, unknown: int, wanted: int, limit: int
) -> None:
    token = tuple(move for _, move in cases) if is_known else None
    tail = TailView(tuple(loss for loss, _ in cases), token, unknown)
    given_rules, equity = rules(cvar_bps_max=limit), 2 * SOL
    room = headroom_lamports(tail, given_rules, equity, wanted)
    assert 0 <= room <= wanted
    if room:
        assert shortfall_bps(tail, given_rules, equity, room) <= limit
    if room < wanted and shortfall_bps(tail, given_rules, equity) <= limit:
        more = room + max(1, wanted // 1_024) + 1
        assert more > wanted or shortfall_bps(tail, given_rules, equity, more) > limit


def test_a_desk_buys_as_much_as_the_budget_allows_and_shows_how_much_that_is() -> None:
    wanted = profile(cvar_bps_max=150, edge_over_cost_bps_min=0)
    bench = KernelBench(lambda bar: 1.0, rules=wanted)
    market = merged(script(["1"] * 6), script(["1"] * 6, mint=OTHER))
    bench.feed(market)
    [first] = [each.order for each in bench.events(events.OrderApproved)]
    # A fifth is assumed lost of a token without history: 150 bps are 750 bps of equity, less than the usual size.
    assert 740 <= first.amount_in * 10_000 // (10 * SOL) <= 750
    shown = {each["name"]: each for each in limits(bench.kernel, bench.kernel.valuer.value())}["cvar_bps"]
    assert 140 <= shown["used"] <= shown["limit"] == 150
    denied = {each.denied.reason for each in bench.events(events.OrderDenied, events.SignalPassed)}
    assert "cvar_bps" in denied


def test_what_is_known_of_the_past_is_known_after_a_restart() -> None:
    prices = [str(Decimal(1000 + number * 7 % 40) / 1000) for number in range(300)]
    market = script(prices)  # 25 hours
    bench = KernelBench(lambda bar: 1.0 if bar.close > Decimal("1.03") else None).feed(market)
    returns = bench.kernel.state.returns
    assert returns.hours(MINT) == 25
    again = bench.restored(ScriptedFeed(market))
    assert fingerprint(again.kernel) == fingerprint(bench.kernel)
    memento = checkpoint._memento()
    assert memento.encode(again.kernel.state.returns) == memento.encode(returns)
    fresh = ReturnBook()
    memento.fill(fresh, memento.encode(returns))
    assert (fresh.over(MINT, 4), fresh.due_ns) == (returns.over(MINT, 4), returns.due_ns)


def test_a_tail_without_a_case_is_refused() -> None:
    with pytest.raises(ValueError, match="cvar_history_h_min must be at least 103 for a case in the tail, not 72"):
        Limits.model_validate({**FOUNDATION.limits.model_dump(), "cvar_level_bps": 9_900})


def test_a_profile_that_asks_for_no_budget_is_asked_nothing() -> None:
    bench = KernelBench(lambda bar: 1.0, rules=profile(cvar_bps_max=10_000)).feed(script(["1"] * 4))
    assert bench.kernel.valuer.tail(bench.kernel.valuer.value()) is None
    assert "cvar_bps" not in {each["name"] for each in limits(bench.kernel, bench.kernel.valuer.value())}
