"""Sections -> the sinks of traces that they name. What they need is imported for those who use it."""

from typing import Final

from memmcp_server import __version__
from memmcp_server.config import Sections
from memmcp_server.ports import Journal, SecretScanner, Sink

SERVICE: Final = "memmcp"


def trace_sinks(sections: Sections, journal: Journal, scanner: SecretScanner) -> list[Sink]:
    """Return a sink for every receiver that is configured."""
    if not sections.langfuse.is_on and sections.otlp.endpoint is None:
        return []
    from .receiver import langfuse_receiver, otlp_receiver
    from .sinks import Identity, LangfuseSink, TraceSink

    identity = Identity(
        {"service.name": SERVICE, "service.version": __version__}, environment_of(sections), sections.tracing.content
    )
    size = sections.tracing.batch_len_max
    found: list[Sink] = []
    if sections.langfuse.is_on:
        rate = sections.langfuse.sample_rate
        receiver = langfuse_receiver(sections.langfuse)
        found.append(LangfuseSink(journal, receiver, scanner, identity, sample_rate=rate, batch_len_max=size))
    if sections.otlp.endpoint is not None:
        rate = sections.otlp.sample_rate
        found.append(
            TraceSink(journal, otlp_receiver(sections.otlp), scanner, identity, sample_rate=rate, batch_len_max=size)
        )
    return found


def environment_of(sections: Sections) -> str:
    """Return the environment that spans and scores are told under."""
    return sections.langfuse.environment or sections.trading.money
