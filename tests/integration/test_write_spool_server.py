"""The spool before a real PostgreSQL: killed under writers, its answers lost, and away when the daemon begins."""

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from pydantic import SecretStr
from tests.doubles.clocks import SystemClock
from tests.doubles.memory_index import MemoryIndex
from tests.doubles.word_scanner import WordScanner
from tests.support.cutting_proxy import cutting_proxy
from tests.support.journals import a_draft, make_journal
from tests.support.postgres import PostgresServer, running_postgres

from memmcp_server.adapters.sql_journal import SqlJournal, open_journal, presence
from memmcp_server.adapters.sql_journal.readiness import AGAIN_S, IDENTITY_FILE
from memmcp_server.adapters.write_spool import SqlSpool, open_spool
from memmcp_server.config import JournalSection
from memmcp_server.domain.caller import Caller
from memmcp_server.domain.drafts import UpdateFields
from memmcp_server.domain.memory import Acknowledgement, MemoryFilter
from memmcp_server.domain.search import SearchQuery
from memmcp_server.errors import JournalUnavailable, Unavailable
from memmcp_server.services.memories import Memories
from memmcp_server.services.policies import Policies
from memmcp_server.services.spooling import Spooling

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("M2"), pytest.mark.requirement("M3")]
CLAUDE = Caller("claude", "", "memory_write", "agent", "stdio")
EVERYTHING = MemoryFilter()
WRITERS = 20
WITHIN_S = 60


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="module")
def template(postgres: PostgresServer) -> str:
    name = postgres.new_database()
    make_journal(JournalSection(url=SecretStr(postgres.url(name))), Path())
    return name


@pytest.fixture
def socket_dir() -> Iterator[Path]:
    """A directory whose path is short enough for a socket in it."""
    with tempfile.TemporaryDirectory(prefix="px-") as directory:
        yield Path(directory)


@dataclass
class Daemon:
    """As much of a daemon as writes."""

    journal: SqlJournal
    spool: SqlSpool
    spooling: Spooling
    memories: Memories

    async def write(self, content: str) -> Acknowledgement:
        return await self.memories.write(a_draft(content), CLAUDE)

    async def carried(self) -> None:
        with anyio.fail_after(WITHIN_S):
            while self.spooling.problem is not None or not self.spooling.is_empty():  # noqa: ASYNC110
                await anyio.sleep(0.02)

    async def ids(self) -> list[str]:
        rows = await self.journal.page(EVERYTHING, after=None, limit=10_000, newest_first=False)
        return [row.id for row in rows]


@contextlib.asynccontextmanager
async def a_daemon(url: str, data_dir: Path, *, carries: bool = True) -> AsyncIterator[Daemon]:
    clock, section = SystemClock(), JournalSection(url=SecretStr(url))
    async with (
        open_journal(section, data_dir, clock) as journal,
        open_spool(data_dir, section.spool_rows_max, section.spool_bytes_max) as spool,
    ):
        spooling, policies = Spooling(spool, journal, clock, section.spool_after_s), Policies(journal, clock)
        policies.recall(await spooling.open())
        memories = Memories(journal, MemoryIndex(clock), clock, policies, WordScanner({}), spooling=spooling)
        task = asyncio.create_task(spooling.run(memories.commit_each) if carries else anyio.lowlevel.checkpoint())
        try:
            yield Daemon(journal, spool, spooling, memories)
        finally:
            task.cancel()
            await asyncio.wait({task})


async def test_a_killed_server_loses_and_doubles_no_write_of_twenty_writers(
    postgres: PostgresServer, template: str, tmp_path: Path
) -> None:
    url = postgres.url(postgres.new_database(template))
    acknowledged: dict[str, Acknowledgement] = {}
    enough = anyio.Event()
    async with a_daemon(url, tmp_path) as daemon:

        async def write(number: int) -> None:
            count = 0
            while not enough.is_set():
                content = f"writer {number}, {count}"
                with contextlib.suppress(Unavailable):
                    acknowledged[content] = await daemon.write(content)
                    count += 1

        def said(*, local: bool) -> int:
            return sum(each.is_local is local for each in acknowledged.values())

        async def until(local: bool, number: int) -> None:
            while said(local=local) < number:  # noqa: ASYNC110
                await anyio.sleep(0.005)

        with anyio.fail_after(WITHIN_S):
            async with anyio.create_task_group() as tasks:
                for number in range(WRITERS):
                    tasks.start_soon(write, number)
                await until(False, 100)
                postgres.kill()
                await until(True, 60)
                await asyncio.to_thread(postgres.start)
                await until(False, said(local=False) + 40)
                enough.set()
        await daemon.carried()
        ids = await daemon.ids()
        stats = await daemon.spool.stats()
    assert sorted(ids) == sorted(each.id for each in acknowledged.values())
    assert (stats.pending, stats.dead) == (0, 0)
    assert stats.delivered >= 60


@pytest.mark.parametrize("comes_back_at_once", [True, False])
async def test_a_commit_whose_answer_is_lost_is_there_once_under_the_id_that_was_answered(
    postgres: PostgresServer, template: str, tmp_path: Path, socket_dir: Path, comes_back_at_once: bool
) -> None:
    name = postgres.new_database(template)
    async with (
        cutting_proxy(socket_dir, postgres.socket_dir) as proxy,
        a_daemon(proxy.url(name), tmp_path) as daemon,
    ):
        first = await daemon.write("before")
        proxy.cuts, proxy.closes_after_cut = 1, not comes_back_at_once
        with anyio.fail_after(WITHIN_S):
            answered = await daemon.write("its answer is lost")
        assert proxy.cut == 1
        assert answered.is_local is not comes_back_at_once
        proxy.is_closed = False
        await daemon.carried()
        assert await daemon.ids() == [first.id, answered.id]


async def test_a_death_between_the_commit_and_the_removal_doubles_nothing(
    postgres: PostgresServer, template: str, tmp_path: Path
) -> None:
    url = postgres.url(postgres.new_database(template))
    async with a_daemon(url, tmp_path, carries=False) as daemon:
        daemon.spooling._note_away(JournalUnavailable("away"))
        kept = await daemon.write("carried twice")
        [write] = await daemon.spool.live(0, 10)
        [committed] = await daemon.memories.commit(
            [replace(draft, is_new_id=False) for draft in write.drafts], write.caller
        )
        assert committed.id == kept.id
    async with a_daemon(url, tmp_path) as daemon:  # as after a kill: the write is still in the spool
        assert daemon.spooling.holds(kept.id)
        await daemon.carried()
        assert await daemon.ids() == [kept.id]


async def test_a_daemon_that_was_there_before_begins_without_its_server_and_makes_up_for_it(
    postgres: PostgresServer, template: str, tmp_path: Path, socket_dir: Path
) -> None:
    name = postgres.new_database(template)
    async with cutting_proxy(socket_dir, postgres.socket_dir) as proxy:
        proxy.is_closed = True
        with pytest.raises(JournalUnavailable):
            async with a_daemon(proxy.url(name), tmp_path):
                raise NotImplementedError
        proxy.is_closed = False
        async with a_daemon(proxy.url(name), tmp_path) as daemon:
            before = await daemon.write("before")
        assert (tmp_path / IDENTITY_FILE).stat().st_mode & 0o777 == 0o600
        proxy.is_closed = True
        async with a_daemon(proxy.url(name), tmp_path) as daemon:
            with anyio.fail_after(WITHIN_S):
                kept = await daemon.write("while it is away")
                assert kept.is_local
                proxy.is_closed = False
                await daemon.carried()
            assert await daemon.ids() == [before.id, kept.id]


async def test_another_journal_at_the_same_address_is_not_written_to(
    postgres: PostgresServer, template: str, tmp_path: Path, socket_dir: Path
) -> None:
    name = postgres.new_database(template)
    async with cutting_proxy(socket_dir, postgres.socket_dir) as proxy:
        async with a_daemon(proxy.url(name), tmp_path) as daemon:
            ours = await daemon.journal.instance_id()
        proxy.is_closed = True
        async with a_daemon(proxy.url(name), tmp_path, carries=False) as daemon:
            kept = await daemon.write("for the first journal")
            assert kept.is_local
            postgres.execute("UPDATE head SET instance_id = 'of-another-journal'", name)
            proxy.is_closed = False
            await anyio.sleep(AGAIN_S)
            with pytest.raises(JournalUnavailable, match="holds journal of-another-journal"):
                await daemon.journal.horizon()
            postgres.execute(f"UPDATE head SET instance_id = '{ours}'", name)
            await anyio.sleep(AGAIN_S)
            assert await daemon.ids() == []


async def test_what_needs_a_server_that_hangs_is_refused_within_two_seconds_and_goes_on_when_it_does(
    postgres: PostgresServer, template: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert presence.PATIENCE_S + presence.ANSWER_S <= 2
    for name in ("PATIENCE_S", "ANSWER_S"):
        monkeypatch.setattr(presence, name, getattr(presence, name) / 4)
    url = postgres.url(postgres.new_database(template))
    async with a_daemon(url, tmp_path) as daemon:
        first = await daemon.write("before")
        waits = [
            lambda: daemon.memories.get(first.id),
            lambda: daemon.memories.search(SearchQuery("before"), CLAUDE),
            lambda: daemon.memories.update(UpdateFields(first.id, content="after"), CLAUDE),
        ]
        with postgres.paused():
            began_s = time.monotonic()
            refusals = await asyncio.gather(*(each() for each in waits), return_exceptions=True)
            assert time.monotonic() - began_s < 2  # four times as long: other tests share the machine
        for refusal in refusals:
            assert isinstance(refusal, JournalUnavailable)
            assert "does not answer" in refusal.message
        with anyio.fail_after(WITHIN_S):
            await daemon.carried()
            assert (await daemon.memories.get(first.id)).content == "before"
