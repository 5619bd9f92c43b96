"""Purging SQLite's files: what stays behind is found and written over, in bounded time, and no lock is lost."""

import asyncio
import random
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection
from tests.doubles.clocks import ManualClock
from tests.support.journals import a_draft
from tests.support.migrated import migrated

from memmcp_server.adapters.sql_journal import SqlJournal, open_journal, purge
from memmcp_server.config import JournalSection
from memmcp_server.domain.identifiers import MemoryId
from memmcp_server.domain.lifecycle import ForgetMemory
from memmcp_server.domain.memory import MemoryDraft, MemoryFilter, Provenance
from memmcp_server.domain.residues import windows_of
from memmcp_server.errors import JournalBusy

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("M8")]
ME = Provenance(agent="operator")
TEXT = "the vault is behind the mirror in the hall"
WINDOWS = windows_of(TEXT, 64)


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[SqlJournal]:
    async with open_journal(JournalSection(), migrated(tmp_path), ManualClock()) as opened:
        yield opened


async def forget(journal: SqlJournal, *memory_ids: MemoryId) -> None:
    await journal.commit([ForgetMemory(each, "asked for", ME) for each in memory_ids])


def read_elsewhere(directory: Path, piece: bytes) -> int:
    """Count the piece in the journal's files from another process: here it would free the journal's own locks."""
    code = "import sys; from pathlib import Path; piece = bytes.fromhex(sys.argv[2]); print(sum("
    code += "path.read_bytes().count(piece) for path in Path(sys.argv[1]).glob('journal.db*')))"
    run = subprocess.run([sys.executable, "-c", code, directory, piece.hex()], capture_output=True, check=True)
    return int(run.stdout)


async def test_what_a_careless_deletion_left_is_found_and_every_page_written_anew(
    journal: SqlJournal, tmp_path: Path
) -> None:
    [gone, _] = [each.id for each in await journal.commit([a_draft(TEXT), a_draft("kept in any case")])]

    def careless(connection: Connection) -> None:
        connection.connection.driver_connection.execute("PRAGMA secure_delete = OFF").close()  # type: ignore[union-attr]

    await journal._bare(careless)
    await forget(journal, gone)
    assert read_elsewhere(tmp_path, TEXT.encode()) > 0

    done = await journal.purge(WINDOWS)

    assert done.steps == ("checkpoint", "vacuum", "checkpoint")
    assert (done.residues, done.living) == (0, 0)
    assert read_elsewhere(tmp_path, TEXT.encode()) == 0
    assert read_elsewhere(tmp_path, b"kept in any case") > 0


def a_mixed_draft(chance: random.Random, key: str) -> MemoryDraft:
    """Return a text of some size; each piece of it tells whether it is to be forgotten."""
    side, size = chance.choice(("zGONE", "zKEPT", "zKEPT")), chance.choice((30, 80, 200, 500, 1_500, 4_000, 20_000))
    return a_draft("".join(f"{side}{key}{chance.random():.6f} " for _ in range(size // 20 + 1)), key=key)


async def test_pieces_that_moves_between_pages_left_behind_are_out_after_a_purge(
    journal: SqlJournal, tmp_path: Path
) -> None:
    """Thousands of rows of mixed sizes, a third of them forgotten in many small transactions between new ones."""
    chance = random.Random(1)
    gone: list[MemoryId] = []
    windows: set[bytes] = set()
    for batch in range(30):
        drafts = [a_mixed_draft(chance, f"{batch:03}{place:02}") for place in range(40)]
        acknowledged = await journal.commit(drafts)
        for draft, each in zip(drafts, acknowledged, strict=True):
            if draft.content.startswith("zGONE"):
                gone.append(each.id)
                windows |= windows_of(draft.content, 12)
    chance.shuffle(gone)
    for start in range(0, len(gone), 7):
        await forget(journal, *gone[start : start + 7])
        await journal.commit([a_draft("new " * chance.randint(1, 800), key=f"new-{start}")])

    done = await journal.purge(windows)

    assert (done.residues, done.living) == (0, 0)
    assert done.windows == len(windows)
    assert "vacuum" in (await journal.purge(windows, is_whole=False)).steps
    assert read_elsewhere(tmp_path, b"zGONE") == 0
    assert read_elsewhere(tmp_path, b"zKEPT") > 0


async def test_a_reader_that_keeps_the_log_holds_a_purge_up_and_nothing_else(
    journal: SqlJournal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purge, "CHECKPOINT_ATTEMPTS_MAX", 2)
    [gone] = [each.id for each in await journal.commit([a_draft(TEXT)])]
    with closing(sqlite3.connect(tmp_path / "journal.db")) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM memories").fetchone()
        await forget(journal, gone)
        with pytest.raises(JournalBusy, match="write-ahead log"):
            await journal.purge(WINDOWS)
        await journal.commit([a_draft("written meanwhile")])
        reader.rollback()
    assert (await journal.purge(WINDOWS)).residues == 0
    assert read_elsewhere(tmp_path, TEXT.encode()) == 0


async def test_a_file_too_large_to_be_rewritten_in_time_is_said_to_be_and_stays_whole(tmp_path: Path) -> None:
    async with open_journal(JournalSection(), migrated(tmp_path), ManualClock()) as journal:
        await journal.commit([a_draft(f"note {number} {'word ' * 200}", key=str(number)) for number in range(2_000)])
        journal._purging._vacuum_timeout_s = 0.0
        with pytest.raises(JournalBusy, match="could not be rewritten") as refused:
            await journal.purge(())
        assert "commit_timeout_s" in str(refused.value.hint)
        assert await journal.count(MemoryFilter()) == 2_000
        await journal.commit([a_draft("and on it goes")])
        journal._purging._vacuum_timeout_s = 20.0
        assert "vacuum" in (await journal.purge(())).steps


async def test_a_bare_job_runs_alone_and_outside_of_any_transaction(journal: SqlJournal) -> None:
    seen: list[tuple[str, bool]] = []

    def note(name: str):  # type: ignore[no-untyped-def]
        def job(connection: Connection) -> None:
            seen.append((name, connection.connection.driver_connection.in_transaction))  # type: ignore[union-attr]

        return job

    writer = journal._writer
    jobs = [writer.submit(note(name), 1, is_bare=name == "bare") for name in ("before", "bare", "after")]
    await asyncio.gather(*jobs)
    assert seen == [("before", True), ("bare", False), ("after", True)]


LOCK = """
import fcntl, sys
file = open(sys.argv[1], "r+b")
try:
    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 510, 0x40000002)  # where SQLite's readers hold their locks
except OSError:
    print("held")
else:
    print("free")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="locks of POSIX")
async def test_searching_the_file_frees_none_of_the_locks_that_sqlite_holds_on_it(
    journal: SqlJournal, tmp_path: Path
) -> None:
    def state() -> str:
        command = [sys.executable, "-c", LOCK, str(tmp_path / "journal.db")]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    await journal.commit([a_draft("a")])
    assert state() == "held"
    for _ in range(2):
        await journal.purge(WINDOWS)
        assert state() == "held"
    (tmp_path / "journal.db").read_bytes()  # the control: this is what the purge must not do
    assert state() == "free"
