"""What watches the daemon: sinks of the outbox beside the index, and what runs beside the services to tell a person."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from .adapters.tracing.wiring import call_spans, receiver_names, trace_sinks
from .config import Sections
from .domain.outbox import QDRANT, SinkSpec
from .domain.tracing.calls import SpanRecorder
from .ports import Clock, Journal, SecretScanner, Sink, TradingDesk
from .services.background import beside
from .services.container import Services
from .services.heartbeat import Heartbeat, Vitals


def sink_specs(sections: Sections) -> tuple[SinkSpec, ...]:
    """Return every sink that the configuration names: what is committed from now on is queued for each."""
    return (QDRANT, *(SinkSpec(name) for name in receiver_names(sections)))


def watching_sinks(sections: Sections, journal: Journal, _clock: Clock, scanner: SecretScanner) -> list[Sink]:
    """Return the sinks of ``sink_specs`` beside the index's."""
    return [*trace_sinks(sections, journal, scanner)]


def call_recorder(sections: Sections, clock: Clock) -> SpanRecorder | None:
    """Return who is told of calls at the doors, None where nobody is; ``observing`` runs it."""
    return call_spans(sections, clock)


@asynccontextmanager
async def observing(services: Services, _sections: Sections, _environ: Mapping[str, str]) -> AsyncIterator[None]:
    """Run what watches for as long as the block does. What fails here is logged and leaves the services alone."""
    async with AsyncExitStack() as stack:
        stack.enter_context(services.meters.counting_logs())
        if services.heartbeat is not None:
            await stack.enter_async_context(beside("heartbeat", services.heartbeat.run))
        if services.calls is not None:
            stack.push_async_callback(services.calls.end)
            for name, part in services.calls.parts().items():
                await stack.enter_async_context(beside(name, part))
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
