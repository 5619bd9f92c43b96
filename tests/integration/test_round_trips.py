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
from trading.arbitrage.leg_venue import LegLook, LegVenue
from trading.arbitrage.monitor import Monitor, MonitorRules
from trading.arbitrage.opportunities import TripTerms, evaluate
from trading.arbitrage.planning import TripPace, planned_whole
from trading.arbitrage.round_trips import WholeLeg, WholeTerms
from trading.arbitrage.runner import RunnerRules, TripRunner
from trading.arbitrage.solana_leg import SolanaLeg, SolanaParts, SolanaTerms
from trading.arbitrage.trip_ports import TripLimits
from trading.arbitrage.trips import Attempt, Phase, Settled, Trip
from trading.errors import ExchangeUnavailable, InvalidInput
from trading.execution.preparing import PreparingParts
from trading.execution.round_trip import RoundTripPreparer
from trading.execution.upkeep import EitherPreparer
from trading.model.chain import SignWanted, SwapOffer, SwapWanted
from trading.model.intent import SOL_MINT, IntentRecord, IntentState
from trading.rehearsal.cluster import TRANSACTION_BYTES_MAX
from trading.rehearsal.pools import make_pool
from trading.rehearsal.tokens import NATIVE_MINT, TOKEN_PROGRAM
from trading.runtime.arbitrage_texts import Units, trip_document
from trading.runtime.clock import WallClock

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("T15")]
AMOUNT = 10**9
NET_MIN = 100_000
LIMITS = TripLimits(open_max=2, amount_max=10**12, day_loss_max=10**12)


@dataclass
class Stage:
    live: LiveStage
    wallet: str
    journal: SqlExecutionJournal
    trips: SqlTripJournal
    runner: TripRunner
    whole: WholeLeg
    monitor: Monitor

    async def carried(self, trip_id: str = "trip-1") -> Trip:
        with anyio.fail_after(20):
            return await self.runner.carry_out(trip_id)

    async def taken(self) -> Trip:
        """Take a whole trip of ``AMOUNT``, whatever it may bring."""
        look = await self.whole.look()
        found = evaluate(look.there, look.back, TripTerms(), AMOUNT)
        assert found is not None
        plan, loss_max = planned_whole(
            "trip-1", self.whole.name, found, NET_MIN, FEE_LAMPORTS_MAX, TripPace(), WallClock().now_ns()
        )
        assert await self.runner.take(plan, loss_max) == ""
        return await self.carried()

    def known(self, trip_id: str = "trip-1") -> IntentRecord:
        found = self.journal.by_key(f"{trip_id}:first:0")
        assert found is not None
        return found

    def holdings(self) -> tuple[int, int]:
        return self.live.lamports(self.wallet), self.live.units(self.wallet)


class Away:
    name = "away"

    async def look(self) -> LegLook:
        raise ExchangeUnavailable("nobody is there")


Bend = Callable[[PreparingParts], PreparingParts]


@asynccontextmanager
async def staged(
    folder: Path,
    bend: Bend = lambda parts: parts,
    gap_percent: int = 3,
    usual: TripTerms = TripTerms(),  # noqa: B008
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
        parts = SolanaParts(executor, journal, live.chain, live.parts.router, WallClock())
        leg, whole = SolanaLeg("solana", parts, terms), WholeLeg("whole", parts, WholeTerms(terms))
        venues: dict[str, LegVenue] = {"solana": leg, "whole": whole}
        trips = SqlTripJournal.at(folder / "arbitrage.db")
        runner = TripRunner(trips, venues, RunnerRules(LIMITS), WallClock())
        rules = MonitorRules(SIZES[0], AMOUNT, NET_MIN, usual)
        monitor = Monitor({"solana": leg, "away": Away()}, runner, trips, rules, WallClock())
        monitor.wholes = {"solana": whole}
        tasks.start_soon(hasten, cluster)
        async with at_work(executor, [wallet]):
            yield Stage(live, wallet, journal, trips, runner, whole, monitor)
        journal.close()
        trips.close()
        tasks.cancel_scope.cancel()


async def test_both_legs_land_as_one_transaction_that_brings_more_than_it_costs(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        before, pools = stage.holdings(), stage.live.market.pools
        stood = [pool.reserves(stage.live.market.cluster, NATIVE_MINT) for pool in pools]
        trip_id = await stage.monitor.round()
        trip = await stage.carried(trip_id)
        assert (trip.phase, trip.attempts) == (Phase.DONE, 1), stage.known(trip_id).problem
        lamports, units = (now - was for now, was in zip(stage.holdings(), before, strict=True))
        assert trip.result == lamports > NET_MIN
        assert units >= 0  # what the first swap brought beyond its least
        (attempt,) = stage.known(trip_id).attempts
        assert len(attempt.raw) <= TRANSACTION_BYTES_MAX
        now = [pool.reserves(stage.live.market.cluster, NATIVE_MINT) for pool in pools]
        assert now[0][0] - stood[0][0] == trip.paid
        assert now[1][0] < stood[1][0]
        # Told from the journals alone, as after a restart.
        assert await stage.carried(trip_id) == trip
        again = await stage.whole.ask(Attempt(f"{trip_id}:first:0", Phase.FIRST, "whole", trip.paid, 1, 0))
        assert isinstance(again, Settled)
        assert (again.amount_in, again.amount_out, again.cost) == (trip.paid, trip.back, trip.cost)
        assert stage.trips.kept(trip_id).plan == trip.plan
        (step,) = trip_document(stage.trips.trips(1)[0], Units({}))["steps"][1:]
        assert "both legs at once at whole gave " in step["text"]


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
        trip = await stage.taken()
        known = stage.known()
        assert (trip.phase, known.state) == (Phase.FLAT, IntentState.REVERTED)
        assert known.settlement is not None
        assert trip.result == -known.settlement.fee_lamports < 0
        assert -trip.result <= FEE_LAMPORTS_MAX
        lamports, units = (now - was for now, was in zip(stage.holdings(), before, strict=True))
        assert (lamports, units) == (trip.result, 0)


async def test_where_nothing_is_won_nothing_is_signed(tmp_path: Path) -> None:
    async with staged(tmp_path, gap_percent=0) as stage:
        before = stage.holdings()
        assert await stage.monitor.round() == ""
        trip = await stage.taken()
        assert (trip.phase, trip.result, stage.known().attempts) == (Phase.FLAT, 0, ())
        assert "is the least that was wished" in stage.known().problem
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
        first = await stage.monitor.round()
        assert (await stage.carried(first)).phase is Phase.FLAT
        assert "a packet holds" in stage.known(first).problem
        assert not stage.whole.fits
        trip = await stage.carried(await stage.monitor.round())
        assert (trip.phase, trip.attempts, trip.plan.is_whole) == (Phase.DONE, 2, False)
        lamports, units = (now - was for now, was in zip(stage.holdings(), before, strict=True))
        assert trip.result == lamports > 0
        assert units == trip.middle


async def test_what_computes_too_much_goes_in_legs_only_where_that_is_worth_it(tmp_path: Path) -> None:
    dear = TripTerms(carry_bps=500)
    async with staged(tmp_path, lambda parts: replace(parts, chain=Laborious(parts.chain)), usual=dear) as stage:
        trip_id = await stage.monitor.round()
        assert (await stage.carried(trip_id)).phase is Phase.FLAT
        assert "1200000 units" in stage.known(trip_id).problem
        assert await stage.monitor.round() == ""
        assert stage.trips.sightings(1)[0].why_not == "cost"


def test_money_of_a_whole_trip_is_sol() -> None:
    terms = SolanaTerms("w", "USDC", SOL_MINT, (1,), 1)
    with pytest.raises(InvalidInput, match="not USDC"):
        WholeTerms(terms)
