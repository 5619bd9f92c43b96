"""What transfers are written down in, and who carries them. Bodies: ``adapters/transfer_journal.py``, ``paper_door``,
``adapters/exchange/withdrawals.py``."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from .transfers import Happening, Transfer

Asset = Literal["money", "middle"]
"""What trips begin with, or the other token of the pair."""


@dataclass(frozen=True, slots=True)
class TransferKept:
    """A transfer as it was written down. ``number`` counts transfers, ``events`` its own. It is late after
    ``late_ns``; ``sent_ns`` is 0 while it was not handed in, ``at_ns`` is its newest event's."""

    transfer: Transfer
    pair: str
    asset: Asset
    planned_ns: int
    late_ns: int
    number: int = 0
    events: int = 0
    sent_ns: int = 0
    at_ns: int = 0


@dataclass(frozen=True, slots=True)
class TransferEvent:
    """``number`` counts the transfer's events from 0; ``received`` is what came, where it is ``CAME``."""

    transfer_id: str
    number: int
    happening: Happening
    received: int
    at_ns: int


@dataclass(frozen=True, slots=True)
class Heard:
    happening: Happening
    received: int = 0


class TransferDoor(Protocol):
    """One way from a venue to another."""

    def most(self, asset: Asset) -> int:
        """Return the largest transfer that may go this way, 0 where none may."""

    async def hand_in(self, kept: TransferKept) -> Heard | None:
        """Hand a transfer in, once: nobody calls this again for the same id, whatever comes of it. Return ``LEFT`` or
        ``NEVER_LEFT`` where that is known at once. Raises: TradingError, from which nothing is concluded."""

    async def heard(self, kept: TransferKept) -> Sequence[Heard]:
        """Return what has become of one that was, or may have been, handed in, in order; what was told before may be
        told again. ``NEVER_LEFT`` only where it is proven that it never can. Raises: TradingError."""


class TransferJournal(Protocol):
    """Each method is one durable transaction. Raises: JournalUnavailable."""

    def plan(self, wished: Sequence[TransferKept]) -> int:
        """Write them down, return how many: not one whose id is known, or while one of its pair and token is open."""

    def happened(self, events: Sequence[TransferEvent]) -> None:
        """Write events down before what they lead to is done. Raises: JournalUnavailable, also where another process
        has written one of those numbers."""

    def watched(self, since_ns: int) -> Sequence[TransferKept]:
        """Return those that are not over, and those that ended since then, as a block may still be taken back."""

    def page(self, limit: int, before: int | None = None) -> Sequence[TransferKept]:
        """Return the newest first."""

    def moved(self, asset: Asset) -> dict[str, int]:
        """Return what transfers have taken off and put on each venue so far."""
