"""The journal, what is backed up with it, and the clock."""

from collections.abc import Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from memmcp_server.domain.backups import Manifest
from memmcp_server.domain.identifiers import JsonObject, MemoryId, Seq, TrajectoryId
from memmcp_server.domain.lifecycle import AuditEntry, Change, LifecycleCommand, Link, Mark, Surroundings
from memmcp_server.domain.memory import Acknowledgement, Memory, MemoryDraft, MemoryFilter
from memmcp_server.domain.outbox import OutboxEntry, SinkStats
from memmcp_server.domain.summary import Count, GroupBy
from memmcp_server.domain.telemetry import OldSnapshots, RecordSnapshot, Snapshot, StoredSnapshot
from memmcp_server.domain.trajectory import CloseTrajectory, OpenTrajectory, Trajectory

JournalCommand = MemoryDraft | OpenTrajectory | CloseTrajectory | RecordSnapshot | LifecycleCommand
LexicalScope = Literal["unindexed", "all"]


class Clock(Protocol):
    """Wall time for people and records; monotonic time for waits."""

    def now_ns(self) -> int:
        """Nanoseconds since 1970-01-01 UTC."""

    def monotonic_s(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Purge:
    """What was done so that a store's files hold nothing of what was deleted, and what a search of them found after it.

    ``windows``: pieces of the deleted texts that were looked for; 0 where they are not known any more, and everything
    was written anew instead. ``residues``: those found although nothing that lives holds them. ``living``: those that
    living memories hold too, which prove nothing. ``note`` says what could not be looked at.
    """

    store: str
    steps: tuple[str, ...]
    files: int = 0
    bytes_read: int = 0
    windows: int = 0
    residues: int = 0
    living: int = 0
    note: str = ""


class Journal(Protocol):
    """The truth. An awaited ``commit`` is durable (fsync) when it returns; readers see it from then on.

    Raises everywhere: JournalBusy, JournalUnavailable, StorageFull.
    """

    @property
    def node(self) -> str:
        """This daemon's name among those that share the journal; empty where it has it alone."""

    async def commit(self, commands: Sequence[JournalCommand]) -> list[Acknowledgement]:
        """Apply the commands in order, all or none, with their outbox entries, in one transaction.

        A MemoryDraft whose key (scoped by agent and namespace) is known returns the first acknowledgement with
        ``duplicate`` set. An unknown ``trajectory_id`` opens that trajectory; closing one credits what it cited.
        What was forgotten has left every table but the audit; its text may linger in free pages until ``purge``.

        Raises: IdempotencyConflict, NotFound (a trajectory to close, a memory that a command names).
        """

    async def memory(self, memory_id: MemoryId, version: int | None = None) -> Memory | None:
        """Return that version, or the current one."""

    async def memories(self, memory_ids: Sequence[MemoryId]) -> list[Memory]:
        """Return the current versions that exist, in the order asked for."""

    async def versions(self, memory_id: MemoryId) -> list[Memory]:
        """Return every version, oldest first; empty when unknown."""

    async def all_versions(self, memory_ids: Sequence[MemoryId]) -> dict[MemoryId, list[Memory]]:
        """Return every version of those that exist, oldest first."""

    async def surroundings(
        self, memory_ids: Sequence[MemoryId], *, as_of_ns: int | None, with_neighbours: bool = True
    ) -> Surroundings:
        """Return the memories as they were known then (None: now), their neighbours in their threads, their standing.

        What was not current then is left out, and so are the neighbours where nobody asks for them. Beside them the
        links that hold now.
        """

    async def links(self, memory_ids: Sequence[MemoryId]) -> list[Link]:
        """Return the links that hold now, from or to any of the memories, oldest first."""

    async def marks(self, memory_ids: Sequence[MemoryId]) -> list[Mark]:
        """Return the marks of the memories, by memory, kind and source."""

    async def changes(
        self, after: Seq, *, limit: int, namespace: str | None = None, hidden: Sequence[str] = ()
    ) -> list[Change]:
        """Return what was written and done after that seq, in order; also versions that are superseded by now.

        With a namespace, or a subtree that ends in '/', only what happened there. ``hidden``: nothing from these.
        """

    async def cursor(self, name: str) -> Seq | None:
        """Return how far the named reader has come, None when it was never saved."""

    async def save_cursor(self, name: str, seq: Seq) -> None:
        """Keep how far a reader has come; a smaller seq than the one kept changes nothing."""

    async def audit(
        self, *, action: str | None = None, memory_id: MemoryId | None = None, before: Seq | None = None, limit: int
    ) -> list[AuditEntry]:
        """Return entries, newest first."""

    async def forgotten(self, memory_ids: Sequence[MemoryId]) -> set[MemoryId]:
        """Return those of the ids that were forgotten."""

    async def purge(self, windows: Collection[bytes], *, is_whole: bool = True) -> Purge:
        """Leave nothing of forgotten memories in the files: what stands in free pages and logs is overwritten.

        ``windows`` (``domain.residues``) are pieces of what they said, to be looked for afterwards; empty when nobody
        knows them any more, and not ``is_whole`` when they are samples: then everything is rewritten unasked. Writes
        wait meanwhile, no longer than half of ``commit_timeout_s``. Repeating it is safe.
        Raises: JournalBusy (readers or the size of the journal stood in the way: repeat).
        """

    async def kept(
        self, where: MemoryFilter, *, known_before_ns: int | None, after: Seq | None, limit: int
    ) -> list[Memory]:
        """Return the last version of memories that meet ``where``, also of those that are no longer current.

        In seq order, strictly beyond ``after``. ``known_before_ns``: only what was written last before that moment.
        """

    async def policies(self) -> dict[str, JsonObject]:
        """Return the policy of every namespace or subtree that has one of its own."""

    async def counts(self, where: MemoryFilter, by: GroupBy, *, limit: int) -> list[Count]:
        """Return how many memories there are of each kind, agent or namespace, the most first."""

    async def highlights(self, where: MemoryFilter, *, limit: int) -> list[Memory]:
        """Return what weighs most: pinned, then by importance, then the newest."""

    async def expired(self, *, before_ns: int, limit: int) -> list[Memory]:
        """Return current memories whose time was over before that moment, the longest first; never pinned ones."""

    async def page(self, where: MemoryFilter, *, after: Seq | None, limit: int, newest_first: bool) -> list[Memory]:
        """Return up to ``limit`` memories that meet ``where``, in seq order, strictly beyond ``after``."""

    async def lexical(
        self, words: Sequence[str], where: MemoryFilter, *, scope: LexicalScope, limit: int
    ) -> list[Memory]:
        """Return at most ``limit`` memories with any of the words in content or tags, whatever the case.

        Those with most of the query (by letters of the words they hold) come first, then the newest.
        Scope ``unindexed`` looks only at rows whose entry for the vector index is still in the outbox.
        """

    async def unindexed(self, words: Sequence[str], where: MemoryFilter, *, limit: int) -> tuple[list[Memory], int]:
        """Return ``lexical`` over the scope ``unindexed``, and how many entries the vector index has not got."""

    async def backlog(self) -> int:
        """Return how many entries the vector index has not got, dead ones included."""

    async def count(self, where: MemoryFilter) -> int: ...

    async def horizon(self) -> Seq:
        """Return the newest committed seq, 0 when empty."""

    async def instance_id(self) -> str:
        """Return the random UUID that this journal was given when it was made; a copy of it has the same."""

    async def trajectory(self, trajectory_id: TrajectoryId) -> Trajectory | None: ...

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
        """Return trajectories, newest opened first (then by id, descending), opened strictly before ``before_ns``.

        With ``before_id`` those opened in that same nanosecond whose id is smaller come too, so that pages lose none.
        A namespace ending in '/' covers its subtree. ``hidden``: nothing from these.
        """

    async def steps(self, trajectory_id: TrajectoryId, *, after: Seq | None, limit: int) -> list[Memory]:
        """Return the last version of each step beyond position ``after``, in the order of their first versions.

        A step that another memory has superseded is still a step.
        """

    async def latest_snapshot(self, desk_id: str) -> Snapshot | None: ...

    async def desks(self) -> list[Snapshot]:
        """Return the newest snapshot of every desk."""

    async def snapshots(
        self, desk_id: str, *, since_ns: int | None, until_ns: int | None, resolution_s: int | None, limit: int
    ) -> list[Snapshot]:
        """Return snapshots in time order: the last of each bucket of ``resolution_s`` seconds, or all.

        When more than ``limit`` would match, the newest ``limit`` are returned.
        """

    async def old_snapshots(self, after: Seq, *, recorded_before_ns: int, bucket_ns: int, limit: int) -> OldSnapshots:
        """Return the next ``limit`` snapshots beyond that seq that were recorded before that time, of all desks.

        With them come those up to the last of them that lie in the same bucket of event time of the same desk.
        """

    async def drop_snapshots(self, rows: Sequence[StoredSnapshot], *, cursor: str, reached: Seq) -> None:
        """Delete snapshots with their keys, and move the named cursor in the same transaction (see ``save_cursor``)."""

    async def keep_parts(self) -> None:
        """Keep the history in parts by time, made ahead, where the database has such; elsewhere do nothing."""

    async def outbox_due(self, sink: str, *, now_ns: int, limit: int) -> list[OutboxEntry]:
        """Return live entries whose time has come, oldest first. There is one relay per sink, so nothing is leased.

        An entry that is due more than ``BACKOFF_NS_MAX`` ahead counts as due: the clock was set back meanwhile.
        """

    async def outbox_delivered(self, entry_ids: Sequence[int]) -> None: ...

    async def outbox_failed(self, entry_ids: Sequence[int], *, error: str, retry_at_ns: int | None) -> None:
        """Count a failed attempt; ``retry_at_ns`` None makes the entries dead."""

    async def outbox_stats(self) -> dict[str, SinkStats]:
        """Return a row for every known sink, also when nothing is pending."""

    async def outbox_entries(self, sink: str | None, *, dead: bool | None, limit: int) -> list[OutboxEntry]: ...

    async def outbox_retry(self, entry_ids: Sequence[int] | None) -> int:
        """Make dead entries live again (None: all of them); return how many."""

    async def outbox_of_forgotten(self, sink: str, *, after: Seq) -> int:
        """Return how many entries the sink has still to be given, or are dead, that come of forgettings after that seq.

        Those of the forgotten memories, and of what followed them in their threads.
        """

    async def outbox_drop(self, entry_id: int) -> bool: ...

    async def outbox_queue(self, sink: str, memory_ids: Sequence[MemoryId]) -> int:
        """Queue the last version of those that exist for the sink again; return how many were queued.

        One that has an entry there, live or dead, is left as it is. Raises: InvalidInput (an unknown sink).
        """

    async def outbox_refill(self, sink: str) -> int:
        """Queue every version of every memory for the sink again; return how many entries there are now."""

    async def take_lease(self, name: str, holder: str, ttl_s: float) -> int | None:
        """Give the lease to the holder, or renew it, for so many seconds from now; None while another holds it.

        Returns its token, which grows with each holder: a fence against one who sleeps over the end of the lease.
        """

    async def lease_holder(self, name: str) -> str | None:
        """Return who holds the lease now, None when nobody does."""

    async def release_lease(self, name: str, holder: str) -> None:
        """End the holder's lease at once; that of another stays."""

    async def backup(self, directory: Path) -> Path:
        """Write a consistent copy while running and return its path."""

    def write_problem(self) -> str | None:
        """Return why the last write failed (a full disk, a server that is gone), None since one has succeeded."""

    async def wait_for_commit(self, after: Seq, timeout_s: float) -> Seq:
        """Return as soon as the horizon is beyond ``after``, or the present horizon when the time is over."""


class BesideMemory(Protocol):
    """What is backed up with the memory journal."""

    def ahead(self, directory: Path) -> AbstractAsyncContextManager[Path | None]:
        """Copy what is on its way to the journal, before the journal is copied; return the copy, None without any.

        At the end the copy goes, unless ``copy`` took it. Raises: DataDirectoryError, StorageFull, JournalUnavailable.
        """

    async def copy(self, memory: Path, ahead: Path | None = None) -> tuple[Path, Manifest]:
        """Copy it into the directory of the memory's copy, which was made before; return the manifest of all.

        Raises: DataDirectoryError, StorageFull, JournalUnavailable.
        """
