"""A rehearsal in a folder: what a desk is told to be set to, and what is there after a restart."""

import socket
from pathlib import Path

import httpx2
import pytest
from solders.hash import Hash
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.transaction import VersionedTransaction

from trading.errors import DataError, InvalidInput
from trading.rehearsal.cluster import Level
from trading.rehearsal.local import FILE_NAME, LocalOptions, LocalRehearsal, PoolWanted, local_rehearsal
from trading.rehearsal.tokens import NATIVE_MINT, associated, token_account
from trading.settings import load

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("T10")]

WALLET = Keypair.from_seed(bytes(range(32)))
SOL = 10**9
POOL = PoolWanted("sim:ALFA", "ALFA", 6, 1_000 * SOL, 10**13)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def options(folder: Path, **more: object) -> LocalOptions:
    given = {"pools": (POOL,), "funded": (str(WALLET.pubkey()),), "lamports": 20 * SOL, "slot_ms": 5_000}
    return LocalOptions(folder=folder, **{**given, **more})  # type: ignore[arg-type]


def swap(running: LocalRehearsal) -> str:
    """Buy for one SOL; return the signature."""
    cluster, pool = running.rehearsal.cluster, running.pools[POOL.name]
    user, token = WALLET.pubkey(), pool.mints[1]
    for mint, units in ((NATIVE_MINT, SOL), (token, 0)):
        cluster.set_account(associated(user, mint), token_account(mint, user, units))
    instruction = pool.instruction(user, NATIVE_MINT, SOL, pool.quote(cluster, NATIVE_MINT, SOL), 0)
    blockhash = Hash.from_string(cluster.newest(Level.CONFIRMED).blockhash)
    signature = cluster.submit(
        bytes(VersionedTransaction(MessageV0.try_compile(user, [instruction], [], blockhash), [WALLET]))
    )
    cluster.tick()
    assert cluster.executed[signature].error is None
    return signature


async def test_a_rehearsal_goes_on_after_a_restart_with_its_pools_money_and_history(tmp_path: Path) -> None:
    async with local_rehearsal(options(tmp_path / "kept")) as running:
        first = running.document()
        pool = running.pools[POOL.name]
        before = pool.reserves(running.rehearsal.cluster, NATIVE_MINT)
        assert before == (POOL.lamports, POOL.units)
        signature = swap(running)
        after = pool.reserves(running.rehearsal.cluster, NATIVE_MINT)
        left = running.rehearsal.cluster.account(WALLET.pubkey())
    async with local_rehearsal(options(tmp_path / "kept", lamports=5 * SOL)) as running:
        cluster = running.rehearsal.cluster
        assert running.document()["genesis_hash"] == first["genesis_hash"]
        assert running.pools[POOL.name].reserves(cluster, NATIVE_MINT) == after != before
        assert cluster.account(WALLET.pubkey()) == left  # it has more than five, so nothing is given
        async with httpx2.AsyncClient(trust_env=False) as http:
            call = {"jsonrpc": "2.0", "id": 1, "method": "getSignatureStatuses", "params": [[signature]]}
            answer = (await http.post(running.rehearsal.url("two"), json=call)).json()
            assert answer["result"]["value"][0]["err"] is None
            mint = running.mints[POOL.name]
            price = (await http.get(f"{running.jupiter_url}/price/v3", params={"ids": mint})).json()[mint]["usdPrice"]
        assert price == pytest.approx(150 * after[0] / SOL / (after[1] / 10**6), rel=1e-6)


async def test_a_desk_takes_the_settings_that_are_printed(tmp_path: Path) -> None:
    async with local_rehearsal(options(tmp_path)) as running:
        sections = load(running.settings)
        mint = running.mints[POOL.name]
        assert sections.chain.genesis_hash == running.rehearsal.cluster.genesis_hash
        assert [each.url.get_secret_value() for each in sections.chain.endpoints] == [
            running.rehearsal.url("one"),
            running.rehearsal.url("two"),
        ]
        assert sections.market.jupiter_url == running.jupiter_url
        assert sections.live.mints == {POOL.name: mint}
        pool = running.pools[POOL.name]
        assert sections.router.pools == {mint: (str(pool.vault(pool.mints[1])), str(pool.vault(NATIVE_MINT)))}


async def test_what_cannot_be_served_says_why(tmp_path: Path) -> None:
    async with local_rehearsal(options(tmp_path / "one")):
        with pytest.raises(InvalidInput, match=r"runs in .* already"):
            async with local_rehearsal(options(tmp_path / "one")):
                raise NotImplementedError
    with pytest.raises(InvalidInput, match="keeps a chain of the name 'rehearsal'"):
        async with local_rehearsal(options(tmp_path / "one", name="other")):
            raise NotImplementedError
    with pytest.raises(InvalidInput, match="'nobody' is no address"):
        async with local_rehearsal(options(tmp_path / "two", funded=("nobody",))):
            raise NotImplementedError
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        for which in ("port", "jupiter_port"):
            with pytest.raises(InvalidInput, match=r"port \d+ cannot be had"):
                async with local_rehearsal(options(tmp_path / which, **{which: taken.getsockname()[1]})):
                    raise NotImplementedError
    (tmp_path / "one" / FILE_NAME).write_bytes(b"damaged")
    with pytest.raises(DataError, match="is no snapshot"):
        async with local_rehearsal(options(tmp_path / "one")):
            raise NotImplementedError
