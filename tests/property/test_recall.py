"""A desk that remembers leaves the same bytes however its run is cut, and reads nothing from later."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.doubles.kernel_bench import KernelBench, catch_up, cycles_of, fingerprint, stored
from tests.doubles.scripted_market import ScriptedFeed
from tests.support.remembering import ALWAYS, PROVEN, Said, bench_of, journey, rules

from trading.adapters.canonical import canonical_json
from trading.adapters.memory_journal import MemoryJournal
from trading.engine import checkpoint, strides
from trading.engine.kernel import Kernel
from trading.engine.state import DeskState
from trading.feeds.synthetic import SyntheticFeed, SyntheticMarket
from trading.model import events
from trading.model.event_codec import decode
from trading.model.market_data import Bar, CycleEnd, MarketEvent
from trading.model.profile import StrategyChoice
from trading.model.recall import RecallRules
from trading.runtime.assembly import RunPlan, begin, make_kernel

pytestmark = pytest.mark.requirement("T13")

SETTINGS = settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.too_slow])
RECALLS = st.sampled_from([ALWAYS, PROVEN])
JOURNEYS = st.builds(journey, st.integers(0, 10**6), st.just(110), st.sampled_from([-0.002, 0.0, 0.002]))


def remembered(bench: KernelBench) -> Any:
    kernel = bench.kernel
    return [kernel.state.situations.document(), kernel.recaller.histories.document(), fingerprint(kernel)]


@SETTINGS
@given(JOURNEYS, RECALLS, st.booleans(), st.data())
def test_a_desk_that_remembers_comes_back_as_it_was(
    run: tuple[list[MarketEvent], Said], recall: RecallRules, by_reference: bool, data: st.DataObject
) -> None:
    market, said = run
    wanted = rules(recall)
    whole = bench_of(said, wanted, by_reference=by_reference).feed(market)
    cycles = cycles_of(market)
    stop = data.draw(st.integers(1, len(cycles)))
    first = bench_of(said, wanted, by_reference=by_reference)
    first.feed([event for cycle in cycles[:stop] for event in cycle])
    feed = ScriptedFeed(market, by_reference=by_reference)
    folded = bench_of(said, wanted, by_reference=by_reference, journal=first.journal, begin=False)
    folded.kernel.restore(stored(first.journal), feed.events() if by_reference else None)
    if by_reference:
        catch_up(folded.kernel, feed, stop)
    assert remembered(folded) == remembered(first)
    folded.feed([event for cycle in cycles[stop:] for event in cycle])
    assert folded.journal.sha256() == whole.journal.sha256()
    assert remembered(folded) == remembered(whole)


@pytest.mark.parametrize("recall", [ALWAYS, PROVEN])
def test_a_desk_that_remembers_goes_on_from_a_checkpoint(recall: RecallRules) -> None:
    crossings = StrategyChoice(name="sma_cross", weight_bps=10_000, parameters={"fast_bars": 4, "slow_bars": 12})
    wanted = rules(recall).model_copy(update={"strategies": (crossings,)})
    feed = SyntheticFeed(SyntheticMarket(seed=3, cycles=450))
    plan = RunPlan("backtest", feed.description, wanted, 10**10, 10**11)
    cycles = cycles_of(list(feed.events()))

    def bench(journal: MemoryJournal, taken: Any = None, upto: int = 0) -> tuple[Kernel, Any]:
        kernel = make_kernel(plan, "run", journal)
        if taken is None:
            begin(kernel)
        else:
            checkpoint.put_back(kernel, json.loads(canonical_json(taken)))
        for number, cycle in enumerate(cycles[upto:], upto):
            for event in cycle:
                kernel.on_event(event)
            if number == 250 and taken is None:
                journal.commit()
                taken = checkpoint.taken(kernel)
                taken["rows"] = journal.horizon()
        journal.commit()
        return kernel, taken

    whole_journal, rest_journal = MemoryJournal(), MemoryJournal()
    whole, taken = bench(whole_journal)
    rest, _ = bench(rest_journal, taken, 251)
    after = [(row.ts_ns, row.kind, row.body) for row in whole_journal.rows(after=taken["rows"])]
    assert [(row.ts_ns, row.kind, row.body) for row in rest_journal.rows()] == after
    kinds = {kind for _, kind, _ in after}
    assert {"situation_met", "situation_recalled"} <= kinds
    for kernel in (whole, rest):
        assert kernel.state.situations.known("sma_cross") > 20
    assert rest.state.situations.document() == whole.state.situations.document()


@SETTINGS
@given(JOURNEYS, RECALLS, st.data())
def test_the_memory_is_a_fold_of_the_rows_up_to_any_of_them(
    run: tuple[list[MarketEvent], Said], recall: RecallRules, data: st.DataObject
) -> None:
    market, said = run
    bench = bench_of(said, rules(recall)).feed(market)
    rows = list(stored(bench.journal))
    upto = data.draw(st.integers(0, len(rows)))
    folded = bench.restored(ScriptedFeed(market), upto=upto)
    state = DeskState(rules(recall), 1)
    for row in rows[:upto]:
        if row.kind.startswith(("situation_", "recall_", "forecast_", "position_closed")):
            state.situations.document()
            state.apply(row.ts_ns, decode(row.kind, row.body))
    assert folded.kernel.state.situations.document() == state.situations.document()


@SETTINGS
@given(JOURNEYS, RECALLS, st.data())
def test_strides_remember_what_single_cycles_remember(
    run: tuple[list[MarketEvent], Said], recall: RecallRules, data: st.DataObject
) -> None:
    market, said = run
    one = bench_of(said, rules(recall)).feed(market)
    other = bench_of(said, rules(recall))
    for _ in strides.take(other.kernel, market):
        pass
    other.journal.commit()
    assert other.journal.sha256() == one.journal.sha256()
    assert remembered(other) == remembered(one)


def lifted(event: MarketEvent) -> MarketEvent:
    return replace(event, close=event.close * 9, high=event.high * 9) if isinstance(event, Bar) else event


@SETTINGS
@given(JOURNEYS, RECALLS, st.data())
def test_no_bar_from_later_changes_a_row_of_before(
    run: tuple[list[MarketEvent], Said], recall: RecallRules, data: st.DataObject
) -> None:
    market, said = run
    cycles = cycles_of(market)
    stop = data.draw(st.integers(30, len(cycles)))
    planted = [lifted(event) if number >= stop else event for number, cycle in enumerate(cycles) for event in cycle]
    until_ns = next(event.ts_ns for event in cycles[stop - 1] if isinstance(event, CycleEnd))
    found = []
    for feed in (market, planted):
        bench = bench_of(said, rules(recall), by_reference=False)
        for _ in strides.take(bench.kernel, feed):
            pass
        bench.journal.commit()
        found.append([(row.ts_ns, row.kind, row.body) for row in bench.journal.rows(until_ns=until_ns)])
    assert found[0] == found[1]


def test_the_journeys_above_make_recall_speak_and_shift() -> None:
    market, said = journey(5, 110, -0.002)
    bench = bench_of(said, rules(ALWAYS)).feed(market)
    assert any(each.is_used and each.recollection.shift_bps for each in bench.events(events.SituationRecalled))
    proven = bench_of(said, rules(PROVEN)).feed(market)
    assert proven.events(events.RecallJudged)
