"""Cycles taken in strides leave what cycles taken one by one leave: the same rows, marks and state, to the byte."""

import random
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.doubles.kernel_bench import KernelBench, Opinion, cycles_of, profile
from tests.support import yardstick

from trading.adapters.memory_journal import MemoryJournal
from trading.engine import checkpoint, strides
from trading.engine.kernel import Kernel
from trading.engine.trail import Trail
from trading.errors import InvalidInput
from trading.execution.simulated_venue import SimulatedVenue
from trading.model import commands
from trading.model.gap import GapRules
from trading.model.instrument import Instrument
from trading.model.market_data import Bar, CycleEnd, FeedDescription, MarketEvent, TokenListed
from trading.model.profile import AGGRESSIVE, FOUNDATION, Profile, StrategyChoice
from trading.runtime.assembly import RunPlan, begin, make_kernel
from trading.strategies import tokens

MINUTE_NS = 60 * 10**9
START_NS = 1_700_000_100 * 10**9
MINTS = ("sim:AAA", "sim:BBB")
Moves = Sequence[tuple[int | None, ...]]


def market(moves: Moves, depths: Sequence[int | None] = (None,)) -> list[MarketEvent]:
    """Two tokens, a minute a cycle; a move of None is a minute without a bar, of both mostly one without a cycle."""
    listed = [
        TokenListed(START_NS, Instrument(mint, mint[-3:], 6, 25, 5_000 * 10**9, creator_fee_bps=number), "x")
        for number, mint in enumerate(MINTS)
    ]
    found: list[MarketEvent] = [*listed, CycleEnd(START_NS, None)]
    prices = [Decimal(1), Decimal("0.02")]
    for number, pair in enumerate(moves, 1):
        end_ns = START_NS + number * MINUTE_NS
        if pair == (None, None) and number % 16:
            continue
        for place, move in enumerate(pair):
            if move is None:
                continue
            before = prices[place]
            prices[place] = close = (before * (10_000 + move) / 10_000).quantize(Decimal("0.0000001"))
            quotes = (before, max(before, close), min(before, close), close, Decimal(1_000))
            depth = depths[number % len(depths)]
            sol_usd = None if number % 7 == 0 else Decimal(100 + number % 5)
            name = f"x:{place}:{number}"
            found.append(Bar(MINTS[place], end_ns - MINUTE_NS, end_ns, *quotes, sol_usd, depth, name))
        found.append(CycleEnd(end_ns, None if number % 3 else Decimal(90)))
    return found


def opinion(said: dict[tuple[str, int], float]) -> Opinion:
    return lambda bar: said.get((bar.mint, (bar.ts_close_ns - START_NS) // MINUTE_NS))


def everything(kernel: Kernel) -> Any:
    kernel.levels.refresh()
    encode = checkpoint._memento().encode
    parts = (kernel.state, kernel.venue, kernel.seen_ns, kernel.valuer.instruments)
    return [encode(part) for part in parts], kernel.unwritten, kernel.cycles, kernel.bars


def in_one_by_one(kernel: Kernel, events: Sequence[MarketEvent]) -> strides.Marks:
    marks: strides.Marks = []
    for event in events:
        kernel.on_event(event)
        if isinstance(event, CycleEnd):
            marks.append((event.ts_ns, kernel.state.equity_lamports))
    return marks


def in_strides(kernel: Kernel, events: Sequence[MarketEvent]) -> strides.Marks:
    return [mark for marks in strides.take(kernel, events) for mark in marks]


def rules(kind: str) -> Profile:
    """Return rules that let two strategies trade, with the stop armed at once, late or never; ``levels``: with limits
    to each bucket and strategy beside the account's."""
    limits: dict[str, Any] = {"edge_over_cost_bps_min": 0, "cooldown_s": 0, "reentry_s": 0, "protections": ()}
    if kind == "levels":
        limits |= {"bucket_drawdown_reducing_bps": 40, "strategy_drawdown_reducing_bps": 60, "reducing_s": 1_200}
    wanted = profile(**limits)
    one = wanted.strategies[0].model_copy(update={"weight_bps": 5_000})
    both = (one, one.model_copy(update={"name": "mean_reversion"}))
    stops = {"early": (0, 150), "late": (60, 150), "levels": (9_000, 900), "never": (9_000, 0)}[kind]
    exits = wanted.exits.model_copy(update={"trailing_arm_bps": stops[0], "stop_loss_bps": stops[1]})
    after_gap = GapRules(gap_s=240, entries_wait_cycles=3, tighten_s=240, tighten_bps=30)
    return wanted.model_copy(update={"exits": exits, "strategies": both, "after_gap": after_gap})


def journey(seed: int, spread_bps: int) -> tuple[list[MarketEvent], dict[tuple[str, int], float]]:
    """Return some hours of a walk, and opinions that own both tokens for a while, again and again."""
    chance = random.Random(seed)
    moves: list[tuple[int | None, ...]] = [
        tuple(None if chance.random() < 0.03 else round(chance.gauss(0, spread_bps)) for _ in MINTS) for _ in range(400)
    ]
    for _ in range(3):
        since = chance.randrange(len(moves))
        moves[since : since + 12] = [(None, None)] * len(moves[since : since + 12])
    said: dict[tuple[str, int], float] = {}
    minute, is_long = 0, False
    while minute < len(moves):
        minute += chance.randrange(2, 45)
        is_long = not is_long
        said |= {(mint, minute): 1.0 if is_long else -1.0 for mint in MINTS if chance.random() < 0.8}
    return market(moves), said


MOVE = st.integers(-25, 25) | st.integers(-25, 25) | st.integers(-25, 25) | st.none() | st.integers(-900, 1_200)
MARKETS = st.tuples(
    st.builds(
        market,
        st.lists(st.tuples(MOVE, MOVE), min_size=20, max_size=160),
        st.sampled_from([(None,), (4_000 * 10**9, None, 9_000 * 10**9)]),
    ),
    st.dictionaries(st.tuples(st.sampled_from(MINTS), st.integers(1, 120)), st.sampled_from([1.0, 0.5, -1.0])),
)
JOURNEYS = st.builds(journey, st.integers(0, 10**6), st.sampled_from([6, 20]))
BY_HAND = st.sampled_from(
    [
        None,
        commands.Deposit("in", "o", "in", 3 * 10**9),
        commands.ReduceOnly("r", "o", "reduce"),
        commands.ClosePosition("c", "o", "close", MINTS[0], 50),
    ]
)


@pytest.mark.requirement("T1")
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(MARKETS | JOURNEYS | JOURNEYS, st.sampled_from(["early", "late", "levels", "never"]), BY_HAND, st.data())
def test_strides_leave_what_single_events_leave(
    run: tuple[list[MarketEvent], dict[tuple[str, int], float]],
    kind: str,
    by_hand: commands.Command | None,
    data: st.DataObject,
) -> None:
    events, said = run
    cycles = cycles_of(events)
    cut = sum(len(cycle) for cycle in cycles[: data.draw(st.integers(0, len(cycles)))])
    found = []
    for way in (in_one_by_one, in_strides):
        bench = KernelBench(opinion(said), rules=rules(kind))
        marks = way(bench.kernel, events[:cut])
        between = everything(bench.kernel)
        if by_hand is not None:
            with suppress(InvalidInput):
                bench.control.take(by_hand)
        marks += way(bench.kernel, events[cut:])
        bench.kernel.end()
        bench.journal.commit()
        found.append((bench.journal.sha256(), marks, between, everything(bench.kernel)))
    assert found[0] == found[1]


@pytest.mark.requirement("T1")
@pytest.mark.parametrize("rules_", [yardstick.profile(), FOUNDATION, AGGRESSIVE], ids=lambda each: each.name)
def test_a_run_of_whole_strategies_is_the_same_in_strides(rules_: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    feed = yardstick.feed_of(yardstick.walk(4_000))
    plan = RunPlan("backtest", feed.description, rules_, yardstick.EQUITY_LAMPORTS, 10**16)
    monkeypatch.setattr(strides, "EVENTS_MAX", 1_999)
    found = []
    for way in (in_one_by_one, in_strides):
        journal = MemoryJournal()
        kernel = make_kernel(plan, "run", journal)
        begin(kernel)
        marks = way(kernel, list(feed.events()))
        journal.commit()
        found.append((journal.sha256(), marks, checkpoint.taken(kernel)))
    assert found[0] == found[1]
    assert feed.cycles_total == len(found[0][1]) == 4_000


@pytest.mark.parametrize("by_reference", [True, False])
@pytest.mark.parametrize("transfer_fee_bps", [0, 5])
def test_a_held_token_that_stops_trading_and_one_whose_pool_takes_more_to_tell(
    by_reference: bool, transfer_fee_bps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strides, "EVENTS_MAX", 50)
    moves = [(number % 5 - 2, number % 3 - 1 if number < 60 else None) for number in range(300)]
    events = [
        replace(event, instrument=replace(event.instrument, transfer_fee_bps=transfer_fee_bps))
        if isinstance(event, TokenListed)
        else event
        for event in market(moves)
    ]
    said = {(mint, 10): 1.0 for mint in MINTS} | {(MINTS[0], 200): -1.0}
    found = []
    for way in (in_one_by_one, in_strides):
        bench = KernelBench(opinion(said), rules=rules("never"), by_reference=by_reference)
        marks = way(bench.kernel, events)
        bench.journal.commit()
        assert MINTS[1] in bench.kernel.state.ledger.held_mints()
        found.append((bench.journal.sha256(), marks, everything(bench.kernel)))
    assert found[0] == found[1]


def test_more_tokens_than_a_strategy_remembers_are_shown_bar_by_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "TOKENS_MAX", 1)
    events = market([(number % 40 - 20, number * 7 % 30 - 15) for number in range(300)])
    choice = StrategyChoice(name="sma_cross", weight_bps=10_000, parameters={"fast_bars": 3, "slow_bars": 8})
    wanted = rules("never").model_copy(update={"strategies": (choice,)})
    plan = RunPlan("backtest", FeedDescription("replay", "x", 60, (("x", "00"),)), wanted, 10**10, 10**12)
    found = []
    for tokens_max in (0, 1, 4_096):
        monkeypatch.setattr(strides, "TOKENS_MAX", tokens_max)
        journal = MemoryJournal()
        kernel = make_kernel(plan, "run", journal)
        begin(kernel)
        (in_strides if tokens_max else in_one_by_one)(kernel, events)
        journal.commit()
        found.append(journal.sha256())
    assert found[0] == found[1] != found[2]


def test_most_cycles_of_a_calm_market_are_passed_over() -> None:
    events = market([(number % 3 - 1, 0) for number in range(600)])
    bench = KernelBench(opinion({(MINTS[0], 5): 1.0}), rules=rules("never"))
    passed: list[int] = []
    pass_over = bench.kernel.pass_over

    def counted(bars: Sequence[Bar], ends: Sequence[CycleEnd]) -> None:
        passed.append(len(ends))
        pass_over(bars, ends)

    bench.kernel.pass_over = counted  # type: ignore[method-assign]
    in_strides(bench.kernel, events)
    assert bench.kernel.state.fills_total == 1
    assert bench.kernel.cycles == 601
    assert sum(passed) > 540


def test_a_feed_that_ends_within_a_cycle_leaves_what_it_told(monkeypatch: pytest.MonkeyPatch) -> None:
    events = market([(1, 1)] * 9)[:-1]
    monkeypatch.setattr(strides, "EVENTS_MAX", 4)
    found = []
    for way in (in_one_by_one, in_strides):
        bench = KernelBench(opinion({}))
        found.append((way(bench.kernel, events), everything(bench.kernel)))
    assert found[0] == found[1]
    assert found[0][1][3] == 18


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.decimals("0.000000001", "5000", places=12).filter(bool), min_size=1, max_size=8),
    st.sampled_from([None, 1, 10**7, 10**13]),
    st.integers(1, 10**16),
    st.tuples(st.integers(0, 100), st.integers(0, 100), st.integers(0, 9)),
)
def test_many_liquidations_are_those_of_each_bar(
    closes: list[Decimal], depth: int | None, units: int, terms: tuple[int, int, int]
) -> None:
    venue, fees = SimulatedVenue(), terms[:2]
    venue.on_market(TokenListed(0, Instrument("m", "M", terms[2], fees[0], 10**12, creator_fee_bps=fees[1]), "x"))
    bars = [replace(_bar(number), close=close, pool_lamports=depth) for number, close in enumerate(closes)]
    told = venue.liquidations("m", units, bars)
    assert told is not None
    each = []
    for bar in bars:
        venue.on_market(bar)
        each.append(venue.liquidation_lamports("m", units))
    assert list(told) == each


def test_a_pool_that_is_more_than_a_bar_is_not_told_ahead() -> None:
    venue = SimulatedVenue()
    for mint, more in (("sold", {"is_sellable": False}), ("taxed", {"transfer_fee_bps": 5})):
        venue.on_market(TokenListed(0, Instrument(mint, mint, 6, **more), "x"))
        assert venue.liquidations(mint, 5, [_bar(1)]) is None
    assert venue.liquidations("unlisted", 5, [_bar(1)]) is None


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 400), min_size=1, max_size=400), st.integers(1, 50), st.integers(1, 300))
def test_a_trail_of_many_is_the_trail_of_each(steps: list[int], at_once: int, seed: int) -> None:
    chance = random.Random(seed)
    one, many = Trail(), Trail()
    times, now_ns = [], 0
    for step in steps:
        now_ns += step * 10**10
        times.append(now_ns)
    equities = [chance.randrange(10**6) for _ in times]
    for first in range(0, len(times), at_once):
        part = slice(first, first + at_once)
        many.add_all(times[part], equities[part])
        for at_ns, equity in zip(times[part], equities[part], strict=True):
            one.add(at_ns, equity)
        assert many.sparkline() == one.sparkline()
        assert many.equity_at(now_ns) == one.equity_at(now_ns)
    assert vars(one) == vars(many)


def _bar(number: int) -> Bar:
    one = Decimal(1)
    times = (number * MINUTE_NS, (number + 1) * MINUTE_NS)
    return Bar("m", *times, one, one, one, one, one, None, None, f"x:{number}")
