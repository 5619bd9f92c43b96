"""What comparing the books with the chain came to, as memories: whenever it is done, and when a wallet has to wait."""

import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import anyio
import anyio.to_thread

from trading.errors import Unavailable
from trading.ports import Memory, MemoryRecord

from .remember import NAMESPACE

KIND: Final = "reconciliation"
LOOK_EVERY_S: Final = 0.5
WAITING_MAX: Final = 64
"""Notes that wait for a memory that is away; beyond that the oldest makes room, and the log says so."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Standing:
    """How the books stand: ``wallets`` that are looked through, ``halted`` ones with what is wrong with each."""

    is_reconciled: bool
    wallets: tuple[str, ...] = ()
    halted: Mapping[str, str] = field(default_factory=dict)
    unfinished: int = 0


class ReconcilerNotes:
    """One per desk with real money. ``standing`` reads the disk: it is called in a thread."""

    def __init__(self, standing: Callable[[], Standing], memory: Memory, now_ns: Callable[[], int]) -> None:
        self._standing = standing
        self._memory = memory
        self._now_ns = now_ns
        self._told = Standing(is_reconciled=False)
        self._waiting: deque[MemoryRecord] = deque()

    async def run(self) -> None:
        """Tell until cancelled; what memory does not take is tried again."""
        while True:
            try:
                await self.look()
            except Unavailable as error:
                logger.info("how the books stand is told to memory later: %s", error)
            await anyio.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """Tell what has changed since the last look. Raises: JournalUnavailable, MemoryUnavailable."""
        now = await anyio.to_thread.run_sync(self._standing)
        text = _changes(self._told, now)
        if text:
            self._queue(text, now)
        self._told = now
        while self._waiting:
            await self._memory.write([self._waiting[0]])
            self._waiting.popleft()

    def _queue(self, text: str, now: Standing) -> None:
        ts_ns = self._now_ns()
        if len(self._waiting) == WAITING_MAX:
            logger.warning("memory was away too long; it is not told that %s", self._waiting.popleft().text)
        self._waiting.append(
            MemoryRecord(
                action="note",
                key=f"{KIND}/{ts_ns}",
                ts_event_ns=ts_ns,
                namespace=NAMESPACE,
                kind=KIND,
                text=text,
                tags=("agrees" if now.is_reconciled and not now.halted else "waits",),
                metadata={
                    "is_reconciled": now.is_reconciled,
                    "wallets": list(now.wallets),
                    "halted": dict(now.halted),
                    "unfinished": now.unfinished,
                },
                embed=True,
            )
        )


def _changes(before: Standing, now: Standing) -> str:
    """Return what is new, in words; "" for nothing."""
    told = []
    if now.is_reconciled and not before.is_reconciled:
        of = f"{len(now.wallets)} {'wallet' if len(now.wallets) == 1 else 'wallets'}"
        told.append(f"The chain was compared with the books of {of}; {now.unfinished} orders are unfinished.")
    elif before.is_reconciled and not now.is_reconciled:
        told.append("The books are not compared with the chain any more: the executor has stopped.")
    told += [
        f"The wallet {wallet} waits for a person: {problem}."
        for wallet, problem in sorted(now.halted.items())
        if before.halted.get(wallet) != problem
    ]
    told += [f"The wallet {wallet} was released." for wallet in sorted(set(before.halted) - set(now.halted))]
    return " ".join(told)
