"""A bound on the wait for a commit, at the price of one timer for all who wait."""

import asyncio
from collections import deque
from collections.abc import Callable


class Deadlines:
    """Fails futures that are not done in time. Used from one event loop; each future waits equally long."""

    def __init__(self, timeout_s: float, problem: Callable[[], Exception]) -> None:
        self._timeout_s = timeout_s
        self._problem = problem
        self._waiting: deque[tuple[float, asyncio.Future[object]]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, future: asyncio.Future[object]) -> None:
        """Give the future an exception when it is not done ``timeout_s`` from now."""
        waiting = self._waiting
        while waiting and waiting[0][1].done():
            waiting.popleft()
        loop = future.get_loop()
        waiting.append((loop.time() + self._timeout_s, future))
        if self._timer is None:
            self._timer = loop.call_at(waiting[0][0], self._sweep, loop)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        now_s = loop.time()
        while self._waiting and (self._waiting[0][1].done() or self._waiting[0][0] <= now_s):
            _, future = self._waiting.popleft()
            if not future.done():
                future.set_exception(self._problem())
        if self._waiting:
            self._timer = loop.call_at(self._waiting[0][0], self._sweep, loop)
