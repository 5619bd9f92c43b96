"""What watches the daemon: sinks of the outbox beside the index, and what runs beside the services to tell a person."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from . import channels
from .config import Sections
from .domain.outbox import QDRANT, SinkSpec
from .ports import Clock, Journal, Sink, TradingDesk
from .services.alerting.assembly import watch_of
from .services.background import beside
from .services.container import Services
from .services.heartbeat import Heartbeat, Vitals


def sink_specs(sections: Sections) -> tuple[SinkSpec, ...]:
    """Return every sink that the configuration names: what is committed from now on is queued for each."""
    return (QDRANT, *(channels.spec_of(name) for name in channels.names(sections)))


def watching_sinks(sections: Sections, journal: Journal, clock: Clock) -> list[Sink]:
    """Return the sinks of ``sink_specs`` beside the index's."""
    return [*channels.sinks(sections, journal, clock)]


@asynccontextmanager
async def observing(services: Services, sections: Sections, _environ: Mapping[str, str]) -> AsyncIterator[None]:
    """Run what watches for as long as the block does. What fails here is logged and leaves the services alone."""
    async with AsyncExitStack() as stack:
        if services.alerts is not None:
            watch = watch_of(services, services.alerts, sections.data_dir, sections.alerts.sample_s)
            await stack.enter_async_context(beside("alerts", watch.run))
            await stack.enter_async_context(beside("channels", services.alerts.prepare_channels))
        if services.heartbeat is not None:
            await stack.enter_async_context(beside("heartbeat", services.heartbeat.run))
        yield


def opened_heartbeat(
    sections: Sections, journal: Journal, desk: TradingDesk | None, clock: Clock, stack: AsyncExitStack
) -> Heartbeat | None:
    """Return who tells the dead man's switch of the configuration, None where it names none. Raises: InvalidInput."""
    section = sections.heartbeat
    if not section.url.get_secret_value():
        return None
    from .adapters.dead_mans_switch import HttpSwitch

    switch = HttpSwitch(section)
    stack.push_async_callback(switch.aclose)
    return Heartbeat(switch, Vitals(journal, desk, clock, cycle_s_max=section.cycle_s_max), clock, section)
