"""A whole rehearsal on one machine: chain, pools, money in wallets and the local Jupiter server, kept in a folder."""

import logging
import socket
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.to_thread
import orjson
import portalocker
from solders.pubkey import Pubkey

from trading.errors import DataError, InvalidInput

from . import snapshots
from .cluster import GENESIS_TIME_S, Cluster
from .jupiter_chain import RpcChain
from .jupiter_market import LocalMarket, LocalToken
from .jupiter_server import serving
from .pools import Pool, install, make_pool, make_token, mint_of, pool_of
from .server import LOOPBACK, Rehearsal, rehearsing
from .tables import make_table
from .tokens import NATIVE_MINT

_log: Final = logging.getLogger(__name__)
FILE_NAME: Final = "chain.json.gz"
SAVE_S: Final = 10.0
ENDPOINTS: Final = ("one", "two")
CALLS_PER_SECOND: Final = 500
JUPITER_CALLS_PER_MINUTE: Final = 6_000


@dataclass(frozen=True, slots=True)
class PoolWanted:
    """A token and the reserves of its pool. ``name`` is what a feed calls it, ``symbol`` what pages show."""

    name: str
    symbol: str
    decimals: int
    lamports: int
    units: int


@dataclass(frozen=True, slots=True)
class LocalOptions:
    """``folder`` keeps the chain; ``name`` makes its genesis hash. Port 0: a free one. ``funded`` wallets are given
    what they lack of ``lamports`` at the start. ``slot_ms`` is of a new chain; a kept one has its own."""

    folder: Path
    name: str = "rehearsal"
    pools: Sequence[PoolWanted] = ()
    funded: Sequence[str] = ()
    lamports: int = 0
    slot_ms: int = 400
    port: int = 0
    jupiter_port: int = 0


@dataclass(frozen=True, slots=True)
class LocalRehearsal:
    """What runs. ``mints`` has the mint of each token by the feed's name."""

    rehearsal: Rehearsal
    pools: Mapping[str, Pool]
    jupiter_url: str

    @property
    def mints(self) -> dict[str, str]:
        return {name: str(mint_of(name)) for name in self.pools}

    @property
    def settings(self) -> dict[str, str]:
        """Return the environment of a desk that is to trade here; the wallet and the signer are its owner's."""
        chain = self.rehearsal
        endpoints = [
            {
                "url": chain.url(name),
                "websocket_url": chain.websocket_url(name),
                "calls_per_second": CALLS_PER_SECOND,
            }
            for name in chain.endpoints
        ]
        vaults = {str(mint_of(name)): _vaults(pool, mint_of(name)) for name, pool in self.pools.items()}
        return {
            "TRADING_CHAIN__ENDPOINTS": orjson.dumps(endpoints).decode(),
            "TRADING_CHAIN__GENESIS_HASH": chain.cluster.genesis_hash,
            "TRADING_MARKET__JUPITER_URL": self.jupiter_url,
            "TRADING_MARKET__JUPITER_CALLS_PER_MINUTE": str(JUPITER_CALLS_PER_MINUTE),
            "TRADING_ROUTER__SECOND_PRICE": "pool",
            "TRADING_ROUTER__POOLS": orjson.dumps(vaults).decode(),
            "TRADING_LIVE__MINTS": orjson.dumps(self.mints).decode(),
        }

    def document(self) -> dict[str, Any]:
        chain = self.rehearsal
        return {
            "genesis_hash": chain.cluster.genesis_hash,
            "slot": chain.cluster.slot,
            "endpoints": [{"url": chain.url(name), "websocket_url": chain.websocket_url(name)} for name in ENDPOINTS],
            "control_url": chain.control_url,
            "jupiter_url": self.jupiter_url,
            "tokens": self.mints,
            "settings": self.settings,
        }


@asynccontextmanager
async def local_rehearsal(options: LocalOptions) -> AsyncIterator[LocalRehearsal]:
    """Serve until the block is left; what there is then is kept, and every ten seconds before.

    Raises: InvalidInput for a wallet that is no address, a folder in use, a chain of another name or a taken port;
    DataError for a folder that cannot be used or a file that cannot be read.
    """
    _require_ports(options)
    with _held(options.folder):
        path = options.folder / FILE_NAME
        cluster = _cluster(path, options)
        pools = {each.name: _pool(cluster, each) for each in options.pools}
        _fund(cluster, options)
        addresses = {key for pool in pools.values() for key in _addresses(pool)}
        tables = (make_table(cluster, sorted(addresses, key=bytes)),) if addresses else ()
        tokens = [
            LocalToken(str(mint_of(each.name)), each.symbol, each.symbol, GENESIS_TIME_S) for each in options.pools
        ]

        def market(chain: RpcChain) -> LocalMarket:
            return LocalMarket(chain, tuple(pools.values()), tokens, tables)

        _save(path, snapshots.packed(cluster))
        rehearsal = Rehearsal(cluster, ENDPOINTS)
        try:
            async with AsyncExitStack() as stack:
                await stack.enter_async_context(rehearsing(rehearsal, port=options.port))
                serves = serving(rehearsal.url(ENDPOINTS[0]), market, port=options.jupiter_port)
                jupiter = await stack.enter_async_context(serves)
                tasks = await stack.enter_async_context(anyio.create_task_group())
                tasks.start_soon(_keep, path, cluster)
                yield LocalRehearsal(rehearsal, pools, jupiter.url)
                tasks.cancel_scope.cancel()
        finally:
            _save(path, snapshots.packed(cluster))


def _cluster(path: Path, options: LocalOptions) -> Cluster:
    try:
        cluster = snapshots.load(path)
    except FileNotFoundError:
        cluster = Cluster(options.name, slot_ms=options.slot_ms)
        cluster.tick(cluster.finality_slots)
    if cluster.name != options.name:
        msg = f"{options.folder} keeps a chain of the name {cluster.name!r}"
        raise InvalidInput(msg, field="name", hint="take that name, or another folder")
    install(cluster)
    return cluster


def _pool(cluster: Cluster, wanted: PoolWanted) -> Pool:
    """Return the pool as it stands; make it where it is not there yet."""
    mint = mint_of(wanted.name)
    if cluster.account(mint) is None:
        make_token(cluster, wanted.name, wanted.decimals, 10 * wanted.units)
        return make_pool(cluster, mint, wanted.lamports, wanted.units)
    return pool_of(cluster, (NATIVE_MINT, mint))


def _token(wanted: PoolWanted) -> LocalToken:
    return LocalToken(str(mint_of(wanted.name)), wanted.symbol, wanted.symbol, GENESIS_TIME_S)


def _fund(cluster: Cluster, options: LocalOptions) -> None:
    for wallet in options.funded:
        try:
            address = Pubkey.from_string(wallet)
        except ValueError as error:
            msg = f"{wallet[:60]!r} is no address of a wallet"
            raise InvalidInput(msg, field="fund") from error
        account = cluster.account(address)
        missing = options.lamports - (account.lamports if account else 0)
        if missing > 0:
            cluster.airdrop(address, missing)


def _addresses(pool: Pool) -> list[Pubkey]:
    return [*pool.mints, pool.id, pool.authority, *map(pool.vault, pool.mints)]


def _vaults(pool: Pool, mint: Pubkey) -> tuple[str, str]:
    return str(pool.vault(mint)), str(pool.vault(NATIVE_MINT))


async def _keep(path: Path, cluster: Cluster) -> None:
    while True:
        await anyio.sleep(SAVE_S)
        # Put together here, so that no block is half in it; only the disk is waited for elsewhere.
        try:
            await anyio.to_thread.run_sync(_save, path, snapshots.packed(cluster))
        except DataError as error:
            _log.warning("%s", error.message)  # the next one may succeed; the last one must


def _save(path: Path, document: bytes) -> None:
    try:
        snapshots.write(path, document)
    except OSError as error:
        msg = f"{path} cannot be written: {error.strerror or error}"
        raise DataError(msg, field="folder") from error


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with portalocker.Lock(folder / "lock", "a", fail_when_locked=True):
            yield
    except portalocker.exceptions.LockException as error:
        msg = f"a rehearsal runs in {folder} already"
        raise InvalidInput(msg, field="folder") from error
    except OSError as error:
        msg = f"{folder} cannot be used: {error.strerror or error}"
        raise DataError(msg, field="folder") from error


def _require_ports(options: LocalOptions) -> None:
    """Say before anything runs that a port is taken: later it would be an error inside of a group of tasks."""
    with ExitStack() as stack:
        for port in (options.port, options.jupiter_port):
            tried = stack.enter_context(socket.socket())
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                tried.bind((LOOPBACK, port))
            except OSError as error:
                msg = f"port {port} cannot be had: {error.strerror or error}"
                raise InvalidInput(msg, field="ports", hint="0 takes a free one") from error
