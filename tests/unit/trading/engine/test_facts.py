"""Facts in the kernel: written down before what rests on them, asked of every entry, needing nobody in a replay."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from tests.doubles.kernel_bench import KernelBench, catch_up, fingerprint, profile, stored
from tests.doubles.scripted_facts import ScriptedFacts, clean_facts
from tests.doubles.scripted_market import INTERVAL_NS, MINT, START_NS, ScriptedFeed, ScriptedStrategy, merged, script

from trading.adapters.canonical import parse_json
from trading.engine import checkpoint
from trading.engine.inputs import FACTS, decode_input, encode_input
from trading.errors import DataError
from trading.model import commands, events
from trading.model.market_data import Bar, FactsKnown, MarketEvent, TokenListed
from trading.model.order import Side
from trading.model.profile import Profile
from trading.model.rug_rules import RugRules
from trading.model.token_facts import Facts
from trading.ports import LaunchListener, Strategy, TokenFacts
from trading.runtime.funnel import passed_over
from trading.strategies.momentum_breakout import MomentumBreakout

OTHER = "sim:BBB"
LISTED_NS = START_NS + INTERVAL_NS


def known(source: TokenFacts, events_of: list[MarketEvent]) -> list[MarketEvent]:
    """Return the market with what the source knows behind every listing, as a feed hands it in."""
    found: list[MarketEvent] = []
    for event in events_of:
        found.append(event)
        if isinstance(event, TokenListed):
            facts = source.facts(event.instrument.mint, event.ts_ns)
            if facts is not None:
                found.append(FactsKnown(event.ts_ns, facts, "script:facts"))
    return found


def market(**changes: Any) -> list[MarketEvent]:
    told = {MINT: clean_facts(MINT, **changes), OTHER: clean_facts(OTHER)}
    source = ScriptedFacts({mint: (LISTED_NS, facts) for mint, facts in told.items()})
    prices = ["1", "1.01", "1.02", "1.03", "1.04"]
    return known(source, merged(script(prices), script(prices, mint=OTHER)))


class Launcher(ScriptedStrategy):
    """Always buys, and needs facts unless told otherwise."""

    def __init__(self, *, needs_facts: bool = True) -> None:
        super().__init__(lambda _: 1.0)
        self.needs_facts = needs_facts
        self.heard: list[str] = []

    def on_listed(self, listed: TokenListed) -> None:
        self.heard.append(f"listed {listed.instrument.mint}")

    def on_facts(self, known: FactsKnown) -> None:
        self.heard.append(f"facts {known.facts.mint}")


class LaunchBench(KernelBench):
    """A bench whose strategy trades launches."""

    needs_facts = True

    def _strategies(self, _profile: Profile) -> list[Strategy]:
        self.launcher = Launcher(needs_facts=self.needs_facts)
        assert isinstance(self.launcher, LaunchListener)
        return [self.launcher]


class Plain(KernelBench):
    """A bench with a strategy of the house, whose state can be written down."""

    def _strategies(self, _profile: Profile) -> list[Strategy]:
        return [MomentumBreakout()]


class Carefree(LaunchBench):
    needs_facts = False


def bought(bench: KernelBench) -> set[str]:
    return {event.fill.mint for event in bench.events(events.OrderFilled) if event.fill.side is Side.BUY}


def test_a_rug_is_refused_with_its_reason_whoever_speaks_for_it_and_a_clean_token_bought() -> None:
    for bench in (KernelBench(lambda _: 1.0), LaunchBench(), Carefree()):
        bench.feed(market(mint_authority="sim:owner"))
        assert bought(bench) == {OTHER}
        refused = [event for event in bench.events(events.SignalPassed) if event.mint == MINT]
        assert {event.denied.reason for event in refused} == {"rug_mint_authority"}
        assert passed_over(bench.kernel) == {MINT: "rug_mint_authority"}


@pytest.mark.requirement("T4")
def test_a_banned_token_is_bought_by_no_strategy() -> None:
    rules = profile().model_copy(update={"rugs": RugRules(banned=(MINT,))})
    bench = KernelBench(lambda _: 1.0, rules=rules).feed(
        merged(script(["1", "1.01", "1.02"]), script(["1", "1.01"], mint=OTHER))
    )
    assert bought(bench) == {OTHER}
    refused = [event for event in bench.events(events.SignalPassed) if event.mint == MINT]
    assert {event.denied.reason for event in refused} == {"banned"}
    assert passed_over(bench.kernel) == {MINT: "banned"}


def test_who_needs_facts_buys_nothing_that_nothing_is_known_of() -> None:
    plain = merged(script(["1", "1.01", "1.02"]))
    needy, carefree = LaunchBench().feed(plain), Carefree().feed(plain)
    assert (bought(needy), bought(carefree)) == (set(), {MINT})
    assert {event.denied.reason for event in needy.events(events.SignalPassed)} == {"rug_facts_unknown"}
    half = LaunchBench().feed(market(holders=None))
    assert bought(half) == {OTHER}
    assert MINT in bought(Carefree().feed(market(holders=None)))


def test_the_facts_stand_in_the_journal_whole_before_the_decision_that_rests_on_them() -> None:
    bench = LaunchBench().feed(market(holders=7))
    rows = [(row.kind, parse_json(row.body)) for row in bench.journal.rows()]
    place = next(n for n, (kind, body) in enumerate(rows) if kind == FACTS and body["mint"] == MINT)
    refused = next(n for n, (kind, body) in enumerate(rows) if kind == "signal_passed" and body["mint"] == MINT)
    assert place < refused
    event = decode_input(FACTS, 5, rows[place][1])
    assert isinstance(event, FactsKnown)
    assert event.facts == clean_facts(MINT, holders=7)


@pytest.mark.parametrize("by_reference", [True, False])
def test_a_replay_decides_the_same_and_asks_nobody(by_reference: bool) -> None:
    events_of = market(freeze_authority="sim:owner")
    bench = LaunchBench(by_reference=by_reference).feed(events_of)
    feed = ScriptedFeed(events_of, by_reference=by_reference)
    other = LaunchBench(by_reference=by_reference, begin=False)
    other.kernel.restore(stored(bench.journal), feed.events() if by_reference else None)
    if by_reference:
        catch_up(other.kernel, feed, bench.kernel.cycles)
    assert fingerprint(other.kernel) == fingerprint(bench.kernel)
    assert {type(reason) for reason in bench.kernel.state.denials} == {str}  # as the rows have them
    assert other.kernel.valuer.facts == bench.kernel.valuer.facts != {}
    assert other.launcher.heard == bench.launcher.heard == [f"{what} {mint}" for mint in (MINT, OTHER) for what in (
        "listed", "facts")]  # fmt: skip


def test_facts_are_in_a_checkpoint_and_gone_with_their_token() -> None:
    bench, other = Plain().feed(market()), Plain(begin=False)
    checkpoint.put_back(other.kernel, checkpoint.taken(bench.kernel))
    assert other.kernel.valuer.facts == bench.kernel.valuer.facts
    assert set(bench.kernel.valuer.facts) == {MINT, OTHER}
    gone = known(ScriptedFacts({MINT: (0, clean_facts())}), script(["1", None]))
    assert KernelBench().feed(gone).kernel.valuer.facts == {}


def test_the_newest_facts_count() -> None:
    events_of = market(mint_authority="sim:owner")
    end_ns = START_NS + 3 * INTERVAL_NS
    place = next(n for n, each in enumerate(events_of) if isinstance(each, Bar) and each.ts_close_ns == end_ns)
    events_of.insert(place, FactsKnown(end_ns, clean_facts(MINT), "script:renounced"))
    assert bought(LaunchBench().feed(events_of)) == {MINT, OTHER}


def test_the_profile_says_what_a_token_must_be() -> None:
    strict = profile().model_copy(update={"rugs": RugRules(holders_min=450)})
    bench = KernelBench(lambda _: 1.0, rules=strict).feed(market(holders=449))
    assert bought(bench) == {OTHER}
    assert passed_over(bench.kernel) == {MINT: "rug_few_holders"}
    assert bought(KernelBench(lambda _: 1.0).feed(market(holders=449))) == {MINT, OTHER}


def test_an_order_by_hand_into_a_known_rug_is_denied_and_a_way_out_of_it_is_not() -> None:
    bench = KernelBench().feed(market(permanent_delegate="sim:owner"))

    def command(side: Side, mint: str, amount: int) -> commands.PlaceOrder:
        return commands.PlaceOrder("k", "agent", "why", side, mint, "manual", "manual", amount, 1)

    plan = bench.control.plan(command(Side.BUY, MINT, 10**8))
    assert getattr(plan.verdict, "reason", "") == "rug_permanent_delegate"
    other = bench.control.plan(command(Side.BUY, OTHER, 10**8)).verdict
    assert not getattr(other, "reason", "").startswith("rug_")
    sale = bench.control.plan(command(Side.SELL, MINT, 10**6)).verdict
    assert not getattr(sale, "reason", "").startswith("rug_")


def test_a_damaged_row_of_facts_is_named() -> None:
    kind, body = encode_input(FactsKnown(1, clean_facts(), "s"), by_reference=True)
    for change in ({"top_ten_bps": 70_000}, {"liquidity_hold": "loose"}, {"more": 1}):
        damaged: Mapping[str, object] = {**body, **change}
        with pytest.raises(DataError, match="token_facts"):
            decode_input(kind, 1, damaged)
    whole: Facts = clean_facts(sale=None)
    kind, body = encode_input(FactsKnown(1, replace(whole, liquidity_hold=None), "s"), by_reference=False)
    assert decode_input(kind, 1, body) == FactsKnown(1, replace(whole, liquidity_hold=None), "s")
