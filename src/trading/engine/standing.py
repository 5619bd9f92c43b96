"""Whether entries that were approved may still be sent: on a real chain minutes can pass between the two."""

from dataclasses import replace

from trading.model.order import Denied, Side
from trading.ports import Venue

from .state import DeskState
from .valuation import Place, Valuer


def stopped_entries(state: DeskState, venue: Venue, valuer: Valuer) -> dict[str, Denied]:
    """Return the open entries that would not be let through any more, by order id, and why."""
    entries = state.pending_entries()
    if not entries:
        return {}
    valuation, gate, found = valuer.value(), valuer.gate(), {}
    account = valuer.account(valuation)
    for order in entries:
        quote = venue.quote(order.mint, Side.BUY, order.amount_in)
        place = Place(order.bucket, order.strategy, order.wallet)
        token = valuer.token(order.mint, place, quote, valuation, None)
        denied = gate.check_standing(order, account, replace(token, open_orders=0, wallet_cash_lamports=None))
        if denied is not None:
            found[order.id] = denied
    return found
