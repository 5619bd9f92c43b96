"""Order flow on swaps: the same rows from any run, and from a checkpoint in the middle."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from random import Random

import pytest
from tests.unit.trading.feeds.bar_writers import SWAP_HEADER, bar_rows, swap_row, write_csv
from typer.testing import CliRunner

from trading.adapters.memory_journal import MemoryJournal
from trading.cli import app
from trading.engine import checkpoint
from trading.engine.kernel import Kernel
from trading.errors import InvalidInput
from trading.evolution.walk_forward import Plan, Window, walk_forward, windows
from trading.feeds.replay import ReplayFeed, open_replay
from trading.model.market_data import CycleEnd, MarketEvent
from trading.model.profile import BASELINE, StrategyChoice
from trading.runtime.assembly import RunPlan, begin, make_kernel
from trading.runtime.backtest import BacktestSpec, run_backtest

FLOW: dict[str, int | float] = {"flow_bars": 3, "entry_share": 0.05, "volatility_bars": 6, "hold_bars": 4}
RULES = BASELINE.model_copy(
    update={"strategies": (StrategyChoice(name="order_flow", weight_bps=10_000, parameters=FLOW),)}
)


def market(folder: Path, seconds: int = 1_500) -> ReplayFeed:
    """Return swaps of two tokens with waves of buying and selling, the price moved by each along a pool of 85 SOL."""
    chance, rows = Random(5), []
    pools = {"mintA": (85.0, 1.7e8), "mintB": (85.0, 1.7e8)}
    for second in range(seconds):
        for mint, (sol, tokens) in pools.items():
            wave = 0.75 if (second // 60 + (mint == "mintB")) % 2 else 0.25
            paid = round(chance.uniform(0.02, 2.0), 4)
            after = sol + paid if chance.random() < wave else sol - paid
            left = sol * tokens / after
            side = "buy" if after > sol else "sell"
            rows.append(swap_row(second, side, str(paid), f"{abs(tokens - left):.2f}", mint=mint))
            pools[mint] = (after, left)
    return open_replay([write_csv(folder / "swaps_5s.csv.gz", rows, SWAP_HEADER)])


def kernel(feed: ReplayFeed) -> Kernel:
    return make_kernel(RunPlan("backtest", feed.description, RULES, 2 * 10**9, 10**10), "run", MemoryJournal())


def drive(run: Kernel, events: Iterator[MarketEvent], cycles: int | None = None) -> None:
    for event in events:
        run.on_event(event)
        if isinstance(event, CycleEnd) and run.cycles == cycles:
            return


@pytest.mark.requirement("T4")
def test_waves_of_buying_are_traded_and_a_checkpoint_within_one_goes_on_as_if_nothing_had_been(tmp_path: Path) -> None:
    feed = market(tmp_path)
    whole = kernel(feed)
    begin(whole)
    drive(whole, feed.events())
    assert whole.state.fills_total >= 10
    for cut in (3, 58, 171):
        first, second = kernel(feed), kernel(feed)
        begin(first)
        drive(first, feed.events(), cut)
        checkpoint.put_back(second, checkpoint.taken(first))
        drive(second, feed.events(cut))
        assert checkpoint.taken(second) == checkpoint.taken(whole)


def test_without_swaps_order_flow_has_no_opinion(tmp_path: Path) -> None:
    bars = [event for event in market(tmp_path).events() if "Swap" not in type(event).__name__]
    run = kernel(market(tmp_path))
    begin(run)
    drive(run, iter(bars))
    assert run.bars > 400
    assert run.state.signals_total == 0


@pytest.mark.market
@pytest.mark.requirement("T4")
def test_recorded_swaps_are_traded_the_same_way_every_time_on_declared_depth(market_dir: Path) -> None:
    feed = open_replay([market_dir / "dex" / "pumpswap_swaps.csv.gz"])
    one, other = (run_backtest(BacktestSpec(feed=feed, rules=RULES)) for _ in range(2))
    assert one.document["journal_sha256"] == other.document["journal_sha256"]
    assert one.document["trades"] >= 8
    assert one.document["liquidity"].startswith("declared")
    assert len(list(islice(one.journal.rows(kinds=("forecast_made",)), 4))) == 4


def test_a_walk_over_bars_alone_is_refused_and_a_backtest_says_why_nothing_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_csv(tmp_path / "FROG_SOL_5m.csv", bar_rows(40))
    feed = open_replay([path])
    span = Window(0, 1, 1, 2)
    with pytest.raises(InvalidInput, match="order_flow has no opinion without swaps"):
        walk_forward(feed, BASELINE, "order_flow", [{}], [span])
    monkeypatch.setenv("MEMMCP_DATA_DIR", str(tmp_path / "data"))
    done = CliRunner().invoke(app, ["backtest", "--data", str(path), "--strategy", "order_flow"])
    assert done.exit_code == 0
    assert "order_flow: no opinion without swaps, and this feed tells none" in done.output


def test_a_walk_over_swaps_is_judged_like_any(tmp_path: Path) -> None:
    days = [swap_row(second * 3_600) for second in range(24 * 9)]
    feed = open_replay([write_csv(tmp_path / "swaps_1h.csv", days, SWAP_HEADER)])
    assert feed.summary.first_ns is not None
    assert feed.summary.last_ns is not None
    spans = windows(feed.summary.first_ns, feed.summary.last_ns, Plan(train_days=3, test_days=2, embargo_days=1))
    result = walk_forward(feed, RULES, "order_flow", [{}, FLOW], spans)
    assert len(result.judged) == len(spans) >= 2
