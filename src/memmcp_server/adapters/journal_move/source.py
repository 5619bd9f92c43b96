"""The SQLite journal that is moved: read, never written, as of one moment."""

import sqlite3
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any

from memmcp_server.adapters.sql_journal.engines import BUSY_TIMEOUT_S
from memmcp_server.adapters.sql_journal.schema import REVISIONS
from memmcp_server.adapters.sql_journal.translate import translating
from memmcp_server.errors import DataDirectoryError, InvalidInput

from .fitting import Misfit, misfit_of, misfits_sql
from .layout import HEAD, Layout, Row

ROWS_AT_ONCE = 500
MISFITS_SHOWN_MAX = 5


class Source:
    """An open journal. Make one with ``open_source``."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self.path = path
        self.head: Row = ()

    @property
    def instance_id(self) -> str:
        return str(self.head[HEAD.columns.index("instance_id")])

    def begin(self) -> None:
        """Fix the moment as of which everything is read. Raises: DataDirectoryError."""
        self._connection.execute("BEGIN").close()
        tables = {name for (name,) in self._connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if HEAD.name not in tables or "alembic_version" not in tables:
            msg = f"{self.path} is no memory journal"
            raise DataDirectoryError(msg, hint="name the data directory whose memories are to be moved")
        revision = self._connection.execute("SELECT version_num FROM alembic_version").fetchone()
        if revision != (REVISIONS[-1],):
            msg = f"{self.path} has the schema {revision and revision[0]}; only {REVISIONS[-1]} can be moved"
            raise DataDirectoryError(msg, hint="start and stop the daemon of this version once, then repeat")
        rows = self._connection.execute(HEAD.source_sql).fetchall()
        if len(rows) != 1:
            msg = f"{self.path} has {len(rows)} head rows, not one; it was not made by this program"
            raise DataDirectoryError(msg)
        self.head = rows[0]

    def count(self, layout: Layout) -> int:
        with self._translating():
            return int(self._connection.execute(layout.count_sql).fetchone()[0])

    def misfits(self, layout: Layout) -> list[Misfit]:
        """Return the first few values that PostgreSQL cannot hold."""
        with self._translating():
            found = self._connection.execute(misfits_sql(layout), (MISFITS_SHOWN_MAX,)).fetchall()
        return [misfit_of(layout, row) for row in found]

    def chunks(self, layout: Layout, after: Row | None = None) -> Generator[list[Row], None, None]:
        """Yield the rows after a key, some hundred at a time.

        Raises: InvalidInput (a text that is not Unicode, named by its key).
        """
        sql, parameters = (layout.source_sql, ()) if after is None else (layout.source_after_sql, after)
        with closing(self._connection.cursor()) as cursor:
            with self._translating():
                cursor.execute(sql, parameters)
            while rows := self._next(cursor, layout):
                yield rows

    def _next(self, cursor: sqlite3.Cursor, layout: Layout) -> list[Row]:
        with self._translating():
            try:
                return cursor.fetchmany(ROWS_AT_ONCE)
            except sqlite3.OperationalError as error:
                # The driver's message repeats the text.
                if "decode" not in str(error):
                    raise
                raise self._undecodable(layout) from None

    def _translating(self) -> AbstractContextManager[None]:
        # Here and not further out: what holds the target would take the fault for its own.
        return translating(str(self.path))

    def _undecodable(self, layout: Layout) -> InvalidInput:
        """Return the error that names the first value of a table that is not UTF-8."""
        with closing(self._connection.cursor()) as cursor:
            self._connection.text_factory = bytes
            try:
                for row in cursor.execute(layout.source_sql):
                    for name, value in zip(layout.columns, row, strict=True):
                        if isinstance(value, bytes) and not _is_text(value) and name not in _blobs(layout):
                            key = layout.key_text([_shown(part) for part in row])
                            return InvalidInput(f"{layout.name} {key}: {name} is not valid Unicode", field=name)
            finally:
                self._connection.text_factory = str
        return InvalidInput(f"{layout.name} holds a text that is not valid Unicode", field=layout.name)


def _blobs(layout: Layout) -> set[str]:
    return {layout.columns[place] for place in layout.byte_places}


def _is_text(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _shown(value: Any) -> Any:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


@contextmanager
def open_source(path: Path) -> Iterator[Source]:
    """Open a SQLite journal for reading.

    Raises: DataDirectoryError (no journal, or of another schema), InvalidInput (a text that is not Unicode),
    JournalBusy, JournalUnavailable (damaged).
    """
    if not path.is_file():
        msg = f"there is no journal at {path}"
        raise DataDirectoryError(msg, field="data_dir", hint="name the data directory whose memories are to be moved")
    with translating(str(path)):
        # Not immutable=1: what a killed daemon left in the write-ahead log counts.
        uri = f"{path.absolute().as_uri()}?mode=ro"
        connection = sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        with closing(connection):
            for pragma in ("query_only = ON", "trusted_schema = OFF", "cell_size_check = ON"):
                connection.execute(f"PRAGMA {pragma}").close()
            source = Source(connection, path)
            source.begin()
            yield source
