"""Each limit of the gate as one pure function: it measures, the gate decides.

A function returns None where its limit does not apply to the order. All are about orders that add exposure. What a
measure means in words (``limit_texts``) is asked only of the one that denies.
"""

from collections.abc import Callable
from typing import Final

from trading.model.account import Level
from trading.model.network import SIGNATURE_FEE_LAMPORTS
from trading.model.order import Measure, Order
from trading.model.profile import Limits
from trading.model.protection import ProtectionKind
from trading.model.units import BPS_ONE, NS_PER_S, ceil_div, share_lamports

from . import gap, shortfall
from .protections import Lock
from .views import AccountView, Bounds, TokenView

Limit = Callable[[Order, AccountView, TokenView, Bounds], Measure | None]


def data_age(order: Order, account: AccountView, token: TokenView, bounds: Bounds) -> Measure:
    age_s = ceil_div(max(0, token.data_age_ns), NS_PER_S)
    return Measure("data_age_s", age_s, bounds.limits.data_age_s_max, "s")


def drawdown(order: Order, account: AccountView, token: TokenView, bounds: Bounds) -> Measure:
    return Measure("drawdown_bps", account.drawdown_bps, bounds.limits.drawdown_reducing_bps, "bps")


def total_drawdown(order: Order, account: AccountView, token: TokenView, bounds: Bounds) -> Measure:
    return Measure("total_drawdown_bps", account.total_drawdown_bps, bounds.limits.drawdown_halted_bps, "bps")


def day_loss(order: Order, account: AccountView, token: TokenView, bounds: Bounds) -> Measure:
    return Measure("day_loss_bps", account.day_loss_bps, bounds.limits.day_loss_bps_max, "bps")


def cooldown(order: Order, account: AccountView, token: TokenView, bounds: Bounds) -> Measure | None:
    """Time since the token was last sold at a loss."""
    if token.losing_exit is None:
        return None
    waited_s = (account.now_ns - token.losing_exit.ts_ns) // NS_PER_S
    return Measure("cooldown_s", waited_s, bounds.limits.cooldown_s, "s", is_floor=True)


def reentry(order: Order, account: AccountView, token: TokenView, bounds: Bounds) -> Measure | None:
    """No buy below the price of the last losing exit until ``reentry_s`` have passed."""
    if token.losing_exit is None or token.mark_sol is None:
        return None
    if not token.losing_exit.is_above(token.mark_sol, token.decimals):
        return None
    waited_s = (account.now_ns - token.losing_exit.ts_ns) // NS_PER_S
    return Measure("reentry_s", waited_s, bounds.limits.reentry_s, "s", is_floor=True)


def protection(kind: ProtectionKind) -> Limit:
    """Return the limit that a protection is: the time since it was tripped. A token and all tokens may both wait."""

    def waiting(order: Order, account: AccountView, token: TokenView, bounds: Bounds) -> Measure | None:
        lock = last_lock(kind, token)
        return None if lock is None else lock_measure(lock, account.now_ns)

    return waiting


def last_lock(kind: ProtectionKind, token: TokenView) -> Lock | None:
    """Return the lock of this kind that ends last."""
    return max((lock for lock in token.locks if lock.kind is kind), key=lambda lock: lock.until_ns, default=None)


def lock_measure(lock: Lock, now_ns: int) -> Measure:
    return Measure(lock.kind.value, (now_ns - lock.since_ns) // NS_PER_S, lock.stop_s, "s", lock.text, is_floor=True)


def anti_dca(order: Order, account: AccountView, token: TokenView, bounds: Bounds) -> Measure | None:
    """Never add to a loser: the mark must not be below the average cost, fees included, over all buckets."""
    if token.holding is None or token.mark_sol is None:
        return None
    value = token.holding.value_lamports(token.mark_sol, token.decimals)
    return Measure("average_cost", value, token.holding.cost_lamports, "lamports", is_floor=True)


def adds(order: Order, account: AccountView, token: TokenView, bounds: Bounds) -> Measure | None:
    """How often a strategy may add to its own position, this time included; a person may as often as he likes."""
    if token.position is None or token.edge_bps is None:
        return None
    return Measure("adds", token.position.buys, bounds.limits.adds_max, "adds")


def add_step(order: Order, account: AccountView, token: TokenView, bounds: Bounds) -> Measure | None:
    """Only winners are added to: the position must be worth more than it cost by a declared step."""
    if token.position is None or token.edge_bps is None or token.mark_sol is None:
        return None
    value = token.position.value_lamports(token.mark_sol, token.decimals)
    least = ceil_div(token.position.cost_lamports * (BPS_ONE + bounds.limits.add_step_bps), BPS_ONE)
    return Measure("add_step_lamports", value, least, "lamports", is_floor=True)


def add_size(order: Order, account: AccountView, token: TokenView, bounds: Bounds) -> Measure | None:
    """Each addition is smaller than the purchase before it."""
    most = add_lamports_max(token, bounds.limits)
    return None if most is None else Measure("add_lamports", order.amount_in, most, "lamports")


def add_lamports_max(token: TokenView, limits: Limits) -> int | None:
    """Return how much a strategy may add to its own position, None where an entry is no addition."""
    if token.position is None or token.edge_bps is None:
        return None
    return share_lamports(token.position.last_buy_lamports, limits.add_size_bps_max)


def pool_depth(order: Order, account: AccountView, token: TokenView, bounds: Bounds) -> Measure:
    return Measure("pool_lamports", token.pool_lamports, bounds.tier.pool_lamports_min, "lamports", is_floor=True)


def order_size(order: Order, account: AccountView, token: TokenView, bounds: Bounds) -> Measure:
    limit = share_lamports(account.equity_lamports, bounds.limits.order_bps_max)
    return Measure("order_lamports", order.amount_in, limit, "lamports")


def token_exposure(order: Order, account: AccountView, token: TokenView, bounds: Bounds) -> Measure:
    limit = share_lamports(account.equity_lamports, bounds.limits.token_exposure_bps_max)
    return Measure("token_exposure_lamports", token.exposure_lamports + order.amount_in, limit, "lamports")


def total_exposure(order: Order, account: AccountView, token: TokenView, bounds: Bounds) -> Measure:
    limit = share_lamports(account.equity_lamports, bounds.limits.total_exposure_bps_max)
    return Measure("total_exposure_lamports", account.exposure_lamports + order.amount_in, limit, "lamports")


def level_exposure(level: Level) -> Limit:
    """Return the limit on what the order's wallet, bucket or strategy holds of all tokens."""

    def held(order: Order, account: AccountView, token: TokenView, bounds: Bounds) -> Measure | None:
        lamports = token.exposures.get(level)
        if lamports is None:
            return None
        limit = share_lamports(account.equity_lamports, bounds.limits.exposure_bps_max_of(level))
        return Measure(f"{level}_exposure_lamports", lamports + order.amount_in, limit, "lamports")

    return held


def gap_token(order: Order, account: AccountView, token: TokenView, bounds: Bounds) -> Measure:
    """What is lost when this token goes to zero and cannot be sold."""
    limit, _ = gap.limits_of(account, bounds.limits)
    return Measure("gap_token_lamports", token.exposure_lamports + order.amount_in, limit, "lamports")


def gap_joint(order: Order, account: AccountView, token: TokenView, bounds: Bounds) -> Measure:
    """What is lost when every token falls at once."""
    _, limit = gap.limits_of(account, bounds.limits)
    used = gap.joint_loss_lamports(account.exposure_lamports + order.amount_in)
    return Measure("gap_joint_lamports", used, limit, "lamports")


def cvar(order: Order, account: AccountView, token: TokenView, bounds: Bounds) -> Measure | None:
    """What the worst hours would cost on average, with this order among what is held."""
    if token.tail is None:
        return None
    used = shortfall.shortfall_bps(token.tail, bounds.limits, account.equity_lamports, order.amount_in)
    return Measure("cvar_bps", used, bounds.limits.cvar_bps_max, "bps")


def turnover_day(order: Order, account: AccountView, token: TokenView, bounds: Bounds) -> Measure:
    limit = share_lamports(account.equity_lamports, bounds.limits.turnover_bps_day_max)
    return Measure("turnover_day_lamports", account.turnover_day_lamports + order.amount_in, limit, "lamports")


def entries_day(order: Order, account: AccountView, token: TokenView, bounds: Bounds) -> Measure:
    return Measure("entries_day", account.entries_day + 1, bounds.limits.entries_day_max, "orders")


def positions(order: Order, account: AccountView, token: TokenView, bounds: Bounds) -> Measure:
    return Measure("positions", tokens_after(account, token), bounds.limits.positions_max, "tokens")


def impact(order: Order, account: AccountView, token: TokenView, bounds: Bounds) -> Measure | None:
    if token.quote is None:
        return None
    return Measure("impact_bps", token.quote.price_impact_bps, bounds.limits.impact_bps_max, "bps")


def slippage(order: Order, account: AccountView, token: TokenView, bounds: Bounds) -> Measure | None:
    """How far below the quote ``min_out`` lies; of an exact-out order how far above it what it may cost."""
    if token.quote is None:
        return None
    if order.amount_out:
        quoted, worse = token.quote.amount_in, order.amount_in - token.quote.amount_in
    else:
        quoted, worse = token.quote.amount_out, token.quote.amount_out - order.min_out
    return Measure("slippage_bps", ceil_div(worse * BPS_ONE, max(1, quoted)), bounds.limits.slippage_bps_max, "bps")


def priority_fee(order: Order, account: AccountView, token: TokenView, bounds: Bounds) -> Measure:
    limit = bounds.limits.priority_fee_lamports_max
    return Measure("priority_fee_lamports", order.priority_fee_lamports, limit, "lamports")


def fixed_fees(order: Order, account: AccountView, token: TokenView, bounds: Bounds) -> Measure:
    """Signatures and priority fees of entry and exit as a share of the order."""
    used = ceil_div(2 * transaction_lamports(order) * BPS_ONE, max(1, order.amount_in))
    return Measure("fee_position_bps", used, bounds.fee_position_bps_max, "bps")


def exit_reserve(order: Order, account: AccountView, token: TokenView, bounds: Bounds) -> Measure:
    """SOL that must stay in the wallet to sell every token held after this order."""
    left = account.cash_lamports - order.amount_in - transaction_lamports(order) - token.rent_lamports
    needed = bounds.limits.exit_reserve_lamports * tokens_after(account, token)
    return Measure("exit_reserve_lamports", left, needed, "lamports", is_floor=True)


def bucket_cash(order: Order, account: AccountView, token: TokenView, bounds: Bounds) -> Measure:
    used = order.amount_in + transaction_lamports(order) + token.rent_lamports
    return Measure("bucket_cash_lamports", used, token.bucket_cash_lamports, "lamports")


def wallet_cash(order: Order, account: AccountView, token: TokenView, bounds: Bounds) -> Measure | None:
    """What the wallet has to spare; only asked where the desk has several."""
    if token.wallet_cash_lamports is None:
        return None
    used = order.amount_in + transaction_lamports(order) + token.rent_lamports
    return Measure("wallet_cash_lamports", used, token.wallet_cash_lamports, "lamports")


def edge(order: Order, account: AccountView, token: TokenView, bounds: Bounds) -> Measure | None:
    """Expected move minus all costs of entry and exit. Account rent comes back and is no cost."""
    if token.edge_bps is None or token.quote is None:
        return None
    left = token.edge_bps - round_trip_bps(order, token)
    return Measure("edge_over_cost_bps", left, bounds.limits.edge_over_cost_bps_min, "bps", is_floor=True)


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


STANDING_LIMITS: Final[tuple[Limit, ...]] = (
    total_drawdown,
    drawdown,
    day_loss,
    cooldown,
    reentry,
    *(protection(kind) for kind in ProtectionKind),
    anti_dca,
)
"""What is asked again of an entry that was approved and not sent yet."""

ENTRY_LIMITS: Final[tuple[Limit, ...]] = (
    data_age,
    total_drawdown,
    drawdown,
    day_loss,
    entries_day,
    cooldown,
    reentry,
    *(protection(kind) for kind in ProtectionKind),
    anti_dca,
    adds,
    add_step,
    pool_depth,
    priority_fee,
    fixed_fees,
    slippage,
    impact,
    edge,
    order_size,
    add_size,
    token_exposure,
    total_exposure,
    *(level_exposure(level) for level in Level),
    gap_token,
    gap_joint,
    cvar,
    turnover_day,
    positions,
    bucket_cash,
    wallet_cash,
    exit_reserve,
)
"""In the order in which they are asked: what no smaller order could cure comes first."""
