"""Live events for pages: one stream per client, a bound on each, and no silence about what was lost.

Gauges (``trading``, ``metrics``, ``alerts``) are the newest only and at most four a second; rows (``memory`` for each
version that was written, ``change`` for what was done to one: forgotten, merged, restored ...) come in journal order,
each once, and a client that is too far behind is told from where to read again (``resync``; GET /memory/changes takes
its cursor).
"""

import contextlib
import json
import logging
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import anyio

from memmcp_server.domain.caller import Caller
from memmcp_server.domain.identifiers import JsonObject, Seq
from memmcp_server.domain.lifecycle import Change
from memmcp_server.domain.news import Batch, is_visible
from memmcp_server.domain.times import from_ns
from memmcp_server.errors import TradingUnavailable, Unavailable
from memmcp_server.services.background import beside
from memmcp_server.services.container import Services
from memmcp_server.wire.alerts import AlertList
from memmcp_server.wire.status import MetricsAnswer
from memmcp_server.wire.trading import TradingSnapshot

from .errors import TooManyStreams

logger = logging.getLogger(__name__)

ROWS_QUEUED_MAX: Final = 512
ROWS_REPLAYED_MAX: Final = 1_000
PAGE_ROWS: Final = 200
GAUGE_INTERVAL_S: Final = 0.25
METRICS_INTERVAL_S: Final = 1.0
ALERTS_INTERVAL_S: Final = 5.0
"""Without a change: values move, and silences end."""

RETRY_S: Final = 1.0
CONTENT_CHARS_MAX: Final = 200
NOBODY: Final = Caller(agent="", session="", tool="GET /events", role="agent", transport="http")


@dataclass(frozen=True)
class LiveEvent:
    """``id`` is the journal seq for rows, None for gauges. One event is queued for every follower."""

    kind: str
    data: JsonObject
    id: int | None = None

    @cached_property
    def text(self) -> str:
        """The data as JSON, written once however many follow."""
        return json.dumps(self.data, ensure_ascii=False, separators=(",", ":"))


@dataclass(slots=True, eq=False)
class Follower:
    """One client's queue. ``lost_from``: seq of the first row that no longer fitted."""

    caller: Caller = NOBODY
    gauges: dict[str, LiveEvent] = field(default_factory=dict)
    rows: deque[LiveEvent] = field(default_factory=deque)
    lost_from: int | None = None
    lost_to: int = 0
    wake: anyio.Event = field(default_factory=anyio.Event)
    closed: bool = False

    def offer_gauge(self, gauge: LiveEvent) -> None:
        self.gauges[gauge.kind] = gauge
        self.wake.set()

    def offer_row(self, row: LiveEvent) -> None:
        seq = row.id or 0
        if self.lost_from is not None or len(self.rows) >= ROWS_QUEUED_MAX:
            # What is queued would end in a gap: the client reads all of it again instead.
            self.lost_from = self.lost_from or (self.rows[0].id if self.rows else seq)
            self.lost_to = seq
            self.rows.clear()
        else:
            self.rows.append(row)
        self.wake.set()

    def close(self) -> None:
        self.closed = True
        self.wake.set()

    def take_rows(self) -> list[LiveEvent]:
        """Return and forget what is queued, or the one ``resync`` that stands for what was lost."""
        if self.lost_from is not None:
            event = resync(self.lost_from, self.lost_to)
            self.lost_from = None
            return [event]
        events = list(self.rows)
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
        """Run the pumps for as long as the block does, then end every stream."""
        async with (
            beside("live snapshots", self._pump_trading),
            beside("live metrics", self._pump_metrics),
            beside("live alerts", self._pump_alerts),
        ):
            with self._services.news.listening(self._offer_rows):
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

    @contextlib.contextmanager
    def place(self, caller: Caller = NOBODY) -> Iterator[Follower]:
        """Hold one of the ``http.streams_max`` places while the block runs: what happens from now on is queued in it.

        Raises: TooManyStreams.
        """
        if len(self._followers) >= self._streams_max:
            msg = f"{self._streams_max} pages are already connected"
            raise TooManyStreams(msg, hint="close one, or raise http.streams_max")
        follower = Follower(caller, closed=self._closed)
        self._followers.add(follower)
        try:
            yield follower
        finally:
            self._followers.discard(follower)

    async def follow(self, last_seq: int | None, follower: Follower) -> AsyncGenerator[LiveEvent, None]:
        """Yield the state now, then rows after ``last_seq`` (None: from now on) and gauges as they change.

        What the caller may not read is left out.
        """
        for event in await self._present():
            yield event
        replayed = 0
        if last_seq is not None:
            async for event in self._replay(last_seq, follower.caller):
                replayed = max(replayed, event.id or 0)
                yield self._with_cursor(event)
        async for event in _drain(follower):
            # What was replayed may have been queued too: the follower is there before the replay begins.
            if event.id is None or event.id > replayed:
                yield self._with_cursor(event)

    def _with_cursor(self, event: LiveEvent) -> LiveEvent:
        if event.kind != "resync":
            return event
        cursor = self._services.news.cursor_after(Seq(max(0, int(str(event.data["from"])) - 1)))
        return LiveEvent(event.kind, {**event.data, "cursor": cursor}, event.id)

    async def _present(self) -> list[LiveEvent]:
        events = []
        snapshot = await self._snapshot()
        if snapshot is not None:
            events.append(LiveEvent("trading", snapshot))
        with contextlib.suppress(Unavailable):
            events.append(LiveEvent("metrics", await self._metrics()))
            if (alerts := await self._alerts()) is not None:
                events.append(LiveEvent("alerts", alerts))
        return events

    async def _replay(self, last_seq: int, caller: Caller) -> AsyncIterator[LiveEvent]:
        horizon = await self._services.journal.horizon()
        if last_seq > horizon:
            # A position in another journal, or in what an older copy does not hold: nothing of it can be relied on.
            yield resync(1, horizon)
            return
        if horizon - last_seq > ROWS_REPLAYED_MAX:
            yield resync(last_seq + 1, horizon)
            return
        hidden = (await self._services.policies.book()).hidden_from(caller)
        after = Seq(last_seq)
        while after < horizon:
            page = await self._services.journal.changes(after, limit=PAGE_ROWS, hidden=hidden)
            for change in page:
                if is_visible(change, hidden, caller):
                    yield row_of(change)
            if len(page) < PAGE_ROWS:
                return
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

    async def _alerts(self) -> JsonObject | None:
        if self._services.alerts is None:
            return None
        return AlertList.of(await self._services.alerts.overview(with_past=False)).model_dump(mode="json")

    def _offer_gauge(self, kind: str, data: JsonObject) -> None:
        gauge = LiveEvent(kind, data)
        for follower in self._followers:
            follower.offer_gauge(gauge)

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

    async def _pump_alerts(self) -> None:
        alerts = self._services.alerts
        while alerts is not None:
            change = alerts.next_change()
            with anyio.move_on_after(ALERTS_INTERVAL_S):
                await change.wait()
            if self._followers:
                with contextlib.suppress(Unavailable):
                    self._offer_gauge("alerts", await self._alerts() or {})
                # What changes all the time is told as often as the other gauges.
                await anyio.sleep(GAUGE_INTERVAL_S)

    def _offer_rows(self, batch: Batch) -> None:
        if not self._followers:
            return
        rows = [(change, row_of(change)) for change in batch.changes]
        for follower in self._followers:
            hidden = batch.book.hidden_from(follower.caller)
            for change, row in rows:
                if is_visible(change, hidden, follower.caller):
                    follower.offer_row(row)


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
            for gauge in gauges.values():
                yield gauge
        if follower.closed or follower.rows or follower.lost_from is not None:
            continue
        follower.wake = anyio.Event()
        with anyio.move_on_after(max(0.0, patience_s) if follower.gauges else None):
            await follower.wake.wait()


def resync(first: int, last: int) -> LiveEvent:
    return LiveEvent("resync", {"from": first, "to": last}, id=last)


def row_of(change: Change) -> LiveEvent:
    """Return a change as the stream shows it: enough for a line, the rest is at its address."""
    if change.memory is not None:
        memory = change.memory
        written: JsonObject = {
            "seq": int(memory.seq),
            "id": memory.id,
            "kind": memory.kind,
            "namespace": memory.namespace,
            "agent": memory.provenance.agent,
            "content": _begun(memory.content),
            "ts": from_ns(memory.ts_event_ns).isoformat(),
            "trajectory_id": memory.trajectory_id,
        }
        return LiveEvent("memory", written, id=memory.seq)
    entry = change.audit
    assert entry is not None
    done: JsonObject = {
        "seq": int(entry.seq),
        "action": entry.action,
        "id": entry.memory_id,
        "kind": entry.kind,
        "namespace": entry.namespace,
        "agent": entry.agent,
        "reason": _begun(entry.reason),
        "ts": from_ns(entry.at_ns).isoformat(),
    }
    return LiveEvent("change", done, id=entry.seq)


def _begun(text: str) -> str:
    # Said to be cut: what ends within a figure would pass for another one.
    return text if len(text) <= CONTENT_CHARS_MAX else f"{text[: CONTENT_CHARS_MAX - 1]}\N{HORIZONTAL ELLIPSIS}"


def _trading(body: JsonObject) -> JsonObject:
    return TradingSnapshot.model_validate(body).model_dump(mode="json")
