"""Behind a cell of the heatmap: figures, findings, trades and memories, as the desk and the journal tell them; and the
findings and totals of insights, the same on both doors."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from mcp.client import Client
from mcp_types import Implementation
from tests.doubles.knowing_desk import KnowingDesk
from tests.doubles.trading_desk import SOL
from tests.support.stage import Stage, staged

from memmcp_server.domain.caller import Caller
from memmcp_server.domain.identifiers import Namespace, TrajectoryId
from memmcp_server.domain.memory import MemoryDraft, Provenance, Trust
from memmcp_server.domain.trajectory import CloseTrajectory, OpenTrajectory

pytestmark = [pytest.mark.anyio]

ENGINE = Provenance(agent="xavier", tool="desk", trust=Trust.SYSTEM)
HOUR_NS = 3_600 * 10**9
START_NS = 1_795_000_000 * 10**9


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(tmp_path, desk=KnowingDesk()) as opened:
        yield opened


def note(text: str, kind: str, *, hours: int = 0, namespace: str = "strategies/manual") -> MemoryDraft:
    return MemoryDraft(
        content=text,
        key=text,
        ts_event_ns=START_NS + hours * HOUR_NS,
        namespace=Namespace(namespace),
        kind=kind,
        provenance=ENGINE,
        embed=False,
    )


async def remember(stage: Stage) -> None:
    trade = TrajectoryId("t-calm-found-2")
    opened = OpenTrajectory(trade, Namespace("trading"), "trade", "Buy WIF", "bought", START_NS, provenance=ENGINE)
    closed = CloseTrajectory(
        trade, "win", "sold", START_NS + HOUR_NS, reward=2 * SOL, reward_unit="lamports", provenance=ENGINE
    )
    notes = [note("The old digest.", "digest"), note("The new digest.", "digest", hours=30)]
    notes += [note("cand_7 was promoted.", "promotion"), note("A situation.", "situation")]
    notes += [note("Of another strategy.", "digest", namespace="strategies/other")]
    await stage.services.journal.commit([opened, closed, *notes])


async def asked(stage: Stage, query: str, status: int = 200) -> dict[str, Any]:
    response = await stage.http.get(f"/strategies/cell?{query}")
    assert response.status_code == status, response.text
    body: dict[str, Any] = response.json()
    return body


@pytest.mark.requirement("D5")
async def test_behind_a_cell_are_its_figures_its_finding_its_trades_and_what_was_written(stage: Stage) -> None:
    await remember(stage)
    found = await asked(stage, "strategy=manual&regime=calm/up&tier=foundation")
    assert (found["figures"]["trades"], found["figures"]["low_bps"], found["figures"]["high_bps"]) == (20, 10, 90)
    result, gates, forecasts = found["findings"]
    assert (result["says"], result["regime"], result["sample"]) == ("gains", "calm/up", 20)
    assert result["evidence"] == ["t-calm-found-0", "t-calm-found-1", "t-calm-found-2"]
    tested = result["out_of_sample"]
    assert (tested["gate"], tested["confidence_bps"], tested["sample"], tested["sample_of"]) == (
        *("holdout_psr", 9_700, 21, "days"),
    )
    assert (gates["says"], forecasts["says"]) == ("holds", "better")
    newest = found["trades"][0]
    assert (newest["id"], newest["outcome"], newest["reward_lamports"]) == ("t-calm-found-2", "win", 2 * SOL)
    assert [each["outcome"] for each in found["trades"][1:]] == [None, None]
    assert [each["text"] for each in found["digests"]] == ["The new digest.", "The old digest."]
    assert [each["text"] for each in found["memories"]] == ["cand_7 was promoted."]
    assert (found["namespace"], found["memories_total"], found["money"]) == ("strategies/manual", 4, "paper")


@pytest.mark.requirement("D5")
async def test_the_time_of_a_cell_bounds_its_digests_and_all_trades_of_a_strategy_are_a_cell_too(stage: Stage) -> None:
    await remember(stage)
    late = await asked(stage, "strategy=manual&since=2026-11-19T00:00:00Z")
    assert [each["text"] for each in late["digests"]] == ["The new digest."]
    early = await asked(stage, "strategy=manual&until=2026-11-19T00:00:00Z")
    assert [each["text"] for each in early["digests"]] == ["The old digest."]
    assert early["figures"]["trades"] == 41
    says = [(each["about"], each["says"], each["regime"]) for each in early["findings"]]
    assert says == [
        ("result", "open", None),
        ("result", "gains", "calm/up"),
        ("result", "loses", "wild/down"),
        ("gates", "holds", None),
        ("forecasts", "better", None),
    ]
    none = await asked(stage, "strategy=manual&regime=calm/down")
    assert (none["figures"], none["trades"], [each["about"] for each in none["findings"]]) == (
        *(None, [], ["gates", "forecasts"]),
    )


@pytest.mark.requirement("D5")
async def test_what_names_no_cell_is_refused_by_the_field(stage: Stage) -> None:
    refused = {
        "": "strategy",
        "strategy=nobody": "strategy",
        "strategy=manual&window=7y": "window",
        "strategy=manual&since=yesterday": "since",
        "strategy=manual&since=2026-11-20T00:00:00Z&until=2026-11-19T00:00:00Z": "since",
        "strategy=manual&regime=calm/up": "tier",
    }
    for query, field in refused.items():
        body = await asked(stage, query, 422)
        assert body["error"]["field"] == field, query


@pytest.mark.requirement("D12")
async def test_insights_tell_findings_and_totals_with_the_same_words_on_both_doors(stage: Stage) -> None:
    report = {"desk_id": "nautilus-1", "key": "r1", "ts": "2026-11-22T08:00:00Z", "money": "real"}
    report |= {"equity_lamports": 3 * SOL, "exposure_lamports": SOL, "state": "REDUCING"}
    assert (await stage.http.post("/telemetry/trading", json=report)).status_code == 201
    await remember(stage)
    async with Client(stage.mcp, client_info=Implementation(name="cursor", version="1")) as client:
        await client.call_tool("memory_write", {"content": "I was here."})
        over_mcp = json.loads((await client.read_resource("insights://current")).contents[0].text)
    over_http = (await stage.http.get("/insights")).json()
    for name in ("findings", "totals", "strategies", "digests", "lessons", "profiles"):
        assert over_mcp[name] == over_http[name], name
    assert [(each["strategy"], each["says"], each["sample"]) for each in over_http["findings"]] == [
        ("manual", "better", 400),
        ("manual", "holds", 21),
        ("manual", "gains", 20),
        ("manual", "loses", 12),
        ("manual", "open", 41),
    ]
    totals = over_http["totals"]
    assert totals["desks"]["own"] is None  # nothing of ours was told to this memory yet
    [outside] = totals["desks"]["outside"]
    assert (outside["money"], outside["equity_lamports"], outside["exposure_lamports"]) == ("real", 3 * SOL, SOL)
    assert (totals["nodes"]["nodes"], totals["nodes"]["working"]) == (1, 1)
    agents = totals["agents"]
    assert (agents["callers"], agents["calls"], agents["writers"]) == (1, 1, 2)
    desks = (await stage.http.get("/telemetry/desks")).json()
    assert desks["totals"] == totals["desks"]
    own = (await stage.http.get("/telemetry/trading")).json()
    assert own["equity"]["lamports"] == (await stage.http.get("/risk")).json()["equity"]["lamports"] == 2 * SOL


@pytest.mark.requirement("D12")
async def test_what_is_hidden_from_an_agent_is_in_no_total_of_it(stage: Stage) -> None:
    operator = Caller(agent="operator", session="", tool="test", role="operator", transport="http")
    await stage.services.policies.set("secret/", {"readers": ["cursor"]}, operator)
    told = {}
    for name in ("cursor", "stranger"):
        async with Client(stage.mcp, client_info=Implementation(name=name, version="1")) as client:
            if name == "cursor":
                await client.call_tool("memory_write", {"content": "The plan.", "namespace": "secret/plans"})
            told[name] = json.loads((await client.read_resource("insights://current")).contents[0].text)["totals"]
    assert (told["cursor"]["agents"]["memories"], told["stranger"]["agents"]["memories"]) == (1, 0)
    assert (told["cursor"]["agents"]["writers"], told["stranger"]["agents"]["writers"]) == (1, 0)
