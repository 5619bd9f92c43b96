"""The contract of VectorIndex, on every body: the worker with its embedded shard, the worker with the Qdrant client
(over a socket to a loopback server; to a real one too where MEMMCP_TEST_QDRANT_URL names it and MEMMCP_TEST_QDRANT_KEY
its key), and the double in memory.
"""

import os
import uuid
from collections.abc import AsyncIterator
from contextlib import ExitStack

import anyio
import pytest
from pydantic import SecretStr
from tests.doubles.clocks import SystemClock
from tests.doubles.memories import T0_NS, a_memory
from tests.doubles.memory_index import MemoryIndex, state_of
from tests.doubles.qdrant_server import KEY, running_qdrant

from memmcp_server.adapters.index.client_store import Connection
from memmcp_server.adapters.index.options import WorkerOptions
from memmcp_server.adapters.index.texts import point_of
from memmcp_server.adapters.index.worker_index import WorkerIndex
from memmcp_server.config import EmbeddingSection, QdrantSection
from memmcp_server.domain.drift import DriftKind
from memmcp_server.domain.identifiers import MemoryId, TrajectoryId
from memmcp_server.domain.memory import Memory, MemoryFilter
from memmcp_server.errors import IndexUnavailable
from memmcp_server.ports import IndexPoint, VectorIndex

pytestmark = pytest.mark.anyio

ANY = MemoryFilter()
S = 1_000_000_000


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


SERVER_URL = os.environ.get("MEMMCP_TEST_QDRANT_URL")
SERVER_KEY = os.environ.get("MEMMCP_TEST_QDRANT_KEY")
BODIES = ["worker-edge", "worker-client", *(["worker-server"] if SERVER_URL else []), "double"]


@pytest.fixture(scope="module", params=BODIES)
async def opened(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[VectorIndex]:
    if request.param == "double":
        yield MemoryIndex(SystemClock())
        return
    with ExitStack() as held:
        url, key = None, None
        if request.param == "worker-client":
            url, key = held.enter_context(running_qdrant()).url, SecretStr(KEY)
        elif request.param == "worker-server":
            url, key = SERVER_URL, SecretStr(SERVER_KEY) if SERVER_KEY else None
        qdrant = QdrantSection(url=url, api_key=key, collection=f"memmcp_test_{uuid.uuid4().hex[:8]}")
        options = WorkerOptions(tmp_path_factory.mktemp("index"), qdrant, EmbeddingSection(allow_download=False))
        index = WorkerIndex(options, SystemClock())
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(index.run)
            await state_of(index, "ready")
            yield index
            await index.close()
        if request.param == "worker-server":
            leave_nothing(qdrant)


def leave_nothing(section: QdrantSection) -> None:
    """Remove what the tests made on somebody's server."""
    connection = Connection(section)
    with connection.client(connect=True) as client:
        for each in client.get_collections().collections:
            if each.name.startswith(section.collection):
                client.delete_collection(each.name)
    connection.close()


@pytest.fixture
async def index(opened: VectorIndex) -> AsyncIterator[VectorIndex]:
    """The module's index, emptied: making a new shard for every test would take most of the time."""
    assert (await opened.status()).points == 0
    yield opened
    await opened.remove([MemoryId(memory_id) for memory_id in WORDS + IDS])


IDS = [*(f"m{n}" for n in range(9)), *(f"t{n}" for n in range(4)), "a", "b", "m", "n"]
IDS += ["root", "deep", "other", "lonely", "step", "kept", "old", "new", "gone", "always", "until", "from", "both"]
IDS += ["fine", "two", "text", "more", "end", "c"]
WORDS = ["alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel"]


async def put(index: VectorIndex, *memories: Memory) -> None:
    assert {memory.id for memory in memories} <= {*IDS, *WORDS}
    await index.upsert([point_of(memory) for memory in memories])


async def ids(index: VectorIndex, query: str, where: MemoryFilter = ANY, limit: int = 10) -> set[str]:
    return {hit.memory_id for hit in await index.search(query, where, limit=limit)}


@pytest.mark.requirement("M4")
async def test_what_was_written_is_found_with_both_parts_of_its_score(index: VectorIndex) -> None:
    await put(index, a_memory("a", "BONK broke out on rising volume"), a_memory("b", "the wallet was refilled"))

    best = (await index.search("BONK breakout volume", ANY, limit=5))[0]

    assert (best.memory_id, best.version) == ("a", 1)
    assert best.dense is not None
    assert best.lexical is not None
    assert 0 < best.score <= 1.0001


async def test_a_hit_says_how_much_of_the_query_it_covers_and_what_stands_before_it(index: VectorIndex) -> None:
    asked, answered = a_memory("a", "Ada: Who joined you in Lisbon?"), a_memory("b", "Bo: My sister, for a week.")
    await index.upsert([point_of(asked), point_of(answered, [asked])])

    found = {hit.memory_id: hit for hit in await index.search("who joined Bo in Lisbon", ANY, limit=5)}

    assert found["b"].previous_id == "a"
    assert found["a"].previous_id is None
    for hit in found.values():
        assert hit.share is not None
        assert hit.meaning is not None
        assert 0 < hit.share <= 1
        assert 0 <= hit.meaning <= 1


async def test_a_text_that_is_not_embedded_is_found_by_its_words_alone(index: VectorIndex) -> None:
    await put(index, a_memory("step", "denied exposure_bps_max for BONK", embed=False))

    [hit] = await index.search("denied BONK", ANY, limit=5)

    assert (hit.memory_id, hit.dense) == ("step", None)
    assert hit.lexical is not None


async def test_a_kind_and_a_tag_are_words_of_the_memory_too(index: VectorIndex) -> None:
    await put(index, a_memory("a", "nothing of note", kind="postmortem", tags=("rugpull",), embed=False))

    assert await ids(index, "rugpull") == {"a"}
    assert await ids(index, "postmortem") == {"a"}


@pytest.mark.requirement("M4")
async def test_a_number_is_not_the_day_of_a_date(index: VectorIndex) -> None:
    await put(index, *(a_memory(f"m{number}", f"note number 1{number}", embed=False) for number in range(9)))

    numbered = {hit.memory_id: hit.share for hit in await index.search("note number 14", ANY, limit=9)}
    assert numbered.pop("m4") == pytest.approx(1.0)
    assert all(share is not None and share < 0.7 for share in numbered.values()), numbered  # all are of a 14th

    assert len(await ids(index, "2023-11-14")) == 9
    assert len(await ids(index, "on November 14th")) == 9


@pytest.mark.requirement("M3")
async def test_writing_the_same_version_twice_changes_nothing(index: VectorIndex) -> None:
    for _ in range(2):
        await put(index, a_memory("a", "momentum failed on thin pools"))

    hits = await index.search("momentum thin pools", ANY, limit=5)

    assert [hit.memory_id for hit in hits] == ["a"]
    assert (await index.status()).points == 1


async def test_no_more_than_the_limit_is_returned_best_first(index: VectorIndex) -> None:
    await put(index, *(a_memory(f"m{number}", f"pool depth report {number}") for number in range(9)))

    hits = await index.search("pool depth report 4", ANY, limit=4)

    assert len(hits) == 4
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


@pytest.mark.requirement("M4")
@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (ANY, {"root", "deep", "other", "lonely"}),
        (MemoryFilter(namespace="team"), {"root"}),
        (MemoryFilter(namespace="team/"), {"root", "deep"}),
        (MemoryFilter(namespace="team/desk/"), {"deep"}),
        (MemoryFilter(namespace="tea/"), set()),
        (MemoryFilter(kinds=("trade", "lesson")), {"deep", "other"}),
        (MemoryFilter(tags=("sol",)), {"root", "deep"}),
        (MemoryFilter(tags=("sol", "loss")), {"deep"}),
        (MemoryFilter(agent="cursor"), {"other"}),
        (MemoryFilter(trajectory_id=TrajectoryId("t-1")), {"deep"}),
        (MemoryFilter(namespace="team/", kinds=("note",), tags=("sol",), agent="claude"), {"root"}),
        (MemoryFilter(hidden=("team",)), {"deep", "other", "lonely"}),
        (MemoryFilter(hidden=("team/",)), {"other", "lonely"}),
        (MemoryFilter(hidden=("team/desk", "solo", "tea/", "nowhere")), {"root", "other"}),
        (MemoryFilter(namespace="team/", hidden=("team/desk/",)), {"root"}),
    ],
    ids=lambda value: "+".join(sorted(value)) if isinstance(value, set) else str(value),
)
async def test_every_condition_of_a_filter_must_be_met(
    index: VectorIndex, where: MemoryFilter, expected: set[str]
) -> None:
    await put(
        index,
        a_memory("root", "pool report", namespace="team", tags=("sol",)),
        a_memory("deep", "pool report", namespace="team/desk", kind="trade", tags=("sol", "loss"), trajectory_id="t-1"),
        a_memory("other", "pool report", namespace="teams", kind="lesson", agent="cursor"),
        a_memory("lonely", "pool report", namespace="solo", tags=("solana",)),
    )

    assert await ids(index, "pool report", where) == expected


async def test_time_bounds_hold_to_the_nanosecond(index: VectorIndex) -> None:
    await put(index, *(a_memory(f"t{n}", "tick", ts_event_ns=T0_NS + n) for n in range(4)))

    assert await ids(index, "tick", MemoryFilter(since_ns=T0_NS + 1)) == {"t1", "t2", "t3"}
    assert await ids(index, "tick", MemoryFilter(until_ns=T0_NS + 2)) == {"t0", "t1"}
    assert await ids(index, "tick", MemoryFilter(since_ns=T0_NS + 1, until_ns=T0_NS + 3)) == {"t1", "t2"}


@pytest.mark.requirement("M4")
async def test_as_of_answers_with_what_was_known_then_and_nothing_later(index: VectorIndex) -> None:
    first = a_memory("m", "the limit is five SOL", known_at_ns=T0_NS, superseded_at_ns=T0_NS + 10)
    second = a_memory("m", "the limit is nine SOL", version=2, known_at_ns=T0_NS + 10)
    await put(index, first, second)

    async def version_at(as_of_ns: int | None) -> list[int]:
        hits = await index.search("limit SOL", MemoryFilter(as_of_ns=as_of_ns), limit=5)
        return [hit.version for hit in hits]

    assert await version_at(T0_NS - 1) == []
    assert await version_at(T0_NS) == [1]
    assert await version_at(T0_NS + 9) == [1]
    assert await version_at(T0_NS + 10) == [2]
    assert await version_at(None) == [2]


async def test_a_late_older_version_never_comes_back_as_the_present_one(index: VectorIndex) -> None:
    stale = a_memory("m", "the limit is five SOL", known_at_ns=T0_NS)
    second = a_memory("m", "the limit is nine SOL", version=2, known_at_ns=T0_NS + S)
    await put(index, second)
    await put(index, stale)  # read before the update, delivered after it

    assert [hit.version for hit in await index.search("limit SOL", ANY, limit=5)] == [2]
    then = MemoryFilter(as_of_ns=T0_NS + 1)
    assert [hit.version for hit in await index.search("limit SOL", then, limit=5)] == [1]


async def test_a_new_version_ends_the_old_one_also_when_it_comes_alone(index: VectorIndex) -> None:
    await put(index, a_memory("m", "the limit is five SOL", known_at_ns=T0_NS))
    await put(index, a_memory("m", "the limit is nine SOL", version=2, known_at_ns=T0_NS + S))

    assert [hit.version for hit in await index.search("limit SOL", ANY, limit=5)] == [2]


async def test_a_superseded_version_stays_so_when_it_is_delivered_again_without_its_end(index: VectorIndex) -> None:
    await put(index, a_memory("m", "five SOL", known_at_ns=T0_NS, superseded_at_ns=T0_NS + S))
    await put(index, a_memory("m", "five SOL", known_at_ns=T0_NS))

    assert await ids(index, "five SOL") == set()


async def test_removed_memories_are_gone_in_all_versions(index: VectorIndex) -> None:
    await put(index, a_memory("m", "five SOL", known_at_ns=T0_NS, superseded_at_ns=T0_NS + S))
    await put(index, a_memory("m", "nine SOL", version=2, known_at_ns=T0_NS + S), a_memory("kept", "two SOL"))

    await index.remove([MemoryId("m"), MemoryId("never-there")])

    assert await ids(index, "SOL") == {"kept"}
    assert await ids(index, "SOL", MemoryFilter(as_of_ns=T0_NS)) == {"kept"}
    assert (await index.status()).points == 1


async def test_an_expired_memory_is_found_only_as_of_a_time_before_its_end(index: VectorIndex) -> None:
    await put(index, a_memory("m", "airdrop window", expires_at_ns=T0_NS + S))

    assert await ids(index, "airdrop window") == set()
    assert await ids(index, "airdrop window", MemoryFilter(as_of_ns=T0_NS + S - 1)) == {"m"}
    assert await ids(index, "airdrop window", MemoryFilter(as_of_ns=T0_NS + S)) == set()


@pytest.mark.requirement("M8")
async def test_a_pinned_memory_does_not_expire(index: VectorIndex) -> None:
    await put(
        index,
        a_memory("kept", "airdrop window", expires_at_ns=T0_NS + S, pinned=True),
        a_memory("gone", "airdrop window", expires_at_ns=T0_NS + S),
    )

    assert await ids(index, "airdrop window") == {"kept"}
    assert await ids(index, "airdrop window", MemoryFilter(as_of_ns=T0_NS + S)) == {"kept"}


@pytest.mark.requirement("M17")
async def test_what_holds_in_the_world_at_a_time_is_told_to_the_nanosecond(index: VectorIndex) -> None:
    await put(
        index,
        a_memory("always", "the fee is one"),
        a_memory("until", "the fee is two", valid_to_ns=T0_NS + 5),
        a_memory("from", "the fee is three", valid_from_ns=T0_NS + 5),
        a_memory("both", "the fee is four", valid_from_ns=T0_NS, valid_to_ns=T0_NS + 1),
    )

    async def at(moment_ns: int | None) -> set[str]:
        return await ids(index, "fee", MemoryFilter(valid_at_ns=moment_ns))

    assert await at(None) == {"always", "until", "from", "both"}
    assert await at(T0_NS - 1) == {"always", "until"}
    assert await at(T0_NS) == {"always", "until", "both"}
    assert await at(T0_NS + 1) == {"always", "until"}
    assert await at(T0_NS + 5) == {"always", "from"}


@pytest.mark.parametrize("query", ["the", "?!", "\x00", "naïve 🚀 ñ 漢字"])
async def test_a_query_without_useful_words_is_answered(index: VectorIndex, query: str) -> None:
    await put(index, a_memory("m", "five SOL"))

    assert await ids(index, query) <= {"m"}


async def test_clear_drops_everything_and_the_index_goes_on(index: VectorIndex) -> None:
    await put(index, a_memory("old", "five SOL"))
    await index.clear()

    assert (await index.status()).points == 0
    await put(index, a_memory("new", "five SOL"))
    assert await ids(index, "SOL") == {"new"}


async def test_a_batch_of_short_and_long_texts_is_found_one_by_one(index: VectorIndex) -> None:
    long = "trade review " * 100
    await put(index, *(a_memory(word, f"{word} {long if number % 2 else ''}") for number, word in enumerate(WORDS)))

    for word in WORDS:
        assert (await index.search(word, ANY, limit=1))[0].memory_id == word


async def test_nothing_to_write_or_remove_is_fine(index: VectorIndex) -> None:
    await index.upsert([])
    await index.remove([])

    assert (await index.status()).points == 0


@pytest.mark.requirement("M8")
async def test_what_is_alike_is_found_by_the_stored_vector_without_the_memory_itself(index: VectorIndex) -> None:
    text = "BONK breakouts fade after the funding reset"
    await put(
        index,
        a_memory("a", text),
        a_memory("b", text),
        a_memory("m", "the wallet was refilled by hand"),
        a_memory("n", text, namespace="elsewhere"),
        a_memory("lonely", text, embed=False),
    )

    near = await index.similar(MemoryId("a"), 1, MemoryFilter(namespace="default"), limit=5)

    assert near is not None
    assert near[0].memory_id == "b"
    assert near[0].dense == pytest.approx(1.0, abs=1e-3)
    assert {hit.memory_id for hit in near} == {"b", "m"}
    assert await index.similar(MemoryId("a"), 2, ANY, limit=5) is None
    assert await index.similar(MemoryId("lonely"), 1, ANY, limit=5) is None
    assert await index.similar(MemoryId("old"), 1, ANY, limit=5) is None


def wanted(*memories: Memory) -> dict[MemoryId, list[IndexPoint]]:
    points: dict[MemoryId, list[IndexPoint]] = {}
    for memory in memories:
        points.setdefault(memory.id, []).append(point_of(memory))
    return points


async def all_ids(index: VectorIndex, limit: int = 2) -> list[str]:
    found: list[str] = []
    after: str | None = None
    while True:
        page, after = await index.memory_ids(after=after, limit=limit)
        assert len(page) <= limit
        found += page
        if after is None:
            return found


@pytest.mark.requirement("M9")
async def test_what_differs_from_what_should_be_there_is_told_for_each_memory(index: VectorIndex) -> None:
    old = a_memory("two", "five SOL", known_at_ns=T0_NS, superseded_at_ns=T0_NS + S)
    new = a_memory("two", "nine SOL", version=2, known_at_ns=T0_NS + S)
    await put(index, a_memory("fine", "alpha"), old, new, a_memory("text", "before"), a_memory("more", "one"))
    await put(index, a_memory("more", "two", version=2, known_at_ns=T0_NS + S), a_memory("end", "bravo"))
    await put(index, a_memory("gone", "charlie"))

    told = await index.compare(
        {
            **wanted(a_memory("fine", "alpha"), old, new),
            **wanted(a_memory("text", "after"), a_memory("more", "one"), a_memory("absent", "delta")),
            **wanted(a_memory("end", "bravo", superseded_at_ns=T0_NS + S)),
            MemoryId("gone"): [],
            MemoryId("never"): [],
        }
    )

    assert told == {
        "text": DriftKind.OUTDATED,
        "more": DriftKind.SURPLUS,
        "absent": DriftKind.MISSING,
        "end": DriftKind.OUTDATED,
        "gone": DriftKind.SURPLUS,
    }
    assert await index.compare({}) == {}


@pytest.mark.requirement("M9")
async def test_every_memory_of_the_index_comes_by_in_pages(index: VectorIndex) -> None:
    assert await all_ids(index) == []
    names = [f"m{number}" for number in range(7)]
    await put(index, *(a_memory(name, "tick") for name in names))
    await put(index, a_memory("m0", "tock", version=2, known_at_ns=T0_NS + S))

    found = await all_ids(index)

    assert set(found) == set(names)
    assert len(found) <= 8
    assert await index.memory_ids(after=None, limit=100, lacking_vector=True) == ([], None)


async def worded(index: VectorIndex, word: str) -> set[str]:
    return {hit.memory_id for hit in await index.search(word, ANY, limit=10) if hit.lexical is not None}


@pytest.fixture
async def two(index: VectorIndex) -> AsyncIterator[VectorIndex]:
    """An index that holds two memories, with a next generation that holds nothing yet."""
    await put(index, a_memory("a", "alpha kangaroo"), a_memory("b", "bravo kangaroo"))
    await index.begin()
    yield index
    await index.abandon()


@pytest.mark.requirement("M9")
async def test_while_a_next_generation_is_filled_the_first_one_answers(two: VectorIndex) -> None:
    before = await two.status()
    assert before.next is not None
    assert (before.points, before.next.points) == (2, 0)
    assert before.next.generation > before.generation
    assert before.next.token

    await two.beside().upsert([point_of(a_memory("a", "alpha kangaroo"))])

    assert await worded(two, "kangaroo") == {"a", "b"}
    assert await worded(two.beside(), "kangaroo") == {"a"}
    assert set(await all_ids(two.beside())) == {"a"}
    differing = await two.beside().compare(wanted(a_memory("a", "alpha kangaroo"), a_memory("b", "bravo kangaroo")))
    assert differing == {"b": DriftKind.MISSING}
    assert (await two.beside().status()).points == 1
    await two.begin()  # it goes on
    again = await two.status()
    assert again.next is not None
    assert (again.next.token, again.next.points) == (before.next.token, 1)


@pytest.mark.requirement("M9")
async def test_writes_and_removals_go_to_both_generations(two: VectorIndex) -> None:
    await two.beside().upsert([point_of(a_memory("a", "alpha kangaroo"))])
    await put(two, a_memory("new", "new kangaroo"))
    await put(two, a_memory("b", "bravo wombat", version=2, known_at_ns=T0_NS + S))

    assert await worded(two, "kangaroo") == await worded(two.beside(), "kangaroo") == {"a", "new"}
    await two.remove([MemoryId("a")])
    assert await worded(two, "kangaroo") == await worded(two.beside(), "kangaroo") == {"new"}


@pytest.mark.requirement("M9")
async def test_after_the_switch_the_next_generation_is_searched_and_the_old_one_is_gone(two: VectorIndex) -> None:
    status = await two.status()
    assert status.next is not None
    await two.beside().upsert([point_of(a_memory("b", "bravo kangaroo"))])

    await two.switch()

    after = await two.status()
    assert (after.generation, after.next, after.points) == (status.next.generation, None, 1)
    assert await worded(two, "kangaroo") == {"b"}
    await put(two, a_memory("c", "charlie kangaroo"))
    assert await worded(two, "kangaroo") == {"b", "c"}
    with pytest.raises(IndexUnavailable):
        await two.beside().search("kangaroo", ANY, limit=1)
    with pytest.raises(IndexUnavailable):
        await two.switch()


@pytest.mark.requirement("M9")
async def test_a_generation_that_is_given_up_leaves_the_first_as_it_was(two: VectorIndex) -> None:
    number = (await two.status()).next
    await two.abandon()

    assert await worded(two, "kangaroo") == {"a", "b"}
    assert (await two.status()).next is None
    await two.abandon()  # there is none: nothing to do
    await two.begin()
    following = (await two.status()).next
    assert number is not None
    assert following is not None
    assert following.token != number.token
    assert following.points == 0


@pytest.mark.requirement("M8")
async def test_a_purge_leaves_nothing_of_removed_points_and_everything_of_the_others(index: VectorIndex) -> None:
    first = a_memory("m", "the vault is behind the mirror", known_at_ns=T0_NS, superseded_at_ns=T0_NS + S)
    await put(index, first, a_memory("m", "the vault moved", version=2, known_at_ns=T0_NS + S))
    await put(
        index, a_memory("kept", "the vault has two keys"), a_memory("old", "five SOL", superseded_at_ns=T0_NS + 9)
    )
    await index.remove([MemoryId("m")])

    purge = await index.purge({MemoryId("m"): 2})

    assert (purge.windows, purge.residues) == (2, 0)
    assert "delete" in purge.steps
    assert (purge.files > 0) is (purge.store == "qdrant-edge")
    assert bool(purge.note) is (purge.store.startswith("qdrant-") and purge.store != "qdrant-edge")
    assert await ids(index, "vault") == {"kept"}
    assert await ids(index, "five SOL", MemoryFilter(as_of_ns=T0_NS + 1)) >= {"old"}
    assert (await index.status()).points == 2


@pytest.mark.requirement("M8")
async def test_searches_and_writes_go_on_while_an_index_is_purged(index: VectorIndex) -> None:
    await put(index, *(a_memory(word, f"{word} report", embed=False) for word in WORDS))
    await index.remove([MemoryId("alpha")])
    seen: list[set[str]] = []

    async def purge() -> None:
        await index.purge({MemoryId("alpha"): 1})

    async def work() -> None:
        await put(index, a_memory("new", "report of the night", embed=False))
        await index.remove([MemoryId("bravo")])
        seen.append(await ids(index, "report"))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(purge)
        tasks.start_soon(work)

    left = {*WORDS, "new"} - {"alpha", "bravo"}
    assert seen == [left]
    assert await ids(index, "report") == left
