"""The loop when the disk fails, when the kernel breaks, and when too many ask at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
import sqlalchemy as sa
from tests.doubles.scripted_market import ScriptedFeed, script

from trading.adapters.sql_journal import JournalStore
from trading.engine.kernel import Kernel
from trading.errors import JournalUnavailable, LedgerMismatch, TradingError, Unavailable
from trading.model import commands
from trading.runtime.assembly import RunPlan, chosen_profile
from trading.runtime.mailbox import Mailbox
from trading.runtime.paper import PaperLoop
from trading.runtime.session import Opener, Session
from trading.runtime.sources import PacedSource

pytestmark = pytest.mark.anyio

FEED = ScriptedFeed(script([f"1.{number % 7:02}" for number in range(600)]))


class FailingStore(JournalStore):
    """A store whose disk is full while ``is_full``."""

    is_full = False
    refused = 0

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        if self.is_full:
            self.refused += 1
            msg = "journal.db: database or disk is full"
            raise JournalUnavailable(msg)
        with super().writing() as connection:
            yield connection


class Witness:
    """Audience that only counts; ``full_at``: the disk is full from that cycle on until ``heals_after`` refusals."""

    def __init__(self, store: FailingStore, full_at: int | None = None) -> None:
        self.store = store
        self.full_at = full_at
        self.cycles: list[int] = []
        self.troubles: list[TradingError] = []
        self.ended = anyio.Event()
        self._shown = 0
        self._last = False

    def show(self, session: Session, *, is_last: bool) -> None:
        self._shown, self._last = session.cycles, is_last
        if self.full_at is not None and session.cycles >= self.full_at:
            self.store.is_full = self.store.refused < 2

    def published(self) -> None:
        self.cycles.append(self._shown)
        if self._last:
            self.ended.set()

    def troubled(self, error: TradingError) -> None:
        self.troubles.append(error)
        self.store.is_full = self.store.is_full and self.store.refused < 2
        if not isinstance(error, JournalUnavailable):
            self.ended.set()


def plan() -> RunPlan:
    return RunPlan("paper", FEED.description, chosen_profile("foundation"), 2 * 10**9, 20 * 10**9)


class Bench:
    def __init__(self, path: Path, full_at: int | None = None, len_max: int = 4) -> None:
        store = FailingStore.at(path)
        assert isinstance(store, FailingStore)
        self.store = store
        self.opener = Opener(store, plan(), FEED)
        self.witness = Witness(store, full_at)
        self.mailbox = Mailbox(len_max, 5.0, lambda: self.loop.wake())
        self.loop = PaperLoop(self.opener, PacedSource(FEED, None), self.mailbox, self.witness)

    async def run(self) -> None:
        session = await anyio.to_thread.run_sync(self.opener)
        with anyio.fail_after(30):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self.loop.run, session)
                await self.witness.ended.wait()
                tasks.cancel_scope.cancel()


def rows(store: JournalStore) -> list[tuple[str, bytes]]:
    return [(row.kind, row.body) for row in store.open_run(1).rows() if row.kind != "run_started"]


@pytest.mark.requirement("T1")
async def test_a_full_disk_stops_the_desk_until_it_can_record_and_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    whole = Bench(tmp_path / "whole.db")
    await whole.run()
    ill = Bench(tmp_path / "ill.db", full_at=300)
    await ill.run()
    assert [error.code for error in ill.witness.troubles] == ["journal_unavailable"] * 2
    assert rows(ill.store) == rows(whole.store)
    assert ill.witness.cycles == sorted(ill.witness.cycles)
    whole.store.close()
    ill.store.close()


async def test_a_command_that_could_not_be_recorded_fails_and_was_not_done(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "journal.db")
    session = await anyio.to_thread.run_sync(bench.opener)
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(bench.loop.run, session)
            await bench.witness.ended.wait()
            bench.store.is_full = True
            bench.store.refused = 1
            deposit = commands.Deposit("d", "o", "more", 10**9)
            with pytest.raises(JournalUnavailable, match="full"):
                await bench.mailbox.ask(lambda current: current.command(deposit))
            equity = await bench.mailbox.ask(lambda current: current.kernel.state.ledger.net_deposits_lamports)
            assert equity == 2 * 10**9
            await bench.mailbox.ask(lambda current: current.command(deposit))
            equity = await bench.mailbox.ask(lambda current: current.kernel.state.ledger.net_deposits_lamports)
            assert equity == 3 * 10**9
            tasks.cancel_scope.cancel()
    bench.store.close()


async def test_books_that_do_not_add_up_stop_the_desk_and_are_shown(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "journal.db")

    def broken() -> Session:
        session = bench.opener()

        class Broken(Kernel):
            def on_event(self, event: Any) -> None:
                super().on_event(event)
                if self.cycles == 5:
                    msg = "the buckets hold 1 lamport less than the wallet"
                    raise LedgerMismatch(msg)

        session.kernel.__class__ = Broken
        return session

    bench.loop = PaperLoop(broken, PacedSource(FEED, None), bench.mailbox, bench.witness)
    session = await anyio.to_thread.run_sync(broken)
    with anyio.fail_after(30):
        await bench.loop.run(session)
    [trouble] = bench.witness.troubles
    assert isinstance(trouble, LedgerMismatch)
    with pytest.raises(Unavailable, match="stopped: the buckets"):
        await bench.mailbox.ask(lambda current: current.cycles)
    bench.store.close()


async def test_more_questions_than_the_mailbox_holds_are_refused_at_once() -> None:
    mailbox = Mailbox(2, 0.05, lambda: None)
    refused: list[Unavailable] = []

    async def ask() -> None:
        try:
            await mailbox.ask(lambda current: current.cycles)
        except Unavailable as error:
            refused.append(error)

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(ask)
    assert sorted(error.message.split(":")[0] for error in refused) == [
        "the desk did not answer within 0.05 s",
        "the desk did not answer within 0.05 s",
        "the desk is busy",
    ]
