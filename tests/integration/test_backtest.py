"""Backtest and paper are one engine: the same inputs give the same rows, in any process, through any interruption."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import anyio
import pytest
from tests.doubles.desk_memory import ListMemory

from trading import desk
from trading.adapters.sql_journal import JournalStore, SqlJournal
from trading.adapters.trial_ledger import TrialLedger
from trading.config import RelaySection
from trading.errors import InvalidInput
from trading.feeds.replay import open_replay
from trading.model.profile import FOUNDATION
from trading.ports import JournalRow
from trading.runtime.backtest import BacktestResult, BacktestSpec, run_backtest
from trading.runtime.relay import MemoryRelay
from trading.strategies.registry import create_all

pytestmark = pytest.mark.anyio

START_S = 1_704_067_200
INTERVAL_S = 300
BARS = 2_500
HEADER_KIND = "run_started"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Recorded bars of SOL and two tokens: waves with trends, enough for both strategies to trade."""
    folder = tmp_path_factory.mktemp("bars")
    sol = [Decimal(100)] * BARS
    one = list(_walk(BARS, seed=11, drift=9))
    two = list(_walk(BARS, seed=29, drift=-7))
    return [
        _written(folder / f"{name}USDT_5m.csv", prices) for name, prices in (("SOL", sol), ("BONK", one), ("WIF", two))
    ]


def _walk(count: int, *, seed: int, drift: int) -> Iterator[Decimal]:
    """A reproducible path without any library's generator: a linear congruence drives jumps in bps."""
    price, state = Decimal(1), seed
    for number in range(count):
        state = (state * 1_103_515_245 + 12_345) % 2**31
        wave = drift * (1 if (number // 200) % 2 else -1)
        price = (price * (10_000 + (state >> 8) % 161 - 80 + wave) / 10_000).quantize(Decimal("0.00000001"))
        yield price


def _written(path: Path, prices: list[Decimal]) -> Path:
    lines = ["ts,open,high,low,close,volume"]
    before = prices[0]
    for number, close in enumerate(prices):
        high, low = max(before, close), min(before, close)
        volume = 9_000 if number % 5 == 0 else 1_000
        lines.append(f"{START_S + number * INTERVAL_S},{before},{high},{low},{close},{volume}")
        before = close
    path.write_text("\n".join(lines) + "\n")
    return path


def backtest(recorded: list[Path]) -> BacktestResult:
    return run_backtest(BacktestSpec(feed=open_replay(recorded)))


def decisions(rows: Iterator[JournalRow]) -> list[tuple[int, str, bytes]]:
    """Return every row but the header, which names the run."""
    return [(row.ts_ns, row.kind, row.body) for row in rows if row.kind != HEADER_KIND]


def journal_of(folder: Path) -> tuple[JournalStore, SqlJournal]:
    store = JournalStore.at(folder / "journal.db")
    return store, store.open_run(1)


async def ended(opened: desk.Desk) -> None:
    with anyio.fail_after(60):
        if "ended" in (await opened.snapshot())["feed"]["detail"]:
            return
        async for snapshot in opened.changes():
            if "ended" in snapshot["feed"]["detail"]:
                return


def paper(folder: Path, recorded: list[Path], memory: ListMemory, speed: str = "max"):
    feed = "replay:" + ",".join(map(str, recorded))
    return desk.open({"TRADING_PAPER__SPEED": speed}, memory, desk.DeskOptions(folder, feed=feed))


@pytest.mark.requirement("T1")
def test_two_processes_with_other_hash_seeds_write_the_same_journal(recorded: list[Path]) -> None:
    program = (
        "import json, sys; from pathlib import Path; from trading.feeds.replay import open_replay\n"
        "from trading.runtime.backtest import BacktestSpec, run_backtest\n"
        "result = run_backtest(BacktestSpec(feed=open_replay([Path(each) for each in sys.argv[1:]])))\n"
        "print(json.dumps(result.as_json()))"
    )
    found = []
    for seed in ("1", "4242"):
        environ = {**os.environ, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", program, *map(str, recorded)]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=100, check=True)
        found.append(json.loads(done.stdout))
    assert found[0]["trades"] >= 10
    keys = ("run_id", "journal_sha256", "equity_end_lamports", "trades", "costs", "sharpe", "deflated_sharpe")
    assert [found[0][key] for key in keys] == [found[1][key] for key in keys]


def test_the_result_adds_up_and_counts_trials(recorded: list[Path], tmp_path: Path) -> None:
    ledger = TrialLedger.at(tmp_path / "trials.db")
    first = run_backtest(BacktestSpec(feed=open_replay(recorded), run_dir=tmp_path, ledger=ledger))
    document = first.as_json()
    assert document["equity_start_lamports"] == 2_000_000_000
    assert document["equity_end_lamports"] == first.equity[-1][1]
    assert document["bars"] == 2 * BARS
    assert document["trials"] == 1
    assert document["benchmarks"]["hold_sol"]["return_bps"] == 0
    again = run_backtest(BacktestSpec(feed=open_replay(recorded), run_dir=tmp_path, ledger=ledger)).as_json()
    assert again["trials"] == 1  # the same variant is one trial, however often it runs
    assert again["journal_sha256"] == document["journal_sha256"]
    spec = BacktestSpec(feed=open_replay(recorded), profile="cautious", run_dir=tmp_path, ledger=ledger, who="cli")
    assert run_backtest(spec).as_json()["trials"] == 2  # the same strategies under other rules
    spec = BacktestSpec(feed=open_replay(recorded), ledger=ledger, strategies=("mean_reversion",))
    other = run_backtest(spec).as_json()
    assert other["trials"] == 1  # another hypothesis
    assert list(other["strategies"]) == ["mean_reversion"]
    assert [entry.body["who"] for entry in ledger.entries()] == ["api", "cli", "api"]
    assert ledger.verify() is None
    ledger.close()
    with pytest.raises(InvalidInput, match="unknown"):
        run_backtest(BacktestSpec(feed=open_replay(recorded), strategies=("martingale",)))


@pytest.mark.requirement("T1")
async def test_paper_on_a_recorded_feed_writes_the_rows_of_the_backtest(recorded: list[Path], tmp_path: Path) -> None:
    async with paper(tmp_path, recorded, ListMemory()) as opened:
        await ended(opened)
        shown = await opened.snapshot()
    expected = backtest(recorded)
    store, journal = journal_of(tmp_path)
    assert decisions(journal.rows()) == decisions(expected.journal.rows())
    store.close()
    assert shown["trades_total"] == expected.document["trades"] >= 10
    assert shown["equity"]["lamports"] == expected.document["equity_end_lamports"]


@pytest.mark.requirement("T1")
async def test_a_new_desk_at_a_slow_pace_is_warm_at_once_and_decides_the_same(
    recorded: list[Path], tmp_path: Path
) -> None:
    warm = max(strategy.warmup_bars for strategy in create_all(FOUNDATION.strategies))
    assert warm > 500
    async with paper(tmp_path, recorded, ListMemory(), speed="1") as opened:  # a bar in five minutes
        with anyio.fail_after(60):
            async for snapshot in opened.changes():
                if snapshot["cycle"] > warm:
                    break
    store, journal = journal_of(tmp_path)
    found = decisions(journal.rows())
    store.close()
    assert sum(kind == "cycle_marked" for _, kind, _ in found) >= warm // 12  # quiet cycles: one mark an hour
    assert found == decisions(backtest(recorded).journal.rows())[: len(found)]


@pytest.mark.requirement("O2")
async def test_every_trade_reaches_memory_as_a_closed_trajectory(recorded: list[Path], tmp_path: Path) -> None:
    memory = ListMemory()
    async with paper(tmp_path, recorded, memory) as opened:
        await ended(opened)
        shown = await opened.snapshot()
    opens = {record.trajectory_id for record in memory.of("open")}
    closes = {record.trajectory_id: record for record in memory.of("close")}
    still_open = {position["trajectory_id"] for position in shown["positions"]}
    assert len(opens) > 5
    assert opens == set(closes) | still_open
    steps = {record.kind for record in memory.of("step")}
    assert {"signal", "verdict", "order", "fill"} <= steps
    assert all(record.trajectory_id in opens for record in memory.of("step"))
    assert all(record.outcome and record.reward_lamports is not None for record in closes.values())
    refused = [record for record in memory.of("note") if record.kind == "signal"]
    assert len(refused) == sum(shown["denials"].values())
    assert all("not acted on" in record.text or "denied" in record.text for record in refused)
    assert memory.of("snapshot")[-1].metadata["cycle"] == shown["cycle"]
    # A batch cut off at the end is written again, which its keys make harmless; nothing else is.
    assert memory.repeats <= RelaySection().batch_len_max


KILLED = """
import sys, anyio
from pathlib import Path
from tests.doubles.desk_memory import ListMemory
from trading import desk

async def main() -> None:
    options = desk.DeskOptions(Path(sys.argv[1]), feed=sys.argv[2])
    async with desk.open({"TRADING_PAPER__SPEED": "150000"}, ListMemory(), options) as opened:
        async for snapshot in opened.changes():
            print(snapshot["cycle"], flush=True)

anyio.run(main)
"""


@pytest.mark.requirement("T1")
async def test_a_desk_killed_at_any_time_goes_on_and_ends_like_one_that_was_not(
    recorded: list[Path], tmp_path: Path
) -> None:
    feed = "replay:" + ",".join(map(str, recorded))
    for cycles in (300, 900, 1_700):
        _run_until(tmp_path, feed, cycles)
    memory = ListMemory()
    async with paper(tmp_path, recorded, memory) as opened:
        await ended(opened)
    expected = backtest(recorded)
    store, journal = journal_of(tmp_path)
    assert decisions(journal.rows()) == decisions(expected.journal.rows())
    store.close()
    assert memory.repeats == 0


def _run_until(folder: Path, feed: str, cycles: int) -> None:
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(folder), feed], cwd=root, stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        deadline = time.monotonic() + 60
        for line in running.stdout:
            if int(line) >= cycles or time.monotonic() > deadline:
                break
        running.send_signal(signal.SIGKILL)
    assert running.returncode == -signal.SIGKILL


async def test_an_ended_run_is_followed_by_a_new_one(recorded: list[Path], tmp_path: Path) -> None:
    async with paper(tmp_path, recorded, ListMemory()) as opened:
        await ended(opened)
        first = (await opened.snapshot())["run_id"]
    async with paper(tmp_path, recorded, ListMemory()) as opened:
        assert (await opened.snapshot())["run_id"] != first


def told(memory: ListMemory) -> list[tuple[str, str, int]]:
    """Return what memory was told and when it happened; two runs do not begin at the same wall time.

    Rows come in their order and snapshots in theirs, but how many snapshots lie between two rows is a matter of when
    the relay looks: a batch has its rows first. So the snapshots stand at the end.
    """
    records = [
        (record.action, record.kind, 0 if record.kind in {"run", "flow"} else record.ts_event_ns)
        for record in memory.records
        if record.action != "snapshot"
    ]
    return sorted(records, key=lambda each: each[1] == "snapshot")


async def test_memory_that_is_down_or_stuck_delays_nothing_and_gets_everything_later(
    recorded: list[Path], tmp_path: Path
) -> None:
    memory = ListMemory()
    memory.is_down = True
    async with paper(tmp_path, recorded, memory) as opened:
        await ended(opened)
        shown = await opened.snapshot()
        assert memory.records == []
        assert shown["queues"]["memory"]["pending"] > 0
        assert shown["trades_total"] >= 10
    stuck = ListMemory()
    stuck.is_stuck = True
    other = tmp_path / "other"
    async with paper(other, recorded, stuck) as opened:
        await ended(opened)
        assert (await opened.snapshot())["trades_total"] == shown["trades_total"]
        assert stuck.records == []
    whole = ListMemory()
    async with paper(tmp_path / "whole", recorded, whole) as opened:
        await ended(opened)
    # a relay over what the first desk left on disk brings the very same records
    store, journal = journal_of(tmp_path)
    late = ListMemory()
    relay = MemoryRelay(store, journal, shown["run_id"], late, RelaySection())
    while await relay.carry():
        pass
    store.close()
    assert told(late) == told(whole)
    assert relay.stats().pending == 0


@pytest.mark.requirement("T4")
def test_the_baseline_of_holding_buys_each_token_once_and_sells_none(recorded: list[Path]) -> None:
    spec = BacktestSpec(feed=open_replay(recorded), profile="baseline")
    result = run_backtest(spec).as_json()
    assert (result["profile"], result["trades"], result["denials"]) == ("baseline", 2, {})
    held = run_backtest(BacktestSpec(feed=open_replay(recorded), profile="foundation", strategies=("buy_and_hold",)))
    assert held.as_json()["trades"] == 0  # it expects nothing, and the desk's rules ask for an edge
    assert set(held.as_json()["denials"]) == {"edge_over_cost_bps"}


def test_random_entries_trade_under_the_rules_of_the_baseline(recorded: list[Path]) -> None:
    spec = BacktestSpec(feed=open_replay(recorded), profile="baseline", strategies=("random_entry",))
    one, two = run_backtest(spec).as_json(), run_backtest(spec).as_json()
    assert one["trades"] > 20
    assert one["journal_sha256"] == two["journal_sha256"]


async def test_no_desk_trades_under_the_rules_of_the_baseline(recorded: list[Path], tmp_path: Path) -> None:
    feed = "replay:" + ",".join(map(str, recorded))
    opening = desk.open({}, ListMemory(), desk.DeskOptions(tmp_path, feed=feed, profile="baseline"))
    with pytest.raises(InvalidInput, match="'baseline' is unknown"):
        await opening.__aenter__()
