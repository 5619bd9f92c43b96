"""A launch curve: the constant product of virtual reserves, until its last unit is sold and it becomes a pool."""

from dataclasses import dataclass
from decimal import Decimal
from math import isqrt

from trading.model.instrument import LaunchCurve
from trading.model.units import sol_price_ratio

from . import fill_model
from .fill_model import Reserves, Swap


@dataclass(frozen=True, slots=True)
class Curve:
    """A curve at one moment. ``real_base_units`` are still for sale, ``real_lamports`` can still be paid out."""

    virtual: Reserves
    real_lamports: int
    real_base_units: int
    terms: LaunchCurve


@dataclass(frozen=True, slots=True)
class CurveSwap:
    """``after`` is a pool's reserves once the curve has graduated. ``is_complete``: nothing of the wish was cut off."""

    swap: Swap
    after: Curve | Reserves
    is_complete: bool

    @property
    def graduates(self) -> bool:
        return isinstance(self.after, Reserves)


def curve_at(terms: LaunchCurve, price_sol: Decimal, decimals: int) -> Curve | None:
    """Return the curve at a price (SOL per whole token), None where that price lies at or past its graduation.

    A curve never goes below the price that it began at: there it stands at its beginning. Raises: ValueError for a
    price that is none.
    """
    lamports, base_units = sol_price_ratio(price_sol, decimals)
    if lamports <= 0:
        msg = f"no curve has a price of {price_sol} SOL"
        raise ValueError(msg)
    product = terms.virtual_lamports * terms.virtual_base_units
    virtual_lamports = max(terms.virtual_lamports, isqrt(product * lamports // base_units))
    virtual = Reserves(virtual_lamports, product // virtual_lamports)
    real_base_units = virtual.base_units - (terms.virtual_base_units - terms.real_base_units)
    if real_base_units <= 0:
        return None
    return Curve(virtual, virtual_lamports - terms.virtual_lamports, real_base_units, terms)


def graduated_reserves(terms: LaunchCurve) -> Reserves:
    """Return the pool that a curve becomes."""
    return Reserves(terms.raised_lamports - terms.migration_lamports, terms.pool_base_units)


def graduated_depth(terms: LaunchCurve, price_sol: Decimal, decimals: int) -> int:
    """Return the SOL side of the pool that the curve became, once its price is this one."""
    lamports, base_units = sol_price_ratio(price_sol, decimals)
    began = graduated_reserves(terms)
    return isqrt(began.lamports * began.base_units * lamports // base_units) if lamports > 0 else 0


def buy(curve: Curve, lamports_max: int, fee_bps: int, creator_fee_bps: int = 0) -> CurveSwap:
    """Spend at most ``lamports_max``, fees included. What goes past the last unit for sale is cut off, not spent."""
    into_pool = fill_model.lamports_into_pool(lamports_max, fee_bps, creator_fee_bps)
    base_units = fill_model.base_units_for_exact_lamports(curve.virtual, into_pool)
    is_complete = base_units <= curve.real_base_units
    if not is_complete:
        base_units = curve.real_base_units
        into_pool = fill_model.lamports_for_exact_base_units(curve.virtual, base_units)
    return _bought(curve, into_pool, base_units, (fee_bps, creator_fee_bps), is_complete=is_complete)


def buy_exact(curve: Curve, base_units: int, fee_bps: int, creator_fee_bps: int = 0) -> CurveSwap:
    """Buy exactly ``base_units``, whatever it costs. Raises: ValueError when fewer are for sale."""
    if base_units > curve.real_base_units:
        msg = f"the curve sells {curve.real_base_units} base units, {base_units} cannot be bought"
        raise ValueError(msg)
    into_pool = fill_model.lamports_for_exact_base_units(curve.virtual, base_units)
    return _bought(curve, into_pool, base_units, (fee_bps, creator_fee_bps), is_complete=True)


def _bought(
    curve: Curve, into_pool: int, base_units: int, fees_bps: tuple[int, int], *, is_complete: bool
) -> CurveSwap:
    fee = fill_model.fees_lamports(into_pool, *fees_bps)
    swap = fill_model.bought(curve.virtual, into_pool, base_units, fee)
    if base_units == curve.real_base_units:
        return CurveSwap(swap, graduated_reserves(curve.terms), is_complete)
    left = curve.real_base_units - base_units
    return CurveSwap(swap, Curve(swap.after, curve.real_lamports + into_pool, left, curve.terms), is_complete)


def sell(curve: Curve, base_units: int, fee_bps: int, creator_fee_bps: int = 0) -> CurveSwap:
    """Sell exactly ``base_units``. The curve pays out no more than came in: units that it never sold bring nothing."""
    out_of_pool = min(curve.real_lamports, fill_model.lamports_from_sale(curve.virtual, base_units))
    swap = fill_model.sold(curve.virtual, out_of_pool, base_units, fee_bps, creator_fee_bps)
    back = curve.real_base_units + base_units
    return CurveSwap(swap, Curve(swap.after, curve.real_lamports - out_of_pool, back, curve.terms), True)
