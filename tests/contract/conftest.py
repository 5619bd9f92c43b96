"""What contract suites share."""

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from tests.support.journals import Bench, make_journal, memory_bench, postgresql_bench, sqlite_bench
from tests.support.postgres import PostgresServer, running_postgres

from memmcp_server.config import JournalSection


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def journal_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty, migrated SQLite journal to copy; the migrations have tests of their own."""
    directory = tmp_path_factory.mktemp("journal")
    make_journal(JournalSection(), directory)
    return directory / "journal.db"


@pytest.fixture(scope="session")
def postgres_template(postgres: PostgresServer) -> str:
    """The name of an empty, migrated PostgreSQL journal to copy."""
    name = postgres.new_database()
    make_journal(JournalSection(url=SecretStr(postgres.url(name))), Path())
    return name


@pytest.fixture(params=["sqlite", "postgresql", "memory"])
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    """A journal under test: each body in turn, empty."""
    match request.param:
        case "sqlite":
            shutil.copy(request.getfixturevalue("journal_template"), tmp_path / "journal.db")
            opened = sqlite_bench(tmp_path)
        case "postgresql":
            server: PostgresServer = request.getfixturevalue("postgres")
            name = server.new_database(request.getfixturevalue("postgres_template"))
            opened = postgresql_bench(server.url(name), tmp_path)
        case _:
            opened = memory_bench()
    async with opened as bench:
        yield bench
