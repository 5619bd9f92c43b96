"""The launch scanner: new tokens only, on a rise with inflow, once, behind the rug checks, blind to the future."""

import math
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from functools import cache
from itertools import pairwise
from random import Random

import pytest
from tests.doubles.scripted_facts import clean_facts
from tests.support.trading import STEP, T0, make_bar

from trading.adapters.canonical import parse_json
from trading.adapters.memory_journal import MemoryJournal
from trading.engine import checkpoint
from trading.engine.kernel import Kernel
from trading.feeds.synthetic import SyntheticFeed, SyntheticMarket
from trading.model import events
from trading.model.event_codec import KINDS, decode
from trading.model.instrument import Instrument
from trading.model.market_data import Bar, CycleEnd, FactsKnown, MarketEvent, Swap, TokenListed
from trading.model.order import Side, Signal
from trading.model.profile import BACKTEST_PROFILES, BASELINE, FOUNDATION, Profile, StrategyChoice
from trading.model.rug_rules import RugRules
from trading.risk.rug_checks import findings
from trading.runtime.assembly import RunPlan, begin, make_kernel
from trading.strategies.launch_scanner import LaunchScanner
from trading.strategies.parameters import Value
from trading.strategies.tokens import TOKENS_MAX

QUICK: dict[str, Value] = {"entry_rise": 0.02, "entry_flow": 0.0, "window_bars": 8, "hold_bars": 4, "stop_share": 0.05}


def listed(mint: str = "new", n: int = 0) -> TokenListed:
    return TokenListed(T0 + (n + 1) * STEP, Instrument(mint, "NEW", 6), "s")


def candle(n: int, opened: str, close: str, mint: str = "new", volume: int = 1_000) -> Bar:
    first, last = Decimal(opened), Decimal(close)
    wick = Decimal("1.01")
    return make_bar(
        n, close, mint=mint, open=first, high=max(first, last) * wick, low=min(first, last) / wick, volume=volume
    )


def path(*closes: str, first: str = "1", mint: str = "new") -> list[Bar]:
    opens = (first, *closes[:-1])
    return [candle(n, *prices, mint) for n, prices in enumerate(zip(opens, closes, strict=True))]


def said(market: Sequence[MarketEvent], strategy: LaunchScanner) -> list[Signal]:
    found = []
    for event in market:
        match event:
            case Bar():
                found.append(strategy.on_bar(event))
            case TokenListed():
                strategy.on_listed(event)
            case FactsKnown():
                strategy.on_facts(event)
            case Swap():
                strategy.on_swap(event)
    return [signal for signal in found if signal is not None]


def test_a_launch_that_rises_is_owned_until_its_time_is_over() -> None:
    up, down = said([listed(), *path("1.01", "1.03", "1.03", "1.04", "1.04", "1.04", "1.04")], LaunchScanner(QUICK))
    assert (up.ts_ns, up.evidence["age_bars"]) == (T0 + 2 * STEP, 2)
    assert "2 bars after its listing it is +3.0% from its first price" in up.reason
    assert up.edge_bps > 0
    assert up.horizon_s == 4 * 300
    assert (down.strength, down.reason) == (-1.0, "has been owned for 4 bars")


def test_a_fall_from_the_best_close_ends_it_sooner_and_there_is_no_second_try() -> None:
    up, down = said([listed(), *path("1.03", "1.2", "1.13", "1.3", "1.5", "1.6")], LaunchScanner(QUICK))
    assert down.reason == "closed 5% below its best"
    assert down.ts_ns - up.ts_ns == 2 * STEP
    assert down.evidence["best_sol"] == "1.2"


@pytest.mark.parametrize(
    ("closes", "change"),
    [
        (("1.01", "1.01", "1.01"), {}),  # no rise
        (("1.0", "1.0", "1.0", "1.0", "1.1"), {"window_bars": 4}),  # too late
        (("1.1", "0.9"), {"wait_bars": 2}),  # it had fallen when it might have been bought
        (("0.9", "1.03"), {"entry_flow": 0.9}),  # the rise came with more sold than that before it
    ],
)
def test_nothing_is_said_of_a_launch_that_is_not_what_was_declared(
    closes: tuple[str, ...], change: dict[str, Value]
) -> None:
    assert said([listed(), *path(*closes)], LaunchScanner({**QUICK, **change})) == []
    assert said([listed(), *path("1.02", "1.03")], LaunchScanner(QUICK))  # as a control


def test_a_token_that_was_never_listed_here_or_was_before_is_no_launch() -> None:
    bars = path("1.03", "1.04")
    assert said(bars, LaunchScanner(QUICK)) == []
    strategy = LaunchScanner({**QUICK, "window_bars": 1})
    assert said([listed(), *path("1.0", "1.0"), listed(n=2), *path("1.1")], strategy) == []


def test_a_token_whose_pool_is_old_is_no_launch_however_new_it_is_here() -> None:
    def known(age_s: int | None) -> FactsKnown:
        return FactsKnown(T0 + STEP, clean_facts("new", age_s=age_s), "s")

    for age_s, count in ((0, 1), (6 * 300, 1), (8 * 300, 0), (10**7, 0), (None, 1)):
        assert len(said([listed(), known(age_s), *path("1.03")], LaunchScanner(QUICK))) == count
    stranger = FactsKnown(T0, clean_facts("other"), "s")
    assert said([stranger], LaunchScanner(QUICK)) == []


def test_swaps_say_the_flow_where_they_are_told_and_bars_where_they_are_not() -> None:
    strategy = LaunchScanner({**QUICK, "entry_flow": 0.5})
    bars = path("1.03", "1.06")

    def swap(bar: Bar, side: Side, sol: int) -> Swap:
        return Swap(bar.ts_close_ns, bar.ts_open_ns, bar.mint, side, 10**6, sol * 10**9, "s")

    sold = [swap(bars[0], Side.SELL, 3), swap(bars[0], Side.BUY, 1)]
    bought = [swap(bars[1], Side.BUY, 12)]
    (up,) = said([listed(), *sold, bars[0], *bought, bars[1]], strategy)
    assert (up.ts_ns, up.evidence["flow"], up.evidence["flow_from"]) == (bars[1].ts_close_ns, "0.625", "swaps")
    (by_bars,) = said([listed(), *bars], LaunchScanner({**QUICK, "entry_flow": 0.5}))
    assert (by_bars.ts_ns, by_bars.evidence["flow_from"]) == (bars[0].ts_close_ns, "bars")


def test_gaps_count_as_time_for_age_and_holding() -> None:
    late = replace(candle(9, "1.03", "1.04"), ts_open_ns=T0 + 9 * STEP, ts_close_ns=T0 + 10 * STEP)
    assert said([listed(), candle(0, "1", "1"), late], LaunchScanner(QUICK)) == []
    up, down = said([listed(), *path("1.03"), late], LaunchScanner(QUICK))
    assert down.reason == "has been owned for 9 bars"
    assert up.ts_ns < down.ts_ns


def test_a_market_that_does_not_move_has_no_volatility_and_no_edge() -> None:
    strategy = LaunchScanner({**QUICK, "entry_rise": 0.0, "entry_flow": -1.0})
    (up,) = said([listed(), make_bar(0, "1", mint="new")], strategy)
    assert (up.edge_bps, up.evidence["flow"]) == (0, "0")


def launches(seed: int, count: int = 60, length: int = 12) -> list[MarketEvent]:
    """Return launches that begin one bar after the other and walk at random."""
    chance, by_bar = Random(seed), [list[MarketEvent]() for _ in range(count + length)]
    for n in range(count):
        mint, price = f"m{n:02d}", 1.0
        by_bar[n].append(listed(mint, n))
        for step in range(length):
            opened, price = price, price * math.exp(chance.gauss(0.0, 0.05))
            by_bar[n + step].append(candle(n + step, f"{opened:.9f}", f"{price:.9f}", mint, chance.randrange(1, 5_000)))
    return [event for bar in by_bar for event in bar]


def test_the_scanner_sees_nothing_of_the_future() -> None:
    whole = launches(1)
    opinions = said(whole, LaunchScanner(QUICK))
    assert len(opinions) > 40
    for cut in (1, 7, 100, 101, 350, 600):
        end_ns = max(event.ts_close_ns for event in whole[:cut] if isinstance(event, Bar)) if cut > 1 else 0
        before = [signal for signal in opinions if signal.ts_ns < end_ns]
        assert [each for each in said(whole[:cut], LaunchScanner(QUICK)) if each.ts_ns < end_ns] == before
        other = said(whole[:cut] + launches(2)[cut:], LaunchScanner(QUICK))
        assert [each for each in other if each.ts_ns < end_ns] == before


def test_control_a_scanner_that_reads_the_next_bar_is_caught() -> None:
    whole, other = launches(1), launches(2)

    def peeking(market: Sequence[MarketEvent]) -> list[tuple[int, bool]]:
        bars = [event for event in market if isinstance(event, Bar)]
        return [(bar.ts_close_ns, after.close > bar.close) for bar, after in pairwise(bars)]

    end_ns = max(event.ts_close_ns for event in whole[:350] if isinstance(event, Bar))
    markets = (whole, whole[:350] + other[350:])
    one, two = ([each for each in peeking(market) if each[0] <= end_ns] for market in markets)
    assert one != two


def test_what_it_remembers_is_bounded() -> None:
    strategy = LaunchScanner(QUICK)
    for n in range(TOKENS_MAX + 50):
        strategy.on_listed(listed(f"m{n}"))
    assert (len(strategy._known), len(strategy._launches)) == (TOKENS_MAX, TOKENS_MAX)


@pytest.mark.requirement("T4")
def test_no_profile_trades_launches_by_itself() -> None:
    assert not any(choice.name == "launch_scanner" for each in BACKTEST_PROFILES for choice in each.strategies)


def rules(base: Profile = BASELINE, **parameters: Value) -> Profile:
    wide: dict[str, Value] = {"entry_rise": -0.9, "entry_flow": -1.0, "hold_bars": 8}
    choice = StrategyChoice(name="launch_scanner", weight_bps=10_000, parameters={**wide, **parameters})
    return base.model_copy(update={"strategies": (choice,)})


@cache
def market() -> tuple[MarketEvent, ...]:
    options = SyntheticMarket(seed=11, cycles=1_500, launch_ppm=150_000, launches_alive_max=24)
    return tuple(SyntheticFeed(options).events())


def kernel(given: Profile) -> Kernel:
    feed = SyntheticFeed(SyntheticMarket(seed=11, cycles=1_500, launch_ppm=150_000, launches_alive_max=24))
    return make_kernel(RunPlan("backtest", feed.description, given, 2 * 10**9, 10**10), "run", MemoryJournal())


def bought(run: Kernel) -> set[str]:
    journal = run._journal
    journal.commit()
    rows = [decode(row.kind, parse_json(row.body)) for row in journal.rows(kinds=KINDS)]
    return {event.fill.mint for event in rows if isinstance(event, events.OrderFilled)}


@pytest.mark.requirement("T4")
def test_of_a_market_full_of_rugs_only_clean_launches_are_bought() -> None:
    run = kernel(rules())
    begin(run)
    for event in market():
        run.on_event(event)
    facts = {event.facts.mint: event.facts for event in market() if isinstance(event, FactsKnown)}
    mine = bought(run)
    assert len(mine) >= 15
    assert all(mint.startswith("sim:NEW") for mint in mine)  # the established ones are old, new as they are here
    assert [mint for mint in mine if findings(facts[mint], RugRules())] == []
    refused = {reason for reason in run.state.denials if reason.startswith("rug_")}
    assert {"rug_unsellable", "rug_mint_authority", "rug_freeze_authority", "rug_concentrated"} <= refused


def test_the_gate_and_the_operator_have_the_last_word() -> None:
    run = kernel(rules(FOUNDATION))
    begin(run)
    run.state.entries_allowed = False
    for event in market()[:4_000]:
        run.on_event(event)
    assert bought(run) == set()
    assert run.state.denials["entries_stopped"] > 3


def test_a_checkpoint_keeps_what_it_looks_at() -> None:
    whole = kernel(rules())
    begin(whole)
    half = kernel(rules())
    begin(half)
    ends = [place for place, event in enumerate(market(), 1) if isinstance(event, CycleEnd)]
    cut = ends[699]
    for event in market()[:cut]:
        half.on_event(event)
    again = kernel(rules())
    checkpoint.put_back(again, checkpoint.taken(half))
    for event in market():
        whole.on_event(event)
    for event in market()[cut:]:
        again.on_event(event)
    assert checkpoint.taken(again) == checkpoint.taken(whole)
