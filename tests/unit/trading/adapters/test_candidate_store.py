"""A candidate is written down once, with all that its gates read and each step, and what was altered is found."""

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from trading.adapters.candidate_store import (
    CandidateStore,
    CandidateStoreUnavailable,
    Proposal,
    Report,
    Step,
    candidate_id,
)
from trading.errors import InvalidInput
from trading.model.promotion import Evidence, GateReading, Series, Stage, number_of

SERIES = Series(days=1_000, sharpe=150_000, skewness=-120, kurtosis=4_100, trades=220, drawdown_bps=900)
EVIDENCE = Evidence(SERIES, replace(SERIES, days=200), 500, 170, 12_345, 800, 252, 45)
PROPOSAL = Proposal(
    strategy="sma_cross",
    parameters={"fast_bars": 12, "edge": 0.25},
    evidence=EVIDENCE,
    data=("ab" * 32,),
    who="search",
    at_ns=5,
    search_id="srch_1",
    seed=7,
)
READING = GateReading("trades", 220, 30, "trades", True, True, 220)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "candidates.db"


@pytest.mark.requirement("T11")
def test_a_candidate_comes_back_as_it_was_proposed_with_its_reports_and_steps(path: Path) -> None:
    store = CandidateStore.at(path)
    made = store.propose(PROPOSAL)
    assert (made.proposal, made.stage, made.released) == (PROPOSAL, Stage.CANDIDATE, None)
    report = Report(Stage.PAPER, (READING,), 512, "operator", 6)
    step = Step(Stage.CANDIDATE, Stage.PAPER, "it passed", "operator", 7, "run_1", "paper", "k1", (READING,))
    store.report(made.id, report)
    store.step(made.id, step)
    store.step(made.id, step)  # the same key once more
    store.close()
    again = CandidateStore.at(path)
    found = again.candidate(made.id)
    assert (found.reports, found.steps, found.stage) == ((report,), (step,), Stage.PAPER)
    assert found.reports[0].passed
    assert again.verify() is None
    again.close()


def test_proposing_twice_adds_nothing_and_other_evidence_is_another_candidate(path: Path) -> None:
    store = CandidateStore.at(path)
    first = store.propose(PROPOSAL)
    assert store.propose(replace(PROPOSAL, who="somebody else", at_ns=99)) == first
    child = store.propose(replace(PROPOSAL, parameters={"fast_bars": 13, "edge": 0.25}, parent=first.id))
    assert [each.id for each in store.candidates("sma_cross")] == [first.id, child.id]
    assert child.proposal.parent == first.id
    assert store.candidates("momentum_breakout") == []
    assert candidate_id(replace(PROPOSAL, evidence=replace(EVIDENCE, trials=501))) != first.id
    with pytest.raises(InvalidInput, match="parent"):
        store.propose(replace(PROPOSAL, parent="cand_nobody"))
    with pytest.raises(InvalidInput, match="unknown"):
        store.candidate("cand_nobody")
    store.close()


def test_it_is_released_by_a_paper_desk_until_it_is_demoted(path: Path) -> None:
    store = CandidateStore.at(path)
    name = store.propose(PROPOSAL).id
    live = Step(Stage.PAPER, Stage.LIVE, "proven", "operator", 8, "run_1", "paper", "k2", (READING,))
    store.step(name, replace(live, money="real", key="k1"))
    assert store.candidate(name).released is None  # what a desk with real money does proves nothing
    store.step(name, live)
    assert store.candidate(name).released == live
    store.step(name, replace(live, before=Stage.LIVE, stage=Stage.DEMOTED, key="k3"))
    assert (store.candidate(name).released, store.candidate(name).stage) == (None, Stage.DEMOTED)
    store.close()


@pytest.mark.parametrize(
    ("how", "first"),
    [
        ("UPDATE candidates SET body = replace(CAST(body AS TEXT), '150000', '950000') WHERE number = 1", 1),
        ("UPDATE candidates SET candidate = 'cand_other' WHERE number = 2", 2),
        ("DELETE FROM candidates WHERE number = 1", 1),
    ],
)
def test_what_was_altered_around_the_guards_is_found(path: Path, how: str, first: int) -> None:
    store = CandidateStore.at(path)
    name = store.propose(PROPOSAL).id
    store.report(name, Report(Stage.PAPER, (READING,), 1, "operator", 6))
    with sqlite3.connect(path) as connection, pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute("DELETE FROM candidates")
    connection.close()
    with sqlite3.connect(path) as connection:
        for verb in ("update", "delete"):
            connection.execute(f"DROP TRIGGER candidates_no_{verb}")
        connection.execute(how)
    connection.close()
    assert store.verify() == first
    store.close()


def test_a_store_that_cannot_be_used_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(CandidateStoreUnavailable, match="candidate store"):
        CandidateStore.at(tmp_path / "file" / "candidates.db")


def test_numbers_keep_their_kind() -> None:
    assert [number_of(repr(each)) for each in (12, -3, 0.25, 1e-9)] == [12, -3, 0.25, 1e-9]
    assert [type(number_of(text)) for text in ("12", "12.0")] == [int, float]


def test_who_was_told_of_a_candidate_is_not_told_again(path: Path) -> None:
    store = CandidateStore.at(path)
    first, second = store.propose(PROPOSAL), store.propose(replace(PROPOSAL, seed=8))
    assert store.untold(1) == [first]
    store.told(first.id)
    store.told(first.id)
    assert store.untold(9) == [second]
    store.told(second.id)
    assert store.untold(9) == []
    assert store.candidates() == [first, second]
    assert store.verify() is None
    store.close()
