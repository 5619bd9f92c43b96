"""Windows that never overlap their own past, seeded draws, and a choice that cannot see its test."""

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support import yardstick

from trading.adapters.trial_ledger import TrialLedger
from trading.errors import InvalidInput
from trading.evolution.walk_forward import (
    DAY_NS,
    Plan,
    block_bootstrap,
    daily_returns,
    draws,
    growth,
    max_drawdown,
    walk_forward,
    windows,
)
from trading.feeds.replay import ReplayFeed, ReplaySummary
from trading.model.market_data import Bar, CycleEnd, FeedDescription, MarketEvent, TokenListed
from trading.strategies import registry

HOUR_NS = 3_600 * 10**9


def hourly(prices: yardstick.Walk) -> ReplayFeed:
    """Return the walk as hourly bars, so that days pass."""
    groups: dict[int, list[MarketEvent]] = {}
    listed: list[MarketEvent] = [
        event for event in yardstick.feed_of(prices.cut(1)).events() if isinstance(event, TokenListed)
    ]
    for number, bar in enumerate(yardstick.bars_of(prices)):
        close_ns = (number + 1) * HOUR_NS
        moved = Bar(
            bar.mint,
            number * HOUR_NS,
            close_ns,
            bar.open,
            bar.high,
            bar.low,
            bar.close,
            bar.volume,
            None,
            None,
            bar.source,
        )
        groups[close_ns] = [*([] if number else listed), moved]
    cycles = [CycleEnd(ts_ns, None) for ts_ns in groups]
    return ReplayFeed(groups, cycles, FeedDescription("replay", "hours", 3_600, (("hours", "00"),)), ReplaySummary())


@given(st.integers(1, 300), st.integers(1, 90), st.integers(0, 10), st.booleans(), st.integers(1, 1_500))
def test_windows_learn_before_they_are_judged_and_are_judged_once(
    train: int, test: int, embargo: int, anchored: bool, days: int
) -> None:
    plan = Plan(train, test, embargo, anchored)
    if days < train + embargo + test:
        with pytest.raises(InvalidInput, match="too few"):
            windows(0, days * DAY_NS, plan)
        return
    found = windows(0, days * DAY_NS, plan)
    for span in found:
        assert span.train_from_ns < span.train_to_ns <= span.test_from_ns - embargo * DAY_NS
        assert span.test_to_ns - span.test_from_ns == test * DAY_NS
        assert (span.train_from_ns == 0) if anchored else (span.train_to_ns - span.train_from_ns == train * DAY_NS)
    for before, after in itertools.pairwise(found):
        assert before.test_to_ns == after.test_from_ns
    assert days * DAY_NS - found[-1].test_to_ns < test * DAY_NS


@pytest.mark.parametrize("name", list(registry.STRATEGIES))
def test_draws_are_seeded_and_accepted_by_their_strategy(name: str) -> None:
    found = draws(name, 8, seed=3)
    assert found == draws(name, 8, seed=3)
    assert found[0] == {each.name: each.default for each in registry.declared(name)}
    assert len(found) == 8
    assert len({repr(each) for each in found}) == 8
    for each in found:
        registry.create(name, each)


@pytest.mark.requirement("T11")
def test_what_lies_ahead_of_a_window_changes_neither_its_choice_nor_its_judgement(tmp_path: Path) -> None:
    ledger = TrialLedger.at(tmp_path / "trials.db")
    whole = yardstick.walk(24 * 40)
    other = yardstick.walk(24 * 40, seed=7)
    shared = 24 * 26
    altered = yardstick.Walk(
        *(
            np.concatenate([mine[:shared], theirs[shared:]])
            for mine, theirs in zip(vars(whole).values(), vars(other).values(), strict=True)
        )
    )
    plan = Plan(train_days=10, test_days=5, embargo_days=1)
    candidates: Sequence[dict[str, int | float]] = [
        {"fast_bars": 5, "slow_bars": 20, "edge_share": 10.0},
        {"fast_bars": 3, "slow_bars": 9, "edge_share": 10.0},
        {"fast_bars": 10, "slow_bars": 40, "edge_share": 10.0},
    ]
    results = []
    for prices in (whole, altered):
        spans = windows(0, 24 * 40 * HOUR_NS, plan)
        found = walk_forward(hourly(prices), yardstick.profile(), "sma_cross", candidates, spans, 10**13, ledger)
        results.append(found)
    # Every training and every test run is counted; the same cut of the same file is the same trial.
    assert ledger.standing("sma_cross").trials == results[0].trials + len(spans)
    ledger.close()
    one, two = results
    assert one.trials == len(one.judged) * 3 > 9
    assert len(one.returns) == len(one.judged) * 5
    for mine, theirs in zip(one.judged, two.judged, strict=True):
        if mine.window.test_to_ns <= shared * HOUR_NS:
            assert (mine.parameters, mine.train_sharpe, mine.returns) == (
                theirs.parameters,
                theirs.train_sharpe,
                theirs.returns,
            )
    assert one.judged[0].document["trades"] > 0
    assert [each.returns for each in one.judged] != [each.returns for each in two.judged]


def test_a_cut_feed_lists_its_tokens_and_holds_the_bars_of_its_time_only() -> None:
    feed = hourly(yardstick.walk(200))
    cut = feed.cut(50 * HOUR_NS, 60 * HOUR_NS)
    events = list(cut.events())
    assert isinstance(events[0], TokenListed)
    bars = [event for event in events if isinstance(event, Bar)]
    assert [bar.ts_close_ns for bar in bars] == [(50 + n) * HOUR_NS for n in range(1, 11)]
    assert cut.description.inputs != feed.description.inputs
    with pytest.raises(InvalidInput, match="no bar lies"):
        feed.cut(300 * HOUR_NS, 400 * HOUR_NS)


def test_daily_returns_go_by_the_last_mark_of_each_day() -> None:
    equity = [(1, 100), (DAY_NS, 110), (DAY_NS + 5, 50), (2 * DAY_NS, 121), (4 * DAY_NS, 242)]
    assert daily_returns(equity, 0, 4 * DAY_NS) == pytest.approx([0.1, 0.1, 0.0, 1.0])
    assert growth([0.1, -0.5]) == pytest.approx(0.55)
    assert max_drawdown([0.1, -0.5, 0.2]) == pytest.approx(0.5)


def test_the_bootstrap_covers_the_mean_and_widens_with_the_spread() -> None:
    chance = np.random.default_rng(1)
    calm, wild = chance.normal(0.001, 0.001, 400), chance.normal(0.001, 0.02, 400)
    for days in (calm, wild):
        low, high = block_bootstrap(list(days), seed=1)
        assert low < float(days.mean()) < high
        assert (low, high) == block_bootstrap(list(days), seed=1)
    narrow, wide = block_bootstrap(list(calm), 1), block_bootstrap(list(wild), 1)
    assert narrow[0] > 0.0 > wide[0]
    assert block_bootstrap([], 1) == (0.0, 0.0)


def test_what_is_a_persons_choice_is_not_drawn() -> None:
    drawn = draws("launch_scanner", 60, seed=4)
    assert {each["needs_facts"] for each in drawn} == {1}
    assert len({each["hold_bars"] for each in drawn}) > 10
