"""Folds new marks into minutes and hours, and old bars into hours and days, beside the loop and in small pieces."""

import logging
from typing import Final

import anyio
import anyio.to_thread

from trading.adapters.bar_thinning import BarThinning
from trading.adapters.mark_buckets import STEP_ROWS_MAX, MarkBuckets
from trading.errors import JournalUnavailable

LOOK_S: Final = 5.0
"""Marks that wait for so long are read one by one by whoever asks."""

REST_S: Final = 0.05
"""Pause between two pieces of a long backlog: the loop and other readers come first."""

TROUBLE_S: Final = 30.0

THINNING_S: Final = 60.0
"""Before the first look for bars that became old, so that a start waits for none, and between two of them."""

logger = logging.getLogger(__name__)


async def keep_folding(buckets: MarkBuckets) -> None:
    """Fold until cancelled; a disk in trouble is tried again."""
    while True:
        try:
            folded = await anyio.to_thread.run_sync(buckets.fold)
        except JournalUnavailable as error:
            logger.warning("marks wait to be folded: %s", error)
            await anyio.sleep(TROUBLE_S)
            continue
        await anyio.sleep(REST_S if folded == STEP_ROWS_MAX else LOOK_S)


async def keep_thinning(bars: BarThinning) -> None:
    """Thin until cancelled; a disk in trouble is tried again."""
    while True:
        await anyio.sleep(THINNING_S)
        work = bars.round()
        try:
            while True:
                if await anyio.to_thread.run_sync(next, work, None) is None:
                    break
                await anyio.sleep(REST_S)
        except JournalUnavailable as error:
            logger.warning("old bars wait to be thinned: %s", error)
            await anyio.sleep(TROUBLE_S)
