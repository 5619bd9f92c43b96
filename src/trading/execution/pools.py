"""Every kind of pool behind two functions: what a buy and what a sale would do in it now."""

from dataclasses import dataclass, replace
from decimal import Decimal
from math import isqrt

from trading.model.instrument import Concentrated, Instrument, LaunchCurve
from trading.model.units import BPS_ONE, ceil_div, sol_price_ratio

from . import bonding_curve, concentrated, fill_model
from .bonding_curve import Curve, CurveSwap
from .concentrated import FEE_ONE, TickPool, TickSwap
from .fill_model import Reserves, Swap
from .tick_math import SQRT_PRICE_MAX, SQRT_PRICE_MIN, TICK_MAX, tick_at_sqrt_price

Pool = Reserves | TickPool | Curve
_FEE_PPM_PER_BPS = FEE_ONE // BPS_ONE
_PRICE_BITS = 128
"""A price is the square of a Q64.64."""


@dataclass(frozen=True, slots=True)
class PoolSwap:
    """What one swap does, in any kind of pool; the parts are those of ``fill_model.Swap``.

    ``base_units`` of a sale are those that the pool took. ``is_complete``: it gave or took all that was asked for.
    ``graduates``: it bought the last unit of a launch curve, and ``after`` is the pool that came of it.
    """

    lamports: int
    base_units: int
    pool_fee_lamports: int
    impact_lamports: int
    price_impact_bps: int
    after: Pool
    is_complete: bool = True
    graduates: bool = False


def pool_at(
    instrument: Instrument, price_sol: Decimal, depth_lamports: int, *, has_graduated: bool = False
) -> Pool | None:
    """Return the pool of an instrument at a price, None where there can be none.

    ``depth_lamports`` is the SOL side of a constant product. A launch curve at or past its graduation is one.
    """
    try:
        match instrument.pool:
            case Concentrated():
                return _tick_pool(instrument.pool, price_sol, instrument)
            case LaunchCurve() if not has_graduated:
                curve = bonding_curve.curve_at(instrument.pool, price_sol, instrument.decimals)
                if curve is not None:
                    return curve
        return fill_model.reserves_at(price_sol, instrument.decimals, depth_lamports)
    except ValueError:
        return None


def depth_lamports(pool: Pool) -> int:
    """Return the SOL side of the constant product that moves as this pool does at its present price."""
    if type(pool) is Reserves:
        return pool.lamports
    if isinstance(pool, TickPool):
        return pool.liquidity * pool.sqrt_price >> 64
    assert isinstance(pool, Curve)
    return pool.virtual.lamports


def buy(pool: Pool, lamports_max: int, instrument: Instrument) -> PoolSwap:
    """Spend at most ``lamports_max``, fees included."""
    return _received(_bought(pool, lamports_max, instrument), instrument)


def _bought(pool: Pool, lamports_max: int, instrument: Instrument) -> PoolSwap:
    fees = (instrument.pool_fee_bps, instrument.creator_fee_bps)
    if type(pool) is Reserves:
        return _of_reserves(fill_model.buy(pool, lamports_max, *fees))
    if isinstance(pool, TickPool):
        return _tick_buy(pool, lamports_max, instrument.creator_fee_bps)
    assert isinstance(pool, Curve)
    return _of_curve(bonding_curve.buy(pool, lamports_max, *fees))


def buy_exact(pool: Pool, base_units: int, instrument: Instrument) -> PoolSwap | None:
    """Buy exactly ``base_units``, whatever it costs; None when the pool has not so many to sell."""
    sent = _sent_for(base_units, instrument.transfer_fee_bps)
    swap = None if sent is None else _bought_exact(pool, sent, instrument)
    return None if swap is None else _received(swap, instrument)


def _bought_exact(pool: Pool, base_units: int, instrument: Instrument) -> PoolSwap | None:
    fees = (instrument.pool_fee_bps, instrument.creator_fee_bps)
    if type(pool) is Reserves:
        return _of_reserves(fill_model.buy_exact(pool, base_units, *fees)) if base_units < pool.base_units else None
    if isinstance(pool, TickPool):
        swap = concentrated.swap(pool, base_units, is_input=False, gives_a=False)
        return _tick_bought(pool, swap, instrument.creator_fee_bps) if swap.is_complete else None
    assert isinstance(pool, Curve)
    return _of_curve(bonding_curve.buy_exact(pool, base_units, *fees)) if base_units <= pool.real_base_units else None


def sell(pool: Pool, base_units: int, instrument: Instrument) -> PoolSwap:
    """Sell exactly ``base_units``, or as many of them as the pool takes."""
    kept = ceil_div(base_units * instrument.transfer_fee_bps, BPS_ONE)
    swap = _sold(pool, base_units - kept, instrument)
    if not kept:
        return swap
    worth = _mid_of_sale(swap) * kept // max(1, swap.base_units)
    return replace(swap, base_units=swap.base_units + kept, pool_fee_lamports=swap.pool_fee_lamports + worth)


def _sold(pool: Pool, base_units: int, instrument: Instrument) -> PoolSwap:
    fees = (instrument.pool_fee_bps, instrument.creator_fee_bps)
    if type(pool) is Reserves:
        return _of_reserves(fill_model.sell(pool, base_units, *fees))
    if isinstance(pool, TickPool):
        return _tick_sell(pool, base_units, instrument.creator_fee_bps)
    assert isinstance(pool, Curve)
    return _of_curve(bonding_curve.sell(pool, base_units, *fees))


def _received(swap: PoolSwap, instrument: Instrument) -> PoolSwap:
    """Return a purchase without what the mint keeps of it, which counts as a fee at the price before the swap."""
    kept = ceil_div(swap.base_units * instrument.transfer_fee_bps, BPS_ONE)
    if not kept:
        return swap
    mid = swap.lamports - swap.pool_fee_lamports - swap.impact_lamports
    fees = swap.pool_fee_lamports + mid * kept // swap.base_units
    return replace(swap, base_units=swap.base_units - kept, pool_fee_lamports=fees)


def _mid_of_sale(swap: PoolSwap) -> int:
    return swap.lamports + swap.pool_fee_lamports + swap.impact_lamports


def _sent_for(base_units: int, fee_bps: int) -> int | None:
    """Return how many must be sent so that exactly ``base_units`` arrive, None where none ever do."""
    if fee_bps >= BPS_ONE:
        return None
    sent = ceil_div(base_units * BPS_ONE, BPS_ONE - fee_bps)
    while sent - ceil_div(sent * fee_bps, BPS_ONE) > base_units:  # rounded up twice: at most one too many arrives
        sent -= 1
    return sent


def _of_reserves(swap: Swap) -> PoolSwap:
    return PoolSwap(
        swap.lamports,
        swap.base_units,
        swap.pool_fee_lamports,
        swap.impact_lamports,
        swap.price_impact_bps,
        swap.after,
    )


def _of_curve(found: CurveSwap) -> PoolSwap:
    swap = found.swap
    return PoolSwap(
        swap.lamports,
        swap.base_units,
        swap.pool_fee_lamports,
        swap.impact_lamports,
        swap.price_impact_bps,
        found.after,
        found.is_complete,
        found.graduates,
    )


def _tick_buy(pool: TickPool, lamports_max: int, creator_fee_bps: int) -> PoolSwap:
    """SOL is token B: a buy gives it and the price rises."""
    budget = lamports_max * BPS_ONE // (BPS_ONE + creator_fee_bps)
    return _tick_bought(pool, concentrated.swap(pool, budget, is_input=True, gives_a=False), creator_fee_bps)


def _tick_bought(pool: TickPool, swap: TickSwap, creator_fee_bps: int) -> PoolSwap:
    creator_fee = fill_model.fee_lamports(swap.amount_in, creator_fee_bps)
    into_pool = swap.amount_in - swap.fee
    impact = into_pool - _value_lamports(pool, swap.amount_out)
    return PoolSwap(
        lamports=swap.amount_in + creator_fee,
        base_units=swap.amount_out,
        pool_fee_lamports=swap.fee + creator_fee,
        impact_lamports=impact,
        price_impact_bps=ceil_div(impact * BPS_ONE, into_pool) if into_pool else 0,
        after=swap.after,
        is_complete=swap.is_complete,
    )


def _tick_sell(pool: TickPool, base_units: int, creator_fee_bps: int) -> PoolSwap:
    """The fee of a sale is taken in tokens; it is shown as what they are worth at the price before the swap."""
    swap = concentrated.swap(pool, base_units, is_input=True, gives_a=True)
    fee = _value_lamports(pool, swap.fee)
    creator_fee = min(swap.amount_out, fill_model.fee_lamports(swap.amount_out, creator_fee_bps))
    value = _value_lamports(pool, swap.amount_in)
    impact = value - fee - swap.amount_out
    return PoolSwap(
        lamports=swap.amount_out - creator_fee,
        base_units=swap.amount_in,
        pool_fee_lamports=fee + creator_fee,
        impact_lamports=impact,
        price_impact_bps=ceil_div(impact * BPS_ONE, value) if value else 0,
        after=swap.after,
        is_complete=swap.is_complete,
    )


def _value_lamports(pool: TickPool, base_units: int) -> int:
    return base_units * pool.sqrt_price * pool.sqrt_price >> _PRICE_BITS


def _tick_pool(terms: Concentrated, price_sol: Decimal, instrument: Instrument) -> TickPool | None:
    lamports, base_units = sol_price_ratio(price_sol, instrument.decimals)
    sqrt_price = isqrt((lamports << _PRICE_BITS) // base_units) if lamports > 0 else 0
    if not SQRT_PRICE_MIN < sqrt_price < SQRT_PRICE_MAX:
        return None
    spacing = terms.tick_spacing
    edge = TICK_MAX // spacing * spacing
    ticks = [(-edge, terms.liquidity), (edge, -terms.liquidity)]
    if terms.range_spacings:
        centre = tick_at_sqrt_price(sqrt_price) // spacing * spacing
        lower = max(-edge, centre - terms.range_spacings * spacing)
        upper = min(edge, centre + (terms.range_spacings + 1) * spacing)
        more = terms.liquidity - terms.liquidity_beyond
        ticks = [(-edge, terms.liquidity_beyond), (lower, more), (upper, -more), (edge, -terms.liquidity_beyond)]
    return concentrated.tick_pool(sqrt_price, instrument.pool_fee_bps * _FEE_PPM_PER_BPS, tuple(ticks))
