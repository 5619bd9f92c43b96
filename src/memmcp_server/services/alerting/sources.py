"""Where readings come from: queues, index, disk, clock, event loop. The desk's are in ``desk_readings``."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

from memmcp_server.domain.alert import Reading, labels_of
from memmcp_server.domain.identifiers import JsonObject
from memmcp_server.domain.times import NS_PER_S
from memmcp_server.ports import Clock
from memmcp_server.services.health import Health
from memmcp_server.services.index_keeper import IndexKeeper
from memmcp_server.services.queues import Queues
from memmcp_server.services.relay import Relay

from .hour_count import HourCount

LABEL_CHARS_MAX: Final = 80
TREND_S: Final = 6 * 3_600.0
TREND_EVERY_S: Final = 60.0
TREND_S_MIN: Final = 1_800.0
SPOOL_EVERY_S: Final = 5.0
JUMP_KEPT_S: Final = 60.0
NS_A_DAY_S: Final = 86_400.0


class Source(Protocol):
    """Gives readings when asked. ``names``: all readings that it knows; what it does not give of those is not there."""

    @property
    def name(self) -> str: ...

    @property
    def names(self) -> frozenset[str]: ...

    async def read(self) -> Sequence[Reading]:
        """Raises: MemoryServerError where nothing can be read now."""


@dataclass(frozen=True, slots=True)
class DiskUse:
    free_bytes: int
    total_bytes: int


def reading(name: str, value: float | None, note: str = "", trajectory_id: str = "", **labels: str) -> Reading:
    """Return a reading; labels are cut to a bounded length."""
    cut = {key: text[:LABEL_CHARS_MAX] for key, text in labels.items()}
    return Reading(name, value, labels_of(cut), note, trajectory_id)


class QueueReadings:
    """The outbox of the memory journal, a queue for each sink, and the spool's way to the journal.

    A long queue that is worked off, as after a large import, is not stuck: what counts is how long an entry has waited
    while nothing was delivered at all.
    """

    name = "outbox"
    names = frozenset({"queue_oldest_s", "queue_dead"})

    def __init__(self, queues: Queues, relay: Relay, clock: Clock) -> None:
        self._queues = queues
        self._relay = relay
        self._clock = clock
        self._delivered: dict[str, tuple[int, float]] = {}
        """How many each sink had been given, and since when it is so many."""

    async def read(self) -> list[Reading]:
        found: list[Reading] = []
        figures = await self._queues.read()
        relays = {**self._relay.stats(), **figures.relays}
        now_ns, now_s = self._clock.now_ns(), self._clock.monotonic_s()
        for sink, stats in figures.stats.items():
            oldest_s = 0.0 if stats.oldest_ns is None else max(0.0, (now_ns - stats.oldest_ns) / NS_PER_S)
            if self._delivered.get(sink, (-1, 0.0))[0] != stats.delivered:
                self._delivered[sink] = (stats.delivered, now_s)
            oldest_s = min(oldest_s, now_s - self._delivered[sink][1])
            told = relays.get(sink)
            note = f"{stats.pending} wait." + (f" It said: {told.last_error}" if told and told.last_error else "")
            found.append(reading("queue_oldest_s", oldest_s, note, queue=sink))
            found.append(reading("queue_dead", stats.dead, note, queue=sink))
        return found


class IndexReadings:
    """The vector index: how it is, and what the last comparison with the journal found that nobody sees to."""

    name = "index"
    names = frozenset({"index_degraded", "index_drift"})

    def __init__(self, health: Health, keeper: IndexKeeper) -> None:
        self._health = health
        self._keeper = keeper

    async def read(self) -> list[Reading]:
        document: JsonObject = await self._health.index_document()
        state = str(document["state"])
        told = f"The index is {state}. {document['detail']}"
        found = [reading("index_degraded", float(state in ("down", "degraded")), told)]
        report = self._keeper.report
        if report is not None:
            left = max(0, report.total - report.repaired)
            kinds = ", ".join(f"{count} {kind}" for kind, count in report.found.items() if count)
            found.append(reading("index_drift", left, f"Of {report.checked} memories: {kinds or 'none'}."))
        return found


class DiskReadings:
    """Free space, and how long it lasts at the pace of the last hours."""

    name = "disk"
    names = frozenset({"disk_free_bytes", "disk_days_left"})

    def __init__(self, use: Callable[[], DiskUse], clock: Clock) -> None:
        self._use = use
        self._clock = clock
        self._trend: deque[tuple[float, int]] = deque(maxlen=int(TREND_S / TREND_EVERY_S) + 1)

    async def read(self) -> list[Reading]:
        use, now_s = self._use(), self._clock.monotonic_s()
        if not self._trend or now_s - self._trend[-1][0] >= TREND_EVERY_S:
            self._trend.append((now_s, use.free_bytes))
        found = [reading("disk_free_bytes", use.free_bytes)]
        began_s, began_bytes = self._trend[0]
        if now_s - began_s >= TREND_S_MIN:
            a_day = (began_bytes - use.free_bytes) / (now_s - began_s) * NS_A_DAY_S
            # What does not shrink lasts for ever; a year is as good as that.
            days = min(365.0, use.free_bytes / a_day) if a_day > 0 else 365.0
            found.append(reading("disk_days_left", days))
        return found


class ClockReadings:
    """Jumps of the wall clock against the monotonic one, and the lag of the event loop."""

    name = "clock"
    names = frozenset({"clock_jump_s", "loop_lag_ms"})

    def __init__(self, clock: Clock, lag_ms: Callable[[], float]) -> None:
        self._clock = clock
        self._lag_ms = lag_ms
        self._offset_s: float | None = None
        self._jump_s = 0.0
        self._jumped_at_s = 0.0

    async def read(self) -> list[Reading]:
        now_s = self._clock.monotonic_s()
        offset_s = self._clock.now_ns() / NS_PER_S - now_s
        jump_s = 0.0 if self._offset_s is None else abs(offset_s - self._offset_s)
        self._offset_s = offset_s
        if now_s - self._jumped_at_s >= JUMP_KEPT_S:
            self._jump_s = 0.0
        if jump_s > self._jump_s:
            self._jump_s, self._jumped_at_s = jump_s, now_s
        return [reading("clock_jump_s", self._jump_s), reading("loop_lag_ms", self._lag_ms())]


class Dropped(Protocol):
    @property
    def dropped(self) -> int: ...


@runtime_checkable
class Spooling(Protocol):
    """Whoever spools spans for receivers. Raises: Unavailable."""

    async def waiting(self) -> Mapping[str, Dropped]: ...


class SpoolReadings:
    """Spans that were dropped for want of room, by receiver. The count outlives the daemon, so its growth is read."""

    name = "telemetry"
    names = frozenset({"telemetry_dropped"})

    def __init__(self, spool: Spooling, clock: Clock, *, every_s: float = SPOOL_EVERY_S) -> None:
        self._spool = spool
        self._clock = clock
        self._every_s = every_s
        self._counts: dict[str, HourCount] = {}
        self._found: list[Reading] = []
        self._due_s = clock.monotonic_s()

    async def read(self) -> list[Reading]:
        now_s = self._clock.monotonic_s()
        if now_s >= self._due_s:
            self._due_s = now_s + self._every_s
            self._found = [
                reading(
                    "telemetry_dropped",
                    self._counts.setdefault(name, HourCount()).grown(each.dropped, now_s),
                    receiver=name,
                )
                for name, each in (await self._spool.waiting()).items()
            ]
        return self._found


class GivenReadings:
    """Readings that another part of the daemon gives by a plain call."""

    def __init__(self, name: str, names: frozenset[str], give: Callable[[], Sequence[Reading]]) -> None:
        self._name = name
        self._names = names
        self._give = give

    @property
    def name(self) -> str:
        return self._name

    @property
    def names(self) -> frozenset[str]:
        return self._names

    async def read(self) -> Sequence[Reading]:
        return self._give()
