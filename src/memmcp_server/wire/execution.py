"""How the desk executes, on the wire: nodes, transactions, wallets, endpoints."""

from datetime import datetime
from typing import Literal

from memmcp_server import __version__
from memmcp_server.domain.identifiers import JsonObject

from .base import TradingState, Wire
from .money import Amount, CostView, TradingContext


class LatencyView(Wire):
    """How long something takes, in seconds. Measured ones are estimated from a histogram's buckets: a percentile at
    ``bound_s`` is that or more. ``is_simulated``: nothing was sent anywhere, the time is the market's."""

    name: str
    what: str
    is_simulated: bool
    count: int
    mean_s: float | None
    p50_s: float | None
    p95_s: float | None
    p99_s: float | None
    bound_s: float | None


class TransactionCounts(Wire):
    """With real money of all there ever were, on paper of the present run. ``expired`` counts attempts that no block
    took; with real money the same order is tried again, up to its limit."""

    success: int
    failed: int
    expired: int
    cancelled: int
    under_way: int
    needs_review: int


class NodeWallet(Wire):
    """``address`` is empty on paper: there is none. ``cash`` by the desk's own books; ``reserved``, ``reserve`` and
    ``tokens`` are told where a desk has several wallets. ``buckets`` empty: it buys for all. ``leased_by``: the only
    node that may use it."""

    name: str
    address: str
    state: TradingState
    problem: str
    role: Literal["trade", "exit"]
    buckets: list[str]
    cash: Amount
    reserved: Amount | None
    reserve: Amount | None
    tokens: Amount | None
    leased_by: str


class NodeEndpoint(Wire):
    """An endpoint that the node asks, since its start. ``budget_left``: calls that may be made at once; ``away_s``: for
    how long it is left alone."""

    api: str
    name: str
    ok: int
    failed: dict[str, int]
    answered: LatencyView
    budget_left: float | None
    away_s: float


class NodeView(Wire):
    """One execution node. ``heartbeat_age_s``: since its loop committed a state last, or another node was heard of; a
    cycle should take ``cycle_s``, null where it goes as fast as it can or has none. A ``silent`` node has lost its
    wallets to whoever can sign for them; one that is ``draining`` only finishes what it has begun."""

    id: str
    role: str
    mode: Literal["paper", "live"]
    version: str
    since: datetime
    state: Literal["starting", "working", "draining", "silent", "ended", "stopped"]
    state_reason: str
    trading_state: TradingState
    heartbeat_age_s: float
    cycle_s: float | None
    not_armed: str
    is_reconciled: bool | None
    latency: list[LatencyView]
    transactions: TransactionCounts
    costs: CostView
    wallets: list[NodeWallet]
    endpoints: list[NodeEndpoint]


class NodesAnswer(TradingContext):
    """GET /nodes: every node that executes for this desk."""

    nodes: list[NodeView]


def nodes_answer(body: JsonObject) -> NodesAnswer:
    """Return the desk's nodes with the version that they run, which is ours where they do not say another."""
    found = body["nodes"]
    assert isinstance(found, list)
    nodes: list[JsonObject] = [{"version": __version__, **each} for each in found if isinstance(each, dict)]
    return NodesAnswer.model_validate({**body, "nodes": nodes})


class AttemptView(Wire):
    number: int
    signature: str
    state: Literal["signed", "landed", "settled", "reverted", "expired"]
    fee_lamports: int
    signed_at: datetime


class TransactionView(Wire):
    """One transaction, with all attempts at it. ``state`` is that of its intent, or simulated_fill, simulated_failure,
    simulated_expiry on paper.

    ``took_s``: from the order until the block's time, on paper until the simulated fill by the market's. ``signature``
    is that of the newest attempt. ``sol_lamports``: what the swap took (buy) or gave (sell). ``failed_lamports``: what
    failed attempts were charged. ``slippage_bps``: worse than the signed offer (quote), on paper than the price at the
    decision (mark); ``rent_lamports`` is a deposit that comes back.
    """

    id: str
    order_id: str | None
    trajectory_id: str | None
    kind: Literal["swap", "round_trip", "close_accounts", "sweep"]
    side: Literal["buy", "sell"] | None
    mint: str
    symbol: str
    wallet: str
    wallet_address: str
    state: Literal[
        "open",
        "waiting_for_approval",
        "signed",
        "landed",
        "settled",
        "reverted",
        "failed",
        "cancelled",
        "needs_review",
        "simulated_fill",
        "simulated_failure",
        "simulated_expiry",
    ]
    is_simulated: bool
    ts: datetime
    took_s: float | None
    attempts: list[AttemptView]
    signature: str | None
    sol_lamports: int | None
    fee_lamports: int
    priority_lamports: int
    failed_lamports: int
    rent_lamports: int
    slippage_bps: int | None
    slippage_against: Literal["quote", "mark"]
    problem: str
    reason: str


class TransactionPage(TradingContext):
    """GET /transactions, newest first."""

    transactions: list[TransactionView]
    next_cursor: str | None = None
