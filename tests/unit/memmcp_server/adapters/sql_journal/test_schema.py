"""The migrations make what the code expects."""

import subprocess
import sys
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect, select, text

from memmcp_server.adapters.sql_journal.engines import open_engines, place_of
from memmcp_server.adapters.sql_journal.migrate import MIGRATIONS, migrate, schema_revision, upgrade
from memmcp_server.adapters.sql_journal.schema import REVISIONS, head, metadata, sinks
from memmcp_server.config import JournalSection


def test_the_migrated_schema_is_that_of_the_tables(tmp_path: Path) -> None:
    engines = open_engines(place_of(JournalSection(), tmp_path), 1, 5)
    migrate(engines.writer, "here", ("qdrant",))
    with engines.writer.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)
        tables = set(inspect(connection).get_table_names())
        written = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql NOTNULL"))
        indexes = {row.name: row.sql for row in written}
    engines.dispose()
    assert differences == []
    assert tables == {*metadata.tables, "alembic_version"}
    assert "NOT dead" in indexes["outbox_live"]
    assert "WHERE dead" in indexes["outbox_dead"]
    assert "IS NOT NULL" in indexes["memories_thread"]


def test_a_new_file_is_made_as_the_migrations_make_it(tmp_path: Path) -> None:
    made: list[tuple[set[tuple[str, str, str]], str | None]] = []
    for name, make in (("at once", lambda each: migrate(each, "here", ("qdrant",))), ("in steps", _upgrade)):
        engines = open_engines(place_of(JournalSection(), tmp_path / name), 1, 5)
        make(engines.writer)
        with engines.writer.connect() as connection:
            rows = connection.execute(text("SELECT type, name, coalesce(sql, '') AS sql FROM sqlite_master"))
            found = {(row.type, row.name, "".join(row.sql.split())) for row in rows}
            made.append((found, schema_revision(connection)))
        engines.dispose()
    at_once, in_steps = made
    assert in_steps[1] == REVISIONS[-1]
    assert at_once == in_steps


def _upgrade(engine: Engine) -> None:
    with engine.begin() as connection:
        upgrade(connection)


def test_a_file_that_is_not_new_is_left_to_the_migrations(tmp_path: Path) -> None:
    engines = open_engines(place_of(JournalSection(), tmp_path), 1, 5)
    with engines.writer.begin() as connection:
        connection.execute(text("CREATE TABLE kept (one INTEGER)"))
    migrate(engines.writer, "here", ("qdrant",))
    with engines.writer.connect() as connection:
        assert {*metadata.tables, "kept", "alembic_version"} == set(inspect(connection).get_table_names())
        assert schema_revision(connection) == REVISIONS[-1]
    engines.dispose()


def test_the_known_revisions_are_those_in_the_folder_and_one_line() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    script = ScriptDirectory.from_config(config)
    assert script.get_heads() == [REVISIONS[-1]]
    assert tuple(reversed([each.revision for each in script.walk_revisions()])) == REVISIONS


def test_migrating_again_changes_nothing_and_a_new_sink_is_added(tmp_path: Path) -> None:
    engines = open_engines(place_of(JournalSection(), tmp_path), 1, 5)
    migrate(engines.writer, "here", ("qdrant",))
    with engines.writer.connect() as connection:
        first = connection.execute(head.select()).all()
    migrate(engines.writer, "here", ("qdrant", "langfuse"))
    with engines.writer.connect() as connection:
        assert connection.execute(head.select()).all() == first
        known = connection.execute(select(sinks.c.name, sinks.c.delivered)).all()
        assert sorted(map(tuple, known)) == [("langfuse", 0), ("qdrant", 0)]
        assert schema_revision(connection) == REVISIONS[-1]
    engines.dispose()


def test_a_new_journal_and_one_that_is_up_to_date_open_without_loading_alembic(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from memmcp_server.adapters.sql_journal.engines import open_engines, place_of\n"
        "from memmcp_server.adapters.sql_journal.migrate import migrate\n"
        "from memmcp_server.config import JournalSection\n"
        "engines = open_engines(place_of(JournalSection(), Path(sys.argv[1])), 1, 5)\n"
        "for _ in ('new', 'up to date'): migrate(engines.writer, 'here', ('qdrant',))\n"
        "engines.dispose()\n"
        "print('alembic' in sys.modules)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, timeout=60, check=True
    )
    assert ended.stdout.strip() == "False"
