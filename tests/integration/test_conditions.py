"""Whole runs under conditions of the chain: charged correctly, added up to the lamport, the same in every process."""

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.doubles.desk_memory import ListMemory
from tests.doubles.kernel_bench import catch_up, fingerprint, stored
from typer.testing import CliRunner

from trading import desk
from trading.adapters.canonical import parse_json
from trading.adapters.memory_journal import MemoryJournal
from trading.cli.root import app
from trading.engine import checkpoint
from trading.engine.kernel import Kernel
from trading.errors import InvalidInput
from trading.execution.calibration import observe
from trading.execution.conditions import CALM, CONGESTED, IDEAL, Conditions
from trading.execution.landing import UNLANDED
from trading.feeds.synthetic import SyntheticFeed, SyntheticMarket
from trading.model import events
from trading.model.event_codec import decode
from trading.model.market_data import Bar, CycleEnd
from trading.model.network import SIGNATURE_FEE_LAMPORTS
from trading.model.order import Purpose, Side
from trading.model.profile import FOUNDATION
from trading.runtime.assembly import RunPlan, begin, make_kernel
from trading.runtime.backtest import BacktestSpec, run_backtest
from trading.runtime.calibrating import evidence

CYCLES = 2_200
ROUGH = CONGESTED.model_copy(update={"name": "rough", "failure_ppm": 250_000, "adverse_ppm": 300_000})
KINDS = ("order_approved", "order_filled", "order_rejected")
PROGRAM = """
from trading.feeds.synthetic import SyntheticFeed, SyntheticMarket
from trading.runtime.backtest import BacktestSpec, run_backtest
feed = SyntheticFeed(SyntheticMarket(seed=7, cycles=400))
print(run_backtest(BacktestSpec(feed=feed, conditions="congested", seed=3)).as_json()["journal_sha256"])
"""


def _feed(cycles: int = CYCLES) -> SyntheticFeed:
    return SyntheticFeed(SyntheticMarket(seed=7, cycles=cycles))


def _plan(conditions: Conditions, **changes: Any) -> RunPlan:
    given = {"mode": "backtest", "feed": _feed().description, "profile": FOUNDATION, "equity_lamports": 2 * 10**9}
    return RunPlan(**{**given, "target_lamports": 10**10, "conditions": conditions, **changes})


@pytest.fixture(scope="module")
def rough() -> tuple[Kernel, MemoryJournal]:
    """A run in which much goes wrong; the books are verified after every event."""
    journal = MemoryJournal()
    kernel = make_kernel(_plan(ROUGH), "rough", journal)
    begin(kernel)
    for event in _feed().events():
        kernel.on_event(event)
        kernel.state.ledger.verify()
    journal.commit()
    return kernel, journal


@pytest.mark.requirement("T9")
def test_failed_and_expired_orders_are_charged_as_the_chain_charges_them(rough: tuple[Kernel, MemoryJournal]) -> None:
    kernel, journal = rough
    found = [decode(row.kind, parse_json(row.body)) for row in journal.rows(kinds=KINDS)]
    orders = {each.order.id: each.order for each in found if isinstance(each, events.OrderApproved)}
    rejected = [each.rejected for each in found if isinstance(each, events.OrderRejected)]
    assert Counter(each.reason for each in rejected).keys() >= {"failed", "expired"}
    for each in rejected:
        order = orders[each.order_id]
        charge = SIGNATURE_FEE_LAMPORTS + order.priority_fee_lamports
        assert each.charged_lamports == (0 if each.reason == "expired" else charge)
        if each.reason == "expired":
            assert (order.purpose, each.message) == (Purpose.ENTRY, UNLANDED)
    assert kernel.state.ledger.costs.failed_lamports == sum(each.charged_lamports for each in rejected) > 0


def test_the_cash_is_what_went_in_and_out_to_the_lamport(rough: tuple[Kernel, MemoryJournal]) -> None:
    kernel, journal = rough
    cash = kernel.setup.equity_lamports
    robbed = 0
    for row in journal.rows(kinds=KINDS):
        event = decode(row.kind, parse_json(row.body))
        if isinstance(event, events.OrderFilled):
            fill = event.fill
            robbed += fill.adverse_lamports > 0
            cash += -fill.lamports if fill.side is Side.BUY else fill.lamports
            cash -= fill.network_fee_lamports + fill.priority_fee_lamports + fill.rent_lamports
        elif isinstance(event, events.OrderRejected):
            cash -= event.rejected.charged_lamports
    assert cash == kernel.state.ledger.cash_lamports
    assert robbed > 0
    assert kernel.state.fills_total > 5


def test_exits_are_sent_until_they_land_and_nothing_lands_before_its_latency(
    rough: tuple[Kernel, MemoryJournal],
) -> None:
    _, journal = rough
    found = [decode(row.kind, parse_json(row.body)) for row in journal.rows(kinds=KINDS)]
    orders = {each.order.id: each.order for each in found if isinstance(each, events.OrderApproved)}
    waits = []
    for each in found:
        if isinstance(each, events.OrderFilled):
            order = orders[each.fill.order_id]
            slots, rest = divmod(each.fill.ts_ns - order.ts_ns, ROUGH.slot_ns)
            assert rest == 0
            assert 4 <= slots % 150 <= 44
            waits.append((order.purpose, slots // 150))
    assert {again for purpose, again in waits if purpose is Purpose.ENTRY} == {0}
    assert max(again for purpose, again in waits if purpose is Purpose.EXIT) > 0


def test_a_desk_folded_from_its_rows_finds_the_same_fates(rough: tuple[Kernel, MemoryJournal]) -> None:
    kernel, journal = rough
    again = make_kernel(_plan(ROUGH), "rough", MemoryJournal())
    again.restore(stored(journal), _feed().events())
    catch_up(again, _feed(), kernel.cycles)
    assert fingerprint(again) == fingerprint(kernel)


def test_a_desk_goes_on_from_a_checkpoint_to_the_same_fates(rough: tuple[Kernel, MemoryJournal]) -> None:
    kernel, _ = rough
    half = make_kernel(_plan(ROUGH), "rough", MemoryJournal())
    begin(half)
    feed = list(_feed().events())
    for half_way, event in enumerate(feed):
        half.on_event(event)
        if half_way > len(feed) // 3 and isinstance(event, CycleEnd) and half.venue.open_orders():
            break
    body = json.loads(json.dumps(checkpoint.taken(half)))
    again = make_kernel(_plan(ROUGH), "rough", MemoryJournal())
    checkpoint.put_back(again, body)
    assert again.venue.open_orders() != []
    for event in feed[half_way + 1 :]:
        again.on_event(event)
    assert fingerprint(again) == fingerprint(kernel)


@pytest.mark.anyio
async def test_a_paper_desk_takes_its_conditions_from_its_settings_and_says_so(tmp_path: Path) -> None:
    options = desk.DeskOptions(tmp_path, feed="synthetic:7")
    environ = {"TRADING_PAPER__SPEED": "max", "TRADING_PAPER__CONDITIONS": "calm"}
    async with desk.open(environ, ListMemory(), options) as opened:
        assert "conditions of the chain: calm" in (await opened.snapshot())["feed"]["detail"]
    stormy = desk.open({"TRADING_PAPER__CONDITIONS": "stormy"}, ListMemory(), options)
    with pytest.raises(InvalidInput, match="conditions: 'stormy'"):
        await stormy.__aenter__()


def test_other_conditions_and_other_seeds_are_other_runs_and_ideal_ones_are_as_before() -> None:
    plans = [_plan(IDEAL), _plan(CALM), _plan(CONGESTED), _plan(CALM, seed=1)]
    assert len({plan.scope for plan in plans}) == len({plan.identity for plan in plans}) == 4
    assert _plan(IDEAL, seed=1).identity == plans[0].identity


def test_a_run_under_conditions_is_the_same_in_every_process() -> None:
    environ = {**os.environ, "PYTHONHASHSEED": "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environ, capture_output=True, text=True, check=True, timeout=120
    )
    here = run_backtest(BacktestSpec(feed=_feed(400), conditions=CONGESTED, seed=3)).as_json()
    assert done.stdout.strip() == here["journal_sha256"]


def test_the_header_of_a_run_says_its_conditions_unless_they_are_ideal(rough: tuple[Kernel, MemoryJournal]) -> None:
    header = next(rough[1].rows(kinds=["run_started"]))
    assert Conditions.model_validate_json(parse_json(header.body)["conditions"]) == ROUGH
    plain = run_backtest(BacktestSpec(feed=_feed(20))).journal
    assert "conditions" not in parse_json(next(plain.rows(kinds=["run_started"])).body)


def test_a_journal_that_holds_its_bars_shows_the_depth_too() -> None:
    journal = MemoryJournal()
    received = replace(_feed().description, inputs=())
    kernel = make_kernel(_plan(IDEAL, feed=received), "received", journal)
    begin(kernel)
    for event in _feed(900).events():
        kernel.on_event(event)
    journal.commit()
    rows = list(evidence(journal))
    assert sum(isinstance(row, Bar) for row in rows) == kernel.bars
    found = observe(rows, CALM)
    assert kernel.state.fills_total > 0
    assert len(found.depths) > 0
    assert min(found.depths) > 0


def test_the_document_says_which_conditions_and_where_the_depth_is_from() -> None:
    document = run_backtest(BacktestSpec(feed=_feed(60), conditions="calm", seed=2)).as_json()
    assert document["conditions"] == CALM.model_dump(mode="json")
    assert (document["liquidity"], document["seed"]) == ("recorded", 2)


def _cli(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments))


def test_a_run_is_calibrated_and_the_next_one_takes_the_file(tmp_path: Path) -> None:
    kept, file = tmp_path / "run", tmp_path / "chain.json"
    options = ("backtest", "--feed", "synthetic:7", "--json", "-", "--cycles")
    assert _cli(*options, "3500", "--conditions", "congested", "--run-dir", str(kept)).exit_code == 0
    result = _cli("calibrate", str(kept), "--conditions", "congested", "--name", "mine", "--json")
    assert result.exit_code == 0, result.output
    file.write_text(result.stdout, encoding="utf-8")
    document = json.loads(result.stdout)
    assert document["estimates"]["latency_slots"]["value"] >= 4
    assert document["conditions"]["name"] == "mine"
    run = _cli(*options, "60", "--conditions", str(file))
    assert json.loads(run.stdout)["conditions"] == document["conditions"]
    shown = _cli("calibrate", str(kept))
    assert "level_micro_lamports" in shown.stdout
    assert "taken over from calm" in shown.stdout.replace("\n", " ")


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    result = _cli("calibrate", str(tmp_path), "--json")
    assert result.exit_code != 0
    assert json.loads(result.stdout)["error"]["field"] == "run"
