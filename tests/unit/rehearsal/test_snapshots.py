"""A rehearsal goes on from its file as if its process had not ended."""

import gzip
from pathlib import Path

import orjson
import pytest
from solders.hash import Hash
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction

from trading.errors import DataError
from trading.rehearsal import pools
from trading.rehearsal.cluster import Cluster, Level
from trading.rehearsal.rpc import Node, Rpc, RpcError
from trading.rehearsal.snapshots import load, packed, snapshot
from trading.rehearsal.tokens import NATIVE_MINT, associated, token_account, token_balance

pytestmark = pytest.mark.requirement("T10")

PAYER = Keypair.from_seed(bytes(range(32)))
FRIEND = Pubkey.from_bytes(bytes([7]) * 32)


def paying(cluster: Cluster, lamports: int) -> bytes:
    blockhash = Hash.from_string(cluster.newest(Level.CONFIRMED).blockhash)
    move = transfer(TransferParams(from_pubkey=PAYER.pubkey(), to_pubkey=FRIEND, lamports=lamports))
    return bytes(VersionedTransaction(MessageV0.try_compile(PAYER.pubkey(), [move], [], blockhash), [PAYER]))


def balance(cluster: Cluster, address: Pubkey) -> int:
    account = cluster.account(address)
    return account.lamports if account else 0


def a_cluster() -> Cluster:
    cluster = Cluster("kept", slot_ms=50)
    cluster.airdrop(PAYER.pubkey(), 10**10)
    cluster.tick(40)
    return cluster


def test_a_loaded_chain_knows_what_landed_and_takes_it_no_second_time(tmp_path: Path) -> None:
    cluster = a_cluster()
    raw = paying(cluster, 1_000_000)
    signature = cluster.submit(raw)
    cluster.tick(2)
    snapshot(cluster, tmp_path / "chain")
    again = load(tmp_path / "chain")
    place = (cluster.slot, cluster.height, cluster.genesis_hash, cluster.slot_ms)
    assert (again.slot, again.height, again.genesis_hash, again.slot_ms) == place
    assert again.executed[signature] == cluster.executed[signature]
    assert list(again.history(str(FRIEND))) == [signature]
    again.submit(raw)
    again.tick(3)
    assert balance(again, FRIEND) == 1_000_000
    assert [path.name for path in tmp_path.iterdir()] == ["chain"]


def test_what_waits_lands_afterwards_and_blockhashes_run_out_as_they_would_have(tmp_path: Path) -> None:
    cluster = a_cluster()
    early, late = paying(cluster, 1_000_000), paying(cluster, 2_000_000)
    cluster.submit(early, delay_slots=3)
    cluster.submit(late, delay_slots=200)
    snapshot(cluster, tmp_path / "chain")
    again = load(tmp_path / "chain")
    again.tick(3)
    assert balance(again, FRIEND) == 0
    again.tick(1)
    assert balance(again, FRIEND) == 1_000_000
    again.tick(250)
    assert balance(again, FRIEND) == 1_000_000
    cluster.tick(254)
    assert packed(again) == packed(cluster)


def test_a_fork_that_was_to_die_dies_after_the_restart_too(tmp_path: Path) -> None:
    cluster = a_cluster()
    cluster.dies.add(cluster.slot + 1)
    signature = cluster.submit(paying(cluster, 1_000_000))
    cluster.tick(2)
    snapshot(cluster, tmp_path / "chain")
    again = load(tmp_path / "chain")
    assert signature in again.executed
    again.tick(20)
    assert signature not in again.executed
    assert balance(again, FRIEND) == 0


def test_pools_trade_on_where_they_stood(tmp_path: Path) -> None:
    cluster = a_cluster()
    pools.install(cluster)
    token = pools.make_token(cluster, "one")
    pool = pools.make_pool(cluster, token, 10**12, 10**13)
    for mint, units in ((NATIVE_MINT, 10**9), (token, 0)):
        cluster.set_account(associated(PAYER.pubkey(), mint), token_account(mint, PAYER.pubkey(), units))
    snapshot(cluster, tmp_path / "chain")
    again = load(tmp_path / "chain")
    pools.install(again)
    assert pools.pool_of(again, pool.mints) == pool
    quoted = pool.quote(again, NATIVE_MINT, 10**9)
    swap = pool.instruction(PAYER.pubkey(), NATIVE_MINT, 10**9, quoted, 0)
    blockhash = Hash.from_string(again.newest(Level.CONFIRMED).blockhash)
    message = MessageV0.try_compile(PAYER.pubkey(), [swap], [], blockhash)
    signature = again.submit(bytes(VersionedTransaction(message, [PAYER])))
    again.tick()
    assert again.executed[signature].error is None
    held = token_balance(again.account(associated(PAYER.pubkey(), token)))
    assert held is not None
    assert held.units == quoted > 0


@pytest.mark.parametrize(
    "content",
    [b"", b"no gzip", gzip.compress(b"{}"), gzip.compress(b'{"version": 99}')],
    ids=["empty", "no gzip", "no fields", "another version"],
)
def test_a_file_that_is_no_snapshot_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "chain"
    path.write_bytes(content)
    with pytest.raises(DataError, match="is no snapshot"):
        load(path)
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "nothing")


def test_a_damaged_snapshot_is_named(tmp_path: Path) -> None:
    path = tmp_path / "chain"
    body = orjson.loads(packed(a_cluster()))
    del body["blocks"][0]["height"]
    path.write_bytes(gzip.compress(orjson.dumps(body)))
    with pytest.raises(DataError, match="is no snapshot"):
        load(path)


def test_a_block_shows_its_transactions_once_it_is_as_settled_as_asked() -> None:
    cluster = a_cluster()
    rpc = Rpc(Node(cluster))
    signature = cluster.submit(paying(cluster, 1_000_000))
    cluster.tick(2)
    slot = cluster.executed[signature].slot
    config = {"commitment": "confirmed", "encoding": "base64", "maxSupportedTransactionVersion": 0}
    block = rpc.call("getBlock", [slot, config])
    before = rpc.call("getBlock", [slot - 1, {"commitment": "confirmed", "transactionDetails": "none"}])
    assert (block["previousBlockhash"], block["parentSlot"]) == (before["blockhash"], slot - 1)
    [shown] = block["transactions"]
    assert shown["meta"] == rpc.call("getTransaction", [signature, config])["meta"]
    assert set(shown) == {"transaction", "meta", "version"}
    named = rpc.call("getBlock", [slot, {**config, "transactionDetails": "signatures"}])
    assert named["signatures"] == [signature]
    assert "transactions" not in named
    for asked in ([slot, {}], [slot + 500, config]):
        with pytest.raises(RpcError, match="Block not available"):
            rpc.call("getBlock", asked)
