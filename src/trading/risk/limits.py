"""Each limit of the gate as one pure function: it measures, the gate decides.

A function returns None where its limit does not apply to the order. All are about orders that add exposure.
"""

from collections.abc import Callable
from typing import Final

from trading.model.network import SIGNATURE_FEE_LAMPORTS
from trading.model.order import Measure, Order
from trading.model.units import BPS_ONE, NS_PER_S, ceil_div, ratio_bps, share_lamports, sol_text

from .views import AccountView, Bounds, TokenView

Limit = Callable[[Order, AccountView, TokenView, Bounds], Measure | None]


def data_age(order: Order, account: AccountView, token: TokenView, bounds: Bounds) -> Measure:
    age_s = ceil_div(max(0, token.data_age_ns), NS_PER_S)
    message = f"the newest price of {order.mint} is {age_s} s old"
    return Measure("data_age_s", age_s, bounds.limits.data_age_s_max, "s", message)


def drawdown(order: Order, account: AccountView, token: TokenView, bounds: Bounds) -> Measure:
    message = f"equity is {account.drawdown_bps} bps below its peak"
    return Measure("drawdown_bps", account.drawdown_bps, bounds.limits.drawdown_reducing_bps, "bps", message)


def total_drawdown(order: Order, account: AccountView, token: TokenView, bounds: Bounds) -> Measure:
    message = f"equity is {account.total_drawdown_bps} bps below its highest peak"
    used, limit = account.total_drawdown_bps, bounds.limits.drawdown_halted_bps
    return Measure("total_drawdown_bps", used, limit, "bps", message)


def day_loss(order: Order, account: AccountView, token: TokenView, bounds: Bounds) -> Measure:
    message = f"today's loss is {account.day_loss_bps} bps of the equity at the start of the day (UTC)"
    return Measure("day_loss_bps", account.day_loss_bps, bounds.limits.day_loss_bps_max, "bps", message)


def cooldown(order: Order, account: AccountView, token: TokenView, bounds: Bounds) -> Measure | None:
    """Time since the token was last sold at a loss."""
    if token.losing_exit is None:
        return None
    waited_s = (account.now_ns - token.losing_exit.ts_ns) // NS_PER_S
    message = f"{order.mint} was sold at a loss {waited_s} s ago"
    return Measure("cooldown_s", waited_s, bounds.limits.cooldown_s, "s", message, is_floor=True)


def reentry(order: Order, account: AccountView, token: TokenView, bounds: Bounds) -> Measure | None:
    """No buy below the price of the last losing exit until ``reentry_s`` have passed."""
    if token.losing_exit is None or token.mark_sol is None:
        return None
    if not token.losing_exit.is_above(token.mark_sol, token.decimals):
        return None
    waited_s = (account.now_ns - token.losing_exit.ts_ns) // NS_PER_S
    message = f"{order.mint} is below the price of its losing exit {waited_s} s ago"
    return Measure("reentry_s", waited_s, bounds.limits.reentry_s, "s", message, is_floor=True)


def anti_dca(order: Order, account: AccountView, token: TokenView, bounds: Bounds) -> Measure | None:
    """Never add to a loser: the mark must not be below the average cost, fees included, over all buckets."""
    if token.holding is None or token.mark_sol is None:
        return None
    value = token.holding.value_lamports(token.mark_sol, token.decimals)
    message = f"{order.mint} is held at a cost of {token.holding.cost_lamports} lamports and worth {value}"
    return Measure("average_cost", value, token.holding.cost_lamports, "lamports", message, is_floor=True)


def pool_depth(order: Order, account: AccountView, token: TokenView, bounds: Bounds) -> Measure:
    message = f"the pool of {order.mint} holds {sol_text(token.pool_lamports)} SOL; tier {bounds.tier.name}"
    least = bounds.tier.pool_lamports_min
    return Measure("pool_lamports", token.pool_lamports, least, "lamports", message, is_floor=True)


def order_size(order: Order, account: AccountView, token: TokenView, bounds: Bounds) -> Measure:
    limit = share_lamports(account.equity_lamports, bounds.limits.order_bps_max)
    message = f"the order is {sol_text(order.amount_in)} SOL of {sol_text(account.equity_lamports)} SOL equity"
    return Measure("order_lamports", order.amount_in, limit, "lamports", message)


def token_exposure(order: Order, account: AccountView, token: TokenView, bounds: Bounds) -> Measure:
    limit = share_lamports(account.equity_lamports, bounds.limits.token_exposure_bps_max)
    used = token.exposure_lamports + order.amount_in
    message = f"{order.mint} would make up {ratio_bps(used, account.equity_lamports)} bps of equity"
    return Measure("token_exposure_lamports", used, limit, "lamports", message)


def total_exposure(order: Order, account: AccountView, token: TokenView, bounds: Bounds) -> Measure:
    limit = share_lamports(account.equity_lamports, bounds.limits.total_exposure_bps_max)
    used = account.exposure_lamports + order.amount_in
    message = f"all tokens would make up {ratio_bps(used, account.equity_lamports)} bps of equity"
    return Measure("total_exposure_lamports", used, limit, "lamports", message)


def positions(order: Order, account: AccountView, token: TokenView, bounds: Bounds) -> Measure:
    used = tokens_after(account, token)
    return Measure("positions", used, bounds.limits.positions_max, "tokens", f"{used} tokens would be held")


def impact(order: Order, account: AccountView, token: TokenView, bounds: Bounds) -> Measure | None:
    if token.quote is None:
        return None
    used = token.quote.price_impact_bps
    message = f"the order would move the price of {order.mint} by {used} bps"
    return Measure("impact_bps", used, bounds.limits.impact_bps_max, "bps", message)


def slippage(order: Order, account: AccountView, token: TokenView, bounds: Bounds) -> Measure | None:
    """How far below the quote ``min_out`` lies."""
    if token.quote is None:
        return None
    used = ceil_div((token.quote.amount_out - order.min_out) * BPS_ONE, max(1, token.quote.amount_out))
    message = f"the order accepts {used} bps less than it is quoted"
    return Measure("slippage_bps", used, bounds.limits.slippage_bps_max, "bps", message)


def priority_fee(order: Order, account: AccountView, token: TokenView, bounds: Bounds) -> Measure:
    used = order.priority_fee_lamports
    message = f"the order pays a priority fee of {used} lamports"
    return Measure("priority_fee_lamports", used, bounds.limits.priority_fee_lamports_max, "lamports", message)


def fixed_fees(order: Order, account: AccountView, token: TokenView, bounds: Bounds) -> Measure:
    """Signatures and priority fees of entry and exit as a share of the order."""
    used = ceil_div(2 * transaction_lamports(order) * BPS_ONE, max(1, order.amount_in))
    message = f"network fees of the round trip are {used} bps of the order"
    return Measure("fee_position_bps", used, bounds.fee_position_bps_max, "bps", message)


def exit_reserve(order: Order, account: AccountView, token: TokenView, bounds: Bounds) -> Measure:
    """SOL that must stay in the wallet to sell every token held after this order."""
    left = account.cash_lamports - order.amount_in - transaction_lamports(order) - token.rent_lamports
    needed = bounds.limits.exit_reserve_lamports * tokens_after(account, token)
    message = f"{left} lamports would be left for the exits of {tokens_after(account, token)} tokens"
    return Measure("exit_reserve_lamports", left, needed, "lamports", message, is_floor=True)


def bucket_cash(order: Order, account: AccountView, token: TokenView, bounds: Bounds) -> Measure:
    used = order.amount_in + transaction_lamports(order) + token.rent_lamports
    message = f"the order takes {sol_text(used)} SOL from bucket {order.bucket!r}"
    return Measure("bucket_cash_lamports", used, token.bucket_cash_lamports, "lamports", message)


def edge(order: Order, account: AccountView, token: TokenView, bounds: Bounds) -> Measure | None:
    """Expected move minus all costs of entry and exit. Account rent comes back and is no cost."""
    if token.edge_bps is None or token.quote is None:
        return None
    left = token.edge_bps - round_trip_bps(order, token)
    message = f"an expected move of {token.edge_bps} bps leaves {left} bps after all costs"
    return Measure("edge_over_cost_bps", left, bounds.limits.edge_over_cost_bps_min, "bps", message, is_floor=True)


def transaction_lamports(order: Order) -> int:
    """Return what the transaction itself costs: one signature and the priority fee."""
    return SIGNATURE_FEE_LAMPORTS + order.priority_fee_lamports


def round_trip_bps(order: Order, token: TokenView) -> int:
    """Return pool fee, impact and network fees of entry and exit as a share of the order, rounded up.

    The exit is taken to cost what the entry costs: same pool, about the same size.
    """
    if token.quote is None:
        return BPS_ONE
    one_way = token.quote.pool_fee_lamports + token.quote.impact_lamports + transaction_lamports(order)
    return ceil_div(2 * one_way * BPS_ONE, max(1, order.amount_in))


def tokens_after(account: AccountView, token: TokenView) -> int:
    """Return how many tokens are held once an entry into this token has filled."""
    return account.tokens_held + (0 if token.holding is not None or token.open_orders else 1)


ENTRY_LIMITS: Final[tuple[Limit, ...]] = (
    data_age,
    total_drawdown,
    drawdown,
    day_loss,
    cooldown,
    reentry,
    anti_dca,
    pool_depth,
    priority_fee,
    fixed_fees,
    slippage,
    impact,
    edge,
    order_size,
    token_exposure,
    total_exposure,
    positions,
    bucket_cash,
    exit_reserve,
)
"""In the order in which they are asked: what no smaller order could cure comes first."""
