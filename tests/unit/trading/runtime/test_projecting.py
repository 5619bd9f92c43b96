"""The path of a desk from its journal: hourly returns without deposits, targets and who set them, marks."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.doubles.kernel_bench import KernelBench, profile
from tests.doubles.scripted_market import INTERVAL_NS, MINT, START_NS, script

from trading.adapters.journal_archive import RunArchive
from trading.adapters.sql_journal import JournalStore
from trading.errors import InvalidInput
from trading.model import commands
from trading.runtime.curve_marks import curve_marks
from trading.runtime.history import RunView
from trading.runtime.projecting import HOUR_NS, HOURS_NEEDED, Evidence, _projected, evidence_of

pytestmark = pytest.mark.requirement("D3", "D4")
SOL = 10**9


@pytest.fixture
def store(tmp_path: Path) -> Iterator[JournalStore]:
    opened = JournalStore.at(tmp_path / "journal.db")
    yield opened
    opened.close()


def view(store: JournalStore, cycles: int) -> tuple[KernelBench, RunView]:
    """A desk that buys at its third bar, and gets two SOL more and gives one back in the middle."""
    journal = store.start_run("run", "t", 0)
    bench = KernelBench(
        lambda bar: 1.0 if bar.ts_close_ns == START_NS + 2 * INTERVAL_NS else None,
        journal=journal,
        rules=profile(),
        by_reference=False,
    )
    bars = script(["1"] * cycles)
    bench.feed(bars[: len(bars) // 2])
    bench.control.take(commands.Deposit("d", "operator:o", "more", 2 * SOL))
    bench.control.take(commands.Withdraw("w", "operator:o", "less", SOL))
    bench.control.take(commands.SetTarget("t", "operator:o", "higher", 50 * SOL))
    bench.feed(bars[len(bars) // 2 :])
    journal.commit()
    kernel = bench.kernel
    rugs, known = kernel.state.profile.rugs, dict(kernel.valuer.instruments)
    return bench, RunView("run", journal, RunArchive(store, journal.run), known, kernel.state.now_ns, {}, {}, rugs)


def test_what_came_in_and_went_out_is_marked_and_is_no_return(store: JournalStore) -> None:
    bench, run = view(store, 60)
    told = curve_marks(run, None, None)
    flows = [(mark["kind"], mark["lamports"]) for mark in told["marks"] if not mark["mint"]]
    assert sorted(flows) == [("deposit", 2 * SOL), ("withdrawal", SOL)]
    buys = [mark for mark in told["marks"] if mark["kind"] == "buy"]
    assert [mark["mint"] for mark in buys] == [MINT]
    assert told["totals"]["buy"] == 1
    assert not told["is_cut"]
    assert all(earlier["ts"] <= later["ts"] for earlier, later in zip(told["marks"], told["marks"][1:], strict=False))
    evidence = evidence_of(run)
    assert evidence is not None
    assert evidence.basis == "hour"
    assert evidence.equity_lamports == bench.kernel.state.equity_lamports
    assert all(abs(each) < 0.01 for each in evidence.returns)
    assert len(evidence.returns) == bench.kernel.state.now_ns // HOUR_NS - START_NS // HOUR_NS - 1


def test_marks_keep_to_the_times_that_were_asked_for(store: JournalStore) -> None:
    _, run = view(store, 60)
    middle = next(mark for mark in curve_marks(run, None, None)["marks"] if mark["kind"] == "deposit")
    assert curve_marks(run, run.now_ns, None)["marks"] == []
    before = curve_marks(run, None, START_NS + 10 * INTERVAL_NS)["marks"]
    assert middle not in before
    assert [mark["kind"] for mark in before] == ["buy"]
    with pytest.raises(InvalidInput, match="since"):
        curve_marks(run, 5, 5)


def test_too_little_history_is_said_in_days_and_gives_no_range() -> None:
    few = Evidence("hour", (0.001,) * 36, HOURS_NEEDED, 5, 2 * SOL, 0)
    told = _projected(few, "foundation", 20 * SOL, None)
    assert told["too_little"] == "too little history for a projection: 1.5 of 7 days"
    assert told["range"] == told["reaches"] == []
    assert _projected(None, "foundation", 20 * SOL, None)["too_little"].endswith("0.0 of 7 days")


def test_enough_history_gives_a_range_and_the_chance_of_the_next_tier_and_of_the_target() -> None:
    days = Evidence("day", (0.02, -0.01) * 20, 30, 5, 2 * SOL, 0)
    told = _projected(days, "foundation", 3 * SOL, None)
    assert (told["too_little"], told["days_ahead"]) == ("", 160)
    assert told["range"][-1]["days"] == 160
    assert [each["goal"] for each in told["reaches"]] == ["tier:acceleration", "target"]
    far, near = told["reaches"]
    assert (far["chance_bps"], far["days_p50"]) == (0, None)
    assert near["chance_bps"] > 9_000
    assert 0 < near["days_p5"] <= near["days_p50"] <= 160
    gone = Evidence("day", (0.02,) * 40, 30, 5, 0, 0)
    assert _projected(gone, "foundation", 3 * SOL, None)["too_little"].startswith("no equity")
