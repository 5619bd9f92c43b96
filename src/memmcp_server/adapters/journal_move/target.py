"""The PostgreSQL database that is filled: a batch and the note of how far it came are one transaction."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from sqlalchemy import (
    Connection,
    Index,
    NullPool,
    Table,
    UniqueConstraint,
    create_engine,
    delete,
    insert,
    inspect,
    select,
    text,
    update,
)
from sqlalchemy.schema import CreateIndex, DropIndex

from memmcp_server.adapters.sql_journal.engines import CONNECT_TIMEOUT_S, Place
from memmcp_server.adapters.sql_journal.migrate import LOCK_NUMBER, upgrade
from memmcp_server.adapters.sql_journal.move_marks import marks_metadata, moves, progress
from memmcp_server.adapters.sql_journal.schema import HISTORY, head, metadata
from memmcp_server.adapters.sql_journal.translate import of_driver, translating
from memmcp_server.errors import InvalidInput, JournalBusy, JournalUnavailable

from .layout import Layout, Row

ROWS_AT_ONCE: Final = 1_000
MOVE_LOCK_NUMBER: Final = LOCK_NUMBER + 1
"""Held by the one migration that fills the database."""

EMPTY_HINT: Final = "make an empty database (createdb) and name that one; nothing was changed in this one"


@dataclass(frozen=True, slots=True)
class Mark:
    """The row that says whose journal is here. ``source_head`` is the source's head as it was when this began."""

    instance_id: str
    source: str
    source_head: str
    revision: str
    finished_at_ns: int | None
    proof: str | None


@dataclass(frozen=True, slots=True)
class Reached:
    rows: int
    last_key: str | None
    is_whole: bool


class Target:
    """An open database. Make one with ``open_target``."""

    def __init__(self, connection: Connection, shown: str) -> None:
        self._connection = connection
        self.shown = shown

    def lock(self) -> None:
        """Keep every other migration out for as long as this connection lives. Raises: JournalBusy, InvalidInput."""
        with self._connection.begin():
            for setting in ("statement_timeout", "idle_in_transaction_session_timeout", "lock_timeout"):
                self._connection.execute(text(f"SET {setting} = 0"))
            # A lost batch is copied again; what must last is flushed by the commit of ``finish``.
            self._connection.execute(text("SET synchronous_commit = off"))
            encoding = self._connection.execute(text("SHOW server_encoding")).scalar_one()
            if encoding != "UTF8":
                msg = f"the encoding of {self.shown} is {encoding}; the journal needs UTF8"
                raise InvalidInput(msg, field="journal.url", hint="createdb --encoding=UTF8 --template=template0 NAME")
            locked = text("SELECT pg_try_advisory_lock(:number)")
            if not self._connection.execute(locked, {"number": MOVE_LOCK_NUMBER}).scalar_one():
                msg = f"another migration fills {self.shown} now"
                raise JournalBusy(msg, hint="wait for its end")

    def mark(self) -> Mark | None:
        """Return what a migration left here, None for an empty database.

        Raises: InvalidInput (it holds something else).
        """
        with self._connection.begin():
            tables = sorted(inspect(self._connection).get_table_names())
            if moves.name in tables:
                columns = (moves.c.instance_id, moves.c.source, moves.c.source_head, moves.c.revision)
                query = select(*columns, moves.c.finished_at_ns, moves.c.proof)
                return Mark(*self._connection.execute(query).one())
            if head.name in tables:
                found = self._connection.execute(select(head.c.instance_id, head.c.memories)).first()
                what = f"the journal {found[0]} with {found[1]} memories" if found else "a journal without a head"
                msg = f"{self.shown} holds {what}"
                raise InvalidInput(msg, field="journal.url", hint=EMPTY_HINT)
            if tables:
                msg = f"{self.shown} is not empty: it has the tables {', '.join(tables[:3])}"
                raise InvalidInput(msg, field="journal.url", hint=EMPTY_HINT)
        return None

    def prepare(self, mark: Mark, now_ns: int) -> None:
        """Make the tables and the mark, all or nothing. What can be built faster at the end is left out."""
        with self._connection.begin():
            self._connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": LOCK_NUMBER})
            upgrade(self._connection)
            for constraint in _constraints():
                self._connection.execute(
                    text(f'ALTER TABLE "{constraint.table.name}" DROP CONSTRAINT "{constraint.name}"')
                )
            for index in _indexes():
                self._connection.execute(DropIndex(index))
            marks_metadata.create_all(self._connection)
            self._connection.execute(
                insert(moves).values(
                    one=1,
                    instance_id=mark.instance_id,
                    source=mark.source,
                    source_head=mark.source_head,
                    revision=mark.revision,
                    begun_at_ns=now_ns,
                )
            )

    def begin_anew(self, source: str, source_head: str) -> None:
        """Empty everything: the source has changed since a part of it was copied."""
        with self._connection.begin():
            names = ", ".join(f'"{name}"' for name in metadata.tables)
            self._connection.execute(text(f"TRUNCATE {names}"))
            self._connection.execute(delete(progress))
            self._connection.execute(update(moves).values(source=source, source_head=source_head))

    def reached(self, layout: Layout) -> Reached:
        """Return how far the copy of a table has come."""
        query = select(progress.c.rows, progress.c.last_key, progress.c.is_whole)
        with self._connection.begin():
            row = self._connection.execute(query.where(progress.c.name == layout.name)).first()
        return Reached(0, None, is_whole=False) if row is None else Reached(*row)

    def clear(self, layout: Layout) -> None:
        """Begin a table anew."""
        with self._connection.begin():
            self._connection.execute(text(f'TRUNCATE "{layout.name}"'))
            self._connection.execute(delete(progress).where(progress.c.name == layout.name))

    @contextmanager
    def batch(self, layout: Layout, reached: Reached) -> Iterator["Batch"]:
        """Copy what is put into the batch, and note how far that is; all or nothing."""
        with self._connection.begin():
            batch = Batch(reached)
            with self._driver().cursor() as cursor, cursor.copy(layout.copy_sql.encode()) as copy:
                batch.copy = copy
                yield batch
            self._note(layout, batch.reached)

    def _note(self, layout: Layout, reached: Reached) -> None:
        values = {"rows": reached.rows, "last_key": reached.last_key, "is_whole": reached.is_whole}
        changed = self._connection.execute(update(progress).where(progress.c.name == layout.name).values(**values))
        if changed.rowcount == 0:
            self._connection.execute(insert(progress).values(name=layout.name, **values))

    def missing_indexes(self) -> list[Index | UniqueConstraint]:
        """Return what is still to be built."""
        with self._connection.begin():
            inspector = inspect(self._connection)
            found = {
                str(each["name"])
                for table in metadata.sorted_tables
                for each in (*inspector.get_indexes(table.name), *inspector.get_unique_constraints(table.name))
            }
        wanted: list[Index | UniqueConstraint] = [*_constraints(), *_indexes()]
        return [each for each in wanted if each.name not in found]

    def build(self, index: Index | UniqueConstraint) -> None:
        with self._connection.begin():
            self._connection.execute(CreateIndex(index) if isinstance(index, Index) else text(_adding(index)))

    def analyze(self) -> None:
        """Have the planner look at what it got."""
        for name in metadata.tables:
            with self._connection.begin():
                self._connection.execute(text(f'ANALYZE "{name}"'))

    def chunks(self, layout: Layout) -> Generator[list[Row], None, None]:
        """Yield all rows in the order of the key, a thousand at a time."""
        with self._connection.begin(), self._driver().cursor(name="rows", binary=True) as cursor:
            cursor.execute(layout.target_sql.encode())
            while rows := cursor.fetchmany(ROWS_AT_ONCE):
                yield rows

    def finish(self, head_row: Row, entry: Sequence[tuple[Table, dict[str, Any]]], proof: str, now_ns: int) -> Row:
        """Write the head and what comes with it: from now on the journal is here. Returns the head as it was read back
        before anything was added to it."""
        with self._connection.begin():
            self._connection.execute(text("SET LOCAL synchronous_commit = on"))
            self._connection.execute(insert(head).values(dict(zip(head.c.keys(), head_row, strict=True))))
            written = tuple(self._connection.execute(select(head)).one())
            for table, values in entry:
                if table is head:
                    self._connection.execute(update(head).values(**values))
                else:
                    self._connection.execute(insert(table).values(**values))
            self._connection.execute(update(moves).values(finished_at_ns=now_ns, proof=proof))
        return written

    def _driver(self) -> "psycopg.Connection[Row]":
        driver = self._connection.connection.driver_connection
        if not isinstance(driver, psycopg.Connection):
            msg = f"the connection to {self.shown} is lost"
            raise JournalUnavailable(msg)
        return driver


class Batch:
    """Rows on their way into a table."""

    def __init__(self, reached: Reached) -> None:
        self.reached = reached
        self.rows = 0
        self.copy: Any = None

    def put(self, layout: Layout, rows: Sequence[Row]) -> None:
        write = self.copy.write_row
        for row in rows:
            write(row)
        self.rows += len(rows)
        self.reached = Reached(self.reached.rows + len(rows), layout.key_text(rows[-1]), is_whole=False)

    def end(self) -> None:
        """Say that the table is whole with this batch."""
        self.reached = Reached(self.reached.rows, self.reached.last_key, is_whole=True)


def _constraints() -> list[UniqueConstraint]:
    found = [each for table in metadata.sorted_tables if table.name not in HISTORY for each in table.constraints]
    return sorted((each for each in found if isinstance(each, UniqueConstraint)), key=lambda each: str(each.name))


def _adding(constraint: UniqueConstraint) -> str:
    # Not sqlalchemy's AddConstraint: it takes the constraint out of the tables' own definition for good.
    columns = ", ".join(f'"{column.name}"' for column in constraint.columns)
    return f'ALTER TABLE "{constraint.table.name}" ADD CONSTRAINT "{constraint.name}" UNIQUE ({columns})'


def _indexes() -> list[Index]:
    found = [each for table in metadata.sorted_tables for each in table.indexes]
    return sorted(found, key=lambda each: str(each.name))


@contextmanager
def open_target(place: Place) -> Iterator[Target]:
    """Connect to the PostgreSQL database of a place and keep other migrations out.

    Raises: InvalidInput (not PostgreSQL, not UTF8), JournalBusy, JournalUnavailable, StorageFull.
    """
    if place.path is not None:
        msg = f"the target {place.shown} is a SQLite file; a PostgreSQL database is needed"
        raise InvalidInput(msg, field="journal.url", hint="postgresql://USER@HOST/NAME")
    engine = create_engine(
        place.url,
        poolclass=NullPool,
        connect_args={
            "connect_timeout": CONNECT_TIMEOUT_S,
            "application_name": "memmcp migrate",
            # Whatever the database's own is; one that is not UTF8 is then refused in words.
            "client_encoding": "utf8",
        },
        hide_parameters=True,
    )
    try:
        with translating(place.shown), engine.connect() as connection:
            target = Target(connection, place.shown)
            target.lock()
            yield target
    except psycopg.Error as error:
        # The first line alone: those after it would repeat what a row says.
        raise of_driver(error, place.shown) from None
    finally:
        engine.dispose()
