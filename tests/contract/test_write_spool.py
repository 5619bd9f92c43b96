"""The spool of writes: SQLite and the one in memory."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.doubles.memory_spool import MemorySpool
from tests.support.journals import T0_NS, a_draft

from memmcp_server.adapters.write_spool import open_spool
from memmcp_server.domain.caller import Caller
from memmcp_server.domain.identifiers import MemoryId
from memmcp_server.domain.memory import MemoryDraft, Trust
from memmcp_server.domain.spooled import SPOOL_ID_BASE, SpooledWrite
from memmcp_server.errors import InvalidInput, StorageFull
from memmcp_server.ports import WriteSpool

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("M2")]
CLAUDE = Caller("claude", "session", "memory_write", "agent", "stdio")
ROWS_MAX = 6


@pytest.fixture(params=["sqlite", "memory"])
async def spool(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[WriteSpool]:
    if request.param == "memory":
        yield MemorySpool(ROWS_MAX)
        return
    async with open_spool(tmp_path, ROWS_MAX, 1_000_000) as opened:
        yield opened


def a_write(*contents: str, at_ns: int = T0_NS) -> SpooledWrite:
    drafts = tuple(a_draft(each, id=MemoryId(f"id-{each}")) for each in contents)
    return SpooledWrite(drafts, CLAUDE, at_ns)


async def test_what_is_kept_comes_back_as_it_was_given_in_the_order_of_keeping(spool: WriteSpool) -> None:
    rich = a_draft(
        "rich \u20ac",
        id=MemoryId("id-rich"),
        tags=("a", "b"),
        metadata={"n": 1, "deep": [{"x": None}]},
        trajectory_id="t-1",
        cites=(MemoryId("c"),),
        supersedes=(MemoryId("s"),),
        expires_at_ns=5,
    )
    rich = replace(rich, provenance=replace(rich.provenance, trust=Trust.UNTRUSTED, session="s"))
    first = await spool.put(SpooledWrite((rich,), CLAUDE, T0_NS, is_tried=True))
    second = await spool.put(a_write("one", "two"))
    assert SPOOL_ID_BASE < first.id < second.id
    assert await spool.live(0, 10) == [first, second]
    assert await spool.live(first.id, 10) == [second]
    assert await spool.find(MemoryId("id-two")) == second
    assert await spool.find(MemoryId("id-none")) is None


async def test_a_full_spool_refuses_and_takes_again_once_something_was_carried(spool: WriteSpool) -> None:
    first = await spool.put(a_write("1", "2", "3", "4"))
    with pytest.raises(StorageFull):
        await spool.put(a_write("5", "6", "7"))
    await spool.done([first.id], {})
    kept = await spool.put(a_write("5", "6", "7"))
    assert await spool.live(0, 10) == [kept]


async def test_a_dead_letter_waits_until_it_is_carried_again_or_dropped(spool: WriteSpool) -> None:
    kept = [await spool.put(a_write(name)) for name in ("one", "two", "three")]
    for write in kept[:2]:
        await spool.bury(write.id, "the key stands for another memory")
    assert await spool.live(0, 10) == [kept[2]]
    dead = await spool.entries(dead=True, limit=10)
    assert [(write.id, write.last_error) for write in dead] == [
        (write.id, "the key stands for another memory") for write in kept[:2]
    ]
    stats = await spool.stats()
    assert (stats.pending, stats.dead, stats.memories, stats.oldest_ns) == (1, 2, 3, T0_NS)
    assert [write.id for write in await spool.retry([kept[0].id])] == [kept[0].id]
    assert [write.id for write in await spool.live(0, 10)] == [kept[0].id, kept[2].id]
    dropped = await spool.drop(kept[1].id)
    assert dropped is not None
    assert dropped.memory_ids == ("id-two",)
    assert await spool.drop(kept[1].id) is None
    assert await spool.entries(dead=True, limit=10) == []


async def test_what_the_journal_holds_under_another_id_is_found_by_both(spool: WriteSpool) -> None:
    kept = await spool.put(a_write("one"))
    await spool.done([kept.id], {MemoryId("id-one"): MemoryId("earlier")})
    assert await spool.final_ids([MemoryId("id-one"), MemoryId("x")]) == {MemoryId("id-one"): MemoryId("earlier")}
    assert (await spool.stats()).delivered == 1
    assert (await spool.stats()).oldest_ns is None


async def test_a_note_is_read_as_it_was_last_written(spool: WriteSpool) -> None:
    assert await spool.note("policies") is None
    await spool.write_note("policies", {"a/": {"writers": ["x"]}})
    await spool.write_note("policies", {"b": {}})
    assert await spool.note("policies") == {"b": {}}


async def test_what_no_journal_could_hold_is_refused_where_it_can_be_mended(spool: WriteSpool) -> None:
    broken: MemoryDraft = a_draft("a\x00b", id=MemoryId("id"))
    with pytest.raises(InvalidInput, match="U\\+0000"):
        await spool.put(SpooledWrite((broken,), CLAUDE, T0_NS))
    assert await spool.live(0, 10) == []
