"""The executor in front of any node, with a proxy for each of its endpoints: client, router, second price, signer."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import asdict, dataclass, replace
from typing import Protocol

from solders.account import Account
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from tests.support.live_stage import RULES, KeySigner
from tests.support.nodes import SLOT_MS, NodeAt
from tests.support.rehearsal import ChainStage, a_stage
from trading.adapters.execution_journal import SqlExecutionJournal
from trading.adapters.jupiter.build import JupiterBuild
from trading.adapters.jupiter.gateway import JupiterApi
from trading.adapters.second_prices import PoolPrices
from trading.adapters.solana.chain import SolanaChain
from trading.config import ChainSection, MarketSection, RouterSection
from trading.execution.executor import Executor, ExecutorRules, Outlook
from trading.execution.preparing import PreparingParts, SwapPreparer
from trading.model.intent import SOL_MINT, Intent
from trading.rehearsal.faults import Fault
from trading.rehearsal.jupiter_chain import RpcChain
from trading.rehearsal.jupiter_market import LocalMarket, LocalToken, swapped
from trading.rehearsal.jupiter_server import serving
from trading.rehearsal.proxy import FaultProxy, proxying
from trading.rehearsal.tokens import NATIVE_MINT, associated
from trading.runtime.clock import WallClock

WALLET_LAMPORTS = 20 * 10**9
PATIENT_SLOT_MS = 25
"""A blockhash lives nearly four seconds: in less a busy machine lets one attempt after the other run out."""
_AMOUNT = slice(64, 72)


class StartsNode(Protocol):
    def __call__(
        self, accounts: Mapping[Pubkey, Account], *, slot_ms: int = SLOT_MS
    ) -> AbstractAsyncContextManager[NodeAt]: ...


@dataclass
class ForeignStage:
    """``chain`` goes through ``proxies``, everything else straight to the node."""

    rpc: RpcChain
    genesis_hash: str
    proxies: tuple[FaultProxy, ...]
    chain: SolanaChain
    preparer: SwapPreparer
    market: LocalMarket
    frog: str
    wallets: tuple[str, ...]

    def fault(self, *faults: Fault) -> None:
        for proxy in self.proxies:
            proxy.faults.add(*(Fault(**asdict(each)) for each in faults))

    def clear(self) -> None:
        for proxy in self.proxies:
            proxy.faults.clear()

    def executor(self, journal: SqlExecutionJournal) -> Executor:
        told = ExecutorRules(self.genesis_hash, poll_s=0.05, resend_s=0.1, backoff_s=0.02, backoff_cap_s=0.1)
        return Executor(journal, self.chain, self.preparer, told, Outlook(WallClock().now_ns))

    async def lamports(self, wallet: str) -> int:
        found = (await self.rpc.accounts([wallet]))[wallet]
        return found.lamports if found else 0

    async def units(self, wallet: str) -> int:
        place = str(associated(Pubkey.from_string(wallet), Pubkey.from_string(self.frog)))
        found = (await self.rpc.accounts([place]))[place]
        return int.from_bytes(found.data[_AMOUNT], "little") if found else 0

    async def history(self, wallet: str) -> list[str]:
        rows = await self.rpc.call("getSignaturesForAddress", wallet, {"commitment": "confirmed"})
        return [row["signature"] for row in rows]

    async def buying(self, wallet: str, lamports: int, name: str, slippage_bps: int = 300) -> Intent:
        [pool] = self.market.pools
        have, want = await self.market.reserves(pool)
        return self._intent(wallet, lamports, swapped(have, want, lamports, pool.fee_bps), name, slippage_bps)

    async def selling(self, wallet: str, units: int, name: str, slippage_bps: int = 300) -> Intent:
        [pool] = self.market.pools
        want, have = await self.market.reserves(pool)
        made = self._intent(wallet, units, swapped(have, want, units, pool.fee_bps), name, slippage_bps)
        return replace(made, in_mint=self.frog, out_mint=SOL_MINT, is_exit=True)

    def _intent(self, wallet: str, amount: int, quoted: int, name: str, slippage_bps: int) -> Intent:
        now_ns = WallClock().now_ns()
        return Intent(
            id=f"int_{name}",
            key=f"run/{name}",
            wallet=wallet,
            in_mint=SOL_MINT,
            out_mint=self.frog,
            amount_in=amount,
            min_out=quoted * (10_000 - slippage_bps) // 10_000,
            slippage_bps_max=slippage_bps,
            fee_lamports_max=100_000,
            attempts_max=20,  # on a busy machine several may run out all the same
            created_ns=now_ns,
            deadline_ns=now_ns + 60 * 10**9,
            is_exit=False,
        )


@asynccontextmanager
async def foreign_stage(starts: StartsNode, wallets: int = 1) -> AsyncIterator[ForeignStage]:
    """Put a pool and wallets on a fresh node, and everything that trades there beside it."""
    local = a_stage()
    keys = [Keypair.from_seed((number + 1).to_bytes(32, "big")) for number in range(wallets)]
    accounts = local.cluster.state().accounts
    accounts |= {key.pubkey(): Account(WALLET_LAMPORTS, b"", Pubkey.default()) for key in keys}
    async with starts(accounts, slot_ms=PATIENT_SLOT_MS) as node:
        rpc = RpcChain(node.http, node.url)
        async with (
            proxying(node.url, node.websocket_url) as one,
            proxying(node.url, node.websocket_url) as two,
            serving(node.url, lambda chain: _market(chain, local)) as jupiter,
            SolanaChain.connect(await _section(rpc, (one, two)), WallClock()) as chain,
            JupiterApi.connect(_jupiter(jupiter.url), RouterSection(), WallClock()) as api,
        ):
            signer = KeySigner({str(key.pubkey()): key for key in keys})
            vaults = {local.frog: (_vault(local, Pubkey.from_string(local.frog)), _vault(local, NATIVE_MINT))}
            second = PoolPrices(chain, vaults, 0, WallClock())
            parts = PreparingParts(chain, JupiterBuild(api), second, signer, lambda _mint: (), WallClock().now_ns)
            genesis = str(await rpc.call("getGenesisHash"))
            preparer = SwapPreparer(parts, RULES)
            market = _market(rpc, local)
            yield ForeignStage(rpc, genesis, (one, two), chain, preparer, market, local.frog, tuple(signer.keys))


def _market(chain: RpcChain, local: ChainStage) -> LocalMarket:
    return LocalMarket(chain, (local.pool,), (LocalToken(local.frog, "FROG", "Frog"),), (local.table,))


def _jupiter(url: str) -> MarketSection:
    return MarketSection.model_validate({"jupiter_url": url, "jupiter_calls_per_minute": 60_000})


def _vault(local: ChainStage, mint: Pubkey) -> str:
    return str(local.pool.vault(mint))


async def _section(rpc: RpcChain, proxies: tuple[FaultProxy, ...]) -> ChainSection:
    endpoints = [{"url": each.url, "websocket_url": each.websocket_url, "calls_per_second": 5_000} for each in proxies]
    genesis_hash = await rpc.call("getGenesisHash")
    given = {"endpoints": endpoints, "genesis_hash": genesis_hash, "backoff_base_s": 0.02, "backoff_cap_s": 0.1}
    return ChainSection.model_validate(given)
