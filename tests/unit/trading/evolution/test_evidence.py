"""What a search found becomes candidates, and its figures the ints that gates decide by."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trading.adapters.candidate_store import STORE_NAME, CandidateStore
from trading.errors import DataError
from trading.evolution.evidence import Searched, propose_found
from trading.evolution.fitness import Objectives
from trading.evolution.found import RETURNS_NAME, Candidate, Finalist, Found, load, save
from trading.model.promotion import MILLION, VARIANCE_UNITS
from trading.portfolio import statistics
from trading.portfolio.overfitting import mean_correlation, overfitting

DAYS, HELD = 60, 20
CHANCE = np.random.default_rng(4)
RETURNS = CHANCE.normal(0.001, 0.01, (12, DAYS))
HELD_RETURNS = tuple(CHANCE.normal(0.001, 0.01, HELD).tolist())
FIGURES = Objectives(1.0, 0.5, 0.1)


def document(trips: int, drawdown_bps: int, mean_bps: int | None) -> dict[str, Any]:
    own = {"round_trips": trips, "mean_return_bps": mean_bps}
    return {"max_drawdown_bps": drawdown_bps, "trades": 2 * trips, "strategies": {"sma_cross": own}}


def found(folder: Path) -> Found:
    folder.mkdir()
    np.save(folder / RETURNS_NAME, RETURNS)
    parameters = [{"fast_bars": row + 1, "slow_bars": 50} for row in range(12)]
    held = document(9, 300, None)
    finalist = Finalist(
        3, parameters[3], FIGURES, document(40, 450, 22), tuple(RETURNS[3].tolist()), (1.0,), 0.9, held, HELD_RETURNS
    )
    without = Finalist(5, parameters[5], FIGURES, document(8, 90, None), tuple(RETURNS[5]), (0.1,), None, None, ())
    return Found(
        search_id="ev_1",
        strategy="sma_cross",
        feed="a feed",
        inputs=(("bars", "ab" * 32),),
        profile="baseline",
        sampler="nsga2",
        seed=7,
        screened_by="kernel",
        from_ns=0,
        days=DAYS,
        holdout_days=HELD,
        trials=12,
        family_trials=40,
        sharpe_variance=None,
        path_sharpes=(),
        pbo=None,
        candidates=tuple(Candidate(row, each, FIGURES, 40) for row, each in enumerate(parameters)),
        finalists=(finalist, without),
        returns_file=folder / RETURNS_NAME,
    )


@pytest.mark.requirement("T11")
def test_every_finalist_is_a_candidate_with_the_lineage_of_its_search(tmp_path: Path) -> None:
    searched = found(tmp_path / "run")
    save(searched)
    store = CandidateStore.at(tmp_path / STORE_NAME)
    made = propose_found(store, load(tmp_path / "run"), "search", 5)
    assert propose_found(store, searched, "search", 9) == made  # a repeat adds nothing
    first, second = made
    proposal = first.proposal
    assert (proposal.search_id, proposal.seed, proposal.data) == ("ev_1", 7, ("ab" * 32,))
    assert proposal.parameters == {"fast_bars": 4, "slow_bars": 50}
    ratio = statistics.sharpe(statistics.moments(RETURNS[3].tolist()))
    assert ratio is not None
    selection, holdout = proposal.evidence.selection, proposal.evidence.holdout
    assert (selection.days, selection.sharpe) == (DAYS, round(ratio * MILLION))
    assert (selection.trades, selection.drawdown_bps, proposal.evidence.trade_mean_bps) == (40, 450, 22)
    assert holdout is not None
    assert (holdout.days, holdout.trades, holdout.drawdown_bps) == (HELD, 9, 300)
    assert second.proposal.evidence.holdout is None
    store.close()


def test_what_the_trials_say_together_is_that_of_their_matrix() -> None:
    said = Searched.of(RETURNS, 500)
    effective = statistics.effective_trials(500, mean_correlation(RETURNS))
    ratios = [statistics.sharpe(statistics.moments(row)) for row in RETURNS.tolist()]
    assert (said.trials, said.effective_trials) == (500, round(effective))
    assert said.sharpe_variance == pytest.approx(float(np.var(ratios, ddof=1)) * VARIANCE_UNITS, rel=1e-9)
    assert (said.pbo_bps, said.pbo_splits) == (round(overfitting(RETURNS).pbo * 10_000), 252)


def test_of_too_few_trials_or_days_nothing_is_made_up() -> None:
    assert Searched.of(RETURNS[:1], 1) == Searched(1, 1, None, None, 0)
    assert Searched.of(RETURNS[:, :19], 12).pbo_bps is None
    assert Searched.of(np.zeros((12, 40)), 12).sharpe_variance is None


def test_returns_that_are_not_the_searchs_are_refused(tmp_path: Path) -> None:
    searched = found(tmp_path / "run")
    np.save(searched.returns_file, RETURNS[:5])
    store = CandidateStore.at(tmp_path / STORE_NAME)
    with pytest.raises(DataError, match="returns"):
        propose_found(store, searched, "search", 5)
    store.close()
