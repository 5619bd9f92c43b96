"""A part that runs beside others: when it fails, it is reported and begun again, and the others go on."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

RESTART_S = 5.0
"""Pause before a failed part begins again: what fails at once must not spin."""

logger = logging.getLogger(__name__)

Part = Callable[[], Coroutine[Any, Any, None]]


@contextlib.asynccontextmanager
async def beside(name: str, run: Part, *, restart_s: float = RESTART_S) -> AsyncIterator[None]:
    """Run ``run`` for as long as the block does, then cancel it. Its failure is logged, never raised here."""
    keeper = asyncio.create_task(_keep(name, run, restart_s), name=f"keeper of {name}")
    try:
        yield
    finally:
        keeper.cancel()
        await asyncio.wait({keeper})


async def _keep(name: str, run: Part, restart_s: float) -> None:
    while True:
        part = asyncio.create_task(run(), name=name)
        try:
            await asyncio.wait({part})
        finally:
            part.cancel()
            await asyncio.wait({part})
        if part.cancelled() or (error := part.exception()) is None:
            return
        logger.critical("%s failed in a way nobody foresaw; again in %s s", name, restart_s, exc_info=error)
        await asyncio.sleep(restart_s)
