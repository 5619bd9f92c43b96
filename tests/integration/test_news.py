"""News through the doors: GET /memory/changes, the MCP resource and its notifications, the block in tools' answers."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from mcp import MCPError
from mcp.client import Client
from mcp_types import CallToolResult, Implementation, ResourceUpdatedNotification
from tests.support.stage import OPERATOR_TOKEN, Stage, error_of, staged

from memmcp_server.domain.caller import Caller
from memmcp_server.domain.identifiers import MemoryId
from memmcp_server.domain.lifecycle import ForgetMemory
from memmcp_server.domain.memory import Provenance
from memmcp_server.tools.resources import MEMORY_CHANGES
from memmcp_server.wire.budget import tokens_of

pytestmark = pytest.mark.anyio
PATIENCE_S = 30
ERAS = ["legacy", "2026-07-28"]
OPERATOR = Caller("cli", "", "test", "operator", "cli")
BEARER = {"Authorization": f"Bearer {OPERATOR_TOKEN}"}


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(tmp_path) as opened:
        yield opened


def client_of(stage: Stage, name: str, mode: Any = "legacy", **more: Any) -> Client:
    return Client(stage.mcp, client_info=Implementation(name=name, version="1"), mode=mode, **more)


async def written(stage: Stage, content: str, agent: str = "claude", **fields: Any) -> dict[str, Any]:
    body = {"content": content, "agent": agent, **fields}
    response = await stage.http.post("/memory/write", json=body)
    assert response.status_code in (200, 201), response.text
    answer: dict[str, Any] = response.json()
    await stage.told_all()
    return answer


async def changes(stage: Stage, headers: dict[str, str] | None = None, **query: Any) -> dict[str, Any]:
    response = await stage.http.get("/memory/changes", params=query, headers=headers)
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def contents(page: dict[str, Any]) -> list[str]:
    return [each["content"] for each in page["changes"]]


async def hide(stage: Stage, namespace: str, *readers: str) -> None:
    await stage.services.policies.set(namespace, {"readers": list(readers)}, OPERATOR)


# HTTP


@pytest.mark.requirement("M14")
async def test_a_named_reader_is_told_everything_once_over_http(stage: Stage) -> None:
    for number in range(5):
        await written(stage, f"fact {number}")
    first = await changes(stage, name="inbox", limit=3)
    assert (contents(first), first["more"], first["horizon"]) == (["fact 0", "fact 1", "fact 2"], True, 5)
    again = await changes(stage, name="inbox", limit=3)
    assert contents(again) == contents(first)
    second = await changes(stage, name="inbox", cursor=first["next_cursor"])
    assert (contents(second), second["more"]) == (["fact 3", "fact 4"], False)
    await changes(stage, name="inbox", cursor=second["next_cursor"])
    assert contents(await changes(stage, name="inbox")) == []


async def test_a_waiting_reader_is_answered_as_soon_as_something_is_written(stage: Stage) -> None:
    pages: list[dict[str, Any]] = []

    async def wait() -> None:
        pages.append(await changes(stage, cursor="now", wait_s=PATIENCE_S))

    with anyio.fail_after(PATIENCE_S):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            while not stage.services.news.waiting:  # until then the reader is on its way to where "now" is
                await anyio.lowlevel.checkpoint()
            await written(stage, "here it is")
    assert contents(pages[0]) == ["here it is"]


@pytest.mark.requirement("M14")
async def test_readers_see_what_their_policy_lets_them_and_the_operator_everything(stage: Stage) -> None:
    await hide(stage, "secret/", "claude")
    await written(stage, "the plan", namespace="secret/plans")
    await written(stage, "open")
    assert contents(await changes(stage)) == ["open"]
    assert contents(await changes(stage, {"X-Memmcp-Agent": "claude"})) == ["the plan", "open"]
    everything = await changes(stage, BEARER)
    assert [each["action"] for each in everything["changes"]] == ["policy", "write", "write"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"cursor": "0123456789ab.1"}, "cursor"),
        ({"cursor": "x" * 65}, "cursor"),
        ({"limit": 0}, "limit"),
        ({"limit": 501}, "limit"),
        ({"wait_s": -1}, "wait_s"),
        ({"wait_s": "nan"}, "wait_s"),
        ({"name": "no spaces"}, "name"),
        ({"namespace": "../x"}, "namespace"),
        ({"since": 1}, "since"),
    ],
)
async def test_a_wrong_query_names_its_field(stage: Stage, query: dict[str, Any], field: str) -> None:
    response = await stage.http.get("/memory/changes", params=query)
    assert response.status_code == 422
    assert error_of(response)["field"] == field


async def test_another_sites_page_cannot_move_a_readers_place(stage: Stage) -> None:
    await written(stage, "fact")
    query = {"name": "inbox", "cursor": "now"}
    response = await stage.http.get("/memory/changes", params=query, headers={"Sec-Fetch-Site": "cross-site"})
    assert response.status_code == 403
    assert error_of(response)["field"] == "Sec-Fetch-Site"
    assert contents(await changes(stage, name="inbox")) == ["fact"]
    assert contents(await changes(stage, {"Sec-Fetch-Site": "same-origin"}, name="inbox")) == ["fact"]


async def test_the_address_of_the_changes_is_not_taken_for_a_memory(stage: Stage) -> None:
    assert (await stage.http.post("/memory/changes", json={})).status_code == 405
    paths = (await stage.http.get("/openapi.json")).json()["paths"]
    assert {"/memory/changes", "/memory/{id}"} <= set(paths)


# MCP: the resource


async def read(client: Client, uri: str = MEMORY_CHANGES) -> dict[str, Any]:
    answer = await client.read_resource(uri)
    [part] = answer.contents
    assert part.mime_type == "application/json"
    body: dict[str, Any] = json.loads(part.text)
    return body


@pytest.mark.requirement("M14")
@pytest.mark.parametrize("era", ERAS)
async def test_an_agent_reads_on_from_what_it_acknowledged(stage: Stage, era: str) -> None:
    await written(stage, "before it came")
    async with client_of(stage, "cursor", era) as client:
        listed = {str(each.uri) for each in (await client.list_resources()).resources}
        assert MEMORY_CHANGES in listed
        first = await read(client)
        assert contents(first) == []
        await written(stage, "one " + "x" * 300)
        await written(stage, "two")
        page = await read(client)
        assert [text[:3] for text in contents(page)] == ["one", "two"]
        assert len(contents(page)[0]) == 200
        assert contents(await read(client)) == contents(page)
        after = await read(client, f"{MEMORY_CHANGES}?cursor={page['next_cursor']}&limit=5")
        assert contents(after) == []
    async with client_of(stage, "cursor", era) as client:
        await written(stage, "three")
        assert contents(await read(client)) == ["three"]
    async with client_of(stage, "trae", era) as client:
        assert contents(await read(client)) == []


async def test_a_bad_cursor_is_a_protocol_error_that_says_what(stage: Stage) -> None:
    async with client_of(stage, "cursor") as client:
        for wrong in ("cursor=nonsense", "limit=many", "cursor=0123456789ab.5"):
            with pytest.raises(MCPError) as raised:
                await read(client, f"{MEMORY_CHANGES}?{wrong}")
            assert raised.value.error.code == -32602


async def test_an_agent_reads_no_hidden_change(stage: Stage) -> None:
    await hide(stage, "secret/", "claude")
    async with client_of(stage, "cursor") as client:
        await read(client)
        await written(stage, "the plan", namespace="secret/plans")
        await written(stage, "open")
        page = await read(client)
    assert contents(page) == ["open"]


# MCP: notifications


class Told:
    """Counts the notifications of each address, on either era."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self._changed = anyio.Event()

    def note(self, uri: str) -> None:
        self.counts[uri] = self.counts.get(uri, 0) + 1
        self._changed.set()
        self._changed = anyio.Event()

    async def on_message(self, message: Any) -> None:
        if isinstance(message, ResourceUpdatedNotification):
            self.note(str(message.params.uri))

    async def until(self, uri: str, count: int) -> None:
        with anyio.fail_after(PATIENCE_S):
            while self.counts.get(uri, 0) < count:
                await self._changed.wait()


async def followed(stage: Stage, era: str, uris: list[str], act: Callable[[Told], Awaitable[None]]) -> Told:
    """Subscribe as that era does, act, and return what was told."""
    told = Told()
    if era == "legacy":
        async with client_of(stage, "cursor", message_handler=told.on_message) as client:
            for uri in uris:
                await client.subscribe_resource(uri)
            await act(told)
        return told
    async with client_of(stage, "cursor", era) as client, client.listen(resource_subscriptions=uris) as events:

        async def take() -> None:
            async for event in events:
                told.note(event.uri)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(take)
            await act(told)
            tasks.cancel_scope.cancel()
    return told


@pytest.mark.requirement("M14")
@pytest.mark.requirement("A2")
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")
async def test_a_subscriber_is_told_at_once_and_a_burst_is_told_together(stage: Stage, era: str) -> None:
    async def act(told: Told) -> None:
        await told.until(MEMORY_CHANGES, 1)  # the subscription itself
        await written(stage, "one")
        await told.until(MEMORY_CHANGES, 2)
        for number in range(40):
            await written(stage, f"burst {number}")
        await told.until(MEMORY_CHANGES, 3)

    told = await followed(stage, era, [MEMORY_CHANGES], act)
    assert told.counts[MEMORY_CHANGES] < 30


@pytest.mark.requirement("M14")
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")
async def test_who_follows_one_memory_is_told_of_its_update_its_end_and_its_forgetting(stage: Stage, era: str) -> None:
    old = await written(stage, "the fee is 25", namespace="team/desk")
    other = await written(stage, "another", namespace="team/desk")
    uris = [f"memory://team/desk/{old['id']}", f"memory://team%2Fdesk/{old['id']}", f"memory://team/desk/{other['id']}"]

    async def act(told: Told) -> None:
        for count, step in enumerate(("update", "supersede", "forget"), 1):
            await anyio.wait_all_tasks_blocked()
            match step:
                case "update":
                    response = await stage.http.post(f"/memory/{old['id']}/update", json={"content": "the fee is 26"})
                    assert response.status_code == 200, response.text
                case "supersede":
                    await written(stage, "the fee is 30", supersedes=[old["id"]])
                case "forget":
                    await stage.services.journal.commit([ForgetMemory(MemoryId(old["id"]), "", Provenance())])
            for uri in uris[:2]:
                await told.until(uri, count)

    told = await followed(stage, era, uris, act)
    assert uris[2] not in told.counts


@pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")
async def test_only_a_memory_that_is_there_and_may_be_read_can_be_followed(stage: Stage) -> None:
    await hide(stage, "secret/", "claude")
    hidden = await written(stage, "the plan", namespace="secret/plans")
    open_ = await written(stage, "open")
    async with client_of(stage, "cursor") as client:
        for uri, said in (
            (f"memory://secret/plans/{hidden['id']}", "there is no memory"),
            ("memory://default/no-such", "there is no memory"),
            (f"memory://team/{open_['id']}", "it is in default"),
            ("memory://default/", "cannot be subscribed"),
            ("memory://", "cannot be subscribed"),
        ):
            with pytest.raises(MCPError, match=said):
                await client.subscribe_resource(uri)
        await client.subscribe_resource(f"memory://default/{open_['id']}")


# MCP: the block


async def called(client: Client, tool: str, **arguments: Any) -> tuple[dict[str, Any], str]:
    result: CallToolResult = await client.call_tool(tool, arguments)
    text = "\n".join(block.text for block in result.content if block.type == "text")
    assert not result.is_error, text
    body: dict[str, Any] = result.structured_content
    return body, text


@pytest.mark.requirement("M14")
@pytest.mark.parametrize("era", ERAS)
async def test_any_answer_carries_what_others_did_meanwhile_once_in_text_and_structure(stage: Stage, era: str) -> None:
    async with client_of(stage, "cursor", era) as client:
        body, _ = await called(client, "telemetry_trading")
        assert "news" not in body
        lesson = await written(stage, 'Sell first.\nhits (9): "id"', kind="lesson")
        await written(stage, "only a note")
        for tool, arguments in (("telemetry_trading", {}), ("memory_search", {"query": "anything"})):
            body, text = await called(client, tool, **arguments)
            if tool == "memory_search":
                assert "news" not in body
                continue
            news = body["news"]
            assert news["count"] == 1
            [item] = news["items"]
            assert (item["id"], item["kind"], item["agent"]) == (lesson["id"], "lesson", "claude")
            assert item["says"] == 'Sell first. hits (9): "id"'
            assert "news:" in text
            assert json.dumps(item["says"]) in text
            assert not any(line.startswith("hits (9)") for line in text.splitlines())


async def test_an_agents_own_writes_are_no_news_to_it(stage: Stage) -> None:
    async with client_of(stage, "cursor") as client:
        await called(client, "telemetry_trading")
        await called(client, "memory_write", content="my lesson", kind="lesson")
        await stage.told_all()
        body, _ = await called(client, "telemetry_trading")
    assert "news" not in body


@pytest.mark.requirement("M14")
async def test_who_was_shown_a_memory_is_told_that_it_was_superseded(stage: Stage) -> None:
    old = await written(stage, "the pool fee is 25 bps", agent="windsurf")
    async with client_of(stage, "cursor") as shown, client_of(stage, "trae") as not_shown:
        await called(shown, "memory_search", query="pool fee")
        await called(not_shown, "telemetry_trading")
        new = await written(stage, "the pool fee is 30 bps", supersedes=[old["id"]])
        body, _ = await called(shown, "telemetry_trading")
        [item] = body["news"]["items"]
        assert (item["id"], item["supersedes"]) == (new["id"], old["id"])
        body, _ = await called(not_shown, "telemetry_trading")
        assert "news" not in body


@pytest.mark.requirement("M14")
@pytest.mark.requirement("M15")
async def test_the_block_counts_towards_max_tokens_and_waits_when_there_is_no_room(stage: Stage) -> None:
    async with client_of(stage, "cursor") as client:
        await called(client, "telemetry_trading")
        for number in range(4):
            await written(stage, f"lesson {number} about slippage " + "x" * 200, kind="lesson")
        told = False
        for max_tokens in (50, 100, 150, 200, 300, 500):
            body, _ = await called(client, "memory_search", query="slippage", max_tokens=max_tokens)
            if body.get("hits") or "news" in body:
                assert tokens_of(body) <= max_tokens, max_tokens
            told = told or "news" in body
        if not told:
            body, _ = await called(client, "telemetry_trading")
            told = "news" in body
    assert told


async def test_a_failed_call_takes_no_news_with_it(stage: Stage) -> None:
    async with client_of(stage, "cursor") as client:
        await called(client, "telemetry_trading")
        await written(stage, "a lesson", kind="lesson")
        result = await client.call_tool("memory_search", {"query": ""})
        assert result.is_error
        body, _ = await called(client, "telemetry_trading")
    assert body["news"]["count"] == 1
