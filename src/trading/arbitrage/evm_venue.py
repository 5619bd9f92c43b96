"""Pools of an EVM chain as a venue of the desk: the same contract as every other, in lamports and smallest units.

What is given and got there is a token that stands for money (SOL as an ERC-20, a dollar, wrapped ether); ``Cash`` says
what its smallest unit is worth. Quotes come from the newest pool that was handed in with ``see``; nothing is asked.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final

from trading.errors import InvalidInput
from trading.model.market_data import Bar, MarketEvent, VenueReported
from trading.model.order import Fill, Order, Rejected, Side, SwapQuote, VenueReport
from trading.model.units import BPS_ONE, LAMPORTS_MAX, NS_PER_S, ceil_div, ratio_bps

from .evm_ports import PoolSeen
from .pools import FEE_ONE, BeyondRead, PoolSwap, depth, mid_out, swap

OPEN_ORDERS_MAX: Final = 64


@dataclass(frozen=True, slots=True)
class Cash:
    """The side of a pool that is money: ``is_0`` says which, ``lamports_per_unit`` what its smallest unit is worth.

    SOL as an ERC-20 with nine decimals is exactly 1. For any other the rate is the caller's, from a price of its own,
    and has to be renewed as that price moves: a quote is as good as its rate.
    """

    is_0: bool
    lamports_per_unit: Fraction = Fraction(1)

    def units(self, lamports: int) -> int:
        """Return the units that so many lamports buy, rounded down."""
        return lamports * self.lamports_per_unit.denominator // self.lamports_per_unit.numerator

    def lamports(self, units: int) -> int:
        """Return what units are worth, rounded down."""
        return units * self.lamports_per_unit.numerator // self.lamports_per_unit.denominator

    def lamports_up(self, units: int) -> int:
        return ceil_div(units * self.lamports_per_unit.numerator, self.lamports_per_unit.denominator)


@dataclass(frozen=True, slots=True)
class VenueTerms:
    """``gas_lamports``: what one transaction costs, landed or not. A pool older than ``stale_s_max`` by the venue's own
    newest time is not traded in."""

    gas_lamports: int
    stale_s_max: int = 20

    def __post_init__(self) -> None:
        if not 0 <= self.gas_lamports <= LAMPORTS_MAX:
            msg = f"gas_lamports: 0 to {LAMPORTS_MAX}, not {self.gas_lamports}"
            raise InvalidInput(msg, field="gas_lamports")


class EvmVenue:
    """Body of ``ports.Venue`` whose fills are told (``VenueReported``): orders are carried out by ``EvmExecutor``.

    ``listed`` maps the desk's name of a token to its pool's money side. An order stays open until its report comes.
    """

    def __init__(self, listed: Mapping[str, Cash], terms: VenueTerms) -> None:
        self._cash = dict(listed)
        self._terms = terms
        self._pools: dict[str, PoolSeen] = {}
        self._marks: dict[str, Bar] = {}
        self._open: list[Order] = []
        self._now_ns = 0

    def see(self, mint: str, seen: PoolSeen) -> Sequence[VenueReport]:
        """Take the newest state of a token's pool. Raises: InvalidInput for a token that is not listed here."""
        self._require_listed(mint)
        self._now_ns = max(self._now_ns, seen.block.time_s * NS_PER_S)
        known = self._pools.get(mint)
        # Another block of the same height took its place: the later word counts.
        if known is None or seen.block.number >= known.block.number or seen.block.time_s >= known.block.time_s:
            self._pools[mint] = seen
        return ()

    def reprice(self, mint: str, lamports_per_unit: Fraction) -> None:
        """Take a new rate of a token's money side. Raises: InvalidInput."""
        self._require_listed(mint)
        if lamports_per_unit <= 0:
            msg = f"lamports_per_unit: above 0, not {lamports_per_unit}"
            raise InvalidInput(msg, field="lamports_per_unit")
        self._cash[mint] = replace(self._cash[mint], lamports_per_unit=lamports_per_unit)

    def submit(self, order: Order) -> None:
        """Take an order in. Raises: InvalidInput, also for one that wants an exact amount out."""
        self._require_listed(order.mint)
        if order.amount_out or order.amount_in < 1:
            msg = f"order {order.id}: a swap here is exact-in, of at least one unit"
            raise InvalidInput(msg, field="amount_in")
        if len(self._open) >= OPEN_ORDERS_MAX:
            msg = f"{OPEN_ORDERS_MAX} orders are open here already"
            raise InvalidInput(msg, field="id")
        self._open.append(order)

    def on_market(self, event: MarketEvent) -> Sequence[VenueReport]:
        """Take a bar as the mark; for a report of an open order return it, for one that is not open nothing."""
        if isinstance(event, Bar) and event.mint in self._cash:
            self._marks[event.mint] = event
            self._now_ns = max(self._now_ns, event.ts_close_ns)
        if not isinstance(event, VenueReported):
            return ()
        found = next((each for each in self._open if each.id == event.report.order_id), None)
        if found is None:
            return ()
        self._open.remove(found)
        return (event.report,)

    def quote(self, mint: str, side: Side, amount_in: int) -> SwapQuote | None:
        if not self.is_tradable(mint):
            return None
        found = self._swapped(mint, side, amount_in)
        if found is None:
            return None
        cash, seen, is_buy = self._cash[mint], self._pools[mint], side is Side.BUY
        mid = mid_out(seen.pool, found.amount_in, gives_0=_gives_0(cash, side))
        worth = max(1, mid)
        fee_out = mid * seen.ref.fee_ppm // FEE_ONE
        impact_out = max(0, mid - fee_out - found.amount_out)
        if is_buy:
            spent = cash.lamports_up(found.amount_in)
            pool_fee, impact = spent * fee_out // worth, spent * impact_out // worth
        else:
            pool_fee, impact = cash.lamports(fee_out), cash.lamports(impact_out)
        return SwapQuote(
            mint=mint,
            side=side,
            amount_in=amount_in,
            amount_out=found.amount_out if is_buy else cash.lamports(found.amount_out),
            pool_fee_lamports=pool_fee,
            impact_lamports=impact,
            network_fee_lamports=self._terms.gas_lamports,
            rent_lamports=0,
            price_impact_bps=ratio_bps(impact_out, worth),
            ts_ns=seen.block.time_s * NS_PER_S,
        )

    def quote_exact(self, mint: str, base_units: int) -> SwapQuote | None:
        """Return None: an exact amount cannot be bought here."""
        return None

    def liquidation_lamports(self, mint: str, base_units: int) -> int:
        quote = self.quote(mint, Side.SELL, base_units) if base_units > 0 else None
        return 0 if quote is None else quote.amount_out

    def mark(self, mint: str) -> Bar | None:
        return self._marks.get(mint)

    def is_tradable(self, mint: str) -> bool:
        seen = self._pools.get(mint)
        return seen is not None and self._now_ns - seen.block.time_s * NS_PER_S <= self._terms.stale_s_max * NS_PER_S

    def pool_lamports(self, mint: str) -> int:
        if not self.is_tradable(mint):
            return 0
        cash = self._cash[mint]
        return cash.lamports(depth(self._pools[mint].pool)[0 if cash.is_0 else 1])

    def open_orders(self) -> Sequence[Order]:
        return tuple(self._open)

    def _swapped(self, mint: str, side: Side, amount_in: int) -> PoolSwap | None:
        """Return what the newest pool does with an amount in lamports (a buy) or base units, None where it cannot."""
        cash = self._cash[mint]
        units = cash.units(amount_in) if side is Side.BUY else amount_in
        try:
            return swap(self._pools[mint].pool, units, gives_0=_gives_0(cash, side)) if units > 0 else None
        except BeyondRead:
            return None

    def _require_listed(self, mint: str) -> None:
        if mint not in self._cash:
            msg = f"mint: one of {', '.join(sorted(self._cash)) or 'none'}, not {mint[:60]!r}"
            raise InvalidInput(msg, field="mint")


class PaperEvmVenue(EvmVenue):
    """The same with fills made up: an order is filled in the first block after the one that was known when it came."""

    def __init__(self, listed: Mapping[str, Cash], terms: VenueTerms) -> None:
        super().__init__(listed, terms)
        self._since: dict[str, int] = {}

    def submit(self, order: Order) -> None:
        super().submit(order)
        seen = self._pools.get(order.mint)
        self._since[order.id] = -1 if seen is None else seen.block.number

    def see(self, mint: str, seen: PoolSeen) -> Sequence[VenueReport]:
        super().see(mint, seen)
        due = [each for each in self._open if each.mint == mint and seen.block.number > self._since[each.id]]
        return [self._filled(each) for each in due]

    def _filled(self, order: Order) -> VenueReport:
        """Swap in the newest pool, which the next order finds as this one left it."""
        self._open.remove(order)
        del self._since[order.id]
        gas, cash, seen = self._terms.gas_lamports, self._cash[order.mint], self._pools[order.mint]
        quote = self.quote(order.mint, order.side, order.amount_in)
        found = self._swapped(order.mint, order.side, order.amount_in)
        if quote is None or found is None:
            return Rejected(order.id, self._now_ns, "no_liquidity", "the pool cannot take it", 0)
        if quote.amount_out < order.min_out:
            why = f"it gives {quote.amount_out}, and at least {order.min_out} were wished"
            return Rejected(order.id, self._now_ns, "slippage", why, gas)
        is_buy = order.side is Side.BUY
        lamports = cash.lamports_up(found.amount_in) if is_buy else quote.amount_out
        self._pools[order.mint] = replace(seen, pool=found.after)
        return Fill(
            order_id=order.id,
            ts_ns=self._now_ns,
            side=order.side,
            mint=order.mint,
            lamports=lamports,
            base_units=found.amount_out if is_buy else found.amount_in,
            pool_fee_lamports=quote.pool_fee_lamports,
            impact_lamports=quote.impact_lamports,
            network_fee_lamports=gas,
            priority_fee_lamports=0,
            rent_lamports=0,
            slippage_bps=min(BPS_ONE, quote.price_impact_bps),
        )


def _gives_0(cash: Cash, side: Side) -> bool:
    """Tell whether token 0 is what is given: the money in a buy, the token in a sale."""
    return cash.is_0 is (side is Side.BUY)
