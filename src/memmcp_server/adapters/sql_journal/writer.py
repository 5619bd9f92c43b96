"""One thread, one connection, group commit: what has queued up goes into one transaction and shares its fsync."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from memmcp_server.errors import (
    InvalidInput,
    JournalBusy,
    JournalUnavailable,
    MemoryServerError,
    StorageFull,
)

from .translate import translating

Job = Callable[[Connection], object]
Outcome = object
"""What a unit of work came to: its result, or the error that its caller gets."""

GATHER_S = 0.0005
"""How long a batch waits for the writers of the last one to come again; small beside the fsync that they then share."""

_CODE_ERRORS = (SQLAlchemyError, ValueError, TypeError, ArithmeticError, LookupError, AttributeError)
"""What a single bad command may raise inside of a transaction; it must harm its own caller only."""


@dataclass(slots=True)
class Work:
    """One unit: it is applied whole or not at all. ``payload`` is a list of prepared commands, or a job.

    ``is_bare``: the job runs alone and outside of any transaction, as what tends the files must (a checkpoint, VACUUM).
    """

    payload: Any
    rows: int
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    is_bare: bool = False


@dataclass(frozen=True, slots=True)
class WriterLimits:
    queue_len_max: int
    batch_rows_max: int


class Writer:
    """Owns the writing connection. ``apply`` turns a batch into rows and outcomes inside of its transaction.

    ``on_settled`` is called on the event loop with each outcome after its caller was told.
    """

    def __init__(
        self,
        engine: Engine,
        shown: str,
        limits: WriterLimits,
        apply: Callable[[Connection, Sequence[Work]], list[Outcome]],
        on_settled: Callable[[Outcome], None],
    ) -> None:
        self._engine = engine
        self._shown = shown
        self._limits = limits
        self._apply = apply
        self._on_settled = on_settled
        self.before: Callable[[], None] | None = None
        """Called in the thread before each transaction: what the journal needs before its first use."""
        self._connection: Connection | None = None
        self._changed = threading.Condition()
        self._queue: deque[Work] = deque()
        self._queued_rows = 0
        self._wake_at: int | None = None  # None: the thread is at work
        self._last_len = 1
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name="journal-writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def submit(self, payload: Any, rows: int, *, is_bare: bool = False) -> asyncio.Future[Any]:
        """Queue a unit of work; the future is resolved on this event loop after the commit.

        Raises: JournalBusy (the queue is full), JournalUnavailable (closed).
        """
        loop = asyncio.get_running_loop()
        work = Work(payload, rows, loop, loop.create_future(), is_bare)
        with self._changed:
            if self._is_closing:
                msg = f"the journal at {self._shown} is closed"
                raise JournalUnavailable(msg)
            if self._queue and self._queued_rows + rows > self._limits.queue_len_max:
                msg = f"{self._queued_rows} writes wait for the journal; at most {self._limits.queue_len_max} may"
                raise JournalBusy(msg, hint="repeat in a moment with the same idempotency key")
            self._queue.append(work)
            self._queued_rows += rows
            if self._wake_at is not None and len(self._queue) >= self._wake_at:
                self._changed.notify()
        return work.future

    @property
    def queued_rows(self) -> int:
        return self._queued_rows

    def close(self, timeout_s: float) -> bool:
        """Finish what is queued, then end; idempotent. Returns whether it ended in time. Blocks: call from a thread."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while batch := self._take():
                self._settle(batch)
        finally:
            self._abandon()
            if self._connection is not None:
                self._connection.close()

    def _take(self) -> list[Work]:
        """Wait for work; return what has queued up, at most ``batch_rows_max`` rows; empty at the end."""
        with self._changed:
            while not self._queue and not self._is_closing:
                self._wake_at = 1
                self._changed.wait()
            if len(self._queue) < self._last_len and not self._is_closing:
                # Whoever was answered together writes again within a moment; without this wait a batch of a few
                # would leave at once, and all others would sit out its fsync.
                self._wake_at = self._last_len
                self._changed.wait(GATHER_S)
            self._wake_at = None
            batch: list[Work] = []
            rows = 0
            while self._queue and (not batch or self._fits(batch[0], rows)):
                work = self._queue.popleft()
                rows += work.rows
                batch.append(work)
            self._queued_rows -= rows
            self._last_len = len(batch)
            return batch

    def _fits(self, first: Work, rows: int) -> bool:
        """Say whether the next unit may go with a batch of so many rows that begins with ``first``."""
        following = self._queue[0]
        return not (first.is_bare or following.is_bare) and rows + following.rows <= self._limits.batch_rows_max

    def _settle(self, batch: list[Work]) -> None:
        try:
            outcomes = self._outcomes(batch)
        except BaseException:
            # An error that nobody foresaw ends the thread; whoever is in the batch must not wait for ever.
            self._tell(batch, [self._stopped()] * len(batch))
            raise
        self._tell(batch, outcomes)

    def _outcomes(self, batch: list[Work]) -> list[Outcome]:
        """Commit the batch. When it fails as a whole its members are tried one by one."""
        try:
            return self._transact(batch)
        except (StorageFull, InvalidInput, *_CODE_ERRORS) as error:
            if len(batch) == 1:
                return [_own_error(error, self._shown)]
            return [outcome for work in batch for outcome in self._outcomes([work])]
        except MemoryServerError as error:
            return self._outcomes_again(batch, error)

    def _outcomes_again(self, batch: list[Work], first: MemoryServerError) -> list[Outcome]:
        """Try once more: a connection that a server closed while it was idle is replaced on the next use."""
        if isinstance(first, JournalBusy):
            return [first] * len(batch)
        try:
            return self._transact(batch)
        except MemoryServerError as error:
            return [error] * len(batch)

    def _transact(self, batch: list[Work]) -> list[Outcome]:
        if self.before is not None:
            self.before()
        with translating(self._shown):
            if self._connection is None:
                self._connection = self._engine.connect()
            if batch[0].is_bare:
                return [batch[0].payload(self._connection)]
            with self._connection.begin():
                return self._apply(self._connection, batch)

    def _tell(self, batch: Sequence[Work], outcomes: Sequence[Outcome]) -> None:
        """Resolve the futures, each on its own loop, one wake-up per loop."""
        by_loop: dict[asyncio.AbstractEventLoop, list[tuple[Work, Outcome]]] = {}
        for work, outcome in zip(batch, outcomes, strict=True):
            by_loop.setdefault(work.loop, []).append((work, outcome))
        for loop, pairs in by_loop.items():
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._resolve, pairs)

    def _resolve(self, pairs: Sequence[tuple[Work, Outcome]]) -> None:
        for work, outcome in pairs:
            if not work.future.done():  # its caller may have gone
                if isinstance(outcome, MemoryServerError):
                    work.future.set_exception(outcome)
                else:
                    work.future.set_result(outcome)
            self._on_settled(outcome)

    def _abandon(self) -> None:
        """Tell whoever still waits, should the thread end by an error nobody foresaw."""
        with self._changed:
            self._is_closing = True
            left = list(self._queue)
            self._queue.clear()
        self._tell(left, [self._stopped()] * len(left))

    def _stopped(self) -> JournalUnavailable:
        msg = f"the journal at {self._shown} has stopped"
        return JournalUnavailable(msg, hint="restart the daemon; its log says why")


def _own_error(error: Exception, shown: str) -> MemoryServerError:
    if isinstance(error, MemoryServerError):
        return error
    msg = f"the journal at {shown} could not store this: {type(error).__name__}: {error}"
    return InvalidInput(msg)
