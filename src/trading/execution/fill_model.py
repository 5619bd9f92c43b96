"""What a swap gives: the constant product in exact integers, with the pool fee, rounded against us.

The formulas are those of the pump.fun bonding curve (and of PumpSwap and Raydium CPMM up to their constants):
with reserves S (lamports) and T (base units), before fees

  exact in,  buy   base_units = lamports * T // (S + lamports)
  exact out, buy   lamports   = base_units * S // (T - base_units) + 1
  exact in,  sell  lamports   = base_units * S // (T + base_units)
  fee              ceil(lamports * fee_bps / 10000), on the SOL side: on top of a buy, out of a sale; the creator's
                   fee is a second one of the same kind

``curve_check`` runs these same functions against recorded on-chain trades.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal

from trading.model.units import BPS_ONE, LAMPORTS_PER_SOL, ceil_div, sol_price_ratio, token_scale


@dataclass(frozen=True, slots=True)
class Reserves:
    """Both sides of a pool; virtual ones for a bonding curve."""

    lamports: int
    base_units: int


@dataclass(frozen=True, slots=True)
class Swap:
    """What one swap does, split exactly.

    Buy: ``lamports`` leave the wallet = value at the mid price + ``impact_lamports`` + ``pool_fee_lamports``.
    Sell: ``lamports`` arrive = value at the mid price - ``impact_lamports`` - ``pool_fee_lamports``.
    ``pool_fee_lamports`` includes the creator's fee. The value at the mid price is base_units * S // T. ``after`` are
    the reserves that the swap leaves behind (the fees go to others, not into the pool).
    """

    lamports: int
    base_units: int
    pool_fee_lamports: int
    impact_lamports: int
    mid_lamports: int
    price_impact_bps: int
    after: Reserves


def base_units_for_exact_lamports(reserves: Reserves, lamports: int) -> int:
    """Return the base units that a buy of exactly ``lamports`` (fee already taken off) receives."""
    return lamports * reserves.base_units // (reserves.lamports + lamports)


def lamports_for_exact_base_units(reserves: Reserves, base_units: int) -> int:
    """Return what a buy of exactly ``base_units`` costs before fees. Raises: ValueError when the pool has too few."""
    if base_units >= reserves.base_units:
        msg = f"the pool holds {reserves.base_units} base units, {base_units} cannot be bought"
        raise ValueError(msg)
    return base_units * reserves.lamports // (reserves.base_units - base_units) + 1


def lamports_from_sale(reserves: Reserves, base_units: int) -> int:
    """Return what a sale of exactly ``base_units`` brings before fees."""
    return base_units * reserves.lamports // (reserves.base_units + base_units)


def fee_lamports(lamports: int, fee_bps: int) -> int:
    """Return the pool's fee on the SOL side of a swap, rounded up."""
    return ceil_div(lamports * fee_bps, BPS_ONE)


def reserves_at(price_sol: Decimal, decimals: int, pool_lamports: int) -> Reserves:
    """Return the reserves of a pool with that SOL-side depth and mid price (SOL per whole token), rounded down.

    Raises: ValueError when depth or price leaves no token reserve.
    """
    lamports, base_units = sol_price_ratio(price_sol, decimals)
    reserve = pool_lamports * base_units // lamports if lamports > 0 else 0
    if pool_lamports <= 0 or reserve <= 0:
        msg = f"no pool has a depth of {pool_lamports} lamports at a price of {price_sol} SOL"
        raise ValueError(msg)
    return Reserves(pool_lamports, reserve)


def lamports_into_pool(lamports_max: int, fee_bps: int, creator_fee_bps: int = 0) -> int:
    """Return the most that may go into the pool so that with both fees it is at most ``lamports_max``."""
    into_pool = lamports_max * BPS_ONE // (BPS_ONE + fee_bps + creator_fee_bps)
    # Two fees, each rounded up, may be one lamport more than their sum rounded up.
    is_over = into_pool + fees_lamports(into_pool, fee_bps, creator_fee_bps) > lamports_max
    return into_pool - 1 if is_over else into_pool


def fees_lamports(lamports: int, fee_bps: int, creator_fee_bps: int = 0) -> int:
    """Return the pool's and the creator's fee on the SOL side of a swap, each rounded up."""
    fee = fee_lamports(lamports, fee_bps)
    return fee + fee_lamports(lamports, creator_fee_bps) if creator_fee_bps else fee


def buy(reserves: Reserves, lamports_max: int, fee_bps: int, creator_fee_bps: int = 0) -> Swap:
    """Spend at most ``lamports_max``, fees included; the rounding leaves at most a lamport a fee unspent."""
    into_pool = lamports_into_pool(lamports_max, fee_bps, creator_fee_bps)
    base_units = base_units_for_exact_lamports(reserves, into_pool)
    return bought(reserves, into_pool, base_units, fees_lamports(into_pool, fee_bps, creator_fee_bps))


def bought(reserves: Reserves, into_pool: int, base_units: int, fee: int) -> Swap:
    """Return the swap in which ``into_pool`` lamports bought these units, and ``fee`` came on top."""
    mid = base_units * reserves.lamports // reserves.base_units
    impact = into_pool - mid
    return Swap(
        lamports=into_pool + fee,
        base_units=base_units,
        pool_fee_lamports=fee,
        impact_lamports=impact,
        mid_lamports=mid,
        price_impact_bps=ceil_div(impact * BPS_ONE, into_pool) if into_pool else 0,
        after=Reserves(reserves.lamports + into_pool, reserves.base_units - base_units),
    )


def buy_exact(reserves: Reserves, base_units: int, fee_bps: int, creator_fee_bps: int = 0) -> Swap:
    """Buy exactly ``base_units``, whatever it costs. Raises: ValueError when the pool has too few."""
    into_pool = lamports_for_exact_base_units(reserves, base_units)
    return bought(reserves, into_pool, base_units, fees_lamports(into_pool, fee_bps, creator_fee_bps))


def sell(reserves: Reserves, base_units: int, fee_bps: int, creator_fee_bps: int = 0) -> Swap:
    """Sell exactly ``base_units``."""
    return sold(reserves, lamports_from_sale(reserves, base_units), base_units, fee_bps, creator_fee_bps)


def sold(reserves: Reserves, out_of_pool: int, base_units: int, fee_bps: int, creator_fee_bps: int = 0) -> Swap:
    """Return the swap in which these units brought ``out_of_pool`` lamports, fees still to come off."""
    fee = min(out_of_pool, fees_lamports(out_of_pool, fee_bps, creator_fee_bps))
    mid = base_units * reserves.lamports // reserves.base_units
    impact = mid - out_of_pool
    return Swap(
        lamports=out_of_pool - fee,
        base_units=base_units,
        pool_fee_lamports=fee,
        impact_lamports=impact,
        mid_lamports=mid,
        price_impact_bps=ceil_div(impact * BPS_ONE, mid) if mid else 0,
        after=Reserves(reserves.lamports - out_of_pool, reserves.base_units + base_units),
    )


def sales_lamports(
    base_units: int, pools: Iterable[tuple[Decimal, int]], decimals: int, fee_bps: int, creator_fee_bps: int
) -> Iterator[int]:
    """Yield what selling ``base_units`` brings after fees in each pool of this mid price and SOL-side depth, 0 where
    there is no pool: ``reserves_at``, ``lamports_from_sale`` and ``fees_lamports`` in one, for many prices."""
    units_scale = token_scale(decimals)
    for price_sol, depth in pools:
        numerator, denominator = price_sol.as_integer_ratio()
        lamports = numerator * LAMPORTS_PER_SOL
        reserve = depth * denominator * units_scale // lamports if lamports > 0 and depth > 0 else 0
        if reserve <= 0:
            yield 0
            continue
        out = base_units * depth // (reserve + base_units)
        fee = -(-out * fee_bps // BPS_ONE)
        if creator_fee_bps:
            fee += -(-out * creator_fee_bps // BPS_ONE)
        yield out - fee if fee < out else 0


def slippage_bps(paid_lamports: int, expected_lamports: int, *, is_buy: bool) -> int:
    """Return how much worse (positive) a swap was than the mark at its decision, rounded against us."""
    if expected_lamports <= 0:
        return 0
    worse = paid_lamports - expected_lamports if is_buy else expected_lamports - paid_lamports
    return ceil_div(worse * BPS_ONE, expected_lamports)
