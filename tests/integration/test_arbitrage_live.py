"""Arbitrage with real money on the rehearsal chain and a loopback exchange: only armed, in a wallet of its own."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import pytest
from pydantic import SecretStr
from tests.support.exchange_desk import KEY, SECRET, ExchangeDesk
from tests.support.live_desk import SOL, World, a_desk, a_world

from trading.config import ArbitrageSection, ExchangeSection
from trading.errors import Unavailable
from trading.runtime.clock import WallClock
from trading.runtime.paper_desk import PaperDesk

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("T15")]
DEPOSIT = 2_039_280
"""Of the token account that the first swap opens; it comes back when it is closed."""
PAIR = {"name": "frog", "decimals": 5, "market": "SOL/USDC", "least_sol": "0.02", "most_sol": "0.05"}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def wished(world: World, exchange: ExchangeDesk) -> dict[str, Any]:
    """Return the sections of an operator who wishes for real arbitrage in the second wallet."""
    pairs = [PAIR | {"mint": world.stage.frog}]
    given = {
        "pairs": pairs,
        "money": "real",
        "wallet": str(world.others[0].pubkey()),
        "every_s": 0.1,
        "sizes": 2,
        "jupiter_calls_per_minute": 100_000,
        "chain_fee_sol": "0.0001",
        "look_s": 5,
        "second_slip_bps": 500,
        "first_slip_bps": 500,
    }
    keys = {"id": "binance", "api_key": SecretStr(KEY), "secret": SecretStr(SECRET)}
    where = {"base_url": exchange.url, "calls_per_second": 1_000}
    return {
        "arbitrage": ArbitrageSection.model_validate(given),
        "exchange": ExchangeSection.model_validate(keys | where),
    }


async def part(desk: PaperDesk, name: str, holds: Callable[[Any], bool]) -> dict[str, Any]:
    """Return a part of arbitrage as soon as it holds, bounded."""
    with anyio.fail_after(30):
        while True:
            try:
                found = await desk.arbitrage(part=name, cursor=None, limit=200)
                if holds(found):
                    return found
            except Unavailable:
                pass
            await anyio.sleep(0.05)


def is_closed(found: dict[str, Any]) -> bool:
    return any(each["why_not"] in ("not_armed", "entries_stopped") for each in found["opportunities"])


async def test_a_trip_with_real_money_is_made_only_while_armed_in_a_wallet_of_its_own(tmp_path: Path) -> None:
    clock = WallClock()
    async with ExchangeDesk.serving(lambda: clock.now_ns() // 10**6) as exchange, a_world(tmp_path, wallets=2) as world:
        # The pool gives ten million tokens for a SOL; the exchange sells a SOL for nine million, and has few.
        exchange.bids, exchange.asks = [(Decimal(8_900_000), Decimal(9))], [(Decimal(9_000_000), Decimal("0.05"))]
        exchange.free["USDC"] = Decimal(10**9)
        world.more = wished(world, exchange)
        before = world.stage.lamports(world.others[0])
        async with a_desk(world) as here:
            await part(here.desk, "opportunities", is_closed)
            assert (exchange.received, world.stage.lamports(world.others[0])) == ([], before)
            families = (await here.desk.metrics())["families"]
            [requests] = [each["series"] for each in families if "endpoint_requests" in each["name"]]
            own = {each["labels"][1]: each["value"] for each in requests if each["labels"][0] == "router"}
            assert own["Jupiter"] == 0, "what arbitrage asks is not taken from the desk's own calls"
            await world.arm()
            page = await part(here.desk, "trips", lambda found: found["trips"] and found["trips"][-1]["is_over"])
            snapshot = await here.desk.snapshot()
        trip = page["trips"][-1]
        assert (trip["first"], trip["second"], trip["phase"]) == ("frog/solana", "frog/exchange", "done")
        paid = before - world.stage.lamports(world.others[0]) - DEPOSIT
        got = exchange.free["SOL"] - 100
        assert trip["result"]["lamports"] == int(got * SOL) - paid > 0
        assert len(exchange.received) == 1
        # The desk's own books know nothing of it, as its wallet does not.
        assert snapshot["cash"]["lamports"] == world.lamports
    assert (tmp_path / "arbitrage-real.db").exists()
    assert not (tmp_path / "arbitrage.db").exists()
