"""Group commit: shared transactions, separate fates, bounded waiting."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from sqlalchemy import Connection, event
from tests.doubles.clocks import ManualClock
from tests.doubles.premature_journal import open_premature_journal
from tests.support.journals import a_draft

from memmcp_server.adapters.sql_journal import SqlJournal, open_journal
from memmcp_server.config import JournalSection, Sections
from memmcp_server.domain.identifiers import TrajectoryId
from memmcp_server.domain.memory import Acknowledgement, MemoryFilter
from memmcp_server.domain.trajectory import CloseTrajectory
from memmcp_server.errors import (
    IdempotencyConflict,
    InvalidInput,
    JournalBusy,
    JournalUnavailable,
    NotFound,
    OutcomeUnknown,
)

pytestmark = pytest.mark.anyio
EVERYTHING = MemoryFilter()


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[SqlJournal]:
    async with open_journal(JournalSection(), tmp_path, ManualClock()) as opened:
        yield opened


@asynccontextmanager
async def held(journal: SqlJournal) -> AsyncIterator[None]:
    """Keep the writer busy within the block, so that what is written meanwhile queues up."""
    began, gate = threading.Event(), threading.Event()

    def hold(_connection: Connection) -> None:
        began.set()
        gate.wait(20)

    future = journal._writer.submit(hold, 1)
    try:
        assert await asyncio.to_thread(began.wait, 10)
        yield
    finally:
        gate.set()
    await future


async def wait_until_queued(journal: SqlJournal, rows: int) -> None:
    with anyio.fail_after(30):
        while journal.queued_rows < rows:
            await anyio.lowlevel.checkpoint()


def transactions_of(journal: SqlJournal) -> list[int]:
    """Return a list that grows by one with each commit of the writer."""
    seen: list[int] = []
    event.listen(journal._engines.writer, "commit", lambda _connection: seen.append(1))
    return seen


async def test_what_queues_up_shares_one_transaction(journal: SqlJournal) -> None:
    transactions = transactions_of(journal)
    acknowledged: list[Acknowledgement] = []

    async def write(number: int) -> None:
        acknowledged.extend(await journal.commit([a_draft(str(number))]))

    async with anyio.create_task_group() as tasks, held(journal):
        for number in range(100):
            tasks.start_soon(write, number)
        await wait_until_queued(journal, 100)
    assert len(transactions) == 2  # the one that was held, and one for all
    assert sorted(each.seq for each in acknowledged) == list(range(1, 101))


async def test_a_batch_is_bounded_by_rows(tmp_path: Path) -> None:
    async with open_journal(JournalSection(batch_rows_max=10), tmp_path, ManualClock()) as journal:
        transactions = transactions_of(journal)
        async with anyio.create_task_group() as tasks, held(journal):
            for number in range(25):
                tasks.start_soon(journal.commit, [a_draft(str(number))])
            await wait_until_queued(journal, 25)
        assert len(transactions) == 1 + 3
        # One commit is never divided, however many rows it has.
        await journal.commit([a_draft(f"many {number}") for number in range(30)])
        assert len(transactions) == 1 + 3 + 1


@pytest.mark.requirement("M2")
async def test_in_one_batch_the_refused_fail_alone(journal: SqlJournal) -> None:
    await journal.commit([a_draft("held", "k")])
    outcomes: dict[str, object] = {}

    async def write(name: str, *commands: object) -> None:
        try:
            outcomes[name] = await journal.commit(commands)  # type: ignore[arg-type]
        except (IdempotencyConflict, InvalidInput) as error:
            outcomes[name] = error

    async with anyio.create_task_group() as tasks, held(journal):
        tasks.start_soon(write, "before", a_draft("before"))
        tasks.start_soon(write, "conflict", a_draft("lost with it"), a_draft("other", "k"))
        tasks.start_soon(write, "after", a_draft("after"))
        await wait_until_queued(journal, 4)
    assert isinstance(outcomes["conflict"], IdempotencyConflict)
    assert isinstance(outcomes["before"], list)
    assert isinstance(outcomes["after"], list)
    found = await journal.page(EVERYTHING, after=None, limit=10, newest_first=False)
    assert [memory.content for memory in found] == ["held", "before", "after"]
    assert [memory.seq for memory in found] == [1, 2, 3]  # a refusal leaves no gap either


async def test_a_refused_unit_leaves_no_trace_for_those_behind_it_in_the_batch(journal: SqlJournal) -> None:
    unknown = CloseTrajectory(TrajectoryId("nowhere"), "won", "closed", 1)
    async with held(journal):
        step = a_draft("step", trajectory_id="t")
        refused = asyncio.ensure_future(
            journal.commit([step, CloseTrajectory(TrajectoryId("t"), "w", "c", 1), unknown])
        )
        await wait_until_queued(journal, 3)
        behind = asyncio.ensure_future(journal.commit([step, a_draft("other")]))
        await wait_until_queued(journal, 5)
    with pytest.raises(NotFound, match="nowhere"):
        await refused
    written, other = await behind
    assert (written.seq, written.duplicate, other.seq) == (2, False, 3)
    opened = await journal.trajectory(TrajectoryId("t"))
    assert opened is not None
    assert (opened.steps, opened.closed_at_ns) == (1, None)
    assert await journal.count(EVERYTHING) == 3


async def test_an_unforeseen_error_rolls_the_batch_back_and_only_its_cause_fails(journal: SqlJournal) -> None:
    def broken(connection: Connection) -> None:
        connection.exec_driver_sql("DELETE FROM memories")
        msg = "nobody foresaw this"
        raise ValueError(msg)

    async with anyio.create_task_group() as tasks:
        async with held(journal):
            tasks.start_soon(journal.commit, [a_draft("innocent")])
            future = journal._writer.submit(broken, 1)
            tasks.start_soon(journal.commit, [a_draft("bystander")])
            await wait_until_queued(journal, 3)
        with pytest.raises(InvalidInput, match="nobody foresaw this"):
            await future
    assert await journal.count(EVERYTHING) == 2
    assert len(await journal.outbox_due("qdrant", now_ns=2**62, limit=10)) == 2


async def test_a_sequence_of_commands_in_one_batch_sees_those_before_it(journal: SqlJournal) -> None:
    trade = TrajectoryId("t")
    async with anyio.create_task_group() as tasks, held(journal):
        tasks.start_soon(journal.commit, [a_draft("signal", trajectory_id="t")])
        tasks.start_soon(journal.commit, [CloseTrajectory(trade, "won", "closed", 1)])
        tasks.start_soon(journal.commit, [a_draft("signal", trajectory_id="t")])
        await wait_until_queued(journal, 3)
    closed = await journal.trajectory(trade)
    assert closed is not None
    assert (closed.outcome, closed.steps) == ("won", 1)


async def test_a_full_queue_is_busy_and_loses_nothing_it_took(tmp_path: Path) -> None:
    async with open_journal(JournalSection(queue_len_max=3), tmp_path, ManualClock()) as journal:
        async with anyio.create_task_group() as tasks, held(journal):
            for number in range(3):
                tasks.start_soon(journal.commit, [a_draft(str(number))])
            await wait_until_queued(journal, 3)
            with pytest.raises(JournalBusy) as caught:
                await journal.commit([a_draft("too many")])
            assert caught.value.retryable
        assert await journal.count(EVERYTHING) == 3


async def test_a_commit_that_takes_too_long_is_unknown_and_repeating_it_tells(tmp_path: Path) -> None:
    async with open_journal(JournalSection(commit_timeout_s=1.0), tmp_path, ManualClock()) as journal:
        async with held(journal):
            with pytest.raises(OutcomeUnknown) as caught:
                await journal.commit([a_draft("slow")])
        assert caught.value.hint is not None
        assert "same idempotency key" in caught.value.hint
        with anyio.fail_after(30):
            while not await journal.count(EVERYTHING):
                await anyio.lowlevel.checkpoint()
        [again] = await journal.commit([a_draft("slow")])
        assert again.duplicate


async def test_a_caller_that_goes_away_takes_nobodys_write_with_it(journal: SqlJournal) -> None:
    async with held(journal):
        with anyio.move_on_after(0.05):
            await journal.commit([a_draft("gone")])
        waiting = asyncio.ensure_future(journal.commit([a_draft("stays")]))
        await wait_until_queued(journal, 2)
    [stays] = await waiting
    assert stays.seq == 2
    assert await journal.count(EVERYTHING) == 2


async def test_closing_finishes_what_is_queued_then_refuses(tmp_path: Path) -> None:
    async with open_journal(JournalSection(), tmp_path, ManualClock()) as journal:
        writing = [asyncio.ensure_future(journal.commit([a_draft(str(number))])) for number in range(50)]
        await wait_until_queued_or_done(journal, writing)
    assert len({each.seq for task in writing for each in await task}) == 50
    with pytest.raises(JournalUnavailable, match="closed"):
        await journal.commit([a_draft("late")])
    with pytest.raises(JournalUnavailable, match="closed"):
        await journal.horizon()
    await journal.close()  # again: nothing happens
    async with open_journal(JournalSection(), tmp_path, ManualClock()) as reopened:
        assert await reopened.count(EVERYTHING) == 50


async def wait_until_queued_or_done(journal: SqlJournal, tasks: list["asyncio.Future[list[Acknowledgement]]"]) -> None:
    with anyio.fail_after(30):
        while not journal.queued_rows and not all(task.done() for task in tasks):
            await anyio.lowlevel.checkpoint()


async def test_two_event_loops_may_write_to_one_journal(journal: SqlJournal) -> None:
    def from_another_loop() -> list[Acknowledgement]:
        return asyncio.run(journal.commit([a_draft("from elsewhere")]))

    [elsewhere] = await asyncio.to_thread(from_another_loop)
    [here] = await journal.commit([a_draft("from here")])
    assert here.seq == elsewhere.seq + 1


@pytest.mark.requirement("M2")
async def test_what_is_acknowledged_is_in_the_file_and_the_premature_control_is_caught(tmp_path: Path) -> None:
    """The check that a crash test rests on: look into the file with another connection at the acknowledgement."""

    def rows(directory: Path) -> int:
        connection = sqlite3.connect(f"file:{directory / 'journal.db'}?mode=ro", uri=True)
        try:
            return int(connection.execute("SELECT count(*) FROM memories").fetchone()[0])
        finally:
            connection.close()

    async with open_journal(JournalSection(), tmp_path / "honest", ManualClock()) as honest:
        await honest.commit([a_draft("durable")])
        assert rows(tmp_path / "honest") == 1
    async with open_premature_journal(Sections(data_dir=tmp_path / "premature")) as premature:
        await premature.commit([a_draft("promised")])
        assert rows(tmp_path / "premature") == 0
    assert rows(tmp_path / "premature") == 1  # without a crash it keeps its word in the end
