"""Decisions on their way from the journal to a receiver of traces that is down, slow, busy, broken or picky."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from pydantic import SecretStr
from tests.doubles.clocks import SystemClock
from tests.support.decisions import SPANS_OF_A_TRADE, decisions, note
from tests.support.market_server import eventually
from tests.support.otlp_receiver import PUBLIC_KEY, SECRET_KEY, Fault, OtlpReceiver, free_port

from memmcp_server.adapters.secrets import RuleScanner
from memmcp_server.adapters.sql_journal import open_journal
from memmcp_server.adapters.tracing.wiring import trace_sinks
from memmcp_server.config import JournalSection, LangfuseSection, RelaySection, Sections
from memmcp_server.domain.tracing.spans import root_id_of, trace_id_of
from memmcp_server.observing import sink_specs
from memmcp_server.ports import Journal, RemoteSink
from memmcp_server.services.relay import Relay

pytestmark = pytest.mark.anyio

QUICK = RelaySection(backoff_base_s=0.01, backoff_cap_s=0.05, poll_s=0.05)
DECISIONS = 10_000
COMMIT_LEN = 200
FAULTS: tuple[Fault, ...] = ("slow", "busy", "broken", "broken_after_storing", "hanging", "too_large", "unauthorized")


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
    async with open_journal(JournalSection(), sections.data_dir, clock, sinks=sink_specs(sections)[1:]) as journal:
        sinks = trace_sinks(sections, journal, RuleScanner())
        relay = Relay(journal, sinks, clock, sections.relay)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(relay.run)
            try:
                yield journal, relay
            finally:
                tasks.cancel_scope.cancel()
        for sink in sinks:
            assert isinstance(sink, RemoteSink)
            await sink.close()


async def write(journal: Journal, first: int, count: int, trade_every: int) -> None:
    """Write decisions with these numbers, many to a commit."""
    commands = []
    for decision in list(decisions(first + count, trade_every=trade_every))[first:]:
        commands.extend(decision)
        if len(commands) >= COMMIT_LEN:
            await journal.commit(commands)
            commands = []
    if commands:
        await journal.commit(commands)


@pytest.mark.requirement("O3")
@pytest.mark.requirement("M11")
@pytest.mark.requirement("Q4")
async def test_ten_thousand_decisions_all_arrive_through_every_fault_of_the_receiver(tmp_path: Path) -> None:
    port, receiver = free_port(), OtlpReceiver(refused={"trading.odd"})
    sections = to_langfuse(tmp_path, f"http://127.0.0.1:{port}")
    stretch = DECISIONS // (len(FAULTS) + 3)
    async with relaying(sections) as (journal, relay):
        await write(journal, 0, stretch, 10)  # nobody listens
        async with receiver.serving(port):
            for number, fault in enumerate(FAULTS, 1):
                receiver.fault = fault
                await write(journal, number * stretch, stretch, 10)
                await eventually(lambda met=fault: receiver.met[met] > 0)  # type: ignore[misc]
            receiver.fault = "picky"
            await journal.commit([note("odd", DECISIONS + each, f"odd {each}") for each in range(3)])
            written = (len(FAULTS) + 1) * stretch
            await write(journal, written, DECISIONS - written, 10)
            assert await relay.drain(60)
            assert (await journal.outbox_stats())["langfuse"].dead == 3
            receiver.fault = ""
            assert await journal.outbox_retry(None) == 3
            relay.wake()
            assert await relay.drain(20)

        traces = receiver.traces()
        assert len(traces) == DECISIONS + 3
        for number in range(DECISIONS):
            if number % 10 == 0:
                name = f"run-1.trade-{number}"
                spans = traces[trace_id_of(name)]
                assert len(spans) == SPANS_OF_A_TRADE
                assert {span.parent_span_id for span in spans} == {b"", root_id_of(name)}
        assert sum(len(spans) == 1 for spans in traces.values()) == DECISIONS - DECISIONS // 10 + 3
        assert len(receiver.scores) == DECISIONS // 10 * 5
        assert (await journal.outbox_stats())["langfuse"].pending == 0
