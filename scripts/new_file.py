"""Make ``migrations/new_file.sql`` anew: what all migrations make of an empty SQLite file. Run after each new one."""

import sys
from pathlib import Path

from sqlalchemy import create_engine, text

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "src"))
from memmcp_server.adapters.sql_journal.migrate import NEW_FILE, schema_revision, upgrade  # noqa: E402

HEAD = "-- What the migrations make of an empty SQLite file, by scripts/new_file.py. A test compares both."
MADE = text("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY rowid")


def main() -> None:
    with create_engine("sqlite://").begin() as connection:
        upgrade(connection)
        made = [row.sql.strip().splitlines() for row in connection.execute(MADE)]
        statements = ["\n".join(line.rstrip() for line in lines) for lines in made]
        revision = f"INSERT INTO alembic_version (version_num) VALUES ('{schema_revision(connection)}')"
    NEW_FILE.write_text(f"{HEAD}\n" + ";\n".join([*statements, revision]) + ";\n", encoding="utf-8")


if __name__ == "__main__":
    main()
