"""The search beside a desk: what it searches on, what becomes of what it finds, and where it is seen."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.doubles.desk_memory import ListMemory
from tests.support import searching

from trading import desk
from trading.adapters.candidate_store import STORE_NAME, CandidateStore
from trading.adapters.sql_journal import JournalStore
from trading.adapters.trial_ledger import TrialLedger
from trading.engine.inputs import encode_input
from trading.errors import DataError, InvalidInput
from trading.evolution.background import Background
from trading.evolution.desk_bars import recorded_feed
from trading.evolution.errand import Errand
from trading.feeds.replay import open_replay
from trading.model.market_data import CycleEnd, FeedDescription, MarketEvent
from trading.model.profile import FOUNDATION
from trading.runtime.assembly import RunPlan
from trading.runtime.plans import plan_text

pytestmark = pytest.mark.anyio


def errand(folder: Path, data: Path, **changes: Any) -> Errand:
    made = Errand(
        strategies=("random_entry",),
        data=(str(data),),
        trials_per_day=6,
        cpu_budget_percent=100,
        days_max=365,
        run_dir=str(folder / "desk"),
        folder=str(folder),
        profile="foundation",
        profiles_dir=None,
        equity_lamports=2_000_000_000,
    )
    return replace(made, **changes)


@pytest.mark.requirement("T11")
def test_a_days_search_counts_its_trials_and_proposes_what_it_found(tmp_path: Path) -> None:
    data = searching.write_bars(tmp_path / "bars", days=40, symbols=("AAA",))
    told = errand(tmp_path, data, strategies=("random_entry", "order_flow"), trials_per_day=8)
    assert Errand.of_line(told.line()) == told
    said: list[dict[str, Any]] = []
    rests: list[int] = []
    background = Background(told, said.append, lambda: rests.append(len(said)))
    assert background.day(20_000) == 1
    # What cannot be searched says why, and does not stop the others.
    assert [each["phase"] for each in said if each["strategy"] == "order_flow"] == ["waiting"]
    assert "swaps" in said[-1]["said"]
    ended = next(each for each in said if each["phase"] == "done")
    assert ended["done"] == ended["total"] == ended["family_trials"] == 4
    assert rests, "it never rested"
    ledger = TrialLedger.at(tmp_path / "trials.db")
    assert ledger.standing("random_entry").trials == 4
    store = CandidateStore.at(tmp_path / STORE_NAME)
    assert len(store.candidates()) == ended["finalists"]
    # The same day again finds its search finished; another day is another seed.
    assert background.day(20_000) == 1
    assert ledger.standing("random_entry").trials == 4
    assert background.day(20_001) == 1
    assert ledger.standing("random_entry").trials > 4
    store.close()
    ledger.close()


def journal_of(folder: Path, told: list[MarketEvent], description: FeedDescription) -> None:
    """Write a run whose rows hold what the market said."""
    folder.mkdir()
    store = JournalStore.at(folder / "journal.db")
    plan = RunPlan("paper", description, FOUNDATION, 2 * 10**9, 20 * 10**9)
    journal = store.start_run("paper_1", plan.identity, 1)
    store.keep_plan(journal.run, plan_text(plan))
    for event in told:
        at_ns = event.ts_close_ns if hasattr(event, "ts_close_ns") else event.ts_ns
        journal.append(at_ns, *encode_input(event, by_reference=description.inputs != ()))
    journal.commit()
    store.close()


def test_a_desk_that_received_its_bars_is_searched_on_its_own_journal(tmp_path: Path) -> None:
    data = searching.write_bars(tmp_path / "bars", days=30)
    feed = open_replay([data])
    told = list(feed.events())
    journal_of(tmp_path / "desk", told, replace(feed.description, kind="market", inputs=(), origin=""))
    found = recorded_feed(tmp_path / "desk")
    # Where a row's source is a reference it differs; what a strategy reads does not.
    assert [_figures(each) for each in found.events()] == [_figures(each) for each in told]
    assert found.summary.bars == sum(1 for each in told if hasattr(each, "close"))
    assert (found.first_ns, found.last_ns) == (feed.first_ns, feed.last_ns)
    assert recorded_feed(tmp_path / "desk").description == found.description


def _figures(event: MarketEvent) -> tuple[Any, ...]:
    if isinstance(event, CycleEnd):
        return (event.ts_ns,)
    return tuple(getattr(event, name, None) for name in ("mint", "ts_close_ns", "open", "high", "low", "close"))


def test_a_desk_on_recorded_bars_is_searched_on_their_files_and_one_without_bars_is_told_so(tmp_path: Path) -> None:
    data = searching.write_bars(tmp_path / "bars", days=30)
    feed = open_replay([data])
    journal_of(tmp_path / "desk", [], feed.description)
    assert recorded_feed(tmp_path / "desk").description == feed.description
    journal_of(tmp_path / "empty", [], replace(feed.description, kind="market", inputs=(), origin=""))
    with pytest.raises(DataError, match="no bars yet"):
        recorded_feed(tmp_path / "empty")


@pytest.mark.requirement("T11")
async def test_a_desk_shows_the_search_beside_it_and_is_not_held_up_by_one_that_waits(tmp_path: Path) -> None:
    environ = {
        "TRADING_EVOLUTION__STRATEGIES": '["random_entry"]',
        "TRADING_EVOLUTION__DATA": json.dumps([str(tmp_path / "nothing")]),
        "TRADING_EVOLUTION__CPU_BUDGET_PERCENT": "100",
        "TRADING_PAPER__SPEED": "max",
    }
    options = desk.DeskOptions(tmp_path / "desk", "synthetic")
    async with desk.open(environ, ListMemory(), options) as opened:
        assert opened.evolving is not None
        await searching.until(lambda: opened.evolving()["state"] == "running", 60)
        shown = (await opened.strategies())["evolution"]
        assert shown["cpu_budget_percent"] == 100
        (waiting,) = shown["searches"]
        assert waiting["phase"] == "waiting"
        assert "nothing" in waiting["said"]
        assert len((await opened.strategies())["strategies"]) > 0
    async with desk.open({"TRADING_PAPER__SPEED": "max"}, ListMemory(), options) as opened:
        assert "evolution" not in await opened.strategies()
    with pytest.raises(InvalidInput, match="nobody"):
        async with desk.open({**environ, "TRADING_EVOLUTION__STRATEGIES": '["nobody"]'}, ListMemory(), options):
            raise NotImplementedError


def test_a_background_search_ends_when_its_standard_input_is_closed(tmp_path: Path) -> None:
    """However its parent ends, a kill included: the system closes the pipe."""
    data = searching.write_bars(tmp_path / "bars", days=30, symbols=("AAA",))
    command = [sys.executable, "-m", "trading.evolution.background"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    assert process.stdin is not None
    process.stdin.write(errand(tmp_path, data, trials_per_day=100_000).line())
    process.stdin.close()
    assert process.wait(timeout=60) == 0
