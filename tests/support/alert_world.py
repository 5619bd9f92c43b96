"""Everything that alerts look at, in memory and on a clock that is moved: a test breaks a part and lets time pass."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from memmcp_server.config import RelaySection
from memmcp_server.domain.alert import Alert, Reading, Rule
from memmcp_server.domain.alert_rules import SHIPPED
from memmcp_server.domain.identifiers import JsonObject
from memmcp_server.errors import TradingUnavailable
from memmcp_server.ports import TradingDesk
from memmcp_server.services.alerting.alerts import Alerts
from memmcp_server.services.alerting.sources import (
    ClockReadings,
    DiskReadings,
    DiskUse,
    GivenReadings,
    IndexReadings,
    QueueReadings,
    SpoolReadings,
)
from memmcp_server.services.alerting.watch import Watch
from memmcp_server.services.clients import ClientRegistry
from memmcp_server.services.health import Health
from memmcp_server.services.queues import Queues
from memmcp_server.services.relay import Relay
from tests.support.keeping import Keeping
from tests.support.page_documents import snapshot

GIGABYTE = 1_000_000_000


def sound_health() -> dict[str, Any]:
    """A desk with real money in a good state."""
    return {
        "feed_counts": {"bar_withheld": 0, "bar_invalid": 0, "bar_late": 3},
        "clock_skew_s": 0.2,
        "cycle_s": 300.0,
        "endpoints": [
            {"name": "node-a", "kind": "chain", "is_down": False, "problem": "", "ok": 9, "errors": 0},
            {"name": "node-b", "kind": "chain", "is_down": False, "problem": "", "ok": 9, "errors": 0},
        ],
        "chain": {"is_reconciled": True, "not_armed": "", "halted": {}},
        "execution": {
            "fills": 12,
            "failed": 0,
            "shortfall_bps": 4,
            "fees_over_bps": 1,
            "reasons": {},
            "worst_trajectory_id": "trade-7",
            "failed_trajectory_id": "",
        },
    }


@dataclass(frozen=True)
class Spooled:
    dropped: int


@dataclass
class World:
    """``desk`` is the document that the desk shows; ``away``: why it shows none."""

    rules: Sequence[Rule] = SHIPPED
    desk: dict[str, Any] = field(default_factory=lambda: snapshot(health=sound_health()))
    away: str = ""
    free_bytes: float = 100.0 * GIGABYTE
    free_bytes_per_s: float = 0.0
    lag_ms: float = 2.0
    spans_dropped: int = 0
    doors: dict[str, float] = field(
        default_factory=lambda: {"heartbeat_failures": 0, "phone_failures": 0, "phone_strangers_hour": 0}
    )

    def __post_init__(self) -> None:
        self.keeping = Keeping()
        self.clock, self.journal, self.index = self.keeping.clock, self.keeping.journal, self.keeping.index
        self.desk["feed"]["kind"] = "market"
        self.restart()

    def restart(self) -> None:
        """Forget everything that a daemon keeps in memory."""
        clock, keeper = self.clock, self.keeping.keeper
        health = Health(self.journal, self.index, clock, ClientRegistry(clock), None, keeper)
        self.alerts = Alerts(self.journal, clock, self.rules)
        sources = (
            QueueReadings(Queues(self.journal), Relay(self.journal, [], clock, RelaySection()), clock),
            IndexReadings(health, keeper),
            DiskReadings(lambda: DiskUse(round(self.free_bytes), 500 * GIGABYTE), clock),
            ClockReadings(clock, lambda: self.lag_ms),
            SpoolReadings(self, clock, every_s=1.0),
            GivenReadings("doors", frozenset(self.doors), self._doors),
        )
        self.watch = Watch(self.alerts, sources, cast(TradingDesk, self), clock)

    # The desk, as far as it is asked

    async def snapshot(self) -> JsonObject:
        if self.away:
            raise TradingUnavailable(self.away)
        return self.desk

    async def changes(self) -> AsyncIterator[JsonObject]:
        yield self.desk

    # What a test does

    async def passes(self, seconds: float, step_s: float = 1.0, until: Callable[[], bool] = lambda: False) -> float:
        """Let time pass and look at each step; return how long it took until the condition held, or all of it."""
        passed_s = 0.0
        while passed_s < seconds:
            self.clock.advance(step_s)
            passed_s += step_s
            self.free_bytes += self.free_bytes_per_s * step_s
            await self.watch.look()
            if until():
                break
        return passed_s

    def cycle(self) -> None:
        """End a cycle of the desk."""
        self.desk["cycle"] += 1

    def firing(self, rule: str) -> list[Alert]:
        return [alert for alert in self.alerts.current() if alert.rule == rule and alert.is_active]

    @property
    def health(self) -> dict[str, Any]:
        found: dict[str, Any] = self.desk["health"]
        return found

    def limit(self, name: str, used: int, limit: int, scope: str = "account") -> None:
        """Set one limit of the desk."""
        others = [each for each in self.desk["limits"] if (each["name"], each["scope"]) != (name, scope)]
        row = {"name": name, "scope": scope, "limit": limit, "used": used, "unit": "bps", "is_floor": False}
        self.desk["limits"] = [*others, {**row, "distance_bps": (limit - used) * 10_000 // limit}]

    async def waiting(self) -> dict[str, Spooled]:
        return {"langfuse": Spooled(self.spans_dropped)}

    def _doors(self) -> Sequence[Reading]:
        return [Reading(name, value) for name, value in self.doors.items()]
