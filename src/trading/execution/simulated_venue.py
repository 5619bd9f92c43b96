"""A venue made of bars: constant-product pools, Solana fees, account rent, everything in exact integers.

Conventions, declared:

- An order handed in at the end of a cycle fills at the OPEN of the next bar of its token, which nobody could see when
  the order was decided. Depth is the newest one known before that bar (its reserve at the previous close, else the
  instrument's declared depth).
- Orders that fill at the same open trade one after the other against the same pool, so they pay each other's impact.
  The impact does not carry over to the next bar: recorded bars are a market in which our swap did not happen, and
  arbitrage closes such a gap within seconds. What our swap moved is paid in full by the fill itself.
- A bar that opened before the order was decided never fills it.
- An entry that finds no bar within ``entry_life_ns`` expires uncharged, like a transaction whose blockhash ran out. An
  exit stays: it is sent again until it lands.
- A purchase of more base units than a token account can hold (64 bits) is none: no quote, and no fill.
- A swap that misses ``min_out`` fails on chain, and a failed transaction still pays its fees. So does a buy that would
  fill below the average cost of what is held: a guard in the transaction sees the price that the decision could not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from trading.errors import InvalidInput
from trading.model.instrument import Instrument
from trading.model.market_data import Bar, CycleEnd, MarketEvent, TokenGone, TokenListed, ts_of
from trading.model.memento import DERIVED
from trading.model.network import SIGNATURE_FEE_LAMPORTS, TOKEN_ACCOUNT_RENT_LAMPORTS
from trading.model.order import Fill, Order, Purpose, Rejected, Side, SwapQuote, VenueReport
from trading.model.position import token_value_lamports
from trading.model.units import BASE_UNITS_MAX, NS_PER_S

from . import fill_model
from .fill_model import Reserves, Swap

ENTRY_LIFE_NS = 90 * NS_PER_S
"""150 slots, the life of a blockhash, take 60 to 90 seconds."""


@dataclass(slots=True)
class _Market:
    instrument: Instrument
    bar: Bar | None = None
    reserves: Reserves | None = field(default=None, metadata=DERIVED)
    gone_reason: str | None = None

    @property
    def pool_lamports(self) -> int:
        """The newest known depth on the SOL side."""
        recorded = self.bar.pool_lamports if self.bar is not None else None
        return self.instrument.pool_lamports_default if recorded is None else recorded

    def reserves_at(self, price_sol: Decimal) -> Reserves | None:
        try:
            return fill_model.reserves_at(price_sol, self.instrument.decimals, self.pool_lamports)
        except ValueError:
            return None


@dataclass(frozen=True, slots=True)
class _Submitted:
    order: Order
    mark_sol: Decimal | None


class SimulatedVenue:
    """Body of ``ports.Venue``. ``held`` are the base units per token that the wallet holds when it starts."""

    def __init__(self, held: Mapping[str, int] | None = None, entry_life_ns: int = ENTRY_LIFE_NS) -> None:
        self._markets: dict[str, _Market] = {}
        self._open: list[_Submitted] = []
        self._entry_life_ns = entry_life_ns
        self._held: dict[str, int] = {mint: units for mint, units in (held or {}).items() if units > 0}
        """A token has an account, and its rent is paid, exactly while the wallet holds some of it."""

    def submit(self, order: Order) -> None:
        """Take an order in. Raises: InvalidInput for an amount that is no amount, or an id that is open already."""
        if order.amount_in <= 0 or order.min_out < 0 or order.priority_fee_lamports < 0:
            msg = f"order {order.id}: amount_in must be above 0, min_out and priority_fee_lamports at least 0"
            raise InvalidInput(msg, field="amount_in")
        if any(submitted.order.id == order.id for submitted in self._open):
            msg = f"order {order.id} is open already"
            raise InvalidInput(msg, field="id")
        bar = self.mark(order.mint)
        self._open.append(_Submitted(order, None if bar is None else bar.close))

    def on_market(self, event: MarketEvent) -> Sequence[VenueReport]:
        """Move the market and return what became of open orders because of it, in submission order."""
        if type(event) is Bar:
            known = self._markets.get(event.mint) or self._market_of(event)
            reports = self._settle(event) if self._open else ()
            known.bar = event
            known.reserves = None
            return reports
        if isinstance(event, TokenListed):
            self._markets[event.instrument.mint] = self._listed(event.instrument)
        elif isinstance(event, TokenGone):
            market = self._markets.get(event.mint)
            if market is not None:
                market.gone_reason = event.reason
        return self._settle(event) if self._open else ()

    def quote(self, mint: str, side: Side, amount_in: int) -> SwapQuote | None:
        """Return what a swap would give at the newest close, None when the token cannot be traded."""
        reserves = self._reserves(mint)
        if reserves is None or amount_in <= 0:
            return None
        return self._quoted(mint, side, amount_in, self._swap(side, reserves, amount_in, self._fee_bps(mint)))

    def quote_exact(self, mint: str, base_units: int) -> SwapQuote | None:
        """Return what buying exactly so many base units would cost now, None when they cannot be bought."""
        reserves = self._reserves(mint)
        if reserves is None or not 0 < base_units < reserves.base_units:
            return None
        swap = fill_model.buy_exact(reserves, base_units, self._fee_bps(mint))
        return self._quoted(mint, Side.BUY, swap.lamports, swap)

    def _quoted(self, mint: str, side: Side, amount_in: int, swap: Swap) -> SwapQuote | None:
        if self._overflows(mint, side, swap):
            return None
        bar = self._markets[mint].bar
        assert bar is not None  # there are no reserves without a bar
        return SwapQuote(
            mint=mint,
            side=side,
            amount_in=amount_in,
            amount_out=swap.base_units if side is Side.BUY else swap.lamports,
            pool_fee_lamports=swap.pool_fee_lamports,
            impact_lamports=swap.impact_lamports,
            network_fee_lamports=SIGNATURE_FEE_LAMPORTS,
            rent_lamports=self._rent(mint, side, swap.base_units),
            price_impact_bps=swap.price_impact_bps,
            ts_ns=bar.ts_close_ns,
        )

    def liquidation_lamports(self, mint: str, base_units: int) -> int:
        """Return what selling at the newest close would bring, after pool fee and impact; 0 when it cannot be sold."""
        reserves = self._reserves(mint)
        if reserves is None or base_units <= 0:
            return 0
        out_of_pool = fill_model.lamports_from_sale(reserves, base_units)
        return out_of_pool - fill_model.fee_lamports(out_of_pool, self._markets[mint].instrument.pool_fee_bps)

    def mark(self, mint: str) -> Bar | None:
        """Return the newest bar."""
        market = self._markets.get(mint)
        return None if market is None else market.bar

    def is_tradable(self, mint: str) -> bool:
        return self._reserves(mint) is not None

    def open_orders(self) -> Sequence[Order]:
        return [submitted.order for submitted in self._open]

    def instrument(self, mint: str) -> Instrument | None:
        """Return what was listed under that mint."""
        market = self._markets.get(mint)
        return None if market is None else market.instrument

    def pool_lamports(self, mint: str) -> int:
        """Return the newest known SOL-side depth, 0 when the token cannot be traded."""
        reserves = self._reserves(mint)
        return 0 if reserves is None else reserves.lamports

    def held(self, mint: str) -> int:
        """Return the base units in the wallet."""
        return self._held.get(mint, 0)

    def _listed(self, instrument: Instrument) -> _Market:
        known = self._markets.get(instrument.mint)
        return _Market(instrument, None if known is None else known.bar)

    def _market_of(self, bar: Bar) -> _Market:
        market = self._markets.get(bar.mint)
        if market is None:
            msg = f"a bar of {bar.mint} came before the token was listed ({bar.source})"
            raise InvalidInput(msg, field="mint")
        return market

    def _reserves(self, mint: str) -> Reserves | None:
        market = self._markets.get(mint)
        if market is None or market.gone_reason is not None or market.bar is None:
            return None
        if market.reserves is None:
            market.reserves = market.reserves_at(market.bar.close)
        return market.reserves

    def _settle(self, event: MarketEvent) -> list[VenueReport]:
        reports: list[VenueReport] = []
        waiting: list[_Submitted] = []
        pool: Reserves | None = None
        ts_ns = ts_of(event)
        for submitted in self._open:
            order = submitted.order
            market = self._markets.get(order.mint)
            if market is None or market.gone_reason is not None:
                reason = "the token was never listed" if market is None else market.gone_reason
                reports.append(self._rejected(order, ts_ns, "unsellable", f"{order.mint}: {reason}"))
            elif isinstance(event, Bar) and event.mint == order.mint and event.ts_open_ns >= order.ts_ns:
                pool = pool or market.reserves_at(event.open)
                report, pool = self._execute(submitted, market.instrument, pool, event.ts_open_ns)
                reports.append(report)
            elif isinstance(event, CycleEnd) and self._is_past(order, market, ts_ns):
                reports.append(Rejected(order.id, ts_ns, "expired", "no market before the blockhash ran out", 0))
            else:
                waiting.append(submitted)
        self._open = waiting
        return reports

    def _has_expired(self, order: Order, ts_ns: int) -> bool:
        return order.purpose is Purpose.ENTRY and ts_ns - order.ts_ns > self._entry_life_ns

    def _is_past(self, order: Order, market: _Market, ts_ns: int) -> bool:
        """Tell whether no bar that opened in time can come any more (a bar is known only when it closes)."""
        interval_ns = 0 if market.bar is None else market.bar.ts_close_ns - market.bar.ts_open_ns
        return self._has_expired(order, ts_ns - interval_ns)

    def _execute(
        self, submitted: _Submitted, instrument: Instrument, pool: Reserves | None, ts_ns: int
    ) -> tuple[VenueReport, Reserves | None]:
        order = submitted.order
        if self._has_expired(order, ts_ns):
            return Rejected(order.id, ts_ns, "expired", "the next bar opened after the blockhash ran out", 0), pool
        if pool is None:
            return self._rejected(order, ts_ns, "unsellable", f"{order.mint}: the pool is empty"), None
        if order.side is Side.SELL and order.amount_in > self.held(order.mint):
            message = f"the wallet holds {self.held(order.mint)} base units, not {order.amount_in}"
            return self._rejected(order, ts_ns, "insufficient_funds", message), pool
        if order.amount_out:
            if order.amount_out >= pool.base_units:
                message = f"the pool holds {pool.base_units} base units, not {order.amount_out}"
                return self._rejected(order, ts_ns, "slippage", message), pool
            swap = fill_model.buy_exact(pool, order.amount_out, instrument.pool_fee_bps)
            if swap.lamports > order.amount_in:
                message = f"would cost {swap.lamports}, at most {order.amount_in} was offered"
                return self._rejected(order, ts_ns, "slippage", message), pool
        else:
            swap = self._swap(order.side, pool, order.amount_in, instrument.pool_fee_bps)
        out = swap.base_units if order.side is Side.BUY else swap.lamports
        if out < max(1, order.min_out):
            message = f"would give {out}, at least {order.min_out} was asked for"
            return self._rejected(order, ts_ns, "slippage", message), pool
        if self._overflows(order.mint, order.side, swap):
            return self._rejected(order, ts_ns, "overflow", f"{out} base units are more than an account holds"), pool
        if order.side is Side.BUY:
            paid = swap.lamports + SIGNATURE_FEE_LAMPORTS + order.priority_fee_lamports
            if order.is_below_average(paid, swap.base_units):
                message = f"would give {swap.base_units} base units for {paid}, cheaper than what is held"
                return self._rejected(order, ts_ns, "below_average_cost", message), pool
        fill = self._fill(submitted, swap, instrument.decimals, ts_ns)
        units = swap.base_units if order.side is Side.BUY else -swap.base_units
        left = self.held(order.mint) + units
        if left:
            self._held[order.mint] = left
        else:
            del self._held[order.mint]
        return fill, swap.after

    def _fill(self, submitted: _Submitted, swap: Swap, decimals: int, ts_ns: int) -> Fill:
        order = submitted.order
        expected = 0
        if submitted.mark_sol is not None:
            expected = token_value_lamports(swap.base_units, submitted.mark_sol, decimals)
        return Fill(
            order_id=order.id,
            ts_ns=ts_ns,
            side=order.side,
            mint=order.mint,
            lamports=swap.lamports,
            base_units=swap.base_units,
            pool_fee_lamports=swap.pool_fee_lamports,
            impact_lamports=swap.impact_lamports,
            network_fee_lamports=SIGNATURE_FEE_LAMPORTS,
            priority_fee_lamports=order.priority_fee_lamports,
            rent_lamports=self._rent(order.mint, order.side, swap.base_units),
            slippage_bps=fill_model.slippage_bps(swap.lamports, expected, is_buy=order.side is Side.BUY),
        )

    def _overflows(self, mint: str, side: Side, swap: Swap) -> bool:
        return side is Side.BUY and self.held(mint) + swap.base_units > BASE_UNITS_MAX

    def _rent(self, mint: str, side: Side, base_units: int) -> int:
        held = self.held(mint)
        if side is Side.BUY:
            return 0 if held else TOKEN_ACCOUNT_RENT_LAMPORTS
        return -TOKEN_ACCOUNT_RENT_LAMPORTS if held and base_units >= held else 0

    def _fee_bps(self, mint: str) -> int:
        return self._markets[mint].instrument.pool_fee_bps

    @staticmethod
    def _swap(side: Side, reserves: Reserves, amount_in: int, fee_bps: int) -> Swap:
        if side is Side.BUY:
            return fill_model.buy(reserves, amount_in, fee_bps)
        return fill_model.sell(reserves, amount_in, fee_bps)

    @staticmethod
    def _rejected(order: Order, ts_ns: int, reason: str, message: str) -> Rejected:
        return Rejected(order.id, ts_ns, reason, message, SIGNATURE_FEE_LAMPORTS + order.priority_fee_lamports)
