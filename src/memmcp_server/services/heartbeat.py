"""The dead man's switch: beats go out only while the daemon is truly well, so that their end is the alarm.

A dead daemon cannot raise an alarm, and neither can one whose event loop hangs. So nothing here tells that something is
wrong as surely as saying nothing does: a beat is sent after the journal has taken a write and the desk has gone on.
"""

import logging
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import anyio

from memmcp_server.config import HeartbeatSection
from memmcp_server.domain.identifiers import JsonObject, Seq
from memmcp_server.domain.times import NS_PER_S, from_ns
from memmcp_server.errors import MemoryServerError, Unavailable
from memmcp_server.ports import Clock, Journal, TradingDesk
from memmcp_server.ports.heartbeat import Beat, DeadMansSwitch

CURSOR: Final = "heartbeat"
PART_TIMEOUT_S: Final = 5.0
CYCLE_INTERVALS_MAX: Final = 3
"""So many bar intervals may pass without a cycle, as with the age of the feed."""
NOTE_CHARS_MAX: Final = 300

logger = logging.getLogger(__name__)


class Vitals:
    """Says whether the daemon does what it is there for. ``desk`` None: trading is off, and not looked at."""

    def __init__(
        self,
        journal: Journal,
        desk: TradingDesk | None,
        clock: Clock,
        *,
        cycle_s_max: float,
        part_timeout_s: float = PART_TIMEOUT_S,
    ) -> None:
        self._journal = journal
        self._desk = desk
        self._clock = clock
        self._cycle_s_max = cycle_s_max
        self._part_timeout_s = part_timeout_s
        self._cycle: object = None
        self._went_on_at_s: float | None = None

    async def problem(self) -> str:
        """Return what is wrong, "" where all is well. Never raises, and never takes long."""
        return await self._journal_problem() or await self._desk_problem()

    async def _journal_problem(self) -> str:
        try:
            with anyio.fail_after(self._part_timeout_s):
                # A higher number each time, so that there is something to write.
                await self._journal.save_cursor(CURSOR, Seq(self._clock.now_ns() // NS_PER_S))
        except TimeoutError:
            return f"the journal takes no write within {self._part_timeout_s:g} s"
        except MemoryServerError as error:
            return f"the journal takes no write: {error.message}"
        return ""

    async def _desk_problem(self) -> str:
        if self._desk is None:
            return ""
        try:
            with anyio.fail_after(self._part_timeout_s):
                snapshot = await self._desk.snapshot()
        except TimeoutError:
            return f"the desk gives no answer within {self._part_timeout_s:g} s"
        except MemoryServerError as error:
            return f"the desk is away: {error.message}"
        return self._stuck(snapshot) or _stale(snapshot)

    def _stuck(self, snapshot: JsonObject) -> str:
        """Return that no cycle has ended for too long: a desk can stand still while its feed goes on."""
        now_s, cycle = self._clock.monotonic_s(), (snapshot.get("run_id"), snapshot.get("cycle"))
        if self._went_on_at_s is None or cycle != self._cycle:
            self._cycle, self._went_on_at_s = cycle, now_s
            return ""
        most_s = max(self._cycle_s_max, CYCLE_INTERVALS_MAX * _interval_s(snapshot))
        stood_s = now_s - self._went_on_at_s
        return f"the desk has ended no cycle for {stood_s:.0f} s" if stood_s > most_s else ""


def _stale(snapshot: JsonObject) -> str:
    feed = snapshot.get("feed")
    if not isinstance(feed, dict) or not feed.get("stale"):
        return ""
    age_s = feed.get("age_s")
    return "the feed has said nothing yet" if age_s is None else f"the feed is stale: nothing new for {age_s} s"


def _interval_s(snapshot: JsonObject) -> float:
    """Return how long one bar is: the desk says when it looks again."""
    try:
        at, then = (datetime.fromisoformat(str(snapshot[name])) for name in ("ts", "next_evaluation"))
        return max(0.0, (then - at).total_seconds())
    except (KeyError, ValueError, TypeError):
        return 0.0


@dataclass(frozen=True, slots=True)
class Beats:
    """What became of them, a reading for alerts. ``failures`` counts beats in a row that could not be sent, ``problem``
    is why none is sent, "" while all is well."""

    sent: int = 0
    failures: int = 0
    last_sent_ns: int | None = None
    last_error: str = ""
    problem: str = ""

    def document(self) -> JsonObject:
        last = None if self.last_sent_ns is None else from_ns(self.last_sent_ns).isoformat()
        return {
            "sent": self.sent,
            "failures": self.failures,
            "last_sent": last,
            "last_error": self.last_error,
            "problem": self.problem,
        }


class Heartbeat:
    """Sends a beat every ``interval_s``; run it beside everything else. ``beats`` is what became of them."""

    def __init__(self, switch: DeadMansSwitch, vitals: Vitals, clock: Clock, section: HeartbeatSection) -> None:
        self._switch = switch
        self._vitals = vitals
        self._clock = clock
        self._section = section
        self._failed_note = ""
        self._well_at_s: float | None = None
        self.beats = Beats()

    async def run(self) -> None:
        """Beat until cancelled."""
        await self._tell("start", "")
        while True:
            began_s = self._clock.monotonic_s()
            await self.beat()
            await anyio.sleep(max(0.0, self._section.interval_s - (self._clock.monotonic_s() - began_s)))

    async def beat(self) -> None:
        """Look, then send a beat, or fall silent; what stays wrong is told once. A start is no alarm."""
        problem = (await self._vitals.problem())[:NOTE_CHARS_MAX]
        if problem and not self.beats.problem:
            logger.warning("no heartbeat is sent: %s", problem)
        elif self.beats.problem and not problem:
            logger.info("heartbeats are sent again")
        self.beats = replace(self.beats, problem=problem)
        now_s = self._clock.monotonic_s()
        if not problem or self._well_at_s is None:
            self._well_at_s = now_s
        if not problem:
            self._failed_note = ""
            await self._tell("alive", "")
        elif self._failed_note or now_s - self._well_at_s < self._section.fail_after_s:
            return
        elif await self._tell("fail", problem):
            self._failed_note = problem

    async def _tell(self, beat: Beat, note: str) -> bool:
        """Send, again after failures, all within the interval. Returns whether it came through."""
        section = self._section
        for attempt in range(section.attempts_max):
            if attempt:
                await anyio.sleep(min(section.backoff_base_s * 2.0 ** (attempt - 1), section.interval_s))
            try:
                await self._switch.tell(beat, note)
            except Unavailable as error:
                self.beats = replace(self.beats, last_error=error.message)
                continue
            if beat == "alive":
                now_ns = self._clock.now_ns()
                self.beats = replace(self.beats, sent=self.beats.sent + 1, failures=0, last_sent_ns=now_ns)
            return True
        self.beats = replace(self.beats, failures=self.beats.failures + 1)
        if self.beats.failures == 1:
            logger.warning("a heartbeat could not be sent: %s", self.beats.last_error)
        return False
