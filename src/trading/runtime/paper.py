"""The paper loop: a source of cycles and a mailbox of commands drive one kernel, in one worker thread at a time.

What the kernel decided is committed before anybody sees it. When the desk's own disk fails, the kernel is thrown
away and made again from what was committed, and the same cycles are taken once more: what could not be recorded did
not happen.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import anyio
import anyio.to_thread

from trading.errors import JournalUnavailable, TradingError, Unavailable

from .mailbox import Ask, Mailbox
from .session import Session
from .sources import Cycle, Source

RETRY_BASE_S = 0.25
RETRY_CAP_S = 15.0

logger = logging.getLogger(__name__)


class Audience(Protocol):
    """Whoever is told what the loop did. ``show`` runs in the loop's thread, ``published`` in the event loop."""

    def show(self, session: Session, *, is_last: bool) -> None:
        """Take down what the outside may see; called before the commit, so that it can be recorded with it."""

    def published(self) -> None:
        """Let the outside see it; called after the commit."""

    def troubled(self, error: TradingError) -> None:
        """The desk cannot go on (for now, where the error is retryable)."""


@dataclass(frozen=True, slots=True)
class _Work:
    asks: tuple[Ask[Any], ...]
    cycles: tuple[Cycle, ...]
    has_ended: bool


class _Fault(Exception):
    """Answering raised what no answer may raise; it is the cause of this."""

    def __init__(self, ask: Ask[Any]) -> None:
        super().__init__("a question could not be answered")
        self.ask = ask


class PaperLoop:
    """Runs one session to the end of its feed, and answers questions for as long as it is left running."""

    def __init__(
        self, make_session: Callable[[], Session], source: Source, mailbox: Mailbox, audience: Audience
    ) -> None:
        self._make_session = make_session
        self._source = source
        self._mailbox = mailbox
        self._audience = audience
        self._wake = anyio.Event()
        self._batch: list[Cycle] | None = None
        self._has_ended = False
        self._room = anyio.Event()
        self.on_worked: Callable[[int, float, float], None] = lambda _cycles, _decided_s, _committed_s: None
        """Hears, in the loop's thread, how many cycles were taken, and how long deciding and committing took."""

    def wake(self) -> None:
        self._wake.set()

    async def run(self, session: Session) -> None:
        """Run until cancelled. An error that is no fault of the disk stops the desk and is shown, never hidden."""
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._feed, session.cycles)
                await self._loop(session)
        except* Exception as errors:
            logger.exception("the trading loop stopped", extra=_where(session))
            first = _first(errors)
            stopped = Unavailable(f"the desk stopped: {first}", hint="see the log; restart the daemon")
            self._mailbox.close(stopped)
            self._audience.troubled(first if isinstance(first, TradingError) else stopped)
            self._audience.published()

    async def _feed(self, cycles: int) -> None:
        self._source.seek(cycles)
        while True:
            batch = await self._source.next()
            self._room = anyio.Event()
            self._batch = batch or []
            self._has_ended = batch is None
            self._wake.set()
            if batch is None:
                return
            await self._room.wait()

    async def _loop(self, session: Session) -> None:
        ended = False
        while True:
            await self._wake.wait()
            self._wake = anyio.Event()
            work = _Work(tuple(self._mailbox.drain()), tuple(self._batch or ()), self._has_ended and not ended)
            ended = ended or self._has_ended
            self._batch = None
            self._room.set()
            if work.asks or work.cycles or work.has_ended:
                session = await self._done(session, work)

    async def _done(self, session: Session, work: _Work) -> Session:
        failures = 0
        asks = work.asks
        while True:
            try:
                if failures:
                    session = await anyio.to_thread.run_sync(self._make_session)
                await anyio.to_thread.run_sync(self._work, session, asks, work)
            except _Fault as fault:
                # Made again, the session never heard of it; the others are asked once more.
                logger.exception("the desk could not answer; what it began is not recorded", extra=_where(session))
                fault.ask.fail(TradingError("the desk could not answer this, nothing was done; its log says why"))
                fault.ask.settle()
                asks = tuple(ask for ask in asks if ask is not fault.ask)
                session.discard()
                failures += 1
                continue
            except JournalUnavailable as error:
                failures += 1
                logger.error("the desk cannot record, so it does not act: %s", error, extra=_where(session))
                for ask in asks:  # not recorded, so not done; the asker may repeat with the same key
                    ask.fail(error)
                    ask.settle()
                asks = ()
                session.discard()
                self._audience.troubled(error)
                await anyio.sleep(min(RETRY_CAP_S, RETRY_BASE_S * 2.0 ** min(failures, 30)))
                continue
            self._audience.published()
            for ask in asks:
                ask.settle()
            return session

    def _work(self, session: Session, asks: tuple[Ask[Any], ...], work: _Work) -> None:
        for ask in asks:
            try:
                ask.execute(session)
            except Unavailable:
                raise
            except Exception as error:
                raise _Fault(ask) from error
        began_s, before = time.perf_counter(), session.cycles
        for cycle in work.cycles:
            if cycle.number > session.cycles:
                session.take(cycle)
        decided_s = time.perf_counter() - began_s
        if work.has_ended:
            session.end()
        self._audience.show(session, is_last=work.has_ended)
        began_s = time.perf_counter()
        session.commit()
        self.on_worked(session.cycles - before, decided_s, time.perf_counter() - began_s)


def _where(session: Session) -> dict[str, str | int]:
    """Return what a record of the log says of where the loop was."""
    return {"run": session.run_id, "cycle": session.cycles}


def _first(errors: BaseExceptionGroup[Exception]) -> Exception:
    found: BaseException = errors
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    assert isinstance(found, Exception)
    return found
