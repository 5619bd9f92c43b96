"""A candidate on its way to the desk: gates read, command journalled, steps in memory, in alerts and in the store."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.doubles.desk_memory import ListMemory
from tests.doubles.scripted_market import ManualFeed
from tests.unit.trading.adapters.test_candidate_store import EVIDENCE
from tests.unit.trading.desk.test_paper_desk import MINT, SECTIONS, Market

from memmcp_server.wire.promotion import PromotionAnswer
from memmcp_server.wire.trading import StrategyList
from trading.adapters.candidate_store import (
    STORE_NAME,
    Candidate,
    CandidateStore,
    CandidateStoreUnavailable,
    Proposal,
    Step,
)
from trading.adapters.live_feed_choice import Chosen
from trading.adapters.trial_ledger import Trial, TrialLedger
from trading.config import PromotionSection
from trading.engine.promoting import PAPER_GATES
from trading.errors import InvalidInput
from trading.model.promotion import GateReading, Stage
from trading.runtime.paper_run import PaperOptions, paper_desk
from trading.runtime.promoter import LEDGER_NAME, DeskNow, Promoter
from trading.runtime.recorded_runs import recorded_run
from trading.runtime.replaying import ReplaySpec, measure

pytestmark = pytest.mark.anyio

NAME = "momentum_breakout"
PROPOSAL = Proposal(NAME, {"channel_bars": 200, "edge_share": 0.7}, EVIDENCE, ("ab" * 32,), "search", 5, "", "ev_1", 3)
POOR = replace(EVIDENCE, selection=replace(EVIDENCE.selection, sharpe=20_000))


def proposed(folder: Path, proposal: Proposal = PROPOSAL) -> Candidate:
    store = CandidateStore.at(folder / STORE_NAME)
    try:
        return store.propose(proposal)
    finally:
        store.close()


def stored(folder: Path, name: str) -> Candidate:
    store = CandidateStore.at(folder / STORE_NAME)
    try:
        assert store.verify() is None
        return store.candidate(name)
    finally:
        store.close()


class Desk(Market):
    async def promote(self, name: str, key: str = "p", actor: str = "operator:o", **more: Any) -> PromotionAnswer:
        wish = {"action": "promote", "candidate": name, "reason": "it is good", **more}
        return PromotionAnswer.model_validate(await self.desk.control(wish, actor=actor, key=key))

    async def demote(self, strategy: str = NAME, key: str = "d") -> PromotionAnswer:
        wish = {"action": "demote", "strategy": strategy, "reason": "it smells"}
        return PromotionAnswer.model_validate(await self.desk.control(wish, actor="operator:o", key=key))

    async def view(self) -> Any:
        found = StrategyList.model_validate(await self.desk.strategies())
        return next(each for each in found.strategies if each.name == NAME)


@asynccontextmanager
async def desk(folder: Path, memory: ListMemory | None = None, number: int = 0, **options: Any) -> AsyncIterator[Desk]:
    feed = ManualFeed(MINT, "AAA", "0.001")
    feed._number = number
    wishes = PaperOptions(folder, "market", "foundation", **({"candidates_dir": folder} | options))
    async with paper_desk(wishes, SECTIONS, memory or ListMemory(), Chosen(feed, "by hand")) as opened:
        found = Desk(opened, feed)
        await found.move()
        yield found


@pytest.mark.requirement("T11")
async def test_a_promotion_is_told_in_memory_and_as_an_alert_with_every_figure_and_survives_a_restart(
    tmp_path: Path,
) -> None:
    name, memory = proposed(tmp_path).id, ListMemory()
    async with desk(tmp_path, memory) as here:
        answer = await here.promote(name)
        assert (answer.status, answer.stage, answer.before, answer.strategy) == ("done", "paper", "candidate", NAME)
        assert all(gate["passed"] for gate in answer.gates)
        assert answer.terms is not None
        view = await here.view()
        assert (view.lineage, view.stage, view.parameters["channel_bars"]) == (name, "paper", 200)
        assert [gate["name"] for gate in view.gates] == [gate["name"] for gate in answer.gates]
        await here.move()
    told = {record.kind: record for record in memory.records if record.kind in ("promotion", "alert")}
    assert told["promotion"].namespace == f"strategies/{NAME}"
    assert told["promotion"].text == told["alert"].text
    for gate in answer.gates:
        assert f"{gate['name']} {gate['value']} {gate['unit']}" in told["promotion"].text
    [step] = stored(tmp_path, name).steps
    assert (step.before, step.stage, step.who, step.money) == (Stage.CANDIDATE, Stage.PAPER, "operator:o", "paper")
    async with desk(tmp_path, number=20) as here:
        view = await here.view()
        assert (view.lineage, view.stage) == (name, "paper")
        assert (await here.promote(name)).status == "done"  # the same key: nothing is done again
    assert len(stored(tmp_path, name).steps) == 1
    with recorded_run(str(tmp_path)) as run:
        assert measure(run, ReplaySpec()).document()["rows_identical"]


@pytest.mark.requirement("T11")
async def test_a_candidate_that_fails_a_gate_is_denied_and_what_was_read_is_kept(tmp_path: Path) -> None:
    name = proposed(tmp_path, replace(PROPOSAL, evidence=POOR)).id
    async with desk(tmp_path) as here:
        answer = await here.promote(name)
        assert answer.status == "denied"
        assert "deflated_sharpe" in answer.effect
        assert "FAILED" in answer.effect
        assert (await here.view()).lineage == ""
    [report] = stored(tmp_path, name).reports
    assert (report.passed, report.stage, report.who) == (False, Stage.PAPER, "operator:o")
    assert stored(tmp_path, name).steps == ()


async def test_the_familys_lifetime_trials_count(tmp_path: Path) -> None:
    """The control is the test above it: the same evidence passes where few were tried."""
    near = replace(EVIDENCE, selection=replace(EVIDENCE.selection, days=1_095, sharpe=145_000), trials=30)
    name = proposed(tmp_path, replace(PROPOSAL, evidence=near)).id
    async with desk(tmp_path) as here:
        assert (await here.promote(name, dry_run=True)).effect == "Every gate is passed; nothing was done."
        ledger = TrialLedger.at(tmp_path / LEDGER_NAME)
        trials = [Trial(NAME, f"s{number}", "cli", 1, "f", {}, 0.1, 100, 7, 1) for number in range(1_500)]
        ledger.add_all(trials)
        ledger.close()
        denied = await here.promote(name, key="later")
        assert (denied.status, denied.family_trials) == ("denied", 1_500)


async def test_a_dry_run_reads_the_gates_and_does_nothing(tmp_path: Path) -> None:
    name = proposed(tmp_path).id
    async with desk(tmp_path) as here:
        answer = await here.promote(name, dry_run=True)
        assert (answer.status, len(answer.gates)) == ("checked", 7)
        assert (await here.view()).stage == ""
    assert (stored(tmp_path, name).reports, stored(tmp_path, name).steps) == ((), ())


@pytest.mark.requirement("T11")
async def test_real_money_asks_for_what_was_proven_on_paper(tmp_path: Path) -> None:
    name = proposed(tmp_path).id
    async with desk(tmp_path) as here:
        await here.promote(name)
        for _ in range(25):  # past a midnight: one day is judged
            await here.move()
        answer = await here.promote(name, key="l", stage="live")
        assert answer.status == "denied"
        read = {gate["name"]: gate for gate in answer.gates}
        assert set(read) >= PAPER_GATES
        assert (read["paper_days"]["value"], read["paper_days"]["passed"]) == (1, False)
        assert read["paper_drift"]["note"].endswith("the run has 0 lamports more than its replay")
        assert (await here.view()).stage == "paper"


async def test_a_desk_with_real_money_reads_what_a_paper_desk_released(tmp_path: Path) -> None:
    name = proposed(tmp_path).id
    passed = tuple(GateReading(each, 1, 1, "days", True, True, 30) for each in sorted(PAPER_GATES))

    async def ask(_run: Any) -> Any:
        raise NotImplementedError

    def now() -> DeskNow:
        return DeskNow("run_9", "real", None, tmp_path / "journal.db")  # type: ignore[arg-type]

    promoter = Promoter(tmp_path, PromotionSection(), now, ask)
    wish = {"action": "promote", "candidate": name, "stage": "live", "reason": "it is proven"}
    command, said = await promoter.prepare(wish, "operator:o", "k")
    assert (command, said["message"]) == (None, "It is not promoted: no gate was read")
    listed = promoter.candidates(5)
    assert [(each["id"], each["stage"], each["released"]) for each in listed["candidates"]] == [
        (name, "candidate", False)
    ]
    assert (listed["total"], listed["candidates"][0]["gates_stage"]) == (1, "live")
    assert promoter.candidates(0)["candidates"] == []
    store = CandidateStore.at(tmp_path / STORE_NAME)
    store.step(name, Step(Stage.PAPER, Stage.LIVE, "proven", "operator", 8, "run_1", "paper", "k2", passed))
    store.close()
    command, said = await promoter.prepare(wish, "operator:o", "k")
    assert command is not None
    assert [gate["name"] for gate in said["gates"]] == [gate.name for gate in passed]


async def test_a_demotion_is_told_and_reaches_the_store(tmp_path: Path) -> None:
    name, memory = proposed(tmp_path).id, ListMemory()
    async with desk(tmp_path, memory) as here:
        assert (await here.demote()).status == "denied"
        await here.promote(name)
        answer = await here.demote(key="e")
        assert (answer.status, answer.strategy) == ("done", NAME)
        assert (await here.view()).stage == "demoted"
        await here.move()
        night = await here.desk.night(since_ns=0)
    assert [each["kind"] for each in night["happenings"] if each["kind"].startswith("strategy_")] == [
        "strategy_demoted",
        "strategy_promoted",
    ]
    alerts = [record for record in memory.records if record.kind == "alert"]
    assert ["demoted" in record.tags for record in alerts] == [False, True]
    assert [step.stage for step in stored(tmp_path, name).steps] == [Stage.PAPER, Stage.DEMOTED]
    assert stored(tmp_path, name).released is None


async def test_neither_an_agent_nor_a_desk_without_a_store_promotes(tmp_path: Path) -> None:
    name = proposed(tmp_path).id
    async with desk(tmp_path) as here:
        answer = await here.promote(name, actor="agent:clever")
        assert answer.status == "denied"
        assert "an operator promotes it" in answer.effect
        with pytest.raises(InvalidInput, match="unknown"):
            await here.promote("cand_000000000000", key="x")
    (tmp_path / "other").mkdir()
    async with desk(tmp_path / "other", candidates_dir=None) as here:
        with pytest.raises(InvalidInput, match="no store of candidates"):
            await here.promote(name)


@pytest.mark.requirement("T11")
async def test_nothing_is_promoted_by_a_store_that_somebody_altered(tmp_path: Path) -> None:
    name = proposed(tmp_path, replace(PROPOSAL, evidence=POOR)).id
    with sqlite3.connect(tmp_path / STORE_NAME) as connection:
        connection.execute("DROP TRIGGER candidates_no_update")
        connection.execute("UPDATE candidates SET body = replace(CAST(body AS TEXT), '20000', '920000')")
    connection.close()
    async with desk(tmp_path) as here:
        with pytest.raises(CandidateStoreUnavailable, match="row 1 is not what was written down"):
            await here.promote(name)
        assert (await here.view()).lineage == ""
