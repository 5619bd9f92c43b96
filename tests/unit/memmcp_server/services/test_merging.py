"""Near-duplicates make way, contradictions are tied; everything else is left alone."""

from typing import Any

import anyio
import pytest
from tests.doubles.clocks import ManualClock
from tests.doubles.memory_index import MemoryIndex
from tests.doubles.memory_journal import MemoryJournal
from tests.support.journals import a_draft

from memmcp_server.adapters.index.sink import QdrantSink
from memmcp_server.domain.identifiers import MemoryId, Seq
from memmcp_server.domain.lifecycle import LinkKind, RestoreMemory, SetPolicy, UpdateMemory
from memmcp_server.domain.memory import MemoryFilter, Provenance
from memmcp_server.domain.telemetry import RecordSnapshot
from memmcp_server.services.merging import Merging
from memmcp_server.services.policies import Policies

pytestmark = pytest.mark.anyio
ME = Provenance(agent="cursor")
FADES = "BONK breakouts fade after funding resets"
FADES_TOO = "BONK breakouts fade after Funding resets"


class House:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.journal = MemoryJournal(self.clock)
        self.index = MemoryIndex(self.clock)
        self.policies = Policies(self.journal, self.clock)
        self.merging = Merging(self.journal, self.index, self.clock, self.policies)

    async def write(self, content: str, *, delivered: bool = True, **fields: Any) -> MemoryId:
        fields.setdefault("key", f"{content}{len(self.journal._state.memories)}")
        [acknowledged] = await self.journal.commit([a_draft(content, **fields)])
        if delivered:
            await self.deliver()
        return acknowledged.id

    async def deliver(self) -> None:
        due = await self.journal.outbox_due("qdrant", now_ns=self.clock.now_ns(), limit=100)
        await QdrantSink(self.journal, self.index).deliver(due)
        await self.journal.outbox_delivered([entry.id for entry in due])

    async def settle(self, memory_id: MemoryId) -> str:
        memory = await self.journal.memory(memory_id)
        assert memory is not None
        return await self.merging.settle(memory, await self.policies.book())

    async def current(self) -> list[str]:
        rows = await self.journal.page(MemoryFilter(), after=None, limit=100, newest_first=False)
        return [memory.content for memory in rows if memory.kind != "trajectory"]


@pytest.fixture
def house() -> House:
    return House()


@pytest.mark.requirement("M8")
async def test_what_says_the_same_makes_way_for_the_older_which_counts_as_confirmed(house: House) -> None:
    old = await house.write(FADES)
    new = await house.write(FADES_TOO, agent="windsurf")
    house.clock.advance(60)
    assert await house.settle(new) == "merged"
    assert await house.current() == [FADES]
    [entry] = await house.journal.audit(action="merge", limit=9)
    assert (entry.memory_id, entry.agent) == (new, "memmcp")
    assert old in entry.reason
    assert (await house.journal.surroundings([old], as_of_ns=None)).standings[old].confirmed_at_ns is not None


@pytest.mark.requirement("M8")
async def test_a_merge_can_be_taken_back_and_is_not_made_again_by_itself(house: House) -> None:
    await house.write(FADES)
    new = await house.write(FADES_TOO)
    await house.settle(new)
    await house.journal.commit([RestoreMemory(new, "they differ", ME)])
    await house.deliver()
    assert sorted(await house.current()) == sorted([FADES, FADES_TOO])


@pytest.mark.requirement("M17")
async def test_contrary_memories_are_tied_and_both_stay(house: House) -> None:
    old = await house.write("the pool fee of BONK is 25 bps for every swap", kind="fact")
    new = await house.write("the pool fee of BONK is 30 bps for every swap", kind="fact")
    assert await house.settle(new) == "contrary"
    [link] = await house.journal.links([old])
    assert (link.kind, link.from_id, link.to_id) == (LinkKind.CONTRADICTS, new, old)
    assert len(await house.current()) == 2


@pytest.mark.requirement("M14")
async def test_a_contradiction_has_one_place_in_the_order_of_changes_however_often_it_is_found(house: House) -> None:
    old = await house.write("the pool fee of BONK is 25 bps for every swap", kind="fact")
    new = await house.write("the pool fee of BONK is 30 bps for every swap", kind="fact")
    assert [await house.settle(new) for _ in range(2)] == ["contrary", "contrary"]
    [entry] = [change.audit for change in await house.journal.changes(Seq(0), limit=9) if change.audit]
    assert (entry.action, entry.memory_id, entry.namespace, entry.detail) == (
        "contradict",
        new,
        "default",
        {"with": old},
    )


@pytest.mark.requirement("M8")
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {"namespace": "team"}),
        ({}, {"kind": "lesson"}),
        ({}, {"trajectory_id": "t"}),
        ({"pinned": True}, {}),
        ({}, {"pinned": True}),
        ({}, {"tags": ("new",)}),
        ({}, {"metadata": {"a": 1}}),
        ({}, {"expires_at_ns": 2**60}),
        ({}, {"importance": 90}),
        ({}, {"embed": False}),
        ({"namespace": "trading"}, {"namespace": "trading"}),
    ],
)
async def test_nothing_that_would_be_missed_is_merged(
    house: House, first: dict[str, Any], second: dict[str, Any]
) -> None:
    await house.write(FADES, **first)
    new = await house.write(FADES_TOO, **second)
    assert await house.settle(new) == "alone"
    assert len(await house.current()) == 2


async def test_a_policy_switches_merging_off(house: House) -> None:
    await house.journal.commit([SetPolicy("default", {"merge_cosine": 0}, ME)])
    await house.write(FADES)
    new = await house.write(FADES_TOO)
    assert await house.settle(new) == "alone"


async def test_an_update_that_came_later_is_looked_at_by_itself(house: House) -> None:
    await house.write(FADES)
    new = await house.write(FADES_TOO)
    first = await house.journal.memory(new)
    await house.journal.commit([UpdateMemory(new, "k", ME, content="something else entirely now")])
    assert first is not None
    assert await house.merging.settle(first, await house.policies.book()) == "alone"


async def test_a_memory_that_the_index_has_not_got_is_waited_for(house: House) -> None:
    await house.write(FADES)
    new = await house.write(FADES_TOO, delivered=False)
    assert await house.settle(new) == "waiting"
    house.index.is_down = True
    assert await house.settle(new) == "waiting"
    house.index.is_down = False
    await house.deliver()
    assert await house.settle(new) == "merged"


async def test_the_reader_goes_on_where_it_was_after_a_restart(house: House) -> None:
    twice = "written before there was any merging, twice"
    await house.write(twice)
    await house.write(twice)

    async def read_to_the_end() -> None:
        horizon = await house.journal.horizon()
        with anyio.fail_after(30):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(Merging(house.journal, house.index, house.clock, house.policies).run)
                while (await house.journal.cursor("merging") or 0) < horizon:  # noqa: ASYNC110 - a plain poll will do
                    await anyio.sleep(0.01)
                tasks.cancel_scope.cancel()

    await read_to_the_end()
    await house.write(FADES)
    await house.write(FADES_TOO)  # nobody was reading
    await read_to_the_end()
    assert await house.current() == [twice, twice, FADES]


async def test_what_is_no_memory_does_not_keep_the_reader_busy(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = 0
    changes = house.journal.changes

    async def counted(*args: Any, **kwargs: Any) -> Any:
        nonlocal reads
        reads += 1
        return await changes(*args, **kwargs)

    monkeypatch.setattr(house.journal, "changes", counted)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Merging(house.journal, house.index, house.clock, house.policies).run)
        await anyio.wait_all_tasks_blocked()
        await house.journal.commit([RecordSnapshot("local", "1", 1, {})])
        await anyio.sleep(0.1)
        assert reads <= 4, "once for the snapshot, and then a wait"
        old = await house.write(FADES)
        await house.write(FADES_TOO)
        with anyio.fail_after(30):
            while await house.current() != [FADES]:  # noqa: ASYNC110 - a plain poll will do
                await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()
    assert (await house.journal.memory(old)) is not None
