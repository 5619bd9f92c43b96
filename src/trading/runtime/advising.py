"""Asks the sidecar beside the loop and hands in what came back, as an input between two cycles.

Nothing waits for it: questions come from rows that are on disk, the queue is bounded and the newest question about a
token takes the place of the one before, and an answer is one more message at the desk's door. A sidecar that never
answers leaves the loop as it is without one.
"""

import logging
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import anyio
import anyio.to_thread

from trading.adapters.canonical import parse_json
from trading.adapters.sql_journal import SqlJournal
from trading.config import SidecarSection
from trading.errors import JournalUnavailable, TradingError
from trading.model import events
from trading.model.advice import Exchange
from trading.model.event_codec import decode
from trading.model.units import NS_PER_S
from trading.ports import JournalRow
from trading.sidecar.assessment import AssessmentRequest

from .advice_texts import exchange_document
from .mailbox import Mailbox
from .questions import ASKED_KINDS, Scene, questions_of
from .session import Session
from .sidecar import Sidecar
from .stage import Published

SCORED: Final = "forecast_scored"
ROWS_MAX: Final = 500
"""Of more rows at once only the newest are looked at."""
SCORES_KEPT: Final = 200
ASKED_KEPT: Final = 4_096
RETRY_S: Final = 5.0
NOT_TOLD: Final = frozenset({"breaker_open", "budget", "disk"})
"""Nobody was asked: there is nothing to write down, and a desk without a sidecar would have no such row either."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Waiting:
    request: AssessmentRequest
    asked_ns: int


class Advising:
    """One per run. ``seen`` follows what is published; ``run`` asks until it is cancelled."""

    def __init__(self, journal: SqlJournal, sidecar: Sidecar, mailbox: Mailbox, section: SidecarSection) -> None:
        self._journal = journal
        self._sidecar = sidecar
        self._mailbox = mailbox
        self._section = section
        self._seq = journal.horizon()
        """Rows of before this start are history: nobody asks about them any more."""
        self._published: Published | None = None
        self._wake = anyio.Event()
        self._bell = anyio.Event()
        self._waiting: OrderedDict[tuple[str, str, str], Waiting] = OrderedDict()
        self._asked_ns: OrderedDict[tuple[str, str, str], int] = OrderedDict()
        self._scores: dict[str, tuple[events.ForecastScored, ...]] = {}
        self.dropped = 0
        """Questions that gave way to newer ones."""
        self.handed_in = 0
        self.last: Exchange | None = None
        self.has_failed = False
        """Whether asking ended by a mistake of ours; a restart begins it again."""

    def seen(self, state: Published) -> None:
        """Hear that the desk committed something."""
        self._published = state
        self._wake.set()

    async def run(self) -> None:
        """Look for questions and ask them, one after the other. Whatever goes wrong here ends here: the desk goes on
        without a sidecar, and says so."""
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._look)
                tasks.start_soon(self._ask)
        except* Exception:
            logger.exception("the sidecar is not asked any more; the desk goes on without it")
            self.has_failed = True

    async def _look(self) -> None:
        while True:
            await self._wake.wait()
            state, self._wake = self._published, anyio.Event()
            if state is None:
                continue
            try:
                rows = await anyio.to_thread.run_sync(self._rows)
            except JournalUnavailable as error:
                logger.warning("the sidecar is asked later: %s", error)
                await anyio.sleep(RETRY_S)
                self._wake.set()
                continue
            self._take(rows, state)

    def _rows(self) -> list[JournalRow]:
        found: list[JournalRow] = []
        for row in self._journal.rows(after=self._seq, kinds=(*ASKED_KINDS, SCORED)):
            found.append(row)
            if len(found) > 2 * ROWS_MAX:
                del found[:ROWS_MAX]
        if found:
            self._seq = found[-1].seq
        return found[-ROWS_MAX:]

    def _take(self, rows: list[JournalRow], state: Published) -> None:
        for row in rows:
            if row.kind == SCORED:
                self._note_score(row)
        scene = Scene(state.run_id, state.snapshot, state.instruments, state.rugs, self._scores)
        for row in rows:
            if row.kind == SCORED:
                continue
            for request in questions_of(row, scene):
                self._queue(Waiting(request, row.ts_ns))

    def _note_score(self, row: JournalRow) -> None:
        event = decode(row.kind, parse_json(row.body))
        assert isinstance(event, events.ForecastScored)
        mint = event.score.mint
        self._scores[mint] = (*self._scores.pop(mint, ())[-2:], event)
        if len(self._scores) > SCORES_KEPT:
            del self._scores[next(iter(self._scores))]

    def _queue(self, waiting: Waiting) -> None:
        """Put a question before the sidecar, the newest about a matter, unless it was asked a short time ago."""
        request = waiting.request
        key = (request.kind, request.mint, request.strategy)
        before_ns = self._asked_ns.get(key)
        if before_ns is not None and waiting.asked_ns - before_ns < self._section.again_s * NS_PER_S:
            return
        self.dropped += self._waiting.pop(key, None) is not None
        self._waiting[key] = waiting
        if len(self._waiting) > self._section.questions_max:
            self._waiting.popitem(last=False)
            self.dropped += 1
        self._bell.set()

    async def _ask(self) -> None:
        while True:
            if not self._waiting:
                self._bell = anyio.Event()
                await self._bell.wait()
                continue
            key, waiting = self._waiting.popitem()  # the newest first: an old question has an old answer
            self._asked_ns.pop(key, None)
            self._asked_ns[key] = waiting.asked_ns
            if len(self._asked_ns) > ASKED_KEPT:
                self._asked_ns.popitem(last=False)
            await self._hand_in(await self._sidecar.ask(waiting.request, waiting.asked_ns))

    async def _hand_in(self, exchange: Exchange) -> None:
        """Tell the desk, between two cycles. What it cannot take now is lost: advice is not worth a second try."""
        self.last = exchange
        if exchange.outcome in NOT_TOLD:
            return

        def run(session: Session) -> None:
            session.advised(exchange)

        try:
            await self._mailbox.ask(run)
            self.handed_in += 1
        except TradingError as error:
            logger.warning("advice %s is lost: %s", exchange.id, error)

    def status(self) -> Mapping[str, Any]:
        """Return how asking goes, for the snapshot."""
        return {
            **self._sidecar.status(),
            "has_failed": self.has_failed,
            "waiting": len(self._waiting),
            "dropped": self.dropped,
            "handed_in": self.handed_in,
            "last": None if self.last is None else exchange_document(self.last),
        }
