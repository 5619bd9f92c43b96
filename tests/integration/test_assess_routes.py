"""``POST /assess`` at the daemon's door, and tasks that the sidecar answers because nobody else did."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from pydantic import SecretStr
from tests.doubles.clocks import ManualClock
from tests.doubles.trading_desk import InMemoryDesk
from tests.support import sidecar_desk
from tests.support.migrated import migrated
from tests.support.stage import OPERATOR_TOKEN, Stage, error_of, served, staged
from typer.testing import CliRunner

from memmcp_server.adapters.secrets import RuleScanner
from memmcp_server.adapters.sql_journal import open_journal
from memmcp_server.adapters.trading_desk import command_of
from memmcp_server.config import JournalSection, QuotasSection
from memmcp_server.domain.caller import Caller
from memmcp_server.domain.memory import Trust
from memmcp_server.domain.task import TaskFields, TaskState
from memmcp_server.services.guarded_desk import GuardedDesk
from memmcp_server.services.policies import Policies
from memmcp_server.services.task_adviser import RETRY_S, SIDECAR, TaskAdviser
from memmcp_server.services.tasks import Tasks
from memmcp_server.wire import sidecar as wire
from trading.cli import app
from trading.config import SidecarSection
from trading.ports import MemoryRecord

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("T14")]

QUESTION = {
    "id": "q_1",
    "kind": "entry",
    "question": "Is this a trap?",
    "evidence": [{"id": "mem_1", "text": "ten holders have it all"}],
}


def desk_of(stage: Stage) -> InMemoryDesk:
    assert stage.desk is not None
    return stage.desk


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(tmp_path) as opened:
        yield opened


async def test_a_question_is_answered_in_the_shape_that_openapi_describes(stage: Stage) -> None:
    desk_of(stage).has_sidecar = True
    response = await stage.http.post("/assess", json=QUESTION, headers={"X-Agent": "watcher"})
    assert response.status_code == 200, response.text
    answer = wire.AssessAnswer.model_validate(response.json())
    assert (answer.id, answer.model, answer.assessment.evidence_ids) == ("q_1", "a-model", ["mem_1"])
    described = (await stage.http.get("/openapi.json")).json()["paths"]["/assess"]["post"]
    assert described["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("/AssessRequest")
    assert described["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].endswith("/AssessAnswer")
    assert "503" in described["responses"]


async def test_without_a_sidecar_or_a_desk_it_says_why(stage: Stage, tmp_path: Path) -> None:
    off = await stage.http.post("/assess", json=QUESTION)
    assert off.status_code == 503
    assert "no sidecar" in error_of(off)["message"]
    async with staged(tmp_path / "off", without_desk=True) as dark:
        told = await dark.http.post("/assess", json=QUESTION)
    assert told.status_code == 503
    assert "switched off" in error_of(told)["message"]


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "order"},
        {"order": "buy"},
        {"horizon_s": True},
        {"evidence": [{"id": "a b", "text": ""}]},
        {"question": "x" * 2_001},
        {"market": {"price_sol": "1e5"}},
    ],
)
async def test_what_is_out_of_bounds_is_refused_at_the_door(stage: Stage, change: dict[str, Any]) -> None:
    desk_of(stage).has_sidecar = True
    response = await stage.http.post("/assess", json={**QUESTION, **change})
    assert response.status_code == 422
    assert [call for call in desk_of(stage).calls if call[0] == "assess"] == []


async def test_a_secret_in_a_question_is_refused(stage: Stage) -> None:
    desk_of(stage).has_sidecar = True
    text = "the key is sk-ant-api03-" + "Ab3dEf6hIj9kLm2nOp5q" * 4 + "AA"
    response = await stage.http.post("/assess", json={**QUESTION, "question": text})
    assert response.status_code == 422
    assert [call for call in desk_of(stage).calls if call[0] == "assess"] == []


async def test_a_question_counts_against_the_quota_of_orders(tmp_path: Path) -> None:
    async with staged(tmp_path, quotas=QuotasSection(orders_per_minute_max=1)) as opened:
        desk_of(opened).has_sidecar = True
        told = [(await opened.http.post("/assess", json=QUESTION)).status_code for _ in range(2)]
    assert told == [200, 429]


def test_the_wire_and_the_desk_know_one_contract() -> None:
    """Two floors that may not import each other: what one of them lets through the other one must not refuse."""
    from trading.sidecar import assessment

    pairs = (
        (wire.AssessRequest, assessment.AssessmentRequest),
        (wire.AssessEvidence, assessment.Evidence),
        (wire.AssessMarket, assessment.MarketFigures),
        (wire.AssessDesk, assessment.DeskFigures),
        (wire.Assessment, assessment.Assessment),
        (wire.AssessAnswer, assessment.AssessAnswer),
        (wire.AssessUsage, assessment.Usage),
    )
    for ours, theirs in pairs:
        assert ours.model_fields.keys() == theirs.model_fields.keys(), ours.__name__
    for ours, theirs in pairs[:4]:
        assert bounds(ours) == bounds(theirs), ours.__name__


def bounds(model: Any) -> dict[str, Any]:
    """Return what each field of a model may be, without words for people and names of models."""
    kept = {"minimum", "maximum", "minLength", "maxLength", "maxItems", "pattern", "enum", "const", "anyOf", "type"}

    def cut(schema: Any) -> Any:
        if isinstance(schema, dict):
            return {name: cut(each) for name, each in schema.items() if name in kept}
        return [cut(each) for each in schema] if isinstance(schema, list) else schema

    schema = json.loads(json.dumps(model.model_json_schema()))
    return {name: cut(each) for name, each in schema["properties"].items()}


LATE = TaskFields("Why did BONK lose?", kind="review_loss", text="Look at the fee.", lease_s=60, claim_within_s=300)


class AskedDesk(InMemoryDesk):
    """A desk whose snapshot says that it has a sidecar."""

    async def snapshot(self) -> Any:
        shown = await super().snapshot()
        record = {"model": "a-model", "kind": "entry", "count": 31, "hit_rate_bps": 5_500, "base_hit_rate_bps": 5_100}
        record |= {"brier_ppm": 240_000, "base_brier_ppm": 250_000, "skill_bps": 400, "weight_bps": 900}
        last = {"id": "asm_1", "kind": "entry", "mint": "m", "asked": "2026-03-01T00:00:00Z", "outcome": "answered"}
        asking = {
            "kind": "openai",
            "model": "a-model",
            "breaker": "half_open",
            "outcomes": {"answered": 12},
            "last_fault": "",
            "calls_left": 5,
            "tokens_left": 6,
            "micro_usd_left": 250_000,
            "has_failed": False,
            "waiting": 0,
            "dropped": 0,
            "handed_in": 12,
            "last": {**last, "text": "a-model on m", "expires": None},
        }
        view = {"weight_bps_max": 5_000, "received": {}, "records": [record], "asking": asking}
        return {**shown, "sidecar": view if self.has_sidecar else {**view, "asking": None}}


@pytest.mark.requirement("A6")
async def test_a_task_that_nobody_claims_is_answered_by_the_sidecar_and_linked(tmp_path: Path) -> None:
    clock = ManualClock()
    operator = Caller("operator", "", "test", "operator", "http")
    async with open_journal(JournalSection(), migrated(tmp_path), clock) as journal:
        tasks = Tasks(journal, Policies(journal, clock), RuleScanner(), clock)
        desk = AskedDesk(has_sidecar=True)
        adviser = TaskAdviser(tasks, GuardedDesk(desk, RuleScanner()), clock)
        filed = (await tasks.file(LATE, operator)).view.task
        other = (await tasks.file(TaskFields("Water the plants", claim_within_s=1), operator)).view.task
        assert await adviser.look() is False, "agents come first"
        clock.advance(301)
        desk.has_sidecar = False
        assert await adviser.look() is False
        desk.has_sidecar = True
        assert await adviser.look() is True
        view = await tasks.get(filed.id, operator)
        assert (view.task.state, view.task.claimed_by) == (TaskState.DONE, "sidecar")
        assert view.result is not None
        assert "«the move is late»" in view.result.content
        assert view.result.provenance.agent == "sidecar"
        assert (await tasks.get(other.id, operator)).task.state is TaskState.OPEN, "that is nothing of the desk's"
        assert await adviser.look() is False


@pytest.mark.requirement("A6")
async def test_an_agent_that_claims_while_the_sidecar_thinks_keeps_the_task(tmp_path: Path) -> None:
    clock = ManualClock()
    operator, agent = Caller("operator", "", "t", "operator", "http"), Caller("quick", "", "t", "agent", "stdio")
    async with open_journal(JournalSection(), migrated(tmp_path), clock) as journal:
        tasks = Tasks(journal, Policies(journal, clock), RuleScanner(), clock)
        filed = (await tasks.file(LATE, operator)).view.task
        clock.advance(301)

        class Slow(AskedDesk):
            async def assess(self, request: Any, *, agent: str) -> Any:
                await tasks.claim(filed.id, quick)
                return await super().assess(request, agent=agent)

        quick = agent
        desk = Slow(has_sidecar=True)
        adviser = TaskAdviser(tasks, desk, clock)
        assert await adviser.look() is False
        assert (await tasks.get(filed.id, operator)).task.claimed_by == "quick"
        clock.advance(61)  # the lease is over: the sidecar may try again, but not at once
        assert len(desk.calls) == 1
        await adviser.look()
        assert len(desk.calls) == 1
        clock.advance(RETRY_S)
        desk.assess = super(Slow, desk).assess  # type: ignore[method-assign]
        assert await adviser.look() is True
        assert (await tasks.get(filed.id, operator)).task.claimed_by == SIDECAR.agent


def test_what_was_asked_and_answered_is_kept_as_words_that_nobody_vouches_for() -> None:
    told = {
        kind: command_of(MemoryRecord("note", f"k{kind}", 1, "memory_bank", kind, "buy everything"))
        for kind in ("request", "response", "score")
    }
    trust = {kind: each.provenance.trust for kind, each in told.items()}  # type: ignore[union-attr]
    assert trust == {"request": Trust.UNTRUSTED, "response": Trust.UNTRUSTED, "score": Trust.SYSTEM}


async def test_the_example_server_is_a_sidecar_that_a_desk_can_ask(tmp_path: Path) -> None:
    from examples import assess_server
    from tests.support.market_server import loopback

    async with loopback(list(assess_server.app().routes)) as url:  # type: ignore[arg-type]
        asked = {"sidecar": SidecarSection(url=SecretStr(url), kind="assess")}
        async with sidecar_desk.opened(tmp_path, sidecar_desk.sections().model_copy(update=asked)) as desk:
            found = await desk.assess({**QUESTION, "market": {"expected_bps": 300, "cost_bps": 200}}, agent="a")
    assert found["model"] == "assess"
    assert (found["assessment"]["size_scale_bps"], found["assessment"]["evidence_ids"]) == (5_000, ["mem_1"])


async def test_the_command_line_shows_how_it_stands_and_asks(tmp_path: Path) -> None:
    desk = AskedDesk(has_sidecar=True)
    async with staged(tmp_path, desk=desk) as opened, served(opened.app) as url:
        (tmp_path / "daemon.json").write_text(
            json.dumps({"pid": 1, "version": "0", "http": url, "token": OPERATOR_TOKEN})
        )

        async def run(*arguments: str) -> Any:
            given = ["sidecar", *arguments, "--data-dir", str(tmp_path)]
            return await anyio.to_thread.run_sync(lambda: CliRunner().invoke(app, given))

        shown = await run("status")
        assert shown.exit_code == 0, shown.output
        for said in ("a-model (openai)", "half_open", "0.250000 USD", "12 answered", "250000", "last, 2026"):
            assert said in shown.stdout
        asked = await run("ask", "What if SOL falls?", "--kind", "scenario")
        assert asked.exit_code == 0, asked.output
        assert "the move is late" in asked.stdout
        desk.has_sidecar = False
        off = await run("status")
        assert "none is configured" in off.stdout
        assert (await run("ask", "What if SOL falls?")).exit_code == 1
