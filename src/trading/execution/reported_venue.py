"""A venue whose fills are told, not made: orders go to a real chain, and what became of them comes as an event.

Prices, depth and quotes are those of the feed's market, as in a simulation; so a replay of a live run needs its rows
only. A swap is exact-in here, because the router knows no other: buying an exact amount is not offered.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from trading.errors import InvalidInput
from trading.model.identifiers import derived_id
from trading.model.instrument import Instrument
from trading.model.intent import SOL_MINT, Intent, IntentRecord, IntentState, Settlement
from trading.model.market_data import MarketEvent, VenueReported
from trading.model.network import SIGNATURE_FEE_LAMPORTS
from trading.model.order import Fill, Order, Purpose, Rejected, Side, SwapQuote, VenueReport
from trading.model.position import token_value_lamports

from . import fill_model
from .simulated_venue import SimulatedVenue, Submitted

_SLIPPAGE_ERROR: Final = '"Custom":6001'


@dataclass(frozen=True, slots=True)
class IntentTerms:
    """What the desk adds to an order for the chain: how long and how often it may be tried, from when on. ``mints``
    maps the feed's names of tokens to mints of the chain, where they differ. An exit may pay ``exit_fee_times`` the
    priority fee of its order, its whole fee up to ``exit_fee_lamports_max``: being late costs more than a fee."""

    slippage_bps_max: int
    attempts_max: int
    entry_wait_ns: int
    exit_wait_ns: int
    now_ns: int
    mints: Mapping[str, str] = field(default_factory=dict)
    exit_fee_times: int = 1
    exit_fee_lamports_max: int = 0


class ReportedVenue(SimulatedVenue):
    """Body of ``ports.Venue`` for real money. An order stays open until its report comes."""

    def submit(self, order: Order) -> None:
        """Take an order in. Raises: InvalidInput, also for one that wants an exact amount out."""
        self._check(order)
        if order.amount_out:
            msg = f"order {order.id}: a swap on chain is exact-in, so no exact amount can be bought"
            raise InvalidInput(msg, field="amount_out")
        bar = self.mark(order.mint)
        self._open.append(Submitted(order, None if bar is None else bar.close, 0, None))

    def on_market(self, event: MarketEvent) -> Sequence[VenueReport]:
        """Move the market; for a report of an open order return it, for one that is not open nothing."""
        if not isinstance(event, VenueReported):
            return super().on_market(event)
        found = next((each for each in self._open if each.order.id == event.report.order_id), None)
        if found is None:
            return ()
        self._open.remove(found)
        if isinstance(event.report, Fill):
            self._book(found.order, event.report.base_units)
        return (event.report,)

    def quote_exact(self, mint: str, base_units: int) -> SwapQuote | None:
        """Return None: an exact amount cannot be bought here."""
        return None

    def marked_at(self, order_id: str) -> Decimal | None:
        """Return the price at which an open order was decided, None where there was none."""
        return next(each.mark_sol for each in self._open if each.order.id == order_id)

    def _settle(self, event: MarketEvent) -> list[VenueReport]:
        """Nothing fills because the market moved."""
        return []


def intent_of(order: Order, wallet: str, run_id: str, terms: IntentTerms) -> Intent:
    """Return what an approved order wishes from the chain; the same order is the same intent."""
    is_buy, is_exit = order.side is Side.BUY, order.purpose is Purpose.EXIT
    key = f"{run_id}/{order.id}"
    token = terms.mints.get(order.mint, order.mint)
    fee_lamports_max = SIGNATURE_FEE_LAMPORTS + order.priority_fee_lamports
    if is_exit:
        raised = SIGNATURE_FEE_LAMPORTS + order.priority_fee_lamports * terms.exit_fee_times
        fee_lamports_max = max(fee_lamports_max, min(raised, terms.exit_fee_lamports_max))
    out_max = 0
    if is_buy and order.held_lamports:
        fees = SIGNATURE_FEE_LAMPORTS + order.priority_fee_lamports
        out_max = (order.amount_in + fees) * order.held_base_units // order.held_lamports
    return Intent(
        id=derived_id("int", key),
        key=key,
        wallet=wallet,
        in_mint=SOL_MINT if is_buy else token,
        out_mint=token if is_buy else SOL_MINT,
        amount_in=order.amount_in,
        min_out=order.min_out,
        slippage_bps_max=terms.slippage_bps_max,
        fee_lamports_max=fee_lamports_max,
        attempts_max=terms.attempts_max,
        created_ns=terms.now_ns,
        deadline_ns=terms.now_ns + (terms.exit_wait_ns if is_exit else terms.entry_wait_ns),
        is_exit=is_exit,
        reason=order.reason,
        out_max=out_max,
    )


def report_of(
    order: Order, mark_sol: Decimal | None, record: IntentRecord, instrument: Instrument, ts_ns: int
) -> VenueReport:
    """Return what a final intent is to the desk: a fill to the unit, or why there is none and what that cost.

    The pool's own fee is not told apart on chain: it is in ``impact_lamports``, what the fill was worse than the mark.
    """
    settled = record.settlement
    if record.state is IntentState.SETTLED:
        assert settled is not None
        return _fill(order, mark_sol, settled, instrument.decimals, ts_ns)
    charged = 0 if settled is None else settled.fee_lamports
    if record.state is IntentState.REVERTED:
        reason = "slippage" if _SLIPPAGE_ERROR in record.problem else "failed"
    elif record.state is IntentState.CANCELLED:
        reason = "cancelled"
    else:
        reason = "expired" if record.attempts else record.problem.partition(":")[0].replace(" ", "_")[:40] or "failed"
    return Rejected(order.id, ts_ns, reason, record.problem, charged)


def _fill(order: Order, mark_sol: Decimal | None, settled: Settlement, decimals: int, ts_ns: int) -> Fill:
    is_buy = order.side is Side.BUY
    lamports, units = (settled.in_units, settled.out_units) if is_buy else (settled.out_units, settled.in_units)
    expected = 0 if mark_sol is None else token_value_lamports(units, mark_sol, decimals)
    worse = lamports - expected if is_buy else expected - lamports
    return Fill(
        order_id=order.id,
        ts_ns=ts_ns,
        side=order.side,
        mint=order.mint,
        lamports=lamports,
        base_units=units,
        pool_fee_lamports=0,
        impact_lamports=max(0, worse) if expected else 0,
        network_fee_lamports=SIGNATURE_FEE_LAMPORTS,
        priority_fee_lamports=settled.fee_lamports + settled.tip_lamports - SIGNATURE_FEE_LAMPORTS,
        rent_lamports=settled.rent_lamports,
        slippage_bps=fill_model.slippage_bps(lamports, expected, is_buy=is_buy),
    )
