"""What only a server can do: drop a connection, or serve two daemons at once."""

from contextlib import AsyncExitStack
from pathlib import Path

import anyio
import pytest
from pydantic import SecretStr
from tests.doubles.clocks import ManualClock
from tests.support.journals import a_draft, postgresql_bench
from tests.support.postgres import PostgresServer

from memmcp_server.adapters.sql_journal import open_journal
from memmcp_server.config import JournalSection
from memmcp_server.domain.identifiers import Seq
from memmcp_server.domain.memory import Acknowledgement, MemoryFilter
from memmcp_server.domain.outbox import QDRANT, SinkSpec
from memmcp_server.errors import DataDirectoryError
from memmcp_server.ports import Journal

pytestmark = pytest.mark.anyio
EVERYTHING = MemoryFilter()


@pytest.fixture
def database(postgres: PostgresServer, postgres_template: str) -> str:
    return postgres.new_database(postgres_template)


async def test_connections_that_the_server_ends_are_replaced_unnoticed(
    postgres: PostgresServer, database: str, tmp_path: Path
) -> None:
    async with postgresql_bench(postgres.url(database), tmp_path) as bench:
        await bench.journal.commit([a_draft("before")])
        postgres.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'")
        [after] = await bench.journal.commit([a_draft("after")])
        assert not after.duplicate
        assert await bench.journal.count(EVERYTHING) == 2


async def test_two_daemons_on_one_journal_hand_out_seqs_in_the_order_of_commits(
    postgres: PostgresServer, database: str, tmp_path: Path
) -> None:
    section = JournalSection(url=SecretStr(postgres.url(database)))
    acknowledged: list[Acknowledgement] = []

    async def write(journal: Journal, name: str) -> None:
        for number in range(20):
            acknowledged.extend(await journal.commit([a_draft(f"{name} {number}"), a_draft(f"shared {number}")]))

    with anyio.fail_after(60):
        async with (
            open_journal(section, tmp_path, ManualClock()) as one,
            open_journal(section, tmp_path, ManualClock()) as two,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(write, one, "one")
            tasks.start_soon(write, two, "two")
        async with open_journal(section, tmp_path, ManualClock()) as journal:
            rows = await journal.page(EVERYTHING, after=None, limit=1_000, newest_first=False)
    assert [row.seq for row in rows] == list(range(1, 61))
    fresh = [each.seq for each in acknowledged if not each.duplicate]
    assert sorted(fresh) == list(range(1, 61))


async def test_a_waiter_learns_of_another_daemons_commit_when_its_time_is_over(
    postgres: PostgresServer, database: str, tmp_path: Path
) -> None:
    section = JournalSection(url=SecretStr(postgres.url(database)))
    async with (
        open_journal(section, tmp_path, ManualClock()) as one,
        open_journal(section, tmp_path, ManualClock()) as two,
    ):
        [written] = await two.commit([a_draft("from the other")])
        assert await one.wait_for_commit(written.seq - 1, 0.05) == written.seq  # type: ignore[arg-type]


SERVER_TOO = (QDRANT, SinkSpec("langfuse"))


async def opened(stack: AsyncExitStack, url: str, directory: Path, clock: ManualClock, *sinks: SinkSpec) -> Journal:
    directory.mkdir(exist_ok=True)
    section = JournalSection(url=SecretStr(url))
    return await stack.enter_async_context(open_journal(section, directory, clock, sinks=sinks or SERVER_TOO))


async def test_each_daemon_has_an_index_of_its_own_and_gets_what_any_of_them_wrote(
    postgres: PostgresServer, database: str, tmp_path: Path
) -> None:
    clock = ManualClock()
    async with AsyncExitStack() as stack:
        one = await opened(stack, postgres.url(database), tmp_path / "one", clock)
        await one.commit([a_draft("before there were two")])
        two = await opened(stack, postgres.url(database), tmp_path / "two", clock)
        await two.commit([a_draft("of the second")])
        for journal in (one, two):
            due = await journal.outbox_due("qdrant", now_ns=clock.now_ns(), limit=10)
            texts = [memory.content for memory in await journal.memories([entry.memory_id for entry in due])]
            assert texts == ["before there were two", "of the second"]
            assert {entry.sink for entry in due} == {"qdrant"}
            assert await journal.backlog() == 2
        await one.outbox_delivered([entry.id for entry in await one.outbox_entries("qdrant", dead=None, limit=10)])
        assert await one.backlog() == 0
        assert await two.backlog() == 2
        assert (await one.outbox_stats())["langfuse"].pending == 2
        assert one.node != two.node
        assert (await one.outbox_stats())[f"qdrant@{two.node}"].pending == 2


async def test_the_first_node_adopts_what_waited_for_the_index_before_there_were_nodes(
    postgres: PostgresServer, database: str, tmp_path: Path
) -> None:
    entry = "(1, 'qdrant', 'm1', 1, 1, 0, 0, 3, 'once', false)"
    postgres.execute(
        f"INSERT INTO outbox VALUES {entry}; UPDATE sinks SET delivered = 7 WHERE name = 'qdrant'", database
    )
    async with AsyncExitStack() as stack:
        one = await opened(stack, postgres.url(database), tmp_path / "one", ManualClock())
        two = await opened(stack, postgres.url(database), tmp_path / "two", ManualClock())
        [kept] = await one.outbox_entries("qdrant", dead=None, limit=10)
        assert (kept.memory_id, kept.attempts) == ("m1", 3)
        assert (await one.outbox_stats())["qdrant"].delivered == 7
        assert await two.outbox_entries("qdrant", dead=None, limit=10) == []


async def test_a_node_that_was_away_for_long_is_given_up_and_filled_anew_when_it_comes_back(
    postgres: PostgresServer, database: str, tmp_path: Path
) -> None:
    clock = ManualClock()
    url = postgres.url(database)
    async with AsyncExitStack() as stack:
        one = await opened(stack, url, tmp_path / "one", clock)
        async with open_journal(JournalSection(url=SecretStr(url)), _made(tmp_path / "two"), clock) as two:
            node = two.node
        await one.commit([a_draft("while it is away")])
        assert (await one.outbox_stats())[f"qdrant@{node}"].pending == 1
        # The server's clock counts for this, which no test can advance.
        days = 8 * 86_400 * 1_000_000_000
        postgres.execute(f"UPDATE sinks SET seen_at_ns = seen_at_ns - {days} WHERE node = '{node}'", database)
        one._say_present()  # type: ignore[attr-defined]  # once a minute
        await one.commit([a_draft("after it was given up")])
        assert f"qdrant@{node}" not in await one.outbox_stats()
        assert (await one.outbox_stats())["qdrant"].pending == 2
        again = await opened(stack, url, tmp_path / "two", clock)
        assert again.node == node
        assert again.node in (tmp_path / "two" / "node").read_text()
        assert (await again.outbox_stats())["qdrant"].pending == 2


async def test_a_commit_of_another_daemon_is_heard_of_at_once_and_after_an_outage_too(
    postgres: PostgresServer, database: str, tmp_path: Path
) -> None:
    clock = ManualClock()
    async with AsyncExitStack() as stack:
        one = await opened(stack, postgres.url(database), tmp_path / "one", clock)
        two = await opened(stack, postgres.url(database), tmp_path / "two", clock)
        seq = Seq(0)
        for number in range(3):
            if number == 2:
                ended = "pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'memmcp (listener)'"
                postgres.execute(f"SELECT {ended}")
            with anyio.fail_after(10):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(two.commit, [a_draft(f"news {number}")])
                    # The wait is far longer than the time allowed: only a notification ends it.
                    seq = await one.wait_for_commit(seq, 60)
        assert seq == 3


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory


async def test_a_damaged_name_of_a_node_says_what_to_do(
    postgres: PostgresServer, database: str, tmp_path: Path
) -> None:
    (tmp_path / "node").write_text("not a node")
    with pytest.raises(DataDirectoryError, match="does not hold the name of a node") as refused:
        async with open_journal(JournalSection(url=SecretStr(postgres.url(database))), tmp_path, ManualClock()):
            pass
    assert "remove the file" in str(refused.value.hint)
