"""Alerts: what a rule over a reading tells a person, from the moment it is raised until it is over.

An alert is one memory per episode, each change a version of it; its metadata is ``Alert.document``. A reading is one
number (or "unknown") with labels; a rule says from which value on it is raised and at which it is over.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Literal

from .identifiers import JsonObject, MemoryId, Namespace
from .memory import Memory
from .times import from_ns, to_ns

ALERTS_NAMESPACE: Final = Namespace("alerts")
KIND_ALERT: Final = "alert"
KIND_SILENCE: Final = "silence"
AUDIT_ALERT: Final = "alert"
NOTE_CHARS_MAX: Final = 400

UNWRITTEN: Final = MemoryId("")

Labels = tuple[tuple[str, str], ...]
"""Sorted pairs: what of several things of a kind a reading is about."""

Change = Literal["raised", "reopened", "escalated", "acknowledged", "silenced", "unsilenced", "resolved"]


class Severity(StrEnum):
    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0 for info, 2 for critical."""
        return _RANKS.index(self)

    def raised(self) -> "Severity":
        """Return the next higher one."""
        return _RANKS[min(self.rank + 1, len(_RANKS) - 1)]


_RANKS: Final = (Severity.INFO, Severity.WARNING, Severity.CRITICAL)


class AlertState(StrEnum):
    FIRING = "firing"
    ACKNOWLEDGED = "acknowledged"  # firing, and a person has said that it is seen to
    RESOLVED = "resolved"


def labels_of(labels: Mapping[str, str]) -> Labels:
    return tuple(sorted(labels.items()))


@dataclass(frozen=True, slots=True)
class Reading:
    """One measurement. ``value`` None: it could not be taken, which is not the same as being in order.

    ``note`` says in words what there is to know beside the number; ``trajectory_id`` names the trade it is about.
    """

    name: str
    value: float | None
    labels: Labels = ()
    note: str = ""
    trajectory_id: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """What was read at one time. A name in ``known`` was asked for and answered: of that what is not here is not there
    any more. Of all other names nothing is known."""

    readings: tuple[Reading, ...]
    known: frozenset[str]


@dataclass(frozen=True, slots=True)
class Moment:
    """One moment by both clocks: the wall's for people and records, the monotonic one for every wait."""

    monotonic_s: float
    wall_ns: int


@dataclass(frozen=True, slots=True)
class Rule:
    """When to tell a person what.

    Raised from ``raise_at`` on (below it where ``clear_at`` is the larger one), once that has held for ``for_s``; over
    when it has been at ``clear_at`` or beyond for ``clear_for_s``. ``labels``: only readings with these.
    ``escalate_after_s`` unacknowledged it becomes one degree more severe and is told again, None: never.
    ``inhibited_by``: not raised while the rule of that name fires for the same labels. ``channels``: only these, empty:
    all that take its severity. ``is_own``: the operator's, not shipped.
    """

    name: str
    reading: str
    severity: Severity
    raise_at: float
    clear_at: float
    unit: str
    title: str
    text: str
    advice: str
    for_s: float = 0.0
    clear_for_s: float = 15.0
    escalate_after_s: float | None = 900.0
    labels: Mapping[str, str] = field(default_factory=dict)
    inhibited_by: str = ""
    channels: tuple[str, ...] = ()
    enabled: bool = True
    is_own: bool = False

    @property
    def runbook(self) -> str:
        """Where it stands what to do."""
        return OWN_RUNBOOK if self.is_own else f"docs/runbooks.md#{self.name}"

    @property
    def is_floor(self) -> bool:
        """Whether small values are the bad ones."""
        return self.clear_at > self.raise_at

    @property
    def due_s(self) -> float:
        """The longest time from the reading's crossing to the alert, in seconds."""
        return self.for_s + DETECTION_S

    def is_raised_by(self, value: float) -> bool:
        return value <= self.raise_at if self.is_floor else value >= self.raise_at

    def is_cleared_by(self, value: float) -> bool:
        return value >= self.clear_at if self.is_floor else value <= self.clear_at

    def is_about(self, reading: Reading) -> bool:
        labels = dict(reading.labels)
        return reading.name == self.reading and all(labels.get(key) == value for key, value in self.labels.items())


OWN_RUNBOOK: Final = "docs/observability.md#alerts"

DETECTION_S: Final = 2.0
"""From a crossing to the look that sees it, and to its alert being durable."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One episode as it stands. ``value`` is the reading of the last change (of now, where it is asked for).

    ``memory_id`` is empty until it was written. ``change`` is what happened last; ``raised_ns``, ``updated_ns``,
    ``resolved_ns`` and ``silenced_until_ns`` are wall time. ``count``: how often it came within one episode.
    """

    rule: str
    labels: Labels
    severity: Severity
    state: AlertState
    title: str
    text: str
    value: float | None
    threshold: float
    unit: str
    raised_ns: int
    updated_ns: int
    change: Change = "raised"
    advice: str = ""
    acknowledged_by: str = ""
    silenced_until_ns: int | None = None
    silenced_by: str = ""
    escalation: int = 0
    count: int = 1
    trajectory_id: str = ""
    resolved_ns: int | None = None
    channels: tuple[str, ...] = ()
    runbook: str = ""
    memory_id: MemoryId = UNWRITTEN
    version: int = 0

    @property
    def key(self) -> tuple[str, Labels]:
        return self.rule, self.labels

    @property
    def is_active(self) -> bool:
        return self.state is not AlertState.RESOLVED

    def is_silenced_at(self, now_ns: int) -> bool:
        return self.silenced_until_ns is not None and now_ns < self.silenced_until_ns

    @property
    def tags(self) -> tuple[str, ...]:
        return (self.rule, self.severity.value, f"state:{self.state.value}")

    def document(self) -> JsonObject:
        """Return what the metadata of its memory holds."""
        return {
            "id": self.memory_id,
            "rule": self.rule,
            "labels": dict(self.labels),
            "severity": self.severity.value,
            "state": self.state.value,
            "change": self.change,
            "title": self.title,
            "text": self.text,
            "advice": self.advice,
            "value": self.value,
            "threshold": self.threshold,
            "unit": self.unit,
            "raised_at": _iso(self.raised_ns),
            "updated_at": _iso(self.updated_ns),
            "resolved_at": _iso(self.resolved_ns),
            "acknowledged_by": self.acknowledged_by,
            "silenced_until": _iso(self.silenced_until_ns),
            "silenced_by": self.silenced_by,
            "escalation": self.escalation,
            "count": self.count,
            "trajectory_id": self.trajectory_id,
            "channels": list(self.channels),
            "runbook": self.runbook,
        }

    def content(self) -> str:
        """Return the alert in words, as its memory says it."""
        parts = [f"Alert {self.rule} {self.change} ({self.severity.value}): {self.title}.", self.text, self.advice]
        return "\n".join(part for part in parts if part)


def alert_of(memory: Memory) -> Alert | None:
    """Return the alert that a memory holds, None where it is none of ours (a notice of the desk, an older shape)."""
    if memory.kind != KIND_ALERT or memory.namespace != ALERTS_NAMESPACE:
        return None
    held: Mapping[str, Any] = memory.metadata
    try:
        return Alert(
            rule=str(held["rule"]),
            labels=labels_of({str(key): str(value) for key, value in held["labels"].items()}),
            severity=Severity(held["severity"]),
            state=AlertState(held["state"]),
            title=str(held["title"]),
            text=str(held["text"]),
            value=None if held["value"] is None else float(held["value"]),
            threshold=float(held["threshold"]),
            unit=str(held["unit"]),
            raised_ns=_ns(held["raised_at"]) or memory.ts_event_ns,
            updated_ns=_ns(held["updated_at"]) or memory.known_at_ns,
            change=held["change"],
            advice=str(held["advice"]),
            acknowledged_by=str(held["acknowledged_by"]),
            silenced_until_ns=_ns(held["silenced_until"]),
            silenced_by=str(held["silenced_by"]),
            escalation=int(held["escalation"]),
            count=int(held["count"]),
            trajectory_id=str(held["trajectory_id"]),
            resolved_ns=_ns(held["resolved_at"]),
            channels=tuple(held["channels"]),
            runbook=str(held["runbook"]),
            memory_id=memory.id,
            version=memory.version,
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


@dataclass(frozen=True, slots=True)
class Silence:
    """Nobody is told of what this rule raises (with these labels, where any are named) until then. Wall time."""

    rule: str
    labels: Labels
    until_ns: int
    by: str

    def covers(self, alert: Alert) -> bool:
        return self.rule == alert.rule and set(self.labels) <= set(alert.labels)

    def document(self) -> JsonObject:
        return {"rule": self.rule, "labels": dict(self.labels), "until": _iso(self.until_ns), "by": self.by}


def silence_of(memory: Memory) -> Silence | None:
    held: Mapping[str, Any] = memory.metadata
    try:
        labels = labels_of({str(key): str(value) for key, value in held["labels"].items()})
        return Silence(str(held["rule"]), labels, _ns(held["until"]) or 0, str(held["by"]))
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


@dataclass(frozen=True, slots=True)
class Overview:
    """``alerts`` of now first, then what is over. ``notices``: what the desk and the tasks have told by themselves."""

    now_ns: int
    alerts: tuple[Alert, ...]
    notices: tuple[Memory, ...]
    silences: tuple[Silence, ...]


def shown(value: float | None, unit: str) -> str:
    """Return a value with its unit as people read it."""
    if value is None:
        return "unknown"
    match unit:
        case "bps":
            return f"{value / 100:.2f} %"
        case "s":
            return duration(value)
        case "bytes":
            return size(value)
        case "state":
            return {0: "active", 1: "reducing", 2: "halted"}.get(int(value), f"{value:g}")
        case "yes":
            return "yes" if value else "no"
    number = f"{value:.2f}".rstrip("0").rstrip(".") if abs(value) < 10_000 else f"{value:,.0f}"
    return f"{number} {unit}".strip()


def duration(seconds: float) -> str:
    """Return a span in its two largest units."""
    whole = int(seconds)
    if whole < 60:
        return f"{seconds:.1f}".rstrip("0").rstrip(".") + " s"
    for name, length, below, part in (("d", 86_400, "h", 3_600), ("h", 3_600, "min", 60), ("min", 60, "s", 1)):
        if whole >= length:
            rest = whole % length // part
            return f"{whole // length} {name}" + (f" {rest} {below}" if rest else "")
    return f"{whole} s"


def size(count: float) -> str:
    for name in ("bytes", "kB", "MB", "GB"):
        if abs(count) < 1_000:
            return f"{count:.1f}".rstrip("0").rstrip(".") + f" {name}"
        count /= 1_000
    return f"{count:.1f} TB"


def _iso(ts_ns: int | None) -> str | None:
    return None if ts_ns is None else from_ns(ts_ns).isoformat()


def _ns(text: object) -> int | None:
    return None if text is None else to_ns(datetime.fromisoformat(str(text)))
