"""Leave nothing of deleted rows in the journal's files.

SQLite overwrites what is deleted (``secure_delete``), but when pages are split or joined the rows that moved leave
pieces of themselves behind: of 6,000 rows of mixed sizes with 1,800 deleted, 5 to 14 pieces stayed. And the write-ahead
log holds the pages as they were. So the log is emptied, the files are searched for what the rows said, and when any of
it is found all pages are written anew (VACUUM). What is known in part only, or not any more, cannot be searched for
as a whole: VACUUM then too.

The file is read through a descriptor that stays open as long as the journal: closing any descriptor of it would free
the locks that SQLite holds on it for this process. The file ``-shm`` holds no content and is not touched.

PostgreSQL takes dead rows out of its tables by VACUUM. What its log, archive and replicas hold is beyond a client.
"""

import asyncio
import os
import sqlite3
import time
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, create_engine, select
from sqlalchemy.pool import NullPool

from memmcp_server.errors import JournalBusy
from memmcp_server.ports import Purge

from .engines import BUSY_TIMEOUT_S, LIVELINESS, Place
from .schema import audit, keys, marks, memories, outbox, policies, snapshots, trajectories
from .translate import translating
from .writer import Job

if TYPE_CHECKING:
    from memmcp_server.adapters.residues import Findings, Sought

CHECKPOINT_ATTEMPTS_MAX = 20
CHECKPOINT_BUSY_MS = 100
"""How long one attempt waits for readers; writers wait as long, hence many short attempts."""

CHECKPOINT_PAUSE_S = 0.15
VACUUM_IN_MEMORY_BYTES_MAX = 256 * 1024 * 1024
"""A larger journal is rewritten through a file of the system's temporary directory, which is gone when it is closed."""

PROGRESS_STEPS = 20_000
ROWS_AT_ONCE = 500
DELETED_FROM = (memories, keys, trajectories, marks, outbox)
HOLDS_TEXT = (memories, trajectories, audit, policies, snapshots, outbox)

POSTGRESQL_NOTE = (
    "PostgreSQL: rows are deleted and vacuumed; what its pages, write-ahead log, archive, replicas and base back-ups "
    "still hold is its administrator's to say"
)

RunBare = Callable[[Job], Awaitable[Any]]
RunRead = Callable[[Callable[[Connection], Any]], Awaitable[Any]]


class Purging:
    """``vacuum_timeout_s`` bounds how long writers wait for the file to be rewritten."""

    def __init__(self, place: Place, bare: RunBare, read: RunRead, vacuum_timeout_s: float) -> None:
        self._place = place
        self._bare = bare
        self._read = read
        self._vacuum_timeout_s = vacuum_timeout_s
        self._handle: int | None = None
        self._is_ending = False
        self._cleaning: Any = None  # the driver's connection that vacuums a server's tables now

    async def run(self, windows: Collection[bytes], *, is_whole: bool) -> Purge:
        """See ``ports.Journal.purge``."""
        from memmcp_server.adapters.residues import Sought  # numpy: a daemon that forgets nothing starts without it

        path = self._place.path
        if path is None:
            await asyncio.to_thread(self._vacuum_postgresql)
            return Purge("postgresql", ("vacuum",), note=POSTGRESQL_NOTE)
        await self._empty_log()
        steps = ["checkpoint"]
        sought = Sought(windows)
        findings, residues, living = await self._search(path, sought)
        if residues or not windows or not is_whole:
            deadline_s = time.monotonic() + self._vacuum_timeout_s
            await self._bare(lambda connection: self._vacuum_sqlite(connection, path, deadline_s))
            await self._empty_log()
            steps += ["vacuum", "checkpoint"]
            findings, residues, living = await self._search(path, sought)
        return Purge(
            "sqlite",
            tuple(steps),
            files=findings.files,
            bytes_read=findings.bytes_read,
            windows=len(sought.windows),
            residues=len(residues),
            living=len(living),
            note="" if windows else "no text was known to look for, so every page was written anew",
        )

    def stop(self) -> None:
        """Have a rewriting end where it is, which leaves the file as it was."""
        self._is_ending = True
        if self._cleaning is not None:
            self._cleaning.cancel()

    def close(self) -> None:
        """Call when no connection is open any more."""
        handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)

    async def _empty_log(self) -> None:
        """Bring the write-ahead log into the file and cut it to nothing. Raises: JournalBusy."""
        for attempt in range(CHECKPOINT_ATTEMPTS_MAX):
            if attempt:
                await asyncio.sleep(CHECKPOINT_PAUSE_S)
            if await self._bare(_truncate_log):
                return
        msg = f"readers hold the write-ahead log of {self._place.shown}; it could not be emptied"
        raise JournalBusy(msg, hint="it is tried again; close other programs that have the journal open")

    async def _search(self, path: Path, sought: "Sought") -> "tuple[Findings, set[bytes], set[bytes]]":
        """Return what was searched, the windows that nothing living explains, and those that something does."""
        findings = await asyncio.to_thread(self._search_files, path, sought)
        if not findings.found:
            return findings, set(), set()
        those_found = type(sought)(findings.found)
        living: set[bytes] = await self._read(lambda connection: _living(connection, those_found))
        return findings, findings.found - living, living

    def _search_files(self, path: Path, sought: "Sought") -> "Findings":
        from memmcp_server.adapters.residues import Findings

        findings = Findings()
        with translating(self._place.shown):
            # The log first: what moves from there into the file while both are read is then seen once at least.
            sought.search([path.with_name(f"{path.name}-wal")], findings)
            if self._handle is None:
                self._handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC if hasattr(os, "O_CLOEXEC") else os.O_RDONLY)
            sought.search_open(self._handle, findings)
        return findings

    def _vacuum_sqlite(self, connection: Connection, path: Path, deadline_s: float) -> None:
        """Write every page anew. Raises: JournalBusy (it would take longer than the time, or the journal closes)."""
        driver = _sqlite(connection)
        is_large = path.stat().st_size > VACUUM_IN_MEMORY_BYTES_MAX
        if is_large:
            driver.execute("PRAGMA temp_store = FILE").close()
        driver.set_progress_handler(lambda: int(self._is_ending or time.monotonic() > deadline_s), PROGRESS_STEPS)
        try:
            driver.execute("VACUUM").close()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
                raise
            msg = f"{path} could not be rewritten within {self._vacuum_timeout_s:g} s, for which writes may wait"
            raise JournalBusy(msg, hint="raise journal.commit_timeout_s; it is tried again") from error
        finally:
            driver.set_progress_handler(None, 0)
            if is_large:
                driver.execute("PRAGMA temp_store = MEMORY").close()

    def _vacuum_postgresql(self) -> None:
        """Take dead rows out of the tables, on a connection of its own: no write waits for a large table.

        Raises: JournalBusy (the journal closes), JournalUnavailable.
        """
        named = {**LIVELINESS, "application_name": "memmcp (vacuum)"}
        options = {"poolclass": NullPool, "isolation_level": "AUTOCOMMIT", "hide_parameters": True}
        engine = create_engine(self._place.url, connect_args=named, **options)
        with translating(self._place.shown), engine.connect() as connection:
            self._cleaning = connection.connection.driver_connection
            try:
                connection.exec_driver_sql("SET statement_timeout = 0")
                for table in DELETED_FROM:
                    if self._is_ending:
                        msg = f"the journal at {self._place.shown} closes"
                        raise JournalBusy(msg, hint="what is left to clean up is done after the next start")
                    connection.exec_driver_sql(f"VACUUM {table.name}")
            finally:
                self._cleaning = None


def _truncate_log(connection: Connection) -> bool:
    """Return whether the log is empty now."""
    driver = _sqlite(connection)
    driver.execute(f"PRAGMA busy_timeout = {CHECKPOINT_BUSY_MS}").close()
    try:
        busy, _, _ = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.OperationalError:  # another connection is just at a checkpoint of its own
        return False
    finally:
        driver.execute(f"PRAGMA busy_timeout = {int(BUSY_TIMEOUT_S * 1_000)}").close()
    return not busy


def _living(connection: Connection, sought: "Sought") -> set[bytes]:
    """Return the windows that stand in rows that are there."""
    found: set[bytes] = set()
    for table in HOLDS_TEXT:
        for rows in connection.execute(select(table), execution_options={"yield_per": ROWS_AT_ONCE}).partitions():
            texts = (value for row in rows for value in row if isinstance(value, str))
            found |= sought.found_in("\n".join(texts).encode(errors="replace"))
            if len(found) == len(sought.windows):
                return found
    return found


def _sqlite(connection: Connection) -> sqlite3.Connection:
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    return driver
