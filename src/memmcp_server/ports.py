"""The seams of the memory server. Every Protocol has a real body and a test body and one contract suite."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from .domain.backups import Manifest
from .domain.drift import DriftKind
from .domain.golden import GoldenSet
from .domain.identifiers import JsonObject, MemoryId, Seq, TrajectoryId
from .domain.lifecycle import AuditEntry, Change, LifecycleCommand, Link, Mark, Surroundings
from .domain.memory import Acknowledgement, Memory, MemoryDraft, MemoryFilter
from .domain.outbox import OutboxEntry, SinkStats
from .domain.secrets import SecretFinding
from .domain.summary import Count, GroupBy
from .domain.telemetry import RecordSnapshot, Snapshot
from .domain.trajectory import CloseTrajectory, OpenTrajectory, Trajectory

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

    async def backup(self, directory: Path) -> Path:
        """Write a consistent copy while running and return its path."""

    def write_problem(self) -> str | None:
        """Return why the last write failed (a full disk, a server that is gone), None since one has succeeded."""

    async def wait_for_commit(self, after: Seq, timeout_s: float) -> Seq:
        """Return as soon as the horizon is beyond ``after``, or the present horizon when the time is over."""


class BesideMemory(Protocol):
    """What is backed up with the memory journal."""

    async def copy(self, memory: Path) -> tuple[Path, Manifest]:
        """Copy it into the directory of the memory's copy, which was made before; return the manifest of all.

        Raises: DataDirectoryError, StorageFull, JournalUnavailable.
        """


@dataclass(frozen=True, slots=True)
class IndexPoint:
    """One version of a memory for the index. ``known_to_ns`` None: current. ``text_dense`` None: words only.

    ``context`` holds what was said before it in its thread, the nearest first; ``previous_id`` is the nearest of them.
    """

    memory: Memory
    known_to_ns: int | None
    text_lexical: str
    text_dense: str | None
    context: tuple[str, ...] = ()
    previous_id: MemoryId | None = None


@dataclass(frozen=True, slots=True)
class IndexHit:
    """``score`` in [0, 1] is the relevance, on one scale for all queries; the parts are those of each side.

    ``dense`` (cosine) and ``lexical`` (BM25) are None where that side did not find it. ``share`` says how much of the
    query's words it covers, by their weight, ``meaning`` how near it is in meaning; both from 0 to 1, None where that
    was not asked. ``previous_id``: the memory before it in its thread.
    """

    memory_id: MemoryId
    version: int
    score: float
    dense: float | None
    lexical: float | None
    share: float | None = None
    meaning: float | None = None
    previous_id: MemoryId | None = None


@dataclass(frozen=True, slots=True)
class NextGeneration:
    """A generation that is filled beside the searched one. ``token`` names this very filling: another one, also after
    the generation was lost and begun anew, has another. ``detail`` says what hinders it, empty for nothing.
    """

    generation: int
    model: str
    points: int
    token: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class IndexStatus:
    """``state``: starting (model or shard loading), ready, degraded (words only, no model), down.

    ``generation`` is the searched one. ``wants`` says why it should be replaced (another model, another recipe of
    texts), empty where it should not. ``unvectored``: points that could get their vector now.
    """

    state: Literal["starting", "ready", "degraded", "down"]
    backend: str
    model: str
    points: int
    detail: str = ""
    generation: int = 1
    next: NextGeneration | None = None
    wants: str = ""
    unvectored: int = 0


class VectorIndex(Protocol):
    """A projection of the journal that finds memories by meaning and by words. Raises IndexUnavailable.

    It has one generation, or two while a model changes: writes and removals go to both, everything else to the one that
    is searched, or, through ``beside``, to the other.
    """

    async def upsert(self, points: Sequence[IndexPoint]) -> None:
        """Store the points durably (flushed on return). A point is identified by (memory id, version)."""

    async def remove(self, memory_ids: Sequence[MemoryId]) -> None: ...

    async def search(self, query: str, where: MemoryFilter, *, limit: int) -> list[IndexHit]:
        """Return the best hits, best first, at most ``limit``."""

    async def similar(
        self, memory_id: MemoryId, version: int, where: MemoryFilter, *, limit: int
    ) -> list[IndexHit] | None:
        """Return what lies nearest to a version that is there, by its stored vector; ``dense`` is the cosine.

        The version itself is left out. None: it is not there yet, or has no vector.
        """

    async def compare(self, wanted: Mapping[MemoryId, Sequence[IndexPoint]]) -> dict[MemoryId, DriftKind]:
        """Return which memories stand otherwise than they should, all versions of each; those in order are left out."""

    async def memory_ids(
        self, *, after: str | None, limit: int, lacking_vector: bool = False
    ) -> tuple[list[MemoryId], str | None]:
        """Return the memories of the next ``limit`` points and where to go on (None: these were the last).

        A memory may come again for another of its versions. ``lacking_vector``: only those of such points.
        """

    async def clear(self) -> None:
        """Drop every point."""

    async def begin(self) -> None:
        """Begin a next generation with the configured model; one that is there already goes on."""

    async def switch(self) -> None:
        """Search the next generation from now on and drop the old one, in one step."""

    async def abandon(self) -> None:
        """Drop the next generation, if there is one."""

    def beside(self) -> "VectorIndex":
        """Return the next generation as an index: what is written there goes to it alone."""

    async def purge(self, forgotten: Mapping[MemoryId, int]) -> Purge:
        """Leave nothing of removed points in the files, logs included; searches and writes go on meanwhile.

        ``forgotten`` gives the last version of each memory whose points are then looked for.
        """

    async def status(self) -> IndexStatus: ...


class GoldenStore(Protocol):
    """Keeps the golden queries of this installation with their baseline. Raises everywhere: Unavailable."""

    async def load(self) -> GoldenSet | None:
        """Return the set that was kept last, None when there is none."""

    async def save(self, golden: GoldenSet) -> None:
        """Keep the set in place of the one before, durably."""


class Embedder(Protocol):
    """Text to unit vectors. Synchronous: it runs in the index worker's process."""

    @property
    def name(self) -> str: ...

    @property
    def dimension(self) -> int: ...

    def embed(self, texts: Sequence[str]) -> list[list[float]]: ...


class Sink(Protocol):
    """One destination of the outbox. Delivering the same memory twice must change nothing."""

    @property
    def name(self) -> str: ...

    async def deliver(self, entries: Sequence[OutboxEntry]) -> None:
        """Carry the entries to the destination, or raise Unavailable (retry all) for the batch as a whole.

        Raises InvalidInput when one entry can never be delivered; the relay then splits the batch to find it.
        """


class SecretScanner(Protocol):
    """Finds secrets in any text. Synchronous and pure: no I/O, no state, bounded time, never raises on any string."""

    def scan(self, text: str) -> list[SecretFinding]:
        """Return where secrets are, in order and without overlaps; empty for nearly every text."""


class TradingDesk(Protocol):
    """The trading runtime as the server sees it. Documents are the models of ``wire`` as JSON objects.

    A refusal by the desk is a document with ``status``. Raises: TradingUnavailable, InvalidInput.
    """

    async def snapshot(self) -> JsonObject:
        """wire.TradingSnapshot"""

    async def trades(self, *, strategy: str | None, cursor: str | None, limit: int) -> JsonObject:
        """wire.TradePage, newest first"""

    async def equity(self, *, since_ns: int | None, until_ns: int | None, resolution_s: int | None) -> JsonObject:
        """wire.EquitySeries"""

    async def strategies(self) -> JsonObject:
        """wire.StrategyList"""

    async def strategy_digest(self, *, strategy: str | None, window: str) -> JsonObject:
        """wire.StrategyDigest"""

    async def why(
        self,
        *,
        order_id: str | None,
        trajectory_id: str | None,
        mint: str | None,
        since_ns: int | None,
        until_ns: int | None = None,
    ) -> JsonObject:
        """wire.WhyAnswer: the chain of a trade, or the funnel of why nothing happened"""

    async def night(self, *, since_ns: int | None) -> JsonObject:
        """wire.NightReport: what happened since then, and what waits for a person"""

    async def answer_review(self, request: JsonObject, *, actor: str) -> JsonObject:
        """wire.ReviewRequest -> wire.ReviewAnswer. The caller has checked that this actor is a person."""

    async def place_trade(self, request: JsonObject, *, agent: str, key: str) -> JsonObject:
        """wire.TradeRequest -> wire.TradeAnswer. Without preview_id a preview; with it the order, once per key."""

    async def close_position(self, request: JsonObject, *, agent: str, key: str) -> JsonObject:
        """wire.CloseRequest -> wire.TradeAnswer"""

    async def rebalance(self, request: JsonObject, *, agent: str, key: str) -> JsonObject:
        """wire.RebalanceRequest -> wire.RebalanceAnswer"""

    async def answered(self, *, agent: str, key: str) -> JsonObject | None:
        """Return what this key has brought, as it stands now; None while nothing was done under it. Does nothing."""

    async def control(self, request: JsonObject, *, actor: str, key: str) -> JsonObject:
        """wire.ControlRequest -> wire.ControlAnswer. The caller has checked what this actor may do."""

    async def assess(self, request: JsonObject, *, agent: str) -> JsonObject:
        """wire.AssessRequest -> wire.AssessAnswer. Raises TradingUnavailable also where there is no sidecar."""

    def changes(self) -> AsyncIterator[JsonObject]:
        """Yield wire.TradingSnapshot after each cycle, the newest only: a slow reader skips, it never queues."""


class Approvals(Protocol):
    """Orders of real money that wait for a passkey, as ``wire.approvals``. Raises: TradingUnavailable, InvalidInput."""

    async def overview(self) -> JsonObject: ...
    async def challenge(self, approval_id: str) -> JsonObject: ...
    async def approve(self, approval_id: str, credential: Mapping[str, Any]) -> JsonObject: ...
    async def refuse(self, approval_id: str) -> JsonObject: ...
    async def passkey_options(self, code: str) -> JsonObject: ...
    async def register_passkey(self, code: str, credential: Mapping[str, Any], label: str) -> JsonObject: ...
