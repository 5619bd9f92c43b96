"""What watches a whole daemon, put together."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from memmcp_server.services.container import Services

from .alerts import Alerts
from .sources import ClockReadings, DiskReadings, DiskUse, IndexReadings, QueueReadings, Source, Spooling, SpoolReadings
from .watch import Watch


def watch_of(services: Services, alerts: Alerts, data_dir: Path, sample_s: float, more: Sequence[Source] = ()) -> Watch:
    """Return what looks at the daemon for alerts; ``more`` are sources that other parts give."""

    def disk_use() -> DiskUse:
        use = shutil.disk_usage(data_dir)
        return DiskUse(use.free, use.total)

    clock, health = services.clock, services.health
    sources: tuple[Source, ...] = (
        QueueReadings(services.health.queues, services.relay, clock),
        IndexReadings(health, services.keeper),
        DiskReadings(disk_use, clock),
        ClockReadings(clock, lambda: health.loop_lag_s() * 1_000),
        *([SpoolReadings(services.calls, clock)] if isinstance(services.calls, Spooling) else []),
        *more,
    )
    return Watch(alerts, sources, services.desk, clock, sample_s=sample_s, news=services.news)
