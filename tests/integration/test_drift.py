"""A run replayed from its journal: the same where nothing changed, and told apart where something did."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.doubles.scripted_market import ScriptedFeed, merged, script
from typer.testing import CliRunner

from trading.adapters.sql_journal import JournalStore
from trading.cli import app
from trading.errors import DataError, InvalidInput
from trading.execution.conditions import CALM, IDEAL, Conditions
from trading.feeds.replay import open_replay
from trading.feeds.select import reopen
from trading.feeds.synthetic import SyntheticFeed, SyntheticMarket
from trading.model import commands
from trading.model.market_data import CycleEnd, MarketEvent
from trading.model.order import Side
from trading.runtime.assembly import RunPlan, chosen_profile
from trading.runtime.backtest import BacktestSpec, run_backtest
from trading.runtime.recorded_runs import recorded_run
from trading.runtime.replaying import Drift, ReplaySpec, measure
from trading.runtime.session import Opener, Session
from trading.runtime.sources import Cycle

CYCLES = 2_600


@pytest.fixture(scope="module")
def calm_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backtest on a generated market in a calm chain: transactions arrive later, and some fail."""
    folder = tmp_path_factory.mktemp("calm")
    chain = CALM.model_copy(update={"name": "failing", "failure_ppm": 200_000})
    feed = SyntheticFeed(SyntheticMarket(seed=7, cycles=CYCLES))
    result = run_backtest(BacktestSpec(feed, run_dir=folder, conditions=chain, profile="aggressive")).as_json()
    assert result["trades"] > 5
    assert result["costs"]["failed_lamports"] > 0
    return folder


def measured(folder: Path, spec: ReplaySpec | None = None) -> Drift:
    with recorded_run(str(folder)) as run:
        return measure(run, spec or ReplaySpec())


@pytest.mark.requirement("T17")
def test_a_run_replayed_by_the_same_code_has_no_difference_and_the_same_bytes(calm_run: Path) -> None:
    document = measured(calm_run).document()
    assert document["drift"] is False
    assert document["rows_identical"] is True
    assert document["trades"]["matched"] == document["trades"]["identical"] > 3
    assert document["cash_difference_lamports"] == document["attributed_lamports"] == 0


@pytest.mark.requirement("T17")
def test_other_conditions_show_in_prices_fees_and_missed_trades(calm_run: Path) -> None:
    document = measured(calm_run, ReplaySpec(conditions=IDEAL)).document()
    found = {kind for kind, each in document["by_kind"].items() if each["count"]}
    assert {"price", "fee", "missed"} <= found
    assert document["by_kind"]["fee"]["lamports"] < 0, "what failed was charged in the run only"
    assert document["attributed_lamports"] == document["cash_difference_lamports"] != 0
    assert document["rows_identical"] is False
    assert document["conditions"] == {"run": "failing", "replay": "ideal"}


def altered(folder: Path, into: Path, kind: str, change: Callable[[dict[str, Any]], None]) -> Path:
    """Return a copy of the run in which the first row of a kind says something else."""
    into.mkdir()
    with sqlite3.connect(folder / "journal.db") as source, sqlite3.connect(into / "journal.db") as target:
        source.backup(target)
        seq, body = target.execute("SELECT seq, body FROM rows WHERE kind = ? ORDER BY seq", (kind,)).fetchone()
        document = json.loads(body)
        change(document)
        text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        target.execute("UPDATE rows SET body = ? WHERE seq = ?", (text, seq))
    source.close()
    target.close()
    return into


@pytest.mark.requirement("T17")
@pytest.mark.parametrize(
    ("kind", "change", "found", "lamports"),
    [
        ("order_filled", lambda body: body["fill"].update(lamports=body["fill"]["lamports"] + 777), "price", -777),
        (
            "order_filled",
            lambda body: body["fill"].update(priority_fee_lamports=body["fill"]["priority_fee_lamports"] + 500),
            "fee",
            -500,
        ),
        ("order_filled", lambda body: body["fill"].update(ts_ns=body["fill"]["ts_ns"] + 300 * 10**9), "timing", 0),
        ("signal_raised", lambda body: body["signal"].update(edge_bps=9_999), "signal", 0),
    ],
)
def test_a_difference_planted_in_the_journal_is_found_exactly(
    calm_run: Path, tmp_path: Path, kind: str, change: Callable[[dict[str, Any]], None], found: str, lamports: int
) -> None:
    document = measured(altered(calm_run, tmp_path / "altered", kind, change)).document()
    counted = {name: each for name, each in document["by_kind"].items() if each["count"]}
    assert counted == {found: {"count": 1, "lamports": lamports}}
    assert document["cash_difference_lamports"] == lamports
    assert document["rows_identical"] is False


def drive(session: Session, feed: ScriptedFeed, until: int) -> Session:
    """Take cycles; what a person does comes in between."""
    number = session.cycles
    events: list[MarketEvent] = []
    for event in feed.events(number):
        if number >= until:
            break
        events.append(event)
        if isinstance(event, CycleEnd):
            number += 1
            session.take(Cycle(number, tuple(events)))
            events = []
            for command in _by_hand(number):
                session.command(command)
            session.commit()
    return session


def _by_hand(number: int) -> Iterator[commands.Command]:
    if number == 20:
        yield commands.PlaceOrder("p", "o", "by hand", Side.BUY, "sim:AAA", "manual", "manual", 50_000_000, 44_900)
    if number == 30:
        yield commands.Deposit("d", "o", "more", 10**9)
        yield commands.SwitchProfile("s", "o", "bolder", "aggressive")
    if number == 60:
        yield commands.ClosePosition("c", "o", "enough", "sim:AAA", 50)
    if number == 90:
        yield commands.Withdraw("w", "o", "less", 10**8)
        yield commands.FlattenAndHalt("h", "o", "stop")
    if number == 100:
        yield commands.Resume("r", "o", "go on")


@pytest.fixture(params=[True, False], ids=["by_reference", "by_value"])
def paper_run(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, ScriptedFeed]:
    """A paper run with commands by hand, reopened once in the middle, that is still going on."""
    prices = [str(1 + (number * 37 % 101) / 1_000 + number / 2_000) for number in range(160)]
    feed = ScriptedFeed(merged(script(prices), script(prices[::-1], mint="sim:BBB")), by_reference=request.param)
    plan = RunPlan("paper", feed.description, chosen_profile("foundation"), 2 * 10**9, 20 * 10**9)
    store = JournalStore.at(tmp_path / "journal.db")
    for until in (75, 160):
        drive(Opener(store, plan, feed)(), feed, until)
    store.close()
    return tmp_path, feed


@pytest.mark.requirement("T1")
@pytest.mark.requirement("T17")
def test_a_paper_run_with_commands_and_a_restart_is_replayed_byte_for_byte(
    paper_run: tuple[Path, ScriptedFeed],
) -> None:
    folder, feed = paper_run
    document = measured(folder, ReplaySpec(feed=feed if feed.description.inputs else None)).document()
    assert document["trades"]["run"] > 0
    assert (document["drift"], document["rows_identical"]) == (False, True)


def test_commands_that_other_conditions_leave_nothing_to_do_for_do_not_end_the_replay(
    paper_run: tuple[Path, ScriptedFeed],
) -> None:
    folder, feed = paper_run
    never = Conditions(name="never", level_micro_lamports=10**12, steepness_milli=50_000)
    spec = ReplaySpec(feed=feed if feed.description.inputs else None, conditions=never)
    document = measured(folder, spec).document()
    assert document["trades"]["replay"] == 0
    assert document["by_kind"]["extra"]["count"] == document["trades"]["run"] > 0
    assert document["attributed_lamports"] == document["cash_difference_lamports"]


def test_bars_that_are_not_the_runs_are_refused(calm_run: Path, tmp_path: Path) -> None:
    other = SyntheticFeed(SyntheticMarket(seed=8, cycles=CYCLES))
    with pytest.raises(InvalidInput, match="the run was made from synthetic-v2"):
        measured(calm_run, ReplaySpec(feed=other))
    with pytest.raises(InvalidInput, match="opens no feed"):
        reopen("{}")


def test_progress_is_told_and_rows_that_are_missing_at_the_end_are_found(calm_run: Path, tmp_path: Path) -> None:
    with sqlite3.connect(calm_run / "journal.db") as source, sqlite3.connect(tmp_path / "journal.db") as target:
        source.backup(target)
        last = target.execute("SELECT max(seq) FROM rows WHERE kind = 'order_filled'").fetchone()[0]
        target.execute("DELETE FROM rows WHERE seq >= ?", (last,))
    source.close()
    target.close()
    told: list[tuple[int, int]] = []
    with recorded_run(str(tmp_path)) as run_:
        document = measure(run_, ReplaySpec(), lambda row, of: told.append((row, of))).document()
    assert document["rows"] == last - 1
    assert document["first_other_row"] is not None, "the replay filled what the run has no row of"
    assert {of for _, of in told} <= {last - 1}


def test_a_run_by_value_takes_no_bars(paper_run: tuple[Path, ScriptedFeed]) -> None:
    folder, feed = paper_run
    if not feed.description.inputs:
        with pytest.raises(InvalidInput, match="no bars are needed"):
            measured(folder, ReplaySpec(feed=feed))
    else:
        shorter = ScriptedFeed(list(feed.events())[:100])
        with pytest.raises(DataError, match="is not what the feed gives: nothing more"):
            measured(folder, ReplaySpec(feed=shorter))


def test_rows_that_the_feed_does_not_give_are_named(calm_run: Path, tmp_path: Path) -> None:
    def other_end(body: dict[str, Any]) -> None:
        body["to"] = "elsewhere"

    folder = altered(calm_run, tmp_path / "altered", "input", other_end)
    with pytest.raises(DataError, match="is not what the feed gives"):
        measured(folder)


def test_recorded_bars_are_found_again_where_they_were_and_missed_where_they_are_gone(tmp_path: Path) -> None:
    bars = tmp_path / "XUSDT_5m.csv"
    rows = [f"{1_704_067_200 + n * 300},1,1,1,1,1000" for n in range(30)]
    for name in ("SOL", "BONK"):
        (tmp_path / f"{name}USDT_5m.csv").write_text("ts,open,high,low,close,volume\n" + "\n".join(rows) + "\n")
    feed = open_replay([tmp_path / "SOLUSDT_5m.csv", tmp_path / "BONKUSDT_5m.csv"], from_ns=1_704_067_500 * 10**9)
    assert list(reopen(feed.description.origin).events()) == list(feed.events())
    run_backtest(BacktestSpec(feed, run_dir=tmp_path / "run"))
    assert measured(tmp_path / "run").is_drifting is False
    bars = tmp_path / "BONKUSDT_5m.csv"
    bars.rename(tmp_path / "gone.csv")
    with pytest.raises(InvalidInput, match="BONKUSDT_5m"):
        measured(tmp_path / "run")


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["drift", *arguments])


@pytest.mark.requirement("O6")
def test_the_command_says_what_differs_and_ends_with_1_where_something_does(calm_run: Path, tmp_path: Path) -> None:
    same = run(str(calm_run))
    assert same.exit_code == 0, same.output
    assert "no difference" in same.stdout
    other = run(str(calm_run), "--conditions", "ideal")
    assert other.exit_code == 1
    assert "missed" in other.stdout


def test_the_command_prints_json_for_programs(paper_run: tuple[Path, ScriptedFeed]) -> None:
    folder, feed = paper_run
    if not feed.description.inputs:
        done = run(str(folder), "--json")
        assert (done.exit_code, json.loads(done.stdout)["drift"]) == (0, False)
        return
    gone = run(str(folder), "--json")
    assert (gone.exit_code, json.loads(gone.stdout)["error"]["field"]) == (2, "feed")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nowhere",), "is neither a directory with a journal.db"),
        (("{run}:bt_other",), "no run 'bt_other'"),
        (("{run}", "--from", "2026-01-01"), "the run's own cut is known"),
        (("{run}", "--conditions", "stormy"), "stormy"),
    ],
)
def test_what_cannot_be_replayed_is_wrong_use(
    calm_run: Path, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    given = [each.format(run=calm_run) for each in arguments]
    result = run(*given, "--data-dir", str(tmp_path))
    assert result.exit_code == 2
    assert said in result.stderr


def test_a_run_is_found_by_its_id_among_the_desks(calm_run: Path, tmp_path: Path) -> None:
    with recorded_run(str(calm_run)) as found:
        run_id = found.run_id
    (tmp_path / "trading").symlink_to(calm_run)
    for named, desks in ((run_id, [tmp_path / "paper", tmp_path / "trading"]), (f"{calm_run}:{run_id}", [])):
        with recorded_run(named, desks) as found:
            assert found.run_id == run_id


def test_a_run_of_before_plans_were_kept_says_so(calm_run: Path, tmp_path: Path) -> None:
    with sqlite3.connect(calm_run / "journal.db") as source, sqlite3.connect(tmp_path / "journal.db") as target:
        source.backup(target)
        target.execute("DELETE FROM plans")
    source.close()
    target.close()
    with pytest.raises(InvalidInput, match="did not keep what a run is made of"):
        measured(tmp_path)
