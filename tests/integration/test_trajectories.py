"""Trajectories and the summary over HTTP and MCP: the same rules behind both doors."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from mcp import MCPError
from mcp.client import Client
from mcp_types import CallToolResult, Implementation
from tests.support.journals import T0_NS, a_draft
from tests.support.stage import OPERATOR_TOKEN, Stage, error_of, staged

from memmcp_server.domain.caller import Caller
from memmcp_server.domain.identifiers import MemoryId, Namespace, TrajectoryId
from memmcp_server.domain.lifecycle import Standing
from memmcp_server.domain.trajectory import OpenTrajectory
from memmcp_server.wire.memory import TrajectoryPage
from memmcp_server.wire.summary import SummaryAnswer
from memmcp_server.wire.trajectories import TrajectoryAnswer, TrajectoryReport

pytestmark = pytest.mark.anyio
THE_OPERATOR = Caller("operator", "", "test", "operator", "internal")
OPERATOR = {"Authorization": f"Bearer {OPERATOR_TOKEN}"}


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(tmp_path) as opened:
        yield opened


@pytest.fixture
async def client(stage: Stage) -> AsyncIterator[Client]:
    async with Client(stage.mcp, client_info=Implementation(name="cursor", version="1"), mode="legacy") as connected:
        yield connected


def text_of(result: CallToolResult) -> str:
    return "\n".join(block.text for block in result.content if block.type == "text")


async def called(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, text_of(result)
    body: dict[str, Any] = result.structured_content
    return body


async def trajectory(client: Client, action: str, **arguments: Any) -> dict[str, Any]:
    return await called(client, "trajectory", action=action, **arguments)


async def resource(client: Client, uri: str) -> Any:
    answer = await client.read_resource(uri)
    return json.loads(answer.contents[0].text)  # type: ignore[union-attr]


async def posted(stage: Stage, path: str, status: int, **body: Any) -> dict[str, Any]:
    response = await stage.http.post(path, json=body)
    assert response.status_code == status, response.text
    answered: dict[str, Any] = response.json()
    return answered


async def standing(stage: Stage, memory_id: str, as_of_ns: int | None = None) -> Standing:
    found = await stage.services.journal.surroundings([MemoryId(memory_id)], as_of_ns=as_of_ns)
    return found.standings.get(MemoryId(memory_id), Standing())


@pytest.mark.requirement("M6")
@pytest.mark.requirement("A1")
async def test_an_agent_records_an_attempt_and_another_finds_what_failed(stage: Stage, client: Client) -> None:
    opened = await trajectory(client, "open", title="Deploy the relay on Friday", kind="task", tags=["deploy"])
    assert opened["url"] == f"/trajectories/{opened['id']}"
    step = await trajectory(client, "step", id=opened["id"], content="skipped the dry run", kind="decision")
    closed = await trajectory(
        client,
        "close",
        id=opened["id"],
        outcome="failed: rolled back",
        reward=-3,
        reward_unit="hours",
        lesson="Always do the dry run.",
    )
    assert (step["id"], closed["id"]) == (opened["id"], opened["id"])
    assert closed["seq"] > step["seq"] > opened["seq"]
    async with Client(stage.mcp, client_info=Implementation(name="windsurf", version="1")) as other:
        found = await called(other, "memory_search", query="what failed last time", detail="full")
        by_kind = {hit["kind"]: hit for hit in found["hits"]}
        assert by_kind["lesson"]["id"] == closed["lesson_id"]
        assert by_kind["lesson"]["metadata"]["outcome"] == "failed: rolled back"
        assert by_kind["trajectory"]["trajectory_id"] == opened["id"]
        report = await resource(other, f"trajectory://{opened['id']}")
    assert [each["content"] for each in report["steps"]] == ["skipped the dry run"]
    assert report["recap"]["text"].splitlines()[0] == (
        "Failed: Deploy the relay on Friday (outcome failed: rolled back, reward -3 hours)."
    )
    assert TrajectoryReport.model_validate(report).outcome == "failed: rolled back"


@pytest.mark.requirement("M13")
@pytest.mark.requirement("M4")
async def test_a_lesson_that_a_losing_session_relied_on_loses_and_a_winning_one_gains(
    stage: Stage, client: Client
) -> None:
    lesson = await called(client, "memory_write", content="Buy what falls.", kind="lesson")
    opened_at_ns = stage.services.clock.now_ns()
    for number, (outcome, credit) in enumerate((("lost", -1_000), ("won", 0), ("won", 1_000))):
        opened = await trajectory(client, "open", title=f"session {number}")
        step = {"id": opened["id"], "content": "bought the dip", "cites": [lesson["id"]]}
        await trajectory(client, "step", **step)
        assert (await trajectory(client, "step", **step))["duplicate"] is True
        for _ in range(2):
            closed = await trajectory(client, "close", id=opened["id"], outcome=outcome, cites=[lesson["id"]])
        assert closed["duplicate"] is True
        assert (await standing(stage, lesson["id"])).credit == credit
    now = await standing(stage, lesson["id"])
    assert (now.wins, now.losses) == (2, 1)
    assert await standing(stage, lesson["id"], opened_at_ns) == Standing()
    document = (await stage.http.get(lesson["url"])).json()
    assert document["credit"] == 1.0


BAD_CALLS: list[tuple[dict[str, Any], str]] = [
    ({}, "action: "),
    ({"action": "reopen", "id": "t"}, "action: "),
    ({"action": "open"}, "title is required for open"),
    ({"action": "step"}, "id and content are required for step"),
    ({"action": "step", "id": "t"}, "content is required for step"),
    ({"action": "close", "id": "t"}, "outcome is required for close"),
    ({"action": "open", "title": "x", "content": "y"}, "content does not belong to open, which takes title"),
    ({"action": "step", "id": "t", "content": "x", "outcome": "won"}, "outcome does not belong to step"),
    ({"action": "close", "id": "t", "outcome": "won", "kind": "x"}, "kind does not belong to close"),
    ({"action": "open", "title": "x", "agent": "xavier"}, "agent: unknown field"),
    ({"action": "open", "title": "two\nlines"}, "[field: title]"),
    ({"action": "open", "title": ""}, "title: "),
    ({"action": "open", "title": "t" * 201}, "title: "),
    ({"action": "open", "title": "bell\x07"}, "[field: title]"),
    ({"action": "open", "title": "x", "namespace": "trading"}, "[field: namespace]"),
    ({"action": "open", "title": "x", "namespace": "../up"}, "namespace: "),
    ({"action": "open", "title": "x", "id": "a b"}, "id: "),
    ({"action": "step", "id": "nobody", "content": "x"}, "there is no trajectory nobody"),
    ({"action": "step", "id": "t", "content": "x" * 1_000_000}, "payload_too_large: "),
    ({"action": "step", "id": "t", "content": "x\x00y"}, "U+0000"),
    ({"action": "step", "id": "t", "content": "x", "cites": ["nobody"]}, "[field: cites]"),
    ({"action": "step", "id": "t", "content": "x", "cites": ["a"] * 65}, "cites: "),
    ({"action": "step", "id": "desk", "content": "x"}, "refused: "),
    ({"action": "close", "id": "desk", "outcome": "won"}, "refused: "),
    ({"action": "close", "id": "t", "outcome": "won", "reward": 0.5}, "reward: "),
    ({"action": "close", "id": "t", "outcome": "won", "reward": True}, "reward: a number is needed"),
    ({"action": "close", "id": "t", "outcome": "won", "reward": "much"}, "reward: "),
    ({"action": "close", "id": "t", "outcome": "won", "reward": 2**70}, "reward: "),
    ({"action": "close", "id": "t", "outcome": "won", "text": "x" * 1_000_000}, "[field: text]"),
    ({"action": "close", "id": "t", "outcome": "won", "lesson": "\x1b[2J"}, "[field: lesson]"),
    ({"action": "close", "id": "t", "outcome": "won", "metadata": {"n": 2**70}}, "[field: metadata]"),
]


@pytest.mark.requirement("Q4")
async def test_a_wrong_call_says_what_is_wrong_and_changes_nothing(stage: Stage, client: Client) -> None:
    await trajectory(client, "open", title="a task", id="t")
    desk = OpenTrajectory(TrajectoryId("desk"), Namespace("trading"), "trade", "BONK", "open", T0_NS)
    await stage.services.journal.commit([desk])
    horizon = await stage.services.journal.horizon()
    for arguments, said in BAD_CALLS:
        result = await client.call_tool("trajectory", arguments)
        assert result.is_error, arguments
        assert said in text_of(result), (arguments, text_of(result))
        assert "Next: " in text_of(result)
    assert await stage.services.journal.horizon() == horizon


BAD_BODIES: list[tuple[str, bytes, int, str]] = [
    ("/trajectories", b"{}", 422, "title"),
    ("/trajectories", b'{"title": "a\\nb"}', 422, "title"),
    ("/trajectories", b'{"title": "x", "kind": "No"}', 422, "kind"),
    ("/trajectories", b'{"title": "x", "outcome": "won"}', 422, "outcome: unknown field"),
    ("/trajectories", b'{"title": "x", "namespace": "strategies/momentum"}', 403, "runtime"),
    ("/trajectories/t/steps", b'{"content": "\\ud800"}', 422, "unicode"),
    ("/trajectories/t/steps", b'{"content": "' + b"x" * 1_000_000 + b'"}', 413, "content"),
    ("/trajectories/nobody/steps", b'{"content": "x"}', 404, "nobody"),
    ("/trajectories/t/close", b"{}", 422, "outcome"),
    ("/trajectories/t/close", b'{"outcome": "won", "reward": NaN}', 400, "NaN"),
    ("/trajectories/t/close", b'{"outcome": "won", "reward": 1e400}', 422, "reward"),
    ("/trajectories/t/close", b'{"outcome": "won", "reward": 0.25}', 422, "reward"),
    ("/trajectories/t/close", b'{"outcome": "won", "reward": true}', 422, "reward"),
    ("/trajectories/t/close", b'{"outcome": "won", "reward": 1180591620717411303424}', 422, "reward"),
    ("/trajectories/t/close", b'{"outcome": "won", "cites": ["nobody"]}', 404, "nobody"),
]


@pytest.mark.requirement("Q4")
async def test_a_bad_body_is_named_over_http_too(stage: Stage) -> None:
    await posted(stage, "/trajectories", 201, title="a task", id="t")
    horizon = await stage.services.journal.horizon()
    for path, body, status, said in BAD_BODIES:
        response = await stage.http.post(path, content=body, headers={"Content-Type": "application/json"})
        error = error_of(response)
        assert response.status_code == status, (path, body[:80], error)
        assert said in error["message"] + (error.get("field") or ""), (path, body[:80], error)
    assert await stage.services.journal.horizon() == horizon


@pytest.mark.requirement("O1")
@pytest.mark.requirement("M3")
async def test_the_routes_write_the_same_and_repeats_answer_200(stage: Stage) -> None:
    first = await posted(stage, "/trajectories", 201, title="night watch", kind="task", agent="watcher", session="s9")
    again = await posted(stage, "/trajectories", 200, title="night watch", kind="task", agent="watcher", session="s9")
    assert again["id"] == first["id"]
    path = first["url"]
    headers = {"Idempotency-Key": "step-1", "X-Memmcp-Agent": "watcher"}
    for status in (201, 200):
        response = await stage.http.post(f"{path}/steps", json={"content": "looked", "kind": "result"}, headers=headers)
        assert response.status_code == status
    ended = await posted(stage, f"{path}/close", 200, outcome="done", lesson="All was well.", agent="watcher")
    assert TrajectoryAnswer.model_validate(ended).outcome == "done"
    conflict = await stage.http.post(f"{path}/close", json={"outcome": "failed"})
    assert conflict.status_code == 409
    assert "'done'" in error_of(conflict)["message"]
    assert "'failed'" in error_of(conflict)["message"]
    report = TrajectoryReport.model_validate((await stage.http.get(path)).json())
    assert (report.agent, report.steps_total, report.recap) == ("watcher", 1, None)
    short = TrajectoryReport.model_validate((await stage.http.get(f"{path}?detail=summary")).json())
    assert short.steps == []
    assert short.recap is not None
    assert short.recap.text.endswith("- result: looked")
    assert short.recap.steps[0].url == f"/memory/{report.steps[0].id}"
    page = TrajectoryPage.model_validate((await stage.http.get("/trajectories?open=false&kind=task")).json())
    assert [each.id for each in page.trajectories] == [first["id"]]
    assert (await stage.http.get(f"{path}?detail=everything")).status_code == 422


@pytest.mark.requirement("M5")
async def test_policies_hold_on_every_door(stage: Stage, client: Client) -> None:
    opened = await posted(stage, "/trajectories", 201, title="quiet plan", namespace="private/plans", agent="trae")
    note = await posted(stage, "/memory/write", 201, content="quiet note", namespace="private", agent="trae")
    await stage.services.journal.commit([a_draft("loud note")])
    await stage.services.policies.set("private/", {"readers": ["trae"]}, THE_OPERATOR)
    for path in (opened["url"], f"{opened['url']}?detail=summary"):
        assert (await stage.http.get(path)).status_code == 404
        assert (await stage.http.get(path, headers={"X-Memmcp-Agent": "trae"})).status_code == 200
        assert (await stage.http.get(path, headers=OPERATOR)).status_code == 200
    assert (await stage.http.get("/trajectories")).json()["trajectories"] == []
    result = await client.call_tool("trajectory", {"action": "step", "id": opened["id"], "content": "x"})
    assert "there is no trajectory" in text_of(result)
    with pytest.raises(MCPError):
        await client.read_resource(f"trajectory://{opened['id']}")
    assert (await resource(client, "trajectories://private%2Fplans"))["trajectories"] == []
    cited = await client.call_tool("trajectory", {"action": "open", "title": "mine", "id": "mine"})
    assert not cited.is_error
    close = {"action": "close", "id": "mine", "outcome": "won", "cites": [note["id"]]}
    assert "[field: cites]" in text_of(await client.call_tool("trajectory", close))
    for seen in (await summary(stage), await resource(client, "memory://summary")):
        told = json.dumps(seen if isinstance(seen, dict) else seen.model_dump(mode="json"))
        assert "quiet" not in told
        assert "loud note" in told


async def summary(stage: Stage, **query: Any) -> SummaryAnswer:
    response = await stage.http.get("/memory/summary", params=query)
    assert response.status_code == 200, response.text
    return SummaryAnswer.model_validate(response.json())


@pytest.mark.requirement("M18")
@pytest.mark.requirement("O1")
async def test_the_summary_counts_and_shows_what_weighs_most(stage: Stage) -> None:
    commit = stage.services.journal.commit
    await commit([a_draft("plain", kind="note"), a_draft("grave", kind="note", importance=90, agent="trae")])
    await commit([a_draft("pinned", kind="rule", pinned=True), a_draft("old", expires_at_ns=T0_NS + 1, pinned=False)])
    await commit([a_draft("m1", namespace="strategies/momentum", kind="digest")])
    await commit([a_draft(f"r{n}", namespace="strategies/reversion", kind="digest") for n in range(2)])
    answer = await summary(stage)
    assert (answer.by, answer.total) == ("kind", 7)
    assert {(each.name, each.count) for each in answer.counts} == {("note", 3), ("digest", 3), ("rule", 1)}
    assert [each.text for each in answer.highlights[:2]] == ["pinned", "grave"]
    assert "old" not in {each.text for each in (*answer.highlights, *answer.newest)}
    assert [each.text for each in answer.newest[:2]] == ["r1", "r0"]
    assert answer.highlights[0].url == f"/memory/{answer.highlights[0].id}"
    by_strategy = await summary(stage, by="strategy")
    assert [(each.name, each.count) for each in by_strategy.counts] == [("reversion", 2), ("momentum", 1)]
    assert by_strategy.total == 3
    assert {each.name for each in (await summary(stage, by="agent")).counts} == {"claude", "trae"}
    of_agent = await summary(stage, agent="trae", kind="note", by="namespace", limit=1)
    assert [(each.name, each.count) for each in of_agent.counts] == [("default", 1)]
    assert (await summary(stage, namespace="strategies/")).total == 3
    assert (await summary(stage, since="2030-01-01T00:00:00Z")).total == 0
    assert (await summary(stage, until="2030-01-01T00:00:00Z")).total == 7


@pytest.mark.requirement("M7")
@pytest.mark.requirement("M18")
async def test_a_digest_says_what_made_it_stale(stage: Stage) -> None:
    async def write(content: str, **more: Any) -> str:
        written = await posted(stage, "/memory/write", 201, content=content, **more)
        memory_id: str = written["id"]
        return memory_id

    right, wrong, changed = await write("right"), await write("wrong"), await write("changed")
    digest = await write("all is well", kind="digest", cites=[right, wrong, changed])
    fresh = (await summary(stage)).digests
    assert [(each.id, each.stale) for each in fresh] == [(digest, None)]
    await write("less wrong", supersedes=[wrong])
    await posted(stage, f"/memory/{changed}/update", 200, content="changed indeed")
    [stale] = (await summary(stage)).digests
    assert stale.stale == [f"{wrong} was superseded", f"{changed} was updated since (version 2)"]
    assert (await stage.http.get(f"/memory/{digest}")).json()["stale"] == stale.stale


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"by": "mood"}, "by"),
        ({"limit": 0}, "limit"),
        ({"limit": 51}, "limit"),
        ({"namespace": "../up"}, "namespace"),
        ({"namespace": "team", "by": "strategy"}, "namespace"),
        ({"since": "yesterday"}, "since"),
        ({"since": "2026-01-02T00:00:00"}, "since"),
        ({"since": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"}, "since"),
        ({"kind": "No"}, "kind"),
        ({"window": "7d"}, "window"),
    ],
)
@pytest.mark.requirement("Q4")
async def test_a_wrong_question_for_a_summary_names_its_field(stage: Stage, query: dict[str, Any], field: str) -> None:
    response = await stage.http.get("/memory/summary", params=query)
    assert response.status_code == 422
    assert error_of(response)["field"] == field


async def test_the_summary_of_a_namespace_is_a_resource_and_an_empty_one_is_no_error(
    stage: Stage, client: Client
) -> None:
    await called(client, "memory_write", content="a word", namespace="team/a")
    assert (await resource(client, "memory://summary?namespace=team/"))["total"] == 1
    assert (await resource(client, "memory://summary?namespace=nowhere"))["total"] == 0
    assert (await resource(client, "memory://summary"))["total"] == 1
    with pytest.raises(MCPError):
        await client.read_resource("memory://summary?namespace=..%2Fup")
