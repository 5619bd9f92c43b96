"""What a move of a journal to PostgreSQL keeps in the database that it fills: whose it is, and how far it has come.

Outside of the journal's schema: a journal that was never moved has no such tables. ``journal_move`` has one row. While
it is not finished no daemon opens the database, for the journal there is a part of one.
"""

from sqlalchemy import BigInteger, Boolean, Column, Connection, Integer, MetaData, String, Table, Text, inspect, select

from memmcp_server.errors import DataDirectoryError

marks_metadata = MetaData()

moves = Table(
    "journal_move",
    marks_metadata,
    Column("one", Integer, primary_key=True, autoincrement=False),
    Column("instance_id", String(36), nullable=False),
    Column("source", Text, nullable=False),
    Column("source_head", Text, nullable=False),
    Column("revision", String(32), nullable=False),
    Column("begun_at_ns", BigInteger, nullable=False),
    Column("finished_at_ns", BigInteger),
    Column("proof", Text),
)

progress = Table(
    "journal_move_tables",
    marks_metadata,
    Column("name", String(64), primary_key=True),
    Column("rows", BigInteger, nullable=False),
    Column("last_key", Text),
    Column("is_whole", Boolean, nullable=False),
)


def refuse_unfinished(connection: Connection, shown: str) -> None:
    """Raises: DataDirectoryError when a migration has filled a part of this database only."""
    if not inspect(connection).has_table(moves.name):
        return
    found = connection.execute(select(moves.c.source, moves.c.finished_at_ns)).first()
    if found is not None and found.finished_at_ns is None:
        msg = f"{shown} holds a part of the journal {found.source}: its migration is not finished"
        hint = "run `memmcp migrate sqlite-to-postgres` once more, it goes on where it was; or unset journal.url"
        raise DataDirectoryError(msg, field="journal.url", hint=hint)
