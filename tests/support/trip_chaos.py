"""Trips between the local chain and a loopback exchange while everything that can fail does, each by its own seed.

The chain is LiteSVM behind JSON-RPC with a router beside it, the exchange is asked through its real client, journals
are on disk. Time is the chain's, 10 ms a slot, for all of them: on a machine that is busy it goes slower, and deadlines
with it. One chain and one exchange serve many trips at once; each trip has a wallet, an executor and journals of its
own, which end and begin anew with it.

At the exchange an order is taken and its answer lost, comes late, is filled by half, refused, slowed down or met by a
429; on the chain bytes never arrive, are taken while the answer is lost, land when the price has just moved, or nobody
answers. The runner dies between an event and what it leads to, or anywhere else, and begins anew.
"""

import random
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, cast

import anyio
from solders.pubkey import Pubkey

from tests.support.exchange_desk import ExchangeDesk, Fault
from tests.support.live_stage import LiveStage, live_stage
from tests.support.solana_home import SolanaHome, exchange_section, give_tokens
from trading.adapters.exchange.gateway import ExchangePair, order_name
from trading.adapters.exchange.leg import ExchangeLeg
from trading.adapters.trip_journal import SqlTripJournal
from trading.arbitrage.leg_venue import LegLook, LegVenue, Outcome
from trading.arbitrage.opportunities import TripTerms, evaluate
from trading.arbitrage.planning import TripPace, planned
from trading.arbitrage.runner import RunnerRules, TripRunner
from trading.arbitrage.trip_ports import TripLimits
from trading.arbitrage.trips import ATTEMPTS_MAX, Attempt, Dead, Event, Phase, Settled, Trip, TripPlan
from trading.errors import ChainUnavailable, RouteRefused, RouterUnavailable, TradingError
from trading.execution.preparing import PreparingParts
from trading.model.chain import SwapOffer, SwapWanted
from trading.ports import Chain, SwapRouter
from trading.rehearsal.cluster import Cluster
from trading.rehearsal.tokens import NATIVE_MINT
from trading.runtime.clock import WallClock

SOL, USDC = 10**9, 10**6
POOL_SOL, POOL_USDC = 10**6 * SOL, 150 * 10**6 * USDC
PACE: Final = TripPace(
    first_slip_bps=60, second_slip_bps=100, unwind_loss_bps=500, attempt_s=2.0, hedge_s=5.0, flat_s=30.0, retry_s=0.1
)
RULES: Final = RunnerRules(TripLimits(open_max=4, amount_max=10**12, day_loss_max=10**13), ask_s=0.05, ask_cap_s=0.5)
ORDER_FAULTS: Final[Sequence[Fault]] = (
    "lost",
    "unsent",
    "slow",
    "reject",
    "rate",
    "broken",
    "half",
    "garbage",
    "delayed",
)
LOOK_FAULTS: Final[Sequence[Fault]] = ("lost", "unsent", "slow", "broken", "garbage", "rate")
SHAKEN_PPM: Final = 40_000
SLOT_NS: Final = 10**7
KILLS_MAX: Final = 2
_ENDS_WITHIN_S: Final = 300.0


class SlotClock:
    """The time of the chain's slots."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._began_ns, self._slot = WallClock().now_ns(), cluster.slot

    def now_ns(self) -> int:
        return self._began_ns + (self._cluster.slot - self._slot) * SLOT_NS

    async def sleep(self, seconds: float) -> None:
        until_ns = self.now_ns() + int(seconds * 10**9)
        await anyio.lowlevel.checkpoint()
        while self.now_ns() < until_ns:  # noqa: ASYNC110 - slots come by themselves and tell nobody
            await anyio.sleep(0.005)


class Killed(BaseException):
    """The process ends here."""


class Hurt:
    """Counts what was done to whom."""

    def __init__(self, chance: random.Random, counts: Counter[str]) -> None:
        self.chance, self.counts = chance, counts

    def meets(self, share: float, what: str) -> bool:
        is_met = self.chance.random() < share
        self.counts[what] += is_met
        return is_met


class HurtChain:
    """A chain at the end of a bad line. What never arrives never does: those bytes are dropped each time."""

    def __init__(self, chain: Chain, hurt: Hurt) -> None:
        self._chain, self._hurt = chain, hurt
        self._fates: dict[bytes, str] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._chain, name)

    async def send(self, raw: bytes, *, is_first: bool) -> str:
        if raw not in self._fates:
            dropped = self._hurt.meets(0.2, "the chain drops it")
            self._fates[raw] = "dropped" if dropped else ""
        if self._fates[raw] or self._hurt.meets(0.1, "a sending is lost"):
            return "taken, it says"
        told = await self._chain.send(raw, is_first=is_first)
        if self._hurt.meets(0.15, "taken by the chain, the answer lost"):
            raise ChainUnavailable("the answer was lost")
        return told

    async def status(self, signature: str) -> Any:
        if self._hurt.meets(0.05, "the chain does not answer"):
            raise ChainUnavailable("nobody answers")
        return await self._chain.status(signature)

    async def transaction(self, signature: str) -> Any:
        if self._hurt.meets(0.05, "the chain does not answer"):
            raise ChainUnavailable("nobody answers")
        return await self._chain.transaction(signature)


class Careless:
    """A venue whose client takes silence for a refusal: what no body may do."""

    def __init__(self, venue: LegVenue) -> None:
        self._venue = venue

    def __getattr__(self, name: str) -> Any:
        return getattr(self._venue, name)

    async def send(self, attempt: Attempt) -> Outcome:
        try:
            return await self._venue.send(attempt)
        except TradingError:
            return Dead(attempt.key, 0, attempt.expires_ns)


class HurtRouter:
    name = "hurt"

    def __init__(self, router: SwapRouter, hurt: Hurt) -> None:
        self._router, self._hurt = router, hurt

    async def offer(self, wanted: SwapWanted) -> SwapOffer:
        if self._hurt.meets(0.05, "the router has no route"):
            raise RouteRefused("no route", reason="no_route")
        if self._hurt.meets(0.05, "the router does not answer"):
            raise RouterUnavailable("nobody answers")
        return await self._router.offer(wanted)


class KilledJournal:
    """Dies at its n-th writing, before or after it is durable."""

    def __init__(self, journal: SqlTripJournal, at: int, *, is_after: bool) -> None:
        self._journal, self._left, self._is_after = journal, at, is_after

    def __getattr__(self, name: str) -> object:
        return getattr(self._journal, name)

    def happened(self, trip_id: str, number: int, event: Event, phase: Phase, result: int) -> None:
        self._left -= 1
        if self._left == 0 and not self._is_after:
            raise Killed
        self._journal.happened(trip_id, number, event, phase, result)
        if self._left == 0:
            raise Killed


@dataclass
class Ended:
    """How one trip ended. ``wrong`` is what must not be."""

    seed: int
    phase: Phase
    took_s: float
    left_s: float
    attempts: int
    kills: int
    failed_legs: int
    result: int
    wrong: list[str] = field(default_factory=list)


@dataclass
class World:
    """What all trips share."""

    stage: LiveStage
    desk: ExchangeDesk
    clock: SlotClock
    folder: Path
    seed: int
    is_careless: bool = False
    counts: Counter[str] = field(default_factory=Counter)

    @asynccontextmanager
    async def pair(self) -> AsyncIterator[ExchangePair]:
        section = exchange_section(
            self.desk.url, taker_ppm=1_000, recv_window_ms=500, timeout_s=1.0, lost_after_s=1.6, book_levels=5
        )
        async with ExchangePair.connect(section, "SOL/USDC", (9, 6), self.clock) as pair:
            yield pair

    def fault_for(self, route: str, given: Mapping[str, str]) -> Fault | None:
        name = given.get("newClientOrderId") or given.get("origClientOrderId")
        if not name or route not in ("order", "look"):
            return None
        hurt = Hurt(random.Random(f"{self.seed}/{route}/{name}/{self.desk.calls[route]}"), self.counts)
        if route == "order":
            fault = hurt.chance.choice(ORDER_FAULTS)
            return fault if hurt.meets(0.5, f"an order is met by {fault}") else None
        fault = hurt.chance.choice(LOOK_FAULTS)
        return fault if hurt.meets(0.15, f"a look-up is met by {fault}") else None

    async def shake(self) -> None:
        """Move the pool's price for a few slots, again and again: what lands just then reverts."""
        chance = random.Random(f"{self.seed}/shake")
        while True:
            await self.clock.sleep(chance.uniform(0.2, 1.0))
            for ppm in (10**6 - SHAKEN_PPM, 10**12 // (10**6 - SHAKEN_PPM)):
                self._move(ppm)
                await self.clock.sleep(0.05)

    def _move(self, ppm: int) -> None:
        pool, cluster = self.stage.market.pool, self.stage.market.cluster
        token = pool.other(NATIVE_MINT)
        units, _ = pool.reserves(cluster, token)
        give_tokens(cluster, token, pool.authority, units * ppm // 10**6, pool.program(token))


@asynccontextmanager
async def world(folder: Path, seed: int) -> AsyncIterator[World]:
    async with AsyncExitStack() as open_things:
        stage = await open_things.enter_async_context(live_stage())
        clock = SlotClock(stage.market.cluster)
        desk = await open_things.enter_async_context(ExchangeDesk.serving(lambda: clock.now_ns() // 10**6))
        cluster, pool = stage.market.cluster, stage.market.pool
        for mint, units in ((NATIVE_MINT, POOL_SOL), (pool.other(NATIVE_MINT), POOL_USDC)):
            give_tokens(cluster, mint, pool.authority, units, pool.program(mint))
        desk.bids, desk.asks = [(Decimal("149.90"), Decimal(10**8))], [(Decimal("150.10"), Decimal(10**8))]
        desk.free = {"SOL": Decimal(10**7), "USDC": Decimal(10**9), "BNB": Decimal(0)}
        desk.slow_s, desk.delayed_ms = 1.3, 300
        made = World(stage, desk, clock, folder, seed)
        desk.fault_for = made.fault_for

        async def tick() -> None:  # beside the stage's own, and faster
            while True:
                await anyio.sleep(0.006)
                cluster.tick()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(tick)
            tasks.start_soon(made.shake)
            yield made
            tasks.cancel_scope.cancel()


class Run:
    """One trip, from its plan to its end, through every restart."""

    def __init__(self, world: World, pair: ExchangePair, seed: int, tasks: anyio.abc.TaskGroup) -> None:
        self.world, self.seed = world, seed
        self.chance = random.Random(f"{world.seed}/{seed}")
        self.clock = world.clock
        hurt = Hurt(self.chance, world.counts)
        parts = world.stage.parts
        asked: PreparingParts = replace(
            parts, chain=cast(Chain, HurtChain(parts.chain, hurt)), router=HurtRouter(parts.router, hurt)
        )
        self.folder = world.folder / f"{seed}"
        self.folder.mkdir(parents=True)
        self.wallet = world.stage.wallet(100 * SOL)
        market = world.stage.market
        mint = Pubkey.from_string(market.frog)
        give_tokens(market.cluster, mint, Pubkey.from_string(self.wallet), 20_000 * USDC, market.pool.program(mint))
        self.size = self.chance.randrange(SOL // 10, 3 * SOL)
        path = self.folder / "execution.db"
        self.home = SolanaHome(world.stage, self.wallet, path, tasks, asked, sizes=(2 * self.size,), clock=self.clock)
        exchange = ExchangeLeg("exchange", pair, self.clock, money_is_base=True, has_key=True)
        self.exchange: LegVenue = Careless(exchange) if world.is_careless else exchange

    def venues(self) -> dict[str, LegVenue]:
        return {"solana": self.home.venue, "exchange": self.exchange}

    async def looked(self, venue: LegVenue) -> LegLook:
        while True:
            try:
                return await venue.look()
            except TradingError:
                await anyio.sleep(0.02)

    async def plan(self) -> tuple[TripPlan, int]:
        looks = [await self.looked(each) for each in self.venues().values()]
        first, second = looks if self.seed % 2 else looks[::-1]
        found = evaluate(first.there, second.back, TripTerms(), self.size)
        assert found is not None
        return planned(f"trip-{self.world.seed}-{self.seed}", first, second, found, PACE, self.clock.now_ns())

    async def ends(self) -> Ended:
        await self.home.begins()
        plan, loss_max = await self.plan()
        before = self.home.holdings()
        kills = 0
        while True:
            journal = SqlTripJournal.at(self.folder / "arbitrage.db")
            try:
                trip = await self._life(journal, plan, loss_max, may_die=kills < KILLS_MAX)
                events = journal.kept(plan.id).events
            finally:
                journal.close()
            if trip is not None:
                break
            kills += 1
            await self.home.restarts()
        ended = self._judged(plan, trip, events, before, kills)
        await self.home.ends()
        return ended

    async def _life(self, journal: SqlTripJournal, plan: TripPlan, loss_max: int, *, may_die: bool) -> Trip | None:
        """Return the trip as it ended, None where the process was ended first."""
        way = self.chance.choice(("before", "after", "anywhere", "", "", "")) if may_die else ""
        used: Any = journal
        if way in ("before", "after"):
            used = KilledJournal(journal, self.chance.randrange(1, 6), is_after=way == "after")
        runner = TripRunner(used, self.venues(), RULES, self.clock, self.clock.sleep)
        try:
            with anyio.fail_after(_ENDS_WITHIN_S):
                async with anyio.create_task_group() as tasks:
                    if way == "anywhere":
                        tasks.start_soon(self._kill, self.chance.uniform(0, 1.5), tasks.cancel_scope)
                    why_not = await runner.take(plan, loss_max)
                    assert not why_not, why_not
                    trip = await runner.carry_out(plan.id)
                    tasks.cancel_scope.cancel()
                    return trip
        except* Killed:
            self.world.counts[f"killed {way} an event was written"] += 1
        return None

    async def _kill(self, after_s: float, scope: anyio.CancelScope) -> None:
        await self.clock.sleep(after_s)
        self.world.counts["killed anywhere"] += 1
        scope.cancel()

    def _judged(
        self, plan: TripPlan, trip: Trip, events: Sequence[Event], before: tuple[int, int], kills: int
    ) -> Ended:
        last_ns = max(each.at_ns for each in events)
        dead = sum(isinstance(each, Dead) for each in events)
        halves = sum(isinstance(each, Settled) for each in events) - 2
        ended = Ended(
            seed=self.seed,
            phase=trip.phase,
            took_s=(last_ns - plan.began_ns) / 10**9,
            left_s=(plan.flat_by_ns - last_ns) / 10**9,
            attempts=trip.attempts,
            kills=kills,
            failed_legs=dead + max(0, halves),
            result=trip.result,
        )
        if trip.phase not in (Phase.DONE, Phase.FLAT) or trip.middle > plan.dust:
            ended.wrong.append(f"{trip.phase.value}, {trip.middle} left")
        if ended.left_s < 0:
            ended.wrong.append(f"flat {-ended.left_s:.1f} s late")
        if trip.broken:
            ended.wrong.append(f"{trip.broken} fills below their floor")
        ended.wrong += self._books(trip, before)
        return ended

    def _books(self, trip: Trip, before: tuple[int, int]) -> list[str]:
        """Hold the trip's books against what chain and exchange really did, which nobody told it of."""
        keys = [f"{trip.plan.id}:{phase}:{n}" for phase in Phase for n in range(ATTEMPTS_MAX)]
        names = {order_name(each) for each in keys}
        desk = self.world.desk
        wrong = [
            f"order {each} came {n} times" for each, n in Counter(desk.received).items() if n > 1 and each in names
        ]
        money, middle = (now - was for now, was in zip(self.home.holdings(), before, strict=True))
        fills = 0
        for order in (desk.orders[each] for each in names if each in desk.orders):
            fees = sum((each[2] for each in order.fills), Decimal(0))
            is_buy, fills = order.side == "BUY", fills + len(order.fills)
            money += int((order.filled - fees if is_buy else -order.filled) * SOL)
            middle += int(-order.cost * USDC if is_buy else (order.cost - fees) * USDC)
        if abs(money - trip.result) > fills or abs(middle - trip.middle) > fills:
            wrong.append(f"the books say {trip.result} and {trip.middle} left, the venues {money} and {middle}")
        return wrong


async def trips(world: World, seeds: Sequence[int], *, at_once: int) -> AsyncIterator[Ended]:
    """Carry out one trip for each seed, so many at once, and give each as it ended."""
    waiting = list(reversed(seeds))
    send, receive = anyio.create_memory_object_stream[Ended](at_once)

    async def work(pair: ExchangePair, tasks: anyio.abc.TaskGroup) -> None:
        while waiting:
            await send.send(await Run(world, pair, waiting.pop(), tasks).ends())

    async with AsyncExitStack() as open_things, send, receive, anyio.create_task_group() as tasks:
        for _ in range(min(at_once, len(seeds))):
            tasks.start_soon(work, await open_things.enter_async_context(world.pair()), tasks)
        for _ in seeds:
            yield await receive.receive()
