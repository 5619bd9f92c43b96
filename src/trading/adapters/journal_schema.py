"""Tables of the trading journal and the numbered steps that make them."""

from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa

from trading.errors import JournalUnavailable

INPUT_KIND = "input"
NOT_INPUT = "kind <> 'input'"

metadata = sa.MetaData()

runs = sa.Table(
    "runs",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("run_id", sa.String, nullable=False, unique=True),
    sa.Column("identity", sa.String, nullable=False, index=True),
    sa.Column("started_at_ns", sa.BigInteger, nullable=False),
)
rows = sa.Table(
    "rows",
    metadata,
    sa.Column("run", sa.ForeignKey("runs.number"), primary_key=True),
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("ts_ns", sa.BigInteger, nullable=False),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    # Inputs are most of the rows and are only ever read in order; the index carries what people ask for.
    sa.Index("rows_by_kind", "run", "kind", "seq", sqlite_where=sa.text(NOT_INPUT)),
    sqlite_with_rowid=False,
)
cursors = sa.Table(
    "cursors",
    metadata,
    sa.Column("run", sa.ForeignKey("runs.number"), primary_key=True),
    sa.Column("sink", sa.String, primary_key=True),
    sa.Column("seq", sa.BigInteger, nullable=False),
)
snapshots = sa.Table(
    "snapshots",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("run", sa.ForeignKey("runs.number"), nullable=False, index=True),
    sa.Column("ts_ns", sa.BigInteger, nullable=False),
    sa.Column("key", sa.String, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
)
answers = sa.Table(
    "answers",
    metadata,
    sa.Column("scope", sa.String, primary_key=True),
    sa.Column("key", sa.String, primary_key=True),
    sa.Column("body", sa.LargeBinary, nullable=False),
)
trials = sa.Table(
    "trials",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("strategy", sa.String, nullable=False),
    sa.Column("fingerprint", sa.String, nullable=False),
    sa.Column("counted_at_ns", sa.BigInteger, nullable=False),
)

_version = sa.Table(
    "schema_version",
    sa.MetaData(),
    sa.Column("number", sa.Integer, primary_key=True),
)


def _first(connection: sa.Connection) -> None:
    metadata.create_all(connection)


STEPS: tuple[Callable[[sa.Connection], None], ...] = (_first,)
"""Step n brings schema n-1 to n. A step that was released is never changed; the next one corrects it."""


def migrate(engine: sa.Engine, path: Path) -> None:
    """Run the steps that the database has not seen, each in one transaction with its record.

    Raises: JournalUnavailable when the database was made by a newer version.
    """
    with engine.connect() as connection:
        connection = connection.execution_options(memmcp_begin="BEGIN IMMEDIATE")
        with connection.begin():
            _version.create(connection, checkfirst=True)
            at = connection.execute(sa.select(sa.func.max(_version.c.number))).scalar_one() or 0
    if at > len(STEPS):
        msg = f"{path} was made by a newer version (schema {at}; this version knows {len(STEPS)})"
        raise JournalUnavailable(msg, hint="install the newer version again")
    for number in range(at + 1, len(STEPS) + 1):
        with engine.connect() as connection:
            connection = connection.execution_options(memmcp_begin="BEGIN IMMEDIATE")
            with connection.begin():
                STEPS[number - 1](connection)
                connection.execute(sa.insert(_version).values(number=number))
