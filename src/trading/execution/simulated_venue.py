"""A venue made of bars: the pool of each token, Solana fees, account rent, everything in exact integers.

Conventions, declared:

- An order handed in at the end of a cycle fills at the OPEN of the next bar of its token, which nobody could see when
  the order was decided. Under conditions in which a transaction takes time it fills where the price has moved by then
  (``landing.price_at``), in the bar in which it lands. Depth is the newest one known before that bar.
- Orders that fill at the same moment trade one after the other against the same pool, so they pay each other's impact.
  The impact does not carry over to the next bar: recorded bars are a market in which our swap did not happen, and
  arbitrage closes such a gap within seconds. What our swap moved is paid in full by the fill itself.
- A bar that opened before the order was decided never fills it.
- An entry that no block takes, or that finds no bar before its blockhash runs out, expires uncharged. An exit stays: it
  is sent again until it lands.
- A swap happens whole or not at all, as on chain.
- A purchase of more base units than a token account can hold (64 bits) is none: no quote, and no fill.
- A swap that misses ``min_out`` fails on chain, and a failed transaction still pays its fees. So does a buy that would
  fill below the average cost of what is held: a guard in the transaction sees the price that the decision could not.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal, NoReturn

from trading.errors import InvalidInput
from trading.model.instrument import CONSTANT_PRODUCT, Instrument
from trading.model.market_data import (
    Advised,
    Bar,
    CycleEnd,
    FactsKnown,
    MarketEvent,
    Swap,
    TokenGone,
    TokenListed,
    ts_of,
)
from trading.model.network import SIGNATURE_FEE_LAMPORTS, TOKEN_ACCOUNT_RENT_LAMPORTS
from trading.model.order import Fill, Order, Purpose, Rejected, Side, SwapQuote, VenueReport
from trading.model.position import token_value_lamports
from trading.model.units import BASE_UNITS_MAX, BPS_ONE
from trading.model.wallet import MAIN, account_key

from . import fill_model, pools
from .conditions import IDEAL, Conditions
from .fill_model import Reserves
from .landing import UNLANDED, Chance, landing_ns, price_at
from .markets import Market
from .pools import Pool, PoolSwap


@dataclass(slots=True)
class Submitted:
    """An order that is under way. ``lands_ns`` is when its newest sending lands, None when that one never does."""

    order: Order
    mark_sol: Decimal | None
    sending: int
    lands_ns: int | None


@dataclass(slots=True)
class _Meeting:
    """The pool that orders of one bar meet: at another time or price it is another one."""

    ts_ns: int
    pool: Pool | None


class SimulatedVenue:
    """Body of ``ports.Venue``. ``held`` are the base units per token that the wallet holds when it starts; ``seed``
    is where the chance of the conditions begins."""

    def __init__(self, held: Mapping[str, int] | None = None, conditions: Conditions = IDEAL, seed: int = 0) -> None:
        self.conditions = conditions
        self._chance = Chance(seed)
        self._markets: dict[str, Market] = {}
        self._open: list[Submitted] = []
        self._held: dict[str, int] = {mint: units for mint, units in (held or {}).items() if units > 0}
        """By account of a wallet: it is there, and its rent is paid, exactly while it holds some of its token."""

    def submit(self, order: Order) -> None:
        """Take an order in. Raises: InvalidInput for an amount that is no amount, or an id that is open already."""
        self._check(order)
        bar = self.mark(order.mint)
        lands_ns = landing_ns(self.conditions, self._chance, order, 0)
        self._open.append(Submitted(order, None if bar is None else bar.close, 0, lands_ns))

    def _check(self, order: Order) -> None:
        if order.amount_in <= 0 or order.min_out < 0 or order.priority_fee_lamports < 0:
            msg = f"order {order.id}: amount_in must be above 0, min_out and priority_fee_lamports at least 0"
            raise InvalidInput(msg, field="amount_in")
        if any(submitted.order.id == order.id for submitted in self._open):
            msg = f"order {order.id} is open already"
            raise InvalidInput(msg, field="id")

    def on_market(self, event: MarketEvent) -> Sequence[VenueReport]:
        """Move the market and return what became of open orders because of it, in submission order."""
        if type(event) is Bar:
            known = self._markets.get(event.mint) or self._unlisted(event)
            reports = self._settle(event) if self._open else ()
            known.bar = event
            known.pool = None
            if known.learns:
                known.learn(event, self.conditions)
            return reports
        # The bars are made of the one, what is so of the other; what somebody thinks of it moves no market.
        if type(event) is Swap or type(event) is FactsKnown or type(event) is Advised:
            return ()
        if isinstance(event, TokenListed):
            self._markets[event.instrument.mint] = self._listed(event.instrument)
        elif isinstance(event, TokenGone):
            market = self._markets.get(event.mint)
            if market is not None:
                market.gone_reason = event.reason
        return self._settle(event) if self._open else ()

    def quote(self, mint: str, side: Side, amount_in: int) -> SwapQuote | None:
        """Return what a swap would give at the newest close, None when the token cannot be traded."""
        pool = self._pool(mint)
        if pool is None or amount_in <= 0:
            return None
        instrument = self._markets[mint].instrument
        if side is Side.SELL and not instrument.is_sellable:
            return None
        return self._quoted(mint, side, amount_in, _swap(side, pool, amount_in, instrument))

    def quote_exact(self, mint: str, base_units: int) -> SwapQuote | None:
        """Return what buying exactly so many base units would cost now, None when they cannot be bought."""
        pool = self._pool(mint)
        if pool is None or base_units <= 0:
            return None
        swap = pools.buy_exact(pool, base_units, self._markets[mint].instrument)
        return None if swap is None else self._quoted(mint, Side.BUY, swap.lamports, swap)

    def _quoted(self, mint: str, side: Side, amount_in: int, swap: PoolSwap) -> SwapQuote | None:
        if _is_short(swap) or self._overflows(mint, side, swap):
            return None
        bar = self._markets[mint].bar
        assert bar is not None  # there is no pool without a bar
        return SwapQuote(
            mint=mint,
            side=side,
            amount_in=amount_in,
            amount_out=_out(side, swap),
            pool_fee_lamports=swap.pool_fee_lamports,
            impact_lamports=swap.impact_lamports,
            network_fee_lamports=SIGNATURE_FEE_LAMPORTS,
            rent_lamports=self._rent(mint, side, swap.base_units),
            price_impact_bps=swap.price_impact_bps,
            ts_ns=bar.ts_close_ns,
        )

    def liquidation_lamports(self, mint: str, base_units: int) -> int:
        """Return what selling at the newest close would bring, after fees and impact; 0 when it cannot be sold."""
        pool = self._pool(mint)
        if pool is None or base_units <= 0:
            return 0
        instrument = self._markets[mint].instrument
        if not instrument.is_sellable:
            return 0
        if type(pool) is not Reserves or instrument.transfer_fee_bps:
            return pools.sell(pool, base_units, instrument).lamports
        # Asked at every mark of every position, so without the parts that only explain it.
        out_of_pool = fill_model.lamports_from_sale(pool, base_units)
        return out_of_pool - min(
            out_of_pool, fill_model.fees_lamports(out_of_pool, instrument.pool_fee_bps, instrument.creator_fee_bps)
        )

    def liquidations(self, mint: str, base_units: int, bars: Sequence[Bar]) -> Iterator[int] | None:
        """Return what ``liquidation_lamports`` would say at each of these bars; None for a pool that is more than a
        constant product, or whose depth rests on more than the bar."""
        market = self._markets.get(mint)
        if market is None or market.learns or market.gone_reason is not None or base_units <= 0:
            return None
        instrument = market.instrument
        if instrument.pool != CONSTANT_PRODUCT or instrument.transfer_fee_bps or not instrument.is_sellable:
            return None
        depth = instrument.pool_lamports_default
        pools = ((bar.close, depth if bar.pool_lamports is None else bar.pool_lamports) for bar in bars)
        fees = (instrument.pool_fee_bps, instrument.creator_fee_bps)
        return fill_model.sales_lamports(base_units, pools, instrument.decimals, *fees)

    def on_bars(self, bars: Sequence[Bar]) -> None:
        """Take bars of one listed token while no order is open: as ``on_market`` with each."""
        market = self._markets.get(bars[0].mint) or self._unlisted(bars[0])
        market.bar = bars[-1]
        market.pool = None
        if market.learns:
            for bar in bars:
                market.learn(bar, self.conditions)

    def mark(self, mint: str) -> Bar | None:
        """Return the newest bar."""
        market = self._markets.get(mint)
        return None if market is None else market.bar

    def is_tradable(self, mint: str) -> bool:
        return self._pool(mint) is not None

    def open_orders(self) -> Sequence[Order]:
        return [submitted.order for submitted in self._open]

    def instrument(self, mint: str) -> Instrument | None:
        """Return what was listed under that mint."""
        market = self._markets.get(mint)
        return None if market is None else market.instrument

    def pool_lamports(self, mint: str) -> int:
        """Return the newest known SOL-side depth (``pools.depth_lamports``), 0 when the token cannot be traded."""
        pool = self._pool(mint)
        return 0 if pool is None else pools.depth_lamports(pool)

    def has_graduated(self, mint: str) -> bool:
        """Say whether the token was seen to leave its launch curve for a pool."""
        market = self._markets.get(mint)
        return market is not None and market.has_graduated

    def held(self, mint: str, wallet: str = MAIN) -> int:
        """Return the base units in a wallet."""
        return self._held.get(account_key(wallet, mint), 0)

    @staticmethod
    def _unlisted(bar: Bar) -> NoReturn:
        msg = f"a bar of {bar.mint} came before the token was listed ({bar.source})"
        raise InvalidInput(msg, field="mint")

    def _listed(self, instrument: Instrument) -> Market:
        known = self._markets.get(instrument.mint)
        if known is None:
            return Market.of(instrument, self.conditions)
        return known.listed_again(instrument, self.conditions)

    def _pool(self, mint: str) -> Pool | None:
        market = self._markets.get(mint)
        return None if market is None else market.pool_now(self.conditions)

    def _settle(self, event: MarketEvent) -> list[VenueReport]:
        """Return the reports in submission order; within a bar what lands first meets the pool first."""
        ts_ns = ts_of(event)
        reports: dict[str, VenueReport] = {}
        landed: list[tuple[int, Submitted]] = []
        for submitted in self._open:
            order = submitted.order
            market = self._markets.get(order.mint)
            if market is None or market.gone_reason is not None:
                reason = "the token was never listed" if market is None else market.gone_reason
                gone = self._rejected(order, ts_ns, "unsellable", f"{order.mint}: {reason}")
                has_landed = submitted.lands_ns is not None and submitted.lands_ns <= ts_ns
                reports[order.id] = gone if has_landed else replace(gone, charged_lamports=0)
                continue
            self._send_again(submitted, ts_ns)
            if isinstance(event, Bar) and event.mint == order.mint and event.ts_open_ns >= order.ts_ns:
                lands_ns = submitted.lands_ns
                if lands_ns is not None and lands_ns < event.ts_close_ns:
                    landed.append((max(lands_ns, event.ts_open_ns), submitted))
            elif isinstance(event, CycleEnd):
                expired = self._expired(submitted, market, ts_ns)
                if expired is not None:
                    reports[order.id] = expired
        if landed and isinstance(event, Bar):
            self._execute_landed(landed, event, reports)
        waiting = [submitted for submitted in self._open if submitted.order.id not in reports]
        ordered = [reports[submitted.order.id] for submitted in self._open if submitted.order.id in reports]
        self._open = waiting
        return ordered

    def _send_again(self, submitted: Submitted, ts_ns: int) -> None:
        """Send an exit with a new blockhash as often as the old ones ran out by now."""
        order, conditions = submitted.order, self.conditions
        if order.purpose is Purpose.ENTRY:
            return
        while submitted.lands_ns is None and order.ts_ns + (submitted.sending + 1) * conditions.expiry_ns <= ts_ns:
            submitted.sending += 1
            submitted.lands_ns = landing_ns(conditions, self._chance, order, submitted.sending)

    def _expired(self, submitted: Submitted, market: Market, ts_ns: int) -> Rejected | None:
        """Return the end of an entry that cannot fill any more; a bar is known only when it closes."""
        order = submitted.order
        if submitted.lands_ns is None:
            is_dead = order.purpose is Purpose.ENTRY and ts_ns - order.ts_ns >= self.conditions.expiry_ns
            return Rejected(order.id, ts_ns, "expired", UNLANDED, 0) if is_dead else None
        interval_ns = 0 if market.bar is None else market.bar.ts_close_ns - market.bar.ts_open_ns
        if self._has_expired(order, ts_ns - interval_ns):
            return Rejected(order.id, ts_ns, "expired", "no market before the blockhash ran out", 0)
        return None

    def _has_expired(self, order: Order, ts_ns: int) -> bool:
        return order.purpose is Purpose.ENTRY and ts_ns - order.ts_ns > self.conditions.expiry_ns

    def _execute_landed(self, landed: list[tuple[int, Submitted]], bar: Bar, reports: dict[str, VenueReport]) -> None:
        market = self._markets[bar.mint]
        met: _Meeting | None = None
        for ts_ns, submitted in sorted(landed, key=lambda each: each[0]):
            if met is None or met.ts_ns != ts_ns:
                price_sol = price_at(bar, ts_ns, self.conditions, self._chance)
                met = _Meeting(ts_ns, market.pool_at(price_sol, self.conditions))
            reports[submitted.order.id] = self._execute(submitted, market.instrument, met)

    def _execute(self, submitted: Submitted, instrument: Instrument, met: _Meeting) -> VenueReport:
        order, ts_ns, pool = submitted.order, met.ts_ns, met.pool
        if self._has_expired(order, ts_ns):
            return Rejected(order.id, ts_ns, "expired", "the next bar opened after the blockhash ran out", 0)
        if pool is None:
            return self._rejected(order, ts_ns, "unsellable", f"{order.mint}: the pool is empty")
        if order.side is Side.SELL and not instrument.is_sellable:
            return self._rejected(order, ts_ns, "unsellable", f"{order.mint}: the mint lets nobody sell")
        held = self.held(order.mint, order.wallet)
        if order.side is Side.SELL and order.amount_in > held:
            message = f"the wallet holds {held} base units, not {order.amount_in}"
            return self._rejected(order, ts_ns, "insufficient_funds", message)
        if self._is_hit(submitted, "failure", self.conditions.failure_ppm):
            return self._rejected(order, ts_ns, "failed", "the transaction landed and failed")
        swap = self._swapped(order, pool, instrument)
        if isinstance(swap, str):
            return self._rejected(order, ts_ns, "slippage", swap)
        if self._overflows(order.mint, order.side, swap, order.wallet):
            message = f"{swap.base_units} base units are more than an account holds"
            return self._rejected(order, ts_ns, "overflow", message)
        if order.side is Side.BUY:
            paid = swap.lamports + SIGNATURE_FEE_LAMPORTS + order.priority_fee_lamports
            if order.is_below_average(paid, swap.base_units):
                message = f"would give {swap.base_units} base units for {paid}, cheaper than what is held"
                return self._rejected(order, ts_ns, "below_average_cost", message)
        met.pool = swap.after
        adverse = 0
        if self._is_hit(submitted, "adverse", self.conditions.adverse_ppm):
            swap, adverse = _traded_around(order, swap, self.conditions.adverse_bps)
        fill = self._fill(submitted, swap, instrument.decimals, ts_ns)
        self._book(order, swap.base_units)
        return replace(fill, adverse_lamports=adverse, graduates=swap.graduates) if adverse or swap.graduates else fill

    @staticmethod
    def _swapped(order: Order, pool: Pool, instrument: Instrument) -> PoolSwap | str:
        """Return the swap of an order, or what is wrong with it."""
        if order.amount_out:
            swap = pools.buy_exact(pool, order.amount_out, instrument)
            if swap is None:
                return f"the pool has less than {order.amount_out} base units to sell"
            if swap.lamports > order.amount_in:
                return f"would cost {swap.lamports}, at most {order.amount_in} was offered"
        else:
            swap = _swap(order.side, pool, order.amount_in, instrument)
        if _is_short(swap):
            return f"the pool cannot swap all of {order.amount_in}"
        out = _out(order.side, swap)
        if out < _min_out(order):
            return f"would give {out}, at least {_min_out(order)} was asked for"
        return swap

    def _is_hit(self, submitted: Submitted, what: Literal["failure", "adverse"], ppm: int) -> bool:
        if ppm == 0:
            return False
        fate = self._chance.fate(submitted.order.id, submitted.sending, self.conditions.jitter_slots)
        return (fate.failure if what == "failure" else fate.adverse) < ppm

    def _book(self, order: Order, base_units: int) -> None:
        key = account_key(order.wallet, order.mint)
        left = self._held.get(key, 0) + (base_units if order.side is Side.BUY else -base_units)
        if left:
            self._held[key] = left
        else:
            del self._held[key]

    def _fill(self, submitted: Submitted, swap: PoolSwap, decimals: int, ts_ns: int) -> Fill:
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
            rent_lamports=self._rent(order.mint, order.side, swap.base_units, order.wallet),
            slippage_bps=fill_model.slippage_bps(swap.lamports, expected, is_buy=order.side is Side.BUY),
        )

    def _overflows(self, mint: str, side: Side, swap: PoolSwap, wallet: str = MAIN) -> bool:
        return side is Side.BUY and self.held(mint, wallet) + swap.base_units > BASE_UNITS_MAX

    def _rent(self, mint: str, side: Side, base_units: int, wallet: str = MAIN) -> int:
        held = self.held(mint, wallet)
        if side is Side.BUY:
            return 0 if held else TOKEN_ACCOUNT_RENT_LAMPORTS
        return -TOKEN_ACCOUNT_RENT_LAMPORTS if held and base_units >= held else 0

    @staticmethod
    def _rejected(order: Order, ts_ns: int, reason: str, message: str) -> Rejected:
        return Rejected(order.id, ts_ns, reason, message, SIGNATURE_FEE_LAMPORTS + order.priority_fee_lamports)


def _swap(side: Side, pool: Pool, amount_in: int, instrument: Instrument) -> PoolSwap:
    return (pools.buy if side is Side.BUY else pools.sell)(pool, amount_in, instrument)


def _out(side: Side, swap: PoolSwap) -> int:
    return swap.base_units if side is Side.BUY else swap.lamports


def _is_short(swap: PoolSwap) -> bool:
    """Say whether the pool ran out. A launch curve that sells its last unit gives what it has and is none such."""
    return not swap.is_complete and not swap.graduates


def _min_out(order: Order) -> int:
    """Return the least that a swap must give: never nothing."""
    return max(1, order.min_out)


def _traded_around(order: Order, swap: PoolSwap, adverse_bps: int) -> tuple[PoolSwap, int]:
    """Return the swap with that share of its slippage tolerance taken by others, and what that was worth."""
    if order.amount_out:  # what it gets is fixed: what it pays is what others can move
        taken = (order.amount_in - swap.lamports) * adverse_bps // BPS_ONE
        dearer = replace(swap, lamports=swap.lamports + taken, impact_lamports=swap.impact_lamports + taken)
        return dearer, taken
    taken = (_out(order.side, swap) - _min_out(order)) * adverse_bps // BPS_ONE
    if order.side is Side.SELL:
        lost = replace(swap, lamports=swap.lamports - taken, impact_lamports=swap.impact_lamports + taken)
        return lost, taken
    value = swap.lamports - swap.impact_lamports - swap.pool_fee_lamports
    units = swap.base_units - taken
    worth = value - value * units // swap.base_units
    return replace(swap, base_units=units, impact_lamports=swap.impact_lamports + worth), worth
