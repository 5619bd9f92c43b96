"""What the journal of live execution refuses by itself, whoever asks."""

from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
import sqlalchemy as sa
from tests.doubles.plain_chain import PlainChain, PlainPreparer, buying

from trading.adapters.execution_journal import SqlExecutionJournal
from trading.errors import IllegalTransition, InvalidInput, JournalUnavailable
from trading.model.chain import AbsenceProof, HeightSeen
from trading.model.intent import Attempt, IntentState

pytestmark = pytest.mark.requirement("T10")


@pytest.fixture
def chain() -> PlainChain:
    made = PlainChain()
    made.wallets["w"] = [5 * 10**9, 0]
    return made


@pytest.fixture
def journal(chain: PlainChain, tmp_path: Path) -> Iterator[SqlExecutionJournal]:
    made = SqlExecutionJournal.at(tmp_path / "execution.db", chain.now_ns)
    yield made
    made.close()


def attempt_of(chain: PlainChain, journal: SqlExecutionJournal) -> Attempt:
    known = journal.open(buying(chain, "w", 10**9))
    return anyio.run(PlainPreparer(chain).prepare, known)


def test_nothing_is_signed_for_a_wallet_that_was_halted_meanwhile(
    chain: PlainChain, journal: SqlExecutionJournal
) -> None:
    attempt = attempt_of(chain, journal)
    journal.halt("w", "a swap that nobody wrote down", {})
    with pytest.raises(IllegalTransition, match="halted"):
        journal.signed(attempt)
    assert journal.record(attempt.intent_id).state is IntentState.OPEN
    journal.release("w", "operator", "looked")
    journal.signed(attempt)
    assert journal.record(attempt.intent_id).state is IntentState.SIGNED


def test_no_second_attempt_while_the_first_may_land(chain: PlainChain, journal: SqlExecutionJournal) -> None:
    attempt = attempt_of(chain, journal)
    journal.signed(attempt)
    with pytest.raises(IllegalTransition):
        journal.signed(attempt)
    too_early = AbsenceProof(
        attempt.signature, attempt.last_valid_block_height, (HeightSeen("a", 1, attempt.last_valid_block_height),)
    )
    with pytest.raises(IllegalTransition, match="not over"):
        journal.expired(attempt.intent_id, too_early)
    other = AbsenceProof("another", attempt.last_valid_block_height, ())
    with pytest.raises(IllegalTransition, match="another transaction"):
        journal.expired(attempt.intent_id, other)
    with pytest.raises(IllegalTransition, match="cannot become"):
        journal.ended(attempt.intent_id, IntentState.FAILED, "tired of waiting")


def test_a_key_stands_for_one_wish(chain: PlainChain, journal: SqlExecutionJournal) -> None:
    intent = buying(chain, "w", 10**9)
    assert journal.open(intent).intent == intent
    assert journal.open(intent).intent == intent
    with pytest.raises(InvalidInput, match="amount_in"):
        journal.open(buying(chain, "w", 2 * 10**9))


def test_who_opened_it_before_may_not_write_any_more(
    chain: PlainChain, journal: SqlExecutionJournal, tmp_path: Path
) -> None:
    attempt = attempt_of(chain, journal)
    newer = SqlExecutionJournal.at(tmp_path / "execution.db", chain.now_ns)
    with pytest.raises(JournalUnavailable, match="another process"):
        journal.signed(attempt)
    newer.signed(attempt)
    newer.close()


def test_only_the_opening_of_an_intent_leaves_the_sync_to_the_next_commit(
    chain: PlainChain, journal: SqlExecutionJournal
) -> None:
    levels: list[int] = []

    def note(connection: sa.Connection) -> None:
        driver = connection.connection.driver_connection
        assert driver is not None
        levels.append(driver.execute("PRAGMA synchronous").fetchone()[0])

    sa.event.listen(journal._engine, "commit", note)
    attempt = attempt_of(chain, journal)
    journal.signed(attempt)
    opened, *later = levels
    assert opened == 1, "NORMAL: in the log, and synced with what comes next"
    assert set(later) == {2}, "FULL: bytes are sent only when they are on the disk"
