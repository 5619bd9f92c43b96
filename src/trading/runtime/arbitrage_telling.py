"""Tells memory of arbitrage: each trip that is over, each step of a transfer, and once an hour what was seen.

What memory does not take is told later; keys are made from the journal, so telling it twice changes nothing.
"""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import anyio
import anyio.to_thread

from trading.errors import Unavailable
from trading.model.units import NS_PER_S
from trading.ports import Clock, Memory

from .arbitrage_texts import Units, seen_record, transfer_record, trip_records

if TYPE_CHECKING:
    from .arbitraging import Journals

LOOK_EVERY_S: Final = 1.0
AT_ONCE: Final = 20
HOURS_BACK: Final = 24
_HOUR_NS: Final = 3_600 * NS_PER_S

logger = logging.getLogger(__name__)


class Teller:
    def __init__(self, journals: "Journals", memory: Memory, units: Callable[[], Units], clock: Clock) -> None:
        self._journals = journals
        self._memory = memory
        self._units = units
        self._clock = clock
        self._hour_ns = 0

    async def run(self) -> None:
        """Tell until cancelled. Raises: JournalUnavailable."""
        while True:
            try:
                while await self.tell():
                    pass
            except Unavailable as error:
                logger.info("arbitrage is told to memory later: %s", error)
            await anyio.sleep(LOOK_EVERY_S)

    async def tell(self) -> int:
        """Tell of the oldest that memory does not know; return how much. Raises: Unavailable."""
        trips, transfers = self._journals.trips, self._journals.transfers
        units = self._units()
        ended = await anyio.to_thread.run_sync(trips.untold, AT_ONCE)
        for row in ended:
            await self._memory.write(trip_records(row, units))
        if ended:
            await anyio.to_thread.run_sync(trips.told, [row.kept.plan.id for row in ended])
        moved = await anyio.to_thread.run_sync(transfers.untold, AT_ONCE)
        if moved:
            await self._memory.write([transfer_record(each, units) for each in moved])
            await anyio.to_thread.run_sync(transfers.told, moved)
        return len(ended) + len(moved) + await self._tell_hours(units)

    async def _tell_hours(self, units: Units) -> int:
        now_hour_ns = self._clock.now_ns() // _HOUR_NS * _HOUR_NS
        since_ns = self._hour_ns or now_hour_ns - HOURS_BACK * _HOUR_NS
        if since_ns >= now_hour_ns:
            return 0
        found = await anyio.to_thread.run_sync(self._journals.trips.tallies, since_ns, now_hour_ns - 1)
        hours = sorted({each.hour_ns for each in found})
        records = [seen_record(hour, [each for each in found if each.hour_ns == hour], units) for hour in hours]
        if records:
            await self._memory.write(records)
        self._hour_ns = now_hour_ns
        return len(records)
