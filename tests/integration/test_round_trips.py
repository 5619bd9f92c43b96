"""Both legs in one transaction on the local chain: it lands and wins more than it costs, or only a fee is gone."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from solders.pubkey import Pubkey
from tests.support.live_stage import RULES, KeySigner, LiveStage, at_work, live_stage
from tests.support.solana_home import FEE_LAMPORTS_MAX, SIZES, give_tokens, hasten

from trading.adapters.execution_journal import SqlExecutionJournal
from trading.adapters.trip_journal import SqlTripJournal
from trading.arbitrage.opportunities import TripTerms
from trading.arbitrage.planning import TripPace
from trading.arbitrage.round_trips import WholeOutcome, WholeState, WholeTerms, WholeTrips
from trading.arbitrage.runner import RunnerRules, TripRunner
from trading.arbitrage.solana_leg import SolanaLeg, SolanaParts, SolanaTerms
from trading.arbitrage.trip_ports import TripLimits
from trading.arbitrage.trips import Phase
from trading.execution.executor import Executor
from trading.execution.preparing import PreparingParts
from trading.execution.round_trip import RoundTripPreparer
from trading.execution.upkeep import EitherPreparer
from trading.model.chain import SignWanted, SwapOffer, SwapWanted
from trading.model.intent import SOL_MINT, IntentRecord, IntentState
from trading.rehearsal.cluster import TRANSACTION_BYTES_MAX
from trading.rehearsal.pools import make_pool
from trading.rehearsal.tokens import NATIVE_MINT, TOKEN_PROGRAM
from trading.runtime.clock import WallClock

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("T15")]
AMOUNT = 10**9
NET_MIN = 100_000
LIMITS = TripLimits(open_max=2, amount_max=10**12, day_loss_max=10**12)


@dataclass
class Stage:
    live: LiveStage
    folder: Path
    wallet: str
    executor: Executor
    journal: SqlExecutionJournal
    trips: SqlTripJournal
    runner: TripRunner
    leg: SolanaLeg
    whole: WholeTrips

    async def take(self, trip_id: str = "trip-1") -> WholeOutcome:
        with anyio.fail_after(20):
            return await self.whole.take(trip_id, await self.leg.look(), AMOUNT)

    def known(self, trip_id: str = "trip-1") -> IntentRecord:
        found = self.journal.by_key(trip_id)
        assert found is not None
        return found

    def holdings(self) -> tuple[int, int]:
        return self.live.lamports(self.wallet), self.live.units(self.wallet)


def move(live: LiveStage, percent: int) -> None:
    """Change what both pools pay for the token."""
    cluster = live.market.cluster
    for pool in live.market.pools:
        mint = pool.other(NATIVE_MINT)
        units, _ = pool.reserves(cluster, mint)
        give_tokens(cluster, mint, pool.authority, units * (100 + percent) // 100, pool.program(mint))


Bend = Callable[[PreparingParts], PreparingParts]


@asynccontextmanager
async def staged(
    folder: Path, bend: Bend = lambda parts: parts, gap_percent: int = 3, two_legs: TripTerms | None = None
) -> AsyncIterator[Stage]:
    """A second pool pays so much more for the token than the first takes for it."""
    async with live_stage() as live, anyio.create_task_group() as tasks:
        cluster, mint = live.market.cluster, Pubkey.from_string(live.market.frog)
        first = live.market.pool.reserves(cluster, NATIVE_MINT)
        live.market.pools.append(make_pool(cluster, mint, first[0], first[1] * 100 // (100 + gap_percent), fee_bps=30))
        wallet = live.wallet()
        give_tokens(cluster, mint, Pubkey.from_string(wallet), 7, TOKEN_PROGRAM)
        journal = SqlExecutionJournal.at(folder / "execution.db", WallClock().now_ns)
        preparer = EitherPreparer(live.preparer, live.preparer, RoundTripPreparer(bend(live.parts), RULES))
        executor = replace(live, preparer=preparer).executor(journal)  # type: ignore[arg-type]
        terms = SolanaTerms(wallet, SOL_MINT, live.market.frog, SIZES, FEE_LAMPORTS_MAX, poll_s=0.01)
        leg = SolanaLeg("solana", SolanaParts(executor, journal, live.chain, live.parts.router, WallClock()), terms)
        trips = SqlTripJournal.at(folder / "arbitrage.db")
        runner = TripRunner(trips, {"solana": leg}, RunnerRules(LIMITS), WallClock())
        rules = WholeTerms(terms, str(TOKEN_PROGRAM), NET_MIN, two_legs or TripTerms(), TripPace())
        whole = WholeTrips(executor, journal, runner, rules, WallClock())
        tasks.start_soon(hasten, cluster)
        async with at_work(executor, [wallet]):
            yield Stage(live, folder, wallet, executor, journal, trips, runner, leg, whole)
        journal.close()
        trips.close()
        tasks.cancel_scope.cancel()


async def test_both_legs_land_as_one_transaction_that_brings_more_than_it_costs(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        before, pools = stage.holdings(), stage.live.market.pools
        stood = [pool.reserves(stage.live.market.cluster, NATIVE_MINT) for pool in pools]
        outcome = await stage.take()
        assert outcome.state is WholeState.DONE, outcome
        lamports, units = (now - was for now, was in zip(stage.holdings(), before, strict=True))
        assert outcome.result == lamports >= NET_MIN
        assert units >= 0  # what the first swap brought beyond its least
        (attempt,) = stage.known().attempts
        assert len(attempt.raw) <= TRANSACTION_BYTES_MAX
        now = [pool.reserves(stage.live.market.cluster, NATIVE_MINT) for pool in pools]
        assert now[0][0] - stood[0][0] == AMOUNT
        assert now[1][0] < stood[1][0]
        # The same trip again, and one that is asked about, is this one.
        assert await stage.take() == outcome == await stage.whole.outcome("trip-1")
        assert len(stage.known().attempts) == 1
        assert (await stage.whole.outcome("trip-2")).state is WholeState.NOT_TAKEN


class MovingSigner(KeySigner):
    """The price moves while the transaction is signed: after it was simulated, before it lands."""

    def __init__(self, keys: dict[str, Any], moves: Callable[[], None]) -> None:
        super().__init__(keys)
        self._moves = moves

    async def sign(self, wanted: SignWanted) -> bytes:
        signed = await super().sign(wanted)
        self._moves()
        return signed


async def test_one_whose_second_leg_would_lose_fails_whole_and_only_the_fee_is_paid(tmp_path: Path) -> None:
    stages: list[Stage] = []

    def bend(parts: PreparingParts) -> PreparingParts:
        def moves() -> None:
            pool = stages[0].live.market.pools[1]
            cluster, mint = stages[0].live.market.cluster, pool.other(NATIVE_MINT)
            units, _ = pool.reserves(cluster, mint)
            give_tokens(cluster, mint, pool.authority, units * 11 // 10, pool.program(mint))

        return replace(parts, signer=MovingSigner(parts.signer.keys, moves))  # type: ignore[attr-defined]

    async with staged(tmp_path, bend) as stage:
        stages.append(stage)
        before = stage.holdings()
        outcome = await stage.take()
        known = stage.known()
        assert (outcome.state, known.state) == (WholeState.FLAT, IntentState.REVERTED)
        assert known.settlement is not None
        assert outcome.result == -known.settlement.fee_lamports < 0
        lamports, units = (now - was for now, was in zip(stage.holdings(), before, strict=True))
        assert (lamports, units) == (outcome.result, 0)


async def test_where_nothing_is_won_nothing_is_signed(tmp_path: Path) -> None:
    async with staged(tmp_path, gap_percent=0) as stage:
        before = stage.holdings()
        outcome = await stage.take()
        assert (outcome.state, outcome.result, stage.known().attempts) == (WholeState.FLAT, 0, ())
        assert "is the least that was wished" in outcome.why_not
        assert stage.holdings() == before


class LongRoutes:
    """Routes with so many accounts that one transaction holds one of them, and not both."""

    name = "long"

    def __init__(self, router: Any) -> None:
        self._router = router

    async def offer(self, wanted: SwapWanted) -> SwapOffer:
        offer: SwapOffer = await self._router.offer(wanted)
        is_there = wanted.in_mint == SOL_MINT
        more = tuple((str(Pubkey.from_bytes(bytes([n, is_there] * 16))), False, False) for n in range(1, 16))
        return replace(offer, swap=replace(offer.swap, accounts=(*offer.swap.accounts, *more)))


class Laborious:
    """A chain on which the two swaps take nearly all that a transaction may compute."""

    def __init__(self, chain: Any) -> None:
        self._chain = chain

    def __getattr__(self, name: str) -> Any:
        return getattr(self._chain, name)

    async def simulate(self, *args: Any, **kwargs: Any) -> Any:
        return replace(await self._chain.simulate(*args, **kwargs), compute_units=1_200_000)


async def test_two_routes_that_one_transaction_does_not_hold_are_made_as_two_legs(tmp_path: Path) -> None:
    async with staged(tmp_path, lambda parts: replace(parts, router=LongRoutes(parts.router))) as stage:
        before = stage.holdings()
        outcome = await stage.take()
        assert outcome.state is WholeState.IN_LEGS, outcome
        assert "a packet holds" in stage.known().problem
        with anyio.fail_after(20):
            trip = await stage.runner.carry_out("trip-1")
        assert trip.phase is Phase.DONE
        lamports, units = (now - was for now, was in zip(stage.holdings(), before, strict=True))
        assert trip.result == lamports > 0
        assert units == trip.middle


async def test_what_computes_too_much_is_no_whole_trip_and_in_legs_only_where_that_is_worth_it(tmp_path: Path) -> None:
    dear = TripTerms(carry_bps=500)
    async with staged(tmp_path, lambda parts: replace(parts, chain=Laborious(parts.chain)), two_legs=dear) as stage:
        outcome = await stage.take()
        assert (outcome.state, outcome.why_not) == (WholeState.NOT_TAKEN, "cost")
        assert "1200000 units" in stage.known().problem
        assert not stage.trips.unfinished()
