"""Live events for pages: one stream per client, a bound on each, and no silence about what was lost.

Gauges (``trading``, ``metrics``) are the newest only and at most four a second; ``memory`` rows are delivered in
journal order, and a client that is too far behind is told from where to read again (``resync``).
"""

import contextlib
import logging
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field
from typing import Final

import anyio

from memmcp_server.domain.identifiers import JsonObject, Seq
from memmcp_server.domain.memory import Memory, MemoryFilter
from memmcp_server.domain.times import from_ns
from memmcp_server.errors import TradingUnavailable, Unavailable
from memmcp_server.services.background import beside
from memmcp_server.services.container import Services
from memmcp_server.wire.status import MetricsAnswer
from memmcp_server.wire.trading import TradingSnapshot

from .errors import TooManyStreams

logger = logging.getLogger(__name__)

ROWS_QUEUED_MAX: Final = 512
ROWS_REPLAYED_MAX: Final = 1_000
PAGE_ROWS: Final = 200
GAUGE_INTERVAL_S: Final = 0.25
METRICS_INTERVAL_S: Final = 1.0
RETRY_S: Final = 1.0
WAIT_S: Final = 15.0
CONTENT_CHARS_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class LiveEvent:
    """``id`` is the journal seq for rows, None for gauges."""

    kind: str
    data: JsonObject
    id: int | None = None


@dataclass(slots=True, eq=False)
class Follower:
    """One client's queue. ``lost_from``: seq of the first row that no longer fitted."""

    gauges: dict[str, JsonObject] = field(default_factory=dict)
    rows: deque[tuple[int, JsonObject]] = field(default_factory=deque)
    lost_from: int | None = None
    lost_to: int = 0
    wake: anyio.Event = field(default_factory=anyio.Event)
    closed: bool = False

    def offer_gauge(self, kind: str, data: JsonObject) -> None:
        self.gauges[kind] = data
        self.wake.set()

    def offer_row(self, seq: int, data: JsonObject) -> None:
        if self.lost_from is not None or len(self.rows) >= ROWS_QUEUED_MAX:
            # What is queued would end in a gap: the client reads all of it again instead.
            self.lost_from = self.lost_from or (self.rows[0][0] if self.rows else seq)
            self.lost_to = seq
            self.rows.clear()
        else:
            self.rows.append((seq, data))
        self.wake.set()

    def close(self) -> None:
        self.closed = True
        self.wake.set()

    def take_rows(self) -> list[LiveEvent]:
        """Return and forget what is queued, or the one ``resync`` that stands for what was lost."""
        if self.lost_from is not None:
            event = LiveEvent("resync", {"from": self.lost_from, "to": self.lost_to}, id=self.lost_to)
            self.lost_from = None
            return [event]
        events = [LiveEvent("memory", data, id=seq) for seq, data in self.rows]
        self.rows.clear()
        return events


class LiveEvents:
    """Follows desk, health and journal once per process and fans out to the followers."""

    def __init__(self, services: Services, streams_max: int) -> None:
        self._services = services
        self._streams_max = streams_max
        self._followers: set[Follower] = set()
        self._closed = False

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the three pumps for as long as the block does, then end every stream."""
        async with (
            beside("live snapshots", self._pump_trading),
            beside("live metrics", self._pump_metrics),
            beside("live memories", self._pump_memories),
        ):
            try:
                yield
            finally:
                self.close()

    def close(self) -> None:
        """End every stream now; the server can then stop without waiting for pages."""
        self._closed = True
        for follower in self._followers:
            follower.close()

    @property
    def streams(self) -> int:
        return len(self._followers)

    def check_room(self) -> None:
        """Raises: TooManyStreams."""
        if len(self._followers) >= self._streams_max:
            msg = f"{self._streams_max} pages are already connected"
            raise TooManyStreams(msg, hint="close one, or raise http.streams_max")

    async def follow(self, last_seq: int | None) -> AsyncGenerator[LiveEvent, None]:
        """Yield the state now, then rows after ``last_seq`` (None: from now on) and gauges as they change."""
        follower = Follower(closed=self._closed)
        self._followers.add(follower)
        try:
            for event in await self._present():
                yield event
            replayed = 0
            if last_seq is not None:
                async for event in self._replay(last_seq):
                    replayed = max(replayed, event.id or 0)
                    yield event
            async for event in _drain(follower):
                if event.kind != "memory" or (event.id or 0) > replayed:
                    yield event
        finally:
            self._followers.discard(follower)

    async def _present(self) -> list[LiveEvent]:
        events = []
        snapshot = await self._snapshot()
        if snapshot is not None:
            events.append(LiveEvent("trading", snapshot))
        with contextlib.suppress(Unavailable):
            events.append(LiveEvent("metrics", await self._metrics()))
        return events

    async def _replay(self, last_seq: int) -> AsyncIterator[LiveEvent]:
        horizon = await self._services.journal.horizon()
        if horizon - last_seq > ROWS_REPLAYED_MAX:
            yield LiveEvent("resync", {"from": last_seq + 1, "to": int(horizon)}, id=int(horizon))
            return
        after = Seq(last_seq)
        while after < horizon:
            page = await self._page(after)
            if not page:
                return
            for memory in page:
                yield LiveEvent("memory", row_of(memory), id=memory.seq)
            after = page[-1].seq

    async def _snapshot(self) -> JsonObject | None:
        if self._services.desk is None:
            return None
        try:
            return _trading(await self._services.desk.snapshot())
        except TradingUnavailable:
            return None

    async def _metrics(self) -> JsonObject:
        metrics = await self._services.health.metrics()
        return MetricsAnswer.of(metrics, self._services.relay.stats()).model_dump(mode="json")

    async def _page(self, after: Seq) -> list[Memory]:
        return await self._services.journal.page(MemoryFilter(), after=after, limit=PAGE_ROWS, newest_first=False)

    def _offer_gauge(self, kind: str, data: JsonObject) -> None:
        for follower in self._followers:
            follower.offer_gauge(kind, data)

    async def _pump_trading(self) -> None:
        desk = self._services.desk
        while desk is not None:
            try:
                async for body in desk.changes():
                    if self._followers:
                        self._offer_gauge("trading", _trading(body))
            except TradingUnavailable:
                logger.debug("the desk is not up; asking again in %s s", RETRY_S)
            await anyio.sleep(RETRY_S)

    async def _pump_metrics(self) -> None:
        while True:
            if self._followers:
                with contextlib.suppress(Unavailable):
                    self._offer_gauge("metrics", await self._metrics())
            await anyio.sleep(METRICS_INTERVAL_S)

    async def _pump_memories(self) -> None:
        journal = self._services.journal
        after: Seq | None = None
        while True:
            try:
                if after is None:
                    after = await journal.horizon()
                horizon = await journal.wait_for_commit(after, WAIT_S)
                if not self._followers:
                    after = horizon
                    continue
                while after < horizon and (page := await self._page(after)):
                    for memory in page:
                        row = row_of(memory)
                        for follower in self._followers:
                            follower.offer_row(memory.seq, row)
                    after = page[-1].seq
                after = max(after, horizon)
            except Unavailable:
                logger.warning("the journal does not answer; live memories pause for %s s", RETRY_S)
                await anyio.sleep(RETRY_S)


async def _drain(follower: Follower) -> AsyncIterator[LiveEvent]:
    """Yield rows at once and gauges at most every GAUGE_INTERVAL_S, until the follower is closed."""
    gauges_at_s = -GAUGE_INTERVAL_S
    while not follower.closed:
        for event in follower.take_rows():
            yield event
        patience_s = gauges_at_s + GAUGE_INTERVAL_S - anyio.current_time()
        if follower.gauges and patience_s <= 0:
            gauges, follower.gauges = follower.gauges, {}
            gauges_at_s = anyio.current_time()
            for kind, data in gauges.items():
                yield LiveEvent(kind, data)
        if follower.closed or follower.rows or follower.lost_from is not None:
            continue
        follower.wake = anyio.Event()
        with anyio.move_on_after(max(0.0, patience_s) if follower.gauges else None):
            await follower.wake.wait()


def row_of(memory: Memory) -> JsonObject:
    """Return a memory as the stream shows it: enough for a line, the rest is at its address."""
    return {
        "seq": int(memory.seq),
        "id": memory.id,
        "kind": memory.kind,
        "namespace": memory.namespace,
        "agent": memory.provenance.agent,
        "content": memory.content[:CONTENT_CHARS_MAX],
        "ts": from_ns(memory.ts_event_ns).isoformat(),
        "trajectory_id": memory.trajectory_id,
    }


def _trading(body: JsonObject) -> JsonObject:
    return TradingSnapshot.model_validate(body).model_dump(mode="json")
