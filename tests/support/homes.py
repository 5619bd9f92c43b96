"""Data directories for daemons that are to be killed, with their journal in a file or on a PostgreSQL of their own."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .agents import data_directory
from .postgres import PostgresServer, running_postgres

SQLITE: Final = "sqlite"
POSTGRESQL: Final = "postgresql"
DATABASES: Final = (SQLITE, POSTGRESQL)


@dataclass(frozen=True)
class Home:
    """``server``: where its journal is; None where that is a file."""

    data_dir: Path
    server: PostgresServer | None


@contextlib.contextmanager
def durable_postgres() -> Iterator[PostgresServer]:
    """Start a server whose commits wait for the disk, as in production."""
    with running_postgres() as server:
        server.execute("ALTER SYSTEM SET fsync = on")
        server.execute("SELECT pg_reload_conf()")
        yield server


@contextlib.contextmanager
def home(database: str) -> Iterator[Home]:
    """Give a data directory whose daemon keeps its journal in that database, one of ``DATABASES``."""
    if database not in DATABASES:
        msg = f"database is {database!r}; allowed are {', '.join(DATABASES)}"
        raise ValueError(msg)
    with contextlib.ExitStack() as stack:
        # What a killed process has written the system still has; only its end by power would need the disk.
        server = stack.enter_context(running_postgres()) if database == POSTGRESQL else None
        data_dir = stack.enter_context(data_directory())
        if server is not None:
            point_at(data_dir, server.url(server.new_database()))
        yield Home(data_dir, server)


def point_at(data_dir: Path, url: str) -> None:
    """Have the daemon of a data directory keep its journal there."""
    path = data_dir / "memmcp.toml"
    path.touch(0o600)
    path.write_text(f'[journal]\nurl = "{url}"\n', encoding="utf-8")
