"""Opinion, instruction, fact: Signal -> Order -> Fill, and what the gate or the venue says to an order."""

from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from .wallet import MAIN

LATER: Final = MappingProxyType({"later": True})
"""Metadata of a field that was added to rows that existed: one at its default is not written."""


class Side(StrEnum):
    BUY = "buy"
    SELL = "sell"


class Purpose(StrEnum):
    """Why an order exists; the gate never blocks exits."""

    ENTRY = "entry"
    EXIT = "exit"


@dataclass(frozen=True, slots=True)
class Signal:
    """A strategy's opinion about one token, in [-1, 1]: above 0 it would own it, below 0 it would not.

    ``edge_bps`` is the expected move over ``horizon_s``, gross of costs. ``evidence`` are the figures it rests on.
    """

    strategy: str
    mint: str
    ts_ns: int
    strength: float
    edge_bps: int
    horizon_s: int
    reason: str
    evidence: dict[str, str | int | float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Order:
    """An instruction to swap: lamports for a buy, base units for a sell.

    ``min_out`` guards it: base units for a buy, lamports for a sell. ``priority_fee_lamports`` is what we pay on top.
    With ``amount_out`` above 0 a buy is exact-out: it takes exactly that many base units and pays at most
    ``amount_in``. Otherwise the whole of ``amount_in`` is swapped. ``held_base_units`` and ``held_lamports`` are what
    was held of the token when a buy was decided and what that cost, fees included: a buy that would fill below this
    average is refused at the fill, because the price fell after the decision (anti-DCA). ``wallet`` carries it out.
    A swap happens whole or not at all, as on chain.
    """

    id: str
    trajectory_id: str
    ts_ns: int
    side: Side
    purpose: Purpose
    mint: str
    strategy: str
    bucket: str
    amount_in: int
    min_out: int
    priority_fee_lamports: int
    reason: str
    amount_out: int = 0
    held_base_units: int = 0
    held_lamports: int = 0
    wallet: str = field(default=MAIN, metadata=LATER)

    def is_below_average(self, lamports: int, base_units: int) -> bool:
        """Tell whether buying so much for so much, fees included, would be cheaper than what is held."""
        return lamports * self.held_base_units < self.held_lamports * base_units


@dataclass(frozen=True, slots=True)
class Fill:
    """A swap that happened. ``lamports`` and ``base_units`` are what changed hands; costs are split and exact.

    For a buy ``lamports`` left the wallet into the pool (pool fee included), for a sell ``lamports`` arrived.
    ``network_fee_lamports`` (signatures), ``priority_fee_lamports`` and ``rent_lamports`` come on top (rent is
    negative when an account was closed and its deposit returned). ``impact_lamports`` and ``pool_fee_lamports`` are
    already inside ``lamports`` and only explain it. ``slippage_bps`` is against the mark at the decision.
    ``adverse_lamports`` is the part of the impact that others took by trading around us. ``graduates``: it bought the
    last unit of a launch curve.
    """

    order_id: str
    ts_ns: int
    side: Side
    mint: str
    lamports: int
    base_units: int
    pool_fee_lamports: int
    impact_lamports: int
    network_fee_lamports: int
    priority_fee_lamports: int
    rent_lamports: int
    slippage_bps: int
    adverse_lamports: int = field(default=0, metadata=LATER)
    graduates: bool = field(default=False, metadata=LATER)


@dataclass(frozen=True, slots=True)
class Measure:
    """How far one limit is used by an order: ``used`` may be at most ``limit`` (``is_floor``: at least).

    ``message`` is what crossing it does, where that is said beforehand.
    """

    name: str
    used: int
    limit: int
    unit: str
    message: str = ""
    is_floor: bool = False

    @property
    def is_broken(self) -> bool:
        return self.used < self.limit if self.is_floor else self.used > self.limit


@dataclass(frozen=True, slots=True)
class Denied:
    """Our own refusal, before anything was sent. ``limit`` and ``used`` are in the limit's unit, where it has one.

    ``broken``: every limit that the order breaks, the one it is denied for first.
    """

    reason: str
    message: str
    limit: int | None = None
    used: int | None = None
    broken: tuple[Measure, ...] = ()


@dataclass(frozen=True, slots=True)
class Approved:
    """Our own consent, with how far each limit would be used."""

    measures: tuple[Measure, ...] = ()


Verdict = Approved | Denied


@dataclass(frozen=True, slots=True)
class Rejected:
    """The venue's refusal. ``charged_lamports``: a failed transaction still pays its fee."""

    order_id: str
    ts_ns: int
    reason: str
    message: str
    charged_lamports: int


VenueReport = Fill | Rejected


@dataclass(frozen=True, slots=True)
class SwapQuote:
    """What a swap would give now, exact-in. Costs in lamports; ``price_impact_bps`` against the mid price."""

    mint: str
    side: Side
    amount_in: int
    amount_out: int
    pool_fee_lamports: int
    impact_lamports: int
    network_fee_lamports: int
    rent_lamports: int
    price_impact_bps: int
    ts_ns: int
