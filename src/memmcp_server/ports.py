"""The seams of the memory server. Every Protocol has a real body and a test body and one contract suite."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from .domain.identifiers import JsonObject, MemoryId, Seq, TrajectoryId
from .domain.memory import Acknowledgement, Memory, MemoryDraft, MemoryFilter
from .domain.outbox import OutboxEntry, SinkStats
from .domain.telemetry import RecordSnapshot, Snapshot
from .domain.trajectory import CloseTrajectory, OpenTrajectory, Trajectory

JournalCommand = MemoryDraft | OpenTrajectory | CloseTrajectory | RecordSnapshot
LexicalScope = Literal["unindexed", "all"]


class Clock(Protocol):
    """Wall time for people and records; monotonic time for waits."""

    def now_ns(self) -> int:
        """Nanoseconds since 1970-01-01 UTC."""

    def monotonic_s(self) -> float: ...


class Journal(Protocol):
    """The truth. An awaited ``commit`` is durable (fsync) when it returns; readers see it from then on.

    Raises everywhere: JournalBusy, JournalUnavailable, StorageFull.
    """

    async def commit(self, commands: Sequence[JournalCommand]) -> list[Acknowledgement]:
        """Apply the commands in order, all or none, with their outbox entries, in one transaction.

        A MemoryDraft whose key (scoped by agent and namespace) is known returns the first acknowledgement with
        ``duplicate`` set. An unknown ``trajectory_id`` opens that trajectory.

        Raises: IdempotencyConflict, NotFound (closing an unknown trajectory).
        """

    async def memory(self, memory_id: MemoryId, version: int | None = None) -> Memory | None:
        """Return that version, or the current one."""

    async def memories(self, memory_ids: Sequence[MemoryId]) -> list[Memory]:
        """Return the current versions that exist, in the order asked for."""

    async def versions(self, memory_id: MemoryId) -> list[Memory]:
        """Return every version, oldest first; empty when unknown."""

    async def page(self, where: MemoryFilter, *, after: Seq | None, limit: int, newest_first: bool) -> list[Memory]:
        """Return up to ``limit`` memories that meet ``where``, in seq order, strictly beyond ``after``."""

    async def lexical(
        self, words: Sequence[str], where: MemoryFilter, *, scope: LexicalScope, limit: int
    ) -> list[Memory]:
        """Return at most ``limit`` memories with any of the words in content or tags, whatever the case.

        Those with most of the query (by letters of the words they hold) come first, then the newest.

        Scope ``unindexed`` looks only at rows whose entry for the vector index is still in the outbox.
        """

    async def count(self, where: MemoryFilter) -> int: ...

    async def horizon(self) -> Seq:
        """Return the newest committed seq, 0 when empty."""

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
    ) -> list[Trajectory]:
        """Return trajectories, newest opened first (then by id, descending), opened strictly before ``before_ns``.

        With ``before_id`` those opened in that same nanosecond whose id is smaller come too, so that pages lose none.
        A namespace ending in '/' covers its subtree.
        """

    async def steps(self, trajectory_id: TrajectoryId, *, after: Seq | None, limit: int) -> list[Memory]:
        """Return the step memories in journal order."""

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

    async def outbox_drop(self, entry_id: int) -> bool: ...

    async def outbox_refill(self, sink: str) -> int:
        """Queue every version of every memory for the sink again; return how many entries there are now."""

    async def backup(self, directory: Path) -> Path:
        """Write a consistent copy while running and return its path."""

    def write_problem(self) -> str | None:
        """Return why the last write failed (a full disk, a server that is gone), None since one has succeeded."""

    async def wait_for_commit(self, after: Seq, timeout_s: float) -> Seq:
        """Return as soon as the horizon is beyond ``after``, or the present horizon when the time is over."""


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
class IndexStatus:
    """``state``: starting (model or shard loading), ready, degraded (words only, no model), down."""

    state: Literal["starting", "ready", "degraded", "down"]
    backend: str
    model: str
    points: int
    detail: str = ""


class VectorIndex(Protocol):
    """A projection of the journal that finds memories by meaning and by words. Raises IndexUnavailable."""

    async def upsert(self, points: Sequence[IndexPoint]) -> None:
        """Store the points durably (flushed on return). A point is identified by (memory id, version)."""

    async def remove(self, memory_ids: Sequence[MemoryId]) -> None: ...

    async def search(self, query: str, where: MemoryFilter, *, limit: int) -> list[IndexHit]:
        """Return the best hits, best first, at most ``limit``."""

    async def clear(self) -> None:
        """Drop every point, for a rebuild."""

    async def status(self) -> IndexStatus: ...


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


class TradingDesk(Protocol):
    """The trading runtime as the server sees it. Documents are the models of ``wire`` as JSON objects.

    A refusal by the desk (risk verdict, unknown token, stale preview) is a document with ``status``, not an exception.
    Raises: TradingUnavailable, InvalidInput.
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
        self, *, order_id: str | None, trajectory_id: str | None, mint: str | None, since_ns: int | None
    ) -> JsonObject:
        """wire.WhyAnswer: the chain of a trade, or the funnel of why nothing happened"""

    async def place_trade(self, request: JsonObject, *, agent: str, key: str) -> JsonObject:
        """wire.TradeRequest -> wire.TradeAnswer. Without preview_id a preview; with it the order, once per key."""

    async def close_position(self, request: JsonObject, *, agent: str, key: str) -> JsonObject:
        """wire.CloseRequest -> wire.TradeAnswer"""

    async def rebalance(self, request: JsonObject, *, agent: str, key: str) -> JsonObject:
        """wire.RebalanceRequest -> wire.RebalanceAnswer"""

    async def control(self, request: JsonObject, *, actor: str, key: str) -> JsonObject:
        """wire.ControlRequest -> wire.ControlAnswer. The caller has checked what this actor may do."""

    def changes(self) -> AsyncIterator[JsonObject]:
        """Yield wire.TradingSnapshot after each cycle, the newest only: a slow reader skips, it never queues."""
