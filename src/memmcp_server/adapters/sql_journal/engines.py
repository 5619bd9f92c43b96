"""Where the journal lives, and the connections to it: one that writes, a few that can only read."""

import math
import os
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import QueuePool

from memmcp_server.config import JournalSection
from memmcp_server.errors import DataDirectoryError, InvalidInput

from .translate import of_os, opening

FILE_NAME = "journal.db"
BUSY_TIMEOUT_S = 5.0
CONNECT_TIMEOUT_S = 5
LIVELINESS = {
    "connect_timeout": CONNECT_TIMEOUT_S,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
"""For a server on a network: a peer that has vanished is given up within 25 s, not after a quarter of an hour."""

STUCK_S = 10.0
"""A transaction whose daemon says nothing for so long is rolled back by the server: a daemon that was stopped in the
middle of a commit, or whose machine went away without a word, keeps no other daemon from writing."""

READ_STUCK_S = 60.0
"""As that for one that reads: it keeps the server from taking out dead rows."""

DURABLY = "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
SECRET_PARAMETERS = ("password", "sslpassword")
PROGRESS_STEPS = 20_000
"""Virtual machine steps between two looks at a read's deadline: about a millisecond."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the journal is. ``path`` is set for SQLite. ``shown`` is what a person may see: never a password."""

    url: URL
    path: Path | None
    shown: str


@dataclass(frozen=True, slots=True)
class Engines:
    place: Place
    writer: Engine
    reader: Engine

    def dispose(self) -> None:
        self.reader.dispose()
        self.writer.dispose()


def place_of(section: JournalSection, data_dir: Path) -> Place:
    """Return the place that the section names.

    Raises: InvalidInput (a URL that is neither SQLite nor PostgreSQL).
    """
    if section.url is None:
        path = data_dir / FILE_NAME
        return Place(URL.create("sqlite", database=str(path)), path, str(path))
    try:
        url = make_url(section.url.get_secret_value())
    except ArgumentError as error:
        # The vendor's message repeats the URL, password and all.
        msg = "journal.url is not a database URL; allowed are sqlite:///PATH and postgresql://USER:PASSWORD@HOST/NAME"
        raise InvalidInput(msg, field="journal.url") from error.__cause__
    backend = url.get_backend_name()
    if backend == "sqlite" and url.database:
        path = Path(url.database).expanduser().absolute()
        return Place(URL.create("sqlite", database=str(path)), path, str(path))
    if backend == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
        # A password may stand among the parameters too.
        masked = {name: "hidden" for name in SECRET_PARAMETERS if name in url.query}
        return Place(url, None, url.update_query_dict(masked).render_as_string(hide_password=True))
    msg = f"journal.url names the database {backend!r}; allowed are sqlite:///PATH and postgresql://HOST/NAME"
    raise InvalidInput(msg, field="journal.url")


def open_engines(place: Place, readers: int, read_timeout_s: float) -> Engines:
    """Return engines that connect on first use. A SQLite file is made here, readable by its owner alone.

    Raises: DataDirectoryError, StorageFull.
    """
    if place.path is None:
        return Engines(place, _postgresql_writer(place), _postgresql_reader(place, readers, read_timeout_s))
    make_private_file(place.path)
    return Engines(place, _sqlite_writer(place.path), _sqlite_reader(place.path, readers))


def make_private_file(path: Path) -> None:
    """Make the file and its directory where they are missing; SQLite gives its side files the same rights.

    Raises: DataDirectoryError, StorageFull.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except IsADirectoryError as error:
        msg = f"{path} is a directory; the journal is a file"
        raise DataDirectoryError(msg, hint="move it away, or name another data directory") from error
    except OSError as error:
        raise of_os(error, str(path.parent)) from error


def limit_read(connection: Connection, timeout_s: float) -> None:
    """Stop the reads of this checked-out connection after that long (SQLite; PostgreSQL counts for itself)."""
    connection.info["deadline_s"] = time.monotonic() + timeout_s


def _sqlite_writer(path: Path) -> Engine:
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        poolclass=QueuePool,
        pool_size=1,
        max_overflow=0,
        connect_args={"check_same_thread": False, "timeout": BUSY_TIMEOUT_S, "isolation_level": None},
        hide_parameters=True,
    )

    @event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _record: object) -> None:
        for pragma in (
            "journal_mode = WAL",
            "synchronous = FULL",
            "foreign_keys = ON",
            "trusted_schema = OFF",
            "cell_size_check = ON",
            # What is deleted is overwritten. Moves of rows between pages still leave pieces behind: see ``purge``.
            "secure_delete = ON",
            "temp_store = MEMORY",
            "wal_autocheckpoint = 2000",
            "journal_size_limit = 67108864",
        ):
            connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # IMMEDIATE: take the write lock before the first read, so that nothing changes between look-up and insert.
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _sqlite_reader(path: Path, readers: int) -> Engine:
    def connect() -> sqlite3.Connection:
        return sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro",
            uri=True,
            check_same_thread=False,
            timeout=BUSY_TIMEOUT_S,
            isolation_level=None,
        )

    engine = create_engine(
        "sqlite://", creator=connect, poolclass=QueuePool, pool_size=readers, max_overflow=0, hide_parameters=True
    )

    @event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, record: Any) -> None:
        connection.execute("PRAGMA query_only = ON").close()
        connection.execute("PRAGMA trusted_schema = OFF").close()
        info = record.info
        connection.set_progress_handler(
            lambda: int(time.monotonic() > info.get("deadline_s", math.inf)), PROGRESS_STEPS
        )

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    return engine


def _postgresql_writer(place: Place) -> Engine:
    # paramstyle "format" makes statements positional, as SQLite's are: one way to bind rows for both.
    engine = create_engine(
        place.url,
        pool_size=1,
        max_overflow=0,
        pool_pre_ping=True,
        paramstyle="format",
        connect_args={
            **LIVELINESS,
            "application_name": "memmcp",
            "options": settings_of(place.url, idle_in_transaction_session_timeout=_ms(STUCK_S)),
        },
        hide_parameters=True,
    )

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: object) -> None:
        # What is acknowledged is durable, however hasty the database or the role is set. What asks for more stays.
        connection.execute(DURABLY)
        connection.commit()

    return engine


def open_alone(place: Place) -> Engine:
    """Return an engine that only reads a server's journal, over a connection of its own: what takes long must take none
    from the readers. To be disposed of."""
    return _postgresql_reader(place, 1, 0)


def _postgresql_reader(place: Place, readers: int, read_timeout_s: float) -> Engine:
    options = settings_of(
        place.url,
        default_transaction_read_only="on",
        statement_timeout=_ms(read_timeout_s) if read_timeout_s else "0",
        idle_in_transaction_session_timeout=_ms(READ_STUCK_S),
    )
    return create_engine(
        place.url,
        pool_size=readers,
        max_overflow=0,
        pool_pre_ping=True,
        connect_args={
            **LIVELINESS,
            "application_name": "memmcp (reader)",
            "options": options,
        },
        hide_parameters=True,
    )


def settings_of(url: URL, **settings: str) -> str:
    """Return a session's settings as the driver takes them, behind those that the address itself asks for."""
    asked = url.query.get("options", ())
    own = (f"-c {name}={value}" for name, value in settings.items())
    return " ".join([*((asked,) if isinstance(asked, str) else asked), *own])


def _ms(seconds: float) -> str:
    return str(max(1, int(seconds * 1000)))


def check_opens(engines: Engines) -> None:
    """Connect once for writing, so that a damaged or read-only place is found at the start.

    Raises: DataDirectoryError, JournalUnavailable (no such server), JournalBusy, StorageFull.
    """
    with opening(engines.place.shown, is_file=engines.place.path is not None), engines.writer.begin():
        pass
