"""The bounded door to the kernel's thread: questions and commands from outside, asked between two cycles."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from trading.errors import TradingError, Unavailable

from .session import Session

T = TypeVar("T")


class Ask(Generic[T]):
    """One question: ``run`` is called in the kernel's thread, its answer waits in the future."""

    def __init__(self, run: Callable[[Session], T]) -> None:
        self._run = run
        self._answered = anyio.Event()
        self._value: T | None = None
        self._error: TradingError | None = None

    def execute(self, session: Session) -> None:
        """Run it; what the desk refuses on purpose is the asker's to see, everything else is the loop's."""
        try:
            self._value = self._run(session)
        except TradingError as error:
            self._error = error

    def fail(self, error: TradingError) -> None:
        self._error = error
        self._value = None

    def settle(self) -> None:
        """Let the asker go on; called in the event loop, after the commit."""
        self._answered.set()

    async def answer(self) -> T:
        await self._answered.wait()
        if self._error is not None:
            raise self._error
        return self._value  # type: ignore[return-value]


class Mailbox:
    """Bounded: when ``len_max`` questions wait, the next one is refused, never queued without end."""

    def __init__(self, len_max: int, timeout_s: float) -> None:
        self._send: MemoryObjectSendStream[Ask[Any]]
        self._receive: MemoryObjectReceiveStream[Ask[Any]]
        self._send, self._receive = anyio.create_memory_object_stream[Ask[Any]](len_max)
        self._timeout_s = timeout_s
        self._closed: TradingError | None = None

    async def ask(self, run: Callable[[Session], T]) -> T:
        """Run the question between two cycles and return its answer, after the commit that it led to.

        Raises: what ``run`` raises; Unavailable when the desk is busy, stopped or too slow.
        """
        if self._closed is not None:
            raise self._closed
        question = Ask(run)
        try:
            self._send.send_nowait(question)
        except anyio.WouldBlock as error:
            msg = "the desk is busy"
            raise Unavailable(msg, hint="repeat in a moment with the same key") from error
        try:
            with anyio.fail_after(self._timeout_s):
                return await question.answer()
        except TimeoutError as error:
            msg = f"the desk did not answer within {self._timeout_s} s"
            raise Unavailable(msg, hint="repeat with the same key: it is done at most once") from error

    async def wait(self) -> Ask[Any]:
        return await self._receive.receive()

    def drain(self) -> list[Ask[Any]]:
        """Return what waits, oldest first."""
        found: list[Ask[Any]] = []
        while True:
            try:
                found.append(self._receive.receive_nowait())
            except (anyio.WouldBlock, anyio.EndOfStream):
                return found

    def close(self, error: TradingError) -> None:
        """Refuse what waits and whatever comes later."""
        self._closed = error
        for question in self.drain():
            question.fail(error)
            question.settle()
        self._send.close()
        self._receive.close()
