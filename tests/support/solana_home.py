"""One wallet with an executor and a journal of its own on the local chain: it can be ended and begun anew."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import anyio
from pydantic import SecretStr
from solders.pubkey import Pubkey

from tests.support.exchange_desk import KEY, SECRET
from tests.support.live_stage import RULES as PREPARING
from tests.support.live_stage import LiveStage
from trading.adapters.execution_journal import SqlExecutionJournal
from trading.arbitrage.leg_venue import LegVenue
from trading.arbitrage.solana_leg import SolanaLeg, SolanaParts, SolanaTerms
from trading.config import ExchangeSection
from trading.execution.executor import Outlook
from trading.execution.preparing import PreparingParts, SwapPreparer
from trading.model.intent import SOL_MINT
from trading.ports import Clock
from trading.rehearsal.cluster import Cluster
from trading.rehearsal.tokens import associated, token_account
from trading.runtime.clock import WallClock

FEE_LAMPORTS_MAX = 100_000
SIZES = (10**7, 10**8, 5 * 10**8, 10**9)


def exchange_section(url: str, **changes: Any) -> ExchangeSection:
    given: dict[str, Any] = {
        "id": "binance",
        "api_key": SecretStr(KEY),
        "secret": SecretStr(SECRET),
        "base_url": url,
        "calls_per_second": 10_000,
        "timeout_s": 2.0,
    }
    return ExchangeSection(**given | changes)


@dataclass
class SolanaHome:
    """One wallet with an executor and a journal of its own on the shared chain; it can be ended and begun anew."""

    stage: LiveStage
    wallet: str
    path: Path
    tasks: anyio.abc.TaskGroup
    asked: PreparingParts
    sizes: tuple[int, ...] = SIZES
    size: int = 5 * 10**8
    pays_in_money: bool = True
    clock: Clock = field(default_factory=WallClock)
    is_hasty: bool = True

    async def begins(self) -> None:
        self.journal = SqlExecutionJournal.at(self.path, self.clock.now_ns)
        preparer = SwapPreparer(self.asked, PREPARING)
        staged = replace(self.stage, chain=self.asked.chain, preparer=preparer)  # type: ignore[arg-type]
        self.executor = staged.executor(self.journal, Outlook(self.clock.now_ns))
        self._scope = anyio.CancelScope()
        self._ended = anyio.Event()
        await self.tasks.start(self._works)
        terms = SolanaTerms(self.wallet, SOL_MINT, self.stage.market.frog, self.sizes, FEE_LAMPORTS_MAX, poll_s=0.01)
        parts = SolanaParts(self.executor, self.journal, self.asked.chain, self.asked.router, self.clock)
        self.venue: LegVenue = SolanaLeg("solana", parts, terms)

    async def _works(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        with self._scope:
            await self.executor.run([self.wallet], task_status=task_status)
        self._ended.set()

    async def ends(self) -> None:
        self._scope.cancel()
        await self._ended.wait()
        self.journal.close()

    async def restarts(self) -> None:
        await self.ends()
        await self.begins()
        self.is_hasty = True

    def holdings(self) -> tuple[int, int]:
        return self.stage.lamports(self.wallet), self.stage.units(self.wallet)

    async def passes(self, seconds: float) -> None:
        await anyio.sleep(seconds)

    async def loses_the_next_answer(self) -> None:
        """The call is cut by whoever makes it; it is not done before, as blocks come slowly until the restart."""
        self.is_hasty = False


def give_tokens(cluster: Cluster, mint: Pubkey, owner: Pubkey, units: int, program: Pubkey) -> None:
    cluster.set_account(associated(owner, mint, program), token_account(mint, owner, units, program))


async def hasten(cluster: Cluster, may: Callable[[], bool] = lambda: True) -> None:
    """Make blocks fast while something that landed is not final yet: nobody waits for its blockhash any more."""
    while True:
        await anyio.sleep(0.01)
        newest = max((each.slot for each in list(cluster.executed.values())[-4:]), default=-100)
        if may() and cluster.slot - newest <= cluster.finality_slots:
            cluster.tick(8)
