"""Sections -> who is told of traces: the sinks of memories, and the recorder of calls; imported where it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from memmcp_server import __version__
from memmcp_server.config import Sections
from memmcp_server.domain.outbox import SINK_LANGFUSE, SINK_OTLP, RetryPolicy
from memmcp_server.ports import Clock, Journal, SecretScanner, Sink

if TYPE_CHECKING:
    from .call_spans import CallSpans
    from .sinks import Identity

SERVICE: Final = "memmcp"


def receiver_names(sections: Sections) -> list[str]:
    """Return which receivers of traces are configured."""
    found = {SINK_LANGFUSE: sections.langfuse.is_on, SINK_OTLP: sections.otlp.endpoint is not None}
    return [name for name, is_on in found.items() if is_on]


def trace_sinks(sections: Sections, journal: Journal, scanner: SecretScanner) -> list[Sink]:
    """Return a sink for every receiver that is configured."""
    names = receiver_names(sections)
    if not names:
        return []
    from .receiver import langfuse_receiver, otlp_receiver
    from .sinks import LangfuseSink, TraceSink

    identity, size = _identity(sections), sections.tracing.batch_len_max
    found: list[Sink] = []
    if SINK_LANGFUSE in names:
        rate, langfuse = sections.langfuse.sample_rate, langfuse_receiver(sections.langfuse)
        found.append(LangfuseSink(journal, langfuse, scanner, identity, sample_rate=rate, batch_len_max=size))
    if SINK_OTLP in names:
        rate, otlp = sections.otlp.sample_rate, otlp_receiver(sections.otlp)
        found.append(TraceSink(journal, otlp, scanner, identity, sample_rate=rate, batch_len_max=size))
    return found


def call_spans(sections: Sections, clock: Clock) -> CallSpans | None:
    """Return the recorder of calls, None where nobody is told of any."""
    names = receiver_names(sections)
    if not names:
        return None
    from .call_spans import CallSpans, Target
    from .receiver import langfuse_receiver, otlp_receiver
    from .spool import Spool

    targets = []
    if SINK_LANGFUSE in names:
        targets.append(Target(langfuse_receiver(sections.langfuse), sections.langfuse.sample_rate))
    if SINK_OTLP in names:
        targets.append(Target(otlp_receiver(sections.otlp), sections.otlp.sample_rate))
    spool = Spool(sections.data_dir, sections.tracing.spool_bytes_max)
    relay = sections.relay
    policy = RetryPolicy(relay.attempts_max, relay.backoff_base_s, relay.backoff_cap_s)
    return CallSpans(targets, spool, _identity(sections), clock, policy)


def _identity(sections: Sections) -> Identity:
    from .sinks import Identity

    who = {"service.name": SERVICE, "service.version": __version__}
    return Identity(who, sections.langfuse.environment or sections.trading.money, sections.tracing.content)
