"""Transfers on paper: they leave at once, arrive after their time, and cost their fee. Nothing is sent anywhere.

What becomes of one follows from the journal alone, so a restart changes nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from trading.model.units import BPS_ONE, NS_PER_S, ceil_div
from trading.ports import Clock

from .paper_leg import PaperInventory
from .transfer_ports import Asset, Heard, TransferKept
from .transfers import Happening

MOST: Final = 10**36


@dataclass(frozen=True, slots=True)
class PaperWay:
    """``takes_s`` until it is there; ``fee_bps`` and, of money, ``fee_money`` are taken off what arrives."""

    takes_s: float
    fee_bps: int = 0
    fee_money: int = 0

    def arrives(self, asset: Asset, amount: int) -> int:
        fee = ceil_div(amount * self.fee_bps, BPS_ONE) + (self.fee_money if asset == "money" else 0)
        return amount - fee


class PaperDoor:
    """Body of ``TransferDoor``. ``held`` is what lies at each venue on paper."""

    def __init__(self, way: PaperWay, held: Mapping[str, PaperInventory], clock: Clock) -> None:
        self._way = way
        self._held = held
        self._clock = clock

    def most(self, asset: Asset) -> int:
        return MOST

    async def hand_in(self, kept: TransferKept) -> Heard:
        of, held = kept.transfer, self._held[kept.transfer.source]
        has_enough = of.amount <= (held.money if kept.asset == "money" else held.middle)
        is_worth_it = self._way.arrives(kept.asset, of.amount) > 0
        return Heard(Happening.LEFT if has_enough and is_worth_it else Happening.NEVER_LEFT)

    async def heard(self, kept: TransferKept) -> Sequence[Heard]:
        of = kept.transfer
        if of.state.is_over:
            return ()
        if not of.has_left:
            # Killed between the event and the handing in: nothing had left this process.
            return (Heard(Happening.NEVER_LEFT),)
        if self._clock.now_ns() - kept.sent_ns < self._way.takes_s * NS_PER_S:
            return ()
        return (Heard(Happening.CAME, self._way.arrives(kept.asset, of.amount)),)


def booked(held: Mapping[str, PaperInventory]) -> Callable[[TransferKept, TransferKept], None]:
    """Return what books each step of a transfer in the inventory on paper."""

    def book(before: TransferKept, after: TransferKept) -> None:
        was, now = before.transfer, after.transfer
        left = now.amount * (now.has_left - was.has_left)
        for venue, change in ((now.source, -left), (now.target, now.received - was.received)):
            at = held[venue]
            if after.asset == "money":
                at.money += change
            else:
                at.middle += change

    return book
