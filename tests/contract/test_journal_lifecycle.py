"""What every body of ``ports.Journal`` promises about what becomes of memories after they were written."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from tests.support.journals import SECOND_NS, T0_NS, Bench, a_draft

from memmcp_server.domain.identifiers import MemoryId, Namespace, Seq, TrajectoryId
from memmcp_server.domain.lifecycle import (
    ForgetMemory,
    LinkKind,
    LinkMemories,
    MarkKind,
    MarkMemory,
    MergeMemory,
    RecordAudit,
    RestoreMemory,
    SetPolicy,
    UpdateMemory,
)
from memmcp_server.domain.memory import Memory, MemoryFilter, Provenance, Trust
from memmcp_server.domain.summary import Count
from memmcp_server.domain.trajectory import CloseTrajectory, OpenTrajectory
from memmcp_server.errors import IdempotencyConflict, InvalidInput, NotFound

pytestmark = pytest.mark.anyio
ME = Provenance(agent="cursor", session="s-2", tool="memory_update", source="chart")
EVERYTHING = MemoryFilter()


async def written(bench: Bench, *contents: str, **fields: Any) -> list[MemoryId]:
    return [each.id for each in await bench.journal.commit([a_draft(content, **fields) for content in contents])]


async def current(bench: Bench, where: MemoryFilter = EVERYTHING) -> list[str]:
    rows = await bench.journal.page(where, after=None, limit=100, newest_first=False)
    assert await bench.journal.count(where) == len(rows)
    return [memory.content for memory in rows]


async def then(bench: Bench, as_of_ns: int) -> list[str]:
    return await current(bench, MemoryFilter(as_of_ns=as_of_ns))


async def last(bench: Bench, memory_id: MemoryId) -> Memory:
    return (await bench.journal.all_versions([memory_id]))[memory_id][-1]


async def queued(bench: Bench) -> list[tuple[MemoryId, int]]:
    entries = await bench.journal.outbox_entries("qdrant", dead=None, limit=100)
    return [(entry.memory_id, entry.version) for entry in entries]


async def deliver_all(bench: Bench) -> None:
    entries = await bench.journal.outbox_entries("qdrant", dead=None, limit=1_000)
    await bench.journal.outbox_delivered([entry.id for entry in entries])


def update(memory_id: MemoryId, **fields: Any) -> UpdateMemory:
    return UpdateMemory(memory_id, key=fields.pop("key", repr(fields)), provenance=ME, **fields)


def forget(memory_id: MemoryId) -> ForgetMemory:
    return ForgetMemory(memory_id, "asked for", ME)


@pytest.mark.requirement("M8")
async def test_an_update_is_the_next_version_and_the_ones_before_stay(bench: Bench) -> None:
    [memory_id] = await written(bench, "fee is 25 bps", tags=("fee",), metadata={"pool": 1}, importance=70)
    first_ns = bench.clock.now_ns()
    bench.clock.advance(10)
    [changed] = await bench.journal.commit([update(memory_id, content="fee is 30 bps", pinned=True)])
    assert (changed.id, changed.version, changed.duplicate) == (memory_id, 2, False)
    [one, two] = await bench.journal.versions(memory_id)
    assert (one.content, one.superseded_at_ns) == ("fee is 25 bps", bench.clock.now_ns())
    assert (two.content, two.tags, two.metadata) == ("fee is 30 bps", ("fee",), {"pool": 1})
    assert (two.importance, two.pinned, two.provenance) == (70, True, ME)
    assert (one.position, two.position) == (one.seq, one.seq)
    assert await current(bench) == ["fee is 30 bps"]
    assert await then(bench, first_ns) == ["fee is 25 bps"]


@pytest.mark.requirement("M8")
async def test_an_update_changes_what_it_names_and_clears_what_it_is_told(bench: Bench) -> None:
    times = {"expires_at_ns": T0_NS + 9, "valid_from_ns": T0_NS + 1, "valid_to_ns": T0_NS + 8}
    [memory_id] = await written(bench, "fact", **times)
    await bench.journal.commit(
        [update(memory_id, tags=("new",), metadata={"a": 1}, kind="fact", valid_to_ns=T0_NS + 7)]
    )
    changed = await last(bench, memory_id)
    assert (changed.content, changed.tags, changed.metadata, changed.kind) == ("fact", ("new",), {"a": 1}, "fact")
    assert (changed.expires_at_ns, changed.valid_from_ns, changed.valid_to_ns) == (T0_NS + 9, T0_NS + 1, T0_NS + 7)
    await bench.journal.commit([update(memory_id, cleared=frozenset({"expires_at", "valid_to"}))])
    cleared = await last(bench, memory_id)
    assert (cleared.expires_at_ns, cleared.valid_from_ns, cleared.valid_to_ns) == (None, T0_NS + 1, None)


@pytest.mark.requirement("M3")
async def test_a_repeated_update_changes_nothing_and_another_under_its_key_is_a_conflict(bench: Bench) -> None:
    [memory_id] = await written(bench, "a")
    [first] = await bench.journal.commit([update(memory_id, content="b", key="k")])
    [again] = await bench.journal.commit([update(memory_id, content="b", key="k")])
    assert (again.seq, again.version, again.duplicate) == (first.seq, 2, True)
    with pytest.raises(IdempotencyConflict):
        await bench.journal.commit([update(memory_id, content="c", key="k")])


async def test_an_update_of_a_version_that_is_not_the_last_any_more_is_refused(bench: Bench) -> None:
    [memory_id] = await written(bench, "a")
    await bench.journal.commit([update(memory_id, content="b", expected_version=1)])
    with pytest.raises(IdempotencyConflict, match="version 2"):
        await bench.journal.commit([update(memory_id, content="c", expected_version=1)])
    assert await current(bench) == ["b"]


async def test_only_a_current_memory_that_is_no_head_of_a_trajectory_can_be_updated(bench: Bench) -> None:
    old, _ = await written(bench, "old", "other")
    await bench.journal.commit([a_draft("new", supersedes=(old,)), a_draft("step", trajectory_id="t")])
    for memory_id, problem in ((old, "superseded"), (MemoryId("t"), "trajectory")):
        with pytest.raises(InvalidInput, match=problem if bench.body != "memory" else None):
            await bench.journal.commit([update(memory_id, content="x")])
    with pytest.raises(NotFound, match="nope"):
        await bench.journal.commit([update(MemoryId("nope"), content="x")])


@pytest.mark.requirement("M17")
async def test_a_superseded_memory_is_not_current_and_as_of_still_knows_it(bench: Bench) -> None:
    [old] = await written(bench, "we sell at +20 %")
    before_ns = bench.clock.now_ns()
    bench.clock.advance(10)
    [new] = await written(bench, "we sell at +30 %", supersedes=(old,))
    assert await current(bench) == ["we sell at +30 %"]
    assert await then(bench, before_ns) == ["we sell at +20 %"]
    assert await then(bench, bench.clock.now_ns()) == ["we sell at +30 %"]
    assert await bench.journal.memory(old) is None
    assert (await last(bench, old)).superseded_at_ns == bench.clock.now_ns()
    [link] = await bench.journal.links([old])
    assert (link.kind, link.from_id, link.to_id, link.to_version) == (LinkKind.SUPERSEDES, new, old, 1)
    assert await bench.journal.links([new]) == [link]


async def test_what_supersedes_has_to_exist_and_be_another_one(bench: Bench) -> None:
    [memory_id] = await written(bench, "a")
    with pytest.raises(NotFound, match="nope"):
        await bench.journal.commit([a_draft("b", supersedes=(MemoryId("nope"),))])
    with pytest.raises(InvalidInput):
        await bench.journal.commit([update(memory_id, content="b", supersedes=(memory_id,))])
    await bench.journal.commit([a_draft("step", trajectory_id="t")])
    with pytest.raises(InvalidInput):
        await bench.journal.commit([a_draft("c", supersedes=(MemoryId("t"),))])
    assert "b" not in await current(bench)


@pytest.mark.requirement("M11")
async def test_every_change_of_what_is_current_is_queued_for_the_sinks(bench: Bench) -> None:
    old, kept, gone = await written(bench, "old", "kept", "gone")
    await deliver_all(bench)
    await bench.journal.commit([update(kept, content="kept on")])
    [new] = await written(bench, "new", supersedes=(old,))
    assert await queued(bench) == [(kept, 2), (new, 1), (old, 1)]
    await deliver_all(bench)
    await bench.journal.commit([forget(gone)])
    await bench.journal.commit([RestoreMemory(old, "it held after all", ME)])
    assert await queued(bench) == [(gone, 1), (old, 2)]


@pytest.mark.requirement("M8")
async def test_a_merged_memory_makes_way_and_comes_back(bench: Bench) -> None:
    kept, copy = await written(bench, "BONK fades after 14:00", "BONK fades after 14:00 UTC")
    merge = MergeMemory(copy, kept, "cosine 0.98", ME)
    [merged] = await bench.journal.commit([merge])
    assert not merged.duplicate
    assert await current(bench) == ["BONK fades after 14:00"]
    assert (await bench.journal.commit([merge]))[0].duplicate
    [entry] = await bench.journal.audit(action="merge", limit=10)
    assert (entry.memory_id, entry.reason, entry.detail, entry.agent) == (copy, "cosine 0.98", {"into": kept}, "cursor")
    bench.clock.advance(5)
    [restored] = await bench.journal.commit([RestoreMemory(copy, "not the same", ME)])
    assert (restored.id, restored.version) == (copy, 2)
    assert sorted(await current(bench)) == ["BONK fades after 14:00", "BONK fades after 14:00 UTC"]
    assert await bench.journal.links([copy, kept]) == []
    assert (await bench.journal.commit([RestoreMemory(copy, "again", ME)]))[0].duplicate
    [again] = await bench.journal.commit([merge])
    assert not again.duplicate
    assert len(await bench.journal.links([copy])) == 1


async def test_records_of_trajectories_are_never_merged(bench: Bench) -> None:
    step, other = await written(bench, "bought", "bought BONK", trajectory_id="t")
    [note] = await written(bench, "bought it")
    for command in (
        MergeMemory(step, other, "", ME),
        MergeMemory(note, step, "", ME),
        MergeMemory(MemoryId("t"), note, "", ME),
        MergeMemory(note, note, "", ME),
    ):
        with pytest.raises(InvalidInput):
            await bench.journal.commit([command])


@pytest.mark.requirement("M8")
async def test_a_forgotten_memory_is_in_no_table_but_the_audit(bench: Bench) -> None:
    kept, gone = await written(bench, "kept", "gone", tags=("t",))
    await bench.journal.commit([update(gone, content="gone for good"), MarkMemory(gone, MarkKind.CONFIRMED, "me")])
    bench.clock.advance(1)
    [forgotten] = await bench.journal.commit([forget(gone)])
    assert (forgotten.id, forgotten.version, forgotten.duplicate) == (gone, 2, False)
    assert await bench.journal.horizon() == forgotten.seq
    assert await bench.journal.versions(gone) == []
    assert await current(bench) == ["kept"]
    assert await then(bench, bench.clock.now_ns() - SECOND_NS) == ["kept"]
    assert await bench.journal.forgotten([gone, kept]) == {gone}
    assert (await bench.journal.surroundings([gone], as_of_ns=None)).standings == {}
    [entry] = await bench.journal.audit(memory_id=gone, limit=10)
    assert (entry.action, entry.reason, entry.agent, entry.seq) == ("forget", "asked for", "cursor", forgotten.seq)
    assert (entry.namespace, entry.kind, entry.detail) == ("default", "note", {"versions": 2})
    [again] = await bench.journal.commit([forget(gone)])
    assert (again.duplicate, again.seq) == (True, forgotten.seq)
    with pytest.raises(NotFound):
        await bench.journal.commit([forget(MemoryId("nope"))])
    with pytest.raises(NotFound):
        await bench.journal.commit([a_draft("about it", cites=(gone,))])


@pytest.mark.requirement("M3")
async def test_forgetting_frees_the_key_so_that_the_same_words_are_a_new_memory(bench: Bench) -> None:
    [gone] = await written(bench, "same words")
    await bench.journal.commit([forget(gone)])
    [new] = await bench.journal.commit([a_draft("same words")])
    assert not new.duplicate
    assert new.id != gone


async def test_forgetting_a_trajectorys_memory_takes_its_head_along(bench: Bench) -> None:
    trade = TrajectoryId("t")
    await bench.journal.commit([OpenTrajectory(trade, Namespace("team"), "session", "title", "text", T0_NS)])
    [step] = await written(bench, "step", trajectory_id="t")
    await bench.journal.commit([forget(MemoryId(trade))])
    assert await bench.journal.trajectory(trade) is None
    assert [memory.id for memory in await bench.journal.steps(trade, after=None, limit=9)] == [step]
    with pytest.raises(NotFound):
        await bench.journal.commit([CloseTrajectory(trade, "won", "closed", T0_NS)])


async def test_several_are_forgotten_in_one_commit_or_none(bench: Bench) -> None:
    ids = await written(bench, *map(str, range(5)))
    with pytest.raises(NotFound):
        await bench.journal.commit([forget(ids[0]), forget(MemoryId("nope"))])
    assert len(await current(bench)) == 5
    await bench.journal.commit([forget(each) for each in ids[1:]])
    assert await current(bench) == ["0"]


@pytest.mark.requirement("M6")
async def test_a_thread_is_read_in_the_order_of_first_versions(bench: Bench) -> None:
    one, two, three = await written(bench, "one", "two", "three", trajectory_id="t")
    await written(bench, "elsewhere")
    await bench.journal.commit([update(one, content="one, corrected")])
    around = await bench.journal.surroundings([one, two, three], as_of_ns=None)
    assert around.before == {two: one, three: two}
    assert around.after == {one: two, two: three}
    assert around.memories[one].content == "one, corrected"
    steps = await bench.journal.steps(TrajectoryId("t"), after=None, limit=9)
    assert [step.content for step in steps] == ["one, corrected", "two", "three"]
    rest = await bench.journal.steps(TrajectoryId("t"), after=Seq(steps[0].position), limit=9)
    assert [step.content for step in rest] == ["two", "three"]


async def test_sessions_make_threads_where_there_is_no_trajectory(bench: Bench) -> None:
    said = Provenance(agent="claude", session="s-1")
    a, b = await written(bench, "a", "b", provenance=said)
    [other] = await written(bench, "c", provenance=Provenance(agent="claude", session="s-2"))
    named = await written(bench, "d", "e", provenance=said, metadata={"session_id": 7})
    [alone] = await written(bench, "alone")
    around = await bench.journal.surroundings([a, b, other, *named, alone], as_of_ns=None)
    assert around.before == {b: a, named[1]: named[0]}
    assert around.after == {a: b, named[0]: named[1]}
    assert around.memories[alone].thread is None


async def test_neighbours_are_those_that_were_known_then(bench: Bench) -> None:
    one, two, three = await written(bench, "one", "two", "three", trajectory_id="t")
    then_ns = bench.clock.now_ns()
    bench.clock.advance(10)
    [four] = await written(bench, "four", trajectory_id="t", supersedes=(two,))
    assert (await bench.journal.surroundings([three], as_of_ns=None)).before == {three: one}
    past = await bench.journal.surroundings([three], as_of_ns=then_ns)
    assert (past.before, past.after) == ({three: two}, {})
    assert (await bench.journal.surroundings([three], as_of_ns=None)).after == {three: four}
    steps = await bench.journal.steps(TrajectoryId("t"), after=None, limit=9)
    assert [step.content for step in steps] == ["one", "two", "three", "four"]
    assert (await bench.journal.trajectory(TrajectoryId("t"))).steps == 4  # type: ignore[union-attr]


async def test_what_follows_in_a_thread_is_indexed_anew_when_its_context_changes(bench: Bench) -> None:
    one, two, three = await written(bench, "one", "two", "three", trajectory_id="t")
    await deliver_all(bench)
    await bench.journal.commit([update(one, content="one, corrected")])
    assert await queued(bench) == [(one, 2), (two, 1)]
    await deliver_all(bench)
    await bench.journal.commit([forget(two)])
    assert await queued(bench) == [(two, 1), (three, 1)]


@pytest.mark.requirement("M13")
@pytest.mark.parametrize(
    ("outcome", "reward", "credit"),
    [("exit", 250, 1_000), ("won", -250, -1_000), ("failed", None, -1_000), ("x", 0, 0)],
)
async def test_closing_a_trajectory_credits_what_it_rested_on_once(
    bench: Bench, outcome: str, reward: int | None, credit: int
) -> None:
    lesson, rule, unread = await written(bench, "lesson", "rule", "unread")
    await bench.journal.commit([OpenTrajectory(TrajectoryId("t"), Namespace("team"), "trade", "BONK", "open", T0_NS)])
    [step] = await written(bench, "decision", trajectory_id="t", cites=(lesson, lesson))
    cited = LinkMemories(LinkKind.CITES, MemoryId("t"), rule, ME, TrajectoryId("t"))
    await bench.journal.commit([cited, replace(cited, from_id=step)])
    before_ns = bench.clock.now_ns()
    bench.clock.advance(10)
    close = CloseTrajectory(TrajectoryId("t"), outcome, "closed", T0_NS, reward)
    await bench.journal.commit([close])
    await bench.journal.commit([close])
    now = (await bench.journal.surroundings([lesson, rule, unread], as_of_ns=None)).standings
    if not credit:
        assert now == {}
        return
    assert unread not in now
    for memory_id in (lesson, rule):
        assert (now[memory_id].credit, now[memory_id].wins, now[memory_id].losses) == (
            credit,
            int(credit > 0),
            int(credit < 0),
        )
    assert (await bench.journal.surroundings([lesson], as_of_ns=before_ns)).standings == {}


async def test_steps_and_outcome_in_one_commit_give_credit_too(bench: Bench) -> None:
    [lesson] = await written(bench, "lesson")
    opened = OpenTrajectory(TrajectoryId("t"), Namespace("team"), "trade", "BONK", "open", T0_NS)
    closed = CloseTrajectory(TrajectoryId("t"), "won", "closed", T0_NS, 5)
    await bench.journal.commit([opened, a_draft("bought", trajectory_id="t", cites=(lesson,)), closed])
    standing = (await bench.journal.surroundings([lesson], as_of_ns=None)).standings[lesson]
    assert (standing.credit, standing.wins) == (1_000, 1)


@pytest.mark.requirement("M13")
async def test_a_lesson_of_the_commit_that_closes_cites_the_closed_trajectory(bench: Bench) -> None:
    [rule] = await written(bench, "rule")
    await bench.journal.commit([OpenTrajectory(TrajectoryId("t"), Namespace("team"), "task", "BONK", "open", T0_NS)])
    head = MemoryId("t")
    cited = LinkMemories(LinkKind.CITES, head, rule, ME, TrajectoryId("t"))
    close = CloseTrajectory(TrajectoryId("t"), "failed", "closed", T0_NS)
    lesson = a_draft("never again", kind="lesson", cites=(head,))
    first = await bench.journal.commit([cited, close, lesson])
    again = await bench.journal.commit([close, lesson])
    assert [each.id for each in first[1:]] == [each.id for each in again]
    assert all(each.duplicate for each in again)
    links = {(link.from_id, link.to_id): link.to_version for link in await bench.journal.links([head])}
    assert links == {(head, rule): 1, (first[2].id, head): 2}
    standings = (await bench.journal.surroundings([rule, head], as_of_ns=None)).standings
    assert standings[rule].credit == -1_000
    assert head not in standings


@pytest.mark.parametrize("is_opened", [True, False], ids=["opened", "begun by a step"])
async def test_a_memory_cites_a_trajectory_of_its_own_commit(bench: Bench, is_opened: bool) -> None:
    head = MemoryId("t")
    opened = OpenTrajectory(TrajectoryId("t"), Namespace("team"), "trade", "BONK", "open", T0_NS)
    begun = opened if is_opened else a_draft("bought", trajectory_id="t")
    closed = CloseTrajectory(TrajectoryId("t"), "won", "closed", T0_NS, 5)
    *_, digest = await bench.journal.commit(
        [begun, a_draft("early", cites=(head,)), closed, a_draft("late", cites=(head,))]
    )
    links = {link.from_id: link.to_version for link in await bench.journal.links([head])}
    assert sorted(links.values()) == [1, 2]
    assert links[digest.id] == 2


async def test_a_memory_of_a_given_id_is_cited_and_superseded_in_its_own_commit(bench: Bench) -> None:
    given = MemoryId("given-1")
    first, again, citing, newer = await bench.journal.commit(
        [
            a_draft("first", id=given),
            a_draft("first", "another key", id=given),
            a_draft("rests on it", cites=(given,)),
            a_draft("corrects it", supersedes=(given,)),
        ]
    )
    assert (again.id, again.duplicate) == (first.id, True)
    links = {(link.kind, link.from_id) for link in await bench.journal.links([given])}
    assert links == {("cites", citing.id), ("supersedes", newer.id)}
    assert [each.superseded_at_ns is None for each in await bench.journal.versions(given)] == [False]
    assert await bench.journal.count(MemoryFilter()) == 2


@pytest.mark.requirement("M17")
async def test_a_mark_counts_once_for_its_source(bench: Bench) -> None:
    [memory_id] = await written(bench, "a")
    await bench.journal.commit([MarkMemory(memory_id, MarkKind.CONFIRMED, "claude:1")])
    first_ns = bench.clock.now_ns()
    bench.clock.advance(5)
    await bench.journal.commit([MarkMemory(memory_id, MarkKind.CONFIRMED, "claude:1")])

    async def confirmed() -> int | None:
        return (await bench.journal.surroundings([memory_id], as_of_ns=None)).standings[memory_id].confirmed_at_ns

    assert await confirmed() == first_ns
    await bench.journal.commit([MarkMemory(memory_id, MarkKind.CONFIRMED, "cursor:1")])
    assert await confirmed() == bench.clock.now_ns()
    [claude, cursor] = await bench.journal.marks([memory_id])
    assert (claude.source, claude.known_at_ns, cursor.source) == ("claude:1", first_ns, "cursor:1")
    with pytest.raises(NotFound):
        await bench.journal.commit([MarkMemory(MemoryId("nope"), MarkKind.CONFIRMED, "x")])


@pytest.mark.requirement("M14")
async def test_changes_hold_every_version_and_deed_once_and_in_order(bench: Bench) -> None:
    a, b = await written(bench, "a", "b")
    await bench.journal.commit([update(a, content="a2")])
    await bench.journal.commit([forget(b)])
    await bench.journal.commit([a_draft("c", namespace="team/x")])
    seen: list[str] = []
    after = Seq(0)
    while part := await bench.journal.changes(after, limit=2):
        seen += [change.memory.content if change.memory else f"{change.audit.action}" for change in part]  # type: ignore[union-attr]
        assert [change.seq for change in part] == sorted(change.seq for change in part)
        after = part[-1].seq
    assert seen == ["a", "a2", "forget", "c"]  # nothing is left of b but that it was forgotten
    assert after == await bench.journal.horizon()
    team = await bench.journal.changes(Seq(0), limit=9, namespace="team/")
    assert [change.memory.content for change in team if change.memory] == ["c"]
    hidden = await bench.journal.changes(Seq(0), limit=9, hidden=("default",))
    assert [change.memory.content for change in hidden if change.memory] == ["c"]
    assert len(hidden) == 1


@pytest.mark.requirement("M14")
async def test_a_cursor_is_kept_and_never_goes_back(bench: Bench) -> None:
    assert await bench.journal.cursor("claude") is None
    await bench.journal.save_cursor("claude", Seq(5))
    await bench.journal.save_cursor("claude", Seq(3))
    async with bench.reopen() as reopened:
        assert await reopened.cursor("claude") == 5
        assert await reopened.cursor("cursor") is None


@pytest.mark.requirement("M5")
async def test_a_policy_is_kept_replaced_and_taken_back(bench: Bench) -> None:
    await bench.journal.commit([SetPolicy("team/", {"writers": ["claude"]}, ME)])
    await bench.journal.commit([SetPolicy("team/", {"writers": []}, ME), SetPolicy("a", {"legal_hold": True}, ME)])
    assert await bench.journal.policies() == {"a": {"legal_hold": True}, "team/": {"writers": []}}
    await bench.journal.commit([SetPolicy("a", None, ME)])
    assert await bench.journal.policies() == {"team/": {"writers": []}}
    entries = await bench.journal.audit(action="policy", limit=9)
    assert [entry.detail["namespace"] for entry in entries] == ["a", "a", "team/", "team/"]


async def test_the_audit_is_paged_from_the_newest(bench: Bench) -> None:
    for number in range(5):
        await bench.journal.commit([RecordAudit("backup", ME, "nightly", {"path": f"/copies/{number}"})])
    first = await bench.journal.audit(limit=2)
    rest = await bench.journal.audit(action="backup", before=first[-1].seq, limit=9)
    assert [entry.detail["path"] for entry in [*first, *rest]] == [f"/copies/{number}" for number in (4, 3, 2, 1, 0)]
    assert first[0].reason == "nightly"
    assert await bench.journal.audit(action="forget", limit=9) == []


async def test_an_entry_about_a_memory_is_found_by_it_and_lies_in_its_namespace(bench: Bench) -> None:
    [one] = await written(bench, "one", kind="fact", namespace="team/x")
    noted = RecordAudit("contradict", ME, detail={"with": "other"}, about=one)
    await bench.journal.commit([noted])
    [entry] = await bench.journal.audit(memory_id=one, limit=9)
    assert (entry.action, entry.namespace, entry.kind) == ("contradict", "team/x", "fact")
    assert [each.seq for each in await bench.journal.changes(Seq(0), limit=9, namespace="team/")] == [1, 2]
    assert await bench.journal.changes(Seq(0), limit=9, hidden=["team/"]) == []
    with pytest.raises(NotFound):
        await bench.journal.commit([RecordAudit("contradict", ME, about=MemoryId("nobody"))])


async def test_a_journal_says_which_one_it_is_also_after_reopening(bench: Bench) -> None:
    instance_id = await bench.journal.instance_id()
    assert UUID(instance_id)
    async with bench.reopen() as reopened:
        assert await reopened.instance_id() == instance_id


@pytest.mark.requirement("M18")
async def test_counts_and_highlights_say_what_there_is(bench: Bench) -> None:
    await written(bench, "a", "b", kind="note")
    bench.clock.advance(5)
    await written(bench, "c", kind="lesson", agent="cursor", importance=90)
    await written(bench, "d", kind="lesson", namespace="team/x", pinned=True)
    newest_ns = bench.clock.now_ns()
    assert await bench.journal.counts(EVERYTHING, "kind", limit=9) == [
        Count("lesson", 2, newest_ns),
        Count("note", 2, newest_ns - 5 * SECOND_NS),
    ]
    assert [(c.name, c.number) for c in await bench.journal.counts(EVERYTHING, "agent", limit=1)] == [("claude", 3)]
    assert [c.name for c in await bench.journal.counts(MemoryFilter(namespace="team/"), "namespace", limit=9)] == [
        "team/x"
    ]
    assert [memory.content for memory in await bench.journal.highlights(EVERYTHING, limit=3)] == ["d", "c", "b"]


async def test_expired_memories_are_listed_but_not_pinned_ones(bench: Bench) -> None:
    now_ns = bench.clock.now_ns()
    await written(bench, "soon", expires_at_ns=now_ns + SECOND_NS)
    await written(bench, "sooner", expires_at_ns=now_ns)
    await written(bench, "pinned", expires_at_ns=now_ns, pinned=True)
    await written(bench, "never")
    found = await bench.journal.expired(before_ns=now_ns, limit=9)
    assert [memory.content for memory in found] == ["sooner"]
    assert [memory.content for memory in await bench.journal.expired(before_ns=now_ns + SECOND_NS, limit=1)] == [
        "sooner"
    ]


@pytest.mark.requirement("M17")
async def test_what_holds_in_the_world_is_filtered_by_time(bench: Bench) -> None:
    await written(bench, "always")
    await written(bench, "from ten", valid_from_ns=10)
    await written(bench, "until ten", valid_to_ns=10)
    await written(bench, "between", valid_from_ns=5, valid_to_ns=15)
    assert await current(bench, MemoryFilter(valid_at_ns=4)) == ["always", "until ten"]
    assert await current(bench, MemoryFilter(valid_at_ns=10)) == ["always", "from ten", "between"]
    assert await current(bench, MemoryFilter(valid_at_ns=15)) == ["always", "from ten"]


@pytest.mark.requirement("M5")
async def test_nothing_comes_from_a_hidden_namespace(bench: Bench) -> None:
    for namespace in ("a", "a/b", "ab", "c"):
        await written(bench, namespace, namespace=namespace)
    assert await current(bench, MemoryFilter(hidden=("a/",))) == ["ab", "c"]
    assert await current(bench, MemoryFilter(hidden=("a", "c"))) == ["a/b", "ab"]
    rows = await bench.journal.lexical(["a"], MemoryFilter(hidden=("a/",)), scope="all", limit=9)
    assert [memory.content for memory in rows] == ["ab"]


@pytest.mark.requirement("M5")
async def test_no_trajectory_comes_from_a_hidden_namespace(bench: Bench) -> None:
    for number, namespace in enumerate(["team", "team/a", "open", "teams"]):
        opened = OpenTrajectory(TrajectoryId(f"t{number}"), Namespace(namespace), "task", "x", "open", T0_NS + number)
        await bench.journal.commit([opened])

    async def seen(*hidden: str) -> list[str]:
        found = await bench.journal.trajectories(
            namespace=None, kind=None, is_open=None, before_ns=None, limit=10, hidden=hidden
        )
        return [each.id for each in found]

    assert await seen() == ["t3", "t2", "t1", "t0"]
    assert await seen("team") == ["t3", "t2", "t1"]
    assert await seen("team/", "open") == ["t3"]


async def test_a_restored_memory_keeps_its_trust_and_an_update_gives_its_own(bench: Bench) -> None:
    [memory_id] = await written(bench, "a", provenance=Provenance(agent="web", trust=Trust.UNTRUSTED))
    await written(bench, "b", supersedes=(memory_id,))
    await bench.journal.commit([RestoreMemory(memory_id, "", ME)])
    assert (await last(bench, memory_id)).provenance.trust is Trust.UNTRUSTED
    await bench.journal.commit([update(memory_id, content="c")])
    assert (await last(bench, memory_id)).provenance.trust is Trust.AGENT


@pytest.mark.requirement("M9")
async def test_an_import_keeps_ids_and_leaves_what_is_or_was_there(bench: Bench) -> None:
    [kept, gone] = await written(bench, "kept", "gone")
    await bench.journal.commit([forget(gone)])
    brought = MemoryId("019abc-from-elsewhere")
    drafts = [a_draft(f"import {each}", f"import:{each}", id=each) for each in (brought, kept, gone)]
    for expected in ([False, True, True], [True, True, True]):
        acknowledged = await bench.journal.commit(drafts)
        assert [each.duplicate for each in acknowledged] == expected
        assert [each.id for each in acknowledged] == [brought, kept, gone]
    assert sorted(await current(bench)) == [f"import {brought}", "kept"]


async def test_a_link_that_supersedes_retires(bench: Bench) -> None:
    old, new = await written(bench, "old", "new")
    command = LinkMemories(LinkKind.SUPERSEDES, new, old, ME)
    await bench.journal.commit([command])
    await bench.journal.commit([command])
    assert await current(bench) == ["new"]
    await bench.journal.commit([RestoreMemory(old, "both", ME)])
    assert sorted(await current(bench)) == ["new", "old"]
