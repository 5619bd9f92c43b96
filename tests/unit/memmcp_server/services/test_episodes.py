"""Agents' trajectories: what may be written, what repeats do, what closing leaves behind."""

from dataclasses import dataclass, replace
from typing import Any

import pytest
from tests.doubles.clocks import ManualClock
from tests.doubles.memory_index import MemoryIndex
from tests.doubles.memory_journal import MemoryJournal
from tests.support.journals import T0_NS, a_draft

from memmcp_server.adapters.secrets import RuleScanner
from memmcp_server.domain.caller import Caller
from memmcp_server.domain.episodes import outcome_of
from memmcp_server.domain.identifiers import MemoryId, Namespace, TrajectoryId
from memmcp_server.domain.lifecycle import LinkKind, Standing
from memmcp_server.domain.memory import Memory, Trust
from memmcp_server.domain.recap import CLOSING_TOKENS_MAX, tokens_of
from memmcp_server.domain.times import from_ns
from memmcp_server.domain.trajectory import OpenTrajectory
from memmcp_server.domain.trajectory_drafts import CloseFields, OpenFields, StepFields
from memmcp_server.errors import IdempotencyConflict, InvalidInput, NotFound, PayloadTooLarge, Refused, SecretRefused
from memmcp_server.services.episodes import Episodes, Opened
from memmcp_server.services.memories import Memories
from memmcp_server.services.policies import Policies
from memmcp_server.services.trajectories import RECAP_READ_MAX, Trajectories

pytestmark = pytest.mark.anyio
AGENT = Caller("cursor", "s-1", "trajectory", "agent", "stdio")
OPERATOR = replace(AGENT, agent="operator", role="operator")
VIEWER = replace(AGENT, role="viewer")


@dataclass
class Bench:
    clock: ManualClock
    journal: MemoryJournal
    policies: Policies
    trajectories: Trajectories
    episodes: Episodes

    async def opened(self, title: str = "Mend the flaky test", **fields: Any) -> TrajectoryId:
        return (await self.open(title, **fields)).id

    async def open(self, title: str = "Mend the flaky test", caller: Caller = AGENT, **fields: Any) -> Opened:
        return await self.episodes.open(OpenFields(title, **fields), caller)

    async def head(self, trajectory_id: str) -> Memory:
        memory = await self.journal.memory(MemoryId(trajectory_id))
        assert memory is not None
        return memory

    async def standing(self, memory_id: MemoryId, as_of_ns: int | None = None) -> Standing:
        found = await self.journal.surroundings([memory_id], as_of_ns=as_of_ns)
        return found.standings.get(memory_id, Standing())

    async def written(self, content: str, **fields: Any) -> MemoryId:
        [acknowledgement] = await self.journal.commit([a_draft(content, **fields)])
        return acknowledgement.id


@pytest.fixture
def bench() -> Bench:
    clock = ManualClock()
    journal = MemoryJournal(clock)
    policies, scanner = Policies(journal, clock), RuleScanner()
    memories = Memories(journal, MemoryIndex(clock), clock, policies, scanner)
    trajectories = Trajectories(journal, policies)
    return Bench(clock, journal, policies, trajectories, Episodes(journal, memories, policies, scanner, clock))


@pytest.mark.requirement("M6")
async def test_an_attempt_is_kept_from_its_title_to_its_lesson(bench: Bench) -> None:
    trajectory_id = await bench.opened(namespace="team", tags=["ci"], kind="task")
    step = (
        await bench.episodes.step(trajectory_id, StepFields("raised the time-out", kind="decision"), AGENT)
    ).acknowledgement
    closed = await bench.episodes.close(
        trajectory_id, CloseFields("failed", -2, "tests", lesson="Never raise a time-out; wait for a condition."), AGENT
    )
    assert closed.lesson is not None
    part = await bench.trajectories.get(trajectory_id)
    assert (part.trajectory.outcome, part.trajectory.reward, part.trajectory.reward_unit) == ("failed", -2, "tests")
    assert [(each.id, each.namespace, each.kind) for each in part.steps] == [(step.id, "team", "decision")]
    head = await bench.head(trajectory_id)
    assert head.content == (
        "Failed: Mend the flaky test (outcome failed, reward -2 tests).\n"
        "1 step in 0 s: 1 decision.\n"
        "- decision: raised the time-out"
    )
    lesson = await bench.journal.memory(closed.lesson.id)
    assert lesson is not None
    assert lesson.content == (
        "Never raise a time-out; wait for a condition.\n"
        "Learned from a mistake, from what went wrong and failed: "
        "Mend the flaky test (outcome failed, reward -2 tests)."
    )
    assert (lesson.kind, lesson.namespace, lesson.tags) == ("lesson", "team", ("ci",))
    assert lesson.metadata == {
        "trajectory_id": trajectory_id,
        "outcome": "failed",
        "reward": -2,
        "reward_unit": "tests",
    }
    assert outcome_of(lesson) == outcome_of(head) == -1
    [link] = [each for each in await bench.journal.links([lesson.id]) if each.from_id == lesson.id]
    assert (link.kind, link.to_id, link.to_version) == (LinkKind.CITES, trajectory_id, 2)
    assert lesson.known_at_ns == head.known_at_ns


async def test_what_the_caller_says_takes_the_place_of_the_extract(bench: Bench) -> None:
    trajectory_id = await bench.opened()
    await bench.episodes.step(trajectory_id, StepFields("a step"), AGENT)
    await bench.episodes.close(trajectory_id, CloseFields("done", text="It was the clock."), AGENT)
    said = (await bench.head(trajectory_id)).content
    assert said == "Succeeded: Mend the flaky test (outcome done).\nIt was the clock."


@pytest.mark.requirement("M3")
async def test_opening_the_same_again_is_the_same_while_it_is_open_and_a_new_one_after(bench: Bench) -> None:
    seen = []
    for _ in range(6):
        first, again = await bench.open(), await bench.open()
        assert (again.id, again.acknowledgement.duplicate) == (first.id, True)
        assert not first.acknowledgement.duplicate
        seen.append(first.id)
        await bench.episodes.close(first.id, CloseFields("done"), AGENT)
    assert len(set(seen)) == 6
    other = await bench.open(caller=replace(AGENT, agent="windsurf"))
    assert other.id not in seen


@pytest.mark.requirement("M3")
async def test_a_key_or_an_id_stands_for_one_trajectory(bench: Bench) -> None:
    first = await bench.open(key="k")
    await bench.episodes.close(first.id, CloseFields("done"), AGENT)
    again = await bench.open(key="k")
    assert (again.id, again.outcome, again.acknowledgement.duplicate) == (first.id, "done", True)
    with pytest.raises(IdempotencyConflict, match=r"'k' .*'Mend the flaky test' in default.*'Another'"):
        await bench.open("Another", key="k")
    named = await bench.open(id="my-task")
    assert named.id == "my-task"
    with pytest.raises(IdempotencyConflict) as caught:
        await bench.open("Another", id="my-task")
    assert caught.value.field == "id"
    memory_id = await bench.written("a note")
    with pytest.raises(InvalidInput, match="id of a memory"):
        await bench.open(id=memory_id)


@pytest.mark.requirement("M3")
async def test_a_step_is_known_by_its_key_or_its_content(bench: Bench) -> None:
    trajectory_id = await bench.opened()
    first = (await bench.episodes.step(trajectory_id, StepFields("ran it"), AGENT)).acknowledgement
    again = (await bench.episodes.step(trajectory_id, StepFields("ran it"), AGENT)).acknowledgement
    assert (again.id, again.duplicate) == (first.id, True)
    keyed = (await bench.episodes.step(trajectory_id, StepFields("ran it", key="second run"), AGENT)).acknowledgement
    assert keyed.id != first.id
    with pytest.raises(IdempotencyConflict, match="second run"):
        await bench.episodes.step(trajectory_id, StepFields("other words", key="second run"), AGENT)
    assert (await bench.trajectories.get(trajectory_id)).trajectory.steps == 2


@pytest.mark.requirement("M3")
@pytest.mark.requirement("M13")
async def test_closing_twice_with_the_same_outcome_changes_nothing(bench: Bench) -> None:
    rule = await bench.written("rule")
    other = await bench.written("other")
    trajectory_id = await bench.opened()
    end = CloseFields("failed", -1, lesson="Look first.", cites=(rule,))
    first = await bench.episodes.close(trajectory_id, end, AGENT)
    horizon = await bench.journal.horizon()
    again = await bench.episodes.close(trajectory_id, replace(end, cites=(other,), text="told anew"), AGENT)
    assert again.lesson is not None
    assert first.lesson is not None
    assert (again.acknowledgement.id, again.lesson.id) == (trajectory_id, first.lesson.id)
    assert again.acknowledgement.duplicate
    assert again.lesson.duplicate
    assert await bench.journal.horizon() == horizon
    assert (await bench.standing(rule)).losses == 1
    assert await bench.standing(other) == Standing()
    assert "told anew" not in (await bench.head(trajectory_id)).content


async def test_closing_otherwise_is_a_conflict_that_names_both(bench: Bench) -> None:
    trajectory_id = await bench.opened()
    await bench.episodes.close(trajectory_id, CloseFields("failed", -1, "points", lesson="Look first."), AGENT)
    horizon = await bench.journal.horizon()
    with pytest.raises(IdempotencyConflict, match=r"failed.*done"):
        await bench.episodes.close(trajectory_id, CloseFields("done"), AGENT)
    with pytest.raises(IdempotencyConflict, match=r"-1 points.*7 points"):
        await bench.episodes.close(trajectory_id, CloseFields("failed", 7, "points"), AGENT)
    with pytest.raises(IdempotencyConflict, match=r"Look first.*Look twice"):
        await bench.episodes.close(trajectory_id, CloseFields("failed", -1, "points", lesson="Look twice."), AGENT)
    assert await bench.journal.horizon() == horizon


async def test_a_repeat_may_leave_out_the_reward(bench: Bench) -> None:
    trajectory_id = await bench.opened()
    first = await bench.episodes.close(trajectory_id, CloseFields("failed", -1, "points", lesson="Look first."), AGENT)
    again = await bench.episodes.close(trajectory_id, CloseFields("failed", lesson="Look first."), AGENT)
    assert first.lesson is not None
    assert again.lesson is not None
    assert (again.lesson.id, again.lesson.duplicate) == (first.lesson.id, True)


async def test_a_trajectory_does_not_earn_its_own_credit(bench: Bench) -> None:
    trajectory_id = await bench.opened()
    for attempt in (
        bench.episodes.step(trajectory_id, StepFields("x", cites=(trajectory_id,)), AGENT),
        bench.episodes.close(trajectory_id, CloseFields("won", cites=(trajectory_id,)), AGENT),
    ):
        with pytest.raises(InvalidInput, match="cannot cite itself") as caught:
            await attempt
        assert caught.value.field == "cites"
    later = await bench.opened("Mend it again")
    await bench.episodes.close(trajectory_id, CloseFields("won"), AGENT)
    await bench.episodes.close(later, CloseFields("failed", cites=(trajectory_id,)), AGENT)
    assert (await bench.standing(MemoryId(trajectory_id))).losses == 1


async def test_nothing_is_added_to_what_is_closed(bench: Bench) -> None:
    trajectory_id = await bench.opened()
    await bench.episodes.close(trajectory_id, CloseFields("done"), AGENT)
    with pytest.raises(InvalidInput, match="closed with the outcome 'done'"):
        await bench.episodes.step(trajectory_id, StepFields("too late"), AGENT)


@pytest.mark.requirement("M13")
@pytest.mark.parametrize(("outcome", "reward", "credit"), [("won", 5, 1_000), ("lost", None, -1_000), ("x", None, 0)])
async def test_what_was_cited_gains_or_loses_once_and_not_before(
    bench: Bench, outcome: str, reward: int | None, credit: int
) -> None:
    by_step, by_end, by_both = [await bench.written(name) for name in ("a", "b", "c")]
    trajectory_id = await bench.opened()
    await bench.episodes.step(trajectory_id, StepFields("so I do this", cites=(by_step, by_both)), AGENT)
    before_ns = bench.clock.now_ns()
    bench.clock.advance(10)
    end = CloseFields(outcome, reward, cites=(by_end, by_both, by_both))
    await bench.episodes.close(trajectory_id, end, AGENT)
    await bench.episodes.close(trajectory_id, end, AGENT)
    for memory_id in (by_step, by_end, by_both):
        assert (await bench.standing(memory_id)).credit == credit
        assert await bench.standing(memory_id, before_ns) == Standing()


async def test_what_is_not_there_cannot_be_cited_and_nothing_is_written(bench: Bench) -> None:
    trajectory_id = await bench.opened()
    horizon = await bench.journal.horizon()
    with pytest.raises(NotFound) as step:
        await bench.episodes.step(trajectory_id, StepFields("x", cites=("nobody",)), AGENT)
    with pytest.raises(NotFound) as close:
        await bench.episodes.close(trajectory_id, CloseFields("done", lesson="y", cites=("nobody",)), AGENT)
    assert close.value.field == "cites"
    assert "nobody" in step.value.message + close.value.message
    assert await bench.journal.horizon() == horizon
    assert (await bench.trajectories.head(trajectory_id)).closed_at_ns is None


@pytest.mark.requirement("M5")
@pytest.mark.parametrize("namespace", ["trading", "memory_bank", "strategies/momentum", "strategies"])
async def test_the_runtimes_trajectories_are_not_for_agents(bench: Bench, namespace: str) -> None:
    with pytest.raises(Refused, match="runtime"):
        await bench.open(namespace=namespace)
    opened = OpenTrajectory(TrajectoryId("t"), Namespace(namespace), "trade", "BONK", "open", T0_NS)
    await bench.journal.commit([opened])
    with pytest.raises(Refused, match="runtime"):
        await bench.episodes.step("t", StepFields("mine"), AGENT)
    with pytest.raises(Refused, match="runtime"):
        await bench.episodes.close("t", CloseFields("won", 10**9, lesson="buy more"), AGENT)
    assert (await bench.trajectories.get("t")).steps == ()
    assert (await bench.episodes.close("t", CloseFields("won"), OPERATOR)).outcome == "won"


@pytest.mark.requirement("M5")
async def test_policies_bind_who_writes_and_who_sees(bench: Bench) -> None:
    trajectory_id = await bench.opened(namespace="team/desk")
    await bench.policies.set("team/", {"writers": ["windsurf"], "readers": ["windsurf", "trae"]}, OPERATOR)
    trae, windsurf = replace(AGENT, agent="trae"), replace(AGENT, agent="windsurf")
    with pytest.raises(Refused, match="trae may not write in team/desk"):
        await bench.episodes.step(trajectory_id, StepFields("x"), trae)
    with pytest.raises(Refused, match="may not write"):
        await bench.open(caller=trae, namespace="team")
    with pytest.raises(NotFound):
        await bench.episodes.close(trajectory_id, CloseFields("done"), AGENT)
    with pytest.raises(NotFound):
        await bench.trajectories.recap(trajectory_id, AGENT)
    assert (await bench.trajectories.page(caller=AGENT)).trajectories == ()
    assert len((await bench.trajectories.page(caller=trae)).trajectories) == 1
    with pytest.raises(IdempotencyConflict) as caught:
        await bench.open("Guess", id=trajectory_id)
    assert "Mend" not in caught.value.message
    await bench.policies.set("team/desk", {"trust": "untrusted"}, OPERATOR)
    await bench.episodes.step(trajectory_id, StepFields("from the web"), windsurf)
    closed = await bench.episodes.close(trajectory_id, CloseFields("done", lesson="hm"), windsurf)
    assert closed.lesson is not None
    for memory_id in (MemoryId(trajectory_id), closed.lesson.id):
        memory = await bench.journal.memory(memory_id)
        assert memory is not None
        assert memory.provenance.trust is Trust.UNTRUSTED


@pytest.mark.requirement("M5")
async def test_steps_of_a_hidden_namespace_are_not_shown(bench: Bench) -> None:
    trajectory_id = await bench.opened()
    await bench.episodes.step(trajectory_id, StepFields("seen"), AGENT)
    secret = await bench.written("hidden words", namespace="private", trajectory_id=trajectory_id)
    await bench.policies.set("private", {"readers": ["windsurf"]}, OPERATOR)
    part = await bench.trajectories.get(trajectory_id, caller=AGENT)
    assert [step.content for step in part.steps] == ["seen"]
    _, recap = await bench.trajectories.recap(trajectory_id, AGENT)
    assert "hidden words" not in recap.text
    with pytest.raises(NotFound):
        await bench.episodes.close(trajectory_id, CloseFields("done", cites=(secret,)), AGENT)
    _, all_of_it = await bench.trajectories.recap(trajectory_id, OPERATOR)
    assert "hidden words" in all_of_it.text
    # Closed by one who may read everything: what all readers of the trajectory will see holds nothing of it either.
    await bench.episodes.close(trajectory_id, CloseFields("done"), OPERATOR)
    assert "hidden words" not in (await bench.head(trajectory_id)).content


async def test_a_viewer_writes_nothing(bench: Bench) -> None:
    trajectory_id = await bench.opened()
    for attempt in (
        bench.open(caller=VIEWER),
        bench.episodes.step(trajectory_id, StepFields("x"), VIEWER),
        bench.episodes.close(trajectory_id, CloseFields("done"), VIEWER),
    ):
        with pytest.raises(Refused, match="viewer"):
            await attempt


BIG = "x" * 1_000_000
BAD_OPENINGS: list[tuple[dict[str, Any], str]] = [
    ({"title": ""}, "title"),
    ({"title": " "}, "title"),
    ({"title": "two\nlines"}, "title"),
    ({"title": "bell\x07"}, "title"),
    ({"title": "\ud800"}, "title"),
    ({"title": BIG}, "title"),
    ({"title": "x", "namespace": "../up"}, "namespace"),
    ({"title": "x", "kind": "Not A Kind"}, "kind"),
    ({"title": "x", "tags": ["a"] * 33}, "tags"),
    ({"title": "x", "metadata": {"a": float("nan")}}, "metadata"),
    ({"title": "x", "metadata": {"a": BIG}}, "metadata"),
    ({"title": "x", "metadata": {"reward": 10**9}}, "metadata"),
    ({"title": "x", "metadata": {"outcome": "won"}}, "metadata"),
    ({"title": "x", "id": "a\nb"}, "id"),
    ({"title": "x", "id": ""}, "id"),
    ({"title": "x", "id": "i" * 129}, "id"),
    ({"title": "x", "key": ""}, "idempotency_key"),
    ({"title": "x", "ts": from_ns(T0_NS).replace(tzinfo=None)}, "ts"),
]
BAD_ENDS: list[tuple[dict[str, Any], str]] = [
    ({"outcome": ""}, "outcome"),
    ({"outcome": "\t"}, "outcome"),
    ({"outcome": "x" * 101}, "outcome"),
    ({"outcome": "won\nlost"}, "outcome"),
    ({"outcome": "won", "reward": 2**70}, "reward"),
    ({"outcome": "won", "reward": 1, "reward_unit": "u" * 65}, "reward_unit"),
    ({"outcome": "won", "text": BIG}, "text"),
    ({"outcome": "won", "text": " "}, "text"),
    ({"outcome": "won", "text": "\x00"}, "text"),
    ({"outcome": "won", "lesson": BIG}, "lesson"),
    ({"outcome": "won", "lesson": "\x1b[31m"}, "lesson"),
    ({"outcome": "won", "lesson": "\udfff"}, "lesson"),
    ({"outcome": "won", "cites": ["x"] * 65}, "cites"),
    ({"outcome": "won", "metadata": {"a": 2**70}}, "metadata"),
    ({"outcome": "lost", "metadata": {"reward": 5}}, "metadata"),
    ({"outcome": "won", "ts": from_ns(T0_NS - 10**15)}, "ts"),
]


@pytest.mark.requirement("Q4")
async def test_bad_input_names_the_field_and_changes_nothing(bench: Bench) -> None:
    for given, field in BAD_OPENINGS:
        with pytest.raises(InvalidInput) as caught:
            await bench.episodes.open(OpenFields(**given), AGENT)
        assert (caught.value.field or "").startswith(field), given
    assert await bench.journal.horizon() == 0
    bench.clock.advance(1)
    trajectory_id = await bench.opened()
    horizon = await bench.journal.horizon()
    for given, field in BAD_ENDS:
        with pytest.raises(InvalidInput) as caught:
            await bench.episodes.close(trajectory_id, CloseFields(**given), AGENT)
        assert caught.value.field == field, given
        assert caught.value.message.startswith(field), given
    for content in (BIG, " ", "\x00", "\ud800"):
        with pytest.raises(InvalidInput) as caught:
            await bench.episodes.step(trajectory_id, StepFields(content), AGENT)
        assert caught.value.field == "content"
    assert await bench.journal.horizon() == horizon


async def test_a_text_has_to_fit_together_with_the_line_that_is_put_to_it(bench: Bench) -> None:
    trajectory_id = await bench.opened("t" * 200)
    for name in ("lesson", "text"):
        for length, said in (
            (65_537, "^{} has 65537 bytes"),
            (65_536, "^{} with the line that says what came of it has"),
        ):
            with pytest.raises(PayloadTooLarge, match=said.format(name)) as caught:
                await bench.episodes.close(trajectory_id, CloseFields("o" * 100, **{name: "x" * length}), AGENT)
            assert caught.value.field == name
    closed = await bench.episodes.close(trajectory_id, CloseFields("o" * 100, lesson="x" * 65_000), AGENT)
    assert closed.lesson is not None


@pytest.mark.requirement("M6")
async def test_a_long_trajectory_is_read_at_its_ends_and_told_within_its_budget(bench: Bench) -> None:
    trajectory_id = await bench.opened()
    count = 2 * RECAP_READ_MAX + 40
    await bench.journal.commit(
        [a_draft(f"number {number}", kind="step", trajectory_id=trajectory_id) for number in range(count)]
    )
    trajectory, recap = await bench.trajectories.recap(trajectory_id)
    assert (trajectory.steps, recap.steps_total, recap.unread) == (count, count, 40)
    assert recap.kinds == (("step", count),)
    assert (recap.steps[0].text, recap.steps[-1].text) == ("number 0", f"number {count - 1}")
    assert recap.left_out == count - len(recap.steps)
    await bench.episodes.close(trajectory_id, CloseFields("done"), AGENT)
    head = await bench.head(trajectory_id)
    assert tokens_of(head.content) <= CLOSING_TOKENS_MAX + 40
    assert f"{count} steps" in head.content


@pytest.mark.requirement("M6")
async def test_what_was_cited_later_is_told(bench: Bench) -> None:
    trajectory_id = await bench.opened()
    steps = [
        (await bench.episodes.step(trajectory_id, StepFields(f"{number} {'z' * 180}"), AGENT)).acknowledgement
        for number in range(40)
    ]
    await bench.episodes.step(trajectory_id, StepFields("so be it", cites=(steps[17].id,)), AGENT)
    _, recap = await bench.trajectories.recap(trajectory_id)
    assert {step.id: step.why for step in recap.steps}[steps[17].id] == "cited"


@pytest.mark.requirement("M12")
async def test_a_secret_is_refused_wherever_it_stands_and_nothing_is_written(bench: Bench) -> None:
    secret = f"Authorization: Bearer {'aB3xK9qLm2Vz7Rt5' * 3}"
    trajectory_id = await bench.opened()
    horizon = await bench.journal.horizon()
    for attempt in (
        bench.open(f"Use {secret}"),
        bench.open("x", tags=[secret[:60]]),
        bench.open("x", metadata={"note": secret}),
        bench.open("x", key=secret),
        bench.episodes.step(trajectory_id, StepFields(secret), AGENT),
        bench.episodes.close(trajectory_id, CloseFields("done", text=secret), AGENT),
        bench.episodes.close(trajectory_id, CloseFields("done", lesson=f"never write {secret}"), AGENT),
        bench.episodes.close(trajectory_id, CloseFields("done", metadata={"a": [secret]}), AGENT),
    ):
        with pytest.raises(SecretRefused) as caught:
            await attempt
        assert "aB3xK9" not in caught.value.message
    assert await bench.journal.horizon() == horizon
