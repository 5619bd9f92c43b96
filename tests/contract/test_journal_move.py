"""A journal that was moved to PostgreSQL is the same journal, every row, key and cursor of it, or it is not opened."""

import asyncio
import hashlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from benchmarks import journal_move
from pydantic import SecretStr
from tests.doubles.clocks import ManualClock
from tests.support.journal_move import ME, Stop, StopAt, commands, make_source, moving, rows_of, rows_on
from tests.support.journals import SINKS, a_draft
from tests.support.postgres import PostgresServer

from memmcp_server.adapters.journal_move import Moved, Progress, open_source
from memmcp_server.adapters.journal_move.layout import HEAD, LAYOUTS, Layout
from memmcp_server.adapters.journal_move.proof import prove
from memmcp_server.adapters.sql_journal import open_journal
from memmcp_server.adapters.sql_journal.schema import memories, metadata
from memmcp_server.config import JournalSection
from memmcp_server.domain.lifecycle import ForgetMemory
from memmcp_server.domain.memory import MemoryFilter
from memmcp_server.errors import DataDirectoryError, InvalidInput, JournalBusy, JournalUnavailable

pytestmark = [pytest.mark.requirement("M9"), pytest.mark.anyio]
ROOT = Path(__file__).resolve().parents[2]
EVERYTHING = MemoryFilter()
PLAIN = 2_000


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal with everything in it; not to be changed."""
    return asyncio.run(make_source(tmp_path_factory.mktemp("whole"), PLAIN))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return asyncio.run(make_source(tmp_path_factory.mktemp("small"), 20))


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    """An empty database."""
    return postgres.url(postgres.new_database())


def section(url: str) -> JournalSection:
    return JournalSection(url=SecretStr(url))


def execute(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as db:
        for statement in statements:
            db.execute(statement.encode())


def digest_of(directory: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in directory.glob("journal.db")}


def schema_of(url: str) -> list[tuple[str, ...]]:
    with psycopg.connect(url) as db:
        indexes = db.execute("SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = 'public'").fetchall()
        constraints = db.execute(
            "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint "
            "WHERE connamespace = 'public'::regnamespace"
        ).fetchall()
    return sorted(row for row in (*indexes, *constraints) if not str(row[0]).startswith("journal_move"))


def without_what_was_added(rows: dict[str, list[tuple[object, ...]]]) -> dict[str, list[tuple[object, ...]]]:
    """Take the audit's entry about the migration and the head out."""
    return {name: [row for row in each if "migrate" not in row] for name, each in rows.items() if name != "head"}


@pytest.mark.requirement("Q5")
def test_every_row_of_every_table_comes_over_and_the_source_stays_as_it_was(
    whole: Path, url: str, postgres: PostgresServer, postgres_template: str
) -> None:
    before = digest_of(whole.parent)
    with moving(whole, url) as move:
        moved = move.run()
    assert moved.is_equal
    assert not moved.was_done
    assert digest_of(whole.parent) == before
    ours, theirs = rows_of(whole), rows_on(url)
    assert without_what_was_added(theirs) == without_what_was_added(ours)
    assert {name: len(rows) for name, rows in ours.items()} == {each.name: each.rows for each in moved.tables}
    kept = [name for name, rows in ours.items() if rows]
    assert set(kept) == {*metadata.tables, "leases"} - {"leases"}
    assert len(ours["memories"]) > PLAIN
    assert any(row[-1] for row in ours["outbox"]), "no dead entry was moved"
    assert schema_of(url) == schema_of(postgres.url(postgres_template))
    with psycopg.connect(url) as db:
        counted = db.execute("SELECT reltuples FROM pg_class WHERE relname = 'memories'").fetchone()
    assert counted == (len(ours["memories"]),)


def test_every_table_of_the_journal_is_copied_and_read_by_bytes() -> None:
    assert {layout.name for layout in (*LAYOUTS, HEAD)} == set(metadata.tables)
    for layout in LAYOUTS:
        texts = [column for column in layout.table.primary_key if column.type.python_type is str]
        assert layout.target_sql.count('COLLATE "C"') == len(texts)


async def test_the_daemon_goes_on_where_it_was(whole: Path, url: str, tmp_path: Path) -> None:
    shutil.copy(whole, tmp_path / "journal.db")
    clock = ManualClock()
    clock.advance(100)
    drafts = [command for command in commands() if type(command) is type(a_draft())]
    async with open_journal(JournalSection(), tmp_path, clock, sinks=SINKS) as old:
        seq, instance, stats = await old.horizon(), await old.instance_id(), await old.outbox_stats()
        cursor, marked = await old.cursor("a-b"), await old.commit(drafts)
        due = await old.outbox_due("qdrant", now_ns=clock.now_ns(), limit=500)
        found = await old.page(EVERYTHING, after=None, limit=5_000, newest_first=True)
    with moving(tmp_path / "journal.db", url) as move:
        moved = move.run()
    async with open_journal(section(url), tmp_path, clock, sinks=SINKS, retire=True) as new:
        assert await new.horizon() == seq + 1  # the audit's entry
        assert await new.instance_id() == instance
        assert await new.outbox_stats() == stats
        assert await new.outbox_due("qdrant", now_ns=clock.now_ns(), limit=500) == due
        assert await new.cursor("a-b") == cursor
        assert await new.page(EVERYTHING, after=None, limit=5_000, newest_first=True) == found
        repeated = await new.commit(drafts)
        assert [(each.id, each.seq, each.duplicate) for each in repeated] == [
            (each.id, each.seq, True) for each in marked
        ]
        [fresh] = await new.commit([a_draft("after the move")])
        assert fresh.seq == seq + 2
        await new.outbox_delivered([due[0].id])
        assert (await new.outbox_stats())["qdrant"].delivered == stats["qdrant"].delivered + 1
        [entry] = await new.audit(action="migrate", limit=5)
        assert entry.detail == {"path": str(tmp_path / "journal.db"), "rows": moved.rows, "sha256": moved.sha256}
        back = await new.backup(tmp_path / "back")
    # The way back: the copy is a SQLite journal again.
    ours, theirs = rows_of(tmp_path / "journal.db"), rows_of(back)
    assert [row for row in theirs["memories"] if row[5] != "after the move"] == ours["memories"]
    assert set(ours["keys"]) <= set(theirs["keys"])


async def test_whatever_stops_it_a_repeat_goes_on_and_nothing_is_there_twice(
    small: Path, url: str, tmp_path: Path
) -> None:
    def stopped(attempt: int) -> Moved | None:
        """Die a little later at each attempt: within a batch, between tables, while comparing."""
        try:
            with moving(small, url, told=StopAt(12 + 5 * attempt), batch_rows=60) as move:
                return move.run()
        except Stop:
            return None

    attempts = 1
    while (moved := stopped(attempts)) is None:
        with pytest.raises(DataDirectoryError, match="not finished"):
            await open_once(section(url), tmp_path)
        attempts += 1
    assert attempts > 5
    assert moved.is_resumed
    assert moved.is_equal
    assert without_what_was_added(rows_on(url)) == without_what_was_added(rows_of(small))
    async with open_journal(section(url), tmp_path, ManualClock(), sinks=SINKS) as journal:
        assert await journal.count(EVERYTHING) > 0


async def open_once(section: JournalSection, directory: Path) -> None:
    async with open_journal(section, directory, ManualClock()):
        pass


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.support.journal_move import moving

def told(progress):
    if (progress.stage, progress.table) == ("copying", "keys"):
        os.kill(os.getpid(), signal.SIGKILL)

with moving(Path(sys.argv[1]), sys.argv[2], told=told, batch_rows=700) as move:
    move.run()
"""


def test_after_kill_9_a_repeat_goes_on(whole: Path, url: str) -> None:
    command = [sys.executable, "-c", KILLED, str(whole), url]
    killed = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, env={**os.environ})
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    copied: list[str] = []
    with moving(whole, url, told=lambda progress: copied.append(f"{progress.stage} {progress.table}")) as move:
        moved = move.run()
    assert moved.is_resumed
    assert moved.is_equal
    assert "copying memories" not in copied  # that table was whole
    assert without_what_was_added(rows_on(url)) == without_what_was_added(rows_of(whole))


def test_a_lost_connection_is_told_of_as_one_and_a_repeat_goes_on(small: Path, url: str) -> None:
    def cut(progress: Progress) -> None:
        if (progress.stage, progress.table) == ("copying", "links"):
            others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            execute(url, f"{others} AND datname = current_database()")

    with pytest.raises(JournalUnavailable) as caught, moving(small, url, told=cut) as move:
        move.run()
    assert "test_" in caught.value.message
    with moving(small, url) as move:
        assert move.run().is_equal


def test_a_damaged_source_is_named_and_not_the_target(whole: Path, url: str, tmp_path: Path) -> None:
    raw = bytearray(whole.read_bytes())
    middle = len(raw) // 8192 * 4096
    raw[middle : middle + 40 * 4096] = b"\xff" * (40 * 4096)
    damaged = tmp_path / "journal.db"
    damaged.write_bytes(raw)
    with pytest.raises(JournalUnavailable, match=r"journal\.db is damaged"), moving(damaged, url) as move:
        move.run()


async def test_a_source_that_changed_in_between_is_copied_anew(small: Path, url: str, tmp_path: Path) -> None:
    shutil.copy(small, tmp_path / "journal.db")
    with pytest.raises(Stop), moving(tmp_path / "journal.db", url, told=StopAt(30)) as move:
        move.run()
    async with open_journal(JournalSection(), tmp_path, ManualClock(), sinks=SINKS) as journal:
        [first, *_] = await journal.page(EVERYTHING, after=None, limit=1, newest_first=False)
        await journal.commit([ForgetMemory(first.id, "asked for", ME)])
    with pytest.raises(Stop), moving(tmp_path / "journal.db", url, told=StopAt(40)) as move:
        move.run()
    # A delivery moves no head, and counts all the same.
    async with open_journal(JournalSection(), tmp_path, ManualClock(), sinks=SINKS) as journal:
        due = await journal.outbox_due("langfuse", now_ns=2**62, limit=5)
        await journal.outbox_delivered([entry.id for entry in due])
    with moving(tmp_path / "journal.db", url) as move:
        assert move.run().is_equal
    assert without_what_was_added(rows_on(url)) == without_what_was_added(rows_of(tmp_path / "journal.db"))
    assert first.id not in str(rows_on(url)["memories"])


CHANGES = [
    ("UPDATE memories SET content = content || ' ' WHERE seq = 7", "memories [7] differs in content"),
    ("UPDATE memories SET pinned = NOT pinned WHERE seq = 1", "memories [1] differs in pinned"),
    ("DELETE FROM trajectories WHERE id = 'á'", 'trajectories ["á"] is missing'),
    ("UPDATE cursors SET seq = seq + 1 WHERE name = 'a-b'", 'cursors ["a-b"] differs in seq'),
    (
        "INSERT INTO marks VALUES ('zz', 'credit', 'x', 1, 1)",
        'marks ["zz","credit","x"] is there and should not be',
    ),
]


def test_a_changed_byte_a_missing_row_and_one_too_many_are_found_and_named(small: Path, url: str) -> None:
    def harm(progress: Progress) -> None:
        if progress.stage == "indexing" and progress.rows == 0:
            execute(url, *(statement for statement, _ in CHANGES))

    with moving(small, url, told=harm) as move:
        moved = move.run()
    assert not moved.is_equal
    assert {str(each) for each in moved.differences} == {told for _, told in CHANGES}
    with moving(small, url) as move:  # a repeat does not mend it, and says so again
        assert not move.run().is_equal


async def test_a_database_that_holds_something_else_is_refused_and_not_touched(
    small: Path, whole: Path, url: str, postgres: PostgresServer, postgres_template: str, tmp_path: Path
) -> None:
    def refused(target: str, words: str) -> None:
        with pytest.raises(InvalidInput, match=words) as caught, moving(small, target) as move:
            move.run()
        assert caught.value.hint

    refused(postgres.url(postgres.new_database(postgres_template)), "holds the journal .* with 0 memories")
    execute(url, "CREATE TABLE invoices (id int)")
    refused(url, "not empty: it has the tables invoices")
    begun = postgres.url(postgres.new_database())
    with pytest.raises(Stop), moving(whole, begun, told=StopAt(20)) as move:
        move.run()
    refused(begun, "a part of another journal")
    with moving(whole, begun) as move:
        assert move.run().is_equal
    refused(begun, "holds another journal")
    with moving(whole, begun) as move:
        again = move.run()
    assert again.was_done
    assert again.rows == sum(len(rows) for rows in rows_of(whole).values())
    ascii_only = f"ascii_{os.getpid()}"
    postgres.execute(f"CREATE DATABASE {ascii_only} TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'")
    refused(postgres.url(ascii_only), "encoding .* SQL_ASCII")
    refused(f"sqlite:///{tmp_path / 'other.db'}", "is a SQLite file")


async def test_a_source_that_was_written_to_after_its_migration_is_not_called_equal(
    small: Path, url: str, tmp_path: Path
) -> None:
    """Who forgot to point the daemon at the server would lose what it has stored since."""
    shutil.copy(small, tmp_path / "journal.db")
    with moving(tmp_path / "journal.db", url) as move:
        assert move.run().is_equal
    async with open_journal(JournalSection(), tmp_path, ManualClock(), sinks=SINKS) as journal:
        await journal.commit([a_draft("written to the old journal since")])
    for _ in range(2):
        with (
            moving(tmp_path / "journal.db", url) as move,
            pytest.raises(InvalidInput, match="was written to since") as no,
        ):
            move.run()
        assert "empty database" in str(no.value.hint)


def test_two_migrations_do_not_fill_one_database(small: Path, url: str) -> None:
    with moving(small, url), pytest.raises(JournalBusy, match="another migration"), moving(small, url):
        raise NotImplementedError


def edited(source: Path, directory: Path, statement: str) -> Path:
    """Return a copy in which somebody else than this program wrote."""
    target = directory / "journal.db"
    shutil.copy(source, target)
    with closing(sqlite3.connect(target)) as db:
        db.execute(statement)
        db.commit()
    return target


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("UPDATE memories SET agent = 'a' || char(0) WHERE seq = 3", r"memories \[3\]: agent holds U\+0000"),
        ("UPDATE memories SET kind = printf('%.49c', 'k') WHERE seq = 3", "kind has more than 48 characters"),
        ("UPDATE memories SET version = 2147483648 WHERE seq = 3", "version is beyond 32 bits"),
        ("UPDATE memories SET ts_event_ns = 1.5 WHERE seq = 3", "ts_event_ns is no whole number"),
        ("UPDATE memories SET pinned = 2 WHERE seq = 3", "pinned is neither 0 nor 1"),
        ("UPDATE memories SET content = x'00ff' WHERE seq = 3", "content is no text"),
        ("UPDATE keys SET fingerprint = 'text' WHERE seq = 3", r'keys \["[0-9a-f]{32}"\]: fingerprint is no bytes'),
        (
            "UPDATE memories SET content = CAST(x'6869ff' AS TEXT) WHERE seq = 3",
            r"memories \[3\]: content is not valid",
        ),
    ],
)
def test_what_postgresql_cannot_hold_is_named_before_anything_is_written(
    small: Path, url: str, tmp_path: Path, statement: str, told: str
) -> None:
    source = edited(small, tmp_path, statement)
    with pytest.raises(InvalidInput, match=told) as caught, moving(source, url) as move:
        move.run()
    assert "hi" not in caught.value.message.split()


def test_a_file_that_is_no_journal_of_this_version_is_refused(small: Path, tmp_path: Path) -> None:
    def refused(path: Path, words: str) -> None:
        with pytest.raises(DataDirectoryError, match=words), open_source(path):
            raise NotImplementedError

    refused(tmp_path / "none.db", "there is no journal")
    sqlite3.connect(tmp_path / "empty.db").close()
    refused(tmp_path / "empty.db", "is no memory journal")
    refused(edited(small, tmp_path, "UPDATE alembic_version SET version_num = '0001'"), "has the schema 0001")
    refused(edited(small, tmp_path, "DELETE FROM head"), "0 head rows")


def test_what_a_killed_daemon_left_in_the_log_beside_the_file_is_read(small: Path, tmp_path: Path) -> None:
    shutil.copy(small, tmp_path / "journal.db")
    with closing(sqlite3.connect(tmp_path / "journal.db")) as db:
        db.execute("UPDATE head SET seq = 12345")
        db.commit()
        copy = tmp_path / "killed"
        copy.mkdir()
        for name in ("journal.db", "journal.db-wal"):
            shutil.copy(tmp_path / name, copy)
    with open_source(copy / "journal.db") as source:
        assert source.head[HEAD.columns.index("seq")] == 12345


def test_the_digest_is_that_of_the_documented_lines() -> None:
    layout = Layout(memories)
    row = (1, "é", *([None] * (len(layout.columns) - 2)))
    line = f'[1,"é",{",".join(["null"] * (len(layout.columns) - 2))}]\n'
    proof = prove(layout, [[row], [row]], lambda _: None)
    assert (proof.rows, proof.sha256) == (2, hashlib.sha256(line.encode() * 2).hexdigest())


def test_the_benchmark_moves_what_it_fills(tmp_path: Path, url: str, capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(journal_move.fill(tmp_path, 600))
    found = journal_move.move(tmp_path, url)
    # The memory is that of the process that moves; here it is the tests' own.
    assert journal_move._report(600, 1.0, 1.0, {**found, "peak_mib": 1.0}) == 0
    assert "| comparing |" in capsys.readouterr().out
    assert int(str(found["rows"])) > 1_800
