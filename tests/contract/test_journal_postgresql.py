"""What only a server can do: drop a connection, or serve two daemons at once."""

from pathlib import Path

import anyio
import pytest
from pydantic import SecretStr
from tests.doubles.clocks import ManualClock
from tests.support.journals import a_draft, postgresql_bench
from tests.support.postgres import PostgresServer

from memmcp_server.adapters.sql_journal import open_journal
from memmcp_server.config import JournalSection
from memmcp_server.domain.memory import Acknowledgement, MemoryFilter
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
