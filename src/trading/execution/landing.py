"""When a transaction lands and what chance does to it: a function of the seed, the order and the slot, nothing else.

So the outcome of an order rests on no other order and on no earlier draw, and a desk that is folded from its journal
finds it again.
"""

import hashlib
from dataclasses import dataclass
from decimal import Context, Decimal
from functools import lru_cache
from typing import Final

from trading.feeds.draws import Draws
from trading.model.market_data import Bar
from trading.model.order import Order
from trading.model.units import BPS_ONE

from .conditions import EXPIRY_SLOTS, PPM_ONE, Conditions

UNLANDED: Final = "no block took the transaction before its blockhash ran out"
"""The message of an entry that expired for want of a higher fee, not of a market."""
_KEY_BYTES: Final = 16
_EXACT: Final = Context(prec=40)
_THIRDS: Final = 3


@dataclass(frozen=True, slots=True)
class Fate:
    """What chance does to one sending of one order: parts of a million, and slots."""

    jitter_slots: int
    failure: int
    adverse: int


@dataclass(frozen=True, slots=True)
class Chance:
    """All chance of a simulated venue."""

    seed: int

    def level_ppm(self, slot: int) -> int:
        """Return where the congestion level of a slot lies in its distribution, in parts of a million."""
        return _level(self.seed, slot)

    def fate(self, order_id: str, sending: int, jitter_slots: int) -> Fate:
        return _fate(self.seed, order_id, sending, jitter_slots)

    def high_comes_first(self, bar: Bar) -> bool:
        return _draws(self.seed, "path", bar.mint, str(bar.ts_open_ns)).below(2) == 1


def landing_ns(conditions: Conditions, chance: Chance, order: Order, sending: int) -> int | None:
    """Return when that sending of an order lands (0 is the first), None when it never does."""
    jitter = chance.fate(order.id, sending, conditions.jitter_slots).jitter_slots if conditions.jitter_slots else 0
    slots = sending * EXPIRY_SLOTS + conditions.latency_slots + jitter
    probability = conditions.landing_ppm(order.priority_fee_lamports)
    if probability < PPM_ONE and chance.level_ppm(order.ts_ns // conditions.slot_ns + slots) >= probability:
        return None
    return order.ts_ns + slots * conditions.slot_ns


def price_at(bar: Bar, ts_ns: int, conditions: Conditions, chance: Chance) -> Decimal:
    """Return the price at a time within a bar: the open, and from there along the bar's way as far as declared."""
    elapsed = ts_ns - bar.ts_open_ns
    if elapsed <= 0 or conditions.path_bps == 0:
        return bar.open
    extremes = (bar.high, bar.low) if chance.high_comes_first(bar) else (bar.low, bar.high)
    points = (bar.open, *extremes, bar.close)
    length = bar.ts_close_ns - bar.ts_open_ns
    leg, into = divmod(min(elapsed, length) * _THIRDS, length)
    here = points[leg]
    if into:
        here = _between(here, points[leg + 1], into, length)
    return _between(bar.open, here, conditions.path_bps, BPS_ONE)


def _between(one: Decimal, other: Decimal, part: int, whole: int) -> Decimal:
    if part == whole:
        return other
    way = _EXACT.divide(_EXACT.multiply(_EXACT.subtract(other, one), Decimal(part)), Decimal(whole))
    return _EXACT.add(one, way)


@lru_cache(maxsize=1_024)
def _level(seed: int, slot: int) -> int:
    return _draws(seed, "slot", str(slot)).below(PPM_ONE)


@lru_cache(maxsize=1_024)
def _fate(seed: int, order_id: str, sending: int, jitter_slots: int) -> Fate:
    draws = _draws(seed, "fate", order_id, str(sending))
    return Fate(draws.between(0, jitter_slots), draws.below(PPM_ONE), draws.below(PPM_ONE))


def _draws(seed: int, *names: str) -> Draws:
    name = "\n".join((str(seed), *names))
    return Draws(int.from_bytes(hashlib.sha256(name.encode()).digest()[:_KEY_BYTES], "big"))
