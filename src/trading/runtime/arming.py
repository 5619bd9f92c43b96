"""Entries follow the signer: where it is not armed nothing is opened, and what it stopped it allows again."""

import logging
from typing import Any, Final, Protocol

import anyio

from trading.adapters.canonical import parse_json
from trading.errors import TradingError, Unavailable
from trading.model import commands

from .mailbox import Mailbox
from .session import Session

ACTOR: Final = "signer"
_WORDS: Final = {
    "locked": "the signer is locked",
    "not_armed": "real money is not armed",
    "disarmed": "real money was disarmed",
    "arming_ended": "the arming ended",
    "mandate_changed": "the mandate's file is not the one that was armed",
}

logger = logging.getLogger(__name__)


class ArmedSigner(Protocol):
    async def status(self) -> dict[str, Any]: ...


class ArmingWatch:
    """``problem`` is why nothing may be opened, "" while it may."""

    def __init__(self, signer: ArmedSigner, mailbox: Mailbox, poll_s: float) -> None:
        self._signer = signer
        self._mailbox = mailbox
        self._poll_s = poll_s
        self.problem = "the signer was not asked yet"
        self.status: dict[str, Any] = {}

    @property
    def fee_lamports_max(self) -> int:
        """What the armed mandate lets a transaction pay, 0 while nothing is armed."""
        return int((self.status.get("armed") or {}).get("fee_lamports_max", 0))

    async def run(self) -> None:
        while True:
            await self.look()
            await anyio.sleep(self._poll_s)

    async def look(self) -> None:
        """Ask the signer, and let the desk follow."""
        problem = await self.ask()
        try:
            await self._mailbox.ask(lambda session: follow(session, problem))
        except Unavailable as error:
            logger.info("the desk did not hear of the signer: %s", error)

    async def ask(self) -> str:
        """Ask the signer now; return ``problem``."""
        try:
            self.status = await self._signer.status()
            self.problem = "" if self.status["armed"] else self.said(str(self.status["why_not"]))
        except TradingError as error:
            self.problem = f"the signer does not answer: {error.message}"
        return self.problem

    @staticmethod
    def said(why: str) -> str:
        return _WORDS.get(why, why or "real money is not armed")


def follow(session: Session, problem: str) -> bool:
    """Stop entries, or take the signer's own stop back; return whether anything changed."""
    state = session.kernel.state
    if problem:
        if state.entries_allowed:
            session.command(commands.StopEntries(_key(session, "off"), ACTOR, problem))
            return True
        return False
    if not state.entries_allowed and _stopped_by(session) == ACTOR:
        session.command(commands.AllowEntries(_key(session, "on"), ACTOR, "real money is armed"))
        return True
    return False


def _stopped_by(session: Session) -> str:
    """Return who stopped entries last, "" where a drawdown or a halt of a person did."""
    kinds = ("stop_entries", "allow_entries", "resume", "flatten_and_halt", "reduce_only")
    newest = session.journal.newest(kinds)
    return str(parse_json(newest[0].body)["actor"]) if newest and newest[0].kind == "stop_entries" else ""


def _key(session: Session, what: str) -> str:
    return f"arming/{session.journal.horizon()}/{what}"
