"""A rehearsal chain with a pool, a wallet with money, and the local Jupiter server beside it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from trading.config import MarketSection
from trading.model.chain import InstructionWanted, SwapOffer, SwapWanted
from trading.rehearsal.cluster import Cluster
from trading.rehearsal.jupiter_chain import RpcChain
from trading.rehearsal.jupiter_market import LocalMarket, LocalToken
from trading.rehearsal.jupiter_parts import compute_limit, compute_price
from trading.rehearsal.jupiter_server import JupiterServer, ServerOptions, serving
from trading.rehearsal.pools import Pool, install, make_pool, make_token
from trading.rehearsal.server import Rehearsal, rehearsing
from trading.rehearsal.tables import make_table
from trading.rehearsal.tokens import NATIVE_MINT, TOKEN_PROGRAM, associated, token_balance

POOL_LAMPORTS = 1_000 * 10**9
POOL_UNITS = 10**15
CREATED_S = 1_790_000_000


class WallClock:
    def now_ns(self) -> int:
        return 1_800_000_000_000_000_000


@dataclass
class ChainStage:
    """A chain with one pool: ``frog`` against SOL; ``stranger`` has none. ``wallets`` counts those that were made."""

    rehearsal: Rehearsal
    pool: Pool
    frog: str
    stranger: str
    table: str
    wallets: int = 0

    @property
    def cluster(self) -> Cluster:
        return self.rehearsal.cluster

    def buying(self, wallet: Keypair, lamports: int = 10**9) -> SwapWanted:
        return SwapWanted(str(wallet.pubkey()), str(NATIVE_MINT), self.frog, lamports, 100)

    def wallet(self, lamports: int = 20 * 10**9) -> Keypair:
        """Return a new wallet with money."""
        self.wallets += 1
        made = Keypair.from_seed(self.wallets.to_bytes(32, "big"))
        if lamports:
            self.cluster.airdrop(made.pubkey(), lamports)
        return made

    def units(self, wallet: Keypair, mint: str) -> int:
        held = token_balance(self.cluster.account(self.place(wallet, mint)))
        return held.units if held else 0

    def place(self, wallet: Keypair, mint: str) -> Pubkey:
        """Return the wallet's token account of a mint."""
        key = Pubkey.from_string(mint)
        program = self.pool.program(key) if key in self.pool.mints else TOKEN_PROGRAM
        return associated(wallet.pubkey(), key, program)

    def lamports(self, wallet: Keypair) -> int:
        found = self.cluster.account(wallet.pubkey())
        return found.lamports if found else 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Let time move while the block runs."""

        async def tick() -> None:
            while True:
                await anyio.sleep(0.02)
                self.cluster.tick()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(tick)
            try:
                yield
            finally:
                tasks.cancel_scope.cancel()

    def carry_out(self, wallet: Keypair, offer: SwapOffer) -> object:
        """Build, sign and land an offer as it came; return the chain's error, None for success."""
        assert offer.blockhash is not None
        given = (*offer.setup, offer.swap, *offer.cleanup, *offer.others)
        all_of_it = [compute_limit(300_000), compute_price(1_000), *map(instruction, given)]
        tables = [
            AddressLookupTableAccount(Pubkey.from_string(table), [Pubkey.from_string(key) for key in keys])
            for table, keys in offer.lookup_tables.items()
        ]
        blockhash = Hash.from_string(offer.blockhash.blockhash)
        message = MessageV0.try_compile(wallet.pubkey(), all_of_it, tables, blockhash)
        signature = self.cluster.submit(bytes(VersionedTransaction(message, [wallet])))
        self.cluster.tick(2)
        return self.cluster.executed[signature].error


def instruction(given: InstructionWanted) -> Instruction:
    accounts = [AccountMeta(Pubkey.from_string(key), signs, writes) for key, signs, writes in given.accounts]
    return Instruction(Pubkey.from_string(given.program), given.data, accounts)


@dataclass
class JupiterStage(ChainStage):
    """A chain with the local Jupiter server beside it."""

    server: JupiterServer = field(kw_only=True)
    pools: list[Pool] = field(kw_only=True)
    """What the server offers; a test may put more beside the first."""

    def market(self, **more: object) -> MarketSection:
        given = {"jupiter_url": self.server.url, "jupiter_calls_per_minute": 60_000}
        return MarketSection.model_validate(given | more)


def a_stage(**frogs: Any) -> ChainStage:
    """Return a chain that nobody serves; time moves by ``cluster.tick``, and in ``running``. ``frogs``: what is special
    about the token, as ``pools.make_token`` takes it."""
    rehearsal = Rehearsal(Cluster("jupiter"))
    cluster = rehearsal.cluster
    install(cluster)
    frog, stranger = make_token(cluster, "frog", **frogs), make_token(cluster, "stranger")
    pool = make_pool(cluster, frog, POOL_LAMPORTS, POOL_UNITS)
    table = make_table(cluster, [*pool.mints, pool.id, pool.authority, *map(pool.vault, pool.mints)])
    cluster.tick(40)
    return ChainStage(rehearsal, pool, str(frog), str(stranger), table)


@asynccontextmanager
async def jupiter_stage(options: ServerOptions | None = None, **frogs: Any) -> AsyncIterator[JupiterStage]:
    made = a_stage(**frogs)
    tokens = (LocalToken(made.frog, "FROG", "Frog", CREATED_S), LocalToken(made.stranger, "FROG", "Nobody"))

    pools = [made.pool]

    def market(chain: RpcChain) -> LocalMarket:
        return LocalMarket(chain, pools, tokens, (made.table,))

    async with (
        rehearsing(made.rehearsal, slots_run=False),
        serving(made.rehearsal.url("one"), market, options) as server,
    ):
        yield JupiterStage(made.rehearsal, made.pool, made.frog, made.stranger, made.table, server=server, pools=pools)
