"""The traps of the generated market: each is planted, shows in the facts, and is acted on."""

from collections import defaultdict
from functools import cache

import pytest
from tests.support.trading import make_exit, make_order

from trading.execution.simulated_venue import SimulatedVenue
from trading.feeds.synthetic import SyntheticFeed, SyntheticMarket
from trading.feeds.synthetic_facts import SPRINGS, Trap, planted
from trading.model.market_data import Bar, CycleEnd, FactsKnown, MarketEvent, TokenGone, TokenListed
from trading.model.order import Rejected, Side
from trading.model.rug_rules import RugRules
from trading.model.token_facts import Facts
from trading.risk.rug_checks import RugReason, findings

SHOWS = {
    Trap.MINT_AUTHORITY: RugReason.MINT_AUTHORITY,
    Trap.FREEZE_AUTHORITY: RugReason.FREEZE_AUTHORITY,
    Trap.LIQUIDITY_FREE: RugReason.LIQUIDITY_FREE,
    Trap.CONCENTRATED: RugReason.CONCENTRATED,
    Trap.TRANSFER_FEE: RugReason.TRANSFER_FEE,
    Trap.UNSELLABLE: RugReason.UNSELLABLE,
}


@cache
def market() -> tuple[MarketEvent, ...]:
    options = SyntheticMarket(seed=11, cycles=2_000, launch_ppm=150_000, launches_alive_max=24)
    return tuple(SyntheticFeed(options).events())


def facts() -> dict[str, Facts]:
    return {event.facts.mint: event.facts for event in market() if isinstance(event, FactsKnown)}


def reasons(known: Facts) -> set[RugReason]:
    return {each.reason for each in findings(known, RugRules())}


def test_every_token_has_facts_right_after_its_listing() -> None:
    listed = [(place, event) for place, event in enumerate(market()) if isinstance(event, TokenListed)]
    assert len(listed) > 60
    for place, event in listed:
        known = market()[place + 1]
        assert isinstance(known, FactsKnown)
        assert known.facts.mint == event.instrument.mint
        assert known.ts_ns == event.ts_ns


def test_traps_of_every_kind_are_planted_and_show_in_the_facts() -> None:
    shown = defaultdict[RugReason, list[str]](list)
    for mint, known in facts().items():
        for reason in reasons(known):
            shown[reason].append(mint)
    assert set(SHOWS.values()) <= set(shown)
    established = [known for mint, known in facts().items() if not mint.startswith("sim:NEW")]
    assert all(reasons(known) == set() for known in established)
    clean = [mint for mint, known in facts().items() if mint.startswith("sim:NEW") and not reasons(known)]
    assert len(clean) > 20


def test_a_rug_ends_as_its_trap_says_and_no_clean_launch_is_one() -> None:
    ends = {event.mint: event.reason for event in market() if isinstance(event, TokenGone)}
    known = facts()
    sprung = {reason: trap for trap, reason in SPRINGS.items()}
    rugs = {mint: sprung[reason] for mint, reason in ends.items() if reason in sprung}
    assert set(rugs.values()) == set(SPRINGS)
    for mint, trap in rugs.items():
        assert SHOWS[trap] in reasons(known[mint])


def test_frozen_accounts_keep_their_last_price_and_lose_everything() -> None:
    bars = defaultdict[str, list[Bar]](list)
    frozen = 0
    for event in market():
        if isinstance(event, Bar):
            bars[event.mint].append(event)
        elif isinstance(event, TokenGone) and event.reason == SPRINGS[Trap.FREEZE_AUTHORITY]:
            frozen += 1
            assert bars[event.mint][-1].close == bars[event.mint][-2].close
    assert frozen >= 2


def test_traps_take_nothing_from_the_stream_that_prices_are_drawn_from() -> None:
    assert [planted(3, number, is_rug=True) for number in range(40)] == [planted(3, n, is_rug=True) for n in range(40)]
    assert {planted(3, n, is_rug=True).trap for n in range(40)} == set(SPRINGS)
    kinds = [planted(3, n, is_rug=False).trap for n in range(400)]
    assert set(kinds) == {Trap.NONE, Trap.UNSELLABLE, Trap.TRANSFER_FEE}
    assert kinds.count(Trap.NONE) == pytest.approx(300, abs=40)


@pytest.mark.requirement("T4")
def test_an_unsellable_token_is_bought_is_worth_nothing_and_cannot_be_sold() -> None:
    mint = next(mint for mint, known in facts().items() if reasons(known) == {RugReason.UNSELLABLE})
    venue = SimulatedVenue()
    events = [event for event in market() if isinstance(event, CycleEnd) or getattr(event, "mint", mint) == mint]
    reports = []
    bought = sold = False
    for event in events:
        if isinstance(event, TokenListed) and event.instrument.mint != mint:
            continue
        reports += venue.on_market(event)
        if venue.mark(mint) is not None and isinstance(event, CycleEnd):
            if not bought:
                venue.submit(make_order(mint=mint, ts_ns=event.ts_ns, amount_in=10**8))
                bought = True
            elif venue.held(mint) and not sold:
                sold = True
                assert venue.quote(mint, Side.BUY, 10**8) is not None
                assert venue.quote(mint, Side.SELL, venue.held(mint)) is None
                assert venue.liquidation_lamports(mint, venue.held(mint)) == 0
                venue.submit(make_exit(id="out", mint=mint, ts_ns=event.ts_ns, amount_in=venue.held(mint)))
        if len(reports) == 2:
            break
    assert venue.held(mint) > 0
    refused = reports[1]
    assert isinstance(refused, Rejected)
    assert (refused.reason, refused.charged_lamports) == ("unsellable", 25_000)
