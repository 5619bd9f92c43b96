"""Bodies of the journal for contract suites: each opened on a place of its own."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from memmcp_server.adapters.sql_journal import open_journal
from memmcp_server.adapters.sql_journal.engines import open_engines, place_of
from memmcp_server.adapters.sql_journal.migrate import migrate
from memmcp_server.config import JournalSection
from memmcp_server.domain.identifiers import Namespace, TrajectoryId
from memmcp_server.domain.memory import MemoryDraft, Provenance
from memmcp_server.domain.outbox import QDRANT, SinkSpec
from memmcp_server.ports import Journal
from tests.doubles.clocks import ManualClock
from tests.doubles.memory_journal import MemoryJournal
from tests.support.migrated import migrated

SINKS = (QDRANT, SinkSpec("langfuse"), SinkSpec("phone", frozenset({"alert"})))
T0_NS = 1_700_000_000_000_000_000
SECOND_NS = 1_000_000_000


@dataclass
class Bench:
    """A journal under test, its clock, and a way to open the same place again."""

    body: str
    journal: Journal
    clock: ManualClock
    reopen: Callable[[], AbstractAsyncContextManager[Journal]]


def a_draft(content: str = "hello", key: str | None = None, **fields: Any) -> MemoryDraft:
    """Return a draft; its key is its content unless one is given."""
    agent = fields.pop("agent", "claude")
    namespace = Namespace(fields.pop("namespace", "default"))
    trajectory_id = fields.pop("trajectory_id", None)
    defaults: dict[str, Any] = {"ts_event_ns": T0_NS, "provenance": Provenance(agent=agent)}
    return MemoryDraft(
        content=content,
        key=content if key is None else key,
        namespace=namespace,
        trajectory_id=None if trajectory_id is None else TrajectoryId(trajectory_id),
        **{**defaults, **fields},
    )


def make_journal(section: JournalSection, directory: Path) -> None:
    """Make an empty, migrated journal and let go of it."""
    engines = open_engines(place_of(section, directory), section.readers, section.commit_timeout_s)
    migrate(engines.writer, engines.place.shown, [sink.name for sink in SINKS])
    engines.dispose()


@asynccontextmanager
async def sqlite_bench(directory: Path, **section: Any) -> AsyncIterator[Bench]:
    clock = ManualClock()

    def reopen() -> AbstractAsyncContextManager[Journal]:
        return open_journal(JournalSection(**section), directory, clock, sinks=SINKS)

    migrated(directory)
    async with reopen() as journal:
        yield Bench("sqlite", journal, clock, reopen)


@asynccontextmanager
async def postgresql_bench(url: str, directory: Path) -> AsyncIterator[Bench]:
    clock = ManualClock()

    def reopen() -> AbstractAsyncContextManager[Journal]:
        return open_journal(JournalSection(url=SecretStr(url)), directory, clock, sinks=SINKS)

    async with reopen() as journal:
        yield Bench("postgresql", journal, clock, reopen)


@asynccontextmanager
async def memory_bench() -> AsyncIterator[Bench]:
    clock = ManualClock()
    journal = MemoryJournal(clock, SINKS)

    @asynccontextmanager
    async def reopen() -> AsyncIterator[Journal]:
        yield journal

    yield Bench("memory", journal, clock, reopen)


async def contents(journal: Journal, memory_ids: Sequence[Any]) -> list[str]:
    return [memory.content for memory in await journal.memories(memory_ids)]
