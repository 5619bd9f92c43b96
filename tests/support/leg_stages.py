"""Every body of ``LegVenue`` at a place where it really trades, for the one contract that all of them keep.

Money is SOL at the exchange, on Solana and on paper, and token 0 of a pool on the EVM chain.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import anyio
import anyio.to_thread
from solders.pubkey import Pubkey

from tests.support.evm import Evm, ShiftedClock
from tests.support.evm_stage import FEE_WEI_MAX, EvmStage, staged
from tests.support.exchange_desk import ExchangeDesk
from tests.support.leg_venues import PoolLeg
from tests.support.live_stage import live_stage
from tests.support.market_server import SteppedClock
from tests.support.solana_home import SolanaHome, exchange_section, give_tokens, hasten
from trading.adapters.exchange.gateway import ExchangePair
from trading.adapters.exchange.leg import ExchangeLeg
from trading.arbitrage.evm_leg import EvmLeg, EvmLegParts, EvmLegTerms
from trading.arbitrage.leg_venue import LegVenue
from trading.arbitrage.paper_leg import PaperInventory, PaperLeg, PaperTerms
from trading.arbitrage.pools import ConstantProduct
from trading.model.evm import PoolKind
from trading.ports import Clock


class LegStage(Protocol):
    """``pays_in_money``: what an attempt costs comes off the money that is held. ``size``: a usual amount of money."""

    size: int
    pays_in_money: bool

    @property
    def venue(self) -> LegVenue: ...

    @property
    def clock(self) -> Clock: ...

    def holdings(self) -> tuple[int, int]:
        """Return what is really held there of money and of the middle token."""

    async def passes(self, seconds: float) -> None:
        """Let time go on."""

    async def loses_the_next_answer(self) -> None: ...

    async def restarts(self) -> None:
        """The process ends and begins anew: what is on disk and at the venue stays."""


Opening = AbstractAsyncContextManager[LegStage]


@dataclass
class AtExchange:
    desk: ExchangeDesk
    pair: ExchangePair
    clock: SteppedClock
    size: int = 10**10
    pays_in_money: bool = False

    @property
    def venue(self) -> LegVenue:
        return ExchangeLeg("exchange", self.pair, self.clock, money_is_base=True, has_key=True)

    def holdings(self) -> tuple[int, int]:
        # Fees are told to a finer digit than the desk counts in; what is got is rounded down.
        return int(self.desk.free["SOL"] * 10**9), int(self.desk.free["USDC"] * 10**6)

    async def passes(self, seconds: float) -> None:
        self.clock.advance(max(seconds, 1.0))

    async def loses_the_next_answer(self) -> None:
        self.desk.faults["order"].append("lost")

    async def restarts(self) -> None:
        """All that an exchange leg knows is at the exchange."""


@asynccontextmanager
async def at_exchange() -> AsyncIterator[LegStage]:
    clock = SteppedClock()
    async with (
        ExchangeDesk.serving(lambda: clock.now_ns() // 10**6, taker="0") as desk,
        ExchangePair.connect(exchange_section(desk.url, taker_ppm=0), "SOL/USDC", (9, 6), clock) as pair,
    ):
        yield AtExchange(desk, pair, clock)


class Even:
    """Chance that never fails."""

    def uniform(self) -> float:
        return 0.5

    def below(self, n: int) -> int:
        return n - 1


class OnPaper:
    def __init__(self) -> None:
        self.clock = SteppedClock()
        self.size, self.pays_in_money = 10**10, True
        self._held = PaperInventory(10**12, 10**12)
        self._at_start = (10**12, 10**12)
        pool = ConstantProduct(10**15, 10**15, 3_000)
        self._real = PoolLeg("paper", pool, self.clock.now_ns, chance=None)  # type: ignore[arg-type]
        self._real.chance = _Never()  # type: ignore[assignment]
        self._loses = False
        self.venue: LegVenue = self._made()

    def _made(self) -> LegVenue:
        terms = PaperTerms(latency_s=0.3, cost=5_000, fails_bps=0)
        return PaperLeg(self._real, self._held, terms, Even(), self.clock, self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self.clock.advance(seconds)
        if self._loses:  # the process ends before the fill is told
            self._loses = False
            await anyio.sleep_forever()
        await anyio.lowlevel.checkpoint()

    def holdings(self) -> tuple[int, int]:
        return self._held.money, self._held.middle

    async def passes(self, seconds: float) -> None:
        self.clock.advance(max(seconds, 1.0))

    async def loses_the_next_answer(self) -> None:
        self._loses = True

    async def restarts(self) -> None:
        self.venue = self._made()


class _Never:
    def random(self) -> float:
        return 0.999


@asynccontextmanager
async def on_paper() -> AsyncIterator[LegStage]:
    yield OnPaper()


@asynccontextmanager
async def on_solana(folder: Path) -> AsyncIterator[LegStage]:
    async with live_stage() as stage, anyio.create_task_group() as tasks:
        wallet, market = stage.wallet(), stage.market
        mint = Pubkey.from_string(market.frog)
        give_tokens(market.cluster, mint, Pubkey.from_string(wallet), 10**12, market.pool.program(mint))
        home = SolanaHome(stage, wallet, folder / "execution.db", tasks, stage.parts)
        await home.begins()
        tasks.start_soon(hasten, market.cluster, lambda: home.is_hasty)
        yield home
        await home.ends()
        tasks.cancel_scope.cancel()


@dataclass
class OnEvm:
    stage: EvmStage
    tasks: anyio.abc.TaskGroup
    size: int = 10**18
    pays_in_money: bool = False
    mines: bool = True

    @property
    def clock(self) -> ShiftedClock:
        return self.stage.clock

    async def begins(self) -> None:
        stage = self.stage = self.stage.rebuilt()
        self._scope, self._ended = anyio.CancelScope(), anyio.Event()
        await self.tasks.start(self._works)
        pool = stage.pool(PoolKind.CONSTANT_PRODUCT)
        terms = EvmLegTerms(pool, True, FEE_WEI_MAX, 10**14, Fraction(1, 10**3), poll_s=0.01)
        parts = EvmLegParts(stage.executor, stage.journal, stage.reader, stage.reader, stage.mandate, stage.clock)
        self.venue: LegVenue = EvmLeg("evm", parts, terms)

    async def _works(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        with self._scope:
            await self.stage.executor.run(task_status=task_status)
        self._ended.set()

    async def ends(self) -> None:
        self._scope.cancel()
        await self._ended.wait()
        self.stage.journal.close()

    async def restarts(self) -> None:
        await self.ends()
        await self.begins()
        self.mines = True

    def holdings(self) -> tuple[int, int]:
        return self.stage.holdings()[:2]

    async def passes(self, seconds: float) -> None:
        await anyio.sleep(seconds)

    async def loses_the_next_answer(self) -> None:
        """The call is cut by whoever makes it; it is not done before, as no block comes until the restart."""
        self.mines = False


@asynccontextmanager
async def on_evm(evm: Evm, folder: Path) -> AsyncIterator[LegStage]:
    async def mine(home: OnEvm) -> None:
        while True:
            await anyio.sleep(0.02)
            if home.mines:
                await anyio.to_thread.run_sync(evm.mine)

    with evm.undone():
        evm.rpc("evm_setAutomine", False)
        async with staged(evm, folder) as stage, anyio.create_task_group() as tasks:
            home = OnEvm(stage, tasks)
            tasks.start_soon(mine, home)
            await home.begins()
            yield home
            await home.ends()
            tasks.cancel_scope.cancel()
