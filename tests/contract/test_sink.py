"""The contract of Sink, on every body: the index sink, and the recording double that later sinks are compared with."""

from collections.abc import Sequence
from typing import cast

import anyio
import pytest
from tests.doubles.clocks import SystemClock
from tests.doubles.memories import T0_NS, a_memory
from tests.doubles.memory_index import MemoryIndex
from tests.doubles.outbox_journal import OutboxJournal

from memmcp_server.adapters.index.sink import QdrantSink, is_lost, keep_filled, rebuild
from memmcp_server.domain.identifiers import MemoryId
from memmcp_server.domain.memory import MemoryFilter
from memmcp_server.domain.outbox import OutboxEntry
from memmcp_server.errors import IndexUnavailable, Unavailable
from memmcp_server.ports import Journal, Sink

pytestmark = pytest.mark.anyio

ANY = MemoryFilter()
M = MemoryId("m")


class RecordingSink:
    """Keeps the present content of each memory, as the journal told it at delivery."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.is_down = False
        self.contents: dict[str, str] = {}

    @property
    def name(self) -> str:
        return "recording"

    async def deliver(self, entries: Sequence[OutboxEntry]) -> None:
        if self.is_down:
            raise IndexUnavailable("down")
        for entry in entries:
            versions = await self._journal.versions(entry.memory_id)
            if versions:
                self.contents[entry.memory_id] = versions[-1].content
            else:
                self.contents.pop(entry.memory_id, None)


class Case:
    """One sink and how to look at what it holds."""

    def __init__(self, kind: str) -> None:
        self.journal = OutboxJournal()
        self.index = MemoryIndex(SystemClock())
        journal = cast(Journal, self.journal)
        self.recording = RecordingSink(journal)
        self.sink: Sink = QdrantSink(journal, self.index) if kind == "index" else self.recording
        self.kind = kind

    def take_down(self) -> None:
        self.index.is_down = self.recording.is_down = True

    async def holds(self, word: str) -> bool:
        if self.kind == "index":
            return any(hit.lexical for hit in await self.index.search(word, ANY, limit=10))
        return any(word in content for content in self.recording.contents.values())


@pytest.fixture(params=["index", "recording"])
async def case(request: pytest.FixtureRequest) -> Case:
    return Case(request.param)


async def test_a_delivered_memory_is_there_once_however_often_it_is_delivered(case: Case) -> None:
    case.journal.put(a_memory("m", "bought BONK"))
    for _ in range(3):
        await case.sink.deliver(case.journal.live)

    assert await case.holds("bonk" if case.kind == "index" else "BONK")
    if case.kind == "index":
        assert (await case.index.status()).points == 1


async def test_a_late_entry_delivers_what_the_journal_says_now(case: Case) -> None:
    case.journal.put(a_memory("m", "fivefold"))
    late = case.journal.live
    case.journal.put(a_memory("m", "ninefold", known_at_ns=T0_NS + 1))

    await case.sink.deliver(case.journal.live)
    await case.sink.deliver(late)

    assert await case.holds("ninefold")
    assert not await case.holds("fivefold")


@pytest.mark.requirement("M11")
async def test_a_late_entry_does_not_bring_back_a_forgotten_memory(case: Case) -> None:
    case.journal.put(a_memory("m", "secretive"))
    late = case.journal.live
    await case.sink.deliver(late)
    case.journal.forget(M)

    await case.sink.deliver(case.journal.live)
    await case.sink.deliver(late)

    assert not await case.holds("secretive")


async def test_a_sink_that_is_down_says_unavailable(case: Case) -> None:
    case.journal.put(a_memory("m", "bought BONK"))
    case.take_down()

    with pytest.raises(Unavailable):
        await case.sink.deliver(case.journal.live)


async def test_nothing_to_deliver_is_fine(case: Case) -> None:
    await case.sink.deliver([])


@pytest.mark.requirement("M4")
async def test_the_index_sink_carries_every_version_with_the_time_it_ended() -> None:
    case = Case("index")
    case.journal.put(a_memory("m", "fivefold", known_at_ns=T0_NS))
    case.journal.put(a_memory("m", "ninefold", known_at_ns=T0_NS + 5))
    await case.sink.deliver(case.journal.live[-1:])

    before = await case.index.search("fivefold", MemoryFilter(as_of_ns=T0_NS + 4), limit=5)
    after = await case.index.search("fivefold", MemoryFilter(as_of_ns=T0_NS + 5), limit=5)

    assert [hit.version for hit in before] == [1]
    assert [hit.version for hit in after if hit.lexical] == []


@pytest.mark.requirement("M9")
async def test_a_rebuild_drops_the_index_and_queues_everything_again() -> None:
    case = Case("index")
    case.journal.put(a_memory("a", "alpha"), a_memory("b", "bravo"))
    await case.sink.deliver(case.journal.live)
    case.journal.entries.clear()

    queued = await rebuild(cast(Journal, case.journal), case.index)

    assert queued == 2
    assert (await case.index.status()).points == 0
    await case.sink.deliver(case.journal.live)
    assert await case.holds("alpha")


async def test_an_index_that_lost_everything_is_noticed_and_refilled() -> None:
    case = Case("index")
    journal = cast(Journal, case.journal)
    case.journal.put(a_memory("a", "alpha"))
    assert not await is_lost(journal, case.index)  # it is still on its way
    await case.sink.deliver(case.journal.live)
    await case.journal.outbox_delivered([entry.id for entry in case.journal.live])
    assert not await is_lost(journal, case.index)

    await case.index.clear()

    assert await is_lost(journal, case.index)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(keep_filled, journal, case.index)
        with anyio.fail_after(5):
            await case.journal.refilled.wait()
        tasks.cancel_scope.cancel()
    assert [entry.memory_id for entry in case.journal.live] == ["a"]


@pytest.mark.requirement("M11")
async def test_an_index_that_was_lost_while_writes_went_on_is_filled_again() -> None:
    case = Case("index")
    journal = cast(Journal, case.journal)
    for number in range(9):
        case.journal.put(a_memory(f"old-{number}", f"lesson {number}"))
    await case.sink.deliver(case.journal.live)
    await journal.outbox_delivered([entry.id for entry in case.journal.live])
    await case.index.clear()
    case.journal.put(a_memory("new", "written before anybody looked"))
    assert await is_lost(journal, case.index)

    await case.sink.deliver(case.journal.live)
    await journal.outbox_delivered([entry.id for entry in case.journal.live])

    assert await is_lost(journal, case.index)
    await journal.outbox_refill("qdrant")
    assert not await is_lost(journal, case.index)
    await case.sink.deliver(case.journal.live)
    assert not await is_lost(journal, case.index)


async def test_a_dropped_entry_does_not_make_an_index_lost() -> None:
    case = Case("index")
    journal = cast(Journal, case.journal)
    for number in range(3):
        case.journal.put(a_memory(f"m-{number}", f"lesson {number}"))
    dropped, *others = case.journal.live
    await case.sink.deliver(others)
    await journal.outbox_delivered([dropped.id, *(entry.id for entry in others)])
    assert not await is_lost(journal, case.index)
