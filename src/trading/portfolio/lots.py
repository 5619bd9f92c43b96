"""What was bought when and for how much, lot by lot: the cost basis of what is sold, exact to the smallest unit.

Lots belong to a token, not to a bucket: a wallet holds one account of each token. The cost of a part is rounded down
and the rest stays with the lot, so that what is taken and what is left always add up to what was paid.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

from trading.errors import IllegalTransition, LedgerMismatch


class Method(StrEnum):
    """Which lot is sold first: the oldest, or the one that cost most a unit."""

    FIFO = "fifo"
    HIFO = "hifo"


@dataclass(slots=True)
class Lot:
    """``cost_micro`` is the cost in millionths of a currency, None where SOL had no price then."""

    order_id: str
    acquired_ns: int
    base_units: int
    cost_lamports: int
    cost_micro: int | None


class LotBook:
    """The open lots of every token. Raises: LedgerMismatch for a sale of more than there is."""

    def __init__(self, method: Method) -> None:
        self._method = method
        self._lots: dict[str, list[Lot]] = {}

    def add(self, mint: str, lot: Lot) -> None:
        """Take a purchase in. Raises: IllegalTransition for one of nothing."""
        if lot.base_units <= 0:
            msg = f"order {lot.order_id}: a lot of {lot.base_units} base units is none"
            raise IllegalTransition(msg, field="base_units")
        self._lots.setdefault(mint, []).append(lot)

    def take(self, mint: str, base_units: int) -> list[Lot]:
        """Take so many units out and return the parts of lots they were, in the order in which they were taken."""
        held = self.held_base_units(mint)
        if not 0 < base_units <= held:
            msg = f"{base_units} base units of {mint} cannot be taken out of lots that hold {held}"
            raise LedgerMismatch(msg, field="base_units")
        lots = self._lots[mint]
        taken: list[Lot] = []
        left = base_units
        while left > 0:
            lot = lots[self._next(lots)]
            part = _part_of(lot, min(left, lot.base_units))
            taken.append(part)
            left -= part.base_units
            if lot.base_units == 0:
                lots.remove(lot)
        if not lots:
            del self._lots[mint]
        return taken

    def held_base_units(self, mint: str) -> int:
        return sum(lot.base_units for lot in self._lots.get(mint, ()))

    def left(self) -> dict[str, list[Lot]]:
        """Return the open lots of each token, as they are."""
        return self._lots

    def _next(self, lots: list[Lot]) -> int:
        """Return which lot is next; of several that cost the same the oldest, however many there are."""
        if self._method is Method.FIFO:
            return min(range(len(lots)), key=lambda place: (lots[place].acquired_ns, place))
        # What is taxed is the currency's gain, so its cost decides where it is known of every lot.
        price: Callable[[Lot], Fraction] = _price_micro
        if any(lot.cost_micro is None for lot in lots):
            price = _price_lamports
        return max(range(len(lots)), key=lambda place: (price(lots[place]), -lots[place].acquired_ns, -place))


def _part_of(lot: Lot, base_units: int) -> Lot:
    """Cut a part off a lot; the whole takes all that is left of its cost."""
    cost = lot.cost_lamports * base_units // lot.base_units
    micro = None if lot.cost_micro is None else lot.cost_micro * base_units // lot.base_units
    part = Lot(lot.order_id, lot.acquired_ns, base_units, cost, micro)
    lot.base_units -= base_units
    lot.cost_lamports -= cost
    if lot.cost_micro is not None and micro is not None:
        lot.cost_micro -= micro
    return part


def _price_lamports(lot: Lot) -> Fraction:
    return Fraction(lot.cost_lamports, lot.base_units)


def _price_micro(lot: Lot) -> Fraction:
    assert lot.cost_micro is not None, "asked only where every lot has one"
    return Fraction(lot.cost_micro, lot.base_units)
