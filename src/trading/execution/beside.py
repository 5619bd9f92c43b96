"""Blocking calls beside the loop: one at a time, waited for."""

from collections.abc import Callable
from typing import ParamSpec, Protocol, TypeVar

import anyio
import anyio.to_thread

P = ParamSpec("P")
T = TypeVar("T")


class Beside(Protocol):
    """Runs a blocking call and waits for it; calls run one at a time, in the order of asking."""

    async def __call__(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T: ...


class InThread:
    """Body of ``Beside``: a thread, so that a sync of the disk does not hold up other intents."""

    def __init__(self) -> None:
        self._one = anyio.CapacityLimiter(1)

    async def __call__(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await anyio.to_thread.run_sync(lambda: call(*args, **kwargs), limiter=self._one)
