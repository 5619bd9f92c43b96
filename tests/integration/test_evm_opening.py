"""An EVM chain opened from its settings: checked before it is used, and secret addresses shown to nobody."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from pydantic import SecretStr
from tests.support.evm import CHAIN_ID, OUR_KEY, Evm, ShiftedClock, evm_running
from tests.support.evm_stage import ACCOUNT, FEE_WEI_MAX
from typer.testing import CliRunner

from trading.adapters.evm.journal import SqlEvmJournal
from trading.adapters.evm.opening import JOURNAL_NAME, opened
from trading.adapters.evm.signer import EvmKey
from trading.arbitrage.pools import swap
from trading.cli import app
from trading.errors import ChainUnavailable, InvalidInput, RouteRefused, WrongChain
from trading.model.evm import EvmIntent, EvmState
from trading.model.units import NS_PER_S
from trading.settings import load

pytestmark = pytest.mark.anyio
SECRET = "key-that-nobody-may-see"


@pytest.fixture(scope="module")
def evm() -> Iterator[Evm]:
    with evm_running() as found:
        yield found


def settings(evm: Evm, **changes: Any) -> dict[str, str]:
    pools = [{"address": evm.pool, "kind": "concentrated"}, {"address": evm.pair, "kind": "constant_product"}]
    wanted: dict[str, Any] = {
        "ENDPOINTS": [f"{evm.url}/?api-key={SECRET}"],
        "CHAIN_ID": CHAIN_ID,
        "ROUTER": evm.router,
        "V2_FACTORY": evm.v2_factory,
        "V3_FACTORY": evm.v3_factory,
        "POOLS": pools,
        "TOKEN_MAX": {evm.token_0: 10**19},
        "TOKEN_DAY_MAX": {evm.token_0: 10**20},
        "FEE_WEI_MAX": FEE_WEI_MAX,
        "HAS_L1_FEE": "false",
        "STALE_S_MAX": 3_600,
        "CALLS_PER_SECOND": 100_000,
        "CONFIRMATIONS": 2,
        "POLL_S": 0.01,
    } | changes
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in wanted.items()}
    return {f"TRADING_EVM__{name}": text for name, text in texts.items()}


async def test_a_swap_runs_from_the_settings_alone_and_a_key(evm: Evm, tmp_path: Path) -> None:
    clock = ShiftedClock()
    with evm.undone():
        async with opened(load(settings(evm)).evm, clock) as door, anyio.create_task_group() as tasks:
            pool = door.pool(evm.pair)
            expected = swap((await door.reader.read(pool)).pool, 10**18, gives_0=True)
            assert expected is not None
            key, journal = EvmKey(SecretStr(OUR_KEY)), SqlEvmJournal.at(tmp_path / JOURNAL_NAME, clock.now_ns)
            executor = door.executor(key, journal, door.mandate(key.address))
            await tasks.start(executor.run)
            now_ns = clock.now_ns()
            tokens = pool.token_0, pool.token_1
            until_ns = now_ns + 3_600 * NS_PER_S
            intent = EvmIntent(
                "evm-1", "k", ACCOUNT, pool, *tokens, 10**18, expected.amount_out, FEE_WEI_MAX, 3, now_ns, until_ns
            )
            known = await executor.take(intent)
            with anyio.fail_after(30):
                while known.state is not EvmState.CONFIRMED:
                    evm.mine()
                    await anyio.sleep(0.02)
                    known = await executor.take(intent)
            assert known.settlement is not None
            assert known.settlement.amount_out == expected.amount_out
            tasks.cancel_scope.cancel()
        journal.close()
    assert (tmp_path / JOURNAL_NAME).exists()


async def test_what_is_configured_is_checked_before_it_is_used(evm: Evm) -> None:
    clock = ShiftedClock()
    with pytest.raises(InvalidInput, match=r"evm\.endpoints is empty"):
        async with opened(load({}).evm, clock):
            pass
    with pytest.raises(WrongChain, match="chain 8453 is wished"):
        async with opened(load(settings(evm, CHAIN_ID=8_453)).evm, clock):
            pass
    foreign = [{"address": evm.pair, "kind": "concentrated"}]
    with pytest.raises((RouteRefused, ChainUnavailable)):
        async with opened(load(settings(evm, POOLS=foreign)).evm, clock):
            pass
    async with opened(load(settings(evm)).evm, clock) as door:
        with pytest.raises(InvalidInput, match="pool: one of 0x"):
            door.pool(evm.router)


async def test_an_address_with_a_key_in_it_is_shown_to_nobody(evm: Evm) -> None:
    section = load(settings(evm, ENDPOINTS=[f"http://127.0.0.1:9/?api-key={SECRET}"], ATTEMPTS_MAX=1)).evm
    assert SECRET not in repr(section)
    with pytest.raises(ChainUnavailable) as caught:
        async with opened(section, ShiftedClock()):
            pass
    shown = "".join(f"{each!r} {each}" for each in (caught.value, caught.value.__cause__, caught.value.__context__))
    assert SECRET not in shown


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ENDPOINTS": ["ftp://one.example"]}, "TRADING_EVM__ENDPOINTS: Value error, each is an address that begins"),
        ({"ENDPOINTS": ["https://a.example", "https://a.example/"]}, "listed twice"),
        ({"POOLS": [{"address": "0x12", "kind": "concentrated"}]}, r"address: 0x and 40 hex digits, not '0x12'"),
        ({"TOKEN_MAX": {"WETH": 1}}, "token: 0x and 40 hex digits, not 'WETH'"),
        ({"TOKEN_MAX": {"0x" + "1" * 40: 0}}, "greater than or equal to 1"),
        ({"ROUTER": "router"}, "0x and 40 hex digits"),
    ],
)
def test_a_bad_setting_names_its_variable_and_what_is_allowed(changes: dict[str, Any], message: str) -> None:
    texts = {f"TRADING_EVM__{name}": json.dumps(value) for name, value in changes.items()}
    with pytest.raises(InvalidInput, match=message):
        load(texts)


def test_the_command_shows_what_each_pool_gives_and_signs_nothing(evm: Evm, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in settings(evm).items():
        monkeypatch.setenv(name, text)
    told = CliRunner().invoke(app, ["evm", "--amount", str(10**18), "--json"])
    assert told.exit_code == 0, told.output
    quotes = json.loads(told.stdout)["quotes"]
    given = [int(each["amount_out"]) for each in quotes]
    with evm.undone():
        assert given[0] == evm.swap_pool(10**18, gives_0=True)
        assert given[2] == evm.swap_pair(10**18, gives_0=True)
    assert [each["kind"] for each in quotes] == ["concentrated"] * 2 + ["constant_product"] * 2
    far = CliRunner().invoke(app, ["evm", "--amount", str(10**26), "--pool", evm.pool, "--json"])
    assert {each["amount_out"] for each in json.loads(far.stdout)["quotes"]} == {"not read"}
    assert "smallest units into each pool" in CliRunner().invoke(app, ["evm"]).stdout


def test_the_command_without_a_chain_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRADING_EVM__ENDPOINTS", raising=False)
    told = CliRunner().invoke(app, ["evm", "--json"])
    assert told.exit_code == 2
    assert "TRADING_EVM__ENDPOINTS is a JSON list of addresses" in told.output
