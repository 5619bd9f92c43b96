"""Outbox to sinks: one loop a sink, woken by commits, patient with an outage, strict with what can't be delivered.

Three ways for a delivery to fail, told apart by what happens to the entry's neighbours:

- Nothing gets through: an outage. It counts against no entry, so however long it lasts nothing good becomes dead; the
  loop tries again after a back-off that grows to the cap.
- The sink names the batch invalid: it is split until the one entry stands alone, and that is dead at once.
- An entry fails while others pass (it crashes the sink, or hits what nobody foresaw): a failed attempt of that entry
  alone. It comes again after its own back-off, and is dead after ``attempts_max``.

Dead entries wait in the journal for an operator (``memmcp outbox``).
"""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import anyio

from memmcp_server.config import RelaySection
from memmcp_server.domain.outbox import SINK_QDRANT, OutboxEntry, RelayStats, RetryPolicy
from memmcp_server.errors import InvalidInput, MemoryServerError, ReceiverUnavailable, Unavailable
from memmcp_server.ports import Clock, Journal, RemoteSink, Sink

from .turns import Turns

OUTAGES_BEFORE_PROBE = 3
PROBES_MAX = 8
ERROR_CHARS_MAX = 500
RETRY_AFTER_S_MAX = 600.0
"""A receiver that asks to be left alone for longer is asked again after this all the same."""

PART_SHARE = 5
"""Between the parts of a batch that was refused, or its entries one by one, a fifth of the pause: there are many, and
each is a request."""

_NS_PER_S = 1_000_000_000

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Failure:
    """``is_final``: the entry can never be delivered."""

    entry: OutboxEntry
    error: str
    is_final: bool


class _Outage(Exception):
    """Nothing gets through to the sink. ``retry_after_s``: how long it asked to be left alone."""

    def __init__(self, problem: Exception) -> None:
        super().__init__(_told(problem))
        asked = problem.retry_after_s if isinstance(problem, ReceiverUnavailable) else None
        self.retry_after_s = asked or 0.0


class Relay:
    """Provides delivery of every entry, at least once and in the journal's order as far as retries allow.

    ``own`` are the sinks that each daemon has for itself; of those that several share one daemon at a time delivers.
    """

    def __init__(
        self,
        journal: Journal,
        sinks: Sequence[Sink],
        clock: Clock,
        section: RelaySection,
        own: Collection[str] = (SINK_QDRANT,),
    ) -> None:
        self._journal = journal
        self._turns = Turns(journal)
        self._own = own
        policy = RetryPolicy(section.attempts_max, section.backoff_base_s, section.backoff_cap_s)
        self._loops = {sink.name: _Loop(journal, sink, clock, section, policy) for sink in sinks}

    async def run(self) -> None:
        """Relay until cancelled."""
        async with anyio.create_task_group() as tasks:
            for name, loop in self._loops.items():
                tasks.start_soon(loop.run if name in self._own else self._turns.alone(f"sink:{name}", loop.run))

    def stats(self) -> dict[str, RelayStats]:
        return {name: loop.stats for name, loop in self._loops.items()}

    def wake(self, sink: str | None = None) -> None:
        """Try at once, also in the middle of a back-off (after an operator's retry, a refill, a repaired sink)."""
        for name, loop in self._loops.items():
            if sink is None or name == sink:
                loop.wake()

    async def drain(self, timeout_s: float) -> bool:
        """Wait until nothing live is pending for any of the sinks; False when the time was over first.

        Needs ``run`` to be running.
        """
        with anyio.move_on_after(timeout_s):
            while True:
                rounds = [(loop, loop.finished) for loop in self._loops.values()]
                stats = await self._journal.outbox_stats()
                waiting = [
                    finished for loop, finished in rounds if (row := stats.get(loop.name)) is not None and row.pending
                ]
                if not waiting:
                    return True
                await waiting[0].wait()
        return False


class _Loop:
    def __init__(self, journal: Journal, sink: Sink, clock: Clock, section: RelaySection, policy: RetryPolicy) -> None:
        self._journal = journal
        self._sink = sink
        self._clock = clock
        self._section = section
        self._policy = policy
        self._batch_len_max = sink.batch_len_max if isinstance(sink, RemoteSink) else section.batch_len_max
        self._linger_s = section.linger_s if isinstance(sink, RemoteSink) else 0.0
        self._woken = anyio.Event()
        self.finished = anyio.Event()
        self.stats = RelayStats()

    @property
    def name(self) -> str:
        return self._sink.name

    def wake(self) -> None:
        self._woken.set()

    async def run(self) -> None:
        while True:
            try:
                await self._round()
            except _Outage as problem:
                await self._back_off(str(problem), problem.retry_after_s)
            except Unavailable as problem:
                await self._back_off(str(problem))
            except Exception as problem:  # noqa: BLE001 - relay loop: whatever it is, the next round must come
                _log.exception("relay %s", self.name)
                await self._back_off(repr(problem))
            self._end_round()

    async def _round(self) -> None:
        """Deliver what is due, or wait for something to be."""
        horizon = await self._journal.horizon()
        now_ns = self._clock.now_ns()
        due = await self._journal.outbox_due(self.name, now_ns=now_ns, limit=self._batch_len_max)
        if not due:
            self.stats = replace(self.stats, state="idle", outages=0, retry_in_s=0.0)
            await self._journal.wait_for_commit(horizon, self._section.poll_s)
            return
        self.stats = replace(self.stats, state="delivering", retry_in_s=0.0)
        failures = await self._deliver(due)
        failed = {failure.entry.id for failure in failures}
        passed = [entry.id for entry in due if entry.id not in failed]
        if passed:
            await self._journal.outbox_delivered(passed)
        for failure in failures:
            await self._book(failure)
        self.stats = replace(self.stats, outages=0, delivered=self.stats.delivered + len(passed))
        if not failures:
            self.stats = replace(self.stats, last_error="")
        if len(due) < self._batch_len_max:
            self._end_round()
            await self._linger(self._linger_s)

    async def _linger(self, pause_s: float) -> None:
        """Let entries gather, so that there are fewer requests; an operator who wakes the loop waits for nothing."""
        if not pause_s:
            return
        with anyio.move_on_after(pause_s):
            await self._woken.wait()
            self._woken = anyio.Event()

    async def _deliver(self, due: Sequence[OutboxEntry]) -> list[_Failure]:
        """Return the entries that failed on their own account. Raises: _Outage."""
        problem = await self._attempt(due)
        if problem is None:
            return []
        if isinstance(problem, InvalidInput):
            return await self._split(due, problem.message)
        # A receiver that is gone, or asks to be left alone, is not asked again entry by entry.
        is_closed = isinstance(problem, ReceiverUnavailable) and problem.is_closed
        if is_closed or self.stats.outages < OUTAGES_BEFORE_PROBE:
            raise _Outage(problem) from problem
        return await self._probe(due, problem)

    async def _attempt(self, entries: Sequence[OutboxEntry]) -> Exception | None:
        """Return what went wrong, None when the entries are delivered."""
        try:
            await self._sink.deliver(entries)
        except (InvalidInput, Unavailable) as problem:
            return problem
        except Exception as problem:  # noqa: BLE001 - relay loop: a sink's mistake must not stop the other entries
            _log.exception("relay %s: delivering %d entries", self.name, len(entries))
            return problem
        return None

    async def _split(self, batch: Sequence[OutboxEntry], error: str) -> list[_Failure]:
        """Find the invalid entries by halves; the others are delivered on the way. Raises: _Outage."""
        if len(batch) == 1:
            return [_Failure(batch[0], error, is_final=True)]
        failures: list[_Failure] = []
        middle = len(batch) // 2
        for half in (batch[:middle], batch[middle:]):
            await self._linger(self._linger_s / PART_SHARE)
            problem = await self._attempt(half)
            if isinstance(problem, InvalidInput):
                failures.extend(await self._split(half, problem.message))
            elif problem is not None:
                raise _Outage(problem) from problem
        return failures

    async def _probe(self, due: Sequence[OutboxEntry], outage: Exception) -> list[_Failure]:
        """Tell an entry that brings the sink down from a sink that is down: try them one by one.

        Raises: _Outage when none of the first ``PROBES_MAX`` passes; nothing is counted then.
        """
        failures: list[_Failure] = []
        passed = 0
        for entry in due:
            if not passed and len(failures) >= PROBES_MAX:
                break
            await self._linger(self._linger_s / PART_SHARE)
            problem = await self._attempt([entry])
            if problem is None:
                passed += 1
            else:
                failures.append(_Failure(entry, _told(problem), is_final=isinstance(problem, InvalidInput)))
        if not passed:
            raise _Outage(outage) from outage
        return failures

    async def _book(self, failure: _Failure) -> None:
        attempts = failure.entry.attempts + 1
        dead = failure.is_final or self._policy.is_exhausted(attempts)
        retry_at_ns = None
        if not dead:
            retry_at_ns = self._clock.now_ns() + round(self._policy.delay_s(attempts) * _NS_PER_S)
        error = failure.error[:ERROR_CHARS_MAX]
        await self._journal.outbox_failed([failure.entry.id], error=error, retry_at_ns=retry_at_ns)
        stats = self.stats
        self.stats = replace(stats, failed=stats.failed + 1, dead=stats.dead + dead, last_error=error)
        if dead:
            _log.warning("relay %s: memory %s is dead: %s", self.name, failure.entry.memory_id, error)

    async def _back_off(self, error: str, asked_s: float = 0.0) -> None:
        outages = self.stats.outages + 1
        delay_s = max(self._policy.delay_s(outages), min(asked_s, RETRY_AFTER_S_MAX))
        self.stats = replace(
            self.stats,
            state="backing_off",
            outages=outages,
            retry_in_s=delay_s,
            last_error=error[:ERROR_CHARS_MAX],
        )
        self._end_round()
        with anyio.move_on_after(delay_s):
            await self._woken.wait()
        self._woken = anyio.Event()

    def _end_round(self) -> None:
        finished, self.finished = self.finished, anyio.Event()
        finished.set()


def _told(problem: Exception) -> str:
    return problem.message if isinstance(problem, MemoryServerError) else repr(problem)
