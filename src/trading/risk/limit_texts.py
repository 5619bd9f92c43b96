"""What a measure of the gate says in words, for the one order that it denies."""

from collections.abc import Callable, Mapping
from typing import Final

from trading.model.order import Measure, Order
from trading.model.protection import ProtectionKind
from trading.model.units import ratio_bps, sol_text

from .limits import last_lock
from .views import AccountView, Bounds, TokenView

Text = Callable[[Measure, Order, AccountView, TokenView, Bounds], str]


def explained(measure: Measure, order: Order, account: AccountView, token: TokenView, bounds: Bounds) -> str:
    """Return why this measure denies the order, with its figures."""
    word = "at least" if measure.is_floor else "at most"
    text = TEXTS[measure.name](measure, order, account, token, bounds)
    return f"{text} ({measure.name} {measure.used}, {word} {measure.limit} {measure.unit})"


def _protected(measure: Measure, order: Order, token: TokenView) -> str:
    lock = last_lock(ProtectionKind(measure.name), token)
    whom = order.mint if lock is not None and lock.mint is not None else "every entry"
    return f"{whom} waits since {measure.used} s for {measure.message}"


def _share(lamports: int, account: AccountView) -> str:
    return f"{ratio_bps(lamports, account.equity_lamports)} bps of equity"


TEXTS: Final[Mapping[str, Text]] = {
    "data_age_s": lambda m, o, a, t, b: f"the newest price of {o.mint} is {m.used} s old",
    "drawdown_bps": lambda m, o, a, t, b: f"equity is {m.used} bps below its peak",
    "total_drawdown_bps": lambda m, o, a, t, b: f"equity is {m.used} bps below its highest peak",
    "day_loss_bps": lambda m, o, a, t, b: (
        f"today's loss is {m.used} bps of the equity at the start of the day ({a.zone})"
    ),
    "cooldown_s": lambda m, o, a, t, b: f"{o.mint} was sold at a loss {m.used} s ago",
    "reentry_s": lambda m, o, a, t, b: f"{o.mint} is below the price of its losing exit {m.used} s ago",
    **{kind.value: lambda m, o, a, t, b: _protected(m, o, t) for kind in ProtectionKind},
    "average_cost": lambda m, o, a, t, b: f"{o.mint} is held at a cost of {m.limit} lamports and worth {m.used}",
    "adds": lambda m, o, a, t, b: f"{o.mint} was bought {m.used} times for this position",
    "add_step_lamports": lambda m, o, a, t, b: (
        f"{o.mint} is worth {m.used} lamports here and is added to {b.limits.add_step_bps} bps above its cost"
    ),
    "add_lamports": lambda m, o, a, t, b: (
        f"the purchase before it was {t.position.last_buy_lamports if t.position else 0}"
    ),
    "pool_lamports": lambda m, o, a, t, b: f"the pool of {o.mint} holds {sol_text(m.used)} SOL; tier {b.tier.name}",
    "order_lamports": lambda m, o, a, t, b: (
        f"the order is {sol_text(m.used)} SOL of {sol_text(a.equity_lamports)} SOL equity"
    ),
    "token_exposure_lamports": lambda m, o, a, t, b: f"{o.mint} would make up {_share(m.used, a)}",
    "total_exposure_lamports": lambda m, o, a, t, b: f"all tokens would make up {_share(m.used, a)}",
    "wallet_exposure_lamports": lambda m, o, a, t, b: f"the wallet's tokens would make up {_share(m.used, a)}",
    "bucket_exposure_lamports": lambda m, o, a, t, b: (
        f"the tokens of bucket {o.bucket!r} would make up {_share(m.used, a)}"
    ),
    "strategy_exposure_lamports": lambda m, o, a, t, b: f"the tokens of {o.strategy} would make up {_share(m.used, a)}",
    "gap_token_lamports": lambda m, o, a, t, b: f"{o.mint} at zero would cost {_share(m.used, a)}",
    "gap_joint_lamports": lambda m, o, a, t, b: f"a joint fall of all tokens would cost {_share(m.used, a)}",
    "cvar_bps": lambda m, o, a, t, b: f"in the worst hours all tokens would cost {m.used} bps of equity on average",
    "turnover_day_lamports": lambda m, o, a, t, b: f"{_share(m.used, a)} would be bought and sold today ({a.zone})",
    "entries_day": lambda m, o, a, t, b: f"{m.used} entries would be sent today ({a.zone})",
    "positions": lambda m, o, a, t, b: f"{m.used} tokens would be held",
    "impact_bps": lambda m, o, a, t, b: f"the order would move the price of {o.mint} by {m.used} bps",
    "slippage_bps": lambda m, o, a, t, b: f"the order accepts {m.used} bps less than it is quoted",
    "priority_fee_lamports": lambda m, o, a, t, b: f"the order pays a priority fee of {m.used} lamports",
    "fee_position_bps": lambda m, o, a, t, b: f"network fees of the round trip are {m.used} bps of the order",
    "exit_reserve_lamports": lambda m, o, a, t, b: f"{m.used} lamports would be left for the exits of all tokens held",
    "bucket_cash_lamports": lambda m, o, a, t, b: f"the order takes {sol_text(m.used)} SOL from bucket {o.bucket!r}",
    "wallet_cash_lamports": lambda m, o, a, t, b: (
        f"the order takes {sol_text(m.used)} SOL from the wallet {o.wallet!r}, which keeps what its exits need"
    ),
    "edge_over_cost_bps": lambda m, o, a, t, b: (
        f"an expected move of {t.edge_bps} bps leaves {m.used} bps after all costs"
    ),
}
