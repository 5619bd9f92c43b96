"""Swaps in the kernel: heard in order before their bar, journalled as inputs, free where nobody listens."""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.doubles.kernel_bench import KernelBench, catch_up, fingerprint, stored
from tests.doubles.scripted_facts import clean_facts
from tests.doubles.scripted_market import MINT, ScriptedFeed, ScriptedStrategy, script

from trading.adapters.canonical import parse_json
from trading.engine.inputs import decode_input, encode_input
from trading.engine.kernel import Kernel
from trading.errors import DataError
from trading.execution.simulated_venue import SimulatedVenue
from trading.model.market_data import Bar, FactsKnown, MarketEvent, Swap
from trading.model.order import Side, Signal
from trading.model.profile import Profile
from trading.ports import Strategy, SwapListener

BOUGHT = Decimal(10)


def swap(bar: Bar, number: int = 0, lamports: int = 10**9, side: Side = Side.BUY) -> Swap:
    at_ns = bar.ts_open_ns + number
    return Swap(bar.ts_close_ns, at_ns, bar.mint, side, 10**6, lamports, f"{bar.source}/{number}", "t")


def with_swaps(events: list[MarketEvent], each: int = 3) -> list[MarketEvent]:
    """Return the market with swaps before every bar; before every fifth they are large."""
    found: list[MarketEvent] = []
    for number, event in enumerate(events):
        if isinstance(event, Bar):
            found += [swap(event, n, 10**9 * (20 if number % 5 == 0 else 1)) for n in range(each)]
        found.append(event)
    return found


class Listener(ScriptedStrategy):
    """Buys after more than ``BOUGHT`` SOL of inflow since the last bar, and sells after less."""

    def __init__(self) -> None:
        super().__init__(self._by_flow)
        self.heard: list[Swap] = []
        self._since_lamports = 0

    def on_swap(self, told: Swap) -> None:
        self.heard.append(told)
        self._since_lamports += told.flow_lamports

    def on_bar(self, bar: Bar) -> Signal | None:
        signal = super().on_bar(bar)
        self._since_lamports = 0
        return signal

    def _by_flow(self, _bar: Bar) -> float | None:
        return 1.0 if self._since_lamports > BOUGHT * 10**9 else -1.0


class FlowBench(KernelBench):
    """A bench whose strategy listens."""

    def _strategies(self, _profile: Profile) -> list[Strategy]:
        self.listener = Listener()
        return [self.listener]


def prices(count: int = 40) -> list[str]:
    return [f"{1 + (n % 7) / 100:.2f}" for n in range(count)]


MARKET = with_swaps(list(script(prices())))


def test_a_listener_hears_every_swap_before_the_bar_that_it_lies_in() -> None:
    bench = FlowBench().feed(MARKET)
    assert bench.listener.heard == [event for event in MARKET if isinstance(event, Swap)]
    assert len(bench.listener.seen) == 40
    assert bench.kernel.state.fills_total > 4  # it traded by what it heard


def test_a_desk_whose_strategies_do_not_listen_decides_as_if_there_were_no_swaps() -> None:
    def opinion(bar: Bar) -> float | None:
        return 1.0 if bar.close > Decimal("1.04") else -1.0

    plain = KernelBench(opinion).feed(list(script(prices())))
    told = KernelBench(opinion).feed(MARKET)
    assert not isinstance(ScriptedStrategy(opinion), SwapListener)
    assert plain.kernel.state.fills_total >= 4
    assert plain.events() == told.events()


@pytest.mark.parametrize("by_reference", [True, False])
def test_a_run_over_swaps_is_restored_from_its_rows(by_reference: bool) -> None:
    bench = FlowBench(by_reference=by_reference).feed(MARKET)
    feed = ScriptedFeed(MARKET, by_reference=by_reference)
    other = FlowBench(by_reference=by_reference, begin=False)
    other.kernel.restore(stored(bench.journal), feed.events() if by_reference else None)
    if by_reference:
        catch_up(other.kernel, feed, bench.kernel.cycles)
    assert fingerprint(other.kernel) == fingerprint(bench.kernel)
    assert other.listener.heard == bench.listener.heard


def test_a_feed_whose_swaps_changed_is_refused() -> None:
    bench = FlowBench().feed(MARKET)
    dropped = [event for number, event in enumerate(MARKET) if number != 6]
    assert isinstance(MARKET[6], Swap)
    with pytest.raises(DataError, match="no longer gives what this run was made from"):
        bench.restored(ScriptedFeed(dropped))


def test_recorded_swaps_are_kept_by_reference_in_stretches() -> None:
    bench = KernelBench().feed(MARKET)
    bench.kernel.end()
    bench.journal.commit()
    bodies = [parse_json(row.body) for row in bench.journal.rows(kinds=("input",))]
    assert sum(body["events"] for body in bodies if "events" in body) == len(MARKET) - 1  # all but the listing
    one = swap(next(event for event in MARKET if isinstance(event, Bar)))
    kind, body = encode_input(one, by_reference=True)
    assert body == {"swap": one.source}
    with pytest.raises(DataError, match="its file is needed"):
        decode_input(kind, one.ts_ns, body)


@given(
    st.builds(
        Swap,
        ts_ns=st.integers(0, 2**62),
        swapped_ns=st.integers(0, 2**62),
        mint=st.text(min_size=2, max_size=8),
        side=st.sampled_from(Side),
        base_units=st.integers(1, 2**64 - 1),
        lamports=st.integers(1, 10**18),
        source=st.text(max_size=8),
        trader=st.text(max_size=8),
    )
)
def test_a_swap_by_value_comes_back_as_it_was(told: Swap) -> None:
    kind, body = encode_input(told, by_reference=False)
    assert decode_input(kind, told.ts_ns, body) == told


def test_a_damaged_swap_row_is_named() -> None:
    one = swap(next(event for event in MARKET if isinstance(event, Bar)))
    kind, body = encode_input(one, by_reference=False)
    damaged: Mapping[str, object] = {**body, "side": "hold"}
    with pytest.raises(DataError, match="'hold' is not a valid Side"):
        decode_input(kind, one.ts_ns, damaged)


def test_a_swap_moves_neither_price_nor_depth_of_the_venue() -> None:
    venue = SimulatedVenue()
    events = list(script(["1", "1"]))
    for event in events[:-2]:
        venue.on_market(event)
    before = venue.quote(MINT, Side.BUY, 10**9)
    bar = events[-2]
    assert isinstance(bar, Bar)
    assert venue.on_market(replace(swap(bar), lamports=10**13)) == ()
    assert venue.quote(MINT, Side.BUY, 10**9) == before


def test_strategies_are_asked_once_whether_they_listen() -> None:
    bench = FlowBench()
    kernel: Kernel = bench.kernel
    first = bench.listener
    kernel.strategies = [ScriptedStrategy(lambda _: None)]
    bench.feed(MARKET)
    assert first.heard == []


@pytest.mark.requirement("T1")
@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(-150, 260), min_size=20, max_size=60),
    st.lists(st.integers(-25, 25), min_size=60, max_size=60),
    st.lists(st.integers(0, 59), max_size=6),
)
def test_no_quiet_cycle_passes_over_what_swaps_and_facts_say(
    jumps: list[int], flows: list[int], known_at: list[int]
) -> None:
    price, prices = Decimal(1), []
    for jump in jumps:
        price = (price * (10_000 + jump) / 10_000).quantize(Decimal("0.000001"))
        prices.append(price)
    market: list[MarketEvent] = []
    number = 0
    for event in script(prices):
        if isinstance(event, Bar):
            flow = flows[number]
            market += [swap(event, n, 10**9, Side.BUY if flow > 0 else Side.SELL) for n in range(abs(flow))]
            if number in known_at:
                owner = "sim:owner" if number % 2 else ""
                market.append(FactsKnown(event.ts_close_ns, clean_facts(MINT, mint_authority=owner), "script:facts"))
            number += 1
        market.append(event)
    quick, whole = FlowBench(), FlowBench()
    whole.kernel.quiet.holds = lambda _cycle: False  # type: ignore[method-assign]
    for bench in (quick, whole):
        bench.feed(market)
    assert quick.journal.sha256() == whole.journal.sha256()
