"""How the daemon is: checks for people and probes, gauges for pages."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from .identifiers import JsonObject, Seq
from .outbox import RelayStats, SinkStats


@dataclass(frozen=True, slots=True)
class HealthReport:
    """``checks`` maps a part (journal, index, outbox, trading) to "ok" or to what is wrong with it.

    ``ready``: the journal answers and trading, where enabled, is up. The index may still be starting.
    """

    version: str
    status: Literal["ok", "degraded"]
    ready: bool
    checks: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Metrics:
    """``queues`` has a row per sink; ``event_loop_lag_ms`` is the worst delay of a timer in the last few seconds.

    ``relays``: how it goes with those queues that the relay does not carry.
    """

    ts_ns: int
    uptime_s: float
    journal_seq: Seq
    memories: int
    queues: Mapping[str, SinkStats]
    index: JsonObject
    clients: int
    event_loop_lag_ms: float
    cycle: JsonObject | None
    relays: Mapping[str, RelayStats] = field(default_factory=dict)
