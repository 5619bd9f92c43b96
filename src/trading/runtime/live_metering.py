"""The figures of real money: steps of transactions and how long they took, from the execution journal's own record."""

import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

import anyio
import anyio.to_thread

from trading.errors import JournalUnavailable
from trading.model.intent import IntentEvent
from trading.model.meters import Spreads, Tally
from trading.model.units import NS_PER_S

from . import families as told
from .documents import Document

FOLLOW_S: Final = 1.0
EVENTS_AT_ONCE: Final = 1_000
ENDS: Final = frozenset({"settled", "reverted", "failed", "cancelled"})
UNDER_WAY_MAX: Final = 4_096
"""Intents whose times are kept; what is older and never ended gives its place up."""

logger = logging.getLogger(__name__)


class Recorded(Protocol):
    """The execution journal as far as figures are read from it."""

    def events(self, after: int = 0, limit: int = EVENTS_AT_ONCE) -> Sequence[IntentEvent]: ...

    def newest_event(self) -> int: ...

    def unfinished(self) -> Sequence[Any]: ...

    def halted(self) -> Mapping[str, str]: ...


class LiveMeters:
    """``is_armed`` and ``is_reconciled`` tell how the signer and the books stand."""

    def __init__(self, journal: Recorded, is_armed: Callable[[], bool], is_reconciled: Callable[[], bool]) -> None:
        self._journal = journal
        self._is_armed = is_armed
        self._is_reconciled = is_reconciled
        self._seq: int | None = None
        self._unfinished = 0
        self._halted = 0
        self._steps = Tally(told.INTENTS)
        self._sending = Spreads(told.SENDING)
        self._landing = Spreads(told.LANDING)
        self._opened_ns: OrderedDict[str, int] = OrderedDict()
        self._signed_ns: OrderedDict[str, int] = OrderedDict()

    async def run(self) -> None:
        """Count what the journal tells until cancelled."""
        while True:
            try:
                await anyio.to_thread.run_sync(self.follow)
            except JournalUnavailable as error:
                logger.info("steps are counted later: %s", error)
            except Exception:
                logger.exception("a step is not counted")  # money goes on whatever the figures are
            await anyio.sleep(FOLLOW_S)

    def follow(self) -> None:
        """Count the next steps. The first time it only looks where the record ends."""
        is_first = self._seq is None
        after = self._journal.newest_event() if self._seq is None else self._seq
        found = self._journal.events(after, EVENTS_AT_ONCE)
        self._seq = found[-1].seq if found else after  # before: a step that cannot be counted is passed over
        for event in found:
            self._count(event)
        if is_first or found:
            self._unfinished = len(self._journal.unfinished())
            self._halted = len(self._journal.halted())

    def _count(self, event: IntentEvent) -> None:
        self._steps.add(event.kind)
        which, now_ns = event.intent_id, event.ts_ns
        if event.kind == "opened":
            _keep(self._opened_ns, which, now_ns)
        elif event.kind == "signed":
            opened_ns = self._opened_ns.pop(which, None)
            if opened_ns is not None:  # a second attempt says nothing of how long the first took
                self._sending.observe(max(0, now_ns - opened_ns) / NS_PER_S)
            _keep(self._signed_ns, which, now_ns)
        elif event.kind == "landed":
            signed_ns = self._signed_ns.pop(which, None)
            if signed_ns is not None:
                self._landing.observe(max(0, now_ns - signed_ns) / NS_PER_S)
        elif event.kind in ENDS:
            self._opened_ns.pop(which, None)
            self._signed_ns.pop(which, None)

    def documents(self) -> list[Document]:
        """Return the families; called in the event loop, it waits for nothing."""
        return [
            told.ARMED.told([((), int(self._is_armed()))]),
            told.RECONCILED.told([((), int(self._is_reconciled()))]),
            told.HALTED_WALLETS.told([((), self._halted)]),
            told.UNFINISHED.told([((), self._unfinished)]),
            self._steps.told(),
            self._sending.told(),
            self._landing.told(),
        ]


def _keep(times: OrderedDict[str, int], which: str, ts_ns: int) -> None:
    times[which] = ts_ns
    while len(times) > UNDER_WAY_MAX:
        times.popitem(last=False)
