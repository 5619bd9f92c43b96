"""What stands between arbitrage and real money: the settings that have to agree, and the arming at the moment."""

import random
from pathlib import Path
from typing import Any

import pytest
from tests.support.leg_venues import PoolLeg
from tests.support.market_server import SteppedClock

from trading.arbitrage.late_leg import LateLeg
from trading.arbitrage.pools import ConstantProduct
from trading.arbitrage.trips import Attempt, Dead, Phase, Settled
from trading.config import Sections
from trading.errors import ChainUnavailable, InvalidInput, Unavailable
from trading.model.evm import EvmMandate, PoolKind, PoolRef
from trading.runtime.arbitrage_checks import check
from trading.runtime.arbitrage_evm import arbitrage_mandate
from trading.runtime.arbitrage_venues import ArmedLeg
from trading.runtime.evm_key import evm_key_of

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("T15")]
WALLET, DESKS = "A" * 32, "B" * 32
POOL, KEY = "0x" + "1" * 40, "0x" + "4c" * 32
PAIR = {"name": "usdc", "mint": "C" * 32, "decimals": 6, "market": "SOL/USDC"}

EVM = {
    "pairs": [PAIR | {"evm_pool": POOL, "solana": False}],
    "evm_order_max_units": 100,
    "evm_day_max_units": 100,
    "evm_sol_per_ether": 20,
    "attempt_s": 28,
}
"""Of arbitrage between the exchange and a pool of the EVM chain."""
KEY_FILE = "key"


@pytest.fixture(autouse=True)
def key_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / KEY_FILE
    path.touch(0o600)
    path.write_text(f"{KEY}\n")
    return path


def settings(**changes: Any) -> Sections:
    arbitrage = {"pairs": [PAIR], "money": "real", "wallet": WALLET, "withdraw_to": {"SOL:SOL": WALLET}}
    exchange = {"id": "binance", "api_key": "k", "secret": "s"}
    evm = {
        "endpoints": ["https://a.example"],
        "key_file": KEY_FILE,
        "pools": [{"address": POOL, "kind": "concentrated"}],
    }
    found = {"arbitrage": arbitrage, "exchange": exchange, "live": {"wallet": DESKS}, "evm": evm}
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
        ({"arbitrage": EVM, "evm": {"endpoints": []}}, "evm.endpoints"),
        ({"arbitrage": EVM, "evm": {"key_file": None}}, "evm.key_file"),
        ({"arbitrage": EVM, "evm": {"key_file": "/nowhere/key"}}, "evm.key_file"),
        ({"arbitrage": EVM, "evm": {"pools": []}}, "arbitrage.pairs"),
        ({"arbitrage": EVM | {"evm_order_max_units": 0}}, "arbitrage.evm_order_max_units"),
        ({"arbitrage": EVM | {"evm_day_max_units": 99}}, "arbitrage.evm_day_max_units"),
        ({"arbitrage": EVM | {"evm_sol_per_ether": 0}}, "arbitrage.evm_sol_per_ether"),
        ({"arbitrage": EVM | {"attempt_s": 27}}, "arbitrage.attempt_s"),
        ({"exchange": {"id": ""}, "arbitrage": {"money": "paper"}}, "exchange.id"),
    ],
)
def test_each_that_does_not_is_named(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check(settings(**changes), is_real=True)
    assert caught.value.field == field


def test_an_evm_pool_needs_neither_a_wallet_on_solana_nor_keys_of_what_is_not_traded() -> None:
    check(settings(arbitrage=EVM | {"wallet": "", "withdraw_to": {}}), is_real=True)
    pairs = [PAIR | {"evm_pool": POOL, "market": ""}]
    check(settings(arbitrage=EVM | {"pairs": pairs}, exchange={"api_key": None}), is_real=True)


def test_a_key_comes_only_from_a_file_that_is_ours_alone_and_is_shown_to_nobody(key_file: Path) -> None:
    section = settings().evm
    assert evm_key_of(section).get_secret_value() == KEY
    assert KEY not in f"{evm_key_of(section)!r} {section!r}"
    key_file.chmod(0o640)
    wrongs = {"may be touched by others": section}
    link = key_file.with_name("link")
    link.symlink_to(key_file)
    wrongs["cannot be opened"] = section.model_copy(update={"key_file": link})
    empty = key_file.with_name("empty")
    empty.touch(0o600)
    wrongs["has an empty first line"] = section.model_copy(update={"key_file": empty})
    for message, wrong in wrongs.items():
        with pytest.raises(InvalidInput, match=message) as caught:
            evm_key_of(wrong)
        assert caught.value.field == "evm.key_file"
        assert KEY not in f"{caught.value!r} {caught.value.__cause__!r}"


REF = PoolRef(POOL, PoolKind.CONCENTRATED, "0x" + "a" * 40, "0x" + "b" * 40, 500, 10)


def test_money_is_given_within_the_narrower_cap_and_brought_back_without_one() -> None:
    usual = EvmMandate(8_453, "0x" + "c" * 40, "0x" + "d" * 40, (), {}, {}, 1)
    found = settings(arbitrage=EVM, evm={"token_max": {REF.token_0: 70}})
    mandate = arbitrage_mandate(usual, found.arbitrage, found.evm, (REF,))
    assert (mandate.token_max[REF.token_0], mandate.token_day_max[REF.token_0]) == (70, 100)
    assert mandate.token_max[REF.token_1] == mandate.token_day_max[REF.token_1] == (1 << 128) - 1
    assert mandate.pools == (REF,)
    pairs = [*EVM["pairs"], EVM["pairs"][0] | {"name": "other", "evm_sol_is_0": False}]  # type: ignore[misc,index]
    both = settings(arbitrage=EVM | {"pairs": pairs})
    with pytest.raises(InvalidInput, match="money in one pair and the other token in another"):
        arbitrage_mandate(usual, both.arbitrage, both.evm, (REF,))


def test_a_desk_on_paper_makes_no_real_trips() -> None:
    with pytest.raises(InvalidInput, match="the desk's own money is paper"):
        check(settings(), is_real=False)


def attempt(phase: Phase, clock: SteppedClock) -> Attempt:
    return Attempt(f"t1:{phase}:0", phase, "pool", 1_000, 1, clock.now_ns() + 10**10)


async def test_a_first_leg_is_sent_only_while_armed_and_what_brings_money_back_always() -> None:
    clock, armed = SteppedClock(), {"problem": "real money is not armed"}
    pool = PoolLeg("pool", ConstantProduct(10**9, 10**9, 3_000), clock.now_ns, random.Random(1))

    async def problem() -> str:
        return armed["problem"]

    leg = ArmedLeg(pool, problem, clock)
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
    leg.ask_wait_s = 0.0
    with pytest.raises(Unavailable, match="being opened"):
        await leg.ask(attempt(Phase.FIRST, clock))
    began_ns = clock.now_ns()
    await leg.open()
    assert clock.now_ns() - began_ns == 15 * 10**9
    assert (await leg.look()).venue == "pool"
    assert isinstance(await leg.send(attempt(Phase.FIRST, clock)), Settled)
    assert isinstance(await leg.ask(attempt(Phase.FIRST, clock)), Settled)
