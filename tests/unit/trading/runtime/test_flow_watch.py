"""What a wallet did by itself is booked once, however often it is told, and survives a restart."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import pytest
from tests.support.hand_chain import FEE, HandChain
from tests.unit.trading.runtime.test_checkpoints import drive, plan, waves

from trading.adapters.sql_journal import JournalStore
from trading.portfolio.chain_flows import FlowRules
from trading.runtime.flow_watch import FlowWatch
from trading.runtime.session import Opener, Session

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("T20")]
SOL = 10**9
T = TypeVar("T")


class Box:
    """A mailbox whose desk answers at once, and durably."""

    def __init__(self, session: Session) -> None:
        self.session = session

    async def ask(self, run: Callable[[Session], T]) -> T:
        answer = run(self.session)
        self.session.commit()
        return answer


class Halts:
    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def halt(self, wallet: str, problem: str, evidence: Mapping[str, Any]) -> None:
        self.told.append((wallet, evidence["alarm"]))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[JournalStore]:
    opened = JournalStore.at(tmp_path / "journal.db")
    yield opened
    opened.close()


def opened(store: JournalStore) -> Session:
    feed = waves(by_reference=False)
    return Opener(store, plan(feed), feed)()


def watch(session: Session, halts: Halts, names: Mapping[str, str] | None = None) -> FlowWatch:
    return FlowWatch(Box(session), halts, {"main": "w1"}, FlowRules(), names or {})  # type: ignore[arg-type]


async def test_a_transaction_that_is_told_again_also_after_a_restart_is_booked_once(store: JournalStore) -> None:
    session, halts = opened(store), Halts()
    drive(session, waves(by_reference=False), 50)
    chain = HandChain({"w1": session.kernel.state.ledger.cash_lamports})
    seen = chain.send_sol("w1", -12 * SOL // 10)  # more than half of the cash: read again, it would be too much
    flows = watch(session, halts)
    for _ in range(2):
        await flows.take("w1", seen)
    assert session.kernel.state.ledger.cash_lamports == chain.cash
    twr = session.kernel.state.curve.time_weighted_return_bps
    again = opened(store)
    assert again.kernel.state.ledger.cash_lamports == chain.cash
    assert again.kernel.state.curve.time_weighted_return_bps == twr
    await watch(again, halts).take("w1", seen)
    assert again.kernel.state.ledger.cash_lamports == chain.cash
    assert halts.told == []


async def test_a_trade_by_hand_of_a_token_under_another_name_is_a_position_that_a_restart_knows(
    store: JournalStore,
) -> None:
    session, halts = opened(store), Halts()
    drive(session, waves(by_reference=False), 50)
    chain = HandChain({"w1": session.kernel.state.ledger.cash_lamports})
    await watch(session, halts, {"CHAIN": "sim:BBB"}).take("w1", chain.swap("w1", "CHAIN", 700, SOL // 10))
    again = opened(store)
    for each in (session, again):
        position = each.kernel.state.ledger.position("manual", "sim:BBB")
        assert position is not None
        assert (position.base_units, position.cost_lamports) == (700, SOL // 10 + FEE)
        assert each.kernel.state.ledger.cash_lamports == chain.cash


async def test_what_was_paid_for_a_token_that_the_feed_does_not_know_has_left_the_desk(store: JournalStore) -> None:
    session = opened(store)
    drive(session, waves(by_reference=False), 50)
    chain = HandChain({"w1": session.kernel.state.ledger.cash_lamports})
    await watch(session, Halts()).take("w1", chain.swap("w1", "UNKNOWN", 700, SOL // 10))
    assert session.kernel.state.ledger.position("manual", "UNKNOWN") is None
    assert session.kernel.state.ledger.cash_lamports == chain.cash


async def test_more_than_the_books_have_halts_the_wallet_and_books_nothing(store: JournalStore) -> None:
    session, halts = opened(store), Halts()
    drive(session, waves(by_reference=False), 50)
    cash = session.kernel.state.ledger.cash_lamports
    chain = HandChain({"w1": cash + 9 * SOL})
    await watch(session, halts).take("w1", chain.send_sol("w1", -cash - 5 * SOL))
    assert session.kernel.state.ledger.cash_lamports == cash
    assert halts.told == [("w1", "books_short")]
