"""A whole rehearsal: the chain, pools of tokens against SOL, wallets with money, and the local Jupiter server."""

import json
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.to_thread
from solders.pubkey import Pubkey

from trading.errors import DataError

from .cluster import Cluster
from .jupiter_chain import RpcChain
from .jupiter_market import LocalMarket, LocalToken
from .jupiter_server import JupiterServer, serving
from .pools import Pool, install, make_pool, make_token, mint_of, pool_of
from .server import Rehearsal, rehearsing
from .snapshots import load, packed, write
from .tables import make_table
from .tokens import NATIVE_MINT, token_account

FINAL_SLOTS = 33
_log = logging.getLogger(__name__)
KEEP_S = 10.0


@dataclass(frozen=True, slots=True)
class StagePlan:
    """``tokens`` are symbols; each gets a pool of ``pool_lamports`` against ``pool_units`` base units. ``wallets`` are
    public keys that get ``wallet_lamports`` each, of a kept chain what they lack of it. A port of 0 is a free one.
    ``kept`` is the file that the chain goes on from and is written to; unset: nothing is kept."""

    tokens: tuple[str, ...]
    wallets: tuple[Pubkey, ...] = ()
    wallet_lamports: int = 10 * 10**9
    pool_lamports: int = 1_000 * 10**9
    pool_units: int = 10**15
    slot_ms: int = 400
    chain_port: int = 0
    jupiter_port: int = 0
    kept: Path | None = None


@dataclass(frozen=True, slots=True)
class Stage:
    """What runs. ``pools`` by symbol."""

    rehearsal: Rehearsal
    jupiter: JupiterServer
    pools: dict[str, Pool]

    @property
    def mints(self) -> dict[str, str]:
        return {symbol: str(pool.mints[1]) for symbol, pool in self.pools.items()}

    def stand(self, symbol: str, lamports: int, units: int) -> None:
        """Let a pool hold this much, as if others had traded; what the desk swapped there is gone over."""
        pool, cluster = self.pools[symbol], self.rehearsal.cluster
        for mint, held in zip(pool.mints, (lamports, units), strict=True):
            cluster.set_account(pool.vault(mint), token_account(mint, pool.authority, held, pool.program(mint)))

    def settings(self) -> dict[str, str]:
        """Return the variables with which a desk trades here; the second price is read from the pools themselves."""
        endpoints = [
            {
                "url": self.rehearsal.url(name),
                "websocket_url": self.rehearsal.websocket_url(name),
                "calls_per_second": 1_000,
            }
            for name in self.rehearsal.endpoints
        ]
        vaults = {
            str(pool.mints[1]): [str(pool.vault(pool.mints[1])), str(pool.vault(pool.mints[0]))]
            for pool in self.pools.values()
        }
        return {
            "TRADING_CHAIN__ENDPOINTS": json.dumps(endpoints),
            "TRADING_CHAIN__GENESIS_HASH": self.rehearsal.cluster.genesis_hash,
            "TRADING_MARKET__JUPITER_URL": self.jupiter.url,
            "TRADING_MARKET__JUPITER_CALLS_PER_MINUTE": "6000",
            "TRADING_ROUTER__SECOND_PRICE": "pool",
            "TRADING_ROUTER__POOLS": json.dumps(vaults),
        }


@asynccontextmanager
async def staging(plan: StagePlan) -> AsyncIterator[Stage]:
    """Run it until the block is left. Addresses of tokens and pools are the same every time.

    Raises: OSError where a port is taken; DataError where the file is no snapshot, or cannot be written at the end.
    """
    cluster = _cluster(plan)
    rehearsal = Rehearsal(cluster)
    pools = {symbol: _pool(cluster, symbol, plan) for symbol in dict.fromkeys(plan.tokens)}
    for wallet in plan.wallets:
        held = cluster.account(wallet)
        cluster.airdrop(wallet, max(0, plan.wallet_lamports - (held.lamports if held else 0)))
    tables = [make_table(cluster, _addresses(pool)) for pool in pools.values()]
    cluster.tick(FINAL_SLOTS)  # what was put in place is final, and older than the first question
    tokens = [LocalToken(str(pool.mints[1]), symbol, symbol, cluster.time_s(1)) for symbol, pool in pools.items()]

    def market(chain: RpcChain) -> LocalMarket:
        return LocalMarket(chain, tuple(pools.values()), tokens, tables)

    try:
        async with (
            rehearsing(rehearsal, port=plan.chain_port),
            serving(rehearsal.url(next(iter(rehearsal.endpoints))), market, port=plan.jupiter_port) as jupiter,
            anyio.create_task_group() as tasks,
        ):
            if plan.kept is not None:
                tasks.start_soon(_keep, cluster, plan.kept)
            yield Stage(rehearsal, jupiter, pools)
            tasks.cancel_scope.cancel()
    finally:
        if plan.kept is not None:
            _write(plan.kept, packed(cluster))


def _cluster(plan: StagePlan) -> Cluster:
    is_kept = plan.kept is not None and plan.kept.exists()
    cluster = load(plan.kept) if plan.kept is not None and is_kept else Cluster(slot_ms=plan.slot_ms)
    install(cluster)
    return cluster


def _pool(cluster: Cluster, symbol: str, plan: StagePlan) -> Pool:
    """Return the pool as it stands; make it where it is not there yet."""
    mint = mint_of(symbol)
    if cluster.account(mint) is not None:
        return pool_of(cluster, (NATIVE_MINT, mint))
    return make_pool(cluster, make_token(cluster, symbol), plan.pool_lamports, plan.pool_units)


async def _keep(cluster: Cluster, path: Path) -> None:
    while True:
        await anyio.sleep(KEEP_S)
        # Put together here, so that no block is half in it; only the disk is waited for elsewhere.
        try:
            await anyio.to_thread.run_sync(_write, path, packed(cluster))
        except DataError as error:
            _log.warning("%s", error.message)  # the next one may succeed; the last one must


def _write(path: Path, document: bytes) -> None:
    try:
        write(path, document)
    except OSError as error:
        msg = f"{path} cannot be written: {error.strerror or error}"
        raise DataError(msg, field="keep") from error


def _addresses(pool: Pool) -> Sequence[Pubkey]:
    return (*pool.mints, pool.id, pool.authority, *map(pool.vault, pool.mints))
