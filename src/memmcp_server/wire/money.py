"""What every reply about trading shares: whose money, which feed and how old, sums and costs."""

from datetime import datetime
from typing import Final, Literal

from .base import FeedKind, MoneyKind, Wire

BPS_ONE: Final = 10_000


class FeedView(Wire):
    """``detail`` names files, seed or endpoints; ``age_s`` is the newest event's age by the feed's own clock."""

    kind: FeedKind
    detail: str
    age_s: float | None
    stale: bool
    last_event: datetime | None = None


class TradingContext(Wire):
    """Every reply about trading says whose money and how old the data is."""

    money: MoneyKind
    feed: FeedView


class Amount(Wire):
    """One sum of money: exact lamports, SOL as text, USD as text where a SOL price is known."""

    lamports: int
    sol: str
    usd: str | None = None


class WaitingOrder(Wire):
    """An order of real money that waits for the operator. Amounts are base units as text; ``sees`` is what the
    operator is shown; ``approval_id`` is its name in GET /approvals."""

    order_id: str
    status: Literal["awaiting_operator"]
    approval_id: str
    asked_at: datetime
    expires_at: datetime
    side: Literal["buy", "sell"]
    mint: str
    amount_in: str
    min_out: str
    fee_lamports_max: int
    wallet: str
    sees: str


class CostView(Wire):
    fee_lamports: int = 0
    impact_lamports: int = 0
    priority_lamports: int = 0
    failed_lamports: int = 0
    rent_lamports: int = 0
