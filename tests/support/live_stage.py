"""Everything that an executor needs, for real and on one machine: chain, client, router, second price, a signer."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import anyio
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from tests.support.rehearsal import JupiterStage, jupiter_stage
from trading.adapters.execution_journal import SqlExecutionJournal
from trading.adapters.jupiter.build import JupiterBuild
from trading.adapters.jupiter.gateway import JupiterApi
from trading.adapters.second_prices import PoolPrices
from trading.adapters.solana.chain import SolanaChain
from trading.config import ChainSection, RouterSection
from trading.errors import SigningRefused
from trading.execution.executor import Executor, ExecutorRules, Outlook
from trading.execution.preparing import PreparingParts, PreparingRules, SwapPreparer
from trading.execution.price_check import PriceRules
from trading.model.chain import AccountSeen, SignWanted
from trading.model.intent import SOL_MINT, Intent, IntentRecord, IntentState
from trading.rehearsal.tokens import NATIVE_MINT
from trading.runtime.clock import WallClock

SLOT_S = 0.02
DECIDED_WITHIN_S = 100.0
"""Less than a test may take: who is told that time is over cleans up, and a test that is cut does not."""
REVIEW = IntentState.NEEDS_REVIEW
RULES = PreparingRules(prices=PriceRules(), reserve_lamports=lambda _wallet: 10_000_000)


@dataclass
class KeySigner:
    """Signs whatever it is asked to, and remembers it: the checks of others are what is tested."""

    keys: dict[str, Keypair] = field(default_factory=dict)
    signed: list[SignWanted] = field(default_factory=list)

    async def wallets(self) -> Sequence[str]:
        return list(self.keys)

    async def sign(self, wanted: SignWanted) -> bytes:
        key = self.keys.get(wanted.wallet)
        if key is None:
            raise SigningRefused("no such wallet", reasons=("wallet",))
        self.signed.append(wanted)
        return bytes(key.sign_message(wanted.message))


@dataclass
class LiveStage:
    market: JupiterStage
    chain: SolanaChain
    preparer: SwapPreparer
    signer: KeySigner
    parts: PreparingParts

    @property
    def genesis_hash(self) -> str:
        return self.market.cluster.genesis_hash

    def executor(self, journal: SqlExecutionJournal, outlook: Outlook | None = None, **rules: float) -> Executor:
        told = ExecutorRules(self.genesis_hash, poll_s=SLOT_S, resend_s=4 * SLOT_S, backoff_s=0.01, **rules)  # type: ignore[arg-type]
        outlook = outlook or Outlook(WallClock().now_ns)
        return Executor(journal, self.chain, self.preparer, told, outlook)

    def wallet(self, lamports: int = 20 * 10**9) -> str:
        key = self.market.wallet(lamports)
        self.signer.keys[str(key.pubkey())] = key
        return str(key.pubkey())

    def lamports(self, wallet: str) -> int:
        return self.market.lamports(self.signer.keys[wallet])

    def units(self, wallet: str) -> int:
        return self.market.units(self.signer.keys[wallet], self.market.frog)

    def buying(self, wallet: str, lamports: int, name: str, slippage_bps: int = 300) -> Intent:
        quoted = self.market.pool.quote(self.market.cluster, NATIVE_MINT, lamports)
        now_ns = WallClock().now_ns()
        return Intent(
            id=f"int_{name}",
            key=f"run/{name}",
            wallet=wallet,
            in_mint=SOL_MINT,
            out_mint=self.market.frog,
            amount_in=lamports,
            min_out=quoted * (10_000 - slippage_bps) // 10_000,
            slippage_bps_max=slippage_bps,
            fee_lamports_max=100_000,
            attempts_max=3,
            created_ns=now_ns,
            deadline_ns=now_ns + 60 * 10**9,
            is_exit=False,
        )

    def selling(self, wallet: str, units: int, name: str, slippage_bps: int = 300) -> Intent:
        quoted = self.market.pool.quote(self.market.cluster, Pubkey.from_string(self.market.frog), units)
        least = quoted * (10_000 - slippage_bps) // 10_000
        buy = self.buying(wallet, 1_000, name, slippage_bps)
        pair = {"in_mint": self.market.frog, "out_mint": SOL_MINT}
        return replace(buy, **pair, amount_in=units, min_out=least, is_exit=True)


@asynccontextmanager
async def live_stage(
    rules: PreparingRules = RULES,
    mint_problems: Callable[[AccountSeen], Sequence[str]] = lambda _mint: (),
    **frogs: Any,
) -> AsyncIterator[LiveStage]:
    async with jupiter_stage(**frogs) as market:
        section = ChainSection.model_validate(
            {
                "endpoints": [
                    {
                        "url": market.rehearsal.url(name),
                        "websocket_url": market.rehearsal.websocket_url(name),
                        "calls_per_second": 5_000,
                    }
                    for name in ("one", "two")
                ],
                "genesis_hash": market.cluster.genesis_hash,
            }
        )
        pool = market.pool
        token = Pubkey.from_string(market.frog)
        vaults = {market.frog: (str(pool.vault(token)), str(pool.vault(NATIVE_MINT)))}
        async with (
            SolanaChain.connect(section, WallClock()) as chain,
            JupiterApi.connect(market.market(), RouterSection(), WallClock()) as api,
            market.running(),
        ):
            signer = KeySigner()
            second = PoolPrices(chain, vaults, 0, WallClock())
            parts = PreparingParts(chain, JupiterBuild(api), second, signer, mint_problems, WallClock().now_ns)
            yield LiveStage(market, chain, SwapPreparer(parts, rules), signer, parts)


async def decided(executor: Executor, journal: SqlExecutionJournal, intents: Sequence[Intent]) -> list[IntentRecord]:
    """Hand intents in while the executor runs and wait until all are decided.

    Raises: TimeoutError: a node that answers no more decides nothing, and the executor rightly waits for it.
    """
    for intent in intents:
        await executor.take(intent)
    waiting = [intent.id for intent in intents]
    with anyio.fail_after(DECIDED_WITHIN_S):
        while waiting:
            await anyio.sleep(0.05)
            while waiting and (known := journal.record(waiting[0])) and (known.is_final or known.state is REVIEW):
                waiting.pop(0)
    return [journal.record(intent.id) for intent in intents]


@asynccontextmanager
async def at_work(executor: Executor, wallets: Sequence[str]) -> AsyncIterator[None]:
    async def run(*, task_status: anyio.abc.TaskStatus[None]) -> None:
        await executor.run(wallets, task_status=task_status)

    async with anyio.create_task_group() as tasks:
        await tasks.start(run)
        try:
            yield
        finally:
            tasks.cancel_scope.cancel()


@asynccontextmanager
async def journal_at(path: Path) -> AsyncIterator[SqlExecutionJournal]:
    journal = SqlExecutionJournal.at(path, WallClock().now_ns)
    try:
        yield journal
    finally:
        journal.close()
