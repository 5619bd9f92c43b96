"""Both journals at one point: what a back-up holds, that it is compared, and the way back."""

import asyncio
import json
import shutil
import sqlite3
import stat
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import anyio
import pytest
from tests.doubles.clocks import ManualClock, SystemClock
from tests.doubles.memory_index import MemoryIndex
from tests.doubles.memory_journal import MemoryJournal
from tests.doubles.word_scanner import WordScanner
from tests.support.journals import a_draft
from typer.testing import CliRunner

from memmcp_server.adapters.back_ups import INSTANCE, RESTORED, DeskFiles, restore, verified
from memmcp_server.adapters.sql_journal import SqlJournal, open_journal
from memmcp_server.adapters.write_spool import SqlSpool, open_spool
from memmcp_server.bootstrap import _spooling
from memmcp_server.cli.root import app
from memmcp_server.config import JournalSection, Sections
from memmcp_server.daemon.lease import Lease
from memmcp_server.daemon.places import Places
from memmcp_server.domain.backups import PLACES, PLAIN
from memmcp_server.domain.caller import Caller
from memmcp_server.domain.identifiers import MemoryId
from memmcp_server.domain.memory import Acknowledgement, MemoryFilter
from memmcp_server.domain.spooled import SpooledWrite
from memmcp_server.errors import InvalidInput, JournalUnavailable
from memmcp_server.ports import Journal, JournalCommand
from memmcp_server.services.copies import Copies
from memmcp_server.services.memories import Memories
from memmcp_server.services.policies import Policies
from trading.adapters.sql_journal import JournalStore

pytestmark = [pytest.mark.requirement("O8"), pytest.mark.requirement("M9")]
SECRET = "hunter2-token-of-the-daemon"


def database(path: Path, value: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE IF NOT EXISTS kept (value TEXT)")
        db.execute("INSERT INTO kept VALUES (?)", (value,))
        db.commit()


def value_of(path: Path) -> list[str]:
    if path.suffix == ".json":
        return [str(json.loads(path.read_text())["kept"])]
    with closing(sqlite3.connect(path)) as db:
        return [row[0] for row in db.execute("SELECT value FROM kept")]


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A desk with every part of a back-up, and what may be in none."""
    found = tmp_path / "data"
    for role, place in PLACES.items():
        if role in PLAIN:
            (found / place).write_text(json.dumps({"kept": role}))
        else:
            database(found / place, role)
    for name in ("daemon.json", "memmcp.toml", "trading/wallet.key", "trading/instance.json"):
        (found / name).write_text(SECRET)
    return found


@pytest.fixture
async def manifest(data_dir: Path, tmp_path: Path) -> Path:
    copies = tmp_path / "copies"
    copies.mkdir()
    memory = copies / "journal-20260101T000000Z.db"
    shutil.copyfile(data_dir / "journal.db", memory)
    files = DeskFiles(data_dir)
    async with files.ahead(copies) as ahead:
        path, _ = await files.copy(memory, ahead)
    return path


@pytest.mark.anyio
async def test_a_back_up_holds_every_journal_and_neither_keys_nor_tokens(manifest: Path, data_dir: Path) -> None:
    path, found = verified(manifest.parent)
    assert path == manifest
    assert {each.role for each in found.files} == set(PLACES)
    for each in found.files:
        copy = manifest.parent / each.name
        assert value_of(copy) == [each.role]
    for file in manifest.parent.iterdir():
        assert SECRET.encode() not in file.read_bytes()
        assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0 or file.name.startswith("journal-")


class Racing(MemoryJournal):
    """A journal during whose copying the desk goes on."""

    store: JournalStore

    async def backup(self, directory: Path) -> Path:
        path = await super().backup(directory)
        self.store.start_run("run_late", "identity", 1)
        return path


@pytest.mark.anyio
async def test_the_trading_journal_is_copied_after_the_memory_that_may_cite_it(tmp_path: Path) -> None:
    clock = ManualClock()
    journal = Racing(clock)
    journal.store = JournalStore.at(tmp_path / "data" / "trading" / "journal.db")
    try:
        copies = Copies(journal, DeskFiles(tmp_path / "data"))
        _, path, found = await copies.back_up(tmp_path / "copies", Caller("operator", "s", "test", "operator", "http"))
    finally:
        journal.store.close()
    copied = found.file_of("trading")
    assert copied is not None
    store = JournalStore.at(path.parent / copied.name)
    assert [run.run_id for run in store.all_runs()] == ["run_late"]
    store.close()


@dataclass
class Carrying:
    """A journal on a server that is given what the spool holds as soon as its own copy is made."""

    journal: SqlJournal
    spool: SqlSpool
    write: SpooledWrite

    async def backup(self, directory: Path) -> Path:
        path = await self.journal.backup(directory)
        await self.journal.commit(list(self.write.drafts))
        await self.spool.done([self.write.id], {})
        return path

    async def commit(self, commands: Sequence[JournalCommand]) -> list[Acknowledgement]:
        return await self.journal.commit(commands)


@pytest.mark.anyio
@pytest.mark.requirement("M2")
async def test_what_is_acknowledged_by_the_spool_alone_is_in_the_back_up_and_in_the_restored_journal(
    tmp_path: Path,
) -> None:
    clock, data_dir, restored = SystemClock(), tmp_path / "data", tmp_path / "restored"
    caller = Caller("claude", "", "memory_write", "agent", "stdio")
    kept = SpooledWrite((a_draft("kept here", id=MemoryId("id-1")),), caller, clock.now_ns())
    async with open_journal(JournalSection(), data_dir, clock) as journal, open_spool(data_dir, 10, 10_000) as spool:
        write = await spool.put(kept)
        beside = cast(Journal, Carrying(journal, spool, write))
        _, _, found = await Copies(beside, DeskFiles(data_dir)).back_up(tmp_path / "copies", caller)
    assert [each.role for each in found.files] == ["memory", "spool"]
    assert sorted(path.suffix for path in (tmp_path / "copies").iterdir()) == [".db", ".db", ".json"]

    restore(tmp_path / "copies", restored, replaces=False)
    sections = Sections(data_dir=restored)
    async with open_journal(JournalSection(), restored, clock) as journal:
        policies = Policies(journal, clock)
        assert await journal.count(MemoryFilter()) == 0
        async with _spooling(journal, sections, clock, policies) as spooling:
            assert spooling is not None
            memories = Memories(journal, MemoryIndex(clock), clock, policies, WordScanner({}), spooling=spooling)
            with anyio.fail_after(10):
                carrying = asyncio.create_task(spooling.run(memories.commit_each))
                while not spooling.is_empty():  # noqa: ASYNC110
                    await anyio.sleep(0.005)
                carrying.cancel()
                await asyncio.wait({carrying})
            assert [each.content for each in await journal.memories([MemoryId("id-1")])] == ["kept here"]
        async with _spooling(journal, sections, clock, policies) as spooling:
            assert spooling is None  # a file that can be written to needs none


class Away(MemoryJournal):
    async def backup(self, directory: Path) -> Path:
        raise JournalUnavailable("the journal's server does not answer")


@pytest.mark.anyio
async def test_a_back_up_that_the_journal_refuses_leaves_no_copy_of_the_spool(data_dir: Path, tmp_path: Path) -> None:
    copies = Copies(Away(ManualClock()), DeskFiles(data_dir))
    with pytest.raises(JournalUnavailable):
        await copies.back_up(tmp_path / "copies", Caller("operator", "s", "test", "operator", "http"))
    assert list((tmp_path / "copies").iterdir()) == []


@pytest.mark.anyio
@pytest.mark.parametrize("harm", ["alter", "remove", "other database", "manifest"])
async def test_a_back_up_that_is_not_what_it_was_is_refused_and_nothing_changes(
    manifest: Path, tmp_path: Path, harm: str
) -> None:
    victim = manifest.parent / "trading-20260101T000000Z.db"
    if harm == "alter":
        content = bytearray(victim.read_bytes())
        content[-1] ^= 1
        victim.write_bytes(content)
    elif harm == "remove":
        victim.unlink()
    elif harm == "other database":
        victim.unlink()
        database(victim, "another")
    else:
        manifest.write_text(manifest.read_text().replace("trading-2026", "../trading-2026"))
    with pytest.raises(InvalidInput):
        restore(manifest, tmp_path / "new", replaces=False)
    assert not (tmp_path / "new").exists()


@pytest.mark.anyio
async def test_what_is_restored_is_marked_so_that_nobody_takes_it_for_the_desks_own(
    manifest: Path, tmp_path: Path
) -> None:
    target = tmp_path / "new"
    found, aside = restore(manifest.parent, target, replaces=False)
    assert aside is None
    assert {role: value_of(target / place) for role, place in PLACES.items()} == {role: [role] for role in PLACES}
    assert json.loads((target / RESTORED).read_text())["made_at"] == found.made_at
    assert not (target / INSTANCE).exists()


@pytest.mark.anyio
async def test_what_was_there_is_moved_aside_and_never_mixed_with_what_is_restored(
    manifest: Path, data_dir: Path
) -> None:
    database(data_dir / "trading" / "journal.db", "newer")
    (data_dir / "trading" / "journal.db-wal").write_bytes(b"of the newer one")
    (data_dir / "index").mkdir()
    with pytest.raises(InvalidInput, match="is there already"):
        restore(manifest, data_dir, replaces=False)
    _, aside = restore(manifest, data_dir, replaces=True)
    assert aside is not None
    assert value_of(data_dir / "trading" / "journal.db") == ["trading"]
    assert (aside / "trading" / "journal.db").is_file()
    assert (aside / "index").is_dir()
    assert not (data_dir / "index").exists()
    assert not (data_dir / INSTANCE).exists()
    assert not (data_dir / "trading" / "journal.db-wal").exists()


@pytest.mark.anyio
async def test_the_commands_check_and_restore_and_leave_a_used_directory_alone(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = CliRunner()
    checked = run.invoke(app, ["verify-backup", str(manifest.parent), "--json"])
    assert json.loads(checked.stdout)["files"]
    target = tmp_path / "used"
    lease = Lease.take(Places(target))
    refused = run.invoke(app, ["restore-backup", str(manifest), "--data-dir", str(target)])
    lease.release()
    assert refused.exit_code == 1
    assert not (target / "journal.db").exists()
    done = run.invoke(app, ["restore-backup", str(manifest), "--data-dir", str(target), "--json"])
    assert done.exit_code == 0, done.output
    assert value_of(target / "trading" / "execution.db") == ["execution"]
    (manifest.parent / "execution-20260101T000000Z.db").unlink()
    assert run.invoke(app, ["verify-backup", str(manifest.parent)]).exit_code == 2
