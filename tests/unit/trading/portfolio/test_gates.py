"""Each gate at its bound, on either side of it, and without a figure."""

from dataclasses import replace

import pytest

from trading.config import PromotionSection
from trading.model.promotion import MILLION, Evidence, GateReading, PromotionTerms, Series
from trading.portfolio import statistics
from trading.portfolio.gates import (
    Drifted,
    Proven,
    failed,
    gate_text,
    holding_gates,
    live_gates,
    paper_gates,
    series_of,
    terms_of,
)

RULES = PromotionSection()
GOOD = Series(days=1_095, sharpe=200_000, skewness=0, kurtosis=3_000, trades=120, drawdown_bps=900)
HELD = Series(days=365, sharpe=150_000, skewness=0, kurtosis=3_000, trades=40, drawdown_bps=700)
EVIDENCE = Evidence(GOOD, HELD, 500, 130, 900_000, 2_000, 252, 40)
TERMS = PromotionTerms(1_350, 20, 500, 100, 40)
WINNING = (120, -40, 80, 10, -20, 90, 60, -30, 70, 40) * 4
LOSING = tuple(-each for each in WINNING)
DAYS = tuple(range(10_000_000, 410_000_000, 10_000_000))


def names(gates: tuple[GateReading, ...]) -> set[str]:
    return {gate.name for gate in failed(gates)}


@pytest.mark.requirement("T11")
def test_good_evidence_passes_and_each_reading_says_what_it_read_of_how_much() -> None:
    gates = paper_gates(EVIDENCE, 620, RULES)
    assert names(gates) == set()
    by_name = {gate.name: gate for gate in gates}
    deflated = by_name["deflated_sharpe"]
    expected = statistics.deflated_sharpe(0.2, statistics.Moments(1_095, 0.0, 1.0, 0.0, 3.0), 620)
    assert expected is not None
    assert (deflated.value, deflated.bound, deflated.sample) == (round(expected * 10_000), 9_500, 1_095)
    by_spread = statistics.deflated_sharpe(0.2, statistics.Moments(1_095, 0.0, 1.0, 0.0, 3.0), 620, 900_000 / 10**12)
    assert by_spread is not None
    assert deflated.note == (
        "against 620 trials of the family, 130 of the search's count as independent; "
        f"by the spread of their ratios {round(by_spread * 10_000)} bps"
    )
    [plain, *_] = paper_gates(replace(EVIDENCE, sharpe_variance=None), 620, RULES)
    assert plain.note == "against 620 trials of the family, 130 of the search's count as independent"
    assert gate_text(by_name["trades"]) == "trades 120 trades (at least 30, of 120): passed"


@pytest.mark.parametrize(
    ("changes", "gate"),
    [
        ({"selection": replace(GOOD, sharpe=120_000)}, "deflated_sharpe"),
        ({"selection": replace(GOOD, sharpe=None)}, "deflated_sharpe"),
        ({"selection": replace(GOOD, trades=29)}, "trades"),
        ({"selection": replace(GOOD, drawdown_bps=3_501)}, "drawdown"),
        ({"pbo_bps": 5_001}, "overfitting"),
        ({"pbo_bps": None}, "overfitting"),
        ({"holdout": replace(HELD, sharpe=30_000)}, "holdout_psr"),
        ({"holdout": replace(HELD, drawdown_bps=3_501)}, "holdout_drawdown"),
        ({"holdout": replace(HELD, days=59, sharpe=400_000)}, "holdout_days"),
    ],
)
def test_one_bad_figure_fails_its_gate_alone(changes: dict[str, object], gate: str) -> None:
    assert names(paper_gates(replace(EVIDENCE, **changes), 500, RULES)) == {gate}  # type: ignore[arg-type]


def test_without_days_kept_back_nothing_goes_to_paper() -> None:
    assert names(paper_gates(replace(EVIDENCE, holdout=None), 500, RULES)) == {"holdout_days", "holdout_psr"}


def test_the_more_a_family_was_tried_the_more_is_asked_for() -> None:
    modest = replace(EVIDENCE, selection=replace(GOOD, sharpe=145_000))
    read = [paper_gates(modest, trials, RULES)[0] for trials in (500, 5_000, 500_000)]
    assert [gate.passed for gate in read] == [True, False, False]
    assert read[0].value > read[1].value > read[2].value
    fewer = paper_gates(modest, 3, RULES)[0]  # the ledger cannot know fewer than the search made
    assert fewer.value == read[0].value


def test_a_set_that_was_chosen_among_none_has_nothing_to_overfit() -> None:
    alone = replace(EVIDENCE, trials=1, pbo_bps=None, pbo_splits=0)
    [gate] = [each for each in paper_gates(alone, 40, RULES) if each.name == "overfitting"]
    assert (gate.passed, gate.note) == (True, "one set, chosen among none")


def test_the_terms_come_from_the_worst_drawdown_of_the_evidence() -> None:
    assert terms_of(EVIDENCE, RULES) == TERMS
    calm = replace(EVIDENCE, selection=replace(GOOD, drawdown_bps=10), holdout=None, trade_mean_bps=None)
    assert terms_of(calm, RULES) == PromotionTerms(500, 20, 500, 100, 0)
    assert terms_of(replace(EVIDENCE, selection=replace(GOOD, drawdown_bps=9_000)), RULES).drawdown_bps_max == 10_000


@pytest.mark.requirement("T11")
def test_what_did_on_paper_as_in_its_replay_goes_to_real_money() -> None:
    done = Proven(10**9, DAYS, WINNING)
    assert names(live_gates(done, TERMS, Drifted(40, 39, 0), RULES)) == set()
    assert names(live_gates(done, TERMS, Drifted(40, 37, 0), RULES)) == {"paper_drift"}
    assert names(live_gates(done, TERMS, None, RULES)) == {"paper_drift"}
    assert names(live_gates(replace(done, results_lamports=DAYS[:29]), TERMS, Drifted(40, 40, 0), RULES)) == {
        "paper_days"
    }
    assert names(live_gates(replace(done, trades_bps=WINNING[:29]), TERMS, Drifted(40, 40, 0), RULES)) == {
        "paper_trades"
    }
    nothing = live_gates(Proven(0, (), ()), TERMS, None, RULES)
    assert {"paper_days", "paper_trades", "paper_psr", "paper_drift"} == names(nothing)


@pytest.mark.requirement("T11")
def test_too_few_trades_demote_nobody_and_enough_of_them_do() -> None:
    assert names(holding_gates(Proven(10**9, DAYS, LOSING[:19]), TERMS)) == set()
    assert names(holding_gates(Proven(10**9, DAYS, LOSING), TERMS)) == {"trade_psr", "trade_drift"}
    assert names(holding_gates(Proven(10**9, DAYS, WINNING), TERMS)) == set()


def test_trades_that_earn_but_far_less_than_the_evidence_said_have_drifted() -> None:
    assert names(holding_gates(Proven(10**9, DAYS, WINNING), replace(TERMS, trade_mean_bps=80))) == {"trade_drift"}


def test_a_fall_beyond_the_terms_demotes_at_once() -> None:
    fallen = Proven(10**9, (100_000_000, -50_000_000), ())
    [gate] = failed(holding_gates(fallen, TERMS))
    assert (gate.name, gate.value, gate.bound, gate.sample) == ("held_drawdown", 1_364, 1_350, 2)
    assert names(holding_gates(fallen, replace(TERMS, drawdown_bps_max=1_364))) == set()


def test_results_that_never_vary_are_judged_by_their_sign() -> None:
    assert names(holding_gates(Proven(10**9, (), (50,) * 20), TERMS)) == set()
    assert names(holding_gates(Proven(10**9, (), (0,) * 20), TERMS)) == {"trade_psr", "trade_drift"}


def test_an_unknown_figure_is_said_to_be_unknown() -> None:
    [gate] = failed(paper_gates(replace(EVIDENCE, pbo_bps=None), 500, RULES))
    assert gate_text(gate) == "overfitting unknown (at most 5000, of 252, not known): FAILED"


def test_series_are_rounded_to_whole_millionths() -> None:
    found = series_of([0.01, -0.005, 0.02, 0.0], 3, 50)
    of = statistics.moments([0.01, -0.005, 0.02, 0.0])
    ratio = statistics.sharpe(of)
    assert ratio is not None
    assert (found.days, found.sharpe, found.trades) == (4, round(ratio * MILLION), 3)
    assert series_of([0.0, 0.0], 0, 0).sharpe is None
