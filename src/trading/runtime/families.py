"""The figures that the desk tells whoever watches: names, units, meanings."""

from typing import Final

from trading.model.meters import CALL_BOUNDS_S, Family

STATES: Final = ("ACTIVE", "REDUCING", "HALTED")
CYCLE_BOUNDS_S: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
SLIPPAGE_BOUNDS: Final = (-0.01, -0.001, 0.0, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1)
LANDING_BOUNDS_S: Final = (0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 21.0, 34.0, 60.0, 90.0)


def _gauge(name: str, text: str, *labels: str) -> Family:
    return Family(f"memmcp_trading_{name}", "gauge", text, labels)


def _counter(name: str, text: str, *labels: str) -> Family:
    return Family(f"memmcp_trading_{name}_total", "counter", text, labels)


def _spread(name: str, text: str, bounds: tuple[float, ...], *labels: str) -> Family:
    return Family(f"memmcp_trading_{name}", "histogram", text, labels, bounds)


INFO: Final = _gauge(
    "info",
    "1, with whose money is traded (paper or real), the profile, the tier and the kind of feed.",
    "money",
    "profile",
    "tier",
    "feed",
)
STATE: Final = _gauge("state", "1 for the trading state that the desk is in.", "state")
ENTRIES: Final = _gauge("entries_allowed", "Whether positions may be opened.")
EQUITY: Final = _gauge("equity_lamports", "Cash and positions at liquidation value.")
CASH: Final = _gauge("cash_lamports", "Cash, with the deposits of token accounts.")
PEAK: Final = _gauge("peak_lamports", "The highest equity so far, without flows.")
REALISED: Final = _gauge("realised_lamports", "Result of closed positions, after failed transactions.")
UNREALISED: Final = _gauge("unrealised_lamports", "Result of open positions at liquidation value.")
DEPOSITS: Final = _gauge("net_deposits_lamports", "What was put in, less what was taken out.")
TARGET: Final = _gauge("target_lamports", "The equity that the desk is to reach.")
EXPOSURE: Final = _gauge("exposure_lamports", "What open positions are worth, orders under way included.")
BY_STRATEGY: Final = _gauge("strategy_exposure_lamports", "The same, by strategy.", "strategy")
DRAWDOWN: Final = _gauge("drawdown_ratio", "Drop from the peak of equity, as a share of it.")
POSITIONS: Final = _gauge("positions", "Open positions.")
LIMIT: Final = _gauge(
    "limit_distance_ratio",
    "Share of a limit that is left, 0 at the limit and below 0 beyond it; scope: account, wallet, bucket or strategy "
    "with its name, or token.",
    "limit",
    "scope",
)
SOL_USD: Final = _gauge("sol_price_usd", "What one SOL costs.")
FEED_AGE: Final = _gauge("feed_age_seconds", "Age of the newest market data.")
FEED_STALE: Final = _gauge("feed_stale", "Whether the market data is too old to go by.")
CYCLES: Final = _counter("cycles", "Cycles over the whole run.")
COSTS: Final = _gauge(
    "costs_lamports", "What trading has cost over the run: fee, impact, priority, failed; rent comes back.", "kind"
)
RELAY_PENDING: Final = _gauge("relay_pending", "Journal rows and snapshots that memory has not taken yet.")
RELAY_AGE: Final = _gauge("relay_failing_seconds", "For how long memory has been taking nothing, 0 while it does.")
RELAY_DELIVERED: Final = _counter("relay_delivered", "Records that memory has taken since the start.")
COMMANDS: Final = _gauge("commands_pending", "Orders and controls that wait for the loop.")
DECISION: Final = _spread("decision_duration_seconds", "How long the kernel took for a cycle.", CYCLE_BOUNDS_S)
COMMIT: Final = _spread("commit_duration_seconds", "How long it took to make what was decided durable.", CYCLE_BOUNDS_S)
SIGNALS: Final = _counter("signals", "Signals that strategies raised, acted on or not.", "strategy")
DENIALS: Final = _counter(
    "denials",
    "What the desk itself turned down: signals that were not acted on (stage signal) and orders that the risk gate "
    "denied (stage order), by reason.",
    "stage",
    "reason",
)
ORDERS: Final = _counter("orders", "Orders that the risk gate let pass.", "strategy", "purpose")
FILLS: Final = _counter("fills", "Swaps that happened.", "strategy", "side")
SLIPPAGE: Final = _spread(
    "fill_slippage_ratio", "Slippage of fills against the mark at the decision.", SLIPPAGE_BOUNDS, "side"
)
REJECTIONS: Final = _counter("rejections", "Orders that the venue turned down, by reason.", "reason")
FAILED: Final = _counter("failed_transactions", "Transactions that failed on chain and paid their fee all the same.")
CLOSED: Final = _counter("positions_closed", "Positions that were closed, won or lost.", "strategy", "result")
CALLS: Final = _counter(
    "endpoint_requests",
    "Calls of the market's APIs (market), of the router (router) and of the chain's endpoints (rpc): ok, or how they "
    "failed.",
    "api",
    "endpoint",
    "outcome",
)
CALL_SECONDS: Final = _spread(
    "endpoint_request_duration_seconds", "How long calls that were answered took.", CALL_BOUNDS_S, "api", "endpoint"
)
BUDGET: Final = _gauge("endpoint_budget_calls", "Calls that an endpoint's budget has left now.", "api", "endpoint")
AWAY: Final = _gauge("endpoint_backoff_seconds", "For how long an endpoint is left alone.", "api", "endpoint")
SLOT_LAG: Final = _gauge("endpoint_lag_slots", "How far an endpoint of the chain is behind.", "endpoint")
ASKED: Final = _counter("sidecar_calls", "Questions to the sidecar, by what they came to.", "outcome")
TOKENS: Final = _counter("sidecar_tokens", "Tokens of the sidecar's model since the start.", "direction")
SPENT: Final = _counter("sidecar_cost_usd", "What the sidecar's model has cost since the start.")
LEFT: Final = _gauge("sidecar_budget_left_ratio", "What the day has left for the sidecar, the scarcest of its bounds.")
RESTING: Final = _gauge("sidecar_resting", "Whether the sidecar is left alone because it failed too often.")
ARMED: Final = _gauge("live_armed", "Whether the signer is armed for real money.")
RECONCILED: Final = _gauge("live_reconciled", "Whether the books agree with the chain.")
HALTED_WALLETS: Final = _gauge("live_wallets_halted", "Wallets that wait for a person.")
UNFINISHED: Final = _gauge("live_intents_unfinished", "Transactions under way.")
INTENTS: Final = _counter("live_intent_steps", "Steps of transactions with real money, by kind.", "step")
SENDING: Final = _spread(
    "live_send_delay_seconds", "From an order's intent to its signed transaction.", LANDING_BOUNDS_S
)
LANDING: Final = _spread(
    "live_confirmation_delay_seconds", "From the signed transaction until the chain has confirmed it.", LANDING_BOUNDS_S
)
NODES_SEEN: Final = _gauge("nodes_seen", "Whether the database of the execution nodes can be read.")
NODE_UP: Final = _gauge("node_up", "Whether an execution node was heard of within a lease.", "node")
NODE_SILENT: Final = _gauge("node_silent_seconds", "For how long nothing was heard of an execution node.", "node")
NODE_WALLETS: Final = _gauge("node_wallets", "Wallets that an execution node has leased.", "node")
NODE_BALANCE: Final = _gauge("node_balance_lamports", "SOL in the wallets that an execution node has leased.", "node")
NODE_CHILDREN: Final = _gauge(
    "node_transactions",
    "Child orders of an execution node by what they came to: success, failed, cancelled, under_way, needs_review; and "
    "attempts that no block took (expired).",
    "node",
    "outcome",
)
NODE_DELAY: Final = _gauge(
    "node_delay_seconds",
    "How long the newest transactions of an execution node took, from claim to signature (send) and from there to the "
    "chain (confirm).",
    "node",
    "step",
    "quantile",
)
NODES_EXPOSURE: Final = _gauge("nodes_exposure_lamports", "What the nodes hold in tokens at cost, or are buying.")
NODES_EXPOSURE_MAX: Final = _gauge("nodes_exposure_limit_lamports", "What they may, all together.")

ARB_SEEN: Final = _counter(
    "arbitrage_seen",
    "Looks at two venues in one direction, by why no trip was taken, or taken.",
    "why_not",
)
ARB_TRIPS: Final = _counter("arbitrage_trips", "Trips that ended, by how: done, flat, stuck.", "phase")
ARB_OPEN: Final = _gauge("arbitrage_trips_pending", "Trips that are not over, those that wait for a person included.")
ARB_HALTED: Final = _gauge("arbitrage_halted", "Whether no trip is opened until a person has looked.")
ARB_DAY: Final = _gauge("arbitrage_day_result_lamports", "What the trips that ended in this UTC day brought.")
ARB_MONEY: Final = _gauge("arbitrage_money_lamports", "SOL for trips at a venue, as it was seen last.", "venue")
ARB_TRANSFERS: Final = _gauge("arbitrage_transfers_pending", "Transfers between venues that are not over.", "state")

FAMILIES: Final = tuple(each for each in list(globals().values()) if isinstance(each, Family))
"""All of them, in the order of the documentation."""
