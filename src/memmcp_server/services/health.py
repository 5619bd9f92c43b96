"""How the daemon is: one look for probes, one for pages."""

import asyncio
from collections import deque

import memmcp_server
from memmcp_server.domain.identifiers import JsonObject
from memmcp_server.domain.memory import MemoryFilter
from memmcp_server.domain.outbox import SINK_QDRANT
from memmcp_server.domain.spooled import SINK_JOURNAL
from memmcp_server.domain.status import HealthReport, Metrics
from memmcp_server.errors import MemoryServerError, TradingUnavailable, Unavailable
from memmcp_server.ports import Clock, IndexStatus, Journal, TradingDesk, VectorIndex

from .clients import ClientRegistry
from .index_keeper import IndexKeeper
from .migration import Progress
from .queues import Queues

PART_TIMEOUT_S = 2.0
LAG_PROBE_S = 0.25
LAG_PROBES_KEPT = 20
CYCLE_FIELDS = ("cycle", "ts", "state", "state_reason", "profile", "tier", "money", "feed", "next_evaluation", "queues")
"""What a metrics reader needs of a snapshot; positions and curves are asked for where they are shown."""


class LoopLag:
    """Measures by how much the event loop's timers are late: the worst of the last few seconds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._late_s: deque[float] = deque(maxlen=LAG_PROBES_KEPT)

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            began_s = self._clock.monotonic_s()
            await asyncio.sleep(LAG_PROBE_S)
            self._late_s.append(max(0.0, self._clock.monotonic_s() - began_s - LAG_PROBE_S))

    def worst_ms(self) -> float:
        return max(self._late_s, default=0.0) * 1_000


class Health:
    """``desk`` None: trading is off. Every part is asked under a time limit, so that one stuck part shows as such."""

    def __init__(
        self,
        journal: Journal,
        index: VectorIndex,
        clock: Clock,
        clients: ClientRegistry,
        desk: TradingDesk | None = None,
        keeper: IndexKeeper | None = None,
        *,
        queues: Queues | None = None,
        part_timeout_s: float = PART_TIMEOUT_S,
    ) -> None:
        self._keeper = keeper
        self.queues = queues or Queues(journal)
        self._memories = 0
        self._part_timeout_s = part_timeout_s
        self._journal = journal
        self._index = index
        self._clock = clock
        self._clients = clients
        self._started_at_s = clock.monotonic_s()
        self._desk = desk
        self._lag = LoopLag(clock)

    async def run(self) -> None:
        """Keep the event loop's gauge going until cancelled."""
        await self._lag.run()

    async def checks(self) -> HealthReport:
        """Ask every part. Never raises: a part that fails is named with what it said."""
        journal, index, outbox, trading = await asyncio.gather(
            self._check_journal(), self._check_index(), self._check_outbox(), self._check_trading()
        )
        unwritten = self._journal.write_problem()
        told = journal if journal != "ok" or unwritten is None else f"the last write failed: {unwritten}"
        checks = {"journal": told, "index": index, "outbox": outbox, "trading": trading}
        return HealthReport(
            version=memmcp_server.__version__,
            status="ok" if all(check in ("ok", "off") for check in checks.values()) else "degraded",
            ready=journal == "ok" and trading in ("ok", "off"),
            checks=checks,
        )

    async def metrics(self) -> Metrics:
        """Return the gauges of now.

        While the journal's server is away what it counts is told as it was last seen.

        Raises: JournalBusy, JournalUnavailable.
        """
        now_ns = self._clock.now_ns()
        figures = await self.queues.read()
        if self.queues.problem is None:
            self._memories = await self._journal.count(MemoryFilter())
        return Metrics(
            ts_ns=now_ns,
            uptime_s=self.uptime_s(),
            journal_seq=figures.seq,
            memories=self._memories,
            queues=figures.stats,
            relays=figures.relays,
            index=await self.index_document(),
            clients=self._clients.count,
            event_loop_lag_ms=self._lag.worst_ms(),
            cycle=await self._cycle(),
        )

    def loop_lag_s(self) -> float:
        """Return by how much the event loop's timers were late, worst of the last few seconds."""
        return self._lag.worst_ms() / 1_000

    def uptime_s(self) -> float:
        return self._clock.monotonic_s() - self._started_at_s

    async def index_status(self) -> IndexStatus:
        """Return the index's own word, or state ``down`` with the reason it gave none."""
        try:
            async with asyncio.timeout(self._part_timeout_s):
                return await self._index.status()
        except TimeoutError:
            return IndexStatus("down", "", "", 0, f"no answer within {self._part_timeout_s:g} s")
        except Unavailable as error:
            return IndexStatus("down", "", "", 0, error.message)

    async def index_document(self) -> JsonObject:
        """Return how the index is, and how far the generation that is to follow it has come."""
        status = await self.index_status()
        document: JsonObject = {
            "state": status.state,
            "backend": status.backend,
            "model": status.model,
            "points": status.points,
            "detail": "; ".join(part for part in (status.detail, self._told(status)) if part),
            "generation": status.generation,
            "next": None,
        }
        if status.next is not None:
            progress = self._progress(status)
            document["next"] = {
                "generation": status.next.generation,
                "model": status.next.model,
                "points": status.next.points,
                "phase": "filling" if progress is None else progress.phase,
                "done": 0 if progress is None else progress.done,
                "total": 0 if progress is None else progress.total,
                "problem": status.next.detail if progress is None else progress.problem,
            }
        return document

    def _progress(self, status: IndexStatus) -> Progress | None:
        progress = None if self._keeper is None else self._keeper.progress
        if progress is None or status.next is None or progress.generation != status.next.generation:
            return None
        return progress

    def _told(self, status: IndexStatus) -> str:
        """Return in words what becomes of the generation that is to follow, empty where there is none."""
        progress = self._progress(status)
        if status.next is None or progress is None:
            return ""
        named = f"generation {progress.generation} ({status.next.model})"
        match progress.phase:
            case "filling":
                hindered = f"; {progress.problem}" if progress.problem else ""
                return f"{named} is being filled: {progress.done} of {progress.total}{hindered}"
            case "checking":
                return f"{named} is filled and being checked"
            case "refused":
                return f"{named} is not searched: {progress.problem}; `memmcp index switch --force` does it"

    async def _check_journal(self) -> str:
        if (problem := self.queues.problem) is not None:
            return f"{problem}; memories are kept on this machine meanwhile"
        try:
            async with asyncio.timeout(self._part_timeout_s):
                await self._journal.horizon()
        except TimeoutError:
            return f"no answer within {self._part_timeout_s:g} s"
        except MemoryServerError as error:
            return error.message
        return "ok"

    async def _check_index(self) -> str:
        status = await self.index_status()
        progress = self._progress(status)
        is_refused = progress is not None and progress.phase == "refused"
        if status.state == "ready" and not is_refused:
            return "ok"
        detail = "; ".join(part for part in (status.detail, self._told(status)) if part)
        return f"{status.state}: {detail}" if detail else status.state

    async def _check_outbox(self) -> str:
        try:
            async with asyncio.timeout(self._part_timeout_s):
                queues = (await self.queues.read()).stats
        except TimeoutError:
            return f"no answer within {self._part_timeout_s:g} s"
        except MemoryServerError as error:
            return error.message
        dead = sum(queues[name].dead for name in (SINK_QDRANT, SINK_JOURNAL) if name in queues)
        if dead:
            return f"{dead} entries are dead; see memmcp outbox list, then memmcp outbox retry"
        return "ok"

    async def _check_trading(self) -> str:
        if self._desk is None:
            return "off"
        try:
            async with asyncio.timeout(self._part_timeout_s):
                await self._desk.snapshot()
        except TimeoutError:
            return f"no answer within {self._part_timeout_s:g} s"
        except TradingUnavailable as error:
            return error.message
        return "ok"

    async def _cycle(self) -> JsonObject | None:
        if self._desk is None:
            return None
        try:
            async with asyncio.timeout(self._part_timeout_s):
                snapshot = await self._desk.snapshot()
        except (TimeoutError, TradingUnavailable):
            return None
        return {name: snapshot[name] for name in CYCLE_FIELDS if name in snapshot}
