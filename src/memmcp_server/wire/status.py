"""Queues, health and status as JSON."""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, Self

from memmcp_server.domain.outbox import RelayStats, SinkStats
from memmcp_server.domain.status import HealthReport, Metrics
from memmcp_server.domain.times import NS_PER_S, from_ns
from memmcp_server.domain.tracing.calls import SpansWaiting

from .base import JsonValue, Wire


class RelayView(Wire):
    """What the delivery of one queue is doing. ``outages`` counts failed rounds in a row."""

    state: Literal["idle", "delivering", "backing_off"]
    outages: int
    retry_in_s: float
    last_error: str

    @classmethod
    def of(cls, stats: RelayStats) -> Self:
        return cls(
            state=stats.state,
            outages=stats.outages,
            retry_in_s=round(stats.retry_in_s, 3),
            last_error=stats.last_error,
        )


class QueueStats(Wire):
    """``relay`` None: nobody delivers this queue in this process."""

    pending: int
    oldest_s: float
    dead: int
    delivered: int = 0
    relay: RelayView | None = None

    @classmethod
    def of(cls, stats: SinkStats, now_ns: int, relay: RelayStats | None = None) -> Self:
        waited_ns = 0 if stats.oldest_ns is None else max(0, now_ns - stats.oldest_ns)
        return cls(
            pending=stats.pending,
            oldest_s=round(waited_ns / NS_PER_S, 3),
            dead=stats.dead,
            delivered=stats.delivered,
            relay=None if relay is None else RelayView.of(relay),
        )


def queue_stats(
    queues: Mapping[str, SinkStats], now_ns: int, relays: Mapping[str, RelayStats]
) -> dict[str, QueueStats]:
    """Return the wire form of every sink's row."""
    return {name: QueueStats.of(stats, now_ns, relays.get(name)) for name, stats in queues.items()}


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

    @classmethod
    def of(cls, metrics: Metrics, relays: Mapping[str, RelayStats]) -> Self:
        return cls(
            ts=from_ns(metrics.ts_ns),
            uptime_s=round(metrics.uptime_s, 3),
            journal_seq=metrics.journal_seq,
            memories=metrics.memories,
            queues=queue_stats(metrics.queues, metrics.ts_ns, {**relays, **metrics.relays}),
            index=dict(metrics.index),
            clients=metrics.clients,
            event_loop_lag_ms=round(metrics.event_loop_lag_ms, 2),
            cycle=None if metrics.cycle is None else dict(metrics.cycle),
        )


class HealthAnswer(Wire):
    """GET /health answers 200 while the process lives; GET /ready answers 503 until ``ready``."""

    status: Literal["ok", "degraded"]
    ready: bool
    version: str
    checks: dict[str, str]

    @classmethod
    def of(cls, report: HealthReport) -> Self:
        return cls(status=report.status, ready=report.ready, version=report.version, checks=dict(report.checks))


class CallerView(Wire):
    """An agent that has called tools since the daemon began. ``transport``: stdio (over a bridge), http or sse."""

    agent: str
    transport: str
    calls: int
    last_tool: str
    last: datetime


class ClientList(Wire):
    """``connected`` counts open connections by transport, pages among them; ``callers``: the latest first."""

    connected: dict[str, int]
    callers: list[CallerView]


class SpansView(Wire):
    """Spans of calls that wait for one receiver of traces; ``problem``: why the last ones did not get through."""

    pending: int
    oldest_s: float
    dropped: int
    refused: int
    problem: str

    @classmethod
    def of(cls, told: SpansWaiting, now_ns: int) -> Self:
        waited_ns = 0 if told.oldest_ns is None else max(0, now_ns - told.oldest_ns)
        return cls(
            pending=told.spans,
            oldest_s=round(waited_ns / NS_PER_S, 3),
            dropped=told.dropped,
            refused=told.refused,
            problem=told.problem,
        )


class StatusAnswer(Wire):
    """memmcp status --json. ``alerts`` counts those that are open, by severity; None where a part is not configured."""

    pid: int
    version: str
    data_dir: str
    http: str
    uptime_s: float
    journal: dict[str, JsonValue]
    outbox: dict[str, QueueStats]
    index: dict[str, JsonValue]
    trading: dict[str, JsonValue]
    clients: int
    heartbeat: dict[str, JsonValue] | None = None
    phone: dict[str, JsonValue] | None = None
    alerts: dict[str, int] | None = None
    spans: dict[str, SpansView] | None = None
