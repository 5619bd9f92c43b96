"""The bounded door to the kernel's thread: questions and commands from outside, asked between two cycles."""

from collections import deque
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

import anyio

from trading.errors import InvalidInput, TradingError, Unavailable

from .session import Session

T = TypeVar("T")

LEFT_MAX: Final = 32
"""So much may be left for the next cycle; of more the newest stays."""


class Ask(Generic[T]):
    """One question: ``run`` is called in the kernel's thread, its answer waits until the commit."""

    def __init__(self, run: Callable[[Session], T]) -> None:
        self._run = run
        self._settled = anyio.Event()
        self._result: list[T] = []
        self._error: TradingError | None = None
        self._is_abandoned = False

    def execute(self, session: Session) -> None:
        """Run it, unless nobody waits for it any more.

        What the desk refuses on purpose is for the asker to see. Whatever else it raises is the loop's trouble: the
        session may be half changed then and must not be committed.
        """
        if self._is_abandoned:
            return
        self._error = None
        try:
            self._result = [self._run(session)]
        except InvalidInput as error:
            self._error = error

    def abandon(self) -> None:
        """Nobody waits any more: an ask that has not begun will not; one that has is done all the same."""
        self._is_abandoned = True

    def fail(self, error: TradingError) -> None:
        """Whatever it did was not recorded: say so instead of answering."""
        self._error = error

    def settle(self) -> None:
        """Let the asker go on; called in the event loop, after the commit."""
        self._settled.set()

    async def answer(self) -> T:
        await self._settled.wait()
        if self._error is not None:
            raise self._error
        return self._result[0]


class Mailbox:
    """Bounded: when ``len_max`` questions wait, the next one is refused, never queued without end."""

    def __init__(self, len_max: int, timeout_s: float, on_ask: Callable[[], None]) -> None:
        self._waiting: deque[Ask[Any]] = deque()
        self._left: deque[Ask[Any]] = deque(maxlen=LEFT_MAX)
        self._len_max = len_max
        self._timeout_s = timeout_s
        self._on_ask = on_ask
        self._closed: TradingError | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    async def ask(self, run: Callable[[Session], T]) -> T:
        """Run the question between two cycles and return its answer, after the commit that it led to.

        Raises: what ``run`` raises; Unavailable when the desk is busy, stopped or too slow.
        """
        if self._closed is not None:
            raise self._closed
        if len(self._waiting) >= self._len_max:
            msg = f"the desk is busy: {self._len_max} requests wait"
            raise Unavailable(msg, hint="repeat in a moment with the same key")
        question = Ask(run)
        self._waiting.append(question)
        self._on_ask()
        try:
            with anyio.fail_after(self._timeout_s):
                return await question.answer()
        except TimeoutError as error:
            msg = f"the desk did not answer within {self._timeout_s} s"
            raise Unavailable(msg, hint="repeat with the same key: it is done at most once") from error
        finally:
            question.abandon()

    def leave(self, run: Callable[[Session], None]) -> None:
        """Leave something to be run right before the next cycle or question, whichever comes first. Nobody waits for
        it, nothing is woken and no room of questions is taken; what the desk cannot record then is lost."""
        if self._closed is None:
            self._left.append(Ask(run))

    def drain(self) -> list[Ask[Any]]:
        """Take what waits, oldest first, what was left before it."""
        found = [*self._left, *self._waiting]
        self._left.clear()
        self._waiting.clear()
        return found

    def close(self, error: TradingError) -> None:
        """Refuse what waits and whatever comes later."""
        self._closed = error
        for question in self.drain():
            question.fail(error)
            question.settle()
