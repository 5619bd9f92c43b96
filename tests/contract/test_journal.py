"""What every body of ``ports.Journal`` promises about memories."""

from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from tests.support.journals import T0_NS, Bench, a_draft, sqlite_bench

from memmcp_server.domain.identifiers import MemoryId, Namespace, Seq, TrajectoryId
from memmcp_server.domain.memory import MemoryFilter, Provenance, Trust
from memmcp_server.domain.telemetry import RecordSnapshot
from memmcp_server.domain.trajectory import CloseTrajectory, OpenTrajectory
from memmcp_server.errors import IdempotencyConflict, InvalidInput, NotFound
from memmcp_server.ports import LexicalScope

pytestmark = pytest.mark.anyio
EVERYTHING = MemoryFilter()


@pytest.mark.requirement("M2")
async def test_an_acknowledged_memory_is_read_back_whole_after_reopening(bench: Bench) -> None:
    draft = a_draft(
        "Bought BONK: über 100% sure\n\ttwo lines",
        namespace="strategies/momentum",
        kind="decision",
        tags=("bonk", "SOL"),
        metadata={"score": 0.5, "nested": {"list": [1, None, True]}, "text": "ü"},
        expires_at_ns=T0_NS + 5,
        provenance=Provenance("claude", "s-1", "memory_write", "chart", Trust.UNTRUSTED),
        embed=False,
    )
    [acknowledged] = await bench.journal.commit([draft])
    async with bench.reopen() as reopened:
        memory = await reopened.memory(acknowledged.id)
    assert memory is not None
    assert memory.id == acknowledged.id
    assert (memory.seq, memory.version, memory.known_at_ns) == (acknowledged.seq, 1, bench.clock.now_ns())
    for name in ("content", "namespace", "kind", "tags", "metadata", "expires_at_ns", "ts_event_ns", "embed"):
        assert getattr(memory, name) == getattr(draft, name), name
    assert memory.provenance == draft.provenance
    assert memory.superseded_at_ns is None


@pytest.mark.requirement("M3")
async def test_the_same_key_writes_once_and_returns_the_first_acknowledgement(bench: Bench) -> None:
    [first] = await bench.journal.commit([a_draft("once", "k", ts_event_ns=1)])
    bench.clock.advance(1)
    [again] = await bench.journal.commit([a_draft("once", "k", ts_event_ns=2)])
    assert again.duplicate
    assert (again.id, again.seq, again.version, again.known_at_ns) == (first.id, first.seq, 1, first.known_at_ns)
    assert not first.duplicate
    assert await bench.journal.count(EVERYTHING) == 1
    assert await bench.journal.horizon() == first.seq


@pytest.mark.requirement("M3")
async def test_a_key_twice_in_one_commit_writes_once(bench: Bench) -> None:
    first, again = await bench.journal.commit([a_draft("once", "k"), a_draft("once", "k")])
    assert (again.id, again.duplicate) == (first.id, True)
    assert await bench.journal.count(EVERYTHING) == 1


@pytest.mark.parametrize("changed", [{"agent": "cursor"}, {"namespace": "team"}])
async def test_a_key_belongs_to_its_agent_and_namespace(bench: Bench, changed: dict[str, str]) -> None:
    [first] = await bench.journal.commit([a_draft("mine", "k")])
    [other] = await bench.journal.commit([a_draft("theirs", "k", **changed)])
    assert other.id != first.id
    assert not other.duplicate


@pytest.mark.requirement("M3")
@pytest.mark.parametrize(
    "changed",
    [{"kind": "lesson"}, {"tags": ("b",)}, {"metadata": {"a": 2}}, {"trajectory_id": "t"}],
    ids=["kind", "tags", "metadata", "trajectory"],
)
async def test_the_same_key_with_anything_else_in_it_is_a_conflict(bench: Bench, changed: dict[str, object]) -> None:
    await bench.journal.commit([a_draft("same", "k", tags=("a",), metadata={"a": 1})])
    with pytest.raises(IdempotencyConflict):
        await bench.journal.commit([a_draft("same", "k", **{"tags": ("a",), "metadata": {"a": 1}, **changed})])


@pytest.mark.requirement("M3")
async def test_a_conflict_names_both_and_writes_nothing_of_its_commit(bench: Bench) -> None:
    [held] = await bench.journal.commit([a_draft("the first text", "k")])
    with pytest.raises(IdempotencyConflict) as caught:
        await bench.journal.commit(
            [a_draft("innocent", trajectory_id="t-new"), a_draft("another text", "k"), a_draft("never reached")]
        )
    assert held.id in str(caught.value)
    assert "the first text" in str(caught.value)
    assert "another text" in str(caught.value)
    assert await bench.journal.count(EVERYTHING) == 1
    assert await bench.journal.trajectory(TrajectoryId("t-new")) is None
    [after] = await bench.journal.commit([a_draft("innocent")])
    assert not after.duplicate


async def test_a_failed_commit_leaves_its_keys_free(bench: Bench) -> None:
    unknown = CloseTrajectory(TrajectoryId("nowhere"), "won", "closed", T0_NS)
    with pytest.raises(NotFound, match="nowhere"):
        await bench.journal.commit([a_draft("kept back", "k"), unknown])
    [written] = await bench.journal.commit([a_draft("kept back", "k")])
    assert not written.duplicate
    assert await bench.journal.count(EVERYTHING) == 1


async def test_an_empty_commit_does_nothing(bench: Bench) -> None:
    assert await bench.journal.commit([]) == []
    assert await bench.journal.horizon() == 0


async def test_seqs_grow_in_the_order_of_commits_and_known_at_never_goes_back(bench: Bench) -> None:
    [first] = await bench.journal.commit([a_draft("1")])
    bench.clock.advance(-3_600)
    second, third = await bench.journal.commit([a_draft("2"), a_draft("3")])
    assert first.seq < second.seq < third.seq
    assert first.known_at_ns <= second.known_at_ns <= third.known_at_ns
    assert await bench.journal.horizon() == third.seq


async def test_concurrent_writers_of_one_key_get_one_memory(bench: Bench) -> None:
    ids: set[MemoryId] = set()
    fresh: list[bool] = []

    async def write() -> None:
        [acknowledged] = await bench.journal.commit([a_draft("same", "k")])
        ids.add(acknowledged.id)
        fresh.append(not acknowledged.duplicate)

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            for _ in range(40):
                tasks.start_soon(write)
    assert len(ids) == 1
    assert sum(fresh) == 1


async def test_unknown_ids_are_nothing_and_known_ones_keep_the_order_asked_for(bench: Bench) -> None:
    acknowledged = await bench.journal.commit([a_draft("a"), a_draft("b"), a_draft("c")])
    a, b, c = (each.id for each in acknowledged)
    found = await bench.journal.memories([c, MemoryId("nope"), a, b])
    assert [memory.content for memory in found] == ["c", "a", "b"]
    assert await bench.journal.memories([]) == []
    assert await bench.journal.memory(MemoryId("nope")) is None
    assert await bench.journal.memory(a, 2) is None
    assert await bench.journal.versions(MemoryId("nope")) == []


async def test_pages_run_through_everything_once_in_both_directions(bench: Bench) -> None:
    await bench.journal.commit([a_draft(str(number)) for number in range(7)])
    for newest_first in (False, True):
        seen: list[str] = []
        after: Seq | None = None
        while part := await bench.journal.page(EVERYTHING, after=after, limit=3, newest_first=newest_first):
            seen += [memory.content for memory in part]
            after = part[-1].seq
        expected = [str(number) for number in range(7)]
        assert seen == (expected[::-1] if newest_first else expected)


FILTERS = {
    "namespace": (MemoryFilter(namespace="team"), {"root"}),
    "subtree": (MemoryFilter(namespace="team/"), {"root", "leaf"}),
    "no subtree of a like name": (MemoryFilter(namespace="te/"), set()),
    "kinds": (MemoryFilter(kinds=("lesson", "digest")), {"leaf", "like"}),
    "one tag": (MemoryFilter(tags=("sol",)), {"root"}),
    "a tag with a percent sign": (MemoryFilter(tags=("100%",)), {"leaf"}),
    "all tags": (MemoryFilter(tags=("sol", "hot")), {"root"}),
    "tags in another case": (MemoryFilter(tags=("SOL",)), {"like"}),
    "part of a tag": (MemoryFilter(tags=("so",)), set()),
    "agent": (MemoryFilter(agent="cursor"), {"like"}),
    "since is inclusive": (MemoryFilter(since_ns=20), {"leaf", "like"}),
    "until is exclusive": (MemoryFilter(until_ns=20), {"root"}),
    "trajectory": (MemoryFilter(trajectory_id=TrajectoryId("t")), {"like"}),
    "several": (MemoryFilter(namespace="team/", since_ns=10, kinds=("lesson",)), {"leaf"}),
}


@pytest.mark.requirement("M4")
async def test_a_filter_lets_through_what_meets_every_condition(bench: Bench) -> None:
    like = a_draft("like", namespace="teams", tags=("SOL",), kind="digest", agent="cursor", ts_event_ns=30)
    await bench.journal.commit(
        [
            a_draft("root", namespace="team", tags=("sol", "hot"), ts_event_ns=10),
            a_draft("leaf", namespace="team/alpha", tags=("100%",), kind="lesson", ts_event_ns=20),
            replace(like, trajectory_id=TrajectoryId("t")),
        ]
    )
    found: dict[str, set[str]] = {}
    for name, (where, _) in FILTERS.items():
        rows = await bench.journal.page(where, after=None, limit=10, newest_first=True)
        assert all(where.admits(memory) for memory in rows), name
        assert await bench.journal.count(where) == len(rows), name
        found[name] = {memory.content for memory in rows if memory.kind != "trajectory"}
    assert found == {name: expected for name, (_, expected) in FILTERS.items()}


WORDS: list[tuple[list[str], set[str]]] = [
    (["bonk"], {"BONK up 5%", "sold Bonk_2"}),
    (["5%"], {"BONK up 5%"}),
    (["bonk_2"], {"sold Bonk_2"}),
    (["o_k"], set()),
    (["STRASSE", "straße"], {"Die STRAßE runter"}),
    (["bonk", "die"], {"BONK up 5%", "sold Bonk_2", "Die STRAßE runter"}),
    (["a\\b"], {"path a\\b"}),
    (["whale"], {"tagged"}),
    (["nothing"], set()),
    ([], set()),
]


@pytest.mark.requirement("M4")
async def test_words_are_found_whatever_their_case_and_taken_literally(bench: Bench) -> None:
    texts = ["BONK up 5%", "sold Bonk_2", "Die STRAßE runter", "path a\\b"]
    await bench.journal.commit([*map(a_draft, texts), a_draft("tagged", tags=("Whale",))])
    found = [
        {memory.content for memory in await bench.journal.lexical(words, EVERYTHING, scope="all", limit=10)}
        for words, _ in WORDS
    ]
    assert found == [expected for _, expected in WORDS]


@pytest.mark.requirement("M4")
async def test_as_of_answers_with_what_was_known_then_and_nothing_later(bench: Bench) -> None:
    opened = OpenTrajectory(TrajectoryId("t"), Namespace("default"), "trade", "BONK", "in the trade", T0_NS)
    await bench.journal.commit([opened])
    before_ns = bench.clock.now_ns() - 1
    open_ns = bench.clock.now_ns()
    bench.clock.advance(10)
    await bench.journal.commit([CloseTrajectory(opened.id, "won", "out with a win", T0_NS), a_draft("later")])
    closed_ns = bench.clock.now_ns()

    async def known(as_of_ns: int | None) -> list[str]:
        where = MemoryFilter(as_of_ns=as_of_ns)
        return [m.content for m in await bench.journal.page(where, after=None, limit=10, newest_first=False)]

    assert await known(before_ns) == []
    assert await known(open_ns) == ["in the trade"]
    assert await known(closed_ns - 1) == ["in the trade"]
    assert await known(closed_ns) == ["out with a win", "later"]
    assert await known(None) == ["out with a win", "later"]


@pytest.mark.requirement("M1")
async def test_the_unindexed_scope_holds_what_the_index_has_not_got(bench: Bench) -> None:
    await bench.journal.commit([a_draft("apple one"), a_draft("apple two"), a_draft("apple three", namespace="team")])

    async def found(where: MemoryFilter = EVERYTHING, limit: int = 10) -> list[str]:
        rows = await bench.journal.lexical(["apple"], where, scope="unindexed", limit=limit)
        return [memory.content for memory in rows]

    assert await found() == ["apple three", "apple two", "apple one"]
    assert await found(limit=1) == ["apple three"]
    assert await found(MemoryFilter(namespace="default")) == ["apple two", "apple one"]
    first, *rest = await bench.journal.outbox_due("qdrant", now_ns=bench.clock.now_ns(), limit=10)
    await bench.journal.outbox_delivered([first.id])
    assert await found() == ["apple three", "apple two"]
    await bench.journal.outbox_failed([each.id for each in rest], error="poison", retry_at_ns=None)
    assert await found() == ["apple three", "apple two"]  # dead entries never reached the index either


async def test_a_lone_surrogate_or_nul_is_refused_and_harms_nobody(bench: Bench) -> None:
    for bad in ("cut \ud83d", "nul \x00"):
        with pytest.raises(InvalidInput):
            await bench.journal.commit([a_draft(bad, "bad")])
    with pytest.raises(InvalidInput, match="64-bit"):
        await bench.journal.commit([a_draft("large", metadata={"amount": 2**70})])
    with pytest.raises(InvalidInput, match="ts_event_ns"):
        await bench.journal.commit([a_draft("late", ts_event_ns=2**63)])
    await bench.journal.commit([a_draft("good")])
    assert await bench.journal.count(EVERYTHING) == 1


async def test_a_waiter_is_woken_by_the_commit_and_told_the_horizon(bench: Bench) -> None:
    [first] = await bench.journal.commit([a_draft("1")])
    woken: list[int] = []

    async def wait() -> None:
        woken.append(await bench.journal.wait_for_commit(first.seq, 30))

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            tasks.start_soon(wait)
            await anyio.lowlevel.checkpoint()
            [second] = await bench.journal.commit([a_draft("2")])
    assert woken == [second.seq, second.seq]
    assert await bench.journal.wait_for_commit(first.seq, 30) == second.seq
    assert await bench.journal.wait_for_commit(second.seq, 0.01) == second.seq


@pytest.mark.requirement("M9")
async def test_a_backup_made_while_writing_holds_everything_acknowledged_before_it(
    bench: Bench, tmp_path: Path
) -> None:
    drafts = [a_draft(str(number), tags=("t",)) for number in range(50)]
    snapshot = RecordSnapshot("local", "1", T0_NS, {"equity": 2})
    await bench.journal.commit([*drafts, snapshot, OpenTrajectory(TrajectoryId("t"), Namespace("n"), "k", "", "o", 1)])
    copies: list[Path] = []

    async def back_up() -> None:
        copies.append(await bench.journal.backup(tmp_path / "copies"))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(back_up)
        for number in range(20):
            await bench.journal.commit([a_draft(f"beside {number}")])
    [copy] = copies
    assert copy.parent == tmp_path / "copies"
    assert copy.stat().st_mode & 0o077 == 0 or bench.body == "memory"
    assert [path.name for path in copy.parent.iterdir()] == [copy.name]
    if bench.body == "memory":
        return
    restored = tmp_path / "restored"
    restored.mkdir()
    copy.rename(restored / "journal.db")
    async with sqlite_bench(restored) as opened:
        found = await opened.journal.page(MemoryFilter(tags=("t",)), after=None, limit=100, newest_first=False)
        assert [memory.content for memory in found] == [draft.content for draft in drafts]
        assert [each.body for each in await opened.journal.desks()] == [{"equity": 2}]
        [written] = await opened.journal.commit([a_draft("0", tags=("t",))])
        assert written.duplicate
        [fresh] = await opened.journal.commit([a_draft("after the restore")])
        assert fresh.seq > found[-1].seq


@pytest.mark.requirement("M1")
@pytest.mark.parametrize("scope", ["unindexed", "all"])
async def test_many_newer_rows_with_a_common_word_do_not_hide_the_one_with_every_word(
    bench: Bench, scope: LexicalScope
) -> None:
    await bench.journal.commit([a_draft("zebra momentum lesson")])
    await bench.journal.commit([a_draft(f"momentum signal {number}") for number in range(30)])
    words = ["momentum", "zebra"]
    found = [each.content for each in await bench.journal.lexical(words, EVERYTHING, scope=scope, limit=3)]
    assert found == ["zebra momentum lesson", "momentum signal 29", "momentum signal 28"]


@pytest.mark.requirement("M1")
@pytest.mark.parametrize("scope", ["unindexed", "all"])
@pytest.mark.parametrize(
    "content", ["note 26 of the ledger", "note 26, of the ledger", "(26) the ledger's note", "ledger: note #26"]
)
async def test_a_word_of_its_own_comes_before_newer_ones_that_it_is_only_a_part_of(
    bench: Bench, scope: LexicalScope, content: str
) -> None:
    await bench.journal.commit([a_draft(content)])
    await bench.journal.commit([a_draft(f"note {number} of the ledger") for number in (126, 260, 2_600, 926)])
    words = ["note", "26", "ledger"]
    [first, *_] = await bench.journal.lexical(words, EVERYTHING, scope=scope, limit=2)
    assert first.content == content
