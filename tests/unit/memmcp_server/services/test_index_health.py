"""Journal and index compared: what differs is named, counted, and brought into order, and nothing else is touched."""

from dataclasses import replace

import anyio
import pytest
from tests.doubles.memories import a_memory
from tests.support.journals import a_draft
from tests.support.keeping import Keeping, until

from memmcp_server.adapters.index.texts import point_of
from memmcp_server.domain.drift import DriftKind
from memmcp_server.domain.identifiers import MemoryId
from memmcp_server.domain.lifecycle import ForgetMemory, UpdateMemory
from memmcp_server.domain.memory import MemoryFilter, Provenance
from memmcp_server.domain.outbox import SINK_QDRANT
from memmcp_server.errors import IndexUnavailable
from memmcp_server.services import index_health

pytestmark = pytest.mark.anyio

BY = Provenance(agent="claude")


@pytest.fixture
def keeping() -> Keeping:
    return Keeping()


async def words_found(keeping: Keeping, word: str) -> set[MemoryId]:
    hits = await keeping.index.search(word, MemoryFilter(), limit=50)
    return {hit.memory_id for hit in hits if hit.lexical}


async def waiting(keeping: Keeping) -> set[MemoryId]:
    entries = await keeping.journal.outbox_entries(SINK_QDRANT, dead=None, limit=1_000)
    return {entry.memory_id for entry in entries}


async def compared(keeping: Keeping) -> bool:
    return keeping.keeper.report is not None


@pytest.mark.requirement("M9")
async def test_an_index_in_order_is_found_to_be_so_and_left_alone(keeping: Keeping) -> None:
    ids = await keeping.write("alpha", "bravo")
    await keeping.journal.commit([UpdateMemory(ids[0], "k", BY, content="alpha two")])
    await keeping.deliver()

    report = await keeping.health.check(repair=True)

    assert (report.checked, report.total, report.repaired, report.is_complete) == (2, 0, 0, True)
    assert await waiting(keeping) == set()


@pytest.mark.requirement("M9")
async def test_what_is_missing_outdated_or_too_much_is_named_and_exactly_that_is_repaired(keeping: Keeping) -> None:
    fine, missing, outdated, ended, gone = await keeping.write("fine", "missing", "outdated", "ended", "gone")
    await keeping.journal.commit([UpdateMemory(ended, "k", BY, content="begun anew"), ForgetMemory(gone, "asked", BY)])
    held = {each.id: each for each in await keeping.journal.memories([fine, missing, outdated])}
    await keeping.journal.outbox_delivered(
        [entry.id for entry in await keeping.journal.outbox_entries(SINK_QDRANT, dead=None, limit=10)]
    )
    await keeping.index.remove([missing])
    await keeping.index.upsert([point_of(replace(held[outdated], content="something else"))])

    seen = await keeping.health.check(repair=False)
    assert seen.found == {DriftKind.MISSING: 2, DriftKind.OUTDATED: 1, DriftKind.SURPLUS: 1}
    assert (seen.checked, seen.total, seen.repaired, await waiting(keeping)) == (4, 4, 0, set())
    assert set(seen.examples) == {missing, outdated, ended, gone}

    report = await keeping.health.check(repair=True)

    assert report.repaired == 4
    assert await waiting(keeping) == {missing, outdated, ended}
    assert await words_found(keeping, "gone") == set()
    await keeping.deliver()
    assert (await keeping.health.check(repair=False)).total == 0
    assert await words_found(keeping, "anew") == {ended}
    assert await words_found(keeping, "outdated") == {outdated}


@pytest.mark.requirement("M9")
async def test_a_version_that_the_journal_does_not_know_is_removed(keeping: Keeping) -> None:
    [memory_id] = await keeping.write("five SOL")
    [held] = await keeping.journal.versions(memory_id)
    later = replace(held, version=2, content="nine SOL", known_at_ns=held.known_at_ns + 5)
    await keeping.index.upsert([point_of(later)])  # as after the journal was restored from a back-up

    report = await keeping.health.check(repair=True)
    await keeping.deliver()

    assert (report.found, report.repaired) == ({DriftKind.SURPLUS: 1}, 1)
    assert await words_found(keeping, "five") == {memory_id}
    assert await words_found(keeping, "nine") == set()


async def test_what_is_still_on_its_way_is_no_loss(keeping: Keeping) -> None:
    await keeping.write("alpha")
    await keeping.write("bravo", deliver=False)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(keeping.deliver)
        report = await keeping.health.check(repair=True)

    assert (report.checked, report.total, report.repaired) == (2, 0, 0)


async def test_what_waits_for_an_operator_is_told_and_not_queued_twice(
    keeping: Keeping, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_health, "SETTLE_S", 0.05)
    await keeping.write("poison", deliver=False)
    [entry] = await keeping.journal.outbox_due(SINK_QDRANT, now_ns=keeping.clock.now_ns(), limit=5)
    await keeping.journal.outbox_failed([entry.id], error="it kills the worker", retry_at_ns=None)

    report = await keeping.health.check(repair=True)

    assert (report.found, report.waiting, report.repaired) == ({DriftKind.MISSING: 1}, 1, 0)
    assert index_health.describe(report) == "1 missing of 1 memories (1 of them wait in the outbox)"


async def test_a_round_repairs_no_more_than_its_bound_and_says_so(
    keeping: Keeping, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_health, "FOUND_MAX", 3)
    monkeypatch.setattr(index_health, "PAGE_LEN", 2)
    await keeping.write(*(f"lesson {number}" for number in range(5)))
    await keeping.index.clear()

    first = await keeping.health.check(repair=True)
    assert (first.total, first.repaired, first.is_complete) == (5, 3, False)
    await keeping.deliver()
    second = await keeping.health.check(repair=True)

    assert (second.total, second.repaired, second.is_complete) == (2, 2, True)


async def test_the_whole_is_read_in_pages_and_the_progress_told(
    keeping: Keeping, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_health, "PAGE_LEN", 4)
    ids = await keeping.write(*(f"lesson {number}" for number in range(10)))
    for number in range(3):
        await keeping.journal.commit([UpdateMemory(ids[0], f"k{number}", BY, content=f"lesson zero {number}")])
    await keeping.deliver()
    told: list[tuple[int, int]] = []

    await keeping.health.check(repair=False, advance=lambda done, total: told.append((done, total)))

    assert [len(page) for page in keeping.projected] == [4, 4, 2]
    assert told == [(4, 10), (8, 10), (10, 10)]


async def test_a_memory_that_is_forgotten_while_its_page_is_compared_is_no_loss(keeping: Keeping) -> None:
    [memory_id, _] = await keeping.write("alpha", "bravo")
    compare = keeping.index.compare

    async def forget_first(wanted):  # type: ignore[no-untyped-def]
        await keeping.journal.commit([ForgetMemory(memory_id, "asked", BY)])
        await keeping.deliver()
        return await compare(wanted)

    keeping.index.compare = forget_first  # type: ignore[method-assign]

    assert (await keeping.health.check(repair=True)).total == 0


async def test_an_index_that_is_down_is_no_index_that_differs(keeping: Keeping) -> None:
    await keeping.write("alpha")
    keeping.index.is_down = True

    with pytest.raises(IndexUnavailable):
        await keeping.health.check(repair=True)
    assert await waiting(keeping) == set()


@pytest.mark.requirement("M11")
async def test_an_index_that_lost_everything_is_noticed_also_when_writes_went_on(keeping: Keeping) -> None:
    assert not await keeping.health.is_lost()
    await keeping.write(*(f"lesson {number}" for number in range(9)), deliver=False)
    assert not await keeping.health.is_lost()  # all of it is on its way
    await keeping.deliver()
    assert not await keeping.health.is_lost()

    await keeping.index.clear()
    await keeping.write("written before anybody looked")

    assert await keeping.health.is_lost()
    await keeping.journal.outbox_refill(SINK_QDRANT)
    assert not await keeping.health.is_lost()
    await keeping.deliver()
    assert not await keeping.health.is_lost()


async def test_a_dropped_entry_does_not_make_an_index_lost(keeping: Keeping) -> None:
    await keeping.write("one", "two", "three", deliver=False)
    first, *_ = await keeping.journal.outbox_due(SINK_QDRANT, now_ns=keeping.clock.now_ns(), limit=5)
    await keeping.journal.outbox_drop(first.id)
    await keeping.deliver()

    assert not await keeping.health.is_lost()


@pytest.mark.requirement("M11")
async def test_the_keeper_refills_repairs_and_compares_daily(keeping: Keeping) -> None:
    ids = await keeping.write(*(f"lesson {number}" for number in range(9)))
    await keeping.index.clear()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(keeping.keeper.run)
        await until(lambda: waiting(keeping))
        await keeping.deliver()
        await until(lambda: compared(keeping))
        first = keeping.keeper.report
        assert first is not None
        assert first.total == 0

        await keeping.index.remove(ids[:1])
        await anyio.sleep(0.1)
        assert keeping.keeper.report is first  # it looks again a day later
        keeping.clock.advance(24 * 3_600 + 1)
        await until(lambda: waiting(keeping))
        assert await waiting(keeping) == {ids[0]}
        tasks.cancel_scope.cancel()


async def test_an_index_that_another_generation_is_wanted_for_is_compared_but_not_rewritten(keeping: Keeping) -> None:
    [memory_id] = await keeping.write("alpha")
    keeping.index.wants = "the index was made with text recipe 1, this version has 2"
    await keeping.migration.begin()
    await keeping.migration.abandon()
    [held] = await keeping.journal.versions(memory_id)
    await keeping.index.upsert([point_of(replace(held, content="alpha as the older recipe has it"))])

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(keeping.keeper.run)
        await until(lambda: compared(keeping))
        tasks.cancel_scope.cancel()

    assert keeping.keeper.report is not None
    assert (keeping.keeper.report.found, keeping.keeper.report.repaired) == ({DriftKind.OUTDATED: 1}, 0)
    assert await waiting(keeping) == set()


async def test_the_keeper_outlives_an_index_and_a_journal_that_are_down(keeping: Keeping) -> None:
    await keeping.write("alpha")
    keeping.index.is_down = True
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(keeping.keeper.run)
        await anyio.sleep(0.05)
        keeping.index.is_down = False
        keeping.journal.failure = IndexUnavailable("whatever it says")
        await anyio.sleep(0.05)
        keeping.journal.failure = None
        await until(lambda: compared(keeping))
        tasks.cancel_scope.cancel()


async def test_a_point_of_a_memory_that_was_never_written_is_removed(keeping: Keeping) -> None:
    await keeping.write("alpha")
    await keeping.index.upsert([point_of(a_memory("orphan", "a stray text"))])
    await keeping.journal.commit([a_draft("bravo")])
    await keeping.deliver()

    report = await keeping.health.check(repair=True)

    assert (report.found, report.repaired) == ({DriftKind.SURPLUS: 1}, 1)
    assert await words_found(keeping, "stray") == set()
