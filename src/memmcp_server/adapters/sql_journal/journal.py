"""The journal on SQL: one body for SQLite and PostgreSQL."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Connection

from memmcp_server.config import JournalSection
from memmcp_server.domain.identifiers import JsonObject, MemoryId, Seq, TrajectoryId
from memmcp_server.domain.lifecycle import AuditEntry, Change, Link, Mark, Surroundings
from memmcp_server.domain.memory import Acknowledgement, Memory, MemoryFilter
from memmcp_server.domain.outbox import QDRANT, SINK_QDRANT, OutboxEntry, SinkSpec, SinkStats
from memmcp_server.domain.summary import Count, GroupBy
from memmcp_server.domain.telemetry import OldSnapshots, Snapshot, StoredSnapshot
from memmcp_server.domain.times import NS_PER_DAY, from_ns
from memmcp_server.domain.trajectory import Trajectory
from memmcp_server.errors import JournalBusy, JournalUnavailable, MemoryServerError, OutcomeUnknown, Unavailable
from memmcp_server.ports import Clock, JournalCommand, LexicalScope, Purge

from . import lifecycle_rows, nodes, outbox_rows, reads, snapshot_rows
from .apply import Applier
from .backup import back_up
from .deadlines import Deadlines
from .engines import Engines, check_opens, limit_read, open_engines, place_of
from .migrate import migrate
from .nodes import Names, names_of
from .partitions import Partitions
from .prepare import prepare
from .presence import Presence
from .purge import Purging
from .readiness import Readiness
from .statements import compile_statements, execute_rows
from .translate import translating
from .waiters import CommitWaiters
from .writer import Job, Writer, WriterLimits

if TYPE_CHECKING:
    from .listener import Listener

T = TypeVar("T")

READS_QUEUED_MAX = 1_024
CLOSE_TIMEOUT_S = 10.0


class SqlJournal:
    """``ports.Journal`` over SQLAlchemy Core. Make one with ``open_journal``."""

    writer_type: type[Writer] = Writer

    def __init__(
        self,
        engines: Engines,
        section: JournalSection,
        clock: Clock,
        sinks: Sequence[SinkSpec],
        names: Names = Names(),  # noqa: B008 - frozen
        readiness: Readiness | None = None,
    ) -> None:
        self._readiness = readiness
        self._engines = engines
        self._sinks = tuple(sinks)
        self._names = names
        self._section = section
        self._clock = clock
        self._shown = engines.place.shown
        self._waiters = CommitWaiters()
        self._deadlines = Deadlines(section.commit_timeout_s, self._unknown_outcome)
        self._statements = compile_statements(engines.writer.dialect)
        applier = Applier(self._statements, self._sinks, clock.now_ns)
        limits = WriterLimits(section.queue_len_max, section.batch_rows_max)
        self._writer = self.writer_type(engines.writer, self._shown, limits, applier.apply, self._settled)
        self._writer.before = None if readiness is None else readiness.ensure
        self._purging = Purging(engines.place, self._bare, self._read, section.commit_timeout_s / 2)
        self._readers = ThreadPoolExecutor(section.readers, thread_name_prefix="journal-reader")
        self._presence = None if engines.place.path is not None else Presence(engines.place)
        self._parts = None if engines.place.path is not None else Partitions(engines.place, clock)
        self._reads_queued = 0
        self._is_closed = False
        self._write_problem: str | None = None
        self._listener: Listener | None = None

    @property
    def node(self) -> str:
        """This daemon's name among those that share the journal; empty where it has it alone."""
        return self._names.node

    @property
    def shown(self) -> str:
        """Where the journal is, for people: a path, or a URL without its password."""
        return self._shown

    @property
    def path(self) -> Path | None:
        """The file, None on a server."""
        return self._engines.place.path

    @property
    def queued_rows(self) -> int:
        """Rows that wait for the writer now."""
        return self._writer.queued_rows

    async def start(self) -> None:
        """Begin to write, and learn what is there already."""
        self._writer.start()
        with contextlib.suppress(*() if self._readiness is None else (JournalUnavailable,)):
            self._waiters.advance(await self.horizon())
        if self._engines.place.path is None:
            self._listener = self._listening(asyncio.get_running_loop())
            self._listener.start()

    async def close(self) -> None:
        """Finish the writes that are queued, then refuse; idempotent.

        Raises: JournalUnavailable (the writer did not end in time).
        """
        if self._is_closed:
            return
        self._is_closed = True
        self._purging.stop()
        if self._listener is not None:
            await asyncio.to_thread(self._listener.close, CLOSE_TIMEOUT_S)
        ended = await asyncio.to_thread(self._writer.close, CLOSE_TIMEOUT_S)
        self._deadlines.close()
        await asyncio.to_thread(self._readers.shutdown)
        if not ended:
            msg = f"the writer of {self._shown} did not end within {CLOSE_TIMEOUT_S:g} s"
            raise JournalUnavailable(msg)
        self._engines.dispose()
        self._purging.close()

    async def commit(self, commands: Sequence[JournalCommand]) -> list[Acknowledgement]:
        if not commands:
            return []
        future = self._writer.submit([prepare(each) for each in commands], len(commands))
        self._deadlines.watch(future)
        acknowledgements: list[Acknowledgement] = await future
        return acknowledgements

    async def memory(self, memory_id: MemoryId, version: int | None = None) -> Memory | None:
        return await self._read(partial(reads.memory, memory_id=memory_id, version=version))

    async def memories(self, memory_ids: Sequence[MemoryId]) -> list[Memory]:
        if not memory_ids:
            return []
        return await self._read(partial(reads.current_memories, memory_ids=memory_ids))

    async def versions(self, memory_id: MemoryId) -> list[Memory]:
        return await self._read(partial(reads.versions, memory_id=memory_id))

    async def all_versions(self, memory_ids: Sequence[MemoryId]) -> dict[MemoryId, list[Memory]]:
        return await self._read(partial(lifecycle_rows.all_versions, memory_ids=memory_ids)) if memory_ids else {}

    async def surroundings(
        self, memory_ids: Sequence[MemoryId], *, as_of_ns: int | None, with_neighbours: bool = True
    ) -> Surroundings:
        if not memory_ids:
            return Surroundings({}, {}, {}, {})
        return await self._read(
            partial(
                lifecycle_rows.surroundings,
                memory_ids=memory_ids,
                as_of_ns=as_of_ns,
                with_neighbours=with_neighbours,
            )
        )

    async def links(self, memory_ids: Sequence[MemoryId]) -> list[Link]:
        return await self._read(partial(lifecycle_rows.links_of, memory_ids=memory_ids)) if memory_ids else []

    async def marks(self, memory_ids: Sequence[MemoryId]) -> list[Mark]:
        return await self._read(partial(lifecycle_rows.marks_of, memory_ids=memory_ids)) if memory_ids else []

    async def changes(
        self, after: Seq, *, limit: int, namespace: str | None = None, hidden: Sequence[str] = ()
    ) -> list[Change]:
        wanted = partial(lifecycle_rows.changes, after=after, limit=limit, namespace=namespace, hidden=hidden)
        return await self._read(wanted)

    async def cursor(self, name: str) -> Seq | None:
        return await self._read(partial(lifecycle_rows.read_cursor, name=name))

    async def save_cursor(self, name: str, seq: Seq) -> None:
        row = (name, seq, self._clock.now_ns())
        await self._done(lambda connection: execute_rows(connection, self._statements.write_cursor, [row]))

    async def audit(
        self, *, action: str | None = None, memory_id: MemoryId | None = None, before: Seq | None = None, limit: int
    ) -> list[AuditEntry]:
        wanted = partial(lifecycle_rows.audit_page, action=action, memory_id=memory_id, before=before, limit=limit)
        return await self._read(wanted)

    async def forgotten(self, memory_ids: Sequence[MemoryId]) -> set[MemoryId]:
        return await self._read(partial(lifecycle_rows.forgotten, memory_ids=memory_ids)) if memory_ids else set()

    async def purge(self, windows: Collection[bytes], *, is_whole: bool = True) -> Purge:
        return await self._purging.run(windows, is_whole=is_whole)

    async def kept(
        self, where: MemoryFilter, *, known_before_ns: int | None, after: Seq | None, limit: int
    ) -> list[Memory]:
        wanted = partial(lifecycle_rows.kept, where=where, known_before_ns=known_before_ns, after=after, limit=limit)
        return await self._read(wanted)

    async def policies(self) -> dict[str, JsonObject]:
        return await self._read(lifecycle_rows.read_policies)

    async def counts(self, where: MemoryFilter, by: GroupBy, *, limit: int) -> list[Count]:
        return await self._read(partial(lifecycle_rows.counts, where=where, by=by, limit=limit))

    async def highlights(self, where: MemoryFilter, *, limit: int) -> list[Memory]:
        return await self._read(partial(lifecycle_rows.highlights, where=where, limit=limit))

    async def expired(self, *, before_ns: int, limit: int) -> list[Memory]:
        return await self._read(partial(lifecycle_rows.expired, before_ns=before_ns, limit=limit))

    async def page(self, where: MemoryFilter, *, after: Seq | None, limit: int, newest_first: bool) -> list[Memory]:
        return await self._read(partial(reads.page, where=where, after=after, limit=limit, newest_first=newest_first))

    async def lexical(
        self, words: Sequence[str], where: MemoryFilter, *, scope: LexicalScope, limit: int
    ) -> list[Memory]:
        sink = None if scope == "all" else self._index
        return await self._read(partial(reads.lexical, words=words, where=where, sink=sink, limit=limit))

    async def unindexed(self, words: Sequence[str], where: MemoryFilter, *, limit: int) -> tuple[list[Memory], int]:
        return await self._read(partial(reads.unindexed, words=words, where=where, sink=self._index, limit=limit))

    async def backlog(self) -> int:
        return await self._read(partial(reads.backlog, sink=self._index))

    async def count(self, where: MemoryFilter) -> int:
        return await self._read(partial(reads.count, where=where))

    async def horizon(self) -> Seq:
        return await self._read(reads.horizon)

    async def instance_id(self) -> str:
        """Return the random id that this journal was given when it was made."""
        return await self._read(reads.instance_id)

    async def trajectory(self, trajectory_id: TrajectoryId) -> Trajectory | None:
        return await self._read(partial(reads.trajectory, trajectory_id=trajectory_id))

    async def trajectories(
        self,
        *,
        namespace: str | None,
        kind: str | None,
        is_open: bool | None,
        before_ns: int | None,
        limit: int,
        before_id: TrajectoryId | None = None,
        hidden: Sequence[str] = (),
    ) -> list[Trajectory]:
        wanted = partial(
            reads.list_trajectories,
            namespace=namespace,
            kind=kind,
            is_open=is_open,
            before=(before_ns, before_id),
            limit=limit,
            hidden=hidden,
        )
        return await self._read(wanted)

    async def steps(self, trajectory_id: TrajectoryId, *, after: Seq | None, limit: int) -> list[Memory]:
        return await self._read(partial(reads.steps, trajectory_id=trajectory_id, after=after, limit=limit))

    async def latest_snapshot(self, desk_id: str) -> Snapshot | None:
        return await self._read(partial(snapshot_rows.latest, desk_id=desk_id))

    async def desks(self) -> list[Snapshot]:
        return await self._read(snapshot_rows.desks)

    async def snapshots(
        self, desk_id: str, *, since_ns: int | None, until_ns: int | None, resolution_s: int | None, limit: int
    ) -> list[Snapshot]:
        wanted = partial(snapshot_rows.listed, since_ns=since_ns, until_ns=until_ns, resolution_s=resolution_s)
        return await self._read(partial(wanted, desk_id=desk_id, limit=limit))

    async def old_snapshots(self, after: Seq, *, recorded_before_ns: int, bucket_ns: int, limit: int) -> OldSnapshots:
        wanted = partial(snapshot_rows.old, after=after, recorded_before_ns=recorded_before_ns)
        return await self._read(partial(wanted, bucket_ns=bucket_ns, limit=limit))

    async def keep_parts(self) -> None:
        if self._parts is not None and not self._is_closed:
            await asyncio.to_thread(self._parts.keep)

    async def drop_snapshots(self, rows: Sequence[StoredSnapshot], *, cursor: str, reached: Seq) -> None:
        place = (cursor, reached, self._clock.now_ns())

        def drop(connection: Connection) -> None:
            snapshot_rows.drop(connection, rows)
            execute_rows(connection, self._statements.write_cursor, [place])

        await self._done(drop)

    async def outbox_due(self, sink: str, *, now_ns: int, limit: int) -> list[OutboxEntry]:
        stored = self._names.stored(sink)
        return self._named(await self._read(partial(outbox_rows.due, sink=stored, now_ns=now_ns, limit=limit)))

    async def outbox_delivered(self, entry_ids: Sequence[int]) -> None:
        if entry_ids:
            await self._done(partial(outbox_rows.delivered, entry_ids=entry_ids))

    async def outbox_failed(self, entry_ids: Sequence[int], *, error: str, retry_at_ns: int | None) -> None:
        if entry_ids:
            await self._done(partial(outbox_rows.failed, entry_ids=entry_ids, error=error, retry_at_ns=retry_at_ns))

    async def outbox_stats(self) -> dict[str, SinkStats]:
        rows = await self._read(outbox_rows.stats)
        return {self._names.shown(name): row for name, row in rows.items()}

    async def outbox_entries(self, sink: str | None, *, dead: bool | None, limit: int) -> list[OutboxEntry]:
        stored = None if sink is None else self._names.stored(sink)
        return self._named(await self._read(partial(outbox_rows.entries, sink=stored, dead=dead, limit=limit)))

    async def outbox_retry(self, entry_ids: Sequence[int] | None) -> int:
        retried: int = await self._done(partial(outbox_rows.retry, entry_ids=entry_ids))
        return retried

    async def outbox_of_forgotten(self, sink: str, *, after: Seq) -> int:
        return await self._read(partial(outbox_rows.of_forgotten, sink=self._names.stored(sink), after=after))

    async def outbox_drop(self, entry_id: int) -> bool:
        dropped: bool = await self._done(partial(outbox_rows.drop, entry_id=entry_id))
        return dropped

    async def outbox_queue(self, sink: str, memory_ids: Sequence[MemoryId]) -> int:
        stored = self._names.stored(sink)
        wanted = partial(outbox_rows.queue, sink=stored, memory_ids=memory_ids, now_ns=self._clock.now_ns())
        queued: int = await self._done(wanted)
        return queued

    async def outbox_refill(self, sink: str) -> int:
        stored = self._names.stored(sink)
        filled: int = await self._done(partial(outbox_rows.refill, sink=stored, now_ns=self._clock.now_ns()))
        return filled

    async def take_lease(self, name: str, holder: str, ttl_s: float) -> int | None:
        now_ns = self._clock.now_ns()
        token: int | None = await self._done(
            partial(nodes.take_lease, name=name, holder=holder, ttl_s=ttl_s, now_ns=now_ns)
        )
        return token

    async def lease_holder(self, name: str) -> str | None:
        return await self._read(partial(nodes.lease_holder, name=name, now_ns=self._clock.now_ns()))

    async def release_lease(self, name: str, holder: str) -> None:
        await self._done(partial(nodes.release_lease, name=name, holder=holder))

    async def backup(self, directory: Path) -> Path:
        name = f"journal-{from_ns(self._clock.now_ns()):%Y%m%dT%H%M%S}Z.db"
        # A thread of its own: a copy of a large journal must not hold up the readers.
        return await asyncio.to_thread(back_up, self._engines, directory, name)

    async def wait_for_commit(self, after: Seq, timeout_s: float) -> Seq:
        if await self._waiters.wait(after, timeout_s):
            return self._waiters.newest
        # Another process may have written (PostgreSQL); ask rather than remember.
        self._waiters.advance(await self.horizon())
        return self._waiters.newest

    def write_problem(self) -> str | None:
        return self._write_problem

    @property
    def _index(self) -> str:
        """The stored name of this daemon's index among the sinks."""
        return self._names.stored(SINK_QDRANT)

    def _named(self, entries: Sequence[OutboxEntry]) -> list[OutboxEntry]:
        return [replace(each, sink=self._names.shown(each.sink)) for each in entries] if self._names.own else [*entries]

    def _listening(self, loop: asyncio.AbstractEventLoop) -> "Listener":
        from .listener import Listener  # with its driver, which a journal in a file does without

        def heard(seq: int) -> None:
            loop.call_soon_threadsafe(self._waiters.advance, Seq(seq))

        def present() -> None:
            loop.call_soon_threadsafe(self._say_present)

        return Listener(self._engines.place.url, heard, present)

    def _say_present(self) -> None:
        """Have it written that this daemon's sinks are served, and those retired that nobody serves."""
        if self._is_closed:
            return
        now_ns, absent_ns = self._clock.now_ns(), self._section.absent_days * NS_PER_DAY
        with contextlib.suppress(Unavailable):
            told = self._writer.submit(partial(nodes.present, self._sinks, self._names, now_ns, absent_ns), 1)
            told.add_done_callback(lambda each: None if each.cancelled() else each.exception())

    def _settled(self, outcome: object) -> None:
        self._write_problem = outcome.message if isinstance(outcome, Unavailable) else None
        if isinstance(outcome, list) and outcome:
            self._waiters.advance(max(each.seq for each in outcome))

    async def _done(self, job: Job) -> Any:
        future = self._writer.submit(job, 1)
        self._deadlines.watch(future)
        return await future

    def _unknown_outcome(self) -> OutcomeUnknown:
        msg = f"the journal at {self._shown} gave no answer within {self._section.commit_timeout_s:g} s"
        return OutcomeUnknown(msg, hint="repeat with the same idempotency key")

    async def _bare(self, job: Job) -> Any:
        """Run a job outside of any transaction; it bounds itself, so nothing is cut off half way."""
        return await self._writer.submit(job, 1, is_bare=True)

    async def _read(self, query: Callable[[Connection], T]) -> T:
        if self._is_closed:
            msg = f"the journal at {self._shown} is closed"
            raise JournalUnavailable(msg)
        if self._reads_queued >= READS_QUEUED_MAX:
            msg = f"{self._reads_queued} reads wait for the journal; at most {READS_QUEUED_MAX} may"
            raise JournalBusy(msg, hint="repeat in a moment")
        self._reads_queued += 1
        try:
            reading = asyncio.get_running_loop().run_in_executor(self._readers, self._read_now, query)
            return await (reading if self._presence is None else self._presence.wait(reading))
        finally:
            self._reads_queued -= 1

    def _read_now(self, query: Callable[[Connection], T]) -> T:
        if self._readiness is not None:
            self._readiness.ensure()
        with translating(self._shown), self._engines.reader.connect() as connection:
            limit_read(connection, self._section.commit_timeout_s)
            with connection.begin():
                return query(connection)


def open_now(
    journal_type: type[SqlJournal],
    section: JournalSection,
    data_dir: Path,
    clock: Clock,
    sinks: Sequence[SinkSpec],
    *,
    retire: bool = False,
) -> SqlJournal:
    """Open and migrate; blocks. The journal's ``start`` is still to be awaited.

    Raises: InvalidInput, DataDirectoryError, JournalUnavailable, JournalBusy, StorageFull.
    """
    engines = open_engines(place_of(section, data_dir), section.readers, section.commit_timeout_s)
    try:
        if engines.place.path is not None:
            check_opens(engines)
            migrate(engines.writer, engines.place.shown, [sink.name for sink in sinks], retire=retire)
            return journal_type(engines, section, clock, sinks)
        names = names_of(sinks, nodes.read_node(data_dir))
        readiness = Readiness(engines, sinks, names, clock, data_dir, retire)
        readiness.begin()
    except MemoryServerError:
        engines.dispose()
        raise
    return journal_type(engines, section, clock, sinks, names, readiness)


@asynccontextmanager
async def open_journal(
    section: JournalSection,
    data_dir: Path,
    clock: Clock,
    *,
    sinks: Sequence[SinkSpec] = (QDRANT,),
    retire: bool = False,
    journal_type: type[SqlJournal] = SqlJournal,
) -> AsyncIterator[SqlJournal]:
    """Open the journal that the section names, migrated to this version; close it at the end of the block.

    ``retire``: a sink that is not named is known no longer, and what waited for it is dropped (``outbox_refill`` brings
    it back when the sink is). On a server, where daemons come and go with sinks of their own, this is left to time.
    A server may be away where this daemon has been before.

    Raises: InvalidInput, DataDirectoryError (damaged, read-only or newer; names the path and what to do),
    JournalUnavailable (a server that does not answer), JournalBusy, StorageFull.
    """
    journal = await asyncio.to_thread(open_now, journal_type, section, data_dir, clock, sinks, retire=retire)
    try:
        await journal.start()
        yield journal
    finally:
        await journal.close()
