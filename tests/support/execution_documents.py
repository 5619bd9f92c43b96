"""What the page is told of how the desk executes: nodes, transactions, costs, and the logs of profiles and sidecar."""

from typing import Any

SIGNATURE = "5VERv8NMvzbJMEkV8xnrLkEaWRtSz9CosKDYjCJjBRnbJLgp8uirBgmQpjKhoR4tjF3ZpRzrFmBV6UjKdiSZkQUW"
ADDRESS = "9xQeWvG816bUx9EPjHmaT23yvVM2ZWbrrpZb9PusVFin"
OFF: dict[str, Any] = {"weight_bps_max": 0, "received": {}, "records": [], "asking": None}
ASKING: dict[str, Any] = {
    "kind": "openai",
    "model": "small-model",
    "breaker": "closed",
    "outcomes": {"answered": 4, "timeout": 1},
    "last_fault": "timeout: no answer within 3 s",
    "calls_left": 95,
    "tokens_left": 90_000,
    "micro_usd_left": 1_250_000,
    "has_failed": False,
    "waiting": 2,
    "dropped": 0,
    "handed_in": 5,
    "last": None,
}


def amount(lamports: int) -> dict[str, Any]:
    return {"lamports": lamports, "sol": f"{lamports / 1e9:.9f}", "usd": f"{lamports * 150 / 1e9:.2f}"}


def latency(name: str, what: str, **more: Any) -> dict[str, Any]:
    known = {"is_simulated": False, "count": 200, "mean_s": 0.002, "p50_s": 0.0016, "p95_s": 0.0042, "p99_s": 0.0061}
    return {"name": name, "what": what, "bound_s": 2.5, **known, **more}


def wallet(name: str = "main", lamports: int = 1_800_000_000, **more: Any) -> dict[str, Any]:
    known = {"address": "", "state": "ACTIVE", "problem": "", "role": "trade", "buckets": [], "leased_by": "local"}
    return {"name": name, "cash": amount(lamports), "reserved": None, "reserve": None, "tokens": None, **known, **more}


def endpoint(name: str, **more: Any) -> dict[str, Any]:
    known: dict[str, Any] = {"api": "rpc", "ok": 900, "failed": {}, "budget_left": 40.0, "away_s": 0.0}
    return {"name": name, "answered": latency(name, "calls that were answered", p95_s=0.21), **known, **more}


def node(**more: Any) -> dict[str, Any]:
    """Return the local node of a desk on paper."""
    counts = {"success": 41, "failed": 2, "expired": 1, "cancelled": 0, "under_way": 1, "needs_review": 0}
    costs = {"fee_lamports": 900_000, "impact_lamports": 400_000, "priority_lamports": 700_000}
    known: dict[str, Any] = {
        "id": "local",
        "role": "decides and executes",
        "mode": "paper",
        "version": "0.1.0",
        "since": "2026-11-22T08:00:00+00:00",
        "state": "working",
        "state_reason": "",
        "trading_state": "ACTIVE",
        "heartbeat_age_s": 12.0,
        "cycle_s": 300.0,
        "not_armed": "",
        "is_reconciled": None,
        "latency": [
            latency("decision", "a cycle's decisions"),
            latency(
                "fill", "decision to simulated fill, market time", is_simulated=True, bound_s=None, p99_s=600, count=40
            ),
        ],
        "transactions": counts,
        "costs": {**costs, "failed_lamports": 20_000, "rent_lamports": 0},
        "wallets": [wallet()],
        "endpoints": [],
    }
    return {**known, **more}


def other_node(name: str, **more: Any) -> dict[str, Any]:
    """Return an execution node beside the desk."""
    delays = [latency(step, "a step", bound_s=None, p50_s=0.4, p99_s=2.0, count=40) for step in ("send", "confirm")]
    wallets = [wallet(name="6ASf…pGWt", address=ADDRESS, leased_by=f"{name}, token 3")]
    known = {"id": name, "role": "executes", "mode": "live", "cycle_s": None, "latency": delays, "wallets": wallets}
    return node(**{**known, **more})


def transaction(number: int = 1, **more: Any) -> dict[str, Any]:
    """Return a settled swap of real money."""
    attempt = {"number": 1, "signature": SIGNATURE, "state": "settled", "fee_lamports": 15_000}
    known: dict[str, Any] = {
        "id": f"int_{number}",
        "order_id": f"run.ord-{number}",
        "trajectory_id": "trade-bonk",
        "kind": "swap",
        "side": "buy",
        "mint": "DezXAZ8z7PnrnRJjz3wXBoRgixCa6xjnB7YaB1pPB263",
        "symbol": "BONK",
        "wallet": "main",
        "wallet_address": ADDRESS,
        "state": "settled",
        "is_simulated": False,
        "ts": "2026-11-22T09:10:00+00:00",
        "took_s": 2.4,
        "attempts": [{**attempt, "signed_at": "2026-11-22T09:10:01+00:00"}],
        "signature": SIGNATURE,
        "sol_lamports": 158_451_551,
        "fee_lamports": 15_000,
        "priority_lamports": 20_000,
        "failed_lamports": 0,
        "rent_lamports": 2_039_280,
        "slippage_bps": 12,
        "slippage_against": "quote",
        "problem": "",
        "reason": "trend is up",
    }
    return {**known, **more}


def costs(**more: Any) -> dict[str, Any]:
    """Return costs of a desk on the market, an endpoint of which nobody has priced."""
    counts = {"calls": 12_000, "credits": 24_000, "limited": 3, "failed": 5, "withheld": 2}
    days = {"calls": 600, "credits": 1_200, "limited": 2, "model_calls": 5, "model_tokens": 9_000, "model_usd": "0.05"}
    day = {"day": "2026-11-22", "usd": "2.1000", "is_complete": True, "unknown": [], **days}
    results = {"realised": amount(30_000_000), "on_chain": amount(2_000_000), "net": amount(16_000_000)}
    running: dict[str, Any] = {
        "since": "2026-11-20",
        "until": "2026-11-22",
        "total": {"usd": "4.2000", "is_complete": False, "unknown": ["rpc.example.com"]},
        "today": {"usd": "2.1000", "is_complete": True, "unknown": []},
        "endpoints": [{"name": "rpc.example.com", **counts, "usd": None}],
        "plans": [{"name": "machine", "usd_a_month": "5.0000", "usd": "0.3288"}],
        "model": {"calls": 5, "tokens": 9_000, "usd": "0.0500"},
        "net": {
            "trading": amount(90_000_000),
            "on_chain": amount(6_000_000),
            "running": amount(28_000_000),
            "net": amount(62_000_000),
            "is_complete": False,
            "unknown": ["rpc.example.com"],
        },
    }
    return {"running": running, "days": [{**day, **results}], **more}


def profile_entry(seq: int, **more: Any) -> dict[str, Any]:
    known: dict[str, Any] = {
        "ts": "2026-11-22T07:00:00+00:00",
        "kind": "profile_switched",
        "what": "profile",
        "strategy": None,
        "before": "foundation",
        "after": "acceleration",
        "by": "operator:page",
        "why": "the tier allows it",
        "changes": [{"field": "limits.exposure_bps_max", "before": "5000", "after": "7000"}],
        "changes_total": 1,
        "gates": [],
    }
    return {"seq": seq, **known, **more}


def sidecar_entry(seq: int, **more: Any) -> dict[str, Any]:
    known: dict[str, Any] = {
        "id": f"ask-{seq}",
        "ts": "2026-11-22T09:00:00+00:00",
        "kind": "entry",
        "mint": "DezX",
        "symbol": "BONK",
        "strategy": "momentum",
        "question": "Is this breakout worth an entry?",
        "evidence": 3,
        "outcome": "answered",
        "is_answered": True,
        "detail": "",
        "text": "small-model on BONK: a rise has 60 %",
        "model": "small-model",
        "latency_ms": 820,
        "tokens_in": 700,
        "tokens_out": 120,
        "cost_micro_usd": 1_240,
        "is_cached": False,
        "effect": {"scale_bps": 5_000, "wait_until": None, "weight_bps": 2_500, "reason": ""},
        "score": {"is_hit": True, "realised_bps": 130, "brier_ppm": 160_000},
    }
    return {"seq": seq, **known, **more}
