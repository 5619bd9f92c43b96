"""What watches the daemon: sinks of the outbox beside the index, and what runs beside the services to tell a person."""

import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

from .config import Sections
from .domain.outbox import QDRANT, SinkSpec
from .ports import Clock, Journal, Sink
from .services.alerting.alerts import Alerts
from .services.alerting.sources import ClockReadings, DiskReadings, DiskUse, IndexReadings, QueueReadings
from .services.alerting.watch import Watch
from .services.background import beside
from .services.container import Services


def sink_specs(_sections: Sections) -> tuple[SinkSpec, ...]:
    """Return every sink that the configuration names: what is committed from now on is queued for each."""
    return (QDRANT,)


def watching_sinks(_sections: Sections, _journal: Journal, _clock: Clock) -> list[Sink]:
    """Return the sinks of ``sink_specs`` beside the index's."""
    return []


@asynccontextmanager
async def observing(services: Services, sections: Sections, _environ: Mapping[str, str]) -> AsyncIterator[None]:
    """Run what watches for as long as the block does. What fails here is logged and leaves the services alone."""
    async with AsyncExitStack() as stack:
        if services.alerts is not None:
            watch = watch_of(services, services.alerts, sections)
            await stack.enter_async_context(beside("alerts", watch.run))
        yield


def watch_of(services: Services, alerts: Alerts, sections: Sections) -> Watch:
    """Return what looks at the whole daemon for alerts."""
    clock, health = services.clock, services.health
    sources = (
        QueueReadings(services.journal, services.relay, clock),
        IndexReadings(health, services.keeper),
        DiskReadings(partial(_disk_use, sections.data_dir), clock),
        ClockReadings(clock, health.event_loop_lag_ms),
    )
    return Watch(alerts, sources, services.desk, clock, sample_s=sections.alerts.sample_s)


def _disk_use(place: Path) -> DiskUse:
    use = shutil.disk_usage(place)
    return DiskUse(use.free, use.total)
