"""Bring the schema to what this version needs, when the journal is opened."""

from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

from sqlalchemy import Connection, Engine, inspect, select, text

from memmcp_server.errors import DataDirectoryError

from .move_marks import refuse_unfinished
from .schema import REVISIONS, head, outbox, sinks
from .translate import opening

MIGRATIONS = Path(__file__).parent / "migrations"
WAIT_S = 120.0
"""So long a start waits for the migration of another daemon, or for those that read for long."""

NEW_FILE = MIGRATIONS / "new_file.sql"
"""What Alembic makes of an empty SQLite file, for those who would load it for this alone: it takes 0.2 s of a start."""
LOCK_NUMBER = 0x6D656D_6D6370
"""Advisory lock under which two daemons that start at once migrate a PostgreSQL journal in turn."""


def migrate(engine: Engine, shown: str, sink_names: Sequence[str], *, retire: bool = False) -> None:
    """Migrate, and make the rows that the journal counts on. Does nothing to a journal that has them.

    Raises: DataDirectoryError (a schema of a newer version, a damaged file, a part of a journal that is being moved
    here), JournalBusy, StorageFull.
    """
    with opening(shown, is_file=engine.dialect.name == "sqlite"), engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            # Alembic takes its time to load; a daemon that stops here still keeps no other out for good.
            connection.execute(text(f"SET LOCAL idle_in_transaction_session_timeout = '{WAIT_S:g}s'"))
            connection.execute(text(f"SET LOCAL lock_timeout = {int(WAIT_S * 1_000)}"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": LOCK_NUMBER})
            refuse_unfinished(connection, shown)
        present = schema_revision(connection)
        if present is not None and present not in REVISIONS:
            msg = f"{shown} was written by a newer memMCP (schema {present}; this one knows up to {REVISIONS[-1]})"
            raise DataDirectoryError(msg, hint="run the newer version, or use another data directory")
        if present is None and _is_new_file(connection):
            _fill_new_file(connection)
        elif present != REVISIONS[-1]:
            upgrade(connection)
        _ensure_rows(connection, sink_names)
        if retire:
            _retire_others(connection, sink_names)


def schema_revision(connection: Connection) -> str | None:
    """Return the schema's revision, None for an empty database."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if revision is None else str(revision)


def _is_new_file(connection: Connection) -> bool:
    if connection.dialect.name != "sqlite":
        return False
    return connection.execute(text("SELECT 1 FROM sqlite_master LIMIT 1")).first() is None


def _fill_new_file(connection: Connection) -> None:
    """Make in one go what ``upgrade`` makes in steps, within the connection's transaction."""
    for statement in NEW_FILE.read_text(encoding="utf-8").split(";\n"):
        if statement.strip():
            connection.exec_driver_sql(statement)


def upgrade(connection: Connection) -> None:
    """Bring the schema to the last revision, within the connection's transaction."""
    # Imported here: a journal that is up to date opens without Alembic, which takes longer to load than to run.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _ensure_rows(connection: Connection, sink_names: Sequence[str]) -> None:
    if connection.execute(select(head.c.one)).first() is None:
        connection.execute(
            head.insert().values(one=1, instance_id=str(uuid4()), seq=0, outbox_id=0, known_at_ns=0, memories=0)
        )
    known = set(connection.execute(select(sinks.c.name)).scalars())
    for name in sink_names:
        if name not in known:
            connection.execute(sinks.insert().values(name=name, delivered=0))


def _retire_others(connection: Connection, sink_names: Sequence[str]) -> None:
    """Forget the sinks that nobody delivers to any more, and what waits for them."""
    for table, column in ((outbox, outbox.c.sink), (sinks, sinks.c.name)):
        connection.execute(table.delete().where(column.not_in(sink_names)))
