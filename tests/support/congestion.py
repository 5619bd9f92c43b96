"""Exits while the chain is congested: sends that get lost, others who pay more, an endpoint that is dead.

Time runs faster than on a real chain, by ``TIMES``, for the chain and for every wait of the desk alike; spans are told
in seconds of a chain with a slot of 400 ms.
"""

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import anyio

from tests.support.live_stage import RULES, KeySigner, LiveStage, at_work, decided, journal_at
from tests.support.rehearsal import JupiterStage, jupiter_stage
from trading.adapters.execution_journal import SqlExecutionJournal
from trading.adapters.jupiter.build import JupiterBuild
from trading.adapters.jupiter.gateway import JupiterApi
from trading.adapters.second_prices import PoolPrices
from trading.adapters.solana.chain import SolanaChain
from trading.config import ChainSection, LiveSection, RouterSection
from trading.execution.executor import Executor, ExecutorRules, Outlook
from trading.execution.preparing import PreparingParts, SwapPreparer
from trading.model.intent import Intent, IntentRecord, IntentState
from trading.model.time_to_flat import TimeToFlat
from trading.model.units import NS_PER_S
from trading.rehearsal.cluster import Block, Cluster
from trading.rehearsal.faults import FOREVER, Fault, Kind
from trading.rehearsal.rpc import Node
from trading.rehearsal.server import Endpoint
from trading.rehearsal.tokens import NATIVE_MINT
from trading.runtime.clock import WallClock

SLOT_S: Final = 0.4
BASE_PRICE: Final = 50_000
"""Micro-lamports a compute unit that others pay while it is calm."""
PRIORITY_LAMPORTS: Final = 20_000
LIVE: Final = LiveSection()
DECIDED_ANEW_MAX: Final = 6
ENDPOINTS: Final = ("one", "two", "three")


@dataclass(frozen=True, slots=True)
class Weather:
    """``drops``: of each exit, how many rounds of sending get lost. ``fee_times``: by what the crowd's price grows just
    after exits were decided, for ``slots`` (chosen by the seed, least and most). ``is_one_dead``: the third endpoint
    takes calls and never answers."""

    name: str
    drops: int = 0
    fee_times: int = 1
    slots: tuple[int, int] = (0, 0)
    is_one_dead: bool = False


CALM: Final = Weather("calm")
WEATHERS: Final = (
    CALM,
    Weather("first sends dropped", drops=3),
    Weather("fees tripled", fee_times=3, slots=(20, 400)),
    Weather("fees tenfold", fee_times=10, slots=(20, 400)),
    Weather("one endpoint dead", is_one_dead=True),
    Weather("all three", drops=3, fee_times=3, slots=(20, 400), is_one_dead=True),
)


@dataclass
class Congestion:
    """A stage on which time runs ``times`` as fast, with three endpoints."""

    stage: LiveStage
    times: float
    flat: TimeToFlat = field(default_factory=TimeToFlat)
    exits: list[IntentRecord] = field(default_factory=list)
    """Every intent that was made to leave a position, those that came to nothing too."""

    @property
    def _endpoints(self) -> dict[str, Endpoint]:
        return self.stage.market.rehearsal.endpoints

    def executor(self, journal: SqlExecutionJournal) -> Executor:
        own = ExecutorRules("")
        rules = ExecutorRules(
            self.stage.genesis_hash,
            poll_s=LIVE.poll_s / self.times,
            resend_s=LIVE.resend_s / self.times,
            backoff_s=own.backoff_s / self.times,
            backoff_cap_s=own.backoff_cap_s / self.times,
        )
        return Executor(journal, self.stage.chain, self.stage.preparer, rules, Outlook(WallClock().now_ns))

    async def leave(self, weather: Weather, count: int, seed: int, folder: Path) -> None:
        """Buy so many positions in calm, then leave them all in that weather and wait until each is flat."""
        cluster = self.stage.market.cluster
        wallets = [self.stage.wallet() for _ in range(count)]
        async with journal_at(folder / f"{weather.name}_{seed}.db") as journal:
            executor = self.executor(journal)
            async with at_work(executor, wallets):
                cluster.crowd_price = BASE_PRICE
                bought = [_roomy(self.stage.buying(each, 50_000_000, f"{each}_in")) for each in wallets]
                for each in await decided(executor, journal, bought):
                    assert each.state is IntentState.SETTLED, each.problem
                self._spoil(weather, count)
                self._crowd(weather, random.Random(f"{seed}/{weather.name}"))
                async with anyio.create_task_group() as tasks:
                    for wallet in wallets:
                        tasks.start_soon(self._leave, executor, journal, wallet)
                self._mend()

    async def _leave(self, executor: Executor, journal: SqlExecutionJournal, wallet: str) -> None:
        """Hand the exit in, and another one after each that came to nothing, as a desk does."""
        self.flat.decided(wallet, WallClock().now_ns())
        for number in range(DECIDED_ANEW_MAX):
            wish = _roomy(self.stage.selling(wallet, self.stage.units(wallet), f"{wallet}_out_{number}"))
            lamports = 5_000 + PRIORITY_LAMPORTS * LIVE.exit_fee_times
            until_ns = wish.created_ns + int(LIVE.exit_wait_s / self.times * NS_PER_S)
            wish = replace(wish, fee_lamports_max=lamports, attempts_max=LIVE.attempts_max, deadline_ns=until_ns)
            [known] = await decided(executor, journal, [wish])
            self.exits.append(known)
            if known.state is IntentState.SETTLED:
                self.flat.filled(wallet, WallClock().now_ns())
                return

    def _crowd(self, weather: Weather, chances: random.Random) -> None:
        """Have the price of a place grow once the first exit is signed for the old one, and fall again in two steps."""
        cluster, signed = self.stage.market.cluster, self.stage.signer.signed
        calm = len(signed)
        falls = [chances.randint(*weather.slots) for _ in range(2)]
        steps: list[tuple[int, int]] = []

        def follow(_cluster: Cluster, block: Block) -> None:
            if not falls and not steps:
                return
            if falls and len(signed) > calm:
                cluster.crowd_price = BASE_PRICE * weather.fee_times
                steps.append((block.slot + falls[0], BASE_PRICE * (1 + weather.fee_times) // 2))
                steps.append((block.slot + sum(falls), BASE_PRICE))
                falls.clear()
            while steps and block.slot >= steps[0][0]:
                cluster.crowd_price = steps.pop(0)[1]

        cluster.listeners.append(follow)

    def _spoil(self, weather: Weather, count: int) -> None:
        for endpoint in self._endpoints.values():
            if weather.drops:
                endpoint.faults.add(Fault(Kind.DROP, calls=weather.drops * count))
        if weather.is_one_dead:
            self._endpoints[ENDPOINTS[-1]].faults.add(Fault(Kind.HANG, calls=FOREVER))

    def _mend(self) -> None:
        for endpoint in self._endpoints.values():
            endpoint.faults.clear()

    def spans_s(self) -> Sequence[float]:
        """Return how long each exit took, shortest first, in seconds of a chain with a slot of 400 ms."""
        return sorted(span / NS_PER_S * self.times for span in self.flat.spans_ns)


def _roomy(wish: Intent) -> Intent:
    """Return it with room for what others move the price by meanwhile."""
    return replace(wish, min_out=wish.min_out * 97 // 100)


def section_of(market: JupiterStage, times: float) -> ChainSection:
    """Return the settings of a chain with three endpoints, with every wait as much shorter as time runs faster."""
    own = ChainSection()
    waits = ("timeout_s", "grace_s", "health_age_s", "backoff_base_s", "backoff_cap_s", "fee_age_s")
    return ChainSection.model_validate(
        {
            "endpoints": [
                {
                    "url": market.rehearsal.url(name),
                    "websocket_url": market.rehearsal.websocket_url(name),
                    "calls_per_second": 5_000,
                }
                for name in ENDPOINTS
            ],
            "genesis_hash": market.cluster.genesis_hash,
            **{name: getattr(own, name) / times for name in waits},
        }
    )


@asynccontextmanager
async def congestion(times: float) -> AsyncIterator[Congestion]:
    """Open a stage on which time runs so much faster than on a real chain."""
    async with jupiter_stage() as market:
        market.rehearsal.endpoints[ENDPOINTS[-1]] = Endpoint(ENDPOINTS[-1], Node(market.cluster))
        pool = market.pool
        token = next(mint for mint in pool.mints if mint != NATIVE_MINT)
        vaults = {market.frog: (str(pool.vault(token)), str(pool.vault(NATIVE_MINT)))}
        clock = WallClock()
        async with (
            SolanaChain.connect(section_of(market, times), clock) as chain,
            JupiterApi.connect(market.market(), RouterSection(), clock) as api,
            _slots(market, SLOT_S / times),
        ):
            signer = KeySigner()
            second = PoolPrices(chain, vaults, 0, clock)
            parts = PreparingParts(chain, JupiterBuild(api), second, signer, lambda _mint: (), clock.now_ns)
            yield Congestion(LiveStage(market, chain, SwapPreparer(parts, RULES), signer, parts), times)


@asynccontextmanager
async def _slots(market: JupiterStage, slot_s: float) -> AsyncIterator[None]:
    async def tick() -> None:
        due = anyio.current_time()
        while True:
            due = max(due + slot_s, anyio.current_time())
            await anyio.sleep_until(due)
            market.cluster.tick()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(tick)
        try:
            yield
        finally:
            tasks.cancel_scope.cancel()
