"""Back-ups as files: the spool's and the desk's databases beside the memory's, a manifest, and the way back."""

import asyncio
import contextlib
import hashlib
import json
import os
import shutil
import sqlite3
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from memmcp_server import __version__
from memmcp_server.domain.backups import MEMORY, PLACES, PLAIN, SPOOL, CopiedFile, Manifest, manifest_of
from memmcp_server.errors import DataDirectoryError, InvalidInput

from .sql_journal.backup import copy_file, copy_plain, sync
from .sql_journal.translate import of_os, translating

SIDE_FILES: Final = ("-wal", "-shm", "-journal")
RESTORED: Final = Path("trading") / "restored.json"
"""Tells the desk that its journals are those of a back-up: nothing is signed before the chain agreed."""
INSTANCE: Final = Path("trading") / "instance.json"
"""Which database belongs to this directory; it is in no back-up, and goes when one is restored."""
INDEX: Final = Path("index")


class DeskFiles:
    """Copies what is on its way to the journal and what belongs to the desk, and writes the manifest of all."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir

    @asynccontextmanager
    async def ahead(self, directory: Path) -> AsyncIterator[Path | None]:
        """Copy the spool, where there is one, under a name that is no back-up's yet."""
        source, name = self._data_dir / PLACES[SPOOL], f".{SPOOL}-{uuid.uuid4().hex}.db"
        copied = await asyncio.to_thread(copy_file, source, directory, name) if source.is_file() else None
        try:
            yield copied
        finally:
            if copied is not None:
                await asyncio.to_thread(copied.unlink, missing_ok=True)

    async def copy(self, memory: Path, ahead: Path | None = None) -> tuple[Path, Manifest]:
        """Copy the desk's databases beside the memory's copy, which was made just now; return the manifest and where
        it is. Raises: DataDirectoryError, StorageFull, JournalUnavailable.
        """
        return await asyncio.to_thread(self._copy, memory, ahead)

    def _copy(self, memory: Path, ahead: Path | None) -> tuple[Path, Manifest]:
        directory, stamp = memory.parent, memory.stem.removeprefix("journal-")
        files = [_copied(MEMORY, memory)]
        if ahead is not None:
            with _touching(str(ahead)):
                files.append(_copied(SPOOL, ahead.replace(directory / f"{SPOOL}-{stamp}.db")))
        for role, place in PLACES.items():
            source = self._data_dir / place
            if role not in (MEMORY, SPOOL) and source.is_file():
                files.append(_copied(role, _copy_of(role, source, directory, stamp)))
        manifest = Manifest(datetime.now(UTC).isoformat(timespec="seconds"), __version__, tuple(files))
        path = directory / f"manifest-{stamp}.json"
        with _touching(str(path)):
            _write(path, manifest.text())
        return path, manifest


def _copy_of(role: str, source: Path, directory: Path, stamp: str) -> Path:
    if role in PLAIN:
        return copy_plain(source, directory, f"{role}-{stamp}{source.suffix}")
    return copy_file(source, directory, f"{role}-{stamp}.db")


def verified(place: Path) -> tuple[Path, Manifest]:
    """Return the manifest that ``place`` is, or the newest in that directory, after every file of it was compared.

    Raises: InvalidInput naming every file that is missing, altered or damaged.
    """
    path = place if place.is_file() else _newest(place)
    with _touching(str(path)):
        manifest = manifest_of(path.read_text(encoding="utf-8"))
        problems = [problem for each in manifest.files if (problem := _problem(path.parent / each.name, each))]
    if problems:
        msg = f"the back-up is not what it was: {'; '.join(problems)}"
        raise InvalidInput(msg, field="manifest", hint="use another back-up; nothing was changed")
    return path, manifest


def restore(place: Path, data_dir: Path, *, replaces: bool) -> tuple[Manifest, Path | None]:
    """Put a verified back-up into a data directory that no daemon uses; return it, and where what was there went.

    Raises: InvalidInput where the back-up does not hold, or there is something and it may not be replaced;
    DataDirectoryError, StorageFull.
    """
    path, manifest = verified(place)
    there = [data_dir / each for each in (*PLACES.values(), INDEX, INSTANCE) if (data_dir / each).exists()]
    if there and not replaces:
        msg = f"{there[0]} is there already"
        raise InvalidInput(msg, field="data_dir", hint="name an empty --data-dir, or move it aside with --replace")
    aside = None
    with _touching(str(data_dir)):
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        if there:
            aside = Path(tempfile.mkdtemp(prefix=f"replaced-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-", dir=data_dir))
            _move_aside(data_dir, aside)
        trading = data_dir / RESTORED.parent
        trading.mkdir(exist_ok=True, mode=0o700)
        # First the mark: should this end half-way, nobody takes the files for the desk's own.
        mark = {"made_at": manifest.made_at, "manifest": path.name}
        _write(data_dir / RESTORED, json.dumps(mark, sort_keys=True) + "\n")
        for each in manifest.files:
            _put(path.parent / each.name, data_dir / PLACES[each.role], each)
    return manifest, aside


def _move_aside(data_dir: Path, aside: Path) -> None:
    names = [*(f"{place}{suffix}" for place in PLACES.values() for suffix in ("", *SIDE_FILES)), str(INDEX)]
    for name in (*names, str(INSTANCE)):
        source = data_dir / name
        if source.exists():
            target = aside / name
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            source.replace(target)


def _put(source: Path, target: Path, wanted: CopiedFile) -> None:
    handle, unfinished_name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    os.close(handle)
    unfinished = Path(unfinished_name)
    try:
        shutil.copyfile(source, unfinished)
        if _sha256(unfinished) != wanted.sha256:
            msg = f"{source} changed while it was copied"
            raise DataDirectoryError(msg)
        sync(unfinished)
        unfinished.replace(target)
        sync(target.parent)
    finally:
        unfinished.unlink(missing_ok=True)


def _newest(directory: Path) -> Path:
    found = sorted(directory.glob("manifest-*.json")) if directory.is_dir() else []
    if not found:
        msg = f"there is no manifest at {directory}"
        raise InvalidInput(msg, field="manifest", hint="name the directory that was given to `memmcp backup`")
    return found[-1]


def _copied(role: str, path: Path) -> CopiedFile:
    with _touching(str(path)):
        return CopiedFile(role, path.name, _sha256(path), path.stat().st_size)


def _problem(path: Path, wanted: CopiedFile) -> str:
    """Return what is wrong with a copy, "" where nothing is."""
    if not path.is_file():
        return f"{path.name} is missing"
    if path.stat().st_size != wanted.size_bytes or _sha256(path) != wanted.sha256:
        return f"{path.name} was altered"
    if wanted.role in PLAIN:
        return ""
    with (
        contextlib.suppress(sqlite3.Error),
        closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db,
    ):
        if db.execute("PRAGMA quick_check").fetchone() == ("ok",):
            return ""
    return f"{path.name} is a damaged database"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    sync(path.parent)


@contextmanager
def _touching(where: str) -> Iterator[None]:
    try:
        with translating(where):
            yield
    except OSError as error:
        raise of_os(error, where) from error
