"""Documents of how a desk in memory executes, and of what it wrote down; figures that a test can look for."""

from typing import Any

LATENCY: dict[str, Any] = {
    "name": "decision",
    "what": "a cycle's decisions",
    "is_simulated": False,
    "count": 120,
    "mean_s": 0.0021,
    "p50_s": 0.0016,
    "p95_s": 0.0042,
    "p99_s": 0.0061,
    "bound_s": 2.5,
}
SIDECAR: dict[str, Any] = {"weight_bps_max": 0, "received": {}, "records": [], "asking": None}


def node(snapshot: Any) -> dict[str, Any]:
    """Return the one node of a desk on paper with this snapshot."""
    return {
        "id": "local",
        "role": "decides and executes",
        "mode": "paper",
        "since": snapshot["ts"],
        "state": "working",
        "state_reason": "",
        "trading_state": snapshot["state"],
        "heartbeat_age_s": 1.5,
        "cycle_s": 300.0,
        "not_armed": "",
        "is_reconciled": None,
        "latency": [LATENCY],
        "transactions": {
            "success": snapshot["trades_total"],
            "failed": 0,
            "expired": 0,
            "cancelled": 0,
            "under_way": 0,
            "needs_review": 0,
        },
        "costs": snapshot["costs"],
        "wallets": [
            {
                "name": "main",
                "address": "",
                "state": snapshot["state"],
                "problem": "",
                "role": "trade",
                "buckets": [],
                "cash": snapshot["cash"],
                "reserved": None,
                "reserve": None,
                "tokens": None,
                "leased_by": "local",
            }
        ],
        "endpoints": [],
    }


def transaction(trade: Any, mint: str, symbol: str) -> dict[str, Any]:
    """Return a simulated fill of a trade of the desk in memory."""
    return {
        "id": trade.order_id,
        "order_id": trade.order_id,
        "trajectory_id": trade.trajectory_id,
        "kind": "swap",
        "side": trade.side,
        "mint": mint,
        "symbol": symbol,
        "wallet": "main",
        "wallet_address": "",
        "state": "simulated_fill",
        "is_simulated": True,
        "ts": trade.ts.isoformat(),
        "took_s": 300.0,
        "attempts": [],
        "signature": None,
        "sol_lamports": trade.lamports,
        "fee_lamports": 5_000,
        "priority_lamports": 10_000,
        "failed_lamports": 0,
        "rent_lamports": 0,
        "slippage_bps": 0,
        "slippage_against": "mark",
        "problem": "",
        "reason": trade.reason,
    }


def profile_entry(ts: str) -> dict[str, Any]:
    return {
        "seq": 1,
        "ts": ts,
        "kind": "run_started",
        "what": "profile",
        "strategy": None,
        "before": "",
        "after": "foundation",
        "by": "operator",
        "why": "the run paper-double began (paper) on a script",
        "changes": [],
        "changes_total": 0,
        "gates": [],
    }
