"""What watches the daemon: sinks of the outbox beside the index, and what runs beside the services to tell a person."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial

from . import channels
from .adapters.tracing.wiring import call_spans, receiver_names, trace_sinks
from .config import PhoneSection, Sections
from .domain.outbox import QDRANT, SinkSpec
from .ports import Clock, Journal, SecretScanner, Sink
from .services.alerting.assembly import watch_of
from .services.alerting.door_readings import door_readings
from .services.background import beside
from .services.container import Services
from .services.heartbeat import Heartbeat, Vitals
from .services.phone import PHONE_SINK, Carrying, Keeping, Phone, PhoneAlerts, PhoneSink


def sink_specs(sections: Sections) -> tuple[SinkSpec, ...]:
    """Return every sink that the configuration names: what is committed from now on is queued for each."""
    named = [SinkSpec(name) for name in receiver_names(sections)]
    told = [channels.spec_of(name) for name in channels.names(sections)]
    index = QDRANT if sections.qdrant.url is None else replace(QDRANT, is_own=False)
    return (index, *named, *told, *([PHONE_SINK] if _tells_alerts(sections.phone) else []))


def watching_sinks(sections: Sections, journal: Journal, clock: Clock, scanner: SecretScanner) -> list[Sink]:
    """Return the sinks of ``sink_specs`` beside the index's."""
    return [
        *trace_sinks(sections, journal, scanner),
        *channels.sinks(sections, journal, clock),
        *_phone_sinks(sections, journal, clock),
    ]


def _phone_sinks(sections: Sections, journal: Journal, clock: Clock) -> list[Sink]:
    phone = sections.phone
    if not _tells_alerts(phone):
        return []
    from .adapters.phone_files import PhoneFiles
    from .adapters.telegram import opened_chat

    return [PhoneSink(journal, partial(opened_chat, phone), PhoneFiles(sections.data_dir), clock, phone)]


def _tells_alerts(phone: PhoneSection) -> bool:
    return phone.token is not None and phone.alerts_from != "none"


@asynccontextmanager
async def observing(unwatched: Services, sections: Sections, _environ: Mapping[str, str]) -> AsyncIterator[Services]:
    """Yield the services with who watches them, and run those for as long as the block does.

    What fails while it runs is logged and leaves the services alone. Raises: InvalidInput (a setting).
    """
    async with AsyncExitStack() as stack:
        alerts = channels.alerts_of(sections, unwatched.journal, unwatched.clock, unwatched.scanner)
        services = replace(unwatched, alerts=alerts, calls=call_spans(sections, unwatched.clock))
        heartbeat, phone = _heartbeat(services, sections, stack), await _phone(services, sections, stack)
        services = replace(services, heartbeat=heartbeat, phone=phone)
        stack.enter_context(services.meters.counting_logs())
        if services.alerts is not None:
            more = door_readings(services.heartbeat, services.phone)
            watch = watch_of(services, services.alerts, sections.data_dir, sections.alerts.sample_s, more)
            await stack.enter_async_context(beside("alerts", watch.run))
            await stack.enter_async_context(beside("channels", services.alerts.prepare_channels))
        if services.heartbeat is not None:
            await stack.enter_async_context(beside("heartbeat", services.heartbeat.run))
        if services.calls is not None:
            stack.push_async_callback(services.calls.end)
            for name, part in services.calls.parts().items():
                await stack.enter_async_context(beside(name, part))
        if services.phone is not None:
            await stack.enter_async_context(beside("phone", services.phone.run))
        yield services


def _heartbeat(services: Services, sections: Sections, stack: AsyncExitStack) -> Heartbeat | None:
    """Return who tells the dead man's switch of the configuration, None where it names none. Raises: InvalidInput."""
    section = sections.heartbeat
    if not section.url.get_secret_value():
        return None
    from .adapters.dead_mans_switch import HttpSwitch

    switch = HttpSwitch(section)
    stack.push_async_callback(switch.aclose)
    vitals = Vitals(services.journal, services.desk, services.clock, cycle_s_max=section.cycle_s_max)
    return Heartbeat(switch, vitals, services.clock, section)


async def _phone(services: Services, sections: Sections, stack: AsyncExitStack) -> Phone | None:
    """Return who listens to the operator's phone, None where the configuration names none. Raises: InvalidInput."""
    section = sections.phone
    if section.token is None:
        return None
    from .adapters.phone_files import PhoneFiles
    from .adapters.telegram import opened_chat

    chat = await stack.enter_async_context(opened_chat(section))
    keeping = Keeping(PhoneFiles(sections.data_dir))
    carrying = Carrying(chat, keeping, services.desk, services.journal, services.clock, section)
    alerts = None if services.alerts is None else PhoneAlerts(services.alerts)
    return Phone(chat, keeping, carrying, section, alerts)
