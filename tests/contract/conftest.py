"""What contract suites share."""

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anyio
import pytest
from tests.support.journals import Bench, memory_bench, postgresql_bench, sqlite_bench
from tests.support.postgres import PostgresServer, running_postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def journal_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty, migrated SQLite journal to copy; the migrations have tests of their own."""
    directory = tmp_path_factory.mktemp("journal")

    async def make() -> None:
        async with sqlite_bench(directory):
            pass

    anyio.run(make)
    return directory / "journal.db"


@pytest.fixture(scope="session")
def postgres_template(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of an empty, migrated PostgreSQL journal to copy."""
    name = postgres.new_database()

    async def make() -> None:
        async with postgresql_bench(postgres.url(name), tmp_path_factory.mktemp("none")):
            pass

    anyio.run(make)
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
