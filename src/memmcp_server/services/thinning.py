"""Thin the snapshots of desks as they grow old: every one, then a few a minute, then a few an hour; a background part.

Each snapshot is a whole document, and one a second is a gigabyte in a few days. Which stay is ``dispensable``'s to say.
What a snapshot is too old for is told by when it was recorded, not by the desk's own time, which may be any. The
machine's clock is believed only as far as it has run evenly since this daemon began: one that jumps ahead must not make
everything old at once, since what is thinned does not come back.
"""

import contextlib
from dataclasses import dataclass
from typing import Final

import anyio

from memmcp_server.config import HistorySection
from memmcp_server.domain.identifiers import Seq
from memmcp_server.domain.telemetry import dispensable
from memmcp_server.domain.times import NS_PER_DAY, NS_PER_S
from memmcp_server.errors import Unavailable
from memmcp_server.ports import Clock, Journal

PAGE_LEN: Final = 200
ROUND_PAGES_MAX: Final = 20
ROUND_S: Final = 300.0
NEXT_ROUND_S: Final = 1.0
"""Pause after a round that had to leave something for the next one."""

REST_S: Final = 0.02
"""Pause between two pages, so that other writers come first."""


@dataclass(frozen=True, slots=True)
class Tier:
    """Snapshots older than ``days`` are thinned to a few in each ``bucket_ns`` of their desk's time."""

    cursor: str
    days: float
    bucket_ns: int


class Thinning:
    """``round`` does a bounded piece of work; ``run`` repeats it until cancelled."""

    def __init__(self, journal: Journal, clock: Clock, section: HistorySection) -> None:
        self._journal = journal
        self._clock = clock
        self._tiers = (
            Tier("snapshots/minutes", section.every_days, 60 * NS_PER_S),
            Tier("snapshots/hours", section.minutes_days, 3_600 * NS_PER_S),
        )
        self._began_ns, self._began_s = clock.now_ns(), clock.monotonic_s()

    async def run(self) -> None:
        while True:
            is_done = True
            with contextlib.suppress(Unavailable):  # somebody reads for long: a later round does it
                await self._journal.keep_parts()
            with contextlib.suppress(Unavailable):  # the journal is busy or going down: the next round does it
                is_done = await self.round()
            await anyio.sleep(ROUND_S if is_done else NEXT_ROUND_S)

    async def round(self) -> bool:
        """Thin what is due, as far as a round goes; return whether everything was looked at.

        Raises: JournalBusy, JournalUnavailable, StorageFull.
        """
        is_done = True
        for tier in self._tiers:
            for _ in range(ROUND_PAGES_MAX):
                if not await self._page(tier):
                    break
                await anyio.sleep(REST_S)
            else:
                is_done = False
        return is_done

    async def _page(self, tier: Tier) -> bool:
        """Thin one page; return whether there was any."""
        after = await self._journal.cursor(tier.cursor) or Seq(0)
        before_ns = self._now_ns() - int(tier.days * NS_PER_DAY)
        found = await self._journal.old_snapshots(
            after, recorded_before_ns=before_ns, bucket_ns=tier.bucket_ns, limit=PAGE_LEN
        )
        if found.reached is None:
            return False
        dropped = dispensable(found.rows, tier.bucket_ns)
        await self._journal.drop_snapshots(dropped, cursor=tier.cursor, reached=found.reached)
        return True

    def _now_ns(self) -> int:
        evenly_ns = self._began_ns + int((self._clock.monotonic_s() - self._began_s) * NS_PER_S)
        return min(self._clock.now_ns(), evenly_ns)
