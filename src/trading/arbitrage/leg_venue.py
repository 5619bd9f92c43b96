"""The one small port behind which every place lies where a leg can be made: exchange, Solana, EVM chain, paper."""

from dataclasses import dataclass
from typing import Protocol

from .opportunities import LegTerms
from .trips import Attempt, Dead, Settled

Outcome = Settled | Dead | None
"""None: it is not known yet, so it is asked for later."""


@dataclass(frozen=True, slots=True)
class LegLook:
    """A venue as it was at ``at_ns`` by our clock. ``there`` gives money for the middle token, ``back`` the other way;
    ``least_there`` and ``least_back`` are the smallest amounts in. ``money_free`` and ``middle_free`` are held
    there and not promised to anything."""

    venue: str
    at_ns: int
    there: LegTerms
    back: LegTerms
    least_there: int
    least_back: int
    money_free: int
    middle_free: int


class LegVenue(Protocol):
    """One pair of tokens at one place."""

    @property
    def name(self) -> str: ...

    async def look(self) -> LegLook:
        """Return prices and balances of now. Raises: TradingError where they cannot be had."""

    async def send(self, attempt: Attempt) -> Outcome:
        """Make the attempt, once: the runner calls this once per key and process life, and never for one that may have
        been sent before. Raises: TradingError, from which nothing is concluded."""

    async def ask(self, attempt: Attempt) -> Outcome:
        """Return what became of an attempt that was, or may have been, sent; ``Dead`` only where it is proven that
        nothing of it was filled or can be. Raises: TradingError, from which nothing is concluded."""
