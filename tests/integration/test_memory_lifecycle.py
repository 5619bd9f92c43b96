"""What becomes of memories, through the doors: HTTP, MCP and the operator's routes."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from mcp import MCPError
from mcp.client import Client
from mcp_types import Implementation
from solders.keypair import Keypair
from tests.support.stage import OPERATOR_TOKEN, Stage, error_of, staged

pytestmark = pytest.mark.anyio
OPERATOR = {"Authorization": f"Bearer {OPERATOR_TOKEN}"}


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(tmp_path) as opened:
        yield opened


async def post(stage: Stage, path: str, body: dict[str, Any], status: int = 200, **headers: str) -> dict[str, Any]:
    response = await stage.http.post(path, json=body, headers=headers)
    assert response.status_code == status, response.text
    answer: dict[str, Any] = response.json()
    return answer


async def get(stage: Stage, path: str, status: int = 200, **headers: str) -> dict[str, Any]:
    response = await stage.http.get(path, headers=headers)
    assert response.status_code == status, response.text
    answer: dict[str, Any] = response.json()
    return answer


async def written(stage: Stage, content: str, **more: Any) -> str:
    return str((await post(stage, "/memory/write", {"content": content, "agent": "claude", **more}, 201))["id"])


def agent_of(stage: Stage, name: str) -> Client:
    return Client(stage.mcp, client_info=Implementation(name=name, version="1"), mode="2026-07-28")


async def called(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    body: dict[str, Any] = result.structured_content
    return body


@pytest.mark.requirement("M8")
@pytest.mark.requirement("O1")
async def test_an_update_over_http_is_a_version_with_a_history(stage: Stage) -> None:
    memory_id = await written(stage, "fee is 25 bps", metadata={"pool": "a"})
    answer = await post(stage, f"/memory/{memory_id}/update", {"content": "fee is 30 bps", "importance": 80})
    assert (answer["id"], answer["version"], answer["duplicate"]) == (memory_id, 2, False)
    document = await get(stage, f"/memory/{memory_id}")
    assert (document["content"], document["metadata"], document["importance"]) == ("fee is 30 bps", {"pool": "a"}, 80)
    history = (await get(stage, f"/memory/{memory_id}/history"))["versions"]
    assert [(each["version"], each["content"]) for each in history] == [(1, "fee is 25 bps"), (2, "fee is 30 bps")]
    assert (await get(stage, f"/memory/{memory_id}?version=1"))["superseded_at"] is not None


@pytest.mark.requirement("M17")
async def test_a_fact_that_replaces_another_is_found_in_its_place(stage: Stage) -> None:
    old = await written(stage, "the fee of the pool is 25 bps", kind="fact")
    new = await written(stage, "the fee of the pool is 30 bps", kind="fact", supersedes=[old])
    hits = (await get(stage, "/memory/search?query=fee of the pool"))["hits"]
    assert [hit["id"] for hit in hits] == [new]
    [link] = (await get(stage, f"/memory/{old}"))["links"]
    assert (link["kind"], link["direction"], link["id"], link["url"]) == ("supersedes", "in", new, f"/memory/{new}")
    await post(stage, f"/memory/{old}/restore", {"reason": "both pools exist"})
    hits = (await get(stage, "/memory/search?query=fee of the pool"))["hits"]
    assert {hit["id"] for hit in hits} == {old, new}


@pytest.mark.requirement("M8")
async def test_an_agent_corrects_confirms_and_supersedes_over_mcp(stage: Stage) -> None:
    async with agent_of(stage, "cursor") as client:
        fact = await called(client, "memory_write", content="the deploy key rotates every 30 days", kind="fact")
        await called(client, "memory_update", id=fact["id"], content="the deploy key rotates every 60 days")
        confirmed = await called(client, "memory_update", id=fact["id"], confirm=True)
        assert confirmed["version"] == 2
        newer = await called(client, "memory_write", content="there is no deploy key", supersedes=[fact["id"]])
        digest = await called(client, "memory_write", content="keys: none", kind="digest", cites=[newer["id"]])
        await called(client, "memory_update", id=newer["id"], content="there is a deploy key again")
        result = await client.call_tool("memory_update", {"id": fact["id"], "content": "x"})
        assert result.is_error
    document = await get(stage, f"/memory/{fact['id']}")
    assert document["confirmed_at"] is not None
    [reason] = (await get(stage, f"/memory/{digest['id']}"))["stale"]
    assert "updated since" in reason


@pytest.mark.requirement("M3")
async def test_a_call_that_a_bridge_repeats_updates_once(stage: Stage) -> None:
    memory_id = await written(stage, "a")
    async with agent_of(stage, "cursor") as client:
        for _ in range(2):
            answer = await called(client, "memory_update", id=memory_id, content="b", idempotency_key="stamp-1")
            assert answer["version"] == 2


@pytest.mark.requirement("M5")
async def test_policies_are_the_operators_and_bind_every_door(stage: Stage) -> None:
    assert error_of(await stage.http.get("/admin/namespaces"))["code"] == "unauthorized"
    policy = {"namespace": "desk/", "policy": {"readers": ["claude"], "writers": ["claude"]}}
    answer = await post(stage, "/admin/namespaces", policy, **OPERATOR)
    assert answer["policies"] == {"desk/": {"readers": ["claude"], "writers": ["claude"]}}
    secret = await written(stage, "the plan is to rotate", namespace="desk/plans")
    await post(stage, "/memory/write", {"content": "mine", "namespace": "desk/plans", "agent": "cursor"}, 403)
    as_cursor = {"X-Memmcp-Agent": "cursor"}
    await get(stage, f"/memory/{secret}", 404, **as_cursor)
    await get(stage, f"/memory/{secret}/history", 404, **as_cursor)
    assert (await get(stage, "/memory/search?query=plan rotate", **as_cursor))["hits"] == []
    assert (await get(stage, "/memory/search?query=plan rotate", **{"X-Memmcp-Agent": "claude"}))["hits"] != []
    assert (await get(stage, "/memory/search?query=plan rotate", **OPERATOR))["hits"] != []
    async with agent_of(stage, "cursor") as client:
        assert (await called(client, "memory_search", query="plan rotate"))["hits"] == []
        with pytest.raises(MCPError, match="there is no memory"):
            await client.read_resource(f"memory://desk/plans/{secret}")
    async with agent_of(stage, "claude") as client:
        [read] = (await client.read_resource(f"memory://desk/plans/{secret}")).contents
        assert "the plan is to rotate" in read.text
        assert [hit["id"] for hit in (await called(client, "memory_search", query="plan rotate"))["hits"]] == [secret]
    effective = await get(stage, "/admin/namespaces?namespace=desk/plans", **OPERATOR)
    assert effective["effective"]["readers"] == ["claude"]
    await post(stage, "/admin/namespaces", {"namespace": "desk/", "policy": None}, **OPERATOR)
    assert (await get(stage, "/memory/search?query=plan rotate", **as_cursor))["hits"] != []


async def test_a_wrong_policy_is_refused_with_its_field(stage: Stage) -> None:
    response = await stage.http.post(
        "/admin/namespaces", json={"namespace": "a", "policy": {"retention": 3}}, headers=OPERATOR
    )
    assert response.status_code == 422
    assert error_of(response)["field"] == "policy.retention"


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/memory/nope/update", {"content": "x"}, 404, "not_found"),
        ("/memory/nope/restore", {"reason": "why not"}, 404, "not_found"),
        ("/memory/{id}/update", {}, 422, "invalid_input"),
        ("/memory/{id}/update", {"contents": "x"}, 422, "invalid_input"),
        ("/memory/{id}/update", {"importance": True}, 422, "invalid_input"),
        ("/memory/{id}/update", {"clear": ["content"]}, 422, "invalid_input"),
        ("/memory/{id}/update", {"content": "x", "expected_version": 9}, 409, "idempotency_conflict"),
        ("/memory/{id}/update", {"supersedes": ["nope"]}, 404, "not_found"),
        ("/memory/{id}/restore", {}, 422, "invalid_input"),
    ],
)
async def test_wrong_requests_say_what_is_wrong(
    stage: Stage, path: str, body: dict[str, Any], status: int, code: str
) -> None:
    memory_id = await written(stage, "a")
    response = await stage.http.post(path.replace("{id}", memory_id), json=body)
    assert (response.status_code, error_of(response)["code"]) == (status, code)


REPORT = {"desk_id": "bot", "key": "k", "ts": "2026-01-01T00:00:00Z", "money": "paper", "equity_lamports": 1}
KEY_PAIR = str(Keypair.from_seed(bytes(range(32))))


@pytest.mark.requirement("M12")
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/memory/write", {"content": f"the wallet is {KEY_PAIR}"}),
        ("/memory/write", {"content": "x", "metadata": {"wallet": {"key": KEY_PAIR}}}),
        ("/memory/write", {"content": "x", "idempotency_key": KEY_PAIR}),
        ("/memory/{id}/update", {"content": KEY_PAIR}),
        ("/memory/{id}/restore", {"reason": f"key {KEY_PAIR}"}),
        ("/telemetry/trading", {**REPORT, "detail": {"note": KEY_PAIR}}),
        ("/tasks", {"title": "look", "text": f"the wallet is {KEY_PAIR}"}),
        ("/tasks", {"title": "look", "idempotency_key": KEY_PAIR}),
        ("/actions/stop-entries", {"reason": f"key {KEY_PAIR}"}),
    ],
)
async def test_no_door_lets_a_secret_through_nor_repeats_it(stage: Stage, path: str, body: dict[str, Any]) -> None:
    memory_id = await written(stage, "a")
    horizon = await stage.services.journal.horizon()
    response = await stage.http.post(path.replace("{id}", memory_id), json=body, headers=OPERATOR)
    assert (response.status_code, error_of(response)["code"]) == (422, "secret_refused"), response.text
    assert KEY_PAIR[:20] not in response.text
    since = await stage.services.journal.changes(horizon, limit=10)
    assert [change.memory for change in since if change.memory is not None] == []
    assert KEY_PAIR[:20] not in repr(since)
    # That the desk refused something is in the audit, by its code.
    assert [change.audit.detail["code"] for change in since if change.audit] == (
        ["secret_refused"] if path.startswith("/actions/") else []
    )
    assert stage.trading.calls == []


@pytest.mark.requirement("M12")
async def test_a_tool_refuses_a_secret_and_says_what_to_do(stage: Stage) -> None:
    async with agent_of(stage, "cursor") as client:
        for tool, arguments in (
            ("memory_write", {"content": f"the wallet is {KEY_PAIR}"}),
            ("trading_control", {"action": "stop_entries", "reason": f"it is {KEY_PAIR}"}),
            ("place_trade", {"side": "buy", "mint": "BONK", "amount_sol": "0.1", "reason": f"it is {KEY_PAIR}"}),
        ):
            result = await client.call_tool(tool, arguments)
            assert result.is_error
            said = str(result.content)
            assert "secret_refused" in said
            assert KEY_PAIR[:20] not in said
    assert stage.trading.calls == []


@pytest.mark.requirement("M12")
async def test_an_import_cuts_secrets_out_and_counts_them(stage: Stage) -> None:
    memory_id = await written(stage, "harmless")
    [line] = [
        line
        for line in (await get(stage, "/admin/export?part=memories", **OPERATOR))["lines"]
        if line["id"] == memory_id
    ]
    lines = [{**line, "id": "brought-1", "content": f"wallet {KEY_PAIR}"}, {**line, "id": "brought-2"}]
    answer = await post(stage, "/admin/import", {"lines": lines}, **OPERATOR)
    assert (answer["taken"], answer["redacted"]) == (2, 1)
    document = await get(stage, "/memory/brought-1")
    assert document["content"] == "wallet [secret removed: solana_private_key]"
