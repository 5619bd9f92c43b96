"""The contract of Sink, on every body: the index sink, and the recording double that later sinks are compared with."""

from collections.abc import Sequence
from typing import cast

import pytest
from tests.doubles.clocks import SystemClock
from tests.doubles.memories import T0_NS, a_memory
from tests.doubles.memory_index import MemoryIndex
from tests.doubles.outbox_journal import OutboxJournal

from memmcp_server.adapters.index.sink import QdrantSink
from memmcp_server.domain.identifiers import MemoryId
from memmcp_server.domain.memory import Memory, MemoryFilter
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


@pytest.mark.requirement("M11")
async def test_a_batch_is_read_from_the_journal_at_once() -> None:
    case = Case("index")
    for number in range(40):
        case.journal.put(a_memory(f"m{number}", f"lesson {number}"))

    await case.sink.deliver(case.journal.live)

    assert (await case.index.status()).points == 40
    assert case.journal.reads == 2


def said(memory_id: str, content: str, **fields: object) -> Memory:
    return a_memory(memory_id, content, **{"thread": "s:talk", **fields})


async def found_by(case: Case, word: str) -> set[str]:
    return {hit.memory_id for hit in await case.index.search(word, ANY, limit=10) if hit.lexical}


@pytest.mark.requirement("M4")
async def test_a_memory_is_found_by_the_words_of_the_turn_before_it_in_its_thread() -> None:
    case = Case("index")
    case.journal.put(
        said("question", "which kangaroo was it"),
        said("answer", "the red one"),
        said("elsewhere", "something else", thread="s:other"),
        said("alone", "no thread at all", thread=None),
    )

    await case.sink.deliver(case.journal.live)

    assert await found_by(case, "kangaroo") == {"question", "answer"}


@pytest.mark.parametrize(
    ("thread", "minutes", "expected"),
    [("c:talk", 30, True), ("c:talk", 31, False), ("s:talk", 600, True), ("t-1", 31, True)],
)
async def test_after_a_pause_a_connection_begins_another_conversation(
    thread: str, minutes: int, expected: bool
) -> None:
    case = Case("index")
    later_ns = T0_NS + minutes * 60 * 1_000_000_000
    case.journal.put(said("a", "kangaroo", thread=thread), said("b", "red", thread=thread, ts_event_ns=later_ns))

    await case.sink.deliver(case.journal.live)

    assert ("b" in await found_by(case, "kangaroo")) == expected


async def test_a_version_that_has_ended_takes_no_words_from_what_stands_before_it_now() -> None:
    case = Case("index")
    case.journal.put(said("a", "kangaroo"), said("b", "red"))
    case.journal.put(said("b", "grey", known_at_ns=T0_NS + 5))

    await case.sink.deliver(case.journal.live)

    then = await case.index.search("kangaroo", MemoryFilter(as_of_ns=T0_NS + 4), limit=5)
    assert [hit.memory_id for hit in then if hit.lexical] == ["a"]
    assert await found_by(case, "kangaroo") == {"a", "b"}
