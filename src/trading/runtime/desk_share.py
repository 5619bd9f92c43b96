"""A desk's own swaps among those of the execution nodes: reserved before they are signed, told when they are over.

A desk that is cut off from the nodes' database opens nothing, and may only reduce: a sale goes on without being
reserved, because nothing may keep the desk from getting out, and is told of later.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import anyio

from trading.adapters.node_store.desks import Desks
from trading.adapters.node_store.opening import Door, open_door
from trading.config import NodesSection
from trading.errors import IllegalTransition, InvalidInput, JournalUnavailable, RouteRefused, Unavailable
from trading.execution.beside import InBoundedThread
from trading.execution.executor import Preparer
from trading.model.intent import SOL_MINT, Attempt, Intent, IntentEvent, IntentKind, IntentRecord

from .node_run import store_rules

TELL_S: Final = 1.0
EVENTS_AT_ONCE: Final = 200
AWAY_S: Final = 5.0
"""So long a sale does not ask again after the database did not answer."""

ENDS: Final = frozenset({"settled", "reverted", "failed", "cancelled"})
REASON: Final = "shared_limits"

logger = logging.getLogger(__name__)


class OwnJournal(Protocol):
    """The desk's execution journal, as far as it is told from."""

    def record(self, intent_id: str) -> IntentRecord: ...

    def events(self, after: int = 0, limit: int = EVENTS_AT_ONCE) -> Sequence[IntentEvent]: ...

    def newest_event(self) -> int: ...


@dataclass(slots=True)
class _Open:
    door: Door
    desks: Desks
    told: int


def _counts(intent: Intent) -> bool:
    """Tell whether an intent trades a token for SOL, one way or both: what nodes must not meet."""
    if intent.kind is IntentKind.SWAP:
        return SOL_MINT in (intent.in_mint, intent.out_mint)
    return intent.kind is IntentKind.ROUND_TRIP


class DeskShare:
    """One per desk; ``name`` is its own. ``run`` tells what is over until it is cancelled.

    ``arbitrage`` is a wallet whose swaps are reserved as all are, and held by nobody once they are over: the other half
    of a trip is at another venue, which no node sees, so what it bought here would count for ever.
    """

    def __init__(
        self, name: str, section: NodesSection, journal: OwnJournal, now_ns: Callable[[], int], arbitrage: str = ""
    ) -> None:
        self._name = name
        self._arbitrage = arbitrage
        self._section = section
        self._journal = journal
        self._now_ns = now_ns
        self._io = InBoundedThread(section.answer_s)
        self._telling = InBoundedThread(section.answer_s)
        self._open: _Open | None = None
        self._asks_after_s = 0.0
        self._opening = threading.Lock()

    def guarding(self, preparer: Preparer) -> Preparer:
        """Return a preparer that signs no swap which is not reserved, but sales while nobody answers."""
        return _Guarded(self, preparer)

    async def reserve(self, intent: Intent) -> None:
        """Raises: RouteRefused for a purchase that there is no room for, or nobody to ask about; Unavailable for a sale
        that has to wait for an own order of the other side."""
        if not _counts(intent):
            return
        is_sale = intent.kind is IntentKind.SWAP and intent.out_mint == SOL_MINT
        if is_sale and time.monotonic() < self._asks_after_s:
            return
        try:
            why = await self._io(self._taken, intent)
        except (JournalUnavailable, IllegalTransition, InvalidInput) as error:
            self._asks_after_s = time.monotonic() + AWAY_S
            if is_sale:
                logger.warning("intent %s goes on without being reserved: %s", intent.id, error)
                return
            msg = f"nothing is bought while the nodes' database does not answer: {error.message}"
            raise RouteRefused(msg, reason=REASON) from error
        if why and is_sale:
            msg = f"intent {intent.id} waits: {why}"
            raise Unavailable(msg)
        if why:
            raise RouteRefused(why, reason=REASON)

    async def run(self) -> None:
        try:
            while True:
                try:
                    await self._telling(self.tell)
                except (JournalUnavailable, IllegalTransition, InvalidInput) as error:
                    logger.info("the nodes are told later: %s", error)
                await anyio.sleep(TELL_S)
        finally:
            if self._open is not None:
                self._open.door.close()

    def tell(self) -> int:
        """Tell what became of the desk's swaps since; return how many events were looked at. In a thread.

        Raises: JournalUnavailable, after which it goes on where it was.
        """
        opened = self._opened()
        found = self._journal.events(opened.told, EVENTS_AT_ONCE)
        for event in found:
            if event.kind in ENDS:
                known = self._counted(event)
                holds = known is None or known.intent.wallet != self._arbitrage
                opened.desks.over(self._name, event.seq, known, holds=holds)
            opened.told = event.seq
        return len(found)

    def _counted(self, event: IntentEvent) -> IntentRecord | None:
        known = self._journal.record(event.intent_id)
        return known if _counts(known.intent) else None

    def _taken(self, intent: Intent) -> str:
        return self._opened().desks.take(self._name, intent)

    def _opened(self) -> "_Open":
        """Open the database, and remember from which event on there is something to tell: before anything is taken."""
        with self._opening:
            if self._open is None:
                assert self._section.url is not None
                door = open_door(self._section.url.get_secret_value(), store_rules(self._section))
                try:
                    desks = Desks(door, self._now_ns)
                    self._open = _Open(door, desks, desks.begin(self._name, self._journal.newest_event()))
                except BaseException:
                    door.close()
                    raise
            return self._open


class _Guarded:
    def __init__(self, share: DeskShare, preparer: Preparer) -> None:
        self._share = share
        self._preparer = preparer

    async def prepare(self, known: IntentRecord) -> Attempt:
        await self._share.reserve(known.intent)
        return await self._preparer.prepare(known)
