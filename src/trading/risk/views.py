"""What the gate looks at: plain figures that the kernel takes at the moment of the decision."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from trading.model.account import Level, LosingExit, TradingState
from trading.model.order import Order, SwapQuote
from trading.model.position import Holding, Position
from trading.model.profile import Limits
from trading.model.rug_rules import RugRules
from trading.model.tier import Tier
from trading.model.trading_day import UTC

from .levels import Held
from .protections import Lock
from .shortfall import TailView


@dataclass(frozen=True, slots=True)
class Bounds:
    """The limits in force: those of the profile, tightened by the tier, and what it asks of tokens."""

    limits: Limits
    tier: Tier
    rugs: RugRules = field(default_factory=RugRules)

    @property
    def fee_position_bps_max(self) -> int:
        return min(self.limits.fee_position_bps_max, self.tier.fee_position_bps_max)


@dataclass(frozen=True, slots=True)
class AccountView:
    """The whole account, marked at liquidation value.

    Open entry orders count as if they were filled: their ``amount_in`` and fees are no longer in ``cash_lamports``, and
    are in ``exposure_lamports``; their tokens are among ``tokens_held``. ``drawdown_bps`` is the drop since the last
    rebase (a resume or an expired REDUCING), ``total_drawdown_bps`` the one since the last resume.
    ``turnover_day_lamports`` and ``entries_day`` are of the day in ``zone``. ``cycles_to_wait``: how many cycles after
    a gap nothing is entered yet.
    """

    now_ns: int
    state: TradingState
    entries_allowed: bool
    equity_lamports: int
    cash_lamports: int
    exposure_lamports: int
    tokens_held: int
    drawdown_bps: int
    total_drawdown_bps: int
    day_loss_bps: int
    turnover_day_lamports: int = 0
    entries_day: int = 0
    zone: str = UTC
    cycles_to_wait: int = 0


@dataclass(frozen=True, slots=True)
class TokenView:
    """One token and the bucket that the order belongs to.

    ``quote`` is for exactly this order's amount, None where the token cannot be traded. ``exposure_lamports``,
    ``holding`` and ``open_orders`` are taken over all buckets. ``sellable_base_units`` is what the order's own bucket
    holds and has not on sale. ``edge_bps`` is None for an order by hand. ``level``: the order's wallet, bucket or
    strategy that lets no entry pass. ``locks``: what protections make wait. ``tail``: the cases of the risk
    budget, None where it is not asked. ``position``: what the order's own bucket holds of the token.
    ``exposures``: what the order's own wallet, bucket and strategy hold of all tokens, open entries counted as if they
    were filled; without those whose limit asks for nothing. Where the desk has several wallets,
    ``wallet_cash_lamports`` is what a purchase may take out of the order's, and ``crossed`` the first open sale of the
    token in any of them.
    """

    mint: str
    decimals: int
    mark_sol: Decimal | None
    data_age_ns: int
    quote: SwapQuote | None
    pool_lamports: int
    exposure_lamports: int
    holding: Holding | None
    losing_exit: LosingExit | None
    open_orders: int
    bucket_cash_lamports: int
    sellable_base_units: int
    rent_lamports: int
    edge_bps: int | None
    level: Held | None = None
    locks: tuple[Lock, ...] = ()
    tail: TailView | None = None
    position: Position | None = None
    exposures: Mapping[Level, int] = field(default_factory=dict)
    wallet_cash_lamports: int | None = None
    crossed: Order | None = None
