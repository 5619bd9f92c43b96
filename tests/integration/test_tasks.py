"""Tasks: one claimer at a time, leases that end, answers that are memories; through MCP, HTTP and notifications."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from mcp.client import Client
from mcp_types import Implementation
from tests.doubles.clocks import ManualClock
from tests.support.migrated import migrated
from tests.support.stage import OPERATOR_TOKEN, Stage, error_of, staged

from memmcp_server.adapters.secrets import RuleScanner
from memmcp_server.adapters.sql_journal import open_journal
from memmcp_server.config import JournalSection, TasksSection
from memmcp_server.domain.caller import Caller
from memmcp_server.domain.identifiers import TrajectoryId
from memmcp_server.domain.memory import MemoryFilter, Namespace
from memmcp_server.domain.task import ATTEMPTS_MAX, TASKS_NAMESPACE, TaskFields, TaskState
from memmcp_server.domain.trajectory import CloseTrajectory, OpenTrajectory
from memmcp_server.errors import IdempotencyConflict, InvalidInput, NotFound, Refused, SecretRefused
from memmcp_server.ports import Journal
from memmcp_server.services.loss_reviews import LossReviews
from memmcp_server.services.policies import Policies
from memmcp_server.services.tasks import HELD_MAX, Tasks

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("A6")]
BEARER = {"Authorization": f"Bearer {OPERATOR_TOKEN}"}
OPERATOR = Caller("operator", "", "test", "operator", "http")
LOSS = TaskFields("Why did BONK lose?", kind="review_loss", text="Look at the fee.", lease_s=60, claim_within_s=300)


def agent(name: str) -> Caller:
    return Caller(name, "", "agent_task", "agent", "stdio")


@dataclass
class Scene:
    journal: Journal
    tasks: Tasks
    clock: ManualClock

    async def alerts(self) -> list[str]:
        where = MemoryFilter(namespace=TASKS_NAMESPACE, kinds=("alert",))
        return [each.content for each in await self.journal.page(where, after=None, limit=50, newest_first=False)]


@asynccontextmanager
async def a_scene(folder: Path) -> AsyncIterator[Scene]:
    clock = ManualClock()
    async with open_journal(JournalSection(), migrated(folder), clock) as journal:
        yield Scene(journal, Tasks(journal, Policies(journal, clock), RuleScanner(), clock), clock)


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with a_scene(tmp_path) as opened:
        yield opened


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(tmp_path) as opened:
        yield opened


async def test_of_many_that_claim_at_once_one_gets_it_and_the_others_learn_who(scene: Scene) -> None:
    task_id = (await scene.tasks.file(LOSS, OPERATOR)).view.task.id
    won, refused = [], []

    async def claim(name: str) -> None:
        try:
            won.append((await scene.tasks.claim(task_id, agent(name))).view.task.claimed_by)
        except Refused as error:
            refused.append(error.message)

    async with anyio.create_task_group() as claims:
        for number in range(20):
            claims.start_soon(claim, f"agent-{number}")
    assert len(won) == 1
    assert len(refused) == 19
    assert all(f"held by {won[0]}" in each for each in refused)
    assert len(await scene.journal.versions(task_id)) == 2


async def test_a_lease_that_ends_opens_the_task_again_and_the_last_one_expires_it(scene: Scene) -> None:
    task_id = (await scene.tasks.file(LOSS, OPERATOR)).view.task.id
    for number in range(ATTEMPTS_MAX):
        assert (await scene.tasks.claim(task_id, agent(f"a{number}"))).view.task.attempts == number + 1
        scene.clock.advance(59)
        assert (await scene.tasks.get(task_id, OPERATOR)).task.state is TaskState.CLAIMED
        scene.clock.advance(1)
        await scene.tasks.look()
    ended = (await scene.tasks.get(task_id, OPERATOR)).task
    assert ended.state is TaskState.EXPIRED
    assert "a2 claimed it and did not answer" in ended.note
    with pytest.raises(Refused, match="expired already"):
        await scene.tasks.claim(task_id, agent("late"))
    assert len(await scene.alerts()) == 1


async def test_whoever_is_late_may_answer_until_somebody_else_holds_it(scene: Scene) -> None:
    late = (await scene.tasks.file(LOSS, OPERATOR)).view.task.id
    await scene.tasks.claim(late, agent("slow"))
    scene.clock.advance(61)
    await scene.tasks.look()
    done = await scene.tasks.answer(late, "The fee was half of it.", agent("slow"), is_done=True)
    assert done.view.task.state is TaskState.DONE
    taken = (await scene.tasks.file(LOSS, OPERATOR)).view.task.id
    await scene.tasks.claim(taken, agent("slow"))
    scene.clock.advance(61)
    await scene.tasks.claim(taken, agent("quick"))
    with pytest.raises(Refused, match="held by quick"):
        await scene.tasks.answer(taken, "mine", agent("slow"), is_done=True)


async def test_an_answer_is_a_memory_that_cites_the_task_and_a_repeat_writes_no_second(scene: Scene) -> None:
    task_id = (await scene.tasks.file(LOSS, OPERATOR)).view.task.id
    await scene.tasks.claim(task_id, agent("a"))
    first = await scene.tasks.answer(task_id, "Too late an exit.", agent("a"), is_done=True)
    again = await scene.tasks.answer(task_id, "Too late an exit.", agent("a"), is_done=True)
    assert (first.duplicate, again.duplicate) == (False, True)
    result = first.view.result
    assert result is not None
    assert (result.kind, result.content, result.provenance.agent) == ("result", "Too late an exit.", "a")
    [link] = [each for each in await scene.journal.links([result.id]) if each.from_id == result.id]
    assert (link.kind, link.to_id) == ("cites", task_id)
    where = MemoryFilter(namespace=TASKS_NAMESPACE, kinds=("result",))
    assert len(await scene.journal.page(where, after=None, limit=9, newest_first=False)) == 1


async def test_nobody_answers_what_he_does_not_hold(scene: Scene) -> None:
    task_id = (await scene.tasks.file(LOSS, OPERATOR)).view.task.id
    with pytest.raises(Refused, match="nobody holds it"):
        await scene.tasks.answer(task_id, "guess", agent("a"), is_done=True)
    await scene.tasks.claim(task_id, agent("a"))
    with pytest.raises(Refused, match="held by a"):
        await scene.tasks.answer(task_id, "guess", agent("b"), is_done=False)
    where = MemoryFilter(namespace=TASKS_NAMESPACE, kinds=("result",))
    assert await scene.journal.page(where, after=None, limit=9, newest_first=False) == []


async def test_the_operator_is_told_once_of_what_nobody_claims(scene: Scene) -> None:
    task_id = (await scene.tasks.file(LOSS, OPERATOR)).view.task.id
    scene.clock.advance(299)
    await scene.tasks.look()
    assert await scene.alerts() == []
    scene.clock.advance(1)
    for _ in range(3):
        await scene.tasks.look()
    [told] = await scene.alerts()
    assert task_id in told
    assert "nobody claimed it within 300 s" in told
    assert (await scene.tasks.claim(task_id, agent("a"))).view.task.state is TaskState.CLAIMED


async def test_the_same_key_files_one_task_and_stands_for_nothing_else(scene: Scene) -> None:
    fields = TaskFields("Judge the launch", kind="judge_launch", key="launch-1")
    first = await scene.tasks.file(fields, OPERATOR)
    again = await scene.tasks.file(fields, OPERATOR)
    assert (first.view.task.id, False, True) == (again.view.task.id, first.duplicate, again.duplicate)
    with pytest.raises(IdempotencyConflict, match="not for 'Another'"):
        await scene.tasks.file(TaskFields("Another", key="launch-1"), OPERATOR)
    other = await scene.tasks.file(TaskFields("Another", key="launch-1"), agent("a"))
    assert other.view.task.id != first.view.task.id


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        (TaskFields(" "), "title"),
        (TaskFields("x" * 201), "title"),
        (TaskFields("x", kind="Review Loss"), "kind"),
        (TaskFields("x", text="y" * 8_001), "text"),
        (TaskFields("x", lease_s=0), "lease_s"),
        (TaskFields("x", lease_s=86_401), "lease_s"),
        (TaskFields("x", priority=101), "priority"),
        (TaskFields("x", claim_within_s=0), "claim_within_s"),
        (TaskFields("x", context=tuple(f"m{n}" for n in range(17))), "context"),
    ],
)
async def test_a_task_that_cannot_be_is_refused_by_its_field(scene: Scene, fields: TaskFields, named: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        await scene.tasks.file(fields, OPERATOR)
    assert refused.value.field == named
    assert (await scene.tasks.page())[0] == []


async def test_no_secret_gets_into_a_task_and_no_unknown_memory_either(scene: Scene) -> None:
    with pytest.raises(SecretRefused):
        await scene.tasks.file(TaskFields("Use it", text="api key sk-ant-api03-" + "Ab9" * 31), OPERATOR)
    with pytest.raises(NotFound):
        await scene.tasks.file(TaskFields("Look", context=("no-such-memory",)), OPERATOR)


async def test_an_agent_holds_few_at_a_time_and_takes_back_only_its_own(scene: Scene) -> None:
    ids = [(await scene.tasks.file(TaskFields(f"t{n}"), OPERATOR)).view.task.id for n in range(HELD_MAX + 1)]
    for task_id in ids[:-1]:
        await scene.tasks.claim(task_id, agent("greedy"))
    with pytest.raises(Refused, match=f"holds {HELD_MAX} tasks"):
        await scene.tasks.claim(ids[-1], agent("greedy"))
    await scene.tasks.claim(ids[0], agent("greedy"))  # a longer lease of its own is no new one
    with pytest.raises(Refused, match="only he or the operator"):
        await scene.tasks.cancel(ids[-1], "no need", agent("greedy"))
    assert (await scene.tasks.cancel(ids[-1], "no need", OPERATOR)).view.task.state is TaskState.CANCELLED


async def test_the_most_urgent_is_offered_first(scene: Scene) -> None:
    for title, priority in (("old", 50), ("urgent", 90), ("new", 50)):
        await scene.tasks.file(TaskFields(title, priority=priority), OPERATOR)
        scene.clock.advance(1)
    found, _ = await scene.tasks.page(state=TaskState.OPEN)
    assert [each.title for each in found] == ["urgent", "old", "new"]


async def test_tasks_outlive_the_daemon(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as before:
        task_id = (await before.tasks.file(LOSS, OPERATOR)).view.task.id
        await before.tasks.claim(task_id, agent("a"))
    async with a_scene(tmp_path) as after:
        held = (await after.tasks.get(task_id, OPERATOR)).task
        assert (held.state, held.claimed_by, held.text) == (TaskState.CLAIMED, "a", "Look at the fee.")


# The doors


def client_of(stage: Stage, name: str, mode: Any = "legacy", **more: Any) -> Client:
    return Client(stage.mcp, client_info=Implementation(name=name, version="1"), mode=mode, **more)


async def test_a_task_goes_from_the_operator_to_an_agent_and_back(stage: Stage) -> None:
    noted = (await stage.http.post("/memory/write", json={"content": "BONK fell 9 % in a minute"})).json()["id"]
    body = {"title": "Why did BONK lose?", "kind": "review_loss", "context": [noted]}
    filed = await stage.http.post("/tasks", json=body, headers=BEARER)
    assert filed.status_code == 201
    task_id = filed.json()["task"]["id"]
    async with client_of(stage, "claude") as claude, client_of(stage, "cursor") as cursor:
        listed = await claude.call_tool("agent_task_list", {"kind": "review_loss"})
        assert [each["id"] for each in listed.structured_content["tasks"]] == [task_id]
        claimed = await claude.call_tool("agent_task", {"action": "claim", "id": task_id})
        assert claimed.structured_content["task"]["context"][0]["text"] == "BONK fell 9 % in a minute"
        late = await cursor.call_tool("agent_task", {"action": "claim", "id": task_id})
        assert late.is_error
        assert "held by claude until" in late.content[0].text
        await claude.call_tool("agent_task", {"action": "complete", "id": task_id, "text": "The stop was wide."})
    shown = (await stage.http.get(f"/tasks/{task_id}")).json()
    assert (shown["state"], shown["claimed_by"], shown["result"]["text"]) == (
        "done",
        "claude",
        "The stop was wide.",
    )
    assert (await stage.http.get("/tasks", params={"state": "open"})).json()["tasks"] == []


async def test_a_task_is_changed_by_its_own_steps_only(stage: Stage) -> None:
    task_id = (await stage.http.post("/tasks", json={"title": "mine"}, headers=BEARER)).json()["task"]["id"]
    async with client_of(stage, "sly") as sly:
        for tool, arguments in (
            ("memory_update", {"id": task_id, "metadata": {"state": "done", "claimed_by": "sly"}}),
            ("memory_forget", {"id": task_id, "reason": "not wanted"}),
            ("memory_write", {"content": "a task", "namespace": "tasks", "kind": "task"}),
        ):
            answer = await sly.call_tool(tool, arguments)
            assert answer.is_error, tool
    assert (await stage.http.get(f"/tasks/{task_id}")).json()["state"] == "open"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"action": "claim"}, "id is required for claim"),
        ({"action": "complete", "id": "x"}, "text is required for complete"),
        ({"action": "claim", "id": "x", "title": "y"}, "title does not belong to claim"),
        ({"action": "claim", "id": "no-such-task"}, "there is no task no-such-task"),
    ],
)
async def test_a_wrong_call_says_what_to_do(stage: Stage, arguments: dict[str, Any], told: str) -> None:
    async with client_of(stage, "claude") as client:
        answer = await client.call_tool("agent_task", arguments)
    assert answer.is_error
    assert told in answer.content[0].text
    assert "Next:" in answer.content[0].text


async def test_over_http_an_agent_neither_cancels_anothers_nor_answers_unheld(stage: Stage) -> None:
    task_id = (await stage.http.post("/tasks", json={"title": "t"}, headers=BEARER)).json()["task"]["id"]
    for step, body in (("cancel", {"reason": "because"}), ("complete", {"text": "done"})):
        refused = await stage.http.post(f"/tasks/{task_id}/{step}", json=body)
        assert refused.status_code == 403
        assert error_of(refused)["field"] == "id"


@pytest.mark.requirement("A2")
@pytest.mark.filterwarnings("ignore::mcp.MCPDeprecationWarning")
@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
async def test_whoever_follows_open_tasks_hears_of_a_new_one(stage: Stage, mode: str) -> None:
    heard = anyio.Event()
    if mode == "legacy":

        async def note(message: Any) -> None:
            if getattr(getattr(message, "params", None), "uri", None) == "tasks://open":
                heard.set()

        async with client_of(stage, "claude", message_handler=note) as client:
            await client.subscribe_resource("tasks://open")
            await stage.http.post("/tasks", json={"title": "now"}, headers=BEARER)
            with anyio.fail_after(30):
                await heard.wait()
            read = await client.read_resource("tasks://open")
    else:
        async with (
            client_of(stage, "claude", mode) as client,
            client.listen(resource_subscriptions=["tasks://open"]) as news,
        ):
            await stage.http.post("/tasks", json={"title": "now"}, headers=BEARER)
            with anyio.fail_after(30):
                async for each in news:
                    if str(each.uri) == "tasks://open":
                        break
            read = await client.read_resource("tasks://open")
    assert '"title":"now"' in read.contents[0].text


# Filed by the loop


async def test_a_loss_of_the_desk_becomes_one_task_and_a_small_one_none(stage: Stage) -> None:
    services = stage.services
    section = TasksSection(loss_reviews_per_day_max=2, loss_lamports_min=1_000)
    reviews = LossReviews(services.news, services.tasks, services.clock, section)
    rewards = {"big": -5_000, "small": -999, "won": 9_000, "second": -1_000, "third": -7_000}
    async with anyio.create_task_group() as running:
        running.start_soon(reviews.run)
        await anyio.lowlevel.checkpoint()
        for name, reward in rewards.items():
            now_ns = services.clock.now_ns()
            trade = TrajectoryId(f"trade-{name}")
            opened = OpenTrajectory(trade, Namespace("trading"), "trade", name, f"Buy {name}", now_ns)
            await services.journal.commit([opened])
            closed = CloseTrajectory(trade, "lost" if reward < 0 else "won", f"Sold {name}", now_ns, reward, "lamports")
            await services.journal.commit([closed, closed])
        with anyio.fail_after(30):
            while len((await services.tasks.page(state=TaskState.OPEN))[0]) < 2:  # noqa: ASYNC110 - rows, not an event
                await anyio.sleep(0.01)
        await anyio.sleep(0.2)
        found, _ = await services.tasks.page(state=TaskState.OPEN)
        running.cancel_scope.cancel()
    assert sorted(each.context for each in found) == [("trade-big",), ("trade-second",)]
    assert {each.kind for each in found} == {"review_loss"}
