"""Queues, health and status as JSON."""

from datetime import datetime
from typing import Literal

from .base import JsonValue, Wire


class QueueStats(Wire):
    pending: int
    oldest_s: float
    dead: int
    delivered: int = 0


class MetricsAnswer(Wire):
    """GET /telemetry/metrics: queue statistics and cycle metrics."""

    ts: datetime
    uptime_s: float
    journal_seq: int
    memories: int
    queues: dict[str, QueueStats]
    index: dict[str, JsonValue]
    clients: int
    event_loop_lag_ms: float
    cycle: dict[str, JsonValue] | None = None


class HealthAnswer(Wire):
    """GET /health answers 200 while the process lives; GET /ready answers 503 until ``ready``."""

    status: Literal["ok", "degraded"]
    ready: bool
    version: str
    checks: dict[str, str]


class StatusAnswer(Wire):
    """memmcp status --json"""

    pid: int
    version: str
    data_dir: str
    http: str
    uptime_s: float
    journal: dict[str, JsonValue]
    outbox: dict[str, QueueStats]
    trading: dict[str, JsonValue]
    clients: int
