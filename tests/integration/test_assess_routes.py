"""``POST /assess`` at the daemon's door, and tasks that the sidecar answers because nobody else did."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.doubles.clocks import ManualClock
from tests.doubles.trading_desk import InMemoryDesk
from tests.support.stage import Stage, error_of, staged

from memmcp_server.adapters.secrets import RuleScanner
from memmcp_server.adapters.sql_journal import open_journal
from memmcp_server.config import JournalSection, QuotasSection
from memmcp_server.domain.caller import Caller
from memmcp_server.domain.task import TaskFields, TaskState
from memmcp_server.services.guarded_desk import GuardedDesk
from memmcp_server.services.policies import Policies
from memmcp_server.services.task_adviser import RETRY_S, SIDECAR, TaskAdviser
from memmcp_server.services.tasks import Tasks
from memmcp_server.wire import sidecar as wire

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
        return {**shown, "sidecar": {"asking": {"model": "a-model"}} if self.has_sidecar else {}}


@pytest.mark.requirement("A6")
async def test_a_task_that_nobody_claims_is_answered_by_the_sidecar_and_linked(tmp_path: Path) -> None:
    clock = ManualClock()
    operator = Caller("operator", "", "test", "operator", "http")
    async with open_journal(JournalSection(), tmp_path, clock) as journal:
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
    async with open_journal(JournalSection(), tmp_path, clock) as journal:
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
