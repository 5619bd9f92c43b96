"""A part that runs beside others: when it fails, it is reported and the others go on."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

logger = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def beside(name: str, run: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Run ``run`` for as long as the block does, then cancel it. Its failure is logged, never raised here."""
    task = asyncio.create_task(run(), name=name)
    task.add_done_callback(_report)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.critical("%s has stopped after a failure nobody foresaw", task.get_name(), exc_info=error)
