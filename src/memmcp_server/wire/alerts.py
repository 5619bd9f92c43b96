"""Alerts on the wire, the same on every door."""

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints

from memmcp_server.domain.alert import Alert, Overview, Rule, Silence, labels_of, shown
from memmcp_server.domain.memory import Memory
from memmcp_server.domain.times import NS_PER_S, from_ns, instant_ns
from memmcp_server.errors import InvalidInput

from .base import JsonValue, Moment, Request, Wire

SeverityStr = Literal["info", "warning", "critical"]
LabelStr = Annotated[str, StringConstraints(min_length=1, max_length=80)]
NOTICE_CHARS_MAX = 400


class AlertView(Wire):
    """One alert. ``value`` is of now while it fires, else of when it ended; ``reads`` says value and limit in words.

    ``change`` is what happened last; ``count``: how often it came within this episode; ``silenced``: nobody is told.
    """

    id: str
    rule: str
    labels: dict[str, str]
    severity: SeverityStr
    state: Literal["firing", "acknowledged", "resolved"]
    change: str
    title: str
    text: str
    advice: str
    value: float | None
    threshold: float
    unit: str
    reads: str
    raised_at: datetime
    updated_at: datetime
    resolved_at: datetime | None
    acknowledged_by: str
    silenced: bool
    silenced_until: datetime | None
    silenced_by: str
    escalation: int
    count: int
    trajectory_id: str
    runbook: str

    @classmethod
    def of(cls, alert: Alert, now_ns: int) -> Self:
        document: dict[str, JsonValue] = {
            **alert.document(),
            "silenced": alert.is_silenced_at(now_ns),
            "reads": f"{shown(alert.value, alert.unit)} (limit {shown(alert.threshold, alert.unit)})",
        }
        return cls.model_validate(document)


class NoticeView(Wire):
    """What the desk or the tasks have told by themselves: a promotion, a demotion, a task that nobody takes."""

    id: str
    ts: datetime
    namespace: str
    text: str
    tags: list[str]
    trajectory_id: str | None

    @classmethod
    def of(cls, memory: Memory) -> Self:
        return cls(
            id=memory.id,
            ts=from_ns(memory.ts_event_ns),
            namespace=memory.namespace,
            text=memory.content[:NOTICE_CHARS_MAX],
            tags=list(memory.tags),
            trajectory_id=memory.trajectory_id,
        )


class SilenceView(Wire):
    rule: str
    labels: dict[str, str]
    until: datetime
    by: str

    @classmethod
    def of(cls, silence: Silence) -> Self:
        return cls.model_validate(silence.document())


class AlertList(Wire):
    """GET /alerts and the SSE event ``alerts``: what fires, the most severe first; then, with all=true, what is over.

    ``notices`` are of the last seven days, newest first. ``severity`` is the worst of what fires and is not silenced.
    """

    ts: datetime
    severity: SeverityStr | None
    alerts: list[AlertView]
    notices: list[NoticeView] = []
    silences: list[SilenceView] = []

    @classmethod
    def of(cls, found: Overview) -> Self:
        views = [AlertView.of(alert, found.now_ns) for alert in found.alerts]
        loud = [alert for alert in found.alerts if alert.is_active and not alert.is_silenced_at(found.now_ns)]
        worst = max((alert.severity for alert in loud), key=lambda severity: severity.rank, default=None)
        return cls(
            ts=from_ns(found.now_ns),
            severity=None if worst is None else worst.value,
            alerts=views,
            notices=[NoticeView.of(memory) for memory in found.notices],
            silences=[SilenceView.of(silence) for silence in found.silences],
        )


class RuleView(Wire):
    """A rule that is in force. ``due_s``: the longest time from the crossing of its reading to the alert."""

    name: str
    enabled: bool
    reading: str
    labels: dict[str, str]
    severity: SeverityStr
    raise_at: float
    clear_at: float
    unit: str
    for_s: float
    due_s: float
    escalate_after_s: float | None
    channels: list[str]
    advice: str

    @classmethod
    def of(cls, rule: Rule) -> Self:
        return cls(
            **{
                name: getattr(rule, name) for name in cls.model_fields if name not in ("labels", "severity", "channels")
            },
            labels=dict(rule.labels),
            severity=rule.severity.value,
            channels=list(rule.channels),
        )


class RuleList(Wire):
    """GET /alerts/rules"""

    rules: list[RuleView]


class SilenceUntil(Request):
    """For how long: ``for_s`` in seconds from now, or ``until``. A time that has passed takes a silence back."""

    for_s: int | None = Field(default=None, ge=0, le=30 * 86_400)
    until: Moment | None = None

    def until_ns(self, now_ns: int) -> int:
        """Return the end in wall time. Raises: InvalidInput (neither or both are given)."""
        if (self.for_s is None) == (self.until is None):
            msg = "give one of for_s (seconds from now) and until (a time)"
            raise InvalidInput(msg, field="for_s")
        if self.for_s is not None:
            return now_ns + self.for_s * NS_PER_S
        return instant_ns("until", self.until) or 0


class SilenceRequest(SilenceUntil):
    """``labels``: only alerts of the rule with these, such as {"queue": "qdrant"}."""

    rule: str = Field(min_length=1, max_length=48)
    labels: dict[LabelStr, LabelStr] = Field(default_factory=dict, max_length=8)

    def sorted_labels(self) -> tuple[tuple[str, str], ...]:
        return labels_of(self.labels)


class ChannelTest(Request):
    """Send a test message to a configured channel."""

    channel: str = Field(min_length=1, max_length=32)


class ChannelAnswer(Wire):
    """``detail`` says what came back; it names no address."""

    channel: str
    delivered: bool
    detail: str
    took_ms: int
