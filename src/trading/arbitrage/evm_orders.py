"""An approved order as an intent on an EVM chain, and what became of the intent as a report to the desk."""

from dataclasses import dataclass
from fractions import Fraction
from math import ceil

from trading.model.evm import TOLD, EvmIntent, EvmRecord, EvmState, PoolRef
from trading.model.identifiers import derived_id
from trading.model.order import Fill, Order, Rejected, Side, SwapQuote, VenueReport
from trading.model.units import BPS_ONE, ratio_bps

from .evm_venue import Cash


@dataclass(frozen=True, slots=True)
class EvmTerms:
    """What the desk adds to an order for the chain. ``lamports_per_wei`` is what gas is worth in the books."""

    account: str
    fee_wei_max: int
    attempts_max: int
    wait_ns: int
    now_ns: int
    lamports_per_wei: Fraction


def intent_of(order: Order, pool: PoolRef, cash: Cash, run_id: str, terms: EvmTerms) -> EvmIntent:
    """Return what an order wishes from the chain; the same order of a run is the same intent."""
    is_buy, key = order.side is Side.BUY, f"{run_id}/{order.id}"
    money, token = (pool.token_0, pool.token_1) if cash.is_0 else (pool.token_1, pool.token_0)
    least = order.min_out if is_buy else ceil(order.min_out / cash.lamports_per_unit)
    return EvmIntent(
        id=derived_id("evm", key),
        key=key,
        account=terms.account,
        pool=pool,
        in_token=money if is_buy else token,
        out_token=token if is_buy else money,
        amount_in=cash.units(order.amount_in) if is_buy else order.amount_in,
        min_out=max(1, least),
        fee_wei_max=terms.fee_wei_max,
        attempts_max=terms.attempts_max,
        created_ns=terms.now_ns,
        deadline_ns=terms.now_ns + terms.wait_ns,
        reason=order.reason,
    )


def report_of(
    order: Order, quote: SwapQuote | None, records: tuple[EvmRecord, EvmRecord | None], cash: Cash, terms: EvmTerms
) -> VenueReport:
    """Return what an intent that is told or final is to the desk: a fill to the unit, or why there is none, and gas.

    ``records`` are the swap's and, where there was one, its allowance's, whose gas is part of what the order cost.
    ``quote`` is what the order was decided on: what the fill gave less is its slippage.
    """
    swap, allowing = records
    settled = swap.settlement
    wei = sum(each.settlement.fee_wei for each in records if each is not None and each.settlement is not None)
    gas_lamports = ceil(wei * terms.lamports_per_wei)
    if swap.state not in TOLD or settled is None:
        reason = "slippage" if swap.state is EvmState.REVERTED else swap.state.value
        problem = swap.problem or (allowing.problem if allowing is not None else "")
        return Rejected(order.id, terms.now_ns, reason, problem, gas_lamports)
    is_buy = order.side is Side.BUY
    got = settled.amount_out if is_buy else cash.lamports(settled.amount_out)
    expected = 0 if quote is None else quote.amount_out
    return Fill(
        order_id=order.id,
        ts_ns=terms.now_ns,
        side=order.side,
        mint=order.mint,
        lamports=cash.lamports_up(settled.amount_in) if is_buy else got,
        base_units=settled.amount_out if is_buy else settled.amount_in,
        pool_fee_lamports=0 if quote is None else quote.pool_fee_lamports,
        impact_lamports=0 if quote is None else quote.impact_lamports,
        network_fee_lamports=gas_lamports,
        priority_fee_lamports=0,
        rent_lamports=0,
        slippage_bps=max(-BPS_ONE, min(BPS_ONE, ratio_bps(expected - got, expected))),
    )
