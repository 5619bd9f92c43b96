"""Parts of a daemon that tells of traces, opened without the rest of it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import anyio
from pydantic import SecretStr

from memmcp_server.adapters.secrets import RuleScanner
from memmcp_server.adapters.sql_journal import open_journal
from memmcp_server.adapters.tracing.call_spans import CallSpans
from memmcp_server.adapters.tracing.wiring import call_spans, trace_sinks
from memmcp_server.config import JournalSection, LangfuseSection, RelaySection, Sections
from memmcp_server.observing import sink_specs
from memmcp_server.ports import Journal, JournalCommand, RemoteSink
from memmcp_server.services.background import beside
from memmcp_server.services.relay import Relay
from tests.doubles.clocks import SystemClock
from tests.support.decisions import decisions
from tests.support.migrated import migrated
from tests.support.otlp_receiver import PUBLIC_KEY, SECRET_KEY

QUICK = RelaySection(backoff_base_s=0.01, backoff_cap_s=0.05, poll_s=0.05, linger_s=0.005)
COMMIT_LEN = 200


def to_langfuse(directory: Path, url: str, **fields: object) -> Sections:
    """Return sections of a daemon that tells Langfuse alone."""
    given = {"timeout_s": 0.3, **fields}
    langfuse = LangfuseSection.model_validate(
        {"public_key": PUBLIC_KEY, "secret_key": SecretStr(SECRET_KEY), "base_url": url, **given}
    )
    return Sections(data_dir=directory, langfuse=langfuse, relay=QUICK)


@asynccontextmanager
async def relaying(sections: Sections) -> AsyncIterator[tuple[Journal, Relay]]:
    """Open a journal, and relay it to the receivers of the sections for as long as the block runs."""
    clock = SystemClock()
    async with open_journal(
        JournalSection(), migrated(sections.data_dir), clock, sinks=sink_specs(sections)[1:]
    ) as journal:
        sinks = trace_sinks(sections, journal, RuleScanner())
        relay = Relay(journal, sinks, clock, sections.relay)
        async with AsyncExitStack() as stack:
            for sink in sinks:
                assert isinstance(sink, RemoteSink)
                stack.push_async_callback(sink.close)
            tasks = await stack.enter_async_context(anyio.create_task_group())
            tasks.start_soon(relay.run)
            stack.callback(tasks.cancel_scope.cancel)
            yield journal, relay


@asynccontextmanager
async def telling(sections: Sections) -> AsyncIterator[CallSpans]:
    """Run the recorder of calls for as long as the block runs."""
    calls = call_spans(sections, SystemClock())
    assert calls is not None
    calls.spool_every_s = 0.02
    async with AsyncExitStack() as stack:
        stack.push_async_callback(calls.end)
        for name, part in calls.parts().items():
            await stack.enter_async_context(beside(name, part))
        yield calls


async def write(journal: Journal, first: int, count: int, trade_every: int) -> None:
    """Write decisions with these numbers, many to a commit."""
    commands: list[JournalCommand] = []
    for decision in decisions(first, count, trade_every=trade_every):
        commands.extend(decision)
        if len(commands) >= COMMIT_LEN:
            await journal.commit(commands)
            commands = []
    if commands:
        await journal.commit(commands)
