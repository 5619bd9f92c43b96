"""A desk that saw nothing for a while protects what is open in the same cycle, and enters nothing for some."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from tests.doubles.kernel_bench import KernelBench, fingerprint, profile
from tests.doubles.scripted_market import INTERVAL_NS, MINT, ScriptedFeed, merged, script

from trading.engine import checkpoint
from trading.model import events
from trading.model.gap import GapAction, GapRules
from trading.model.market_data import Bar, CycleEnd, MarketEvent, TokenListed
from trading.model.order import Purpose
from trading.model.profile import Profile

pytestmark = pytest.mark.requirement("O8")
RULES = GapRules(gap_s=1_800, entries_wait_cycles=2, tighten_s=1_800, tighten_bps=100, exit_losing_s=7_200)
OTHER = "sim:BBB"


def rules(**gaps: int) -> Profile:
    """Return rules that sell nothing by themselves but for a stop far away."""
    wanted = profile(edge_over_cost_bps_min=0, protections=(), cvar_bps_max=10_000)
    exits = wanted.exits.model_copy(
        update={"stop_loss_bps": 5_000, "trailing_stop_bps": 0, "take_profit_bps": 0, "holding_s_max": 10**7}
    )
    return wanted.model_copy(update={"exits": exits, "after_gap": RULES.model_copy(update=gaps)})


def late(stream: Sequence[MarketEvent], since_cycle: int, seconds: int) -> list[MarketEvent]:
    """Return the script with everything after so many cycles so much later."""
    found: list[MarketEvent] = []
    cycles = 0
    for event in stream:
        shift = seconds * 10**9 if cycles >= since_cycle else 0
        if isinstance(event, Bar):
            moved: Any = replace(event, ts_open_ns=event.ts_open_ns + shift, ts_close_ns=event.ts_close_ns + shift)
        else:
            moved = replace(event, ts_ns=event.ts_ns + shift) if not isinstance(event, TokenListed) else event
        cycles += isinstance(event, CycleEnd)
        found.append(moved)
    return found


def buy_first(bar: Bar) -> float | None:
    """Buy AAA at its second bar, and everything from the sixth on."""
    number = int(bar.source.rsplit(":", 1)[1])
    if bar.mint == MINT:
        return 1.0 if number == 2 else None
    return 1.0 if number >= 6 else None


def orders(bench: KernelBench) -> list[tuple[str, str, str]]:
    return [
        (each.order.purpose.value, each.order.mint, each.order.reason.partition(":")[0])
        for each in bench.events(events.OrderApproved)
    ]


def run(gap_s: int, prices: Sequence[str], profile: Profile | None = None) -> KernelBench:
    """Run eight cycles with a pause after the fifth; ``prices`` are those of AAA after it."""
    stream = merged(script(["1", "1", "1", "1", "1", *prices]), script(["1"] * 10, mint=OTHER))
    return KernelBench(buy_first, rules=profile or rules()).feed(late(stream, 5, gap_s))


def test_a_pause_within_the_policy_is_none() -> None:
    bench = run(1_500, ["1"] * 5)
    assert bench.events(events.GapSeen) == []
    assert next(each for each in orders(bench) if each[1] == OTHER)[0] == "entry"


def test_a_gap_is_told_with_what_becomes_of_each_position() -> None:
    [seen] = run(1_800, ["1"] * 5).events(events.GapSeen)
    assert seen.ts_ns - seen.since_ns == INTERVAL_NS + 1_800 * 10**9
    assert [(each.mint, each.action) for each in seen.steps] == [(MINT, GapAction.TIGHTEN)]


def test_a_tightened_position_goes_when_it_falls_below_the_floor_and_stays_above_it() -> None:
    assert (MINT, "after_gap") not in {each[1:] for each in orders(run(1_800, ["1", "0.995", "0.995", "1", "1"]))}
    sold = orders(run(1_800, ["1", "0.98", "0.98", "1", "1"]))
    assert ("exit", MINT, "after_gap") in sold


def test_a_desk_with_nothing_else_to_do_wakes_at_the_floor() -> None:
    bench = KernelBench(buy_first, rules=rules()).feed(late(script(["1"] * 8), 5, 1_800))
    [position] = bench.kernel.state.ledger.positions()
    watch = bench.kernel.trader.watch(position)
    assert watch is not None
    assert watch.low_sol == Decimal("0.99")


def test_after_a_long_gap_what_is_below_its_cost_is_sold_in_the_first_cycle() -> None:
    bench = run(9_000, ["0.9"] * 5)
    [seen] = bench.events(events.GapSeen)
    exits = [each.order for each in bench.events(events.OrderApproved) if each.order.purpose is Purpose.EXIT]
    assert [(each.mint, each.ts_ns) for each in exits] == [(MINT, seen.ts_ns)]


def test_nothing_is_entered_before_so_many_fresh_cycles_have_passed() -> None:
    bench = run(1_800, ["1"] * 5)
    [seen] = bench.events(events.GapSeen)
    denied = [each.order.ts_ns for each in bench.events(events.OrderDenied) if each.denied.reason == "after_gap"]
    denied += [each.ts_ns for each in bench.events(events.SignalPassed) if each.denied.reason == "after_gap"]
    entered = [each.order.ts_ns for each in bench.events(events.OrderApproved) if each.order.mint == OTHER]
    assert denied == [seen.ts_ns, seen.ts_ns + INTERVAL_NS]
    assert entered[0] == seen.ts_ns + 2 * INTERVAL_NS


def test_bars_that_are_long_by_nature_are_no_gap() -> None:
    day = [
        replace(each, ts_open_ns=each.ts_close_ns - 1_200 * 10**9) if isinstance(each, Bar) else each
        for each in late(script(["1"] * 8), 5, 1_900)
    ]
    assert KernelBench(rules=rules()).feed(day).events(events.GapSeen) == []


def kept_of(whole: KernelBench, *, by_reference: bool) -> KernelBench:
    """Return another desk from a checkpoint of this one; a scripted strategy knows nothing that could be kept."""
    kept = KernelBench(buy_first, rules=rules(), by_reference=by_reference, begin=False)
    spoken, kept_spoken = whole.kernel.strategies, kept.kernel.strategies
    whole.kernel.strategies = kept.kernel.strategies = []
    checkpoint.put_back(kept.kernel, checkpoint.taken(whole.kernel))
    whole.kernel.strategies, kept.kernel.strategies = spoken, kept_spoken
    return kept


@pytest.mark.parametrize("by_reference", [True, False])
@pytest.mark.parametrize("price", ["1", "0.995", "0.9"])
def test_a_desk_that_is_folded_again_behaves_as_if_it_had_never_stopped(price: str, by_reference: bool) -> None:
    stream = late(merged(script(["1"] * 5 + ["1", price, "0.98"]), script(["1"] * 8, mint=OTHER)), 5, 1_800)
    for upto in range(1, len(stream) + 1):
        if not isinstance(stream[upto - 1], CycleEnd):
            continue
        whole = KernelBench(buy_first, rules=rules(), by_reference=by_reference).feed(stream[:upto])
        feed = ScriptedFeed(stream, by_reference=by_reference)
        again = whole.restored(feed if by_reference else None)
        kept = kept_of(whole, by_reference=by_reference)
        for bench in (whole, again, kept):
            bench.feed(stream[upto:])
        assert fingerprint(whole.kernel) == fingerprint(again.kernel) == fingerprint(kept.kernel)


def test_without_a_policy_nothing_happens_after_whatever_gap() -> None:
    plain = rules().model_copy(update={"after_gap": GapRules()})
    assert run(10**6, ["0.9"] * 5, plain).events(events.GapSeen) == []
