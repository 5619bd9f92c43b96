"""A word now and then from a call that takes long, for clients that asked for it (a progress token).

Most calls answer in milliseconds and say nothing. What may take seconds: an order that waits for its fill or for the
user, a search while the index loads its model, forgetting many memories with the proof that they are gone.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from mcp.server.mcpserver import Context

FIRST_S: Final = 0.5
EVERY_S: Final = 1.0

logger = logging.getLogger(__name__)


@asynccontextmanager
async def reporting(context: Context[Any, Any], under_way: str) -> AsyncIterator[None]:
    """Tell the client once in a while that the block still runs; ``progress`` is the seconds that it has taken so far.

    There is no total: nobody knows how long a market or a person takes. Nothing is sent after the block, and a client
    that does not listen ends no call.
    """
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    tasks: set[asyncio.Task[None]] = set()

    async def report() -> None:
        while True:
            took_s = round(loop.time() - began_s, 1)
            await context.report_progress(took_s, None, f"{under_way} ({took_s:.0f} s)")
            await asyncio.sleep(EVERY_S)

    # A timer, not a task: nearly every call is over before it rings.
    timer = loop.call_later(FIRST_S, lambda: tasks.add(loop.create_task(report(), name="progress")))
    try:
        yield
    finally:
        timer.cancel()
        for task in tasks:
            task.cancel()
            await asyncio.wait({task})
            if not task.cancelled() and (error := task.exception()) is not None:
                logger.info("progress was not delivered: %s", error)
