"""Blocking calls beside the loop: one at a time, waited for."""

from collections.abc import Callable
from typing import ParamSpec, Protocol, TypeVar

import anyio
import anyio.to_thread

from trading.errors import JournalUnavailable

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


class InBoundedThread:
    """Body of ``Beside`` for what lies behind a network: a call that takes longer than ``answer_s`` is given up.

    Whether it did anything is not known then: it may even do so later. Raises: JournalUnavailable.
    """

    def __init__(self, answer_s: float) -> None:
        self._one = anyio.CapacityLimiter(1)
        self._answer_s = answer_s

    async def __call__(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            with anyio.fail_after(self._answer_s):
                return await anyio.to_thread.run_sync(
                    lambda: call(*args, **kwargs), limiter=self._one, abandon_on_cancel=True
                )
        except TimeoutError as error:
            msg = f"the journal did not answer within {self._answer_s} s"
            raise JournalUnavailable(msg) from error
