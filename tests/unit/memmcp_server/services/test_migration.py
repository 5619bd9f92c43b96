"""From one generation to the next: filled, checked, judged, switched; whatever fails leaves the old one in place."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from tests.doubles.hash_embedder import HashEmbedder
from tests.support.keeping import Keeping

from memmcp_server.domain.golden import Expected, GoldenCase
from memmcp_server.domain.identifiers import MemoryId
from memmcp_server.domain.lifecycle import ForgetMemory, UpdateMemory
from memmcp_server.domain.memory import MemoryFilter, Provenance
from memmcp_server.domain.outbox import SINK_QDRANT
from memmcp_server.errors import IndexUnavailable, InvalidInput, NotFound, Refused, Unavailable
from memmcp_server.ports import IndexPoint
from memmcp_server.services import migration
from memmcp_server.services.health import Health

pytestmark = pytest.mark.anyio

BY = Provenance(agent="claude")
OTHER_MODEL = "the index was made with double/hash, configured is double/other"
KANGAROO = GoldenCase("kangaroo", (Expected(contains="kangaroo"),))


class BlindEmbedder(HashEmbedder):
    """Takes every text for the same."""

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        return super().embed(["" for _ in texts])


@pytest.fixture
def keeping(monkeypatch: pytest.MonkeyPatch) -> Keeping:
    monkeypatch.setattr(migration, "GIVE_WAY_S", 0.01)
    monkeypatch.setattr(migration, "PAGE_LEN", 32)
    return Keeping()


async def words_found(keeping: Keeping, word: str) -> set[MemoryId]:
    hits = await keeping.index.search(word, MemoryFilter(), limit=1_000)
    return {hit.memory_id for hit in hits if hit.lexical}


@pytest.mark.requirement("M9")
async def test_another_model_fills_a_next_generation_and_is_searched_when_it_is_complete(keeping: Keeping) -> None:
    ids = await keeping.write(*(f"kangaroo {number}" for number in range(100)))
    await keeping.journal.commit([UpdateMemory(ids[0], "k", BY, content="wombat"), ForgetMemory(ids[1], "asked", BY)])
    await keeping.deliver()
    assert await keeping.migrate() == 1  # nothing to do
    keeping.index.wants = OTHER_MODEL
    keeping.index.next_embedder = HashEmbedder(96, "double/other")

    steps = await keeping.migrate()

    status = await keeping.index.status()
    assert steps >= 5  # one page at a time
    assert (status.generation, status.next, status.model, status.points) == (2, None, "double/other", 100)
    assert await words_found(keeping, "kangaroo") == set(ids[2:])
    assert await words_found(keeping, "wombat") == {ids[0]}
    assert keeping.migration.progress is None
    assert (await keeping.health.check(repair=False)).total == 0


@pytest.mark.requirement("M9")
async def test_a_rebuild_makes_the_same_index_with_the_same_model(keeping: Keeping) -> None:
    ids = await keeping.write("alpha kangaroo", "bravo kangaroo")

    await keeping.keeper.rebuild()
    assert await words_found(keeping, "kangaroo") == set(ids)
    await keeping.migrate()

    assert (await keeping.index.status()).generation == 2
    assert await words_found(keeping, "kangaroo") == set(ids)


@pytest.mark.requirement("M9")
async def test_what_happens_while_it_is_filled_is_in_the_next_generation_too(keeping: Keeping) -> None:
    ids = await keeping.write(*(f"kangaroo {number}" for number in range(120)))
    await keeping.keeper.rebuild()
    for step in range(3):
        assert await keeping.migration.step()
        await keeping.journal.commit(
            [
                UpdateMemory(ids[step], f"u{step}", BY, content=f"wombat {step}"),
                UpdateMemory(ids[119 - step], f"v{step}", BY, content=f"wombat {119 - step}"),
                ForgetMemory(ids[10 + step], "asked", BY),
                ForgetMemory(ids[100 + step], "asked", BY),
            ]
        )
        await keeping.write(f"late kangaroo {step}")
    progress = keeping.migration.progress
    assert progress is not None
    assert (progress.phase, progress.problem) == ("filling", "")
    assert 0 < progress.done < progress.total
    await keeping.migrate()

    assert (await keeping.index.status()).generation == 2
    assert len(await words_found(keeping, "kangaroo")) == 120 - 6 - 6 + 3
    assert len(await words_found(keeping, "wombat")) == 6
    assert (await keeping.health.check(repair=False)).total == 0


@pytest.mark.requirement("M9")
async def test_a_restart_goes_on_where_the_cursor_stands_and_repeats_one_page_at_most(keeping: Keeping) -> None:
    await keeping.write(*(f"kangaroo {number}" for number in range(100)))
    await keeping.keeper.rebuild()
    await keeping.migration.step()
    await keeping.migration.step()
    filled = [memory_id for page in keeping.projected for memory_id in page]
    keeping.projected.clear()

    keeping.restart()
    await keeping.migration.step()

    [page] = keeping.projected
    assert set(page).isdisjoint(filled)
    await keeping.migrate()
    assert (await keeping.index.status()).generation == 2


@pytest.mark.requirement("M9")
async def test_a_page_that_was_not_acknowledged_is_filled_again(keeping: Keeping) -> None:
    await keeping.write(*(f"kangaroo {number}" for number in range(40)))
    await keeping.keeper.rebuild()
    keeping.index.is_down = True
    keeping.restart()

    with pytest.raises(IndexUnavailable):
        await keeping.health.check(repair=False)
    keeping.index.is_down = False
    save_cursor, keeping.journal.save_cursor = keeping.journal.save_cursor, _failing  # type: ignore[method-assign]
    with pytest.raises(Unavailable):
        await keeping.migration.step()  # killed after the write, before the cursor
    keeping.journal.save_cursor = save_cursor  # type: ignore[method-assign]
    keeping.restart()
    await keeping.migrate()

    assert (await keeping.index.status()).points == 40


async def _failing(*_arguments: object) -> None:
    raise Unavailable("killed")


@pytest.mark.requirement("M9")
async def test_a_next_generation_that_was_lost_and_begun_anew_is_filled_from_the_start(keeping: Keeping) -> None:
    ids = await keeping.write(*(f"kangaroo {number}" for number in range(70)))
    await keeping.keeper.rebuild()
    await keeping.migration.step()
    await keeping.migration.step()
    await keeping.index.abandon()
    await keeping.index.begin()

    await keeping.migrate()

    assert await words_found(keeping, "kangaroo") == set(ids)


@pytest.mark.requirement("M9")
async def test_what_the_check_finds_before_the_switch_is_mended(keeping: Keeping) -> None:
    ids = await keeping.write(*(f"kangaroo {number}" for number in range(10)))
    await keeping.keeper.rebuild()
    assert await keeping.migration.step()
    beside = keeping.index.beside()
    held = await keeping.journal.all_versions(ids[:2])
    point = (await keeping.health.project(ids[:1]))[ids[0]][0]
    await beside.remove([ids[5]])
    stray = replace(held[ids[1]][0], id=MemoryId("stray"), content="stray kangaroo")
    await beside.upsert([replace(point, text_lexical="other words"), replace(point, memory=stray)])

    await keeping.migrate()

    assert (await keeping.index.status()).generation == 2
    assert await words_found(keeping, "kangaroo") == set(ids)


@pytest.mark.requirement("M9")
async def test_what_is_forgotten_between_reading_and_writing_is_not_brought_back(keeping: Keeping) -> None:
    [memory_id, _] = await keeping.write("secret kangaroo", "kangaroo")
    await keeping.keeper.rebuild()
    beside = keeping.index.beside()
    write = beside.upsert

    async def late(points: Sequence[IndexPoint]) -> None:
        if await keeping.journal.versions(memory_id):
            await keeping.journal.commit([ForgetMemory(memory_id, "asked", BY)])
            await keeping.deliver()
        await write(points)

    beside.upsert = late  # type: ignore[method-assign]

    assert await keeping.migration.step()

    assert (await beside.memory_ids(after=None, limit=10))[0] == ["m2"]


class Refusing:
    """Fails every write of some memories into the next generation; ``problem`` says how."""

    def __init__(self, keeping: Keeping, memory_ids: set[MemoryId], problem: Exception) -> None:
        self.attempts = 0
        beside = keeping.index.beside()
        write = beside.upsert

        async def upsert(points: Sequence[IndexPoint]) -> None:
            if {point.memory.id for point in points} & memory_ids:
                self.attempts += 1
                raise problem
            await write(points)

        beside.upsert = upsert  # type: ignore[method-assign]


async def keep_stepping(keeping: Keeping) -> None:
    """Step as the keeper does, through every failure."""
    for _ in range(200):
        try:
            if not await keeping.migration.step():
                return
        except IndexUnavailable:
            continue
    raise AssertionError("no end")


@pytest.mark.requirement("M11")
@pytest.mark.parametrize("problem", [IndexUnavailable("the worker has died of it"), InvalidInput("too large")])
async def test_a_memory_that_cannot_be_carried_over_holds_up_neither_the_others_nor_hides(
    keeping: Keeping, problem: Exception
) -> None:
    ids = await keeping.write(*(f"kangaroo {number}" for number in range(50)))
    await keeping.keeper.rebuild()
    refusing = Refusing(keeping, {ids[20]}, problem)

    await keep_stepping(keeping)

    status = await keeping.index.status()
    assert status.next is not None
    assert (status.generation, status.next.points) == (1, 49)
    assert refusing.attempts <= 3 + 3 + 3
    assert keeping.migration.progress is not None
    assert keeping.migration.progress.problem == "1 memories are not there as the journal has them"
    assert await words_found(keeping, "kangaroo") == set(ids)


async def test_a_memory_that_the_searched_generation_lacks_too_does_not_hold_up_the_switch(keeping: Keeping) -> None:
    ids = await keeping.write("kangaroo one", "kangaroo two", deliver=False)
    [poison, _] = await keeping.journal.outbox_due(SINK_QDRANT, now_ns=keeping.clock.now_ns(), limit=5)
    await keeping.journal.outbox_failed([poison.id], error="it kills the worker", retry_at_ns=None)
    await keeping.deliver()
    await keeping.keeper.rebuild()
    Refusing(keeping, {ids[0]}, IndexUnavailable("the worker has died of it"))

    await keep_stepping(keeping)

    assert (await keeping.index.status()).generation == 2
    assert await words_found(keeping, "kangaroo") == {ids[1]}


@pytest.mark.requirement("M16")
async def test_a_migration_that_loses_recall_is_refused_and_says_so_until_it_is_forced(keeping: Keeping) -> None:
    ids = await keeping.write("a marsupial hops", *(f"note {number}" for number in range(30)))
    case = GoldenCase("hops", (Expected(id=ids[0]),), note="by meaning")
    await keeping.evaluation.keep([case])
    keeping.index.wants = OTHER_MODEL
    keeping.index.next_embedder = BlindEmbedder(8, "double/blind")
    search = keeping.index.__class__.search

    async def without_words(self, query, where, *, limit):  # type: ignore[no-untyped-def]
        hits = await search(self, query, where, limit=100)
        judged = [replace(hit, score=hit.dense or 0.0, lexical=None) for hit in hits]
        return sorted(judged, key=lambda hit: (-hit.score, hit.memory_id))[:limit]

    keeping.index.__class__.search = without_words  # type: ignore[method-assign]
    try:
        await keeping.migrate()
        refused = await keeping.index.status()
        with pytest.raises(Refused, match="recall@10"):
            await keeping.migration.switch(force=False)
        assert await keeping.migrate() == 1  # it is not judged again and again
    finally:
        keeping.index.__class__.search = search  # type: ignore[method-assign]

    progress = keeping.migration.progress
    assert (refused.generation, refused.model) == (1, "double/hash")
    assert progress is not None
    assert progress.phase == "refused"
    assert "the golden queries find less there" in progress.problem
    health = Health(keeping.journal, keeping.index, keeping.clock, None, None, keeping.keeper)  # type: ignore[arg-type]
    document = await health.index_document()
    assert "memmcp index switch --force" in str(document["detail"])
    assert document["next"]["phase"] == "refused"  # type: ignore[index, call-overload]
    assert (await health.checks()).checks["index"].startswith("ready: generation 2 (double/blind) is not searched")

    await keeping.migration.switch(force=True)

    assert (await keeping.index.status()).model == "double/blind"
    assert keeping.migration.progress is None
    assert (await health.checks()).checks["index"] == "ok"


@pytest.mark.requirement("M16")
async def test_golden_queries_that_cannot_be_read_let_no_migration_through(keeping: Keeping) -> None:
    await keeping.write("kangaroo")
    keeping.shelf.failure = Unavailable("golden.json is damaged")
    await keeping.keeper.rebuild()

    await keeping.migrate()

    assert (await keeping.index.status()).generation == 1
    assert keeping.migration.progress is not None
    assert keeping.migration.progress.problem == "the golden queries cannot be asked: golden.json is damaged"
    keeping.shelf.failure = None
    keeping.restart()  # judged anew
    await keeping.migrate()
    assert (await keeping.index.status()).generation == 2


@pytest.mark.requirement("M16")
async def test_without_its_old_model_the_searched_generation_is_no_measure_but_the_baseline_is(
    keeping: Keeping, monkeypatch: pytest.MonkeyPatch
) -> None:
    await keeping.write("kangaroo")
    golden = await keeping.evaluation.keep([KANGAROO])
    await keeping.keeper.rebuild()
    assert golden.baseline.recall_at_10 == 1.0
    status = keeping.index.status

    async def degraded():  # type: ignore[no-untyped-def]
        return replace(await status(), state="degraded")

    monkeypatch.setattr(keeping.index, "status", degraded)
    lost = GoldenCase("kangaroo", (Expected(id=MemoryId("forgotten-since")),))
    keeping.shelf.golden = replace(golden, cases=(lost,))

    assert "when they were saved recall@5 1.000" in await keeping.evaluation.objection()
    monkeypatch.setattr(keeping.index, "status", status)
    assert await keeping.evaluation.objection() == ""


async def test_a_generation_that_an_operator_gave_up_is_not_begun_again_for_the_same_reason(keeping: Keeping) -> None:
    await keeping.write("kangaroo")
    keeping.index.wants = OTHER_MODEL
    assert await keeping.migration.step()

    await keeping.migration.abandon()

    assert not await keeping.migration.step()
    assert (await keeping.index.status()).next is None
    with pytest.raises(NotFound, match="no other generation"):
        await keeping.migration.abandon()
    with pytest.raises(NotFound, match="no other generation"):
        await keeping.migration.switch(force=True)
    keeping.index.wants = "another reason"
    assert await keeping.migration.step()


async def test_an_empty_journal_is_migrated_at_once(keeping: Keeping) -> None:
    keeping.index.wants = OTHER_MODEL

    await keeping.migrate()

    assert (await keeping.index.status()).generation == 2


async def test_filling_gives_way_to_what_has_just_been_written(
    keeping: Keeping, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 5:
            await keeping.deliver()

    await keeping.write("kangaroo")
    await keeping.keeper.rebuild()
    await keeping.write("late", deliver=False)
    monkeypatch.setattr(migration, "GIVE_WAY_S", 10)
    monkeypatch.setattr(migration.anyio, "sleep", sleep)

    assert await keeping.migration.step()

    assert waits.count(migration.GIVE_WAY_POLL_S) >= 3
    assert (await keeping.journal.outbox_stats())[SINK_QDRANT].pending == 0
