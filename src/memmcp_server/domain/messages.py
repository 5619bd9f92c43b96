"""An alert as a message to a person: what, how bad, since when, what to do, where to look; short enough anywhere."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from .alert import Alert, AlertState, Severity, duration, shown
from .memory import Memory
from .times import NS_PER_S, from_ns

BODY_CHARS_MAX: Final = 3_000
"""Telegram takes 4,096 characters, ntfy 4,096 bytes; the title and multi-byte letters need their share."""

TITLE_CHARS_MAX: Final = 120
LISTED_MAX: Final = 12

MessageKind = Literal["info", "warning", "critical", "over"]


@dataclass(frozen=True, slots=True)
class Message:
    """``kind`` is how it is coloured where a channel has colours."""

    title: str
    body: str
    kind: MessageKind


@dataclass(frozen=True, slots=True)
class Told:
    """``desk``: paper or real money, in capitals, empty without trading. ``base_url``: where the page is."""

    desk: str
    base_url: str


def of_alert(alert: Alert, told: Told, now_ns: int, *, was_told: bool) -> Message:
    """Return the message of an alert's last change. ``was_told``: the channel has heard of it before."""
    is_over = alert.state is AlertState.RESOLVED
    word = _word(alert, was_told=was_told)
    lines = [
        alert.text,
        f"Value: {shown(alert.value, alert.unit)} (limit {shown(alert.threshold, alert.unit)})",
        f"Since: {_utc(alert.raised_ns)}, {_span(alert, now_ns)}",
        *([f"Came {alert.count} times"] if alert.count > 1 else []),
        *([] if is_over else [f"What to do: {alert.advice}"] if alert.advice else []),
        *_links(alert, told),
    ]
    kind: MessageKind = "over" if is_over else alert.severity.value
    return Message(_title(f"[{word}] {alert.title}", told), _cut("\n".join(line for line in lines if line)), kind)


def of_notice(memory: Memory, told: Told) -> Message:
    """Return the message of what the desk or the tasks have told by themselves."""
    lines = [memory.content, f"At: {_utc(memory.ts_event_ns)}", f"Memory: {told.base_url}/memory/{memory.id}"]
    what = ", ".join(memory.tags[:3]) or memory.namespace
    return Message(_title(f"[INFO] {what}", told), _cut("\n".join(lines)), "info")


def of_many(alerts: Sequence[Alert], notices: Sequence[Memory], told: Told, now_ns: int) -> Message:
    """Return one message for what would be too many, or is too old to be told one by one."""
    firing = sorted((each for each in alerts if each.is_active), key=lambda each: (-each.severity.rank, each.raised_ns))
    over = [each for each in alerts if not each.is_active]
    worst = max((each.severity for each in firing), key=lambda severity: severity.rank, default=None)
    lines = [f"{len(firing)} alerts fire, {len(over)} were raised and are over, {len(notices)} notices."]
    lines += [f"- [{each.severity.value}] {each.title}, {_span(each, now_ns)}" for each in firing[:LISTED_MAX]]
    lines += [f"... and {len(firing) - LISTED_MAX} more"] if len(firing) > LISTED_MAX else []
    lines += ["Over: " + "; ".join(each.title for each in over[:LISTED_MAX])] if over else []
    lines += [f"- {each.content[:120]}" for each in notices[:3]]
    lines.append(f"Page: {told.base_url}/")
    word = "OVER" if worst is None else worst.value.upper()
    title = _title(f"[{word}] {len(alerts) + len(notices)} alerts and notices", told)
    return Message(title, _cut("\n".join(lines)), "over" if worst is None else worst.value)


def of_test(channel: str, told: Told, now_ns: int) -> Message:
    body = f"Channel {channel} works. Sent at {_utc(now_ns)} by hand (memmcp alerts test).\nPage: {told.base_url}/"
    return Message(_title("[TEST] memMCP alerts", told), body, "info")


def _word(alert: Alert, *, was_told: bool) -> str:
    if alert.state is AlertState.RESOLVED:
        return "OVER" if was_told else f"{alert.severity.value.upper()}, RAISED AND OVER"
    word = alert.severity.value.upper()
    match alert.change:
        case "escalated":
            return f"{word}, UNANSWERED"
        case "reopened":
            return f"{word}, AGAIN"
    return word


def _title(text: str, told: Told) -> str:
    desk = f" - {told.desk}" if told.desk else ""
    return f"{text[: TITLE_CHARS_MAX - len(desk)]}{desk}"


def _links(alert: Alert, told: Told) -> list[str]:
    links = [f"Page: {told.base_url}/#panel-alerts"]
    if alert.memory_id:
        links.append(f"Alert: {told.base_url}/memory/{alert.memory_id}")
    if alert.trajectory_id:
        links.append(f"Trade: {told.base_url}/trajectories/{alert.trajectory_id}")
    return [*links, f"Runbook: {alert.runbook}"]


def _span(alert: Alert, now_ns: int) -> str:
    ended_ns = alert.resolved_ns
    if ended_ns is not None:
        return f"over after {duration(max(0, ended_ns - alert.raised_ns) / NS_PER_S)}"
    return f"for {duration(max(0, now_ns - alert.raised_ns) / NS_PER_S)}"


def _utc(ts_ns: int) -> str:
    return from_ns(ts_ns).strftime("%Y-%m-%d %H:%M:%S UTC")


def _cut(text: str) -> str:
    return text if len(text) <= BODY_CHARS_MAX else f"{text[: BODY_CHARS_MAX - 4]} ..."


def money_word(money: str, *, is_enabled: bool) -> str:
    """Return whose money an alert is about, as messages say it."""
    if not is_enabled:
        return ""
    return "REAL MONEY" if money == "real" else "PAPER"


SEVERITY_OF_NOTICE: Final = Severity.INFO
SEVERITY_OF_DEMOTION: Final = Severity.WARNING


def severity_of(memory: Memory) -> Severity:
    """Return how bad a notice is: what takes a strategy's money away is more than news."""
    is_bad = {"demoted", "unclaimed"} & set(memory.tags)
    return SEVERITY_OF_DEMOTION if is_bad else SEVERITY_OF_NOTICE
