"""Forgetting through the doors: the same order over MCP and HTTP, the audit for the operator, the command line."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp.client import Client
from mcp_types import Implementation
from tests.support.stage import OPERATOR_TOKEN, Stage, staged
from typer.testing import CliRunner

from memmcp_server.adapters.index.sink import QdrantSink
from memmcp_server.cli import app, forgetting

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("M8")]
OPERATOR = {"Authorization": f"Bearer {OPERATOR_TOKEN}"}
WHY = "asked for"


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(tmp_path) as opened:
        yield opened


async def write(stage: Stage, content: str, **more: Any) -> str:
    body = {"content": content, "agent": "claude", **more}
    return str((await stage.http.post("/memory/write", json=body)).json()["id"])


async def forget(stage: Stage, headers: dict[str, str] | None = None, **body: Any) -> httpx2.Response:
    return await stage.http.post("/memory/forget", json={"reason": WHY, "agent": "claude", **body}, headers=headers)


async def audited(stage: Stage, **query: Any) -> list[dict[str, Any]]:
    response = await stage.http.get("/memory/audit", params=query, headers=OPERATOR)
    assert response.status_code == 200, response.text
    entries: list[dict[str, Any]] = response.json()["entries"]
    return entries


async def deliver(stage: Stage) -> None:
    journal = stage.services.journal
    entries = await journal.outbox_entries("qdrant", dead=False, limit=100)
    await QdrantSink(journal, stage.index).deliver(entries)
    await journal.outbox_delivered([entry.id for entry in entries])


@pytest.mark.requirement("A1")
async def test_an_agent_forgets_by_id_and_then_by_a_filter_that_it_has_previewed(stage: Stage) -> None:
    async with Client(stage.mcp, client_info=Implementation(name="claude", version="1"), mode="legacy") as client:

        async def call(**arguments: Any) -> dict[str, Any]:
            result = await client.call_tool("memory_forget", {"reason": WHY, **arguments})
            assert not result.is_error, result.content
            answer: dict[str, Any] = result.structured_content
            return answer

        one = await write(stage, "one")
        two, three = await write(stage, "two", namespace="team"), await write(stage, "three", namespace="team")
        assert (await call(id=one))["count"] == 1
        preview = await call(filter={"namespace": "team"})
        assert (preview["status"], preview["count"]) == ("preview", 2)
        assert preview["preview"]["namespaces"] == {"team": 2}
        assert (await stage.http.get(f"/memory/{two}")).status_code == 200
        order = {"filter": {"namespace": "team"}, "preview_id": preview["preview"]["preview_id"]}
        forgotten = await call(**order)
        assert (forgotten["status"], forgotten["count"], forgotten["proof"]["state"]) == ("forgotten", 2, "pending")
        assert (await call(**order))["already"] == 2
        gone = await stage.http.get(f"/memory/{three}")
        assert (gone.status_code, "forgotten" in gone.text) == (404, True)
        refused = await client.call_tool("memory_forget", {"reason": WHY, "id": one, "filter": {"namespace": "team"}})
        assert refused.is_error


async def test_over_http_an_agent_forgets_its_own_and_the_operator_anybodys(stage: Stage) -> None:
    mine = await write(stage, "mine")
    theirs = await write(stage, "theirs", agent="cursor")
    assert (await forget(stage, id=mine)).json()["count"] == 1
    refused = await forget(stage, ids=[theirs])
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "refused")
    assert (await forget(stage, OPERATOR, ids=[theirs, mine])).json() | {"proof": None, "hint": None} == {
        "status": "forgotten",
        "count": 1,
        "already": 1,
        "preview": None,
        "proof": None,
        "hint": None,
    }
    assert (await forget(stage, id="nobody")).status_code == 404


async def test_the_proof_comes_when_the_index_has_let_go_and_the_audit_keeps_it(stage: Stage) -> None:
    memory_id = await write(stage, "the vault is behind the mirror", tags=["codename"])
    await deliver(stage)
    answer = (await forget(stage, id=memory_id)).json()
    assert (answer["proof"]["state"], answer["proof"]["index"]) == ("pending", None)
    assert answer["proof"]["journal"]["windows"] > 1
    await deliver(stage)
    answer = (await forget(stage, id=memory_id)).json()
    assert (answer["already"], answer["proof"]["state"], answer["proof"]["waits_for"]) == (1, "proved", None)
    assert answer["proof"]["langfuse"].startswith("not configured")
    actions = [(each["action"], each["detail"].get("part")) for each in await audited(stage, id=memory_id)]
    assert actions == [("purge", "index"), ("purge", "journal"), ("forget", None)]
    assert "mirror" not in json.dumps(await audited(stage))


@pytest.mark.requirement("O5")
async def test_the_audit_is_the_operators_and_comes_in_pages(stage: Stage) -> None:
    assert (await stage.http.get("/memory/audit")).status_code == 401
    for number in range(3):
        await forget(stage, id=await write(stage, f"note {number}"))
    page = (await stage.http.get("/memory/audit?action=forget&limit=2", headers=OPERATOR)).json()
    rest = await audited(stage, action="forget", cursor=page["next_cursor"])
    assert [each["seq"] for each in (*page["entries"], *rest)] == sorted(
        (each["seq"] for each in await audited(stage, action="forget")), reverse=True
    )
    assert len(page["entries"]) == 2
    assert len(rest) == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "id"),
        ({"id": "a", "ids": ["b"]}, "id"),
        ({"id": "a", "preview_id": "p"}, "id"),
        ({"filter": {}}, "filter"),
        ({"filter": {"namespace": "team", "color": "red"}}, "filter.color"),
        ({"filter": {"since": "2026-01-01T00:00:00"}}, "filter.since"),
        ({"id": "a", "reason": ""}, "reason"),
        ({"ids": []}, "ids"),
    ],
)
async def test_a_wrong_order_names_what_is_wrong(stage: Stage, body: dict[str, Any], field: str) -> None:
    response = await forget(stage, **body)
    assert response.status_code == 422, response.text
    assert field in response.text


@pytest.mark.requirement("M9")
async def test_backups_and_exports_are_named_in_the_answer(stage: Stage, tmp_path: Path) -> None:
    memory_id = await write(stage, "a secret")
    copied = await stage.http.post("/admin/backup", json={"directory": str(tmp_path / "copies")}, headers=OPERATOR)
    exported = tmp_path / "all.jsonl"
    exported.touch()
    for part in ("heading", "memories"):
        query = {"part": part, "file": str(exported)}
        assert (await stage.http.get("/admin/export", params=query, headers=OPERATOR)).status_code == 200
    answer = (await forget(stage, id=memory_id)).json()
    assert set(answer["proof"]["copies"]) == {copied.json()["path"], str(exported)}
    assert "operator's" in answer["hint"]
    assert [len(await audited(stage, action=action)) for action in ("backup", "export")] == [1, 1]


class Daemon:
    """Answers the command line as a daemon would; notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        proof = {"state": "proved", "waits_for": None, "copies": ["/b/journal.db"], "langfuse": "not configured"}
        figures = {"steps": ["checkpoint"], "files": 2, "bytes_read": 1_000, "windows": 9, "residues": 0, "note": "n"}
        self.order = {"count": 2, "already": 0, "proof": {**proof, "journal": figures, "index": None}}
        preview = {"steps": 1, "pinned": 1, "held": 1, "namespaces": {"team": 2}, "kinds": {"note": 2}}
        more = {"oldest": "2026-01-01T00:00:00Z", "newest": "2026-01-02T00:00:00Z", "complete": False}
        self.preview = {"count": 2, "preview": {"preview_id": "p-1", **preview, **more}}

    def __enter__(self) -> "Daemon":
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def post(self, _path: str, body: dict[str, Any], _timeout_s: float) -> dict[str, Any]:
        self.asked.append(body)
        return self.preview if "filter" in body and "preview_id" not in body else self.order


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> Daemon:
    played = Daemon()
    monkeypatch.setattr(forgetting, "found_or_started", lambda _: played)
    return played


@pytest.mark.requirement("O6")
def test_the_command_line_shows_a_preview_and_asks_before_it_orders(daemon: Daemon) -> None:
    run = CliRunner().invoke
    result = run(app, ["forget", "--namespace", "team", "--before", "2026-02-01T00:00:00Z"])
    assert (result.exit_code, len(daemon.asked)) == (1, 1)
    assert "nobody to ask" in result.stderr
    for line in ("would be forgotten", "namespace team", "stay under legal hold"):
        assert line in result.stdout
    result = run(app, ["forget", "--namespace", "team", "--yes", "--reason", "over"])
    assert result.exit_code == 0, result.output
    assert daemon.asked[-1] == {"filter": {"namespace": "team"}, "preview_id": "p-1", "reason": "over"}
    assert "2 forgotten" in result.stdout
    assert "/b/journal.db" in result.stderr
    assert json.loads(run(app, ["forget", "m1", "m2", "--yes", "--json"]).stdout)["count"] == 2
    assert daemon.asked[-1]["ids"] == ["m1", "m2"]


@pytest.mark.requirement("O6")
def test_the_command_line_refuses_what_it_cannot_mean(daemon: Daemon) -> None:
    run = CliRunner().invoke
    for arguments in ([], ["m1", "--namespace", "team"], [f"m{number}" for number in range(257)]):
        assert run(app, ["forget", *arguments, "--yes"]).exit_code == 2
    daemon.preview["count"] = 0
    assert run(app, ["forget", "--kind", "note", "--yes"]).exit_code == 0
    assert len(daemon.asked) == 1
    daemon.order["proof"]["state"] = "residues"  # type: ignore[index]
    assert run(app, ["forget", "m1", "--yes"]).exit_code == 1
