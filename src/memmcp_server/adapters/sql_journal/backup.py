"""A consistent copy of the journal while it is written to. The copy is a SQLite journal, whatever it was made from."""

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from sqlalchemy import URL, Engine, create_engine, select
from sqlalchemy.pool import NullPool

from memmcp_server.errors import DataDirectoryError

from .engines import Engines, open_alone
from .migrate import migrate
from .schema import head, leases, metadata, sinks
from .translate import of_os, translating

ROWS_AT_ONCE = 1_000


def back_up(engines: Engines, directory: Path, name: str) -> Path:
    """Write a copy of the journal, as ``copy_file``. Raises: DataDirectoryError, StorageFull, JournalUnavailable."""
    path = engines.place.path
    if path is not None:
        return copy_file(path, directory, name)
    reader = open_alone(engines.place)
    try:
        return _placed(directory, name, lambda target: _copy_rows(reader, target))
    finally:
        reader.dispose()


def copy_file(source: Path, directory: Path, name: str) -> Path:
    """Copy a SQLite database while it is written to, as of one moment; return the copy's path.

    Raises: DataDirectoryError, StorageFull, JournalUnavailable.
    """
    return _placed(directory, name, lambda target: _copy_pages(source, target))


def copy_plain(source: Path, directory: Path, name: str) -> Path:
    """Copy a file that is only ever replaced as a whole; return the copy's path. Raises: as ``copy_file``."""
    return _placed(directory, name, lambda target: shutil.copyfile(source, target))


def _placed(directory: Path, name: str, copy: Callable[[Path], object]) -> Path:
    """Write the copy beside its place, flush it, then put it there in one step; return its path.

    Raises: DataDirectoryError, StorageFull, JournalUnavailable.
    """
    target = directory / name
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if target.exists():
            msg = f"{target} exists already"
            raise DataDirectoryError(msg, hint="name another directory, or repeat in a second")
        # mkstemp makes the file readable by its owner alone.
        handle, unfinished_name = tempfile.mkstemp(prefix=f".{name}.", dir=directory)
        os.close(handle)
    except OSError as error:
        raise of_os(error, str(directory)) from error
    unfinished = Path(unfinished_name)
    try:
        with translating(str(target)):
            copy(unfinished)
            sync(unfinished)
            unfinished.replace(target)
            sync(directory)
    finally:
        for leftover in (unfinished, *(Path(f"{unfinished}{suffix}") for suffix in ("-journal", "-wal", "-shm"))):
            leftover.unlink(missing_ok=True)
    return target


def _copy_pages(path: Path, target: Path) -> None:
    # One step over all pages: a snapshot of the write-ahead log, during which writers go on.
    source_url = f"{path.absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(source_url, uri=True)) as source, closing(sqlite3.connect(target)) as copy:
        source.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE").close()


def _copy_rows(source: Engine, target: Path) -> None:
    copy = create_engine(URL.create("sqlite", database=str(target)), poolclass=NullPool, hide_parameters=True)
    migrate(copy, str(target), ())
    with source.connect() as reading, copy.begin() as writing:
        reading.execution_options(isolation_level="REPEATABLE READ")
        streamed = {"yield_per": ROWS_AT_ONCE}
        for table in (head, sinks):
            writing.execute(table.delete())
        for table in metadata.sorted_tables:
            if table is leases:
                continue  # a copy has no daemons
            for rows in reading.execute(select(table), execution_options=streamed).mappings().partitions():
                writing.execute(table.insert(), [dict(row) for row in rows])


def sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
