"""One look at everything that has figures, for a scrape: within a bound, and with a figure for what does not answer.

Counters are read as they stand. What has to be asked for (queues, index, desk) is asked at most once in
``metrics.fresh_s``, all parts at a time and each under a limit, so that neither a stuck part nor an eager scraper slows
the daemon.
"""

import asyncio
import shutil
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol, runtime_checkable

import memmcp_server
from memmcp_server.domain.identifiers import JsonObject
from memmcp_server.domain.meters import Family, Reading
from memmcp_server.errors import MemoryServerError

from . import meters
from .alerting.alerts import Alerts
from .container import Services

UP, DOWN = 1, 0
INDEX_STATES: Final = ("starting", "ready", "degraded", "down")
RELAY_STATES: Final = ("idle", "delivering", "backing_off")
FILES: Final[Mapping[str, str]] = {
    "journal": "journal.db",
    "journal_log": "journal.db-wal",
    "trading_journal": "trading/journal.db",
    "trading_journal_log": "trading/journal.db-wal",
    "execution_journal": "trading/execution.db",
    "arbitrage_journal": "trading/arbitrage.db",
    "arbitrage_real_journal": "trading/arbitrage-real.db",
    "evm_journal": "trading/evm.db",
    "spans": "spans.db",
    "write_spool": "spool.db",
    "log": "logs/daemon.log",
}
"""The files that grow, by the word they are counted under."""

BUILD: Final = Family("memmcp_build_info", "gauge", "1, with the version of the daemon.", ("version",))
PART_UP: Final = Family(
    "memmcp_part_up",
    "gauge",
    "Whether a part answered this scrape: journal, outbox, index, trading and spans (not there where they are off).",
    ("part",),
)
LAG: Final = Family(
    "memmcp_event_loop_lag_seconds", "gauge", "By how much timers of the event loop were late, worst of five seconds."
)
CLIENTS: Final = Family("memmcp_clients", "gauge", "Agents that are connected.")
SEQ: Final = Family("memmcp_journal_seq", "gauge", "The newest committed entry of the memory journal.")
FILE_SIZE: Final = Family("memmcp_file_size_bytes", "gauge", "Size of a file that grows.", ("file",))
DISK_FREE: Final = Family("memmcp_disk_free_bytes", "gauge", "What the data directory's disk has left.")
PENDING: Final = Family("memmcp_outbox_pending", "gauge", "Entries that wait to be carried to a sink.", ("sink",))
OLDEST: Final = Family(
    "memmcp_outbox_oldest_age_seconds", "gauge", "Age of the oldest entry that waits, 0 where none does.", ("sink",)
)
DEAD: Final = Family("memmcp_outbox_dead", "gauge", "Entries that were given up and wait for an operator.", ("sink",))
DELIVERED: Final = Family("memmcp_outbox_delivered_total", "counter", "Entries carried, over all starts.", ("sink",))
FAILED: Final = Family("memmcp_outbox_failed_attempts_total", "counter", "Attempts of an entry that failed.", ("sink",))
OUTAGES: Final = Family(
    "memmcp_outbox_outage_rounds", "gauge", "Rounds in a row in which nothing got through to the sink.", ("sink",)
)
RELAY: Final = Family("memmcp_outbox_relay_state", "gauge", "1 for the state that the relay is in.", ("sink", "state"))
SPANS: Final = Family("memmcp_spans_waiting", "gauge", "Spans of calls that wait for a receiver.", ("receiver",))
SPANS_OLDEST: Final = Family(
    "memmcp_spans_oldest_age_seconds", "gauge", "Age of the oldest span that waits, 0 where none does.", ("receiver",)
)
SPANS_LOST: Final = Family(
    "memmcp_spans_lost_total",
    "counter",
    "Spans of calls that never arrive: dropped for want of room, or refused by the receiver.",
    ("receiver", "reason"),
)
BEATS: Final = Family("memmcp_heartbeats_total", "counter", "Signs of life that the dead man's switch has taken.")
BEATS_FAILED: Final = Family(
    "memmcp_heartbeat_failed_rounds", "gauge", "Signs of life in a row that could not be sent."
)
INDEX: Final = Family("memmcp_index_state", "gauge", "1 for the state that the search index is in.", ("state",))
POINTS: Final = Family("memmcp_index_points", "gauge", "Versions of memories that the index holds.")
FIRING: Final = Family(
    "memmcp_alerts_firing",
    "gauge",
    "Alerts that fire now, acknowledged or not, but not those that are silenced; 0 for a rule that is quiet.",
    ("rule", "severity"),
)
SCRAPE_SECONDS: Final = Family(
    "memmcp_scrape_duration_seconds", "gauge", "How long the parts took to answer when they were asked last."
)


@runtime_checkable
class Spooling(Protocol):
    """Who keeps spans until they are taken (``adapters.tracing.call_spans.CallSpans``). Raises: Unavailable."""

    async def waiting(self) -> Mapping[str, Any]: ...


class Scrape:
    """One per daemon; it is bounded as ``services.meters.section`` says."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._asking = asyncio.Lock()
        self._asked: list[Reading] = []
        self._asked_at_s: float | None = None

    async def readings(self) -> list[Reading]:
        """Return everything as it is now. Never raises: a part that fails is down, and its figures are not there."""
        async with self._asking:
            now_s, fresh_s = self._services.clock.monotonic_s(), self._services.meters.section.fresh_s
            if self._asked_at_s is None or now_s - self._asked_at_s >= fresh_s:
                self._asked = await self._ask()
                self._asked_at_s = self._services.clock.monotonic_s()
            return [*self._present(), *self._asked]

    def _present(self) -> Iterator[Reading]:
        services = self._services
        yield Reading(BUILD, (memmcp_server.__version__,), 1)
        yield Reading(LAG, (), services.health.loop_lag_s())
        yield Reading(CLIENTS, (), services.clients.count)
        yield from services.meters.readings()
        if services.alerts is not None:
            yield from _firing(services.alerts, services.clock.now_ns())
        if services.heartbeat is not None:
            yield Reading(BEATS, (), services.heartbeat.beats.sent)
            yield Reading(BEATS_FAILED, (), services.heartbeat.beats.failures)
        for sink, stats in services.relay.stats().items():
            yield Reading(FAILED, (sink,), stats.failed)
            yield Reading(OUTAGES, (sink,), stats.outages)
            for state in RELAY_STATES:
                yield Reading(RELAY, (sink, state), state == stats.state)

    async def _ask(self) -> list[Reading]:
        began_s = time.perf_counter()
        parts: list[tuple[str, Callable[[], Awaitable[list[Reading]]]]] = [
            ("journal", self._journal),
            ("outbox", self._outbox),
            ("index", self._index),
        ]
        if self._services.desk is not None:
            parts.append(("trading", self._trading))
        spool: object = self._services.calls
        if isinstance(spool, Spooling):
            parts.append(("spans", partial(self._spans, spool)))
        told = await asyncio.gather(*(self._answer(ask) for _, ask in parts), self._answer(self._files))
        found: list[Reading] = []
        for (part, _), readings in zip(parts, told, strict=False):
            found.append(Reading(PART_UP, (part,), DOWN if readings is None or _says_down(readings) else UP))
        for readings in told:
            found += readings or []
        return [*found, Reading(SCRAPE_SECONDS, (), time.perf_counter() - began_s)]

    async def _answer(self, ask: Callable[[], Awaitable[list[Reading]]]) -> list[Reading] | None:
        """Return what a part says, None where it says nothing in time."""
        try:
            async with asyncio.timeout(self._services.meters.section.part_timeout_s):
                return await ask()
        except (TimeoutError, MemoryServerError, OSError):
            return None

    async def _journal(self) -> list[Reading]:
        journal = self._services.journal
        return [Reading(SEQ, (), await journal.horizon())]

    async def _outbox(self) -> list[Reading]:
        now_ns = self._services.clock.now_ns()
        found: list[Reading] = []
        for sink, stats in (await self._services.health.queues.read()).stats.items():
            age_s = 0.0 if stats.oldest_ns is None else max(0.0, (now_ns - stats.oldest_ns) / 1e9)
            found += [
                Reading(PENDING, (sink,), stats.pending),
                Reading(OLDEST, (sink,), age_s),
                Reading(DEAD, (sink,), stats.dead),
                Reading(DELIVERED, (sink,), stats.delivered),
            ]
        return found

    async def _spans(self, spool: "Spooling") -> list[Reading]:
        now_ns = self._services.clock.now_ns()
        found: list[Reading] = []
        for receiver, each in (await spool.waiting()).items():
            age_s = 0.0 if each.oldest_ns is None else max(0.0, (now_ns - each.oldest_ns) / 1e9)
            found += [
                Reading(SPANS, (receiver,), each.spans),
                Reading(SPANS_OLDEST, (receiver,), age_s),
                Reading(SPANS_LOST, (receiver, "dropped"), each.dropped),
                Reading(SPANS_LOST, (receiver, "refused"), each.refused),
            ]
        return found

    async def _index(self) -> list[Reading]:
        status = await self._services.health.index_status()
        states = [Reading(INDEX, (state,), state == status.state) for state in INDEX_STATES]
        return [*states, Reading(POINTS, (), status.points)]

    async def _trading(self) -> list[Reading]:
        desk = self._services.desk
        assert desk is not None
        return list(readings_of(await desk.metrics()))

    async def _files(self) -> list[Reading]:
        data_dir = self._services.meters.data_dir
        return [] if data_dir is None else await asyncio.to_thread(_sizes, data_dir)


def families() -> tuple[Family, ...]:
    """Return every family of the server's own, in the order of the documentation. The desk tells its own."""
    counted = [each for each in vars(meters).values() if isinstance(each, Family)]
    return (*(each for each in globals().values() if isinstance(each, Family)), *counted)


def readings_of(document: JsonObject) -> Iterator[Reading]:
    """Yield the readings of a desk's document (``ports.TradingDesk.metrics``)."""
    told: Any = document["families"]
    for each in told:
        family = Family(each["name"], each["kind"], each["help"], tuple(each["labels"]), tuple(each.get("bounds", ())))
        for series in each["series"]:
            yield Reading(family, tuple(series["labels"]), series["value"], tuple(series.get("counts", ())))


def _firing(alerts: Alerts, now_ns: int) -> Iterator[Reading]:
    loud = [alert for alert in alerts.current() if alert.is_active and not alert.is_silenced_at(now_ns)]
    counts = Counter((alert.rule, alert.severity.value) for alert in loud)
    busy = {rule for rule, _ in counts}
    quiet = {(rule.name, rule.severity.value): 0 for rule in alerts.rules if rule.name not in busy}
    for labels, count in {**quiet, **counts}.items():
        yield Reading(FIRING, labels, count)


def _says_down(readings: list[Reading]) -> bool:
    return any(each.family is INDEX and each.labels == ("down",) and each.value for each in readings)


def _sizes(data_dir: Path) -> list[Reading]:
    found = [Reading(DISK_FREE, (), shutil.disk_usage(data_dir).free)]
    for name, place in FILES.items():
        path = data_dir / place
        if path.is_file():
            found.append(Reading(FILE_SIZE, (name,), path.stat().st_size))
    return found
