"""Arbitrage with real money between a loopback exchange and a pool of the local EVM: armed, disarmed, and restarted."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import anyio.to_thread
import pytest
from tests.doubles.desk_memory import ListMemory
from tests.support.evm import CHAIN_ID, OUR_ADDRESS, OUR_KEY, Evm, call_data, evm_running
from tests.support.evm_stage import FEE_WEI_MAX
from tests.support.exchange_desk import ExchangeDesk
from tests.support.solana_home import exchange_section

from trading.adapters.evm.journal import SqlEvmJournal
from trading.arbitrage.trips import Attempt, Dead, Phase, Settled
from trading.config import ArbitrageSection, EvmSection, Sections
from trading.errors import Unavailable
from trading.model.units import NS_PER_S
from trading.runtime.arbitrage_run import arbitraging_of
from trading.runtime.arbitrage_view import ArbitrageView
from trading.runtime.arbitraging import Arbitraging
from trading.runtime.clock import WallClock

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("T15")]
ORDER_MAX, DAY_MAX = 40_000_000, 70_000_000
SOL_PER_ETHER = Decimal("0.1")
EIGHTEEN, OF_NONE = "5b60128156", "5b60{:02x}8156"
"""Where the tokens' code tells their decimals."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def evm() -> Iterator[Evm]:
    """The money token counts nine decimals, as SOL does; the other six."""
    with evm_running() as found:
        for token, decimals in ((found.token_0, 9), (found.token_1, 6)):
            code = found.rpc("eth_getCode", token, "latest")
            assert code.count(EIGHTEEN) == 1
            found.rpc("anvil_setCode", token, code.replace(EIGHTEEN, OF_NONE.format(decimals)))
            assert found.ask(token, "decimals()", returns=("uint8",)) == decimals
        yield found


@dataclass
class Arming:
    problem: str = "real money is not armed"

    async def ask(self) -> str:
        return self.problem


@dataclass
class Place:
    evm: Evm
    exchange: ExchangeDesk
    folder: Path
    arming: Arming = field(default_factory=Arming)
    mines: bool = True

    def sections(self, key: str = OUR_KEY, **changes: Any) -> Sections:
        key_file = self.folder / "evm.key"
        key_file.touch(0o600)
        key_file.write_text(f"{key}\n")
        pair = {"name": "usdc", "mint": "C" * 32, "decimals": 6, "market": "SOL/USDC", "solana": False}
        pair |= {"evm_pool": self.evm.pair, "least_sol": "0.02", "most_sol": "0.05"} | changes
        arbitrage = {
            "pairs": [pair],
            "money": "real",
            "every_s": 0.05,
            "look_s": 5,
            "attempt_s": 20,
            "first_slip_bps": 100,
            "evm_order_max_units": ORDER_MAX,
            "evm_day_max_units": DAY_MAX,
            "evm_sol_per_ether": SOL_PER_ETHER,
        }
        evm = {
            "endpoints": [self.evm.url],
            "key_file": key_file,
            "chain_id": CHAIN_ID,
            "router": self.evm.router,
            "v2_factory": self.evm.v2_factory,
            "v3_factory": self.evm.v3_factory,
            "pools": [{"address": self.evm.pair, "kind": "constant_product"}],
            "fee_wei_max": FEE_WEI_MAX,
            "has_l1_fee": False,
            "stale_s_max": 3_600,
            "calls_per_second": 100_000,
            "confirmations": 2,
            "poll_s": 0.01,
        }
        return Sections(
            arbitrage=ArbitrageSection.model_validate(arbitrage),
            exchange=exchange_section(self.exchange.url),
            evm=EvmSection.model_validate(evm),
        )

    @asynccontextmanager
    async def working(self, sections: Sections | None = None) -> AsyncIterator["Works"]:
        """Arbitrage as a process has it, from its start to its sudden end."""
        found = sections or self.sections()
        stage: Any = SimpleNamespace(
            current=SimpleNamespace(snapshot={"state": "ACTIVE", "entries_allowed": True}, sol_usd=None)
        )
        live: Any = SimpleNamespace(arming=self.arming, parts=SimpleNamespace(journal=SimpleNamespace(problem="")))
        works = arbitraging_of(found, self.folder, ListMemory(), stage, live)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(works.run)
            yield Works(works, ArbitrageView(found.arbitrage, works, None))
            tasks.cancel_scope.cancel()

    async def mine(self) -> None:
        while True:
            await anyio.sleep(0.02)
            if self.mines:
                await anyio.to_thread.run_sync(self.evm.mine)

    def sent(self, at: str = "latest") -> int:
        return int(self.evm.rpc("eth_getTransactionCount", OUR_ADDRESS, at), 16)

    def wei(self) -> int:
        return int(self.evm.rpc("eth_getBalance", OUR_ADDRESS, "latest"), 16)


@dataclass
class Works:
    works: Arbitraging
    view: ArbitrageView

    async def part(self, name: str, holds: Callable[[Any], bool]) -> dict[str, Any]:
        with anyio.move_on_after(20):
            while True:
                try:
                    found: dict[str, Any] = dict(await self.view.document(name, None, 200))
                    if holds(found):
                        return found
                except Unavailable:
                    pass
                await anyio.sleep(0.02)
        raise AssertionError([dict(await self.view.document(each, None, 5)) for each in ("status", "trips", name)])


@pytest.fixture
async def place(evm: Evm, tmp_path: Path) -> AsyncIterator[Place]:
    clock = WallClock()
    async with ExchangeDesk.serving(lambda: clock.now_ns() // 10**6) as exchange, anyio.create_task_group() as tasks:
        # The pool gives 1,590 for a SOL; the exchange sells one for 1,500.
        exchange.bids, exchange.asks = [(Decimal(1_490), Decimal(9))], [(Decimal(1_500), Decimal(9))]
        found = Place(evm, exchange, tmp_path)
        tasks.start_soon(found.mine)
        with evm.undone():
            yield found
            tasks.cancel_scope.cancel()


async def until(holds: Callable[[], bool]) -> None:
    while True:
        if holds():
            return
        await anyio.sleep(0.02)


def seen(why_not: str) -> Callable[[Any], bool]:
    return lambda found: any(
        (each["first"], each["why_not"]) == ("usdc/evm", why_not) for each in found["opportunities"]
    )


async def test_trips_over_the_evm_chain_are_made_only_while_armed_and_within_their_own_caps(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "trading")
    before = place.evm.balance(place.evm.token_0), place.exchange.free["SOL"], place.wei()
    async with place.working() as here:
        await here.part("opportunities", seen("not_armed"))
        assert (place.sent(), place.exchange.received) == (0, [])
        place.arming.problem = ""
        # Until the day's cap is used up, and the rest is too little for a trip.
        await here.part("opportunities", seen("no_price"))
        page = await here.part("trips", lambda found: all(each["is_over"] for each in found["trips"]))
        held = tuple(place.evm.balance(each) for each in (place.evm.token_0, place.evm.token_1))
        with anyio.fail_after(10):
            await until(lambda: here.works.lies()["usdc/evm"] == held)
        # Disarmed again: what gives money is not signed, what brings it back is.
        place.arming.problem = "disarmed"
        leg = here.works.pairs[0].venues["usdc/evm"]
        now_ns = WallClock().now_ns()
        expires_ns = now_ns + 20 * NS_PER_S
        first = Attempt("t:first", Phase.FIRST, "usdc/evm", 1_000, 1, expires_ns)
        nonces = place.sent()
        for each in (leg, leg._leg):  # also where nobody asked before it was handed in
            assert isinstance(await each.send(first), Dead)
        assert place.sent() == nonces
        moved = place.evm.balance(place.evm.token_0) - before[0], place.exchange.free["SOL"] - before[1]
        wei = before[2] - place.wei()
        back = Attempt("t:second", Phase.SECOND, "usdc/evm", 1_000, 1, expires_ns)
        assert isinstance(await leg.send(back), Settled)
    trips = page["trips"]
    assert [(each["first"], each["second"], each["phase"]) for each in trips] == [
        ("usdc/evm", "usdc/exchange", "done")
    ] * len(trips)
    # One order may not use up the day, and what is left after two is less than a trip takes.
    assert len(trips) == 2
    assert DAY_MAX - 20_000_000 < -moved[0] <= DAY_MAX
    gas = wei * SOL_PER_ETHER / 10**9
    result = sum(each["result"]["lamports"] for each in trips)
    assert 0 <= int(moved[1] * 10**9) + moved[0] - gas - result <= 2 * len(trips)
    assert result > 0 < gas
    secret = OUR_KEY[2:]
    kept = b"".join(each.read_bytes() for each in place.folder.glob("*.db*"))
    assert secret not in caplog.text
    assert secret.encode() not in kept
    assert bytes.fromhex(secret) not in kept


async def test_a_leg_in_flight_is_taken_up_after_a_restart_and_brought_back_also_while_disarmed(place: Place) -> None:
    evm = place.evm
    evm.rpc("anvil_impersonateAccount", OUR_ADDRESS)
    evm.send(evm.token_0, call_data("approve(address,uint256)", evm.router, 10**12), sender=OUR_ADDRESS)
    place.arming.problem, place.mines = "", False
    evm.rpc("evm_setAutomine", False)
    nonces, had = place.sent(), evm.balance(evm.token_0)
    async with place.working():
        with anyio.fail_after(20):
            await until(lambda: place.sent("pending") > nonces)
    place.arming.problem = "disarmed"
    async with place.working(place.sections(key="0x" + "5c" * 32)) as here:
        found = await here.part("status", lambda found: "are under way" in str(found))
        assert f"swaps of {OUR_ADDRESS.lower()} are under way" in str(found)
    async with place.working() as here:
        place.mines = True
        page = await here.part("trips", lambda found: found["trips"] and found["trips"][0]["is_over"])
        await here.part("opportunities", seen("not_armed"))
    (trip,) = page["trips"]
    assert (trip["phase"], len(place.exchange.received)) == ("done", 1)
    assert place.sent("pending") == nonces + 1
    assert 0 < had - evm.balance(evm.token_0) <= ORDER_MAX


async def test_an_account_that_is_halted_is_told_of_and_trades_again_after_a_person_released_it(place: Place) -> None:
    journal = SqlEvmJournal.at(place.folder / "evm.db", WallClock().now_ns)
    journal.halt(OUR_ADDRESS.lower(), "a receipt that nobody understands")
    journal.close()
    place.arming.problem = ""
    async with place.working() as here:
        status = await here.part("status", lambda found: "nobody understands" in str(found))
        assert "usdc/evm" in [each["name"] for each in status["venues"] if "is halted" in each["problem"]]
        [item] = await here.works.waiting()
        assert (item["evidence"], item["answers"]) == (["a receipt that nobody understands"], ["release"])
        assert place.sent() == 0
        await here.works.answer(item["id"], "release", "operator:me", "it was the node")
        assert await here.works.waiting() == []
        await here.part("trips", lambda found: any(each["is_over"] for each in found["trips"]))
    assert await here.works.waiting() == []
    with pytest.raises(Unavailable, match="not open now"):
        await here.works.answer(item["id"], "release", "operator:me", "once more")


async def test_what_keeps_the_chain_from_being_opened_is_named_and_shown(place: Place) -> None:
    def evm_problem(found: Any) -> bool:
        return "decimals" in str(found)

    async with place.working(place.sections(decimals=9)) as here:
        found = await here.part("status", evm_problem)
    assert f"usdc: {place.evm.token_1.lower()} has 6 decimals, and 9 are wished" in str(found)
    assert place.sent() == 0
