"""Wallets that wait for a person are left alone by the desk, and taken up again when they were released."""

import logging
from collections.abc import Mapping
from typing import Final, Protocol

import anyio
import anyio.to_thread

from trading.errors import Unavailable
from trading.model import commands

from .mailbox import Mailbox
from .session import Session

ACTOR: Final = "chain"

logger = logging.getLogger(__name__)


class Halts(Protocol):
    """``ports.ExecutionJournal`` as far as it is used here."""

    def halted(self) -> Mapping[str, str]: ...


class HoldingWatch:
    """One per desk; of one with a single wallet nothing is asked, because its orders wait with it. ``wallets``: their
    addresses by name."""

    def __init__(self, journal: Halts, mailbox: Mailbox, wallets: Mapping[str, str], poll_s: float) -> None:
        self._journal = journal
        self._mailbox = mailbox
        self._wallets = dict(wallets)
        self._poll_s = poll_s

    async def run(self) -> None:
        while True:
            await self.look()
            await anyio.sleep(self._poll_s)

    async def look(self) -> None:
        """Let the desk follow what is halted in the journal of what is owed."""
        if len(self._wallets) < 2:
            return
        try:
            halted = await anyio.to_thread.run_sync(self._journal.halted)
            problems = {name: halted.get(address, "") for name, address in self._wallets.items()}
            await self._mailbox.ask(lambda session: follow(session, problems))
        except Unavailable as error:
            logger.info("the desk did not hear which wallets are halted: %s", error)


def follow(session: Session, problems: Mapping[str, str]) -> int:
    """Leave wallets with a problem alone, and the others not; return how many changed."""
    book, changed = session.kernel.state.wallets, 0
    for name, problem in problems.items():
        wallet = None if book is None else book.wallets.get(name)
        if wallet is not None and wallet.problem != problem:
            changed += 1
            key = f"holding/{session.journal.horizon()}/{name}"
            session.command(commands.HoldWallet(key, ACTOR, problem or "a person released it", name, problem))
    return changed
