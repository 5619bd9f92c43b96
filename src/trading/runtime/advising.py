"""Asks the sidecar beside the loop and hands in what came back, as an input between two cycles.

Nothing waits for it: questions come from rows that are on disk, the queue is bounded and the newest question about a
token takes the place of the one before, and an answer is one more message at the desk's door. A sidecar that never
answers leaves the loop as it is without one.
"""

import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import anyio
import anyio.to_thread

from trading.adapters.canonical import parse_json
from trading.adapters.sql_journal import SqlJournal
from trading.config import SidecarSection
from trading.errors import JournalUnavailable
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
ROWS_MAX: Final = 64
"""So many rows may wait until it is worked out what they are asked about; the oldest make room."""
SCORES_LOOKED_AT: Final = 40
SCORES_CITED: Final = 3
ASKED_KEPT: Final = 4_096
RETRY_S: Final = 5.0
NOT_TOLD: Final = frozenset({"breaker_open", "budget", "disk"})
"""Nobody was asked: there is nothing to write down, and a desk without a sidecar would have no such row either."""

Key = tuple[str, str, str]
"""The kind of a question, the token and the strategy that it is about."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Waiting:
    request: AssessmentRequest
    asked_ns: int


class Advising:
    """One per run. ``seen`` follows what is published; ``run`` asks until it is cancelled.

    While a question is out nothing else is done here, so that a slow sidecar costs less than a quick one. The journal
    is read in a worker thread, and only when the sidecar is free.
    """

    def __init__(self, journal: SqlJournal, sidecar: Sidecar, mailbox: Mailbox, section: SidecarSection) -> None:
        self._journal = journal
        self._sidecar = sidecar
        self._mailbox = mailbox
        self._section = section
        self._seq = journal.horizon()
        """Rows of before this start are history: nobody asks about them any more."""
        self._rows: list[JournalRow] = []
        self._expanded_seq = 0
        self._published: Published | None = None
        self._wake = anyio.Event()
        self._waiting: OrderedDict[Key, Waiting] = OrderedDict()
        self._asked_ns: OrderedDict[Key, int] = OrderedDict()
        self.dropped = 0
        """Questions, and rows that would have brought some, that gave way to newer ones."""
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
            while True:
                await self._wake.wait()
                self._wake = anyio.Event()
                if self._published is None or self._sidecar.is_resting:
                    continue  # the next cycle looks again; rows of before it are old by then
                await self._look()
                while self._rows or self._waiting:
                    await self._expand(self._published)
                    if self._waiting:
                        await self._ask(*self._waiting.popitem())
                        if self._wake.is_set():
                            break  # what is newer comes first: an old question has an old answer
        except Exception:
            logger.exception("the sidecar is not asked any more; the desk goes on without it")
            self.has_failed = True

    async def _look(self) -> None:
        """Take in the rows since the last look, as they are: what they are asked about is worked out one by one."""
        try:
            rows = await anyio.to_thread.run_sync(lambda: self._journal.newest(ASKED_KINDS, limit=ROWS_MAX))
        except JournalUnavailable as error:
            logger.warning("the sidecar is asked later: %s", error)
            await anyio.sleep(RETRY_S)
            self._wake.set()
            return
        self._rows += [row for row in reversed(rows) if row.seq > self._seq]
        self.dropped += max(0, len(self._rows) - ROWS_MAX)
        del self._rows[:-ROWS_MAX]
        self._seq = max(self._seq, rows[0].seq if rows else 0)

    async def _expand(self, state: Published) -> None:
        """Make questions of the newest row, where it is newer than those that wait, or none wait."""
        if not self._rows or (self._waiting and self._rows[-1].seq < self._expanded_seq):
            return
        row = self._rows.pop()
        self._expanded_seq = max(self._expanded_seq, row.seq)
        for waiting in await anyio.to_thread.run_sync(self._questions, row, state):
            self._queue(waiting)

    def _questions(self, row: JournalRow, state: Published) -> list[Waiting]:
        """Return what a row gives reason to ask."""
        scene = Scene(state.run_id, state.snapshot, state.instruments, state.rugs, self._scores)
        try:
            return [Waiting(request, row.ts_ns) for request in questions_of(row, scene)]
        except ValueError as error:  # a figure that no question may hold: the market can bring any
            logger.warning("row %d makes no sound question: %s", row.seq, error)
            return []

    def _scores(self, mint: str) -> Sequence[events.ForecastScored]:
        """Return the newest scored forecasts of a token."""
        found: list[events.ForecastScored] = []
        for row in self._journal.newest((SCORED,), limit=SCORES_LOOKED_AT):
            if mint.encode() in row.body and len(found) < SCORES_CITED:
                event = decode(row.kind, parse_json(row.body))
                assert isinstance(event, events.ForecastScored)
                found += [event] if event.score.mint == mint else []
        return found

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

    async def _ask(self, key: Key, waiting: Waiting) -> None:
        self._asked_ns.pop(key, None)
        self._asked_ns[key] = waiting.asked_ns
        if len(self._asked_ns) > ASKED_KEPT:
            self._asked_ns.popitem(last=False)
        self._hand_in(await self._sidecar.ask(waiting.request, waiting.asked_ns))

    def _hand_in(self, exchange: Exchange) -> None:
        """Leave it at the desk's door: it is taken in right before the next cycle, whose commit makes it durable, so
        that advice costs the loop no commit of its own. What the desk cannot record is lost: it is not asked again."""
        self.last = exchange
        if exchange.outcome in NOT_TOLD:
            return

        def run(session: Session) -> None:
            session.advised(exchange)
            self.handed_in += 1

        self._mailbox.leave(run)

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
