"""Both journals at one point: what a back-up holds, that it is compared, and the way back."""

import json
import shutil
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest
from tests.doubles.clocks import ManualClock
from tests.doubles.memory_journal import MemoryJournal
from typer.testing import CliRunner

from memmcp_server.adapters.back_ups import INSTANCE, RESTORED, DeskFiles, restore, verified
from memmcp_server.cli.root import app
from memmcp_server.daemon.lease import Lease
from memmcp_server.daemon.places import Places
from memmcp_server.domain.backups import PLACES, PLAIN
from memmcp_server.domain.caller import Caller
from memmcp_server.errors import InvalidInput
from memmcp_server.services.copies import Copies
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
    path, _ = await DeskFiles(data_dir).copy(memory)
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
