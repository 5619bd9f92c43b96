"""The desk's figures: counted from committed rows beside the loop, bounded, and never in its way."""

import re
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.doubles.plain_chain import PlainChain, PlainPreparer, buying
from tests.doubles.scripted_adviser import ScriptedAdviser
from tests.support.trading import filled, make_fill, make_order, make_signal, rejected
from tests.unit.trading.runtime.test_sidecar import Asked

from trading.adapters.execution_journal import SqlExecutionJournal
from trading.adapters.memory_journal import MemoryJournal
from trading.model import events
from trading.model.chain import Commitment, StatusSeen
from trading.model.event_codec import encode
from trading.model.intent import IntentState
from trading.model.meters import SERIES_MAX, CallFigures, Spread
from trading.model.order import Denied
from trading.runtime import metering
from trading.runtime.families import FAMILIES
from trading.runtime.live_metering import LiveMeters
from trading.runtime.metering import DeskMeters

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("O1")]

SOL = 1_000_000_000
UNITS = ("_seconds", "_ratio", "_lamports", "_usd", "_slots", "_calls", "_info", "_state")
COUNTS = ("_positions", "_pending", "_halted", "_unfinished", "_wallets", "_transactions")
YES_OR_NO = ("_allowed", "_stale", "_resting", "_armed", "_reconciled", "_seen", "_up")


def amount(lamports: int) -> dict[str, int]:
    return {"lamports": lamports}


class Showing:
    """A stage with one snapshot."""

    def __init__(self) -> None:
        self.limits = [
            {"name": "drawdown_bps", "scope": "account", "distance_bps": 9_000},
            *({"name": "reentry_cooldown", "scope": f"mint-{n}", "distance_bps": 100 * n} for n in range(400)),
        ]

    def document(self) -> dict[str, Any]:
        money = ("equity", "cash", "peak", "realised", "unrealised", "net_deposits")
        return {
            **{name: amount(SOL + 1) for name in money},
            "money": "paper",
            "profile": "foundation",
            "tier": "foundation",
            "feed": {"kind": "synthetic", "age_s": None, "stale": True},
            "queues": {name: {"pending": 3, "oldest_s": 1.5, "delivered": 7} for name in ("memory", "commands")},
            "state": "HALTED",
            "entries_allowed": False,
            "compounding": {"target": amount(20 * SOL)},
            "exposure": {"total": amount(5), "by_strategy": [{"name": "s" * 90, "lamports": 5}]},
            "drawdown_bps": 250,
            "positions": [],
            "limits": self.limits,
            "sol_usd": None,
            "cycle": 12,
            "costs": {f"{kind}_lamports": -1 for kind in ("fee", "impact", "priority", "failed")},
        }


class Calls:
    def __init__(self, **figures: CallFigures) -> None:
        self.figures = figures

    def calls(self) -> dict[str, CallFigures]:
        return self.figures


def meters_over(journal: MemoryJournal, **apis: Calls) -> DeskMeters:
    return DeskMeters(Showing(), lambda: journal, apis)


def series(meters: DeskMeters, name: str) -> dict[tuple[str, ...], float]:
    families = {each["name"]: each for each in meters.document()["families"]}
    return {tuple(each["labels"]): each["value"] for each in families[f"memmcp_trading_{name}"]["series"]}


def write(journal: MemoryJournal, *told: events.Event) -> None:
    for event in told:
        kind, body = encode(event)
        journal.append(1, kind, body)
    journal.commit()


def test_names_units_and_labels_follow_the_conventions() -> None:
    for family in FAMILIES:
        assert re.fullmatch(r"memmcp_trading_[a-z0-9_]+", family.name)
        assert family.help.endswith(".")
        assert not {"mint", "symbol", "order", "order_id", "url", "wallet", "run", "key"} & set(family.labels)
        if family.kind == "counter":
            assert family.name.endswith("_total")
        else:
            assert family.name.endswith((*UNITS, *COUNTS, *YES_OR_NO)), family.name
        assert (family.kind == "histogram") is bool(family.bounds)
        assert list(family.bounds) == sorted(set(family.bounds))


async def test_rows_count_from_the_start_of_the_desk_by_what_they_say() -> None:
    journal = MemoryJournal()
    signal, order, denied = make_signal(), make_order(), Denied("cooldown", "too soon")
    write(journal, events.SignalRaised("trj_1", signal))
    meters = meters_over(journal)
    meters.follow()
    write(
        journal,
        events.SignalRaised("trj_2", signal),
        events.SignalPassed("trj_2", "s", "m", 1, denied),
        events.OrderDenied(order, Denied("exposure", "too much")),
        events.OrderApproved(order, ()),
        filled(make_fill(slippage_bps=30)),
        rejected("ord_2", charged=5_000),
        rejected("ord_3", charged=0),
        events.PositionClosed("trj_1", "s", "a", "m", 1, -5, -10, 1, "stop"),
    )
    assert meters.follow() == 8
    assert series(meters, "signals_total") == {(signal.strategy,): 1}
    assert series(meters, "denials_total") == {("signal", "cooldown"): 1, ("order", "exposure"): 1}
    assert series(meters, "orders_total") == {(order.strategy, order.purpose.value): 1}
    assert series(meters, "fills_total") == {("s", "buy"): 1}
    assert series(meters, "fill_slippage_ratio") == {("buy",): 0.003}
    assert series(meters, "failed_transactions_total") == {(): 1}
    assert sum(series(meters, "rejections_total").values()) == 2
    assert series(meters, "positions_closed_total") == {("s", "lost"): 1}
    assert meters.follow() == 0


async def test_a_row_that_nobody_can_count_is_passed_over_and_the_next_ones_count(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(metering, "FOLLOW_S", 0.001)
    journal = MemoryJournal()
    meters = meters_over(journal)
    meters.follow()
    journal.append(1, "order_filled", {"strange": 1})
    write(journal, events.SignalRaised("trj_1", make_signal()))
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(meters.run)
            while not series(meters, "signals_total"):  # noqa: ASYNC110 - rows ring no bell
                await anyio.sleep(0.001)
            tasks.cancel_scope.cancel()
    assert "a row of the journal is not counted" in caplog.text


async def test_many_rows_are_counted_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metering, "ROWS_AT_ONCE", 10)
    journal = MemoryJournal()
    meters = meters_over(journal)
    meters.follow()
    write(journal, *(events.SignalRaised(f"trj_{n}", make_signal()) for n in range(25)))
    assert [meters.follow() for _ in range(3)] == [10, 10, 5]
    assert sum(series(meters, "signals_total").values()) == 25


async def test_the_state_that_is_shown_is_told_in_base_units_and_tokens_are_one_scope() -> None:
    meters = meters_over(MemoryJournal())
    assert series(meters, "equity_lamports") == {(): SOL + 1}
    assert series(meters, "drawdown_ratio") == {(): 0.025}
    assert series(meters, "state") == {("ACTIVE",): 0, ("REDUCING",): 0, ("HALTED",): 1}
    assert series(meters, "limit_distance_ratio") == {
        ("drawdown_bps", "account"): 0.9,
        ("reentry_cooldown", "token"): 0.0,
    }
    names = {each["name"] for each in meters.document()["families"]}
    assert {"memmcp_trading_feed_age_seconds", "memmcp_trading_sol_price_usd"} & names == set()
    assert names <= {each.name for each in FAMILIES}


async def test_the_loop_leaves_what_it_took_by_cycle() -> None:
    meters = meters_over(MemoryJournal())
    meters.worked(4, 0.002, 0.01)
    meters.worked(0, 0.5, 0.02)
    found = {each["name"]: each["series"][0] for each in meters.document()["families"] if each["series"]}
    decision = found["memmcp_trading_decision_duration_seconds"]
    assert (sum(decision["counts"]), round(decision["value"], 9)) == (4, 0.002)
    assert sum(found["memmcp_trading_commit_duration_seconds"]["counts"]) == 2


async def test_endpoints_are_told_by_name_with_what_they_came_to() -> None:
    answered = Spread()
    answered.observe(0.2)
    rpc = Calls(one=CallFigures(5, {"http_429": 2}, answered, 3.5, 1.25, 7))
    many = Calls(market=CallFigures(1, {f"rpc_{n}": 1 for n in range(2 * SERIES_MAX)}, Spread(), 1.0, 0.0))
    meters = meters_over(MemoryJournal(), rpc=rpc, market=many)
    calls = series(meters, "endpoint_requests_total")
    assert (calls["rpc", "one", "ok"], calls["rpc", "one", "http_429"]) == (5, 2)
    assert len(calls) <= SERIES_MAX + 1
    assert series(meters, "endpoint_request_duration_seconds")["rpc", "one"] == 0.2
    assert series(meters, "endpoint_budget_calls")["rpc", "one"] == 3.5
    assert series(meters, "endpoint_backoff_seconds") == {("rpc", "one"): 1.25, ("market", "market"): 0.0}
    assert series(meters, "endpoint_lag_slots") == {("one",): 7}


@pytest.mark.requirement("T14")
async def test_what_the_sidecar_costs_is_told() -> None:
    asked = Asked(ScriptedAdviser(), cache_s=60, calls_per_day_max=4)
    meters = meters_over(MemoryJournal())
    meters.sidecar = asked.sidecar
    assert series(meters, "sidecar_budget_left_ratio") == {(): 1.0}
    await asked.ask()
    await asked.ask("asm_2")
    assert series(meters, "sidecar_calls_total") == {("answered",): 1, ("cached",): 1}
    assert series(meters, "sidecar_tokens_total") == {("in",): 500, ("out",): 100}
    assert series(meters, "sidecar_cost_usd_total") == {(): 0.0009}
    assert series(meters, "sidecar_budget_left_ratio") == {(): 0.75}
    assert series(meters, "sidecar_resting") == {(): 0}


async def test_steps_of_real_money_and_how_long_they_took_come_from_its_journal(tmp_path: Path) -> None:
    chain = PlainChain()
    chain.wallets["w"] = [5 * SOL, 0]
    now_ns = 1_000 * SOL
    journal = SqlExecutionJournal.at(tmp_path / "execution.db", lambda: now_ns)
    armed = False
    live = LiveMeters(journal, lambda: armed, lambda: True)
    live.follow()
    known = journal.open(buying(chain, "w", SOL))
    now_ns += SOL
    attempt = await PlainPreparer(chain).prepare(known)
    journal.signed(attempt)
    live.follow()
    told = {each["name"].removeprefix("memmcp_trading_"): each["series"] for each in live.documents()}
    assert told["live_intents_unfinished"][0]["value"] == 1
    assert told["live_send_delay_seconds"][0]["value"] == 1.0
    assert (told["live_armed"][0]["value"], told["live_reconciled"][0]["value"]) == (0, 1)
    now_ns += 2 * SOL
    seen = StatusSeen(signature=attempt.signature, slot=1, commitment=Commitment.CONFIRMED, error="", endpoint="one")
    journal.landed(known.intent.id, seen)
    journal.halt("w", "books and chain differ", {})
    live.follow()
    told = {each["name"].removeprefix("memmcp_trading_"): each["series"] for each in live.documents()}
    assert told["live_confirmation_delay_seconds"][0]["value"] == 2.0
    assert told["live_wallets_halted"][0]["value"] == 1
    steps = {each["labels"][0]: each["value"] for each in told["live_intent_steps_total"]}
    assert steps == {"opened": 1, "signed": 1, "landed": 1, "halted": 1}
    assert journal.record(known.intent.id).state is IntentState.LANDED
    journal.close()
