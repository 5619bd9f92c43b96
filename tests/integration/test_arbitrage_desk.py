"""Arbitrage beside a desk on paper: trips at real prices, taken up after a restart, told to memory, shown, bounded."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

import anyio
import anyio.to_thread
import pytest
from tests.doubles.desk_memory import ListMemory
from tests.doubles.word_scanner import WordScanner
from tests.support.arbitrage_desk import USDC, ArbitrageStage, arbitrage_stage, desk_of
from tests.support.market_server import eventually
from tests.support.stage import OPERATOR_TOKEN, Stage, served, staged
from typer.testing import CliRunner

from memmcp_server.adapters.trading_desk import AdaptedDesk, JournalMemory
from memmcp_server.ports import Journal, TradingDesk
from trading.adapters.trip_journal import SqlTripJournal
from trading.arbitrage.trip_ports import TripLimits
from trading.arbitrage.trips import Began, LegPlan, Phase, TripPlan
from trading.cli import app
from trading.config import Sections
from trading.errors import InvalidInput, Unavailable
from trading.runtime.clock import WallClock
from trading.runtime.evm_reviewing import EvmReview
from trading.runtime.paper_desk import PaperDesk
from trading.settings import load

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("T15")]
S, SOL = 10**9, 10**9


class Command(Protocol):
    async def __call__(self, *given: str, code: int = 0) -> str: ...


LIMITS = TripLimits(open_max=9, amount_max=10**12, day_loss_max=10**12)


async def part(desk: PaperDesk, name: str) -> dict[str, Any]:
    return await desk.arbitrage(part=name, cursor=None, limit=50)


async def until(desk: PaperDesk, name: str, holds: Any) -> dict[str, Any]:
    """Return the part as soon as it holds, bounded: a trip whose prices went away meanwhile is unwound first."""
    with anyio.fail_after(60):
        while True:
            try:
                found = await part(desk, name)
                if holds(found):
                    return found
            except Unavailable:
                pass
            await anyio.sleep(0.02)


def is_quiet(found: dict[str, Any]) -> bool:
    return [each["why_not"] for each in found["opportunities"][:2]] == ["cost", "cost"]


async def test_a_trip_is_made_told_and_shown_and_a_restart_goes_on_with_what_lies_where(tmp_path: Path) -> None:
    memory = ListMemory()
    async with arbitrage_stage() as stage:
        sections = stage.sections(ARBITRAGE__EVERY_S=0.1)
        async with desk_of(tmp_path, sections, memory) as desk:
            await until(desk, "opportunities", lambda found: found["opportunities"])
            assert (await part(desk, "trips"))["trips"] == []  # at equal prices nothing leaves more than its cost
            stage.price(140)
            page = await until(desk, "trips", lambda found: any(each["is_over"] for each in found["trips"]))
            stage.price(150)
            await until(desk, "opportunities", is_quiet)  # no round acts on an earlier look any more
            status = await until(desk, "status", lambda found: not found["trips_open"])
            await eventually(lambda: bool(memory.of("close")))
            figures = {each["name"]: each for each in (await desk.metrics())["families"]}
            lies = desk.arbitraging.lies() if desk.arbitraging else {}
        trips = page["trips"]
        assert (trips[-1]["first"], trips[-1]["second"], trips[-1]["phase"]) == ("usdc/exchange", "usdc/solana", "done")
        assert trips[-1]["result"]["lamports"] > 0
        assert "gave" in trips[-1]["steps"][1]["text"]
        assert (status["state"], status["arbitrage_money"], status["venues"][0]["name"]) == (
            "working",
            "paper",
            "usdc/exchange",
        )
        assert {each["why_not"] for each in status["day"]} >= {"", "cost"}
        assert sum(money for money, _ in lies.values()) > 20 * SOL
        assert figures["memmcp_trading_arbitrage_seen_total"]["series"]
        [opened], [closed] = memory.of("open")[:1], memory.of("close")[:1]
        assert (opened.kind, opened.trajectory_id, closed.outcome) == ("arbitrage", trips[-1]["id"], "won")
        assert closed.reward_lamports == trips[-1]["result"]["lamports"]
        assert stage.exchange.received == []  # nothing was sent
        assert stage.exchange.calls["account"] == 0
        async with desk_of(tmp_path, sections, memory) as desk:
            await until(desk, "status", lambda found: found["state"] == "working")
            assert desk.arbitraging is not None
            assert desk.arbitraging.lies() == lies


async def test_a_trip_that_was_under_way_is_finished_and_a_halted_desk_opens_none(tmp_path: Path) -> None:
    memory, now_ns = ListMemory(), WallClock().now_ns()
    (first, second) = (LegPlan("usdc/exchange", SOL, 1), LegPlan("usdc/solana", 150_000_000, 1))
    plan = TripPlan("trip_a", first, second, (second,), now_ns, now_ns + 60 * S, now_ns + 90 * S, 5 * S)
    journal = SqlTripJournal.at(tmp_path / "arbitrage.db")
    assert journal.open(plan, 0, LIMITS, now_ns) == ""
    journal.happened("trip_a", 0, Began(now_ns), Phase.FIRST, 0)
    journal.close()
    async with arbitrage_stage() as stage:
        stage.price(140)
        async with desk_of(tmp_path, stage.sections(), memory) as desk:
            await desk.control({"action": "flatten_and_halt", "reason": "a test"}, actor="operator", key="h1")
            page = await until(desk, "trips", lambda found: found["trips"] and found["trips"][-1]["is_over"])
            assert page["trips"][-1]["id"] == "trip_a"
            count = len(page["trips"])
            seen = await until(
                desk,
                "opportunities",
                lambda found: any(each["why_not"] == "desk_halted" for each in found["opportunities"]),
            )
            assert seen["opportunities"][0]["why_not"] != ""
            assert len((await part(desk, "trips"))["trips"]) <= count + 1


async def test_inventory_is_brought_back_to_its_split_and_a_days_loss_stops_trips(tmp_path: Path) -> None:
    async with arbitrage_stage() as stage:
        split = {"split_bps": {"exchange": 8_000, "solana": 2_000}}
        wishes = {"REBALANCE_EVERY_S": 0.1, "PAPER_TRANSFER_S": 0, "DAY_LOSS_SOL": "0.000000001"}
        sections = stage.sections(split, **{f"ARBITRAGE__{name}": value for name, value in wishes.items()})
        async with desk_of(tmp_path, sections, ListMemory()) as desk:
            page = await until(
                desk, "transfers", lambda found: [1 for each in found["transfers"] if each["state"] == "arrived"]
            )
            stage.price(140)
            await until(
                desk,
                "opportunities",
                lambda found: any(each["why_not"] == "day_loss_max" for each in found["opportunities"]),
            )
            assert (await part(desk, "trips"))["trips"] == []
    assert page["transfers"][-1]["asset"] == "SOL"
    assert (page["transfers"][-1]["source"], page["transfers"][-1]["amount"]) == ("usdc/solana", "6")


@asynccontextmanager
async def command_line(folder: Path, stage: ArbitrageStage) -> AsyncIterator[tuple[PaperDesk, Stage, Command]]:
    """Serve the desk with a memory of its own, and what runs a command against it."""
    opened: list[PaperDesk] = []

    @asynccontextmanager
    async def over(journal: Journal) -> AsyncIterator[TradingDesk]:
        memory = JournalMemory(journal, WordScanner({}))
        async with desk_of(folder / "trading", stage.sections(), memory) as desk:
            opened.append(desk)
            yield AdaptedDesk(desk)

    async with staged(folder, desk_over=over) as server, served(server.app) as url:
        record = {"pid": 1, "version": "0", "http": url, "token": OPERATOR_TOKEN}
        (folder / "daemon.json").write_text(json.dumps(record))

        async def run(*given: str, code: int = 0) -> str:
            words = ["arbitrage", *given, "--data-dir", str(folder)]
            with anyio.fail_after(30):
                found = await anyio.to_thread.run_sync(lambda: CliRunner().invoke(app, words, env={"COLUMNS": "250"}))
            assert found.exit_code == code, found.output
            return found.output

        yield opened[0], server, run


async def test_an_operator_sees_trips_on_the_command_line_and_in_the_memory_and_answers(tmp_path: Path) -> None:
    async with arbitrage_stage() as stage, command_line(tmp_path, stage) as (desk, server, run):
        stage.price(140)
        page = await until(desk, "trips", lambda found: any(each["is_over"] for each in found["trips"]))
        stage.price(150)
        trip = page["trips"][-1]["id"]
        assert trip in await run("trips")
        assert "usdc/exchange" in await run("status")
        assert json.loads(await run("trips", "--json"))["trips"][-1]["id"] == trip
        assert "why not" in await run("opportunities")
        assert "Transfers" in await run("transfers")
        found: dict[str, Any] = {}
        with anyio.fail_after(10):
            while not found.get("hits"):
                await anyio.sleep(0.05)
                answered = await server.http.get("/memory/search", params={"query": f"Arbitrage {trip}"})
                found = answered.json() if answered.status_code == 200 else {}

        assert desk.arbitraging is not None
        await desk.arbitraging.read(lambda journals: journals.trips.halt("a test"))
        assert "halted: a test" in await run("status")
        assert "working" in await run("resume", "--reason", "it was a test")
        refused = await run("settle", "t", "--result-sol=-1", "--reason", "sold by hand", code=2)
        assert "does not wait for a person" in refused
        assert "only one that is late" in await run("give-up", "x", "--reason", "gone for good", code=2)
        with pytest.raises(InvalidInput, match="part"):
            await part(desk, "secrets")
        for wrong in ({"act": "arm", "reason": "why"}, {"act": "settle", "result_sol": "much", "reason": "why"}):
            with pytest.raises(InvalidInput):
                await desk.answer_arbitrage(wrong, actor="operator:me")

        # What waits at an account of the EVM chain is asked of whoever has it open.
        item = {"item": "evm-account/0x1", "answer": "release", "reason": "looked"}
        with pytest.raises(Unavailable, match="not open now"):
            await desk.answer_review(item, actor="operator:me")
        halted = ScriptedReview([{"id": "evm-account/0x1", "what": "halted", "evidence": [], "answers": ["release"]}])
        desk.arbitraging.use_review(cast(EvmReview, halted))
        assert halted.left[0] in (await desk.night(since_ns=None))["waiting"]
        assert (await desk.answer_review(item, actor="operator:me"))["waiting"] == []
        assert halted.said == [("evm-account/0x1", "release", "operator:me", "looked")]


@dataclass
class ScriptedReview:
    left: list[dict[str, Any]]
    said: list[tuple[str, ...]] = field(default_factory=list)

    async def waiting(self) -> list[dict[str, Any]]:
        return self.left

    async def answer(self, *said: str) -> None:
        self.said.append(said)
        self.left = []


def is_away(found: dict[str, Any]) -> bool:
    return any("NotAvailable" in each["problem"] or "Network" in each["problem"] for each in found["venues"])


async def test_a_venue_that_is_away_is_told_of_and_the_desk_goes_on(tmp_path: Path) -> None:
    async with arbitrage_stage() as stage:
        sections = stage.sections(EXCHANGE__BASE_URL="http://127.0.0.1:9")
        async with desk_of(tmp_path, sections, ListMemory()) as desk:
            status = await until(desk, "status", is_away)
            problems = {each["name"]: each["problem"] for each in status["venues"]}
            assert problems["usdc/solana"] == ""
            assert (await desk.snapshot())["state"] == "ACTIVE"


async def test_it_is_off_by_default_and_leaves_no_file(tmp_path: Path) -> None:
    async with desk_of(tmp_path, Sections(), ListMemory()) as desk:
        assert (await part(desk, "status"))["state"] == "off"
        with pytest.raises(InvalidInput, match="no pair is configured"):
            await part(desk, "trips")
    assert not list(tmp_path.glob("arbitrage*"))


PAIRS = f'[{{"name":"usdc","mint":"{USDC}","decimals":6,"market":"SOL/USDC"}}]'


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"PAIRS": PAIRS.replace("SOL/USDC", "")}, "a trip needs two of market, solana and evm_pool"),
        ({"PAIRS": PAIRS.replace("SOL/USDC", "ETH/USDC")}, "SOL on one side"),
        ({"PAIRS": PAIRS[:-2] + ',"split_bps":{"exchange":1}}]'}, "split_bps names exchange, solana"),
        ({"PAIRS": PAIRS[:-2] + ',"least_sol":"3"}]'}, "least_sol 3"),
        ({"PAIRS": PAIRS[:-1] + "," + PAIRS[1:]}, "a name of its own"),
        ({"MONEY": "play"}, "TRADING_ARBITRAGE__MONEY"),
        ({"HEDGE_S": "9"}, "have to rise"),
        ({"DAY_LOSS_SOL": "0"}, "day_loss_sol is 0"),
        ({"STALE_S": "1"}, "stale_s 1.0 has to be"),
        ({"WITHDRAW_TO": '{"SOL":"x"}'}, "COIN:NETWORK"),
    ],
)
def test_settings_that_cannot_be_say_which_and_what_is_allowed(given: dict[str, str], says: str) -> None:
    with pytest.raises(InvalidInput, match="TRADING_ARBITRAGE") as caught:
        load({f"TRADING_ARBITRAGE__{name}": value for name, value in given.items()})
    assert says in caught.value.message


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({}, "exchange.id"),
        ({"TRADING_EXCHANGE__ID": "binance", "TRADING_ARBITRAGE__MONEY": "real"}, "arbitrage.money"),
    ],
)
async def test_settings_that_do_not_go_together_are_refused_at_the_start(
    tmp_path: Path, given: dict[str, str], field: str
) -> None:
    sections = load({"TRADING_ARBITRAGE__PAIRS": PAIRS} | given)
    with pytest.raises(InvalidInput) as caught:
        async with desk_of(tmp_path, sections, ListMemory()):
            raise AssertionError("it was opened")
    assert caught.value.field == field


def test_a_key_comes_from_a_file_and_is_in_no_message(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("the-key\n")
    exchange = load({"TRADING_EXCHANGE__API_KEY_FILE": str(tmp_path / "key")}).exchange
    assert exchange.api_key is not None
    assert (exchange.api_key.get_secret_value(), "the-key" in repr(exchange)) == ("the-key", False)
    both = {"TRADING_EXCHANGE__SECRET_FILE": str(tmp_path / "key"), "TRADING_EXCHANGE__SECRET": "said"}
    for wrong in (both, {"TRADING_EXCHANGE__SECRET_FILE": str(tmp_path / "none")}):
        with pytest.raises(InvalidInput, match="secret_file") as caught:
            load(wrong)
        assert "the-key" not in caught.value.message
        assert "said" not in caught.value.message
