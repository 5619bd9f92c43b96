"""A rehearsal that is kept in a file has its pools, its money and its history after a restart."""

import gzip
import json
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest
from solders.hash import Hash
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.transaction import VersionedTransaction
from tests.support.market_server import eventually
from typer.testing import CliRunner

from trading.cli import app
from trading.errors import DataError
from trading.rehearsal import stage as stages
from trading.rehearsal.cluster import Level
from trading.rehearsal.stage import Stage, StagePlan, staging
from trading.rehearsal.tokens import NATIVE_MINT, associated, token_account

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("T10")]

WALLET = Keypair.from_seed(bytes(range(32)))
SOL = 10**9


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def swap(stage: Stage) -> str:
    """Buy for one SOL; return the signature."""
    cluster, pool = stage.rehearsal.cluster, stage.pools["FROG"]
    user, token = WALLET.pubkey(), pool.mints[1]
    for mint, units in ((NATIVE_MINT, SOL), (token, 0)):
        cluster.set_account(associated(user, mint), token_account(mint, user, units))
    instruction = pool.instruction(user, NATIVE_MINT, SOL, pool.quote(cluster, NATIVE_MINT, SOL), 0)
    blockhash = Hash.from_string(cluster.newest(Level.CONFIRMED).blockhash)
    message = MessageV0.try_compile(user, [instruction], [], blockhash)
    signature = cluster.submit(bytes(VersionedTransaction(message, [WALLET])))
    cluster.tick()
    assert cluster.executed[signature].error is None
    return signature


async def test_a_kept_rehearsal_goes_on_with_its_pools_money_and_history(tmp_path: Path) -> None:
    plan = StagePlan(("FROG",), (WALLET.pubkey(),), 20 * SOL, slot_ms=5_000, kept=tmp_path / "chain")
    async with staging(plan) as stage:
        mints, pool = stage.mints, stage.pools["FROG"]
        before = pool.reserves(stage.rehearsal.cluster, NATIVE_MINT)
        signature = swap(stage)
        after = pool.reserves(stage.rehearsal.cluster, NATIVE_MINT)
        left, slot = stage.rehearsal.cluster.account(WALLET.pubkey()), stage.rehearsal.cluster.slot
    async with staging(replace(plan, wallet_lamports=5 * SOL, tokens=("FROG", "BIRD"))) as stage:
        cluster = stage.rehearsal.cluster
        assert cluster.slot > slot
        assert stage.mints["FROG"] == mints["FROG"]
        assert stage.pools["FROG"].reserves(cluster, NATIVE_MINT) == after != before
        assert stage.pools["BIRD"].reserves(cluster, NATIVE_MINT) == before
        assert cluster.account(WALLET.pubkey()) == left  # it has more than five, so nothing is given
        async with httpx2.AsyncClient(trust_env=False) as http:
            call = {"jsonrpc": "2.0", "id": 1, "method": "getSignatureStatuses", "params": [[signature]]}
            answer = (await http.post(stage.rehearsal.url("two"), json=call)).json()
            assert answer["result"]["value"][0]["err"] is None
            mint = mints["FROG"]
            price = (await http.get(f"{stage.jupiter.url}/price/v3", params={"ids": mint})).json()[mint]["usdPrice"]
        assert price == pytest.approx(150 * after[0] / SOL / (after[1] / 10**6), rel=1e-6)


async def test_it_is_kept_while_it_runs_and_an_end_that_cannot_be_written_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages, "KEEP_S", 0.05)
    folder = tmp_path / "gone"
    folder.mkdir()
    plan = StagePlan(("FROG",), slot_ms=5_000, kept=folder / "chain")
    with pytest.raises(DataError, match="cannot be written"):
        await run_until_the_folder_goes(plan, folder)


async def run_until_the_folder_goes(plan: StagePlan, folder: Path) -> None:
    async with staging(plan):
        await eventually((folder / "chain").exists)
        folder.rename(folder.with_name("elsewhere"))


def test_a_file_that_is_no_snapshot_is_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "chain"
    path.write_bytes(gzip.compress(b'{"version": 99}'))
    ports = ("--port", "0", "--jupiter-port", "0")
    ran = CliRunner().invoke(app, ["rehearse", "--json", "--keep", str(path), *ports])
    assert ran.exit_code == 1
    assert json.loads(ran.stdout)["error"]["code"] == "data_error"
    assert gzip.decompress(path.read_bytes()) == b'{"version": 99}'
    nowhere = CliRunner().invoke(app, ["rehearse", "--json", "--keep", str(tmp_path / "no" / "chain"), *ports])
    assert json.loads(nowhere.stdout)["error"]["field"] == "keep"
