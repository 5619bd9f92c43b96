"""Pages, validity, what may be seen, and what speaks against a hit."""

from typing import Any

import pytest
from tests.doubles.clocks import ManualClock
from tests.doubles.memory_index import MemoryIndex
from tests.doubles.memory_journal import MemoryJournal
from tests.doubles.word_scanner import WordScanner
from tests.support.journals import SECOND_NS, a_draft

from memmcp_server.adapters.index.sink import QdrantSink
from memmcp_server.domain.caller import Caller
from memmcp_server.domain.drafts import UpdateFields
from memmcp_server.domain.identifiers import MemoryId
from memmcp_server.domain.lifecycle import LinkKind, LinkMemories
from memmcp_server.domain.memory import MemoryFilter, Provenance
from memmcp_server.domain.search import SearchQuery, SearchResult
from memmcp_server.errors import InvalidInput
from memmcp_server.services.memories import Memories
from memmcp_server.services.policies import Policies

pytestmark = pytest.mark.anyio
CLAUDE = Caller("claude", "s-1", "memory_search", "agent", "stdio")
DAY_S = 86_400


class House:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.journal = MemoryJournal(self.clock)
        self.index = MemoryIndex(self.clock)
        self.memories = Memories(
            self.journal, self.index, self.clock, Policies(self.journal, self.clock), WordScanner({})
        )

    async def write(self, content: str, **fields: Any) -> MemoryId:
        [acknowledged] = await self.journal.commit([a_draft(content, **fields)])
        return acknowledged.id

    async def deliver(self) -> None:
        due = await self.journal.outbox_due("qdrant", now_ns=self.clock.now_ns(), limit=1_000)
        await QdrantSink(self.journal, self.index).deliver(due)
        await self.journal.outbox_delivered([entry.id for entry in due])

    async def search(self, text: str, limit: int = 10, cursor: str | None = None, **where: Any) -> SearchResult:
        return await self.memories.search(SearchQuery(text, MemoryFilter(**where), limit, cursor), CLAUDE)


@pytest.fixture
def house() -> House:
    return House()


def ids(result: SearchResult) -> list[str]:
    return [found.memory.id for found in result.found]


@pytest.mark.requirement("M4")
@pytest.mark.parametrize("is_indexed", [True, False])
async def test_pages_run_through_every_hit_once_although_new_ones_are_written(house: House, is_indexed: bool) -> None:
    written = [await house.write(f"momentum lesson {number}") for number in range(25)]
    if is_indexed:
        await house.deliver()
    seen: list[str] = []
    cursor: str | None = None
    for _ in range(10):
        result = await house.search("momentum lesson", limit=4, cursor=cursor)
        seen += ids(result)
        cursor = result.next_cursor
        if cursor is None:
            break
        house.clock.advance(1)
        await house.write(f"a later momentum lesson {len(seen)}")
        if is_indexed:
            await house.deliver()
    assert sorted(seen) == sorted(written)


@pytest.mark.requirement("M4")
@pytest.mark.parametrize(
    "cursor",
    [
        "10",
        "s1.10.5.000000000000",
        "s1.0.5.aaaaaaaaaaaa",
        "s1.999.5.aaaaaaaaaaaa",
        "../x",
        "s1.4.99999999999999999999.a",
        "",
    ],
)
async def test_a_forged_cursor_is_refused(house: House, cursor: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        await house.search("momentum", cursor=cursor)
    assert caught.value.field == "cursor"


async def test_a_cursor_belongs_to_its_question(house: House) -> None:
    for number in range(5):
        await house.write(f"momentum lesson {number}")
    cursor = (await house.search("momentum lesson", limit=2)).next_cursor
    assert cursor is not None
    for text, where in (
        ("momentum", {}),
        ("momentum lesson", {"namespace": "team"}),
        ("momentum lesson", {"as_of_ns": 5}),
    ):
        with pytest.raises(InvalidInput, match="another question"):
            await house.search(text, limit=2, cursor=cursor, **where)


@pytest.mark.requirement("M17")
async def test_what_does_not_hold_any_more_is_found_only_for_its_time(house: House) -> None:
    now_ns = house.clock.now_ns()
    was = await house.write("the pool fee is 25 bps", valid_to_ns=now_ns - SECOND_NS)
    holds = await house.write("the pool fee is 30 bps", valid_from_ns=now_ns - SECOND_NS)
    comes = await house.write("the pool fee is 40 bps", valid_from_ns=now_ns + 10 * SECOND_NS)
    await house.deliver()
    assert ids(await house.search("pool fee")) == [holds]
    assert ids(await house.search("pool fee", valid_at_ns=now_ns - 5 * SECOND_NS)) == [was]
    assert set(ids(await house.search("pool fee", valid_at_ns=now_ns + 20 * SECOND_NS))) == {holds, comes}


@pytest.mark.requirement("M17")
async def test_as_of_answers_with_what_held_and_was_known_then(house: House) -> None:
    old = await house.write("the exit is at +20 %")
    then_ns = house.clock.now_ns()
    await house.deliver()
    house.clock.advance(60)
    new = await house.write("the exit is at +30 %", supersedes=(old,))
    await house.deliver()
    assert ids(await house.search("exit")) == [new]
    [found] = (await house.search("exit", as_of_ns=then_ns)).found
    assert (found.memory.id, found.memory.content) == (old, "the exit is at +20 %")


@pytest.mark.requirement("M17")
async def test_a_hit_comes_with_what_contradicts_it(house: House) -> None:
    one = await house.write("the pool fee is 25 bps", kind="fact")
    other = await house.write("swaps there cost thirty", kind="fact")
    hidden = await house.write("quite another claim", kind="fact", namespace="desk/secret")
    by = Provenance(agent="memmcp")
    await house.journal.commit(
        [LinkMemories(LinkKind.CONTRADICTS, other, one, by), LinkMemories(LinkKind.CONTRADICTS, hidden, one, by)]
    )
    await house.memories._policies.set("desk/", {"readers": ["nobody"]}, Caller("cli", "", "cli", "operator", "cli"))
    result = await house.search("pool fee bps")
    [found] = [each for each in result.found if each.memory.id == one]
    assert found.contradicts == (other,)
    [pair] = result.contradictions
    assert (pair.newer.id, pair.older.id) == (other, one)
    await house.write("the claim was wrong", supersedes=(other,))
    assert (await house.search("pool fee bps")).contradictions == ()


@pytest.mark.requirement("M7")
async def test_a_digest_that_rests_on_what_was_superseded_says_so(house: House) -> None:
    evidence = await house.write("BONK won 3 of 4")
    await house.write("BONK breakouts work", kind="digest", cites=(evidence,))
    assert (await house.search("breakouts work")).found[0].stale == ()
    await house.write("BONK won 3 of 9", supersedes=(evidence,))
    assert "superseded" in (await house.search("breakouts work")).found[0].stale[0]


@pytest.mark.requirement("M17")
async def test_what_nobody_confirmed_for_long_says_for_how_long(house: House) -> None:
    memory_id = await house.write("the deploy key rotates")
    await house.write("the deploy key was used", namespace="trading")
    assert {found.unverified_days for found in (await house.search("deploy key")).found} == {None}
    house.clock.advance(45 * DAY_S)
    found = {each.memory.id: each.unverified_days for each in (await house.search("deploy key")).found}
    assert sorted(found.values(), key=str) == [45, None]
    assert found[memory_id] == 45
    await house.memories.confirm(memory_id, CLAUDE)
    await house.deliver()
    found = {each.memory.id: each.unverified_days for each in (await house.search("deploy key")).found}
    assert found[memory_id] is None
    house.clock.advance(45 * DAY_S)
    await house.memories.update(UpdateFields(memory_id, content="the deploy key rotates monthly"), CLAUDE)
    found = {each.memory.id: each.unverified_days for each in (await house.search("deploy key")).found}
    assert found[memory_id] is None
