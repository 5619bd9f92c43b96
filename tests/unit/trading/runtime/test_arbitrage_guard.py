"""What stands between arbitrage and real money: the settings that have to agree, and the arming at the moment."""

import random
from typing import Any

import pytest
from tests.support.leg_venues import PoolLeg
from tests.support.market_server import SteppedClock

from trading.arbitrage.late_leg import LateLeg
from trading.arbitrage.pools import ConstantProduct
from trading.arbitrage.trips import Attempt, Dead, Phase, Settled
from trading.config import Sections
from trading.errors import ChainUnavailable, InvalidInput, Unavailable
from trading.runtime.arbitrage_checks import check
from trading.runtime.arbitrage_venues import ArmedLeg

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("T15")]
WALLET, DESKS = "A" * 32, "B" * 32
PAIR = {"name": "usdc", "mint": "C" * 32, "decimals": 6, "market": "SOL/USDC"}


def settings(**changes: Any) -> Sections:
    arbitrage = {"pairs": [PAIR], "money": "real", "wallet": WALLET, "withdraw_to": {"SOL:SOL": WALLET}}
    exchange = {"id": "binance", "api_key": "k", "secret": "s"}
    found = {"arbitrage": arbitrage, "exchange": exchange, "live": {"wallet": DESKS}}
    for section, each in changes.items():
        found[section] = found[section] | each
    return Sections.model_validate(found)


def test_settings_that_agree_are_taken() -> None:
    check(settings(), is_real=True)
    check(settings(arbitrage={"money": "paper"}), is_real=False)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"arbitrage": {"wallet": "", "withdraw_to": {}}}, "arbitrage.wallet"),
        ({"arbitrage": {"wallet": DESKS, "withdraw_to": {}}}, "arbitrage.wallet"),
        ({"exchange": {"secret": None}}, "exchange.api_key"),
        ({"arbitrage": {"withdraw_to": {"SOL:SOL": DESKS}}}, "arbitrage.withdraw_to"),
        ({"exchange": {"id": "kraken"}}, "exchange.id"),
        ({"exchange": {"id": "kraken"}, "arbitrage": {"withdraw_to": {}}}, "exchange.id"),
        ({"arbitrage": {"pairs": [PAIR | {"evm_pool": "0x" + "1" * 40, "solana": False}]}}, "arbitrage.pairs"),
        ({"exchange": {"id": ""}, "arbitrage": {"money": "paper"}}, "exchange.id"),
    ],
)
def test_each_that_does_not_is_named(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check(settings(**changes), is_real=True)
    assert caught.value.field == field


def test_a_desk_on_paper_makes_no_real_trips() -> None:
    with pytest.raises(InvalidInput, match="the desk's own money is paper"):
        check(settings(), is_real=False)


def attempt(phase: Phase, clock: SteppedClock) -> Attempt:
    return Attempt(f"t1:{phase}:0", phase, "pool", 1_000, 1, clock.now_ns() + 10**10)


async def test_a_first_leg_is_sent_only_while_armed_and_what_brings_money_back_always() -> None:
    clock, armed = SteppedClock(), {"problem": "real money is not armed"}
    pool = PoolLeg("pool", ConstantProduct(10**9, 10**9, 3_000), clock.now_ns, random.Random(1))
    leg = ArmedLeg(pool, lambda: armed["problem"], clock)
    assert isinstance(await leg.send(attempt(Phase.FIRST, clock)), Dead)
    assert pool.received == []
    assert isinstance(await leg.send(attempt(Phase.SECOND, clock)), Settled)
    armed["problem"] = ""
    assert isinstance(await leg.send(attempt(Phase.FIRST, clock)), Settled)
    assert isinstance(await leg.ask(attempt(Phase.FIRST, clock)), Settled)
    assert (leg.name, (await leg.look()).venue) == ("pool", "pool")


async def test_a_venue_is_opened_again_until_it_is_there_and_says_why_it_is_not() -> None:
    clock, tries = SteppedClock(), iter((False, False, True))
    pool = PoolLeg("pool", ConstantProduct(10**9, 10**9, 3_000), clock.now_ns, random.Random(1))

    async def opening() -> PoolLeg:
        if next(tries):
            return pool
        with pytest.raises(Unavailable, match=r"away|being opened"):
            await leg.look()
        raise ChainUnavailable("away")

    leg = LateLeg("pool", opening, clock.sleep)
    with pytest.raises(Unavailable, match="being opened"):
        await leg.ask(attempt(Phase.FIRST, clock))
    began_ns = clock.now_ns()
    await leg.open()
    assert clock.now_ns() - began_ns == 15 * 10**9
    assert (await leg.look()).venue == "pool"
    assert isinstance(await leg.send(attempt(Phase.FIRST, clock)), Settled)
    assert isinstance(await leg.ask(attempt(Phase.FIRST, clock)), Settled)
