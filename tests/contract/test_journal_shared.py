"""One daemon's trouble is its own: what others on the same server can still do, and what it does itself afterwards."""

import asyncio
import threading
import time
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import psycopg
import pytest
from pydantic import SecretStr
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from tests.doubles.clocks import ManualClock
from tests.support.journals import a_draft
from tests.support.postgres import PostgresServer

from memmcp_server.adapters.sql_journal import SqlJournal, engines, listener, migrate, nodes, open_journal, reads
from memmcp_server.config import JournalSection
from memmcp_server.domain.identifiers import Seq
from memmcp_server.domain.memory import MemoryFilter
from memmcp_server.errors import JournalBusy, JournalUnavailable, MemoryServerError

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("Q5")]
EVERYTHING = MemoryFilter()
YEAR_S = 365 * 86_400
WITHIN_S = 10


@pytest.fixture
def database(postgres: PostgresServer, postgres_template: str) -> str:
    return postgres.new_database(postgres_template)


async def opened(stack: AsyncExitStack, url: str, directory: Path, clock: ManualClock | None = None) -> SqlJournal:
    directory.mkdir(exist_ok=True)
    section = JournalSection(url=SecretStr(url))
    return await stack.enter_async_context(open_journal(section, directory, clock or ManualClock()))


async def test_a_daemon_that_stops_in_the_middle_of_a_commit_holds_up_nobody_for_long(
    postgres: PostgresServer, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "STUCK_S", 0.3)
    asleep, wakes = threading.Event(), threading.Event()

    def sleeps(connection: Connection) -> None:
        """As a machine does whose lid is closed between two statements: the server still has its connection."""
        connection.exec_driver_sql("SELECT seq FROM head FOR UPDATE")
        asleep.set()
        wakes.wait(WITHIN_S)

    async with AsyncExitStack() as stack:
        one = await opened(stack, postgres.url(database), tmp_path / "one")
        two = await opened(stack, postgres.url(database), tmp_path / "two")
        sleeping = asyncio.ensure_future(one._done(sleeps))
        await anyio.to_thread.run_sync(asleep.wait)
        try:
            with anyio.fail_after(WITHIN_S / 2):
                [awake] = await two.commit([a_draft("of one that is awake")])
        finally:
            wakes.set()
            await asyncio.wait({sleeping})
            sleeping.exception()
        [later] = await one.commit([a_draft("of one that woke up")])
        assert (awake.seq, later.seq) == (1, 2)


async def test_a_clean_up_that_the_server_refuses_or_cuts_off_stops_no_write(
    postgres: PostgresServer, database: str, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        journal = await opened(stack, postgres.url(database), tmp_path)
        await journal.commit([a_draft("before")])
        postgres.execute("ALTER TABLE marks RENAME TO elsewhere", database)
        with anyio.fail_after(WITHIN_S), pytest.raises(JournalUnavailable, match="marks"):
            await journal.purge(())
        postgres.execute("ALTER TABLE elsewhere RENAME TO marks", database)
        postgres.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'")
        with anyio.fail_after(WITHIN_S):
            assert (await journal.purge(())).steps == ("vacuum",)
            [after] = await journal.commit([a_draft("after")])
        assert after.seq == 2


async def test_writes_go_on_while_a_large_table_is_cleaned_up(
    postgres: PostgresServer, database: str, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        journal = await opened(stack, postgres.url(database), tmp_path)
        with psycopg.connect(postgres.url(database)) as other:
            # Whoever changes the table keeps the clean-up waiting, as a large table keeps it at work.
            other.execute("LOCK TABLE marks IN SHARE UPDATE EXCLUSIVE MODE")
            cleaning = asyncio.ensure_future(journal.purge(()))
            with anyio.fail_after(WITHIN_S):
                await anyio.to_thread.run_sync(_until_waiting, postgres.url(database))
                [written] = await journal.commit([a_draft("meanwhile")])
            assert not cleaning.done()
        assert (await cleaning).steps == ("vacuum",)
        assert written.seq == 1


async def test_a_lease_and_a_commit_together_never_wait_for_each_other_across_daemons(
    postgres: PostgresServer, database: str, tmp_path: Path
) -> None:
    """The head is locked before anything else, by every daemon: otherwise the server ends one of two that wait."""
    url = postgres.url(database)
    async with AsyncExitStack() as stack:
        journal = await opened(stack, url, tmp_path)
        await journal.take_lease("upkeep", "one", 60)
        other = stack.enter_context(psycopg.connect(url))
        # Were there a circle, the server would end the one who looks for it first.
        other.execute("SET deadlock_timeout = '20s'")
        other.execute("SELECT seq FROM head FOR UPDATE")
        together = asyncio.gather(
            journal.take_lease("upkeep", "one", 60), journal.commit([a_draft("x")]), return_exceptions=True
        )
        with anyio.fail_after(WITHIN_S):
            await anyio.to_thread.run_sync(_until_waiting, url)
            renew = partial(other.execute, "UPDATE leases SET until_ns = until_ns WHERE name = 'upkeep'")
            await anyio.to_thread.run_sync(renew)
            other.commit()
            token, acknowledged = await together
        assert token == 1
        assert not isinstance(acknowledged, MemoryServerError)


def _until_waiting(url: str) -> None:
    """Return once a connection waits for another's lock."""
    waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    with psycopg.connect(url, autocommit=True) as connection:
        while not connection.execute(waits).fetchone()[0]:  # type: ignore[index]
            threading.Event().wait(0.01)


async def test_a_daemon_that_comes_new_to_a_large_journal_keeps_no_other_from_writing(
    postgres: PostgresServer, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it is given is queued a piece at a time, each a transaction of its own; killed between two it goes on."""
    monkeypatch.setattr(nodes, "FILL_ROWS", 3)
    fill, filled = nodes.fill, 0

    def dies_in_the_third(*arguments: object) -> bool:
        nonlocal filled
        filled += 1
        if filled == 3:
            raise JournalUnavailable("killed")
        return fill(*arguments)  # type: ignore[arg-type]

    async with AsyncExitStack() as stack:
        url = postgres.url(database)
        one = await opened(stack, url, tmp_path / "one")
        await one.commit([a_draft(f"memory {number}") for number in range(10)])
        monkeypatch.setattr(nodes, "fill", dies_in_the_third)
        with pytest.raises(JournalUnavailable, match="killed"):
            await opened(stack, url, tmp_path / "two")
        monkeypatch.setattr(nodes, "fill", fill)
        node = (tmp_path / "two" / "node").read_text().strip()
        assert (await one.outbox_stats())[f"qdrant@{node}"].pending == 6
        with anyio.fail_after(WITHIN_S):
            await one.commit([a_draft("between two pieces")])
        two = await opened(stack, url, tmp_path / "two")
        due = await two.outbox_due("qdrant", now_ns=two._clock.now_ns(), limit=100)
        assert sorted(entry.seq for entry in due) == list(range(1, 12))
        again = await opened(stack, url, tmp_path / "two")
        assert (await again.outbox_stats())["qdrant"].pending == 11


def test_what_waits_for_one_index_is_counted_without_a_look_at_what_waits_for_others(
    postgres: PostgresServer, database: str
) -> None:
    with psycopg.connect(postgres.url(database), autocommit=True) as connection:
        entry = "n, 'qdrant@another', 'm', 1, n, 0, 0, 0, '', n % 1000 = 0"
        connection.execute(f"INSERT INTO outbox SELECT {entry} FROM generate_series(1, 20000) n".encode())
        connection.execute("ANALYZE outbox")
        asked = reads.backlog_query("qdrant").compile(
            dialect=PGDialect_psycopg(), compile_kwargs={"literal_binds": True}
        )
        plan = "\n".join(row[0] for row in connection.execute(f"EXPLAIN {asked}".encode()))
    assert "outbox_live" in plan
    assert "outbox_dead" in plan
    assert "Seq Scan" not in plan


async def test_a_daemon_whose_clock_is_ahead_makes_no_parts_for_years(
    postgres: PostgresServer, database: str, tmp_path: Path
) -> None:
    right, ahead = ManualClock(time.time_ns()), ManualClock(time.time_ns())
    ahead.advance(3 * YEAR_S)
    async with AsyncExitStack() as stack:
        one = await opened(stack, postgres.url(database), tmp_path / "one", right)
        two = await opened(stack, postgres.url(database), tmp_path / "two", ahead)
        await one.keep_parts()
        await two.keep_parts()
    with psycopg.connect(postgres.url(database)) as connection:
        found = connection.execute("SELECT relname FROM pg_class WHERE relname LIKE 'audit_2%%'").fetchall()
    assert len(found) < 12


async def test_a_start_waits_for_the_migration_of_another_daemon_for_a_while_only(
    postgres: PostgresServer, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate, "WAIT_S", 0.2)
    with psycopg.connect(postgres.url(database)) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", [migrate.LOCK_NUMBER])
        async with AsyncExitStack() as stack:
            with anyio.fail_after(WITHIN_S), pytest.raises(JournalBusy, match="in the way"):
                await opened(stack, postgres.url(database), tmp_path)


async def test_a_commit_is_heard_of_also_where_notifications_are_lost(
    postgres: PostgresServer, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As behind a pooler that gives each transaction another connection, or on one that died without a word."""
    monkeypatch.setattr(listener, "CHANNEL", "another_channel")
    async with AsyncExitStack() as stack:
        one = await opened(stack, postgres.url(database), tmp_path / "one")
        two = await opened(stack, postgres.url(database), tmp_path / "two")
        waiting = asyncio.ensure_future(one.wait_for_commit(Seq(0), 60))
        await anyio.sleep(2 * listener.LOOK_S)  # it has looked once, and is listening
        await two.commit([a_draft("told to nobody")])
        with anyio.fail_after(WITHIN_S):
            assert await waiting == 1


async def test_a_back_up_of_a_large_journal_leaves_the_readers_their_connections(
    postgres: PostgresServer, database: str, tmp_path: Path
) -> None:
    url = postgres.url(database)
    section = JournalSection(url=SecretStr(url), readers=1)
    async with open_journal(section, tmp_path, ManualClock()) as journal:
        await journal.commit([a_draft("to be read")])
        with psycopg.connect(url) as other:
            # The copy waits here, as it would be long at work on a large table.
            other.execute("LOCK TABLE marks IN ACCESS EXCLUSIVE MODE")
            copying = asyncio.ensure_future(journal.backup(tmp_path / "copies"))
            with anyio.fail_after(WITHIN_S):
                await anyio.to_thread.run_sync(_until_waiting, url)
                assert await journal.count(EVERYTHING) == 1
            assert not copying.done()
        assert (await copying).is_file()


@pytest.mark.parametrize(("asked", "holds"), [("off", "on"), ("local", "local"), ("remote_apply", "remote_apply")])
async def test_a_database_set_to_acknowledge_before_it_is_durable_is_written_to_durably(
    postgres: PostgresServer, database: str, tmp_path: Path, asked: str, holds: str
) -> None:
    postgres.execute(f"ALTER DATABASE {database} SET synchronous_commit = {asked}")

    def says(connection: Connection) -> str:
        return str(connection.exec_driver_sql("SHOW synchronous_commit").scalar_one())

    async with AsyncExitStack() as stack:
        journal = await opened(stack, postgres.url(database), tmp_path)
        assert await journal._done(says) == holds
        postgres.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'")
        await journal.commit([a_draft("over a new connection")])
        assert await journal._done(says) == holds


async def test_what_an_address_says_beside_the_database_counts_for_reading_and_listening_too(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    name = postgres.new_database()
    postgres.execute("CREATE SCHEMA own", name)
    url = f"{postgres.url(name)}&options=-c%20search_path%3Down"
    async with AsyncExitStack() as stack:
        one = await opened(stack, url, tmp_path / "one")
        two = await opened(stack, url, tmp_path / "two")
        [first] = await one.commit([a_draft("in a schema of its own")])
        assert await two.count(EVERYTHING) == 1
        with anyio.fail_after(WITHIN_S):
            # Far longer than the time allowed: only a notification ends it.
            while await two.wait_for_commit(first.seq - 1, 60) < first.seq:  # type: ignore[arg-type]
                pass
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(one.commit, [a_draft("heard of")])
                assert await two.wait_for_commit(first.seq, 60) == 2


async def test_a_daemon_whose_clock_is_wrong_gives_up_no_other_and_is_given_up_by_none(
    postgres: PostgresServer, database: str, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        url, early = postgres.url(database), ManualClock()
        late = ManualClock(early.now_ns())
        late.advance(YEAR_S)
        one, two = await opened(stack, url, tmp_path / "one", early), await opened(stack, url, tmp_path / "two", late)
        for journal in (two, one, two):
            journal._say_present()
            await journal.commit([a_draft("a turn of the writer", key=f"{journal.node} {early.monotonic_s()}")])
            early.advance(1)
        known = await one.outbox_stats()
        assert {"qdrant", f"qdrant@{two.node}"} <= set(known)
        assert known["qdrant"].pending == known[f"qdrant@{two.node}"].pending == 3


async def test_a_daemon_whose_clock_is_ahead_drags_no_other_into_the_future(
    postgres: PostgresServer, database: str, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        url, clock, ahead = postgres.url(database), ManualClock(), ManualClock()
        ahead.advance(100 * YEAR_S)
        one, two = await opened(stack, url, tmp_path / "one", clock), await opened(stack, url, tmp_path / "two", ahead)
        await two.commit([a_draft("of a daemon in the next century")])
        [written] = await one.commit([a_draft("of one that knows the time")])
        assert written.known_at_ns <= time.time_ns()
