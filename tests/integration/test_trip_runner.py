"""Trips from a journal on disk, killed at every point: each leg at most once, ends flat, limits shared."""

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from tests.support.leg_venues import PoolLeg
from tests.support.market_server import SteppedClock, eventually

from trading.adapters.trip_journal import SIGHTINGS_MAX, SqlTripJournal
from trading.arbitrage.opportunities import TripTerms, best
from trading.arbitrage.planning import TripPace, planned
from trading.arbitrage.pools import ConstantProduct
from trading.arbitrage.runner import RunnerRules, TripRunner
from trading.arbitrage.trip_ports import Sighting, TripLimits
from trading.arbitrage.trips import Attempt, Event, Phase, Settled, Trip, TripPlan
from trading.errors import InvalidInput, JournalUnavailable

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("T15")]
LIMITS = TripLimits(open_max=2, amount_max=10**12, day_loss_max=10**11)
RULES = RunnerRules(LIMITS)
PACE = TripPace(first_slip_bps=100)


class Killed(BaseException):
    """The process ends here."""


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


class Stage:
    def __init__(self, folder: Path, seed: int = 0) -> None:
        self.clock, self.path = SteppedClock(), folder / "arbitrage.db"
        chance = random.Random(seed)
        cheap, dear = ConstantProduct(10**15, 10**15, 3_000), ConstantProduct(10**15, 9 * 10**14, 3_000)
        self.legs = [
            PoolLeg(name, pool, self.clock.now_ns, chance, self.clock.advance, cost=5_000)
            for name, pool in (("cheap", cheap), ("dear", dear))
        ]
        self.venues = {each.name: each for each in self.legs}
        self.journal = SqlTripJournal.at(self.path)

    def runner(self, journal: object = None, rules: RunnerRules = RULES) -> TripRunner:
        return TripRunner(journal or self.journal, self.venues, rules, self.clock, self.clock.sleep)  # type: ignore[arg-type]

    def reopened(self) -> None:
        self.journal.close()
        self.journal = SqlTripJournal.at(self.path)

    async def plan(self, trip_id: str = "t1") -> tuple[TripPlan, int]:
        first, second = [await each.look() for each in self.legs]
        found = best(first.there, second.back, TripTerms(), least=10**6, most=10**12)
        assert found is not None
        return planned(trip_id, first, second, found, PACE, self.clock.now_ns())

    def fills(self) -> list[Settled]:
        return [each for leg in self.legs for each in leg.done.values() if isinstance(each, Settled)]

    def check(self, trip: Trip) -> None:
        """What the books say is what the venues did."""
        fills = self.fills()
        assert trip.paid == sum(each.amount_in for each in fills if ":first:" in each.key)
        assert trip.back == sum(each.amount_out for each in fills if ":first:" not in each.key)
        spent = sum(leg.cost for leg in self.legs for each in leg.done.values() if each.cost)
        assert trip.cost == spent


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    staged = Stage(tmp_path)
    yield staged
    staged.journal.close()


async def test_both_legs_are_made_and_the_result_is_what_the_venues_gave(stage: Stage) -> None:
    plan, loss_max = await stage.plan()
    runner = stage.runner()
    assert await runner.take(plan, loss_max) == ""
    trip = await runner.carry_out(plan.id)
    assert trip.phase is Phase.DONE
    assert trip.result > 0
    stage.check(trip)
    assert stage.journal.day_result(stage.clock.now_ns()) == trip.result
    assert stage.journal.kept(plan.id).phase is Phase.DONE


@pytest.mark.parametrize("is_after", [False, True])
async def test_killed_at_every_writing_each_leg_is_made_at_most_once(tmp_path: Path, is_after: bool) -> None:
    died = 0
    for seed in range(3):
        for at in range(1, 9):
            stage = Stage(tmp_path / f"{is_after}-{seed}-{at}", seed)
            for leg in stage.legs:
                leg.fails, leg.loses, leg.silent, leg.parts = 0.3, 0.3, 0.2, 0.3
            plan, loss_max = await stage_plan(stage)
            first = stage.runner(KilledJournal(stage.journal, at, is_after=is_after))
            assert await first.take(plan, loss_max) == ""
            try:
                await first.carry_out(plan.id)
            except Killed:
                died += 1
            stage.reopened()
            trip = await stage.runner().carry_out(plan.id)  # ``PoolLeg`` refuses a key that it has had
            assert trip.phase in (Phase.DONE, Phase.FLAT), f"seed {seed}, killed at {at}"
            stage.check(trip)
            stage.journal.close()
    assert died >= 10


async def stage_plan(stage: Stage) -> tuple[TripPlan, int]:
    silent = [each.silent for each in stage.legs]
    for each in stage.legs:
        each.silent = 0.0
    found = await stage.plan()
    for each, was in zip(stage.legs, silent, strict=True):
        each.silent = was
    return found


async def test_a_second_venue_that_is_down_is_unwound_at_the_first_within_the_deadline(stage: Stage) -> None:
    stage.legs[1].is_down_for = lambda attempt: not attempt.gives_money
    plan, loss_max = await stage.plan()
    runner = stage.runner()
    await runner.take(plan, loss_max)
    trip = await runner.carry_out(plan.id)
    assert (trip.phase, trip.middle) == (Phase.FLAT, 0)
    assert stage.clock.now_ns() <= plan.flat_by_ns + plan.attempt_ns
    assert -loss_max - trip.cost <= trip.result < 0
    assert stage.journal.halted() == ""


async def test_what_cannot_be_brought_back_halts_and_waits_for_a_person(stage: Stage) -> None:
    def is_down(attempt: Attempt) -> bool:
        return not attempt.gives_money

    stage.legs[0].is_down_for = stage.legs[1].is_down_for = is_down
    plan, loss_max = await stage.plan()
    runner = stage.runner()
    await runner.take(plan, loss_max)
    assert (await runner.carry_out(plan.id)).phase is Phase.STUCK
    assert "t1 is stuck" in stage.journal.halted()
    assert await runner.take(replace(plan, id="t2"), 1) == "halted"
    with pytest.raises(InvalidInput, match="waits for a person"):
        stage.journal.resume("ann", "looked")
    with pytest.raises(InvalidInput, match="reason"):
        stage.journal.settle_by_hand("t1", "ann", " ", -5)
    stage.journal.settle_by_hand("t1", "ann", "sold by hand", -5)
    stage.journal.resume("ann", "sold by hand")
    assert await runner.take(replace(plan, id="t2"), 1) == ""


async def test_who_is_killed_before_the_halt_is_written_opens_no_trip_either(stage: Stage) -> None:
    class NeverHalts(KilledJournal):
        def halt(self, why: str) -> None:
            raise Killed(why)

    for leg in stage.legs:
        leg.is_down_for = lambda attempt: not attempt.gives_money
    plan, loss_max = await stage.plan()
    runner = stage.runner(NeverHalts(stage.journal, -1, is_after=True))
    await runner.take(plan, loss_max)
    with pytest.raises(Killed):
        await runner.carry_out(plan.id)
    stage.reopened()
    assert stage.journal.halted() == ""
    assert await stage.runner().take(replace(plan, id="t2"), 1) == "halted"


async def test_the_limits_are_shared_by_all_trips_open_and_over(stage: Stage) -> None:
    plan, _ = await stage.plan()
    runner = stage.runner()
    assert await runner.take(replace(plan, id="a"), LIMITS.day_loss_max - 10) == ""
    assert await runner.take(replace(plan, id="b"), 11) == "day_loss_max"
    big = replace(plan, id="c", first=replace(plan.first, amount_in=LIMITS.amount_max + 1))
    assert await runner.take(big, 1) == "amount_max"
    assert await runner.take(replace(plan, id="d"), 10) == ""
    assert await runner.take(replace(plan, id="e"), 1) == "open_max"
    assert await runner.take(replace(plan, id="a"), 1) == ""  # known already
    assert len(stage.journal.unfinished()) == 2


async def test_a_restart_takes_up_what_is_open_by_itself(stage: Stage) -> None:
    plan, loss_max = await stage.plan()
    await stage.runner().take(plan, loss_max)
    stage.reopened()
    async with anyio.create_task_group() as tasks:
        await tasks.start(stage.runner().run)
        await eventually(lambda: not stage.journal.unfinished(), 10)
        tasks.cancel_scope.cancel()
    assert stage.journal.kept(plan.id).phase is Phase.DONE


async def test_who_opened_the_journal_before_may_write_no_more(stage: Stage) -> None:
    plan, loss_max = await stage.plan()
    zombie = stage.runner()
    second = SqlTripJournal.at(stage.path)
    with pytest.raises(JournalUnavailable, match="another process"):
        await zombie.take(plan, loss_max)
    second.close()


async def test_a_venue_that_is_not_there_is_named(stage: Stage) -> None:
    plan, _ = await stage.plan()
    with pytest.raises(InvalidInput, match="nowhere is none of cheap, dear"):
        await stage.runner().take(replace(plan, second=replace(plan.second, venue="nowhere")), 1)


def test_what_was_seen_is_kept_up_to_a_bound_the_newest_first(stage: Stage) -> None:
    rows = [Sighting(at, "a", "b", 2**70, 3, -4, "below_cost") for at in range(SIGHTINGS_MAX + 1_001)]
    stage.journal.seen(rows)
    stage.journal.seen([])
    assert stage.journal.sightings(2) == [rows[-1], rows[-2]]
    assert len(stage.journal.sightings(10**9)) == SIGHTINGS_MAX


@pytest.mark.parametrize("change", ["open_max", "amount_max", "day_loss_max"])
def test_a_limit_of_nothing_is_refused(change: str) -> None:
    with pytest.raises(ValueError, match=change):
        replace(LIMITS, **{change: 0})
