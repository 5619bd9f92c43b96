"""What figures let anybody say: decided only where the whole interval is, with the sample, the test out of sample and
the evidence."""

from typing import Any

import pytest

from memmcp_server.domain.telemetry import LOCAL_DESK, Snapshot
from memmcp_server.overviews.findings import findings_of, out_of_sample
from memmcp_server.wire.desks import DESKS_MAX, DeskList
from memmcp_server.wire.findings import Finding
from memmcp_server.wire.telemetry import STALE_AFTER_S
from memmcp_server.wire.trading import StrategyDigest, StrategyView

SOL = 10**9
NOW_NS = 1_700_000_000 * SOL
AMOUNT = {"lamports": 0, "sol": "0"}


def figures(trades: int, low: int | None, high: int | None, **more: Any) -> dict[str, Any]:
    mean = None if low is None or high is None else (low + high) // 2
    return {
        "trades": trades,
        "wins": trades // 2,
        "mean_return_bps": mean,
        "low_bps": low,
        "high_bps": high,
        "confidence": f"{trades} finished trades",
    } | more


def cell(regime: str, trades: int, low: int | None, high: int | None) -> dict[str, Any]:
    evidence = [f"trade-{regime}-{number}" for number in range(min(trades, 3))]
    return figures(trades, low, high, regime=regime, tier="foundation", evidence=evidence)


def digest(*strategies: dict[str, Any]) -> StrategyDigest:
    feed = {"kind": "synthetic", "detail": "", "age_s": 1, "stale": False}
    whole = {"window": "all", "since": "2026-11-01T00:00:00Z", "until": "2026-11-22T00:00:00Z", "evidence": []}
    return StrategyDigest.model_validate(
        {"money": "paper", "feed": feed, **whole, "strategies": list(strategies), "confidence": ""}
    )


def gate(name: str, value: int, *, sample: int = 40, passed: bool = True, note: str = "") -> dict[str, Any]:
    return {"name": name, "value": value, "bound": 9_500, "passed": passed, "sample": sample, "note": note}


def listed(name: str, *gates: dict[str, Any]) -> StrategyView:
    sums = {"capital": AMOUNT, "realised": AMOUNT, "unrealised": AMOUNT}
    counts: dict[str, Any] = {"trades": 0, "wins": 0, "win_rate_bps": None, "last_signal": None}
    return StrategyView.model_validate(
        {"name": name, "kind": "momentum", "enabled": True, "parameters": {}, "bucket": name, **sums, **counts}
        | {"lineage": "cand_7", "stage": "paper", "gates": list(gates)}
    )


@pytest.mark.parametrize(
    ("low", "high", "says"),
    [(1, 90, "gains"), (-90, -1, "loses"), (0, 90, "open"), (-1, 1, "open"), (None, None, "open")],
)
def test_a_result_is_decided_only_where_the_whole_interval_lies_on_one_side(
    low: int | None, high: int | None, says: str
) -> None:
    [found] = findings_of(digest({"name": "momentum", **figures(40, low, high), "cells": []}), [])
    assert (found.says, found.sample, found.about) == (says, 40, "result")
    assert found.text.startswith("momentum ")
    assert "40 finished trades, 20 won" in found.text


def test_a_regime_is_a_finding_where_it_is_decided_and_names_its_trades() -> None:
    cells = [cell("calm/up", 20, 10, 90), cell("wild/down", 30, -40, 60)]
    found = findings_of(digest({"name": "momentum", **figures(50, -5, 60), "cells": cells}), [])
    assert [(each.says, each.regime) for each in found] == [("gains", "calm/up"), ("open", None)]
    assert found[0].evidence == ["trade-calm/up-0", "trade-calm/up-1", "trade-calm/up-2"]
    assert set(found[1].evidence) == {*cells[0]["evidence"], *cells[1]["evidence"]}
    assert "(95 %: +0.10 % to +0.90 %)" in found[0].text


def test_gates_tell_whether_a_candidate_holds_and_what_was_read_out_of_sample() -> None:
    gates = (gate("deflated_sharpe", 9_700), gate("holdout_psr", 9_600, sample=21), gate("drawdown", 900))
    held = findings_of(digest({"name": "m", **figures(0, None, None), "cells": []}), [listed("m", *gates)])
    [found] = held
    assert (found.about, found.says, found.sample) == ("gates", "holds", 21)
    assert found.out_of_sample is not None
    assert (found.out_of_sample.gate, found.out_of_sample.confidence_bps) == ("holdout_psr", 9_600)
    assert "96.0 % that it earns anything, of 21 days (asked: 95.0 %)" in found.text
    lost = listed("m", gate("overfitting", 4_000, passed=False))
    [failed] = findings_of(digest({"name": "m", **figures(0, None, None), "cells": []}), [lost])
    assert (failed.says, failed.out_of_sample, failed.sample) == ("fails", None, 0)
    assert "does not pass overfitting; out of sample: nothing was read" in failed.text


def test_the_most_telling_reading_counts_and_one_that_could_not_be_read_does_not() -> None:
    few = gate("trade_psr", 0, sample=4, note="too few trades to say")
    unknown = gate("paper_psr", 0, note="not known; the run was away")
    holdout, trades = gate("holdout_psr", 9_600, sample=21), gate("trade_psr", 8_000, sample=60)
    assert out_of_sample([few, unknown]) is None
    found = out_of_sample([few, unknown, holdout])
    assert found is not None
    assert (found.gate, found.sample_of) == ("holdout_psr", "days")
    best = out_of_sample([holdout, trades])
    assert best is not None
    assert (best.gate, best.sample_of, best.sample) == ("trade_psr", "trades", 60)


@pytest.mark.parametrize(
    ("brier", "says"), [(182_000, "better"), (182_200, "open"), (317_800, "open"), (318_000, "worse")]
)
def test_forecasts_are_better_or_worse_by_more_than_chance_and_from_a_sample_on(brier: int, says: str) -> None:
    record = {"direction": "up", "count": 400, "hits": 9, "brier_ppm": brier}
    few = {"direction": "down", "count": 29, "hits": 29, "brier_ppm": 1}
    told = {"name": "m", **figures(0, None, None), "cells": [], "calibration": [record, few]}
    [found] = findings_of(digest(told), [])
    assert (found.about, found.says, found.sample) == ("forecasts", says, 400)


def test_a_few_trades_decide_nothing_however_sure_their_interval_looks() -> None:
    told = [{"name": name, **figures(number, 5, 9), "cells": []} for name, number in (("a", 9), ("b", 10))]
    assert {each.strategy: each.says for each in findings_of(digest(*told), [])} == {"a": "open", "b": "gains"}


def test_decided_findings_come_first_and_larger_samples_before_smaller_ones() -> None:
    told = [
        {"name": "a", **figures(90, -5, 5), "cells": []},
        {"name": "b", **figures(12, 5, 9), "cells": []},
        {"name": "c", **figures(40, -9, -5), "cells": []},
    ]
    found: list[Finding] = findings_of(digest(*told), [])
    assert [each.strategy for each in found] == ["c", "b", "a"]


def report(desk_id: str, *, age_s: float = 1, **body: Any) -> Snapshot:
    return Snapshot(desk_id, NOW_NS, NOW_NS - int(age_s * SOL), body)


@pytest.mark.requirement("D7")
def test_no_total_mixes_our_desk_with_others_or_paper_with_real_or_fresh_with_stale() -> None:
    own = report(
        LOCAL_DESK, money="paper", equity={"lamports": 2 * SOL}, exposure={"total": {"lamports": SOL}}, state="ACTIVE"
    )
    others = [
        report("b-paper", money="paper", equity_lamports=3 * SOL, exposure_lamports=SOL, state="HALTED"),
        report("a-real", money="real", equity_lamports=5 * SOL, cash_lamports=4 * SOL),
        report("c-real", money="real", equity_lamports=7 * SOL, age_s=STALE_AFTER_S + 1),
        report("d-real", money="real"),
    ]
    found = DeskList.of([*others, own], NOW_NS)
    assert [each.desk_id for each in found.desks] == [LOCAL_DESK, "a-real", "b-paper", "c-real", "d-real"]
    assert found.totals.own is not None
    assert (found.totals.own.equity_lamports, found.totals.own.exposure_lamports) == (2 * SOL, SOL)
    paper, real = found.totals.outside
    assert (paper.money, paper.desks, paper.equity_lamports, paper.exposure_lamports) == ("paper", 1, 3 * SOL, SOL)
    assert (real.money, real.desks, real.stale, real.with_equity) == ("real", 3, 1, 1)
    assert (real.equity_lamports, real.exposure_lamports, real.with_exposure) == (5 * SOL, SOL, 1)
    by_name = {each.desk_id: each for each in found.desks}
    assert (by_name["b-paper"].state, by_name["b-paper"].exposure_bps) == ("HALTED", 3_333)
    assert (by_name["d-real"].equity_lamports, by_name["d-real"].exposure_bps, by_name["d-real"].state) == (None,) * 3


@pytest.mark.requirement("D7")
def test_a_crowd_of_desks_is_counted_and_not_all_of_it_shown() -> None:
    crowd = [report(f"desk-{number:04}", money="paper", equity_lamports=1) for number in range(DESKS_MAX + 5)]
    found = DeskList.of(crowd, NOW_NS)
    assert (len(found.desks), found.left_out, found.totals.own) == (DESKS_MAX, 5, None)
    assert found.totals.outside[0].equity_lamports == DESKS_MAX + 5
