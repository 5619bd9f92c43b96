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


class PricedSum(Wire):
    """USD as text. Not ``is_complete``: what ``unknown`` names has no price, so the sum is the least that it was."""

    usd: str
    is_complete: bool
    unknown: list[str]


class EndpointCost(Wire):
    """One endpoint. ``limited``: turned away with 429; ``withheld``: not sent, our own budget was used up or it was
    being left alone. ``usd`` None: nobody has said what it costs; "0.0000" where a plan pays for it."""

    name: str
    calls: int
    credits: int
    limited: int
    failed: int
    withheld: int
    usd: str | None


class PlanCost(Wire):
    name: str
    usd_a_month: str
    usd: str


class ModelCost(Wire):
    calls: int
    tokens: int
    usd: str


class NetResult(Wire):
    """``trading``: equity less what was paid in, so ``on_chain`` costs are in it already. ``running``: what running
    took, in SOL at its price now; None where that is not known. Not ``is_complete``: the true net is lower."""

    trading: Amount
    on_chain: Amount
    running: Amount | None
    net: Amount | None
    is_complete: bool
    unknown: list[str]


class RunningCosts(Wire):
    """What the desk has taken to run since the day (UTC) on which its run began, that day counted whole."""

    since: str
    until: str
    total: PricedSum
    today: PricedSum
    endpoints: list[EndpointCost]
    plans: list[PlanCost]
    model: ModelCost
    net: NetResult


class CostDay(PricedSum):
    """One day (UTC) of everything that ran in it, with what trading brought on it: ``realised``, after what trades
    cost on chain (``on_chain``, which is in it), and ``net`` of running. All three are null where the market's days
    are not those of the wall; ``net`` also where something has no price."""

    day: str
    calls: int
    credits: int
    limited: int
    model_calls: int
    model_tokens: int
    model_usd: str
    realised: Amount | None = None
    on_chain: Amount | None = None
    net: Amount | None = None


class CostsAnswer(TradingContext):
    """GET /costs. ``costs``: on chain, of the present run; ``days``: the newest first."""

    costs: CostView
    running: RunningCosts | None
    days: list[CostDay]
