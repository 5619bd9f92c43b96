"""Wallets that a start asks for: a run takes them on, keeps them, and gives up none that still holds something."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError
from tests.unit.trading.runtime.test_checkpoints import drive, plan, waves

from trading.adapters.sql_journal import JournalStore
from trading.config import AccountSection, LiveSection
from trading.model.wallet import MAIN, WalletTerms
from trading.runtime.holding import follow
from trading.runtime.session import Opener, Session

pytestmark = pytest.mark.requirement("T10")
SOL = 10**9
ADDRESS = "So11111111111111111111111111111111111111112"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[JournalStore]:
    opened = JournalStore.at(tmp_path / "journal.db")
    yield opened
    opened.close()


def opened(store: JournalStore, *wallets: WalletTerms) -> Session:
    feed = waves(by_reference=False)
    return Opener(store, replace(plan(feed), wallets=wallets), feed)()


def held(session: Session) -> dict[str, int]:
    book = session.kernel.state.wallets
    return {} if book is None else {name: wallet.lamports for name, wallet in book.wallets.items()}


def test_a_run_of_one_wallet_goes_on_with_two_and_with_one_again(store: JournalStore) -> None:
    first = opened(store)
    drive(first, waves(by_reference=False), 50)
    cash, run_id = first.kernel.state.ledger.cash_lamports, first.run_id
    assert held(first) == {}
    two = (WalletTerms(MAIN), WalletTerms("second", 3 * SOL))
    session = opened(store, *two)
    assert session.run_id == run_id
    assert held(session) == {MAIN: cash, "second": 3 * SOL}
    rows = session.journal.horizon()
    again = opened(store, WalletTerms(MAIN), WalletTerms("second", 9 * SOL))
    assert held(again) == held(session), "what it holds now is no second deposit"
    assert again.journal.horizon() == rows
    alone = opened(store)
    assert held(alone) == {MAIN: cash}
    assert alone.kernel.state.ledger.cash_lamports == cash


def test_the_desk_follows_which_wallets_wait_for_a_person_once(store: JournalStore) -> None:
    session = opened(store, WalletTerms(MAIN), WalletTerms("second", SOL))
    assert follow(session, {MAIN: "", "second": "chain and books differ"}) == 1
    assert follow(session, {MAIN: "", "second": "chain and books differ"}) == 0
    session.commit()
    again = opened(store, WalletTerms(MAIN), WalletTerms("second", SOL))
    assert again.kernel.state.wallets is not None
    assert again.kernel.state.wallets.wallets["second"].problem == "chain and books differ"
    assert follow(again, {MAIN: "", "second": ""}) == 1
    assert follow(again, {"third": "nobody knows it"}) == 0


@pytest.mark.parametrize(
    "wallets",
    [
        [{"name": "main", "address": ADDRESS}],
        [{"name": "a", "address": ADDRESS}, {"name": "b", "address": ADDRESS}],
        [{"name": "a", "address": ADDRESS}, {"name": "a", "address": ADDRESS.replace("So", "Sp")}],
        [{"name": "A/b", "address": ADDRESS}],
        [{"name": "a", "address": "no address"}],
    ],
)
def test_wallets_that_cannot_be_told_apart_are_refused(wallets: list[dict[str, str]]) -> None:
    with pytest.raises(ValidationError):
        LiveSection.model_validate({"wallet": "S" * 40, "wallets": wallets})


def test_wallets_come_beside_one() -> None:
    with pytest.raises(ValidationError, match="beside"):
        LiveSection.model_validate({"wallets": [{"name": "a", "address": ADDRESS}]})
    with pytest.raises(ValidationError, match="name of its own"):
        AccountSection.model_validate({"wallets": [{"name": "a", "equity_sol": 1}, {"name": "a", "equity_sol": 2}]})
    found = AccountSection.model_validate({"wallets": [{"name": "a", "equity_sol": "1.5", "role": "exit"}]})
    assert found.wallets[0].role == "exit"
