"""What waits in the journal of what is owed: its evidence, the answers that are allowed, and what they do."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from trading.adapters.execution_journal import SqlExecutionJournal
from trading.adapters.instance import RESTORED_NAME, InstanceFile
from trading.errors import InvalidInput
from trading.execution.looking_again import Finding, Look
from trading.model.intent import SOL_MINT, Attempt, Balances, Intent, IntentState
from trading.runtime.reviewing import Answered, answer, conclude, execution_items, require_allowed

pytestmark = [pytest.mark.requirement("O8"), pytest.mark.requirement("T10")]
INTENT = Intent("i1", "i1", "w1", SOL_MINT, "AAA", 5, 1, 100, 10_000, 3, 1, 10**9, is_exit=False)
ATTEMPT = Attempt("i1", 1, "sig1", b"raw", "hash", 100, 7, 5_000, Balances(10**9, 10**9, 0), 1)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[SqlExecutionJournal]:
    opened = SqlExecutionJournal.at(tmp_path / "execution.db", lambda: 5, InstanceFile(tmp_path))
    yield opened
    opened.close()


def waiting(journal: SqlExecutionJournal) -> dict[str, list[str]]:
    return {each["id"]: each["answers"] for each in execution_items(journal)}


def stopped(journal: SqlExecutionJournal) -> None:
    journal.open(INTENT)
    journal.signed(ATTEMPT)
    journal.needs_review("i1", "it took 6 instead of 5", {"signature": "sig1", "slot": 9})


def test_nothing_waits_in_a_journal_that_agrees_with_the_chain(journal: SqlExecutionJournal) -> None:
    journal.open(INTENT)
    assert execution_items(journal) == []


def test_an_intent_waits_with_its_evidence_and_its_wallet_waits_for_it(journal: SqlExecutionJournal) -> None:
    stopped(journal)
    intent, wallet = execution_items(journal)
    assert (intent["id"], intent["answers"]) == ("intent/i1", ["look", "failed"])
    assert intent["evidence"][0] == "it took 6 instead of 5"
    assert intent["evidence"][1] == "attempt 1 is signed: sig1"
    assert "'slot': 9" in intent["evidence"][2]
    assert (wallet["id"], wallet["answers"]) == ("wallet/w1", [])


def test_an_answered_intent_ends_and_then_its_wallet_can_be_released(journal: SqlExecutionJournal) -> None:
    stopped(journal)
    with pytest.raises(InvalidInput, match="allows nothing now"):
        answer(journal, "wallet/w1", "release", "maria", "looked")
    with pytest.raises(InvalidInput, match="allows look, failed"):
        require_allowed(execution_items(journal), "intent/i1", "settled", "looked")
    with pytest.raises(InvalidInput, match="reason"):
        require_allowed(execution_items(journal), "intent/i1", "failed", "")
    said = Answered("failed", "maria", "the program is upgraded")
    conclude(journal, journal.record("i1"), Look(Finding.DIFFERS, ("one: it took 6",)), said)
    assert journal.record("i1").state is IntentState.FAILED
    assert "maria: the program is upgraded (the chain: one: it took 6)" in journal.record("i1").problem
    assert waiting(journal) == {"wallet/w1": ["release"]}
    answer(journal, "wallet/w1", "release", "maria", "the balances agree")
    assert waiting(journal) == {}
    with pytest.raises(InvalidInput, match="does not wait"):
        answer(journal, "wallet/w1", "release", "maria", "again")


def test_a_restored_journal_waits_as_a_whole_before_its_wallets(tmp_path: Path) -> None:
    first = SqlExecutionJournal.at(tmp_path / "execution.db", lambda: 5, InstanceFile(tmp_path))
    first.open(INTENT)
    first.close()
    (tmp_path / RESTORED_NAME).write_text("{}")
    journal = SqlExecutionJournal.at(tmp_path / "execution.db", lambda: 5, InstanceFile(tmp_path))
    assert waiting(journal) == {"journal": ["accept"], "wallet/w1": []}
    answer(journal, "journal", "accept", "maria", "the sweep found nothing")
    assert waiting(journal) == {"wallet/w1": ["release"]}
    answer(journal, "wallet/w1", "release", "maria", "the sweep found nothing")
    assert waiting(journal) == {}
    journal.close()
