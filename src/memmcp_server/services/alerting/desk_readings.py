"""What the desk's snapshot says, as readings. It remembers the last cycle, and counts of the last hour."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from memmcp_server.domain.alert import Reading
from memmcp_server.domain.identifiers import JsonObject

from .hour_count import HourCount
from .sources import reading

FILLS_MIN: Final = 3
ORDERS_MIN: Final = 4
"""Fewer are no rate: one failed order of two says nothing."""

STATES: Final = {"ACTIVE": 0, "REDUCING": 1, "HALTED": 2}
LIMIT_WORDS: Final = {"drawdown_bps": "reduces", "total_drawdown_bps": "halts"}
IMPLAUSIBLE: Final = frozenset({"bar_invalid", "bar_off_grid", "bar_future", "bar_withheld", "negative_reserves"})
"""Counts of the feed that mean: this price cannot be, or another source says something else."""

NAMES: Final = frozenset(
    {
        "drawdown_used_bps",
        "state",
        "cycle_late_bars",
        "feed_stale",
        "feed_faults_hour",
        "slippage_over_model_bps",
        "cost_over_model_bps",
        "failed_share_bps",
        "failed_fees_hour_lamports",
        "wallet_halted",
        "unreconciled",
        "endpoint_down",
        "endpoints_up",
        "execution_node_silent",
        "execution_nodes_unseen",
        "signer_down",
        "desk_backlog_s",
        "clock_offset_s",
        "sidecar_down",
    }
)


class DeskReadings:
    """One per daemon; ``of`` with every snapshot, oldest first."""

    def __init__(self) -> None:
        self._cycle: tuple[str, int] | None = None
        self._cycled_at_s = 0.0
        self._counts: dict[str, HourCount] = {}
        self._worst_trajectory = ""

    def of(self, snapshot: JsonObject, now_s: float) -> list[Reading]:
        """Return the readings of a snapshot; ``now_s`` is monotonic."""
        held: Mapping[str, Any] = snapshot
        self._look_for_the_worst(held)
        health: Mapping[str, Any] = held.get("health") or {}
        return [
            *self._drawdowns(held),
            *self._states(held),
            *self._cycles(held, health, now_s),
            *self._feed(held, health, now_s),
            *self._execution(held, health, now_s),
            *_chain(health),
            *_endpoints(health),
            *_nodes(health),
            *_queues(held),
            *_sidecar(held),
        ]

    def _look_for_the_worst(self, held: Mapping[str, Any]) -> None:
        """Remember the trade that loses most: a drawdown is about it, also when it has just been sold."""
        losing = [each for each in held.get("positions", ()) if each["unrealised"]["lamports"] < 0]
        if losing:
            worst = min(losing, key=lambda each: int(each["unrealised"]["lamports"]))
            self._worst_trajectory = str(worst["trajectory_id"])

    def _drawdowns(self, held: Mapping[str, Any]) -> list[Reading]:
        found = []
        for limit in held.get("limits", ()):
            if limit["name"] not in LIMIT_WORDS or limit["limit"] <= 0:
                continue
            what = LIMIT_WORDS[limit["name"]]
            note = f"Drawdown is {limit['used'] / 100:.2f} %, the limit that {what} is {limit['limit'] / 100:.2f} %."
            used = limit["used"] * 10_000 / limit["limit"]
            found.append(
                reading(
                    "drawdown_used_bps",
                    used,
                    note,
                    self._worst_trajectory,
                    limit=str(limit["name"]),
                    scope=str(limit["scope"]),
                )
            )
        return found

    def _states(self, held: Mapping[str, Any]) -> list[Reading]:
        reason = str(held.get("state_reason") or "")
        found = [reading("state", STATES.get(str(held["state"])), reason, self._worst_trajectory, scope="account")]
        for wallet in held.get("wallets") or ():
            scope = f"wallet:{wallet['name']}"
            found.append(reading("state", STATES.get(str(wallet["state"])), str(wallet["problem"]), scope=scope))
        return found

    def _cycles(self, held: Mapping[str, Any], health: Mapping[str, Any], now_s: float) -> list[Reading]:
        mark = (str(held["run_id"]), int(held["cycle"]))
        if mark != self._cycle:
            self._cycle, self._cycled_at_s = mark, now_s
        if held.get("next_evaluation") is None or not held["cycle"]:
            return []  # it has ended, or has not begun: then nothing is late
        # A recording may be played faster or slower than it was: then its own time says nothing.
        bar_s = float(health.get("cycle_s") or _seconds_between(held["ts"], held["next_evaluation"]))
        return [reading("cycle_late_bars", max(0.0, (now_s - self._cycled_at_s) / bar_s - 1))] if bar_s > 0 else []

    def _feed(self, held: Mapping[str, Any], health: Mapping[str, Any], now_s: float) -> list[Reading]:
        feed = held["feed"]
        has_ended = feed["kind"] != "market" and held.get("next_evaluation") is None and held["cycle"] > 0
        age = "nothing was heard yet" if feed["age_s"] is None else f"its newest event is {feed['age_s']:.0f} s old"
        found = [reading("feed_stale", float(bool(feed["stale"]) and not has_ended), f"{feed['kind']}: {age}.")]
        for fault, count in (health.get("feed_counts") or {}).items():
            if fault in IMPLAUSIBLE:
                grown = self._grown(f"fault:{fault}", float(count), now_s)
                found.append(reading("feed_faults_hour", grown, fault=fault.replace("_", " ")))
        skew_s = health.get("clock_skew_s")
        if skew_s is not None:
            found.append(reading("clock_offset_s", abs(float(skew_s))))
        return found

    def _execution(self, held: Mapping[str, Any], health: Mapping[str, Any], now_s: float) -> list[Reading]:
        failed = self._grown("failed_fees", float(held["costs"]["failed_lamports"]), now_s)
        found = [reading("failed_fees_hour_lamports", failed)]
        done = health.get("execution")
        if not done:
            return found
        worst, last_failed = str(done.get("worst_trajectory_id") or ""), str(done.get("failed_trajectory_id") or "")
        if done["fills"] >= FILLS_MIN:
            note = f"Over {done['fills']} fills."
            found.append(reading("slippage_over_model_bps", float(done["shortfall_bps"]), note, worst))
            found.append(reading("cost_over_model_bps", float(done["fees_over_bps"]), note, worst))
        total = done["fills"] + done["failed"]
        if total >= ORDERS_MIN:
            reasons = ", ".join(f"{count} {reason}" for reason, count in done["reasons"].items())
            note = f"{done['failed']} of {total}: {reasons}." if reasons else ""
            found.append(reading("failed_share_bps", done["failed"] * 10_000 / total, note, last_failed))
        return found

    def _grown(self, name: str, count: float, now_s: float) -> float:
        return self._counts.setdefault(name, HourCount()).grown(count, now_s)


def _chain(health: Mapping[str, Any]) -> list[Reading]:
    chain = health.get("chain")
    if not chain:
        return []
    found = [
        reading("unreconciled", float(not chain["is_reconciled"])),
        reading("signer_down", float("does not answer" in chain["not_armed"]), str(chain["not_armed"])),
    ]
    return found + [reading("wallet_halted", 1.0, str(why), wallet=name) for name, why in chain["halted"].items()]


def _endpoints(health: Mapping[str, Any]) -> list[Reading]:
    found: list[Reading] = []
    up: dict[str, int] = {}
    for each in health.get("endpoints") or ():
        is_down = bool(each["is_down"])
        up[each["kind"]] = up.get(each["kind"], 0) + (not is_down)
        found.append(reading("endpoint_down", float(is_down), str(each["problem"]), endpoint=str(each["name"])))
    return found + [reading("endpoints_up", count, kind=kind) for kind, count in up.items()]


def _nodes(health: Mapping[str, Any]) -> list[Reading]:
    nodes = health.get("nodes")
    if not nodes:
        return []
    halted = [
        reading("wallet_halted", 1.0, f"{why} It is a wallet of the nodes: memmcp-trade node review.", wallet=wallet)
        for wallet, why in nodes["halted"].items()
    ]
    silent = [reading("execution_node_silent", 1.0, why, node=name) for name, why in nodes["silent"].items()]
    return [reading("execution_nodes_unseen", float(bool(nodes["problem"])), str(nodes["problem"])), *silent, *halted]


def _queues(held: Mapping[str, Any]) -> list[Reading]:
    found: list[Reading] = []
    for name, queue in (held.get("queues") or {}).items():
        note = f"{queue['pending']} wait on the desk's disk."
        found.append(reading("desk_backlog_s", float(queue["oldest_s"]), note, queue=name))
    return found


def _sidecar(held: Mapping[str, Any]) -> list[Reading]:
    asking = (held.get("sidecar") or {}).get("asking")
    if not asking:
        return []
    return [reading("sidecar_down", float(asking["breaker"] == "open"), str(asking["last_fault"]))]


def _seconds_between(earlier: str, later: str) -> float:
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()
