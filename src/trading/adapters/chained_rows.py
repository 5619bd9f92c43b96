"""Append-only rows in a SQLite file of a person, shared by all their processes: each is chained to the one before it.

The database refuses to change or delete a row, and ``first_altered`` finds what was altered around it. Who owns a table
says which of its columns the body repeats, so that a row cannot be moved to another place either.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from trading.errors import TradingError

from .canonical import canonical_json, parse_json

BUSY_TIMEOUT_S: Final = 10.0
FIRST_HASH: Final = "0" * 64


def chained_table(metadata: sa.MetaData, name: str, columns: Sequence[str]) -> sa.Table:
    """Return the table of such rows: a number, these texts, the canonical body and the hash of the chain up to it."""
    return sa.Table(
        name,
        metadata,
        sa.Column("number", sa.Integer, primary_key=True),
        *(sa.Column(column, sa.String, nullable=False) for column in columns),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("hash", sa.String, nullable=False),
    )


def open_chained(path: Path, table: sa.Table, what: str) -> sa.Engine:
    """Open or make the file and see that it can be written. Raises: what SQLAlchemy and the disk raise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(
        sa.URL.create("sqlite+pysqlite", database=str(path)),
        connect_args={"timeout": BUSY_TIMEOUT_S},
    )
    sa.event.listen(engine, "connect", _prepare)
    sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    try:
        with engine.begin() as connection:
            table.metadata.create_all(connection)
            for verb in ("UPDATE", "DELETE"):
                connection.exec_driver_sql(
                    f"CREATE TRIGGER IF NOT EXISTS {table.name}_no_{verb.lower()} BEFORE {verb} ON {table.name} "
                    f"BEGIN SELECT RAISE(ABORT, '{what} is append-only'); END"
                )
    except BaseException:
        engine.dispose()
        raise
    return engine


def append(connection: sa.Connection, table: sa.Table, columns: Mapping[str, str], body: Mapping[str, Any]) -> int:
    """Write one row behind the newest and return its number."""
    newest = sa.select(table.c.hash).order_by(table.c.number.desc()).limit(1)
    before = connection.execute(newest).scalar_one_or_none() or FIRST_HASH
    text = canonical_json(body)
    row = {**columns, "body": text, "hash": chained(before, text)}
    key = connection.execute(sa.insert(table), row).inserted_primary_key
    assert key is not None
    return int(key[0])


def first_altered(connection: sa.Connection, table: sa.Table, columns: Sequence[str]) -> int | None:
    """Return the number of the first row that is not what was written down, None when all are.

    A missing one shows at the next; of the last ones only a copy of the newest hash, kept elsewhere, can tell.
    """
    before, expected = FIRST_HASH, 1
    for row in connection.execute(sa.select(table).order_by(table.c.number)):
        if row.number != expected or not _is_sound(row, before, columns):
            return expected
        before, expected = row.hash, expected + 1
    return None


def chained(before: str, body: bytes) -> str:
    """Return the hash of a row: of the hash before it and its own body."""
    return hashlib.sha256(before.encode() + b"\n" + body).hexdigest()


@contextmanager
def translating(path: Path, what: str, unavailable: type[TradingError]) -> Iterator[None]:
    """Turn what the database or the disk raises into the owner's error, which names the file."""
    try:
        yield
    except sa.exc.DatabaseError as error:
        msg = f"{what} {path}: {error.orig}"
        raise unavailable(msg, hint="check that the file is what it should be and can be written") from error
    except OSError as error:
        msg = f"{what} {path}: {error.strerror or error}"
        raise unavailable(msg, hint="name another place with MEMMCP_DATA_DIR") from error


def _is_sound(row: Any, before: str, columns: Sequence[str]) -> bool:
    if not isinstance(row.body, bytes) or row.hash != chained(before, row.body):
        return False
    body = parse_json(row.body)
    return all(body[column] == getattr(row, column) for column in columns)


def _prepare(connection: Any, _record: Any) -> None:
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}")
