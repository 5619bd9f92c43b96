"""The desk as a node that executes: how it stands, how fast it is, what its transactions came to, its wallets."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from trading.model.wallet import MAIN

from . import families as told
from .documents import Document, iso
from .latency import exact_document, spread_document
from .stage import PAPER, Stage
from .transactions import Executing, Facts

LOCAL: Final = "local"
"""The one node that there is until several share the work of a desk."""


def node_document(
    stage: Stage, snapshot: Document, figures: Document, facts: Facts, live: Executing | None
) -> Document:
    """Return wire.NodeView without its version."""
    families = {each["name"]: each for each in figures["families"]}
    state, why = _state(snapshot, stage)
    health = snapshot.get("health") or {}
    return {
        "id": LOCAL,
        "role": "decides and executes",
        "mode": "paper" if stage.money == PAPER else "live",
        "since": iso(stage.began_ns),
        "state": state,
        "state_reason": why,
        "trading_state": snapshot["state"],
        "heartbeat_age_s": round(max(0.0, stage.heartbeat_age_s), 3),
        "cycle_s": health.get("cycle_s"),
        "not_armed": "" if health.get("chain") is None else health["chain"]["not_armed"],
        "is_reconciled": None if health.get("chain") is None else health["chain"]["is_reconciled"],
        "latency": _latency(facts, families, live),
        "transactions": facts.counts,
        "costs": snapshot["costs"],
        "wallets": wallets_of(snapshot, live),
        "endpoints": endpoints_of(families),
    }


def _state(snapshot: Mapping[str, Any], stage: Stage) -> tuple[str, str]:
    if stage.trouble is not None:
        return "stopped", stage.trouble.message
    if stage.current.has_ended:
        return "ended", "the recorded feed has ended"
    if not snapshot["cycle"]:
        return "starting", str(snapshot["state_reason"])
    return "working", ""


def _latency(facts: Facts, families: Mapping[str, Any], live: Executing | None) -> list[Document]:
    found = [
        spread_document("decision", "a cycle's decisions", families.get(told.DECISION.name)),
        spread_document("commit", "until they are durable", families.get(told.COMMIT.name)),
    ]
    if live is None:
        return [*found, exact_document("fill", "decision to simulated fill, market time", facts.delays_s)]
    return [
        *found,
        spread_document("send", "order to signed transaction", families.get(told.SENDING.name)),
        spread_document("confirm", "signed until confirmed on chain", families.get(told.LANDING.name)),
    ]


def wallets_of(snapshot: Mapping[str, Any], live: Executing | None) -> list[Document]:
    """Return wire.NodeWallet for each wallet: of a desk that has one, all of its cash is in it."""
    addresses = {} if live is None else live.wallets
    health = snapshot.get("health") or {}
    halted = (health.get("chain") or {}).get("halted", {})
    several: Sequence[Mapping[str, Any]] = snapshot.get("wallets") or ()
    if not several:
        several = (
            {
                "name": MAIN,
                "state": snapshot["state"],
                "problem": "",
                "role": "trade",
                "buckets": [],
                "cash": snapshot["cash"],
                "reserved": None,
                "reserve": None,
                "tokens": None,
            },
        )
    leased_by = LOCAL if live is None else f"{LOCAL}, opening {live.epoch}"
    return [
        {
            **{name: each[name] for name in ("name", "state", "role", "cash", "reserved", "reserve", "tokens")},
            "buckets": list(each["buckets"]),
            "problem": each["problem"] or halted.get(each["name"], ""),
            "address": addresses.get(each["name"], ""),
            "leased_by": leased_by,
        }
        for each in several
    ]


def endpoints_of(families: Mapping[str, Any]) -> list[Document]:
    """Return wire.NodeEndpoint for each endpoint that is asked: what came of the calls since the start, how long
    answers took, what its budget has left."""
    found: dict[tuple[str, str], Document] = {}
    for labels, value in _series(families, told.CALLS.name):
        api, name, outcome = labels
        each = found.setdefault((api, name), {"api": api, "name": name, "ok": 0, "failed": {}})
        if outcome == "ok":
            each["ok"] = int(value)
        elif value:
            each["failed"][outcome] = int(value)
    left, away = (dict(_series(families, family.name)) for family in (told.BUDGET, told.AWAY))
    spreads = families.get(told.CALL_SECONDS.name)
    for (api, name), each in found.items():
        own = [] if spreads is None else [one for one in spreads["series"] if tuple(one["labels"]) == (api, name)]
        spread = None if spreads is None else {**spreads, "series": own}
        each["answered"] = spread_document(name, "calls that were answered", spread)
        each["budget_left"] = left.get((api, name))
        each["away_s"] = away.get((api, name), 0.0)
    return [found[key] for key in sorted(found)]


def _series(families: Mapping[str, Any], name: str) -> list[tuple[tuple[str, ...], float]]:
    family = families.get(name)
    return [] if family is None else [(tuple(each["labels"]), each["value"]) for each in family["series"]]
