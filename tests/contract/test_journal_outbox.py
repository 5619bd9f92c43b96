"""What every body of ``ports.Journal`` promises about its outbox, trajectories and snapshots."""

from pathlib import Path

import pytest
from tests.doubles.clocks import ManualClock
from tests.support.journals import SECOND_NS, T0_NS, Bench, a_draft

from memmcp_server.adapters.sql_journal import open_journal
from memmcp_server.config import JournalSection
from memmcp_server.domain.identifiers import JsonObject, MemoryId, Namespace, Seq, TrajectoryId
from memmcp_server.domain.lifecycle import ForgetMemory
from memmcp_server.domain.memory import MemoryFilter, Provenance
from memmcp_server.domain.outbox import QDRANT, SinkSpec
from memmcp_server.domain.telemetry import RecordSnapshot
from memmcp_server.domain.trajectory import CloseTrajectory, OpenTrajectory
from memmcp_server.errors import IdempotencyConflict, InvalidInput

pytestmark = pytest.mark.anyio
TRADE = TrajectoryId("trade-1")


def open_trade(trajectory_id: TrajectoryId = TRADE, ts_event_ns: int = T0_NS, **fields: str) -> OpenTrajectory:
    namespace = Namespace(fields.get("namespace", "trading"))
    return OpenTrajectory(
        id=trajectory_id,
        namespace=namespace,
        kind=fields.get("kind", "trade"),
        title="BONK breakout",
        text="bought BONK on a breakout",
        ts_event_ns=ts_event_ns,
        metadata={"mint": "BONK"},
        tags=("bonk",),
        provenance=Provenance(agent="xavier"),
    )


def close_trade(outcome: str = "won", trajectory_id: TrajectoryId = TRADE) -> CloseTrajectory:
    return CloseTrajectory(
        trajectory_id, outcome, f"sold BONK: {outcome}", T0_NS + 9, 250_000, "lamports", {"exit": "target"}
    )


async def due(bench: Bench, sink: str = "qdrant", limit: int = 100) -> list[int]:
    return [each.id for each in await bench.journal.outbox_due(sink, now_ns=bench.clock.now_ns(), limit=limit)]


@pytest.mark.requirement("M11")
async def test_every_version_is_queued_for_every_sink_in_the_order_of_commits(bench: Bench) -> None:
    written = await bench.journal.commit([a_draft("a"), open_trade()])
    written += await bench.journal.commit([close_trade()])
    for sink in ("qdrant", "langfuse"):
        entries = await bench.journal.outbox_due(sink, now_ns=bench.clock.now_ns(), limit=10)
        assert [(e.memory_id, e.version, e.seq) for e in entries] == [(a.id, a.version, a.seq) for a in written]
        assert all((e.sink, e.attempts, e.dead) == (sink, 0, False) for e in entries)
    assert len(await due(bench, limit=2)) == 2


@pytest.mark.requirement("M11")
async def test_a_repeated_write_is_not_queued_again(bench: Bench) -> None:
    await bench.journal.commit([a_draft("a")])
    await bench.journal.commit([a_draft("a")])
    assert len(await due(bench)) == 1


@pytest.mark.requirement("M11")
async def test_delivered_entries_leave_and_are_counted_for_their_sink(bench: Bench) -> None:
    await bench.journal.commit([a_draft("a"), a_draft("b"), a_draft("c")])
    first, second, third = await due(bench)
    await bench.journal.outbox_delivered([first, third])
    await bench.journal.outbox_delivered([first])  # a repeat counts nothing
    await bench.journal.outbox_delivered([])
    assert await due(bench) == [second]
    stats = await bench.journal.outbox_stats()
    assert (stats["qdrant"].pending, stats["qdrant"].delivered, stats["qdrant"].dead) == (1, 2, 0)
    assert (stats["langfuse"].pending, stats["langfuse"].delivered) == (3, 0)


async def test_stats_name_every_sink_also_when_nothing_waits(bench: Bench) -> None:
    stats = await bench.journal.outbox_stats()
    assert {name: (each.pending, each.dead, each.oldest_ns) for name, each in stats.items()} == {
        "qdrant": (0, 0, None),
        "langfuse": (0, 0, None),
        "phone": (0, 0, None),
    }
    await bench.journal.commit([a_draft("a")])
    oldest_ns = bench.clock.now_ns()
    bench.clock.advance(5)
    await bench.journal.commit([a_draft("b")])
    assert (await bench.journal.outbox_stats())["qdrant"].oldest_ns == oldest_ns


@pytest.mark.requirement("M11")
async def test_a_failed_entry_comes_again_when_its_time_has_come(bench: Bench) -> None:
    await bench.journal.commit([a_draft("a"), a_draft("b")])
    first, second = await due(bench)
    retry_at_ns = bench.clock.now_ns() + 30 * SECOND_NS
    await bench.journal.outbox_failed([first], error="qdrant is down", retry_at_ns=retry_at_ns)
    assert await due(bench) == [second]
    bench.clock.advance(30)
    [again, _] = await bench.journal.outbox_due("qdrant", now_ns=bench.clock.now_ns(), limit=10)
    assert (again.id, again.attempts, again.last_error) == (first, 1, "qdrant is down")
    assert (await bench.journal.outbox_stats())["qdrant"].pending == 2


@pytest.mark.requirement("M11")
async def test_a_dead_entry_waits_for_an_operator_who_sees_replays_or_drops_it(bench: Bench) -> None:
    await bench.journal.commit([a_draft("a"), a_draft("b"), a_draft("c")])
    first, second, third = await due(bench)
    await bench.journal.outbox_failed([first, second], error="poison", retry_at_ns=None)
    assert await due(bench) == [third]
    stats = (await bench.journal.outbox_stats())["qdrant"]
    assert (stats.pending, stats.dead) == (1, 2)
    dead = await bench.journal.outbox_entries("qdrant", dead=True, limit=10)
    assert [(e.id, e.dead, e.last_error, e.attempts) for e in dead] == [
        (first, True, "poison", 1),
        (second, True, "poison", 1),
    ]
    assert await bench.journal.outbox_drop(second) is True
    assert await bench.journal.outbox_drop(second) is False
    assert await bench.journal.outbox_retry([third]) == 0  # alive already
    assert await bench.journal.outbox_retry(None) == 1
    assert await due(bench) == [first, third]
    [revived, _] = await bench.journal.outbox_entries("qdrant", dead=False, limit=10)
    assert (revived.id, revived.attempts) == (first, 0)


async def test_entry_ids_are_never_used_twice(bench: Bench) -> None:
    await bench.journal.commit([a_draft("a")])
    [old] = await due(bench)
    await bench.journal.outbox_drop(old)
    await bench.journal.commit([a_draft("b")])
    [new] = await due(bench)
    assert new > old
    await bench.journal.outbox_delivered([old])  # a late report of the dropped one
    assert await due(bench) == [new]


async def test_entries_are_listed_for_one_sink_or_for_all(bench: Bench) -> None:
    await bench.journal.commit([a_draft("a")])
    everywhere = await bench.journal.outbox_entries(None, dead=None, limit=10)
    assert sorted(e.sink for e in everywhere) == ["langfuse", "qdrant"]
    assert [e.sink for e in await bench.journal.outbox_entries("langfuse", dead=None, limit=10)] == ["langfuse"]
    assert len(await bench.journal.outbox_entries(None, dead=None, limit=1)) == 1
    assert await bench.journal.outbox_entries(None, dead=True, limit=10) == []


@pytest.mark.requirement("M11")
async def test_exactly_the_memories_that_are_named_are_queued_once_with_their_last_version(bench: Bench) -> None:
    a, b, c = await bench.journal.commit([a_draft("a"), a_draft("b"), a_draft("c")])
    await bench.journal.commit([open_trade()])
    await bench.journal.commit([close_trade()])
    first, second, *others = await due(bench)
    await bench.journal.outbox_delivered([first, *others])
    await bench.journal.outbox_failed([second], error="poison", retry_at_ns=None)

    named = [c.id, MemoryId(TRADE), a.id, a.id, b.id, MemoryId("never-there")]
    assert await bench.journal.outbox_queue("qdrant", named) == 3

    entries = await bench.journal.outbox_due("qdrant", now_ns=bench.clock.now_ns(), limit=10)
    assert [(e.memory_id, e.version, e.attempts) for e in entries] == [(a.id, 1, 0), (c.id, 1, 0), (TRADE, 2, 0)]
    assert min(e.id for e in entries) > max(others)
    assert await bench.journal.outbox_queue("qdrant", named) == 0  # all of them wait, one of them for an operator
    assert await bench.journal.outbox_queue("qdrant", []) == 0
    await bench.journal.commit([a_draft("d")])
    assert len(set(await due(bench))) == 4
    with pytest.raises(InvalidInput, match="known are: "):
        await bench.journal.outbox_queue("nowhere", [a.id])


@pytest.mark.requirement("M9")
async def test_a_refill_queues_every_version_once_whatever_was_there(bench: Bench) -> None:
    await bench.journal.commit([a_draft("a"), open_trade()])
    await bench.journal.commit([close_trade()])
    first, second, _ = await due(bench)
    await bench.journal.outbox_delivered([first])
    await bench.journal.outbox_failed([second], error="poison", retry_at_ns=None)
    assert await bench.journal.outbox_refill("qdrant") == 3
    entries = await bench.journal.outbox_due("qdrant", now_ns=bench.clock.now_ns(), limit=10)
    assert [(e.version, e.attempts) for e in entries] == [(1, 0), (1, 0), (2, 0)]
    assert min(e.id for e in entries) > second
    stats = await bench.journal.outbox_stats()
    assert (stats["qdrant"].pending, stats["qdrant"].dead, stats["langfuse"].pending) == (3, 0, 3)
    await bench.journal.commit([a_draft("after")])
    assert len(await due(bench)) == 4
    with pytest.raises(InvalidInput, match="qdrant"):
        await bench.journal.outbox_refill("nowhere")


@pytest.mark.requirement("M6")
async def test_a_trajectory_is_opened_stepped_and_closed_with_its_outcome(bench: Bench) -> None:
    await bench.journal.commit([open_trade()])
    steps = [a_draft(text, trajectory_id=TRADE, kind="step") for text in ("signal", "verdict", "order", "fill")]
    await bench.journal.commit(steps)
    opened = await bench.journal.trajectory(TRADE)
    assert opened is not None
    assert (opened.title, opened.kind, opened.agent, opened.steps) == ("BONK breakout", "trade", "xavier", 4)
    assert (opened.closed_at_ns, opened.outcome, opened.reward) == (None, None, None)
    bench.clock.advance(1)
    [acknowledged] = await bench.journal.commit([close_trade()])
    closed = await bench.journal.trajectory(TRADE)
    assert closed is not None
    assert (closed.outcome, closed.reward, closed.reward_unit) == ("won", 250_000, "lamports")
    assert (closed.opened_at_ns, closed.closed_at_ns, closed.steps) == (T0_NS, T0_NS + 9, 4)
    assert closed.metadata["mint"] == "BONK"
    assert closed.metadata["exit"] == "target"
    assert (acknowledged.id, acknowledged.version) == (TRADE, 2)


@pytest.mark.requirement("M6")
async def test_a_trajectory_is_itself_a_memory_whose_close_supersedes_its_opening(bench: Bench) -> None:
    await bench.journal.commit([open_trade()])
    bench.clock.advance(1)
    await bench.journal.commit([close_trade()])
    first, second = await bench.journal.versions((await bench.journal.commit([open_trade()]))[0].id)
    assert (first.version, first.content, first.superseded_at_ns) == (
        1,
        "bought BONK on a breakout",
        second.known_at_ns,
    )
    assert (second.version, second.content, second.superseded_at_ns) == (2, "sold BONK: won", None)
    assert (second.kind, second.namespace, second.tags) == ("trajectory", "trading", ("bonk",))
    assert second.metadata == {
        "mint": "BONK",
        "exit": "target",
        "outcome": "won",
        "reward": 250_000,
        "reward_unit": "lamports",
    }
    assert await bench.journal.memory(first.id) == second
    assert await bench.journal.memory(first.id, 1) == first
    assert await bench.journal.count(MemoryFilter()) == 1
    assert await bench.journal.steps(TRADE, after=None, limit=10) == []


async def test_opening_stepping_and_closing_in_one_commit_is_the_same(bench: Bench) -> None:
    await bench.journal.commit([open_trade(), a_draft("signal", trajectory_id=TRADE), close_trade("lost")])
    closed = await bench.journal.trajectory(TRADE)
    assert closed is not None
    assert (closed.outcome, closed.steps) == ("lost", 1)
    found = await bench.journal.page(MemoryFilter(), after=None, limit=10, newest_first=False)
    assert [memory.content for memory in found] == ["signal", "sold BONK: lost"]


async def test_opening_again_changes_nothing(bench: Bench) -> None:
    [first] = await bench.journal.commit([open_trade()])
    [again] = await bench.journal.commit([open_trade(ts_event_ns=T0_NS + 99, kind="other")])
    assert (again.id, again.seq, again.duplicate) == (first.id, first.seq, True)
    held = await bench.journal.trajectory(TRADE)
    assert held is not None
    assert (held.kind, held.opened_at_ns) == ("trade", T0_NS)


async def test_closing_again_repeats_the_answer_and_another_outcome_is_a_conflict(bench: Bench) -> None:
    await bench.journal.commit([open_trade()])
    [first] = await bench.journal.commit([close_trade("won")])
    [again] = await bench.journal.commit([close_trade("won")])
    assert (again.seq, again.version, again.duplicate) == (first.seq, 2, True)
    with pytest.raises(IdempotencyConflict) as caught:
        await bench.journal.commit([close_trade("lost")])
    assert "won" in str(caught.value)
    assert "lost" in str(caught.value)


@pytest.mark.requirement("M6")
async def test_a_step_of_an_unknown_trajectory_opens_it(bench: Bench) -> None:
    [step] = await bench.journal.commit([a_draft("Look at BONK\nmore", trajectory_id="s-9", namespace="team")])
    opened = await bench.journal.trajectory(TrajectoryId("s-9"))
    assert opened is not None
    assert (opened.title, opened.namespace, opened.agent, opened.steps) == ("Look at BONK", "team", "claude", 1)
    assert [m.id for m in await bench.journal.steps(TrajectoryId("s-9"), after=None, limit=9)] == [step.id]
    [again] = await bench.journal.commit([a_draft("Look at BONK\nmore", trajectory_id="s-9", namespace="team")])
    assert again.duplicate
    await bench.journal.commit([a_draft("second", trajectory_id="s-9", namespace="team")])
    assert await bench.journal.count(MemoryFilter()) == 3


async def test_a_trajectory_cannot_take_the_id_of_a_memory(bench: Bench) -> None:
    [memory] = await bench.journal.commit([a_draft("a")])
    with pytest.raises(InvalidInput, match=memory.id):
        await bench.journal.commit([a_draft("b", trajectory_id=memory.id)])
    assert await bench.journal.count(MemoryFilter()) == 1


async def test_steps_come_in_journal_order_page_by_page(bench: Bench) -> None:
    drafts = [a_draft(str(n), trajectory_id=TRADE, ts_event_ns=T0_NS - n) for n in range(5)]
    await bench.journal.commit([open_trade(), *drafts])
    seen: list[str] = []
    after: Seq | None = None
    while part := await bench.journal.steps(TRADE, after=after, limit=2):
        seen += [memory.content for memory in part]
        after = part[-1].seq
    assert seen == ["0", "1", "2", "3", "4"]


@pytest.mark.requirement("M6")
async def test_trajectories_are_paged_without_loss_also_when_opened_at_the_same_instant(bench: Bench) -> None:
    ids = [TrajectoryId(f"t{n}") for n in range(7)]
    await bench.journal.commit([open_trade(each, T0_NS + n // 3) for n, each in enumerate(ids)])
    seen: list[TrajectoryId] = []
    before_ns, before_id = None, None
    while part := await bench.journal.trajectories(
        namespace=None, kind=None, is_open=None, before_ns=before_ns, before_id=before_id, limit=2
    ):
        seen += [each.id for each in part]
        before_ns, before_id = part[-1].opened_at_ns, part[-1].id
    assert seen == ["t6", "t5", "t4", "t3", "t2", "t1", "t0"]
    strictly = await bench.journal.trajectories(namespace=None, kind=None, is_open=None, before_ns=T0_NS + 1, limit=10)
    assert [each.id for each in strictly] == ["t2", "t1", "t0"]


async def test_trajectories_are_filtered_by_namespace_kind_and_state(bench: Bench) -> None:
    await bench.journal.commit(
        [
            open_trade(TrajectoryId("a"), 1),
            open_trade(TrajectoryId("b"), 2, namespace="team/x", kind="session"),
            open_trade(TrajectoryId("c"), 3, namespace="team"),
            close_trade(trajectory_id=TrajectoryId("c")),
        ]
    )

    async def found(**wanted: str | bool) -> list[str]:
        options = {"namespace": None, "kind": None, "is_open": None, **wanted}
        return [t.id for t in await bench.journal.trajectories(before_ns=None, limit=10, **options)]  # type: ignore[arg-type]

    assert await found() == ["c", "b", "a"]
    assert await found(namespace="team/") == ["c", "b"]
    assert await found(namespace="team") == ["c"]
    assert await found(kind="trade") == ["c", "a"]
    assert await found(is_open=True) == ["b", "a"]
    assert await found(is_open=False) == ["c"]


@pytest.mark.requirement("O2")
async def test_snapshots_are_kept_once_per_key_and_the_last_recorded_is_the_latest(bench: Bench) -> None:
    body: JsonObject = {"equity": {"lamports": 2_000_000_000}, "positions": []}
    [first] = await bench.journal.commit([RecordSnapshot("local", "c1", T0_NS, body)])
    [again] = await bench.journal.commit([RecordSnapshot("local", "c1", T0_NS, {"other": 1})])
    assert (again.seq, again.duplicate) == (first.seq, True)
    [other] = await bench.journal.commit([RecordSnapshot("hummingbot", "c1", T0_NS - 5, {"equity": 3})])
    assert not other.duplicate
    latest = await bench.journal.latest_snapshot("local")
    assert latest is not None
    assert (latest.body, latest.ts_event_ns, latest.recorded_at_ns) == (body, T0_NS, bench.clock.now_ns())
    # A replay that begins again is older by its own clock and newer as news.
    await bench.journal.commit([RecordSnapshot("local", "c2", T0_NS - 100, {"again": True})])
    latest = await bench.journal.latest_snapshot("local")
    assert latest is not None
    assert latest.body == {"again": True}
    assert [(s.desk_id, s.ts_event_ns) for s in await bench.journal.desks()] == [
        ("hummingbot", T0_NS - 5),
        ("local", T0_NS - 100),
    ]
    assert await bench.journal.latest_snapshot("unknown") is None
    assert await bench.journal.count(MemoryFilter()) == 0


@pytest.mark.requirement("O2")
async def test_snapshot_history_is_the_last_of_each_bucket_within_the_range(bench: Bench) -> None:
    base_ns = T0_NS - T0_NS % (60 * SECOND_NS)
    await bench.journal.commit(
        [RecordSnapshot("local", str(n), base_ns + n * 20 * SECOND_NS, {"n": n}) for n in (3, 0, 1, 2, 4, 5, 7)]
        + [RecordSnapshot("other", "1", base_ns, {"n": 99})]
    )

    async def history(**wanted: int | None) -> list[object]:
        options = {"since_ns": None, "until_ns": None, "resolution_s": None, "limit": 100, **wanted}
        return [s.body["n"] for s in await bench.journal.snapshots("local", **options)]  # type: ignore[arg-type]

    assert await history() == [0, 1, 2, 3, 4, 5, 7]
    assert await history(resolution_s=60) == [2, 5, 7]
    assert await history(resolution_s=60, limit=2) == [5, 7]
    assert await history(limit=3) == [4, 5, 7]
    assert await history(since_ns=base_ns + 20 * SECOND_NS, until_ns=base_ns + 60 * SECOND_NS) == [1, 2]
    assert await history(since_ns=base_ns + 10**15) == []


@pytest.mark.requirement("M11")
async def test_a_clock_that_was_set_back_holds_nothing_up(bench: Bench) -> None:
    await bench.journal.commit([a_draft("before")])
    bench.clock.advance(-2 * 3_600)
    await bench.journal.commit([a_draft("after")])
    first, second = await due(bench)
    await bench.journal.outbox_failed([first], error="later", retry_at_ns=bench.clock.now_ns() + 60 * SECOND_NS)
    assert await due(bench) == [second]
    bench.clock.advance(-2 * 3_600)
    assert await due(bench) == [first, second]


async def test_a_refill_is_due_at_once_also_when_the_clock_is_set_back(bench: Bench) -> None:
    await bench.journal.commit([a_draft("a")])
    await bench.journal.outbox_refill("qdrant")
    bench.clock.advance(-60)
    assert len(await due(bench)) == 1


@pytest.mark.requirement("M11")
async def test_a_sink_of_one_kind_is_given_that_kind_alone_and_what_becomes_of_it(bench: Bench) -> None:
    agent = Provenance(agent="claude")
    [alert, note] = await bench.journal.commit([a_draft("drawdown", kind="alert"), a_draft("a note")])
    [entry] = await bench.journal.outbox_due("phone", now_ns=bench.clock.now_ns(), limit=10)
    assert (entry.memory_id, entry.version) == (alert.id, 1)
    await bench.journal.outbox_delivered([entry.id])
    await bench.journal.commit([ForgetMemory(alert.id, "test", agent), ForgetMemory(note.id, "test", agent)])
    assert [each.memory_id for each in await bench.journal.outbox_entries("phone", dead=None, limit=10)] == [alert.id]


@pytest.mark.requirement("M11")
async def test_only_what_keeps_words_of_a_thread_is_given_the_next_memory_again(bench: Bench) -> None:
    await bench.journal.commit([open_trade()])
    [first, second] = await bench.journal.commit([a_draft(word, trajectory_id=TRADE) for word in ("one", "two")])
    for sink in ("qdrant", "langfuse"):
        waiting = await bench.journal.outbox_entries(sink, dead=None, limit=10)
        await bench.journal.outbox_delivered([each.id for each in waiting])
    await bench.journal.commit([ForgetMemory(first.id, "test", Provenance(agent="claude"))])
    again = {
        sink: {each.memory_id for each in await bench.journal.outbox_entries(sink, dead=None, limit=10)}
        for sink in ("qdrant", "langfuse")
    }
    assert again == {"qdrant": {first.id, second.id}, "langfuse": {first.id}}


@pytest.mark.requirement("M11")
async def test_a_sink_that_is_configured_no_longer_keeps_nothing_waiting(tmp_path: Path) -> None:
    # In a file only: on a server another daemon may still serve it; there it goes by absence (test_journal_postgresql).
    for sinks, retire in (((QDRANT, SinkSpec("langfuse")), True), ((QDRANT,), False), ((QDRANT,), True)):
        async with open_journal(JournalSection(), tmp_path, ManualClock(), sinks=sinks, retire=retire) as journal:
            await journal.commit([a_draft(f"{len(sinks)} {retire}")])
            waiting = {name: stats.pending for name, stats in (await journal.outbox_stats()).items()}
            assert (
                waiting
                == {
                    (2, True): {"qdrant": 1, "langfuse": 1},
                    (1, False): {"qdrant": 2, "langfuse": 1},
                    (1, True): {"qdrant": 3},
                }[len(sinks), retire]
            )
