"""Bad places, full disks and damaged files: a clear error that names the thing, and nothing acknowledged is lost."""

import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import anyio
import pytest
from pydantic import SecretStr
from sqlalchemy import Connection
from tests.doubles.clocks import ManualClock
from tests.support.journals import a_draft

from memmcp_server.adapters.sql_journal import open_journal
from memmcp_server.adapters.sql_journal.prepare import prepare
from memmcp_server.config import JournalSection
from memmcp_server.domain.memory import MemoryFilter
from memmcp_server.errors import (
    DataDirectoryError,
    InvalidInput,
    JournalBusy,
    JournalUnavailable,
    StorageFull,
)

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).resolve().parents[5]
EVERYTHING = MemoryFilter()


async def refused(directory: Path, **section: object) -> DataDirectoryError:
    with pytest.raises(DataDirectoryError) as caught:
        async with open_journal(JournalSection(**section), directory, ManualClock()):  # type: ignore[arg-type]
            raise NotImplementedError
    return caught.value


def pragma(text: str, connection: Connection) -> None:
    connection.exec_driver_sql(f"PRAGMA {text}")


async def test_a_file_that_is_no_database_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "journal.db").write_bytes(b"these are not the pages you are looking for" * 100)
    error = await refused(tmp_path)
    assert str(tmp_path / "journal.db") in error.message
    assert error.hint is not None
    assert "backup" in error.hint


async def test_a_directory_in_the_journals_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "journal.db").mkdir()
    error = await refused(tmp_path)
    assert str(tmp_path / "journal.db") in error.message


async def test_a_file_in_the_data_directorys_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file", encoding="utf-8")
    error = await refused(tmp_path / "data")
    assert str(tmp_path / "data") in error.message


@contextmanager
def without_rights(directory: Path) -> Iterator[None]:
    """Take the right to write away, also from root, who would not notice a mode."""
    directory.chmod(0o555)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(user)
        directory.chmod(0o755)


async def test_a_directory_that_cannot_be_written_is_named() -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        with without_rights(directory):
            error = await refused(directory)
        assert name in error.message
        assert list(directory.iterdir()) == []


async def test_a_journal_file_that_cannot_be_written_is_named() -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        async with open_journal(JournalSection(), directory, ManualClock()) as journal:
            await journal.commit([a_draft("kept")])
        path = directory / "journal.db"
        path.chmod(0o444)
        with without_rights(directory):
            error = await refused(directory)
        assert str(path) in error.message
        path.chmod(0o600)
        async with open_journal(JournalSection(), directory, ManualClock()) as journal:
            assert await journal.count(EVERYTHING) == 1


async def test_a_page_that_rots_while_running_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    async with open_journal(JournalSection(), tmp_path, ManualClock()) as journal:
        await journal.commit([a_draft(f"{number} {'x' * 2_000}") for number in range(200)])
    intact = path.read_bytes()
    path.write_bytes(intact[:8_192] + os.urandom(len(intact) - 8_192))
    with pytest.raises((JournalUnavailable, DataDirectoryError), match=r"journal\.db") as caught:
        async with open_journal(JournalSection(), tmp_path, ManualClock()) as journal:
            await journal.page(EVERYTHING, after=None, limit=1_000, newest_first=True)
    assert caught.value.hint is not None


async def test_a_schema_of_a_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    async with open_journal(JournalSection(), tmp_path, ManualClock()):
        pass
    with sqlite3.connect(tmp_path / "journal.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    error = await refused(tmp_path)
    assert "newer" in error.message
    assert "9999" in error.message
    with sqlite3.connect(tmp_path / "journal.db") as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("9999",)]
    connection.close()


async def test_a_full_disk_refuses_what_is_too_large_and_keeps_the_rest(tmp_path: Path) -> None:
    async with open_journal(JournalSection(), tmp_path, ManualClock()) as journal:
        await journal.commit([a_draft("before")])
        await journal._done(partial(pragma, "max_page_count = 60"))
        with pytest.raises(StorageFull) as caught:
            await journal.commit([a_draft("x" * 400_000, "large")])
        assert str(tmp_path / "journal.db") in caught.value.message
        assert caught.value.retryable
        assert journal.write_problem() == caught.value.message
        await journal.commit([a_draft("small")])
        assert journal.write_problem() is None
        await journal._done(partial(pragma, "max_page_count = 100000"))
        [late] = await journal.commit([a_draft("x" * 400_000, "large")])
        assert not late.duplicate
    async with open_journal(JournalSection(), tmp_path, ManualClock()) as journal:
        assert await journal.count(EVERYTHING) == 3


async def test_a_full_disk_harms_only_the_one_in_its_batch_that_does_not_fit(tmp_path: Path) -> None:
    async with open_journal(JournalSection(), tmp_path, ManualClock()) as journal:
        await journal._done(partial(pragma, "max_page_count = 60"))
        futures = [
            journal._writer.submit([prepare(a_draft(text, key))], 1)
            for key, text in (("a", "small"), ("b", "x" * 400_000), ("c", "small too"))
        ]
        with pytest.raises(StorageFull):
            await futures[1]
        assert (await futures[0])[0].seq < (await futures[2])[0].seq
        assert await journal.count(EVERYTHING) == 2


LIMITED = """
import asyncio, resource, sys
from pathlib import Path
from memmcp_server.adapters.sql_journal import open_journal
from memmcp_server.config import JournalSection
from memmcp_server.errors import Unavailable
from tests.doubles.clocks import SystemClock
from tests.support.journals import a_draft

async def main(directory):
    acknowledged = refused = 0
    async with open_journal(JournalSection(), directory, SystemClock()) as journal:
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, hard))
        for number in range(60):
            try:
                await journal.commit([a_draft(f"{number} " + "x" * 20_000, str(number))])
                acknowledged += 1
            except Unavailable as error:
                assert str(directory) in error.message, error.message
                refused += 1
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        await journal.commit([a_draft("after", "after")])
    print(acknowledged, refused)

asyncio.run(main(Path(sys.argv[1])))
"""


async def test_a_disk_that_refuses_to_grow_loses_nothing_acknowledged_and_recovers(tmp_path: Path) -> None:
    script = [sys.executable, "-c", LIMITED, str(tmp_path)]
    ended = subprocess.run(script, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    acknowledged, refused_count = map(int, ended.stdout.split())
    assert refused_count > 0
    async with open_journal(JournalSection(), tmp_path, ManualClock()) as journal:
        assert await journal.count(EVERYTHING) == acknowledged + 1


async def test_a_file_that_another_program_locks_is_busy_and_then_works_on(tmp_path: Path) -> None:
    async with open_journal(JournalSection(), tmp_path, ManualClock()) as journal:
        await journal._done(partial(pragma, "busy_timeout = 20"))
        other = sqlite3.connect(tmp_path / "journal.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalBusy, match=r"journal\.db"):
            await journal.commit([a_draft("waits")])
        other.execute("ROLLBACK")
        other.close()
        [written] = await journal.commit([a_draft("waits")])
        assert not written.duplicate


async def test_a_reader_cannot_write(tmp_path: Path) -> None:
    async with open_journal(JournalSection(), tmp_path, ManualClock()) as journal:
        await journal.commit([a_draft("kept")])
        with pytest.raises(JournalUnavailable):
            await journal._read(lambda connection: connection.exec_driver_sql("DELETE FROM memories"))
        assert await journal.count(EVERYTHING) == 1


async def test_a_read_that_takes_too_long_is_stopped(tmp_path: Path) -> None:
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    async with open_journal(JournalSection(commit_timeout_s=1.0), tmp_path, ManualClock()) as journal:
        with pytest.raises(JournalBusy, match="too long"):
            await journal._read(lambda connection: connection.exec_driver_sql(endless).scalar())
        assert await journal.count(EVERYTHING) == 0


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://root:hunter2@db/memory", "mysql"),
        ("sqlite://", "sqlite"),
        ("hunter2 is not a url", "postgresql://"),
    ],
)
async def test_a_url_that_cannot_be_used_is_refused_without_its_secret(tmp_path: Path, url: str, said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        async with open_journal(JournalSection(url=SecretStr(url)), tmp_path, ManualClock()):
            raise NotImplementedError
    assert caught.value.field == "journal.url"
    assert said in caught.value.message
    assert "hunter2" not in caught.value.message


async def test_a_server_that_does_not_answer_is_unavailable_without_its_password(tmp_path: Path) -> None:
    url = "postgresql://agent:hunter2@127.0.0.1:1/memory"
    with pytest.raises(JournalUnavailable, match=r"127\.0\.0\.1:1/memory") as caught:
        async with open_journal(JournalSection(url=SecretStr(url)), tmp_path, ManualClock()):
            raise NotImplementedError
    error: BaseException | None = caught.value
    while error is not None:
        assert "hunter2" not in str(error)
        error = error.__cause__ or error.__context__


async def test_the_journal_and_its_side_files_are_closed_to_others(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    async with open_journal(JournalSection(), data_dir, ManualClock()) as journal:
        await journal.commit([a_draft("private")])
        modes = {path.name: path.stat().st_mode & 0o777 for path in data_dir.iterdir()}
    assert data_dir.stat().st_mode & 0o777 == 0o700
    assert modes == {"journal.db": 0o600, "journal.db-wal": 0o600, "journal.db-shm": 0o600}


async def test_a_sqlite_url_names_another_file(tmp_path: Path) -> None:
    path = tmp_path / "elsewhere" / "j.db"
    section = JournalSection(url=SecretStr(f"sqlite:///{path}"))
    async with open_journal(section, tmp_path / "data", ManualClock()) as journal:
        await journal.commit([a_draft("there")])
        assert journal.path == path
        assert journal.shown == str(path)
    assert path.exists()
    assert not (tmp_path / "data").exists()


async def test_a_backup_goes_nowhere_when_its_directory_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    async with open_journal(JournalSection(), tmp_path, ManualClock()) as journal:
        with pytest.raises(DataDirectoryError, match="file"):
            await journal.backup(tmp_path / "file")
        await journal.backup(tmp_path / "copies")
        with pytest.raises(DataDirectoryError, match="exists already"):
            await journal.backup(tmp_path / "copies")  # the clock stands still, so the name is the same
        assert len(list((tmp_path / "copies").iterdir())) == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_an_error_that_nobody_foresaw_leaves_no_caller_waiting(tmp_path: Path) -> None:
    class Unforeseen(Exception):
        pass

    def fails(_connection: Connection) -> None:
        raise Unforeseen

    async with open_journal(JournalSection(), tmp_path, ManualClock()) as journal:
        with anyio.fail_after(10), pytest.raises(JournalUnavailable, match="has stopped") as told:
            await journal._bare(fails)
    assert "its log says why" in str(told.value.hint)
