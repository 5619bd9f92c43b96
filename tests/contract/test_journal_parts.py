"""History in parts: on a server by the month, in a file one table; the same answers from both."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import psycopg
import pytest
from alembic import command
from alembic.config import Config
from pydantic import SecretStr
from sqlalchemy import Engine, create_engine, inspect, text
from sqlalchemy.pool import NullPool
from tests.support.journals import SECOND_NS, T0_NS, Bench, a_draft, postgresql_bench
from tests.support.postgres import PostgresServer

from memmcp_server.adapters.sql_journal import partitions
from memmcp_server.adapters.sql_journal.engines import open_engines, place_of
from memmcp_server.adapters.sql_journal.migrate import MIGRATIONS, migrate
from memmcp_server.adapters.sql_journal.partitions import month_after
from memmcp_server.adapters.sql_journal.schema import HISTORY, metadata
from memmcp_server.config import HistorySection, JournalSection
from memmcp_server.domain.identifiers import Seq
from memmcp_server.domain.lifecycle import AUDIT_BACKUP, ForgetMemory, RecordAudit
from memmcp_server.domain.memory import Provenance
from memmcp_server.domain.telemetry import RecordSnapshot
from memmcp_server.errors import JournalBusy
from memmcp_server.services.thinning import Thinning

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("Q5")]
ME = Provenance(agent="operator")
MONTH_S = 31 * 86_400
NOVEMBER, DECEMBER, JANUARY = (month_after(T0_NS, number) for number in range(3))  # of 2023


def a_snapshot(number: int) -> RecordSnapshot:
    return RecordSnapshot("local", f"cycle/{number}", T0_NS + number * SECOND_NS, {"number": number})


async def numbers(bench: Bench) -> list[object]:
    found = await bench.journal.snapshots("local", since_ns=None, until_ns=None, resolution_s=None, limit=100)
    return [each.body["number"] for each in found]


@pytest.fixture
def database(postgres: PostgresServer, postgres_template: str) -> str:
    return postgres.new_database(postgres_template)


@pytest.fixture
def engine(postgres: PostgresServer, database: str) -> Iterator[Engine]:
    engine = create_engine(postgres.url(database).replace("postgresql:", "postgresql+psycopg:"), poolclass=NullPool)
    yield engine
    engine.dispose()


def counts(engine: Engine, table: str) -> dict[str, int]:
    """Return how many rows each part holds, those without any left out."""
    with engine.connect() as connection:
        rows = connection.execute(text(f"SELECT tableoid::regclass::text, count(*) FROM {table} GROUP BY 1")).all()
    return {str(name): int(count) for name, count in rows}


def parts(engine: Engine, table: str) -> dict[str, int | None]:
    with engine.connect() as connection:
        return {part.name: part.until_ns for part in partitions._parts(connection, table)}


async def test_what_months_have_brought_is_found_forgotten_and_kept_once_as_before(bench: Bench) -> None:
    [memory] = await bench.journal.commit([a_draft("to be forgotten")])
    for number in range(5):
        await bench.journal.keep_parts()
        await bench.journal.commit([a_snapshot(number), RecordAudit(AUDIT_BACKUP, ME, detail={"path": str(number)})])
        bench.clock.advance(MONTH_S)
    await bench.journal.commit([ForgetMemory(memory.id, "wrong", ME)])
    [again] = await bench.journal.commit([a_snapshot(0)])
    assert again.duplicate
    async with bench.reopen() as journal:
        assert await numbers(bench) == [0, 1, 2, 3, 4]
        latest = await journal.latest_snapshot("local")
        assert latest is not None
        assert latest.body == {"number": 4}
        told = await journal.audit(limit=10)
        assert [entry.detail.get("path") for entry in told] == [None, "4", "3", "2", "1", "0"]
        assert await journal.forgotten([memory.id]) == {memory.id}
        [repeated] = await journal.commit([ForgetMemory(memory.id, "wrong", ME)])
        assert repeated.duplicate


async def test_each_month_has_a_part_made_ahead_and_an_old_one_without_rows_goes(
    postgres: PostgresServer, database: str, engine: Engine, tmp_path: Path
) -> None:
    async with postgresql_bench(postgres.url(database), tmp_path) as bench:
        await bench.journal.commit([a_snapshot(0), RecordAudit(AUDIT_BACKUP, ME)])
        await bench.journal.keep_parts()
        made = parts(engine, "snapshots")
        assert made == {"snapshots_first": JANUARY, "snapshots_2024_01": month_after(T0_NS, 3), "snapshots_rest": None}
        for number in range(1, 6):
            bench.clock.advance(MONTH_S)
            await bench.journal.keep_parts()
            await bench.journal.commit([a_snapshot(number)])
        names = [f"snapshots_{each}" for each in ("first", "2024_01", "2024_02", "2024_03", "2024_04")]
        assert counts(engine, "snapshots") == dict(zip(names, (2, 1, 1, 1, 1), strict=True))
        old = await bench.journal.old_snapshots(Seq(0), recorded_before_ns=bench.clock.now_ns(), bucket_ns=1, limit=100)
        assert old.reached is not None
        thinned = [each for each in old.rows if each.snapshot.body["number"] != 5]
        await bench.journal.drop_snapshots(thinned, cursor="c", reached=old.reached)
        await bench.journal.keep_parts()
        left = [f"snapshots_{each}" for each in ("2024_03", "2024_04", "2024_05", "2024_06", "rest")]
        assert sorted(parts(engine, "snapshots")) == left
        assert counts(engine, "audit") == {"audit_first": 1}
        assert await numbers(bench) == [5]


async def test_a_clock_that_ran_ahead_fills_the_rest_which_is_moved_to_its_month(
    postgres: PostgresServer, database: str, engine: Engine, tmp_path: Path
) -> None:
    async with postgresql_bench(postgres.url(database), tmp_path) as bench:
        await bench.journal.keep_parts()
        bench.clock.advance(4 * MONTH_S)
        await bench.journal.commit([a_snapshot(0)])
        assert counts(engine, "snapshots") == {"snapshots_rest": 1}
        await bench.journal.keep_parts()
        assert counts(engine, "snapshots") == {"snapshots_2024_03": 1}
        assert await numbers(bench) == [0]


async def test_a_long_reader_makes_the_parts_wait_and_never_the_writers(
    postgres: PostgresServer, database: str, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitions, "LOCK_TIMEOUT_MS", 100)
    async with postgresql_bench(postgres.url(database), tmp_path) as bench:
        await bench.journal.commit([a_snapshot(0)])
        with psycopg.connect(postgres.url(database)) as reader:
            reader.execute("SELECT count(*) FROM snapshots, audit")
            keeping = asyncio.create_task(bench.journal.keep_parts())
            began_s = time.monotonic()
            with anyio.fail_after(10):
                await bench.journal.commit([a_snapshot(1)])
            assert time.monotonic() - began_s < 5
            with pytest.raises(JournalBusy):
                await keeping
        assert list(parts(engine, "snapshots")) == ["snapshots_first"]
        await Thinning(bench.journal, bench.clock, HistorySection()).round()
        await bench.journal.keep_parts()
        assert len(parts(engine, "snapshots")) == 3
        assert await numbers(bench) == [0, 1]


async def test_a_keeper_killed_between_its_steps_is_made_up_for_before_its_check_refuses_anything(
    postgres: PostgresServer, database: str, engine: Engine, tmp_path: Path
) -> None:
    async with postgresql_bench(postgres.url(database), tmp_path) as bench:
        with engine.begin() as connection:
            check = f"ADD CONSTRAINT snapshots_first_until CHECK (recorded_at_ns < {DECEMBER}) NOT VALID"
            connection.execute(text(f"ALTER TABLE snapshots_first {check}"))
        bench.clock.advance(MONTH_S)
        await bench.journal.keep_parts()
        await bench.journal.commit([a_snapshot(0)])
        assert parts(engine, "snapshots")["snapshots_first"] == month_after(bench.clock.now_ns(), 2)


def test_the_migration_takes_over_what_is_there_while_an_older_daemon_writes(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    url = postgres.url(postgres.new_database())
    place = place_of(JournalSection(url=SecretStr(url)), tmp_path)
    engines = open_engines(place, 1, 30)
    insert = "INSERT INTO snapshots VALUES (%s, 'local', %s, %s, 1, '{}')"
    with engines.writer.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        command.upgrade(config, "0003")
    with psycopg.connect(url, autocommit=True) as older:
        older.prepare_threshold = 1
        for seq in range(1, 11):
            older.execute(insert, (seq, str(seq), seq))
        migrate(engines.writer, place.shown, ("qdrant",))
        for seq in range(11, 21):
            older.execute(insert, (seq, str(seq), seq))
        older.execute("INSERT INTO audit VALUES (21, 1, 'forget', 'm', NULL, 'note', '', '', '{}')")
        with pytest.raises(psycopg.errors.UniqueViolation):
            older.execute(insert, (20, "other", 20))
    inspector = inspect(engines.writer)
    for table in HISTORY:
        assert {str(each["name"]) for each in inspector.get_indexes(table)} == indexes_of(table)
        columns: list[Any] = inspector.get_columns(table)
        assert [each["name"] for each in columns if not each["nullable"]] == required_of(table)
    with engines.writer.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM snapshots")).scalar_one() == 20
    engines.dispose()


def indexes_of(table: str) -> set[str]:
    return {str(index.name) for index in metadata.tables[table].indexes}


def required_of(table: str) -> list[str]:
    return [column.name for column in metadata.tables[table].c if not column.nullable]
