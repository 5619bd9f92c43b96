"""A backtest hears the advice that a run recorded, and asks nobody; what it heard names the run."""

from pathlib import Path
from typing import Any

import pytest
from tests.support.chat_server import ChatServer
from tests.support.sidecar_desk import PROFILE, feed, run

from trading.adapters.profile_files import read_profile
from trading.feeds.advised import AdvisedFeed
from trading.model.market_data import Advised, CycleEnd, ts_of
from trading.runtime.backtest import BacktestResult, BacktestSpec, run_backtest
from trading.runtime.recorded_runs import recorded_advice, recorded_run
from trading.runtime.replaying import ReplaySpec, measure

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("T14")]


def backtest(folder: Path, advice: list[Advised] | None = None, run_dir: Path | None = None) -> BacktestResult:
    (folder / "heard.toml").write_text(PROFILE)
    opened = feed() if advice is None else AdvisedFeed(feed(), advice)
    rules = read_profile(folder / "heard.toml")
    return run_backtest(BacktestSpec(feed=opened, rules=rules, equity_lamports=20 * 10**9, run_dir=run_dir))


def decided(result: BacktestResult) -> list[tuple[int, str, Any]]:
    kinds = ("advice_weighed", "advice_scored", "order_approved", "order_filled", "advised")
    return [(row.ts_ns, row.kind, row.body) for row in result.journal.rows(kinds=kinds)]


async def test_a_backtest_over_recorded_advice_decides_as_the_run_that_heard_it(tmp_path: Path) -> None:
    await run(tmp_path / "paper", ChatServer(said={"size_scale_bps": 0, "expires_in_s": 604_800}), timeout_s=20)
    advice = recorded_advice(str(tmp_path / "paper"))
    assert advice
    heard = backtest(tmp_path, advice, tmp_path / "kept")
    without = backtest(tmp_path)
    with recorded_run(str(tmp_path / "paper")) as paper:
        kinds = ("order_filled", "advice_weighed")
        told = [(row.ts_ns, row.kind) for row in paper.journal.rows(kinds=kinds)]
        scales = sum(b'"scale_bps":7500' in row.body for row in paper.journal.rows(kinds=("advice_weighed",)))
    assert [(ts, kind) for ts, kind, _ in decided(heard) if kind in kinds] == told
    assert scales > 0
    assert heard.document["run_id"] != without.document["run_id"]
    assert heard.document["journal_sha256"] == backtest(tmp_path, advice).document["journal_sha256"]
    with recorded_run(str(tmp_path / "kept")) as kept:
        assert measure(kept, ReplaySpec(feed=feed())).document()["rows_identical"] is True


def test_advice_comes_behind_the_cycle_in_which_it_came_in_and_never_before(tmp_path: Path) -> None:
    from tests.support.advice import advised

    ends = [event.ts_ns for event in feed().events() if isinstance(event, CycleEnd)]
    said = [advised(ends[4] - 1, id="b"), advised(ends[2], id="a"), advised(ends[-1] + 1, id="late")]
    events = list(AdvisedFeed(feed(), said).events())
    assert [each.exchange.id for each in events if isinstance(each, Advised)] == ["a", "b"]
    places = [number for number, each in enumerate(events) if isinstance(each, Advised)]
    assert [ts_of(events[place - 1]) for place in places] == [ends[2], ends[4]]
    again = list(AdvisedFeed(feed(), said).events(4))
    assert [each.exchange.id for each in again if isinstance(each, Advised)] == ["b"]
