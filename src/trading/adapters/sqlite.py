"""One way to open the desk's SQLite files: WAL, ``synchronous=FULL``, our own BEGIN, schema steps, our own errors."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.pool import QueuePool

from trading.errors import JournalUnavailable

BUSY_TIMEOUT_S: Final = 10.0
Step = Callable[[sa.Connection], None]

_version = sa.Table(
    "schema_version",
    sa.MetaData(),
    sa.Column("number", sa.Integer, primary_key=True),
)


def open_engine(path: Path, steps: Sequence[Step], *, connections: int = 4) -> sa.Engine:
    """Open or make a database and bring its schema up to date. ``connections`` are kept, twice as many at a peak.

    Raises: JournalUnavailable naming the file.
    """
    with translating(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        engine = sa.create_engine(
            sa.URL.create("sqlite+pysqlite", database=str(path)),
            poolclass=QueuePool,
            pool_size=connections,
            max_overflow=connections,
            connect_args={"check_same_thread": False, "timeout": BUSY_TIMEOUT_S},
        )
        sa.event.listen(engine, "connect", _prepare)
        sa.event.listen(engine, "begin", _begin)
        try:
            _migrate(engine, path, steps)
        except BaseException:
            engine.dispose()
            raise
    return engine


def _migrate(engine: sa.Engine, path: Path, steps: Sequence[Step]) -> None:
    """Run the steps that the database has not seen, each in one transaction with its record.

    Raises: JournalUnavailable when the database was made by a newer version.
    """
    with writing(engine) as connection:
        _version.create(connection, checkfirst=True)
        at = connection.execute(sa.select(sa.func.max(_version.c.number))).scalar_one() or 0
    if at > len(steps):
        msg = f"{path} was made by a newer version (schema {at}; this version knows {len(steps)})"
        raise JournalUnavailable(msg, hint="install the newer version again")
    for number in range(at + 1, len(steps) + 1):
        with writing(engine) as connection:
            steps[number - 1](connection)
            connection.execute(sa.insert(_version).values(number=number))


@contextmanager
def writing(engine: sa.Engine, *, syncs_later: bool = False) -> Iterator[sa.Connection]:
    """A transaction that holds the write lock from its beginning, so that what it read cannot change under it.

    ``syncs_later``: its commit waits for no disk. The write-ahead log keeps its order, so the next commit that does
    makes this one durable too; before that it can be lost with the power, though not with the process.
    """
    with engine.connect() as connection:
        connection = connection.execution_options(memmcp_begin="BEGIN IMMEDIATE")
        with _syncing_later(connection) if syncs_later else nullcontext(), connection.begin():
            yield connection


@contextmanager
def _syncing_later(connection: sa.Connection) -> Iterator[None]:
    driver: Any = connection.connection.driver_connection  # past SQLAlchemy: it would begin a transaction first
    driver.execute("PRAGMA synchronous=NORMAL")
    try:
        yield
    finally:
        driver.execute("PRAGMA synchronous=FULL")


class FencedFile:
    """A database that whoever opened it last may write, and nobody else: an older process finds a newer epoch and
    stops. Any thread may call it, one at a time gets in. ``epoch`` is a column of a table with one row."""

    def __init__(self, path: Path, steps: Sequence[Step], epoch: "sa.Column[int]", what: str) -> None:
        """``what`` says after a comma what is another's now. Raises: JournalUnavailable."""
        self.path = path
        self.engine = open_engine(path, steps, connections=1)
        self._lock = threading.Lock()
        self._what = what
        self._read = sa.select(epoch)
        try:
            with translating(path), writing(self.engine) as connection:
                connection.execute(sa.update(epoch.table).values({epoch: epoch + 1}))
                self.epoch = int(connection.execute(self._read).scalar_one())
                """How often the file was opened."""
        except BaseException:
            self.engine.dispose()
            raise

    @contextmanager
    def writing(self, *, syncs_later: bool = False) -> Iterator[sa.Connection]:
        """As ``writing``. Raises: JournalUnavailable, also where somebody has opened the file since."""
        with self._lock, translating(self.path), writing(self.engine, syncs_later=syncs_later) as connection:
            if connection.execute(self._read).scalar_one() != self.epoch:
                msg = f"{self.path} was opened by another process since: this one may not write any more, {self._what}"
                raise JournalUnavailable(msg, hint="stop this process; one at a time works with a data directory")
            yield connection

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Raises: JournalUnavailable."""
        with self._lock, translating(self.path), self.engine.connect() as connection, connection.begin():
            yield connection

    def close(self) -> None:
        self.engine.dispose()


@contextmanager
def translating(path: Path) -> Iterator[None]:
    """Turn what the database or the disk says into JournalUnavailable naming the file."""
    try:
        yield
    except sa.exc.IntegrityError as error:
        msg = f"{path}: another process writes to this run; stop it, then start again"
        raise JournalUnavailable(msg) from error
    except sa.exc.DatabaseError as error:
        msg = f"{path}: {error.orig}"
        raise JournalUnavailable(msg, hint="check that the disk has space and the file can be written") from error
    except OSError as error:
        msg = f"{path}: {error.strerror or error}"
        raise JournalUnavailable(msg) from error


def run_all(statements: Sequence[str]) -> Step:
    """Return the schema step that runs these statements."""

    def step(connection: sa.Connection) -> None:
        for statement in statements:
            connection.exec_driver_sql(statement)

    return step


def _prepare(connection: Any, _record: Any) -> None:
    # autocommit at the driver, so that SQLAlchemy's "begin" event alone decides which BEGIN is sent
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: sa.Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("memmcp_begin", "BEGIN"))


def integrity_problem(path: Path) -> str:
    """Read a database through without changing it; return what is wrong with it, "" for a sound one."""
    engine = sa.create_engine(f"sqlite+pysqlite:///file:{quote(str(path.absolute()))}?mode=ro&uri=true")
    try:
        with engine.connect() as connection:
            found = str(connection.exec_driver_sql("PRAGMA integrity_check(1)").scalar_one())
    except sa.exc.DatabaseError as error:
        return str(error.orig)
    finally:
        engine.dispose()
    return "" if found == "ok" else found
