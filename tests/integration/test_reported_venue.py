"""A run whose fills are told by a chain: it goes on after any death, and its rows alone repeat it byte for byte."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from tests.support.trading import make_order

from trading.adapters.sql_journal import JournalStore
from trading.execution.reported_venue import IntentTerms, intent_of
from trading.feeds.synthetic import SyntheticFeed, SyntheticMarket
from trading.model.identifiers import derived_id
from trading.model.intent import Attempt, Balances, Intent, IntentRecord, IntentState, Settlement
from trading.model.market_data import MarketEvent
from trading.model.order import Order, Purpose, Side
from trading.model.profile import profile_named
from trading.ports import Feed
from trading.runtime.assembly import RunPlan
from trading.runtime.session import Opener, Session
from trading.runtime.sources import Cycle

pytestmark = [pytest.mark.requirement("T1"), pytest.mark.requirement("T10")]

SOL = 10**9
CYCLES = 1_600
TERMS = IntentTerms(300, 3, 20 * SOL, 90 * SOL, 0)


@dataclass
class Fills:
    """A chain that answers each order some cycles later, a little worse than quoted; every fifth it refuses."""

    delay_cycles: int = 2
    known: dict[str, tuple[int, IntentRecord]] = field(default_factory=dict)
    accounts: set[str] = field(default_factory=set)

    def take(self, session: Session, order: Order) -> None:
        if order.id in self.known:
            return
        intent = intent_of(order, "wallet", session.run_id, TERMS)
        quote = session.kernel.venue.quote(order.mint, order.side, order.amount_in)
        out = 0 if quote is None else quote.amount_out * 9_990 // 10_000
        if out < order.min_out or len(self.known) % 5 == 4:
            record = IntentRecord(intent, IntentState.FAILED, problem="route_refused: the price moved")
        else:
            is_first = order.side is Side.BUY and order.mint not in self.accounts
            self.accounts.add(order.mint)
            record = self._settled(intent, out, rent=2_039_280 if is_first else 0)
        self.known[order.id] = (session.cycles + self.delay_cycles, record)

    def due(self, session: Session) -> list[tuple[str, IntentRecord]]:
        return [(each, record) for each, (at, record) in self.known.items() if at <= session.cycles]

    @staticmethod
    def _settled(intent: Intent, out: int, rent: int) -> IntentRecord:
        signature = derived_id("sig", intent.id)
        attempt = Attempt(intent.id, 1, signature, b"", "", 1, out, 5_000, Balances(0, 0, 0), 0)
        settlement = Settlement(intent.id, signature, 1, None, intent.amount_in, out, intent.fee_lamports_max, 0, rent)
        return IntentRecord(intent, IntentState.SETTLED, (attempt,), settlement)


def feed() -> SyntheticFeed:
    return SyntheticFeed(SyntheticMarket(seed=7, cycles=4_000, launch_ppm=20_000))


def plan() -> RunPlan:
    description = feed().description
    return RunPlan("live", description, profile_named("foundation"), 2 * SOL, 20 * SOL, wallet="wallet")


def cycles(source: Feed, skip: int) -> Iterator[Cycle]:
    events: list[MarketEvent] = []
    number = skip
    for event in source.events(skip):
        events.append(event)
        if type(event).__name__ == "CycleEnd":
            number += 1
            yield Cycle(number, tuple(events))
            events = []


def live(path: Path, fills: Fills, until: int, deaths: frozenset[int] = frozenset()) -> tuple[str, list[str]]:
    """Trade until that cycle; return the hash of the rows and the kinds of them. It dies after those cycles, with what
    was reported in them not committed."""
    store = JournalStore.at(path)
    opener = Opener(store, plan(), feed())
    session = opener()
    source = cycles(feed(), session.cycles)
    while session.cycles < until:
        session.take(next(source))
        for order in session.open_orders():
            fills.take(session, order)
        session.commit()
        for order_id, record in fills.due(session):
            session.report(order_id, record)
        if session.cycles in deaths:
            session.discard()
            session = opener()
            source = cycles(feed(), session.cycles)
            for order_id, record in fills.due(session):
                session.report(order_id, record)
        session.commit()
    found = session.journal.sha256(), [row.kind for row in session.journal.rows()]
    session.discard()
    store.close()
    return found


def test_orders_wait_for_their_reports_and_every_report_is_booked_once(tmp_path: Path) -> None:
    fills = Fills()
    _, kinds = live(tmp_path / "journal.db", fills, CYCLES)
    assert kinds.count("venue_reported") == len([1 for at, _ in fills.known.values() if at <= CYCLES]) > 10
    assert kinds.count("venue_reported") == kinds.count("order_filled") + kinds.count("order_rejected")
    assert kinds.count("order_filled") > 5
    assert kinds.count("order_rejected") > 1
    first = kinds.index("venue_reported")
    assert kinds[first + 1] in {"order_filled", "order_rejected"}


def test_a_desk_that_dies_when_reports_come_books_the_same_fills(tmp_path: Path) -> None:
    fills = Fills()
    _, whole = live(tmp_path / "whole.db", fills, CYCLES)
    times = sorted({at for at, _ in fills.known.values()})
    deaths = frozenset({times[0], times[1], times[len(times) // 2], times[0] - 1})
    assert live(tmp_path / "lives.db", Fills(), CYCLES, deaths)[1] == whole


def test_a_report_that_comes_twice_is_booked_once(tmp_path: Path) -> None:
    store = JournalStore.at(tmp_path / "journal.db")
    session = Opener(store, plan(), feed())()
    fills = Fills(delay_cycles=0)
    source = cycles(feed(), 0)
    while not session.open_orders():
        session.take(next(source))
    [order, *_] = session.open_orders()
    fills.take(session, order)
    record = fills.known[order.id][1]
    assert session.report(order.id, record) is True
    before = session.journal.rows
    session.commit()
    rows = len(list(before()))
    assert session.report(order.id, record) is False
    session.commit()
    assert len(list(session.journal.rows())) == rows
    store.close()


def test_what_came_of_an_intent_reads_as_the_desk_counts_it(tmp_path: Path) -> None:
    store = JournalStore.at(tmp_path / "journal.db")
    session = Opener(store, plan(), feed())()
    source = cycles(feed(), 0)
    while not session.open_orders():
        session.take(next(source))
    [order, *_] = session.open_orders()
    intent = intent_of(order, "wallet", session.run_id, TERMS)
    cash = session.kernel.state.ledger.cash_lamports
    settlement = Settlement(
        intent.id, "sig", 1, None, 0, 0, 7_500, 0, 0, error='{"InstructionError":[3,{"Custom":6001}]}'
    )
    reverted = IntentRecord(intent, IntentState.REVERTED, (), settlement, settlement.error)
    assert session.report(order.id, reverted)
    assert session.kernel.state.ledger.cash_lamports == cash - 7_500
    session.commit()
    [rejected] = session.journal.newest(("order_rejected",))
    assert b'"reason":"slippage"' in rejected.body
    store.close()


def test_a_buy_of_more_goes_to_the_chain_with_the_price_it_may_not_fall_below() -> None:
    order = Order("o", "t", 0, Side.BUY, "entry", "mint", "s", "b", 10**9, 1, 5_000, "r")  # type: ignore[arg-type]
    held = replace(order, held_base_units=1_000_000, held_lamports=10**9)
    assert intent_of(order, "w", "run", TERMS).out_max == 0
    most = intent_of(held, "w", "run", TERMS).out_max
    paid = 10**9 + 10_000
    assert not held.is_below_average(paid, most)
    assert held.is_below_average(paid, most + 1)


def test_an_exit_may_pay_more_than_its_order_says_as_far_as_the_mandate_goes_and_an_entry_may_not() -> None:
    leave = make_order(side=Side.SELL, purpose=Purpose.EXIT, priority_fee_lamports=20_000)

    def most(order: Order, fee_lamports_max: int) -> int:
        terms = replace(TERMS, exit_fee_times=4, exit_fee_lamports_max=fee_lamports_max)
        return intent_of(order, "wallet", "run", terms).fee_lamports_max

    assert most(leave, 200_000) == 85_000
    assert most(leave, 60_000) == 60_000
    assert most(leave, 0) == 25_000, "nothing is known of a mandate: as the order says"
    assert most(make_order(priority_fee_lamports=20_000), 200_000) == 25_000
