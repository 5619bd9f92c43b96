"""Spans of calls on their way: a small SQLite file, so that neither an outage nor a restart loses them.

A row is a finished request, compressed as it will be sent. Beyond ``bytes_max`` the oldest rows are dropped, and
counted. What is told here is no memory: the file may be deleted while the daemon is down.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.pool import StaticPool

from memmcp_server.domain.tracing.calls import SpansWaiting
from memmcp_server.errors import StorageFull, Unavailable

NAME: Final = "spans.db"
BUSY_TIMEOUT_S: Final = 2.0

logger = logging.getLogger(__name__)

_metadata = sa.MetaData()
_batches = sa.Table(
    "batches",
    _metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("target", sa.String(32), nullable=False),
    sa.Column("spans", sa.Integer, nullable=False),
    sa.Column("at_ns", sa.Integer, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Index("batches_target", "target", "id"),
    sqlite_autoincrement=True,
)
_counts = sa.Table(
    "counts",
    _metadata,
    sa.Column("target", sa.String(32), primary_key=True),
    sa.Column("dropped", sa.Integer, nullable=False, server_default="0"),
    sa.Column("refused", sa.Integer, nullable=False, server_default="0"),
)


@dataclass(frozen=True, slots=True)
class Batch:
    id: int
    spans: int
    body: bytes


class Spool:
    """Blocks: call it from threads, which take turns at its one connection."""

    def __init__(self, directory: Path, bytes_max: int) -> None:
        self._path = directory / NAME
        self._bytes_max = bytes_max
        self._engine: sa.Engine | None = None
        self._bytes = 0
        self._turn = threading.Lock()

    def open(self) -> None:
        """Open or make the file; a damaged one is set aside. Raises: Unavailable, StorageFull."""
        with self._translated():
            try:
                self._engine = self._opened()
            except sa.exc.DatabaseError as error:
                if "malformed" not in str(error) and "not a database" not in str(error):
                    raise
                aside = self._path.with_suffix(f".damaged-{time.time_ns()}")
                logger.error("%s is damaged; it is kept as %s and spans begin anew", self._path.name, aside.name)
                self._path.rename(aside)
                self._engine = self._opened()

    def close(self) -> None:
        with self._turn:
            if self._engine is not None:
                self._engine.dispose()
                self._engine = None

    def put(self, bodies: dict[str, tuple[int, bytes]], now_ns: int) -> None:
        """Keep a request for each receiver: how many spans it holds, and its body. Raises: Unavailable, StorageFull."""
        with self._writing() as connection:
            for target, (spans, body) in bodies.items():
                connection.execute(sa.insert(_batches).values(target=target, spans=spans, at_ns=now_ns, body=body))
                self._bytes += len(body)
            while self._bytes > self._bytes_max and self._drop_oldest(connection):
                pass

    def next(self, target: str) -> Batch | None:
        """Return the oldest request for a receiver. Raises: Unavailable."""
        query = sa.select(_batches.c.id, _batches.c.spans, _batches.c.body).where(_batches.c.target == target)
        with self._writing() as connection:
            row = connection.execute(query.order_by(_batches.c.id).limit(1)).first()
        return None if row is None else Batch(row.id, row.spans, row.body)

    def done(self, target: str, batch: Batch, *, refused: int = 0) -> None:
        """Let go of a request that was delivered, but for what was refused of it. Raises: Unavailable."""
        with self._writing() as connection:
            gone = connection.execute(sa.delete(_batches).where(_batches.c.id == batch.id)).rowcount
            self._bytes -= len(batch.body) if gone else 0
            if refused:
                self._count(connection, target, "refused", refused)

    def waiting(self, target: str) -> SpansWaiting:
        """Return how it stands for a receiver. Raises: Unavailable."""
        of_it = _batches.c.target == target
        queue = sa.select(sa.func.coalesce(sa.func.sum(_batches.c.spans), 0), sa.func.min(_batches.c.at_ns))
        with self._writing() as connection:
            spans, oldest_ns = connection.execute(queue.where(of_it)).one()
            row = connection.execute(sa.select(_counts).where(_counts.c.target == target)).first()
        dropped, refused = (0, 0) if row is None else (row.dropped, row.refused)
        return SpansWaiting(spans, oldest_ns, dropped, refused)

    def keep_only(self, targets: set[str]) -> None:
        """Drop what waits for receivers that are configured no longer. Raises: Unavailable."""
        with self._writing() as connection:
            connection.execute(sa.delete(_batches).where(_batches.c.target.not_in(targets)))
            self._bytes = self._measured(connection)

    def _drop_oldest(self, connection: sa.Connection) -> bool:
        columns = (_batches.c.id, _batches.c.target, _batches.c.spans, sa.func.length(_batches.c.body))
        row = connection.execute(sa.select(*columns).order_by(_batches.c.id).limit(1)).first()
        if row is None:
            return False
        batch_id, target, spans, size = row
        connection.execute(sa.delete(_batches).where(_batches.c.id == batch_id))
        self._count(connection, target, "dropped", spans)
        self._bytes -= size
        return True

    def _count(self, connection: sa.Connection, target: str, column: str, number: int) -> None:
        changed = sa.update(_counts).where(_counts.c.target == target).values({column: _counts.c[column] + number})
        if not connection.execute(changed).rowcount:
            connection.execute(sa.insert(_counts).values({"target": target, column: number}))

    def _opened(self) -> sa.Engine:
        url = sa.URL.create("sqlite+pysqlite", database=str(self._path))
        options: dict[str, Any] = {"check_same_thread": False, "timeout": BUSY_TIMEOUT_S}
        engine = sa.create_engine(url, poolclass=StaticPool, connect_args=options)
        sa.event.listen(engine, "connect", _prepare)
        try:
            with engine.begin() as connection:
                _metadata.create_all(connection)
                self._bytes = self._measured(connection)
        except BaseException:
            engine.dispose()
            raise
        self._path.chmod(0o600)
        return engine

    def _measured(self, connection: sa.Connection) -> int:
        total = sa.select(sa.func.coalesce(sa.func.sum(sa.func.length(_batches.c.body)), 0))
        return int(connection.execute(total).scalar_one())

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        if self._engine is None:
            msg = f"{self._path.name} is not open"
            raise Unavailable(msg)
        # A task that is cancelled leaves its thread at work; the next one must not use the connection meanwhile.
        with self._turn, self._translated(), self._engine.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sa.exc.SQLAlchemyError, OSError) as error:
            kind = StorageFull if "full" in str(error) or "No space" in str(error) else Unavailable
            msg = f"{self._path.name} cannot be used: {error.__class__.__name__}"
            raise kind(msg) from error


def _prepare(connection: Any, _record: object) -> None:
    # Spans are no money: with NORMAL a loss of power may take the last ones, a crash of the process takes none.
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "auto_vacuum=INCREMENTAL", "secure_delete=OFF"):
        connection.execute(f"PRAGMA {pragma}")
