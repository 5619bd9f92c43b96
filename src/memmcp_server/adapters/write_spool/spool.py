"""``ports.WriteSpool`` in one small SQLite file beside the journal's address: WAL, an fsync per write, 0600."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import orjson
import sqlalchemy as sa
from sqlalchemy.pool import StaticPool

from memmcp_server.adapters.sql_journal.engines import make_private_file
from memmcp_server.adapters.sql_journal.prepare import prepare
from memmcp_server.adapters.sql_journal.translate import translating
from memmcp_server.domain.identifiers import JsonObject, MemoryId
from memmcp_server.domain.spooled import SPOOL_ID_BASE, SpooledWrite, SpoolStats
from memmcp_server.errors import JournalUnavailable, MemoryServerError, StorageFull

from .encoding import decode, encode

NAME: Final = "spool.db"
BUSY_TIMEOUT_S: Final = 5.0
OTHER_IDS_MAX: Final = 10_000
ERROR_CHARS_MAX: Final = 600
PUTS_MAX: Final = 256
"""Writes that share one fsync."""

T = TypeVar("T")
logger = logging.getLogger(__name__)

_metadata = sa.MetaData()
_writes = sa.Table(
    "writes",
    _metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("at_ns", sa.Integer, nullable=False),
    sa.Column("is_tried", sa.Boolean, nullable=False),
    sa.Column("dead", sa.Boolean, nullable=False),
    sa.Column("error", sa.Text, nullable=False),
    sa.Column("memories", sa.Integer, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Index("writes_in_turn", "dead", "id"),
    sqlite_autoincrement=True,
)
_held = sa.Table(
    "held",
    _metadata,
    sa.Column("memory_id", sa.Text, primary_key=True),
    sa.Column("write_id", sa.Integer, nullable=False),
    sa.Index("held_by", "write_id"),
)
_other_ids = sa.Table(
    "other_ids",
    _metadata,
    sa.Column("n", sa.Integer, primary_key=True),
    sa.Column("given", sa.Text, nullable=False, unique=True),
    sa.Column("final", sa.Text, nullable=False),
    sqlite_autoincrement=True,
)
_notes = sa.Table(
    "notes", _metadata, sa.Column("name", sa.Text, primary_key=True), sa.Column("document", sa.Text, nullable=False)
)
DELIVERED: Final = "delivered"


class SqlSpool:
    """Make one with ``open_spool``. One thread works on the file's one connection, in turn."""

    def __init__(self, path: Path, rows_max: int, bytes_max: int) -> None:
        self._path = path
        self._rows_max = rows_max
        self._bytes_max = bytes_max
        self._memories = 0
        self._bytes = 0
        self._engine: sa.Engine | None = None
        self._is_closed = False
        self._has_other_ids = False
        self._pending: list[tuple[SpooledWrite, asyncio.Future[SpooledWrite]]] = []
        self._flushing: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="write-spool")

    async def open(self) -> None:
        """Raises: DataDirectoryError, JournalUnavailable (damaged), StorageFull."""
        await self._in_turn(self._open)

    async def close(self) -> None:
        """Idempotent."""
        if not self._is_closed:
            self._is_closed = True
            await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
            await asyncio.to_thread(self._thread.shutdown)

    async def put(self, write: SpooledWrite) -> SpooledWrite:
        for draft in write.drafts:
            prepare(draft)  # what no journal could hold is refused here, where somebody can mend it
        future: asyncio.Future[SpooledWrite] = asyncio.get_running_loop().create_future()
        self._pending.append((write, future))
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.create_task(self._flush())
        return await future

    async def live(self, after: int, limit: int) -> list[SpooledWrite]:
        query = sa.select(_writes).where(~_writes.c.dead, _writes.c.id > after)
        return await self._in_turn(partial(self._read, query.order_by(_writes.c.id).limit(limit)))

    async def entries(self, *, dead: bool | None, limit: int) -> list[SpooledWrite]:
        query = sa.select(_writes) if dead is None else sa.select(_writes).where(_writes.c.dead == dead)
        return await self._in_turn(partial(self._read, query.order_by(_writes.c.id).limit(limit)))

    async def find(self, memory_id: MemoryId) -> SpooledWrite | None:
        holder = sa.select(_held.c.write_id).where(_held.c.memory_id == memory_id).scalar_subquery()
        found = await self._in_turn(partial(self._read, sa.select(_writes).where(_writes.c.id == holder)))
        return found[0] if found else None

    async def done(self, write_ids: Sequence[int], other_ids: Mapping[MemoryId, MemoryId]) -> None:
        await self._in_turn(partial(self._done, write_ids, other_ids))

    async def bury(self, write_id: int, error: str) -> None:
        await self._in_turn(partial(self._bury, write_id, error))

    async def retry(self, write_ids: Sequence[int] | None) -> list[SpooledWrite]:
        return await self._in_turn(partial(self._retry, write_ids))

    async def drop(self, write_id: int) -> SpooledWrite | None:
        return await self._in_turn(partial(self._drop, write_id))

    async def final_ids(self, memory_ids: Sequence[MemoryId]) -> dict[MemoryId, MemoryId]:
        if not memory_ids or not self._has_other_ids:  # nearly always: nothing is asked of the file for a read
            return {}
        query = sa.select(_other_ids.c.given, _other_ids.c.final).where(_other_ids.c.given.in_(memory_ids))
        rows = await self._in_turn(partial(self._execute, query))
        return {MemoryId(given): MemoryId(final) for given, final in rows}

    async def stats(self) -> SpoolStats:
        return await self._in_turn(self._stats)

    async def note(self, name: str) -> JsonObject | None:
        rows = await self._in_turn(partial(self._execute, sa.select(_notes.c.document).where(_notes.c.name == name)))
        return orjson.loads(rows[0][0]) if rows else None

    async def write_note(self, name: str, document: JsonObject) -> None:
        await self._in_turn(lambda: self._write_note(name, document))

    async def _in_turn(self, job: Callable[[], T]) -> T:
        if self._is_closed:
            msg = f"{self._path} is closed"
            raise JournalUnavailable(msg)
        return await asyncio.get_running_loop().run_in_executor(self._thread, job)

    def _open(self) -> None:
        make_private_file(self._path)
        url = sa.URL.create("sqlite", database=str(self._path))
        options: dict[str, Any] = {"check_same_thread": False, "timeout": BUSY_TIMEOUT_S, "isolation_level": None}
        engine = sa.create_engine(url, poolclass=StaticPool, connect_args=options, hide_parameters=True)
        sa.event.listen(engine, "connect", _prepare)
        sa.event.listen(engine, "begin", _begin)
        self._engine = engine
        try:
            with self._transaction() as connection:
                _metadata.create_all(connection)
                seeded = "INSERT INTO sqlite_sequence (name, seq) SELECT 'writes', :base WHERE NOT EXISTS "
                unless = "(SELECT 1 FROM sqlite_sequence WHERE name = 'writes')"
                connection.execute(sa.text(seeded + unless), {"base": SPOOL_ID_BASE})
                self._measure(connection)
                self._has_other_ids = connection.execute(sa.select(_other_ids.c.n).limit(1)).first() is not None
        except BaseException:
            self._close()
            raise

    def _close(self) -> None:
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None

    async def _flush(self) -> None:
        """Keep what has queued up, all of it with one fsync, until nothing is left."""
        while self._pending:
            batch, self._pending = self._pending[:PUTS_MAX], self._pending[PUTS_MAX:]
            failed: MemoryServerError = JournalUnavailable(f"{self._path} could not be written")
            outcomes: Sequence[SpooledWrite | MemoryServerError] | None = None
            try:
                outcomes = await self._in_turn(partial(self._put_all, [write for write, _ in batch]))
            except MemoryServerError as error:
                failed = error
            finally:
                for (_, future), outcome in zip(batch, outcomes or [failed] * len(batch), strict=True):
                    if future.done():  # its caller has gone
                        continue
                    if isinstance(outcome, MemoryServerError):
                        future.set_exception(outcome)
                    else:
                        future.set_result(outcome)

    def _put_all(self, writes: Sequence[SpooledWrite]) -> Sequence[SpooledWrite | MemoryServerError]:
        """Keep them in one transaction; where the disk has no room for all of them, each that it has room for."""
        try:
            return self._put_together(writes)
        except StorageFull as error:
            return [error] if len(writes) == 1 else [self._put_all([write])[0] for write in writes]

    def _put_together(self, writes: Sequence[SpooledWrite]) -> Sequence[SpooledWrite | MemoryServerError]:
        memories, size, outcomes = self._memories, self._bytes, list[SpooledWrite | MemoryServerError]()
        with self._transaction() as connection:
            for write in writes:
                body = encode(write.drafts, write.caller)
                if memories + len(write.drafts) > self._rows_max or size + len(body) > self._bytes_max:
                    outcomes.append(self._full())
                    continue
                outcomes.append(_insert(connection, write, body))
                memories, size = memories + len(write.drafts), size + len(body)
        self._memories, self._bytes = memories, size
        return outcomes

    def _full(self) -> StorageFull:
        msg = (
            f"{self._path.name} holds {self._memories} memories in {self._bytes} bytes for the time in which the "
            f"journal's server is away; it takes at most {self._rows_max} in {self._bytes_max} bytes"
        )
        return StorageFull(msg, hint="nothing was written; repeat with the same idempotency key once it is back")

    def _done(self, write_ids: Sequence[int], other_ids: Mapping[MemoryId, MemoryId]) -> None:
        with self._transaction() as connection:
            for write_id in write_ids:
                self._delete(connection, write_id)
            for given, final in other_ids.items():
                connection.execute(sa.insert(_other_ids).prefix_with("OR REPLACE").values(given=given, final=final))
            if other_ids:
                self._has_other_ids = True
                newest = sa.select(sa.func.max(_other_ids.c.n) - OTHER_IDS_MAX).scalar_subquery()
                connection.execute(sa.delete(_other_ids).where(_other_ids.c.n <= newest))
            row = connection.execute(sa.select(_notes.c.document).where(_notes.c.name == DELIVERED)).first()
            count = len(write_ids) + (0 if row is None else orjson.loads(row[0])["count"])
            _keep_note(connection, DELIVERED, {"count": count})
        self._shrink()

    def _bury(self, write_id: int, error: str) -> None:
        values = {"dead": True, "error": error[:ERROR_CHARS_MAX]}
        self._execute(sa.update(_writes).where(_writes.c.id == write_id).values(values))

    def _drop(self, write_id: int) -> SpooledWrite | None:
        found = self._read(sa.select(_writes).where(_writes.c.id == write_id))
        if not found:
            return None
        with self._transaction() as connection:
            self._delete(connection, write_id)
        self._shrink()
        return found[0]

    def _delete(self, connection: sa.Connection, write_id: int) -> None:
        connection.execute(sa.delete(_writes).where(_writes.c.id == write_id))
        connection.execute(sa.delete(_held).where(_held.c.write_id == write_id))

    def _shrink(self) -> None:
        """Measure anew; leave nothing of what was let go of in the log once nothing is left to carry.

        What is deleted is overwritten in the file itself (secure_delete), but the log beside it keeps older pages.
        """
        with self._transaction() as connection:
            self._measure(connection)
            is_carried = connection.execute(sa.select(_writes.c.id).where(~_writes.c.dead).limit(1)).first() is None
        if is_carried and self._engine is not None:
            with translating(str(self._path)), self._engine.connect() as connection:
                raw = connection.connection.driver_connection
                raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").close()  # type: ignore[union-attr]

    def _retry(self, write_ids: Sequence[int] | None) -> list[SpooledWrite]:
        chosen = _writes.c.dead if write_ids is None else _writes.c.dead & _writes.c.id.in_(list(write_ids))
        found = self._read(sa.select(_writes).where(chosen).order_by(_writes.c.id))
        ids = [write.id for write in found]
        self._execute(sa.update(_writes).where(_writes.c.id.in_(ids)).values(dead=False, error=""))
        return [replace(write, dead=False, last_error="") for write in found]

    def _stats(self) -> SpoolStats:
        counts = sa.select(
            sa.func.coalesce(sa.func.sum(sa.case((_writes.c.dead, 0), else_=1)), 0),
            sa.func.coalesce(sa.func.sum(sa.case((_writes.c.dead, 1), else_=0)), 0),
            sa.func.min(sa.case((_writes.c.dead, None), else_=_writes.c.at_ns)),
        )
        delivered = sa.select(_notes.c.document).where(_notes.c.name == DELIVERED)
        with self._transaction() as connection:
            pending, dead, oldest_ns = connection.execute(counts).one()
            row = connection.execute(delivered).first()
        count = 0 if row is None else int(orjson.loads(row[0])["count"])
        return SpoolStats(pending, dead, self._memories, self._bytes, oldest_ns, count)

    def _write_note(self, name: str, document: JsonObject) -> None:
        with self._transaction() as connection:
            _keep_note(connection, name, document)

    def _read(self, query: sa.Select[Any]) -> list[SpooledWrite]:
        """Return what can be read; what cannot is made dead, so that it hinders nobody, and stays in the file."""
        found: list[SpooledWrite] = []
        for row in self._execute(query):
            try:
                drafts, caller = decode(row.body)
            except (ValueError, KeyError, TypeError) as error:
                said = f"it cannot be read: {type(error).__name__}"
                logger.error("write %d in %s: %s", row.id, self._path.name, said)
                self._bury(row.id, said)
                continue
            found.append(SpooledWrite(drafts, caller, row.at_ns, row.is_tried, row.id, row.error, row.dead))
        return found

    def _execute(self, statement: sa.Executable) -> list[Any]:
        with self._transaction() as connection:
            result = connection.execute(statement)
            return list(result) if result.returns_rows else []

    def _measure(self, connection: sa.Connection) -> None:
        total = sa.func.coalesce(sa.func.sum(_writes.c.memories), 0)
        size = sa.func.coalesce(sa.func.sum(sa.func.length(_writes.c.body)), 0)
        self._memories, self._bytes = map(int, connection.execute(sa.select(total, size)).one())

    @contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        if self._engine is None:
            msg = f"{self._path} is not open"
            raise JournalUnavailable(msg)
        with translating(str(self._path)), self._engine.begin() as connection:
            yield connection


@asynccontextmanager
async def open_spool(directory: Path, rows_max: int, bytes_max: int) -> AsyncIterator[SqlSpool]:
    """Open the spool of a data directory. Raises: DataDirectoryError, JournalUnavailable, StorageFull."""
    spool = SqlSpool(directory / NAME, rows_max, bytes_max)
    try:
        await spool.open()
        yield spool
    finally:
        await spool.close()


def _prepare(connection: Any, _record: object) -> None:
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "secure_delete = ON", "trusted_schema = OFF"):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _insert(connection: sa.Connection, write: SpooledWrite, body: bytes) -> SpooledWrite:
    values = {"at_ns": write.at_ns, "is_tried": write.is_tried, "dead": False, "error": ""}
    row = connection.execute(sa.insert(_writes).values(**values, memories=len(write.drafts), body=body))
    write_id = 0 if row.inserted_primary_key is None else int(row.inserted_primary_key[0])
    held = [{"memory_id": memory_id, "write_id": write_id} for memory_id in write.memory_ids]
    connection.execute(sa.insert(_held).prefix_with("OR REPLACE"), held)
    drafts = tuple(replace(draft, is_new_id=False) for draft in write.drafts)
    return replace(write, id=write_id, drafts=drafts)


def _keep_note(connection: sa.Connection, name: str, document: JsonObject) -> None:
    values = {"name": name, "document": orjson.dumps(document).decode()}
    connection.execute(sa.insert(_notes).prefix_with("OR REPLACE").values(values))
