"""The rules that are shipped, and how the operator's own change them. Data; ``alerting`` says what they do.

Every rule has a section of its name in docs/runbooks.md.
"""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

from .alert import Rule, Severity

INFO, WARNING, CRITICAL = Severity.INFO, Severity.WARNING, Severity.CRITICAL
MINUTE, HOUR, DAY = 60.0, 3_600.0, 86_400.0
GIGABYTE: Final = 1_000_000_000.0

READINGS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "drawdown_used_bps": ("bps", "how much of a drawdown limit is used up; by limit and scope"),
        "state": ("state", "0 active, 1 reducing, 2 halted; by scope (account, wallet)"),
        "cycle_late_bars": ("bars", "bars since the loop's last cycle, beyond the one that is awaited"),
        "feed_stale": ("yes", "1 while the newest price is too old to trade on"),
        "feed_faults_hour": (
            "an hour",
            "prices of the last hour that contradict themselves or another source",
        ),
        "slippage_over_model_bps": ("bps", "by how much the last fills gave less than they were quoted"),
        "cost_over_model_bps": ("bps", "by how much fees and tips of the last fills were more than planned"),
        "failed_share_bps": ("bps", "share of the last orders that failed on chain or were charged for nothing"),
        "failed_fees_hour_lamports": ("lamports", "what failed transactions of the last hour cost"),
        "wallet_halted": (
            "yes",
            "1 while a wallet waits for a person: chain and books differ",
        ),
        "unreconciled": ("yes", "1 while the desk has not yet compared its books with the chain"),
        "endpoint_down": ("yes", "1 while an endpoint (node, market API) does not answer; by endpoint"),
        "endpoints_up": ("endpoints", "how many of a kind answer; by kind"),
        "execution_node_silent": ("yes", "1 while nothing is heard of an execution node; by node"),
        "execution_nodes_unseen": ("yes", "1 while the database of the execution nodes cannot be read"),
        "signer_down": ("yes", "1 while the signer does not answer"),
        "queue_oldest_s": ("s", "for how long the oldest entry waits while nothing is delivered; by queue"),
        "queue_dead": ("entries", "entries that were given up and wait for an operator; by queue"),
        "desk_backlog_s": ("s", "for how long what the desk recorded has not reached memory; by queue"),
        "index_drift": ("memories", "memories of which the index says something else than the journal"),
        "index_degraded": ("yes", "1 while the index is down or searches without its model"),
        "disk_free_bytes": ("bytes", "free space where the data directory is"),
        "disk_days_left": ("days", "days until that is used up at the pace of the last hours"),
        "clock_jump_s": ("s", "by how much the wall clock has jumped within the last minute"),
        "clock_offset_s": ("s", "by how much this machine's clock differs from that of the market's servers"),
        "loop_lag_ms": ("ms", "by how much the daemon's timers are late"),
        "sidecar_down": ("yes", "1 while the sidecar's breaker is open"),
        "telemetry_dropped": ("spans", "spans dropped within the last hour, for want of room; by receiver"),
        "heartbeat_failures": ("beats", "beats in a row that did not reach the dead man's switch"),
        "phone_failures": ("tries", "tries in a row to hear the operator's phone that failed"),
        "phone_strangers_hour": ("messages", "messages that people who are not let in sent to the phone's bot"),
        "source_silent_s": ("s", "for how long a source of readings has given none; by source"),
    }
)
"""Every reading by name: its unit, and what it measures."""

SHIPPED: Final[tuple[Rule, ...]] = (
    Rule(
        "drawdown", "drawdown_used_bps", CRITICAL, 10_000, 9_000, "bps",
        title="drawdown limit crossed ({scope})",
        text="{note} That is {value} of the limit.",
        advice="The desk has acted by itself: it opens nothing, and at the halting limit everything is offered for "
        "sale. Read what lost (memmcp-trade night), then resume with a reason.",
        escalate_after_s=5 * MINUTE,
    ),
    Rule(
        "drawdown_near", "drawdown_used_bps", WARNING, 8_000, 7_000, "bps",
        title="drawdown close to its limit ({scope})",
        text="{note} That is {value} of the limit.",
        advice="Nothing has to be done: the desk stops by itself at the limit. Pause entries if you doubt the market.",
        inhibited_by="drawdown",
    ),
    Rule(
        "desk_halted", "state", CRITICAL, 2, 1, "state",
        title="trading is HALTED ({scope})",
        text="{note}",
        advice="Nothing is traded until a person resumes. Find the cause first: memmcp-trade night.",
        escalate_after_s=10 * MINUTE,
    ),
    Rule(
        "desk_reducing", "state", WARNING, 1, 0, "state",
        title="trading is REDUCING ({scope})",
        text="{note}",
        advice="Positions are only closed. It ends by itself after the profile's reducing_s, or when you resume.",
        inhibited_by="desk_halted",
        escalate_after_s=HOUR,
    ),
    Rule(
        "loop_not_cycling", "cycle_late_bars", CRITICAL, 2, 1, "bars",
        title="the trading loop does not cycle",
        text="The last cycle ended {value} later than the next should have come.",
        advice="Exits do not run either. See memmcp logs; restart the daemon if it does not recover.",
        for_s=5, escalate_after_s=5 * MINUTE,
    ),
    Rule(
        "feed_stale", "feed_stale", WARNING, 1, 0, "yes",
        title="the feed is stale",
        text="{note}",
        advice="Nothing is decided meanwhile. Look at the endpoints (memmcp status) and at the machine's clock.",
        for_s=3,
    ),
    Rule(
        "feed_implausible", "feed_faults_hour", WARNING, 3, 0, "an hour",
        title="prices contradict each other ({fault})",
        text="{value} prices in the last hour were crossed, impossible or too far from a second source: {fault}.",
        advice="Such prices are withheld. If it lasts, compare with an explorer and pause entries.",
    ),
    Rule(
        "slippage", "slippage_over_model_bps", WARNING, 50, 30, "bps",
        title="fills are worse than quoted",
        text="The last fills gave on average {value} less than they were quoted. {note}",
        advice="Smaller orders, deeper pools, or a pause: memmcp-trade why ORDER tells of one fill.",
    ),
    Rule(
        "cost_over_model", "cost_over_model_bps", WARNING, 50, 30, "bps",
        title="trading costs more than planned",
        text="Fees and tips of the last fills were {value} of their value above plan. {note}",
        advice="The network is dear just now: raise the profile's edge over costs, or pause entries.",
    ),
    Rule(
        "failed_transactions", "failed_share_bps", WARNING, 3_000, 1_500, "bps",
        title="transactions fail",
        text="{value} of the last orders failed. {note}",
        advice="Look at the reasons (memmcp-trade night): slippage bounds, congestion, an endpoint that lags.",
    ),
    Rule(
        "failed_fees", "failed_fees_hour_lamports", WARNING, 5_000_000, 1_000_000, "lamports",
        title="failed transactions cost money",
        text="Failed transactions of the last hour cost {value}.",
        advice="Pause entries until they land again: memmcp-trade stop-entries --reason ...",
    ),
    Rule(
        "reconciliation", "wallet_halted", CRITICAL, 1, 0, "yes",
        title="books and chain differ ({wallet})",
        text="{note}",
        advice="The wallet trades no more until you have answered: memmcp-trade review.",
        escalate_after_s=10 * MINUTE,
    ),
    Rule(
        "not_reconciled", "unreconciled", WARNING, 1, 0, "yes",
        title="books are not compared with the chain yet",
        text="The desk waits for the chain before it trades. {note}",
        advice="It goes on by itself once the endpoints answer; look at them if it lasts.",
        for_s=MINUTE,
    ),
    Rule(
        "node_down", "endpoint_down", WARNING, 1, 0, "yes",
        title="endpoint {endpoint} does not answer",
        text="{note}",
        advice="Others are used meanwhile. Check the provider, or take it out of the configuration.",
        for_s=10,
    ),
    Rule(
        "all_nodes_down", "endpoints_up", CRITICAL, 0, 1, "endpoints",
        title="no {kind} endpoint answers",
        text="None of the configured {kind} endpoints answers.",
        advice="Nothing can be traded, exits neither. Check the network, then the providers.",
        for_s=5, escalate_after_s=5 * MINUTE,
    ),
    Rule(
        "execution_node_silent", "execution_node_silent", WARNING, 1, 0, "yes",
        title="execution node {node} is silent",
        text="{note}",
        advice="Nodes that can sign for its wallets take them over. Start it again, or another: memmcp-trade node run.",
        for_s=10,
    ),
    Rule(
        "execution_nodes_unseen", "execution_nodes_unseen", WARNING, 1, 0, "yes",
        title="the execution nodes are not seen",
        text="{note}",
        advice="Without their database nodes sign nothing and this desk buys nothing. Bring the database up.",
        for_s=30,
    ),
    Rule(
        "signer_down", "signer_down", CRITICAL, 1, 0, "yes",
        title="the signer does not answer",
        text="{note}",
        advice="Nothing can be signed, exits neither. Start it again: memmcp-trade signer run.",
        for_s=5, escalate_after_s=5 * MINUTE,
    ),
    Rule(
        "queue_stuck", "queue_oldest_s", WARNING, 2 * MINUTE, 30, "s",
        title="queue {queue} is stuck",
        text="Nothing has been delivered for {value}, and entries wait. {note}",
        advice="Nothing is lost. See what the sink says: memmcp outbox list --sink {queue}.",
    ),
    Rule(
        "queue_dead", "queue_dead", WARNING, 1, 0, "entries",
        title="queue {queue} has given up entries",
        text="{value} wait for an operator. {note}",
        advice="See why, then repeat or drop them: memmcp outbox list --dead, memmcp outbox retry.",
    ),
    Rule(
        "desk_backlog", "desk_backlog_s", WARNING, 2 * MINUTE, 30, "s",
        title="memory does not take the desk's records ({queue})",
        text="They have waited for {value}. {note}",
        advice="Nothing is lost, trading goes on: they wait on the desk's disk. See memmcp status and memmcp logs.",
    ),
    Rule(
        "index_drift", "index_drift", WARNING, 1, 0, "memories",
        title="the memory index differs from the journal",
        text="{note}",
        advice="It repairs itself; search is completed from the journal. If it lasts: memmcp index check --repair.",
        for_s=10 * MINUTE,
    ),
    Rule(
        "index_degraded", "index_degraded", WARNING, 1, 0, "yes",
        title="the memory index is degraded",
        text="{note}",
        advice="Nothing is lost: search goes by words meanwhile. See memmcp status and memmcp logs.",
        for_s=MINUTE,
    ),
    Rule(
        "disk_low", "disk_free_bytes", CRITICAL, GIGABYTE, 2 * GIGABYTE, "bytes",
        title="the disk is nearly full",
        text="Only {value} are free where the data directory is.",
        advice="Make room now: the desk acts on nothing that it cannot write down.",
        escalate_after_s=10 * MINUTE,
    ),
    Rule(
        "disk_filling", "disk_days_left", WARNING, 3, 5, "days",
        title="the disk fills up",
        text="At the pace of the last hours it is full in {value}.",
        advice="Find what grows, move back-ups away, or shorten retention.",
        inhibited_by="disk_low", for_s=10 * MINUTE, escalate_after_s=DAY,
    ),
    Rule(
        "clock_jumped", "clock_jump_s", WARNING, 5, 1, "s",
        title="the clock jumped",
        text="This machine's clock moved by {value} against its own timer: it slept, or somebody set it.",
        advice="Check time synchronisation. After a sleep read memmcp-trade night.",
        escalate_after_s=None,
    ),
    Rule(
        "clock_offset", "clock_offset_s", WARNING, 10, 5, "s",
        title="the clock is wrong",
        text="It differs by {value} from the clocks of the market's servers.",
        advice="Turn time synchronisation on: bars and deadlines are judged by the clock.",
        for_s=MINUTE,
    ),
    Rule(
        "loop_lag", "loop_lag_ms", WARNING, 1_000, 500, "ms",
        title="the daemon is slow",
        text="Its timers are late by {value}.",
        advice="See what takes the processor; agents wait meanwhile.",
        for_s=30,
    ),
    Rule(
        "sidecar_down", "sidecar_down", INFO, 1, 0, "yes",
        title="the sidecar does not answer",
        text="{note}",
        advice="The desk trades without advice meanwhile; nothing has to be done.",
        for_s=MINUTE, escalate_after_s=None,
    ),
    Rule(
        "telemetry_dropped", "telemetry_dropped", WARNING, 1, 0, "spans",
        title="telemetry drops spans ({receiver})",
        text="{value} were dropped within the last hour.",
        advice="Its spool is full: bring the receiver up, or allow a larger spool. Trading is not touched.",
        escalate_after_s=None,
    ),
    Rule(
        "heartbeat_unsent", "heartbeat_failures", WARNING, 3, 0, "beats",
        title="the dead man's switch is not reached",
        text="{value} in a row did not come through. {note}",
        advice="It will raise the alarm by itself, though the daemon lives: look at the network of this machine.",
    ),
    Rule(
        "phone_unheard", "phone_failures", WARNING, 5, 0, "tries",
        title="the operator's phone is not heard",
        text="{value} in a row have failed. {note}",
        advice="Commands from the phone do nothing meanwhile; the command line and the page do.",
        for_s=MINUTE,
    ),
    Rule(
        "phone_stranger", "phone_strangers_hour", WARNING, 1, 0, "messages",
        title="a stranger writes to the phone's bot",
        text="{value} within the last hour. {note}",
        advice="They were told nothing. If you did not write from another account, make a new bot and token.",
        escalate_after_s=None,
    ),
    Rule(
        "source_silent", "source_silent_s", CRITICAL, MINUTE, 5, "s",
        title="no readings from {source}",
        text="It has given none for {value}, so its alerts cannot be judged. {note}",
        advice="Silence is not safety: see memmcp status and memmcp logs.",
        escalate_after_s=10 * MINUTE,
    ),
)  # fmt: skip


def rules_of(changes: Mapping[str, Mapping[str, Any]]) -> tuple[Rule, ...]:
    """Return the shipped rules with the operator's changes, and the operator's own after them.

    Raises: ValueError naming the rule and the field, what was given and what is allowed.
    """
    shipped = {rule.name: rule for rule in SHIPPED}
    rules = {**shipped}
    for name, change in changes.items():
        rules[name] = _changed(shipped[name], change) if name in shipped else _own(name, change)
    for rule in rules.values():
        _check(rule, rules)
    return tuple(rules.values())


def _changed(rule: Rule, change: Mapping[str, Any]) -> Rule:
    if change.get("reading", rule.reading) != rule.reading:
        msg = f"rules.{rule.name}.reading is {change['reading']}; a shipped rule keeps its own ({rule.reading})"
        raise ValueError(msg)
    return replace(rule, **change)


def _own(name: str, change: Mapping[str, Any]) -> Rule:
    for needed in ("reading", "raise_at", "clear_at"):
        if needed not in change:
            msg = f"rules.{name} is none that is shipped, so it needs {needed}"
            raise ValueError(msg)
    unit = READINGS.get(change["reading"], ("", ""))[0]
    told = {
        "severity": WARNING,
        "unit": unit,
        "title": f"{name.replace('_', ' ')} {{about}}",
        "text": f"{change['reading']} is {{value}}, the limit is {{threshold}}. {{note}}",
        "advice": "A rule of your own: see [alerts.rules] in memmcp.toml.",
    }
    return Rule(name=name, is_own=True, **{**told, **change})


def _check(rule: Rule, rules: Mapping[str, Rule]) -> None:
    where = f"rules.{rule.name}"
    if rule.reading not in READINGS:
        msg = f"{where}.reading is {rule.reading}; allowed are {', '.join(READINGS)}"
        raise ValueError(msg)
    if rule.raise_at == rule.clear_at:
        msg = f"{where}.clear_at is {rule.clear_at:g}, the same as raise_at; it must differ, so that it does not flap"
        raise ValueError(msg)
    if rule.inhibited_by and rule.inhibited_by not in rules:
        msg = f"{where}.inhibited_by is {rule.inhibited_by}, which is no rule"
        raise ValueError(msg)
    for name in ("title", "text"):
        try:
            getattr(rule, name).format_map(_Any())
        except (ValueError, AttributeError, IndexError, KeyError, TypeError) as error:
            msg = f"{where}.{name} cannot be filled in: {error}; write names in braces, such as {{value}}"
            raise ValueError(msg) from error


class _Any(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return ""
