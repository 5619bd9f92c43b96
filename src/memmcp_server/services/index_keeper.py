"""Keeps the index in order without anybody asking: refills what was lost, repairs what differs, changes its model.

At the start and then daily the whole is compared with the journal. An operator may ask for the same at any time.
"""

import logging

import anyio

from memmcp_server.domain.drift import DriftReport
from memmcp_server.domain.outbox import SINK_QDRANT
from memmcp_server.errors import InvalidInput, Unavailable
from memmcp_server.ports import Clock, Journal, VectorIndex

from .index_health import IndexHealth, describe
from .migration import Migration, Progress

POLL_S = 5.0
FIRST_CHECK_S = 20.0
"""After the start: agents that have just connected are served first."""
CHECK_EVERY_S = 24 * 3_600.0
RECHECK_S = 300.0
"""After a round that reached its bound, or one that could not be finished."""

_log = logging.getLogger(__name__)


class IndexKeeper:
    def __init__(
        self,
        journal: Journal,
        index: VectorIndex,
        health: IndexHealth,
        migration: Migration,
        clock: Clock,
        *,
        poll_s: float = POLL_S,
        first_check_s: float = FIRST_CHECK_S,
    ) -> None:
        self._journal = journal
        self._index = index
        self._health = health
        self._clock = clock
        self._poll_s = poll_s
        self._checking = anyio.Lock()
        self._check_due_s = clock.monotonic_s() + first_check_s
        self._asked = anyio.Event()
        self.migration = migration
        self.report: DriftReport | None = None
        """Of the last comparison, None before the first."""
        self.compared: tuple[int, int] | None = None
        """How far the comparison that is under way has come: memories done, memories in all."""

    @property
    def progress(self) -> Progress | None:
        return self.migration.progress

    async def run(self) -> None:
        """Keep the index in order until cancelled."""
        while True:
            goes_on = False
            try:
                goes_on = await self._round()
            except Unavailable as problem:
                _log.info("the index is looked after again in %g s: %s", self._poll_s, problem.message)
            except InvalidInput as problem:
                _log.error("the index cannot be looked after: %s", problem.message)
            if not goes_on:
                with anyio.move_on_after(self._poll_s):
                    await self._asked.wait()
                self._asked = anyio.Event()

    async def check(self, *, repair: bool) -> DriftReport:
        """Compare journal and index now, and mend what differs if asked to.

        Raises: IndexUnavailable, JournalBusy, JournalUnavailable.
        """
        async with self._checking:
            try:
                self.report = await self._health.check(repair=repair, advance=self._advance)
            finally:
                self.compared = None
        return self.report

    async def rebuild(self) -> None:
        """Make the index anew from the journal, beside the present one. Raises: IndexUnavailable."""
        await self.migration.begin()
        self._asked.set()

    def _advance(self, done: int, total: int) -> None:
        self.compared = (done, total)

    async def _round(self) -> bool:
        status = await self._index.status()
        if status.state not in {"ready", "degraded"}:
            return False
        if await self._health.is_lost():
            count = await self._journal.outbox_refill(SINK_QDRANT)
            _log.warning("the index has lost what it held: %d versions go there again", count)
            return False
        if status.unvectored and (count := await self._health.revector()):
            _log.info("%d memories get the vector that they lacked", count)
        if await self.migration.step():
            return True
        now_s = self._clock.monotonic_s()
        if now_s >= self._check_due_s:
            self._check_due_s = now_s + RECHECK_S
            # While another generation is wanted and not searched (refused, or given up), the present one is left as it
            # is: writing the newer recipe of texts into it would be the very change that was refused.
            report = await self.check(repair=not status.wants)
            if report.is_complete:
                self._check_due_s = now_s + CHECK_EVERY_S
            if report.repaired:
                _log.warning("the index is repaired: %d memories (%s)", report.repaired, describe(report))
        return False
