"""Orders that a person gives the nodes by hand, as parents with their children."""

import secrets
import time
from dataclasses import dataclass, replace

from trading.adapters.node_store.orders import Orders
from trading.config import LiveSection
from trading.execution.parents import ParentTerms, parent_of
from trading.execution.splitting import SplitRules
from trading.model.intent import SOL_MINT, Intent
from trading.model.node import Parent, PlannedChild
from trading.model.units import BPS_ONE, NS_PER_S


@dataclass(frozen=True, slots=True)
class HandOrder:
    """``amount`` of what is given (lamports, or base units of the token) for ``least`` at least of the other, in
    ``slices`` parts over ``over_s``, none larger than ``child_max``; each is given up ``wait_s`` after it is due."""

    is_buy: bool
    token: str
    amount: int
    least: int
    wallets: tuple[str, ...]
    slices: int
    over_s: int
    child_max: int
    wait_s: int
    fee_lamports_max: int


def planned(orders: Orders, wish: HandOrder, live: LiveSection) -> Parent:
    """Write an order down and return it. A purchase of what the nodes hold is never cheaper than that was.

    Raises: InvalidInput naming the field; JournalUnavailable, after which the order may or may not be known.
    """
    name, now_ns = f"hand_{secrets.token_hex(8)}", time.time_ns()
    whole = Intent(
        id=name,
        key=name,
        wallet="",
        in_mint=SOL_MINT if wish.is_buy else wish.token,
        out_mint=wish.token if wish.is_buy else SOL_MINT,
        amount_in=wish.amount,
        min_out=wish.least,
        slippage_bps_max=live.slippage_bps_max,
        fee_lamports_max=wish.fee_lamports_max,
        attempts_max=live.attempts_max,
        created_ns=now_ns,
        deadline_ns=0,
        is_exit=not wish.is_buy,
        reason="ordered by hand",
    )
    rules = SplitRules(wish.slices, wish.over_s * NS_PER_S, 1, wish.child_max, BPS_ONE)
    terms = ParentTerms(whole, wish.wallets, wish.amount, now_ns, wish.wait_s * NS_PER_S)
    parent = parent_of(terms, rules)
    if wish.is_buy:
        parent = _no_cheaper(parent, *orders.held(wish.token))
    orders.plan(parent)
    return parent


def _no_cheaper(parent: Parent, units: int, cost_lamports: int) -> Parent:
    """Bound what each purchase may give, so that no unit is cheaper than those that are held: nobody averages down."""
    if not units or not cost_lamports:
        return parent

    def bounded(child: PlannedChild) -> PlannedChild:
        most = max(1, child.intent.amount_in * units // cost_lamports)
        return replace(child, intent=replace(child.intent, out_max=most))

    return replace(parent, children=tuple(bounded(each) for each in parent.children))
