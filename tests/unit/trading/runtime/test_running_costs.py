"""Running costs: counted where calls are sent, kept over restarts, priced only where somebody has said the price."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.doubles.scripted_chain import ScriptedChain
from tests.support.chat_server import ChatServer
from tests.support.scripted_rpc import ScriptedRpc, text
from tests.support.sidecar_desk import ended, opened, sections

from trading.adapters.call_meter import NAMES_MAX, OTHERS, CallMeter, current_meter, metered
from trading.adapters.solana.endpoint import EndpointFailed, RpcEndpoint
from trading.adapters.spend_file import SpendFile
from trading.config import CostsSection
from trading.runtime.clock import WallClock
from trading.runtime.running_costs import RunningCosts
from trading.sidecar.budget import DAY_NS, Spent

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("O6")]

DAY = 20_000
SNAPSHOT: dict[str, Any] = {
    "run_id": "run-1",
    "equity": {"lamports": 2_100_000_000},
    "net_deposits": {"lamports": 2_000_000_000},
    "costs": {
        "fee_lamports": 7,
        "impact_lamports": 2,
        "priority_lamports": 1,
        "failed_lamports": 0,
        "rent_lamports": 500,
    },
}


class Days:
    def __init__(self) -> None:
        self.now_ns = DAY * DAY_NS

    def __call__(self) -> int:
        return self.now_ns

    def pass_by(self, days: int) -> None:
        self.now_ns += days * DAY_NS


def costs_of(directory: Path, days: Days, *, has_model: bool = False, **prices: Any) -> RunningCosts:
    return RunningCosts(directory, CostsSection(**prices), days, has_model=has_model)


async def test_calls_are_priced_by_credits_and_plans_and_what_has_no_price_is_named(tmp_path: Path) -> None:
    prices = {
        "plans_usd_a_month": {"rpc.example.com": 36.5, "machine": 7.3},
        "usd_a_million_credits": {"pay.example.com": 10, "free.example.com": 0},
        "credits": {"getProgramAccounts": 100},
    }
    costs = costs_of(tmp_path, Days(), **prices)
    await costs.note()
    for name in ("rpc.example.com", "free.example.com", "who.example.com"):
        costs.meter.sent(name, "getSlot")
    for _ in range(1_000):
        costs.meter.sent("pay.example.com", "getProgramAccounts")
    await costs.note()
    shown = costs.document(SNAPSHOT, Decimal(100))
    # (36.5 + 7.3) * 12 / 365 a day, and 100,000 credits at 10 USD a million.
    assert shown["total"] == {"usd": "2.4400", "is_complete": False, "unknown": ["who.example.com"]}
    assert {each["name"]: each["usd"] for each in shown["endpoints"]} == {
        "pay.example.com": "1.0000",
        "free.example.com": "0.0000",
        "rpc.example.com": "0.0000",
        "who.example.com": None,
    }


async def test_the_net_result_is_trading_less_what_running_took(tmp_path: Path) -> None:
    costs = costs_of(tmp_path, Days(), plans_usd_a_month={"machine": Decimal("30.4166666666666667")})
    await costs.note()
    net = costs.document(SNAPSHOT, Decimal(100))["net"]
    assert net["trading"] == {"lamports": 100_000_000, "sol": "0.1", "usd": "10.00"}
    assert net["on_chain"]["lamports"] == 10  # a deposit comes back, so it is none of them
    assert net["running"]["lamports"] == 10_000_000
    assert net["net"] == {"lamports": 90_000_000, "sol": "0.09", "usd": "9.00"}
    assert net["is_complete"] is True


async def test_without_a_price_of_sol_the_net_result_is_unknown_and_not_zero(tmp_path: Path) -> None:
    costs = costs_of(tmp_path, Days())
    net = costs.document(SNAPSHOT, None)["net"]
    assert (net["running"], net["net"], net["is_complete"], net["unknown"]) == (None, None, False, ["the price of SOL"])


async def test_a_plan_is_paid_for_every_day_also_those_on_which_nothing_ran(tmp_path: Path) -> None:
    days = Days()
    costs = costs_of(tmp_path, days, plans_usd_a_month={"machine": Decimal("30.4166666666666667")})
    await costs.note()
    costs.document(SNAPSHOT, None)
    await costs.note()
    days.pass_by(9)
    again = costs_of(tmp_path, days, plans_usd_a_month={"machine": Decimal("30.4166666666666667")})
    await again.note()
    shown = again.document(SNAPSHOT, Decimal(100))
    assert (shown["since"], shown["total"]["usd"], shown["today"]["usd"]) == ("2024-10-04", "10.0000", "1.0000")


async def test_counts_survive_a_restart_and_old_days_become_one_sum(tmp_path: Path) -> None:
    days = Days()
    for day in range(5):
        costs = costs_of(tmp_path, days, days_max=3, usd_a_million_credits={"one": 1_000_000})
        await costs.note()
        costs.meter.sent("one", "getSlot")
        costs.meter.failed("one", "http_429")
        costs.document(SNAPSHOT, None)
        await costs.note()
        if day < 4:
            days.pass_by(1)
    assert [row["day"] for row in costs.rows(9)] == ["2024-10-08", "2024-10-07", "2024-10-06"]
    [one] = costs.document(SNAPSHOT, None)["endpoints"]
    assert (one["calls"], one["limited"], one["usd"]) == (5, 5, "5.0000")


async def test_a_new_run_is_charged_from_its_own_first_day(tmp_path: Path) -> None:
    days = Days()
    costs = costs_of(tmp_path, days)
    await costs.note()
    costs.meter.sent("one", "getSlot")
    costs.document(SNAPSHOT, None)
    await costs.note()
    days.pass_by(2)
    shown = costs.document({**SNAPSHOT, "run_id": "run-2"}, None)
    await costs.note()
    shown = costs.document({**SNAPSHOT, "run_id": "run-2"}, None)
    assert (shown["since"], shown["endpoints"]) == ("2024-10-06", [])


async def test_a_damaged_file_is_set_aside_and_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / "costs.json").write_text('{"format": 1, "rows": [{"day": -1}]}')
    costs = costs_of(tmp_path, Days())
    await costs.note()
    costs.meter.sent("one", "getSlot")
    await costs.note()
    assert (tmp_path / "costs.json.damaged").exists()
    assert [row["calls"] for row in costs.rows(1)] == [1]


async def test_a_full_disk_loses_no_count(tmp_path: Path) -> None:
    folder = tmp_path / "desk"
    costs = costs_of(folder, Days())  # the folder is not there: nothing can be written
    costs.meter.sent("one", "getSlot")
    await costs.note()
    folder.mkdir()
    await costs.note()
    again = costs_of(folder, Days())
    await again.note()
    assert [row["calls"] for row in again.rows(1)] == [1]


async def test_what_the_model_took_is_that_of_the_sidecars_own_budget(tmp_path: Path) -> None:
    SpendFile(tmp_path).save(Spent(DAY, calls=3, tokens=1_800, micro_usd=2_500_000))
    costs = costs_of(tmp_path, Days(), has_model=True)
    await costs.note()
    await costs.note()
    assert costs.document(SNAPSHOT, None)["model"] == {"calls": 3, "tokens": 1_800, "usd": "2.5000"}
    assert costs.rows(1)[0]["usd"] == "2.5000"


def test_names_without_end_are_counted_as_others() -> None:
    meter = CallMeter()
    for number in range(NAMES_MAX + 9):
        meter.sent(f"host-{number}", "getSlot")
    found = meter.take()
    assert (len(found), found[OTHERS].calls, meter.take()) == (NAMES_MAX + 1, 9, {})


async def test_an_endpoint_counts_what_it_sends_and_what_it_holds_back() -> None:
    meter = CallMeter({"getSlot": 5})
    async with ScriptedRpc.serving(ScriptedChain()) as server:
        section = server.section()
        with metered(meter):
            endpoint = RpcEndpoint("one", section.endpoints[0], section, WallClock())
        assert current_meter() is None
        try:
            await endpoint.call("getSlot")
            server.faults["one"]["getSlot"].append(text("busy", 429))
            with pytest.raises(EndpointFailed):
                await endpoint.call("getSlot")
            with pytest.raises(EndpointFailed, match="left alone"):
                await endpoint.call("getSlot")
        finally:
            await endpoint.aclose()
    counts = meter.take()["one"]
    assert (counts.calls, counts.credits, counts.limited, counts.withheld, counts.failed) == (2, 10, 1, 1, 0)


async def test_a_desk_shows_its_running_costs_beside_its_trades(tmp_path: Path) -> None:
    server = ChatServer()
    async with server.serving() as url:
        settings = sections(url, timeout_s=20).model_copy(update={"costs": CostsSection(save_s=0.05)})
        async with opened(tmp_path, settings) as desk:
            await ended(desk)
            await desk.running_costs.note()  # type: ignore[union-attr]
            shown = (await desk.snapshot())["running_costs"]
            answer = await desk.costs(days=7)
    assert shown["model"]["calls"] > 0
    assert Decimal(shown["model"]["usd"]) > 0
    trading = shown["net"]["trading"]["lamports"]
    assert shown["net"]["net"]["lamports"] < trading
    assert answer["running"]["net"] == shown["net"]
    assert answer["days"][0]["model_calls"] == shown["model"]["calls"]
