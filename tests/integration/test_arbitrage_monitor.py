"""Opportunities planted above and below their full cost between two venues: which are taken, and why others are not."""

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.two_venues import LIMITS, RULES, TwoVenues, plant

from trading.arbitrage.monitor import Monitor, weighed
from trading.arbitrage.opportunities import LegTerms
from trading.arbitrage.paper_leg import PaperInventory, PaperLeg, PaperTerms
from trading.arbitrage.runner import RunnerRules, TripRunner
from trading.arbitrage.trips import Phase

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("T15")]


class Chance:
    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def uniform(self) -> float:
        return self._random.random()

    def below(self, n: int) -> int:
        return self._random.randrange(n)


async def test_of_what_is_planted_above_full_cost_nine_tenths_are_taken_and_nothing_below(tmp_path: Path) -> None:
    market = TwoVenues(tmp_path)
    found = await plant(market, 60)  # a thousand of them: make arbitrage
    market.journal.close()
    assert found.above >= 20
    assert found.below >= 12
    assert found.taken >= 0.9 * found.above
    assert found.wrong == 0
    assert all(result > 0 for result in found.results)  # nothing fails here, so what was expected came about


async def test_each_thing_that_is_not_taken_says_why(tmp_path: Path) -> None:
    market = TwoVenues(tmp_path, net_min=10**9)
    said: Counter[str] = Counter()

    async def round_of(gap_ppm: int) -> None:
        market.plant(gap_ppm)
        market.clock.advance(1)
        await market.monitor.round()
        said.update(each.why_not for each in market.journal.sightings(2))

    await round_of(0)
    await round_of(3_000)
    await round_of(200_000)
    market.journal.halt("a test")
    await round_of(200_000)
    market.plant(5_000)
    market.legs[0].money = market.legs[1].middle = 0
    await market.monitor.round()
    said.update(each.why_not for each in market.journal.sightings(2))
    assert set(said) >= {"cost", "net_min", "", "halted", "inventory"}
    market.journal.close()


async def test_a_venue_that_says_nothing_is_left_out_of_the_round(tmp_path: Path) -> None:
    market = TwoVenues(tmp_path)
    market.plant(200_000)
    market.legs[1].silent = 1.0
    assert await market.monitor.round() == ""
    assert list(market.journal.sightings()) == []
    market.journal.close()


async def test_old_looks_too_little_inventory_and_no_depth_are_not_acted_on(tmp_path: Path) -> None:
    market = TwoVenues(tmp_path)
    market.plant(200_000)
    # A middle token that is dear at the second venue: money is given at the first.
    one, other = [await each.look() for each in market.legs]
    now_ns = market.clock.now_ns()
    found = next(w for w in (weighed(one, other, RULES, now_ns), weighed(other, one, RULES, now_ns)) if not w.why_not)
    first, second = found.first, found.second
    assert weighed(first, second, RULES, now_ns + 6 * 10**9).why_not == "stale"
    half = found.found.middle // 2 if found.found else 0
    less = weighed(first, replace(second, middle_free=half), RULES, now_ns)
    assert less.found is not None
    assert 0.9 * half < less.found.middle <= half
    assert weighed(first, replace(second, middle_free=0), RULES, now_ns).why_not == "inventory"
    assert weighed(first, replace(second, middle_free=1), RULES, now_ns).why_not == "inventory"
    shallow = replace(first, there=LegTerms("a", lambda _amount: None))
    assert weighed(shallow, second, RULES, now_ns).why_not == "no_price"
    market.journal.close()


async def test_what_a_trip_under_way_is_to_be_hedged_with_is_not_promised_to_another(tmp_path: Path) -> None:
    market = TwoVenues(tmp_path)
    market.plant(20_000)
    first = await market.monitor.round()
    kept = market.journal.kept(first)
    market.clock.advance(1)
    for leg in market.legs:  # enough to hedge this one, and half of another
        leg.middle = kept.plan.second.amount_in * 3 // 2
    assert await market.monitor.round()
    again = market.journal.unfinished()[1].plan
    assert again.second.amount_in <= kept.plan.second.amount_in // 2
    market.clock.advance(1)
    assert await market.monitor.round() == "", "all of it is promised"
    assert "inventory" in {each.why_not for each in market.journal.sightings(2)}
    for trip in market.journal.unfinished():
        await market.runner.carry_out(trip.plan.id)
    assert market.runner.promised("a") == market.runner.promised("b") == (0, 0)
    market.journal.close()


async def test_on_paper_prices_are_real_and_nothing_is_sent(tmp_path: Path) -> None:
    market = TwoVenues(tmp_path)
    market.plant(20_000)
    terms = PaperTerms(latency_s=0.4, cost=4_000, fails_bps=2_000)
    held = {each.name: PaperInventory(10**13, 10**13) for each in market.legs}
    before = sum(each.money + each.middle for each in held.values())
    paper = {
        each.name: PaperLeg(each, held[each.name], terms, Chance(5), market.clock, market.clock.sleep)
        for each in market.legs
    }
    runner = TripRunner(market.journal, paper, RunnerRules(LIMITS), market.clock, market.clock.sleep)
    monitor = Monitor(paper, runner, market.journal, RULES, market.clock, market.clock.sleep)
    done, results = 0, 0
    for _ in range(20):
        trip_id = await monitor.round()
        assert trip_id
        trip = await runner.carry_out(trip_id)
        assert trip.phase in (Phase.DONE, Phase.FLAT)
        assert trip.middle == 0
        done, results = done + (trip.phase is Phase.DONE), results + trip.result
    assert done > 10
    assert sum(each.money + each.middle for each in held.values()) - before == results
    assert [each.received for each in market.legs] == [[], []]
    market.journal.close()


@pytest.mark.parametrize("change", [{"least": 0}, {"keep_bps": 10_000}, {"net_min": -1}])
def test_rules_that_cannot_be_are_refused(change: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        replace(RULES, **change)  # type: ignore[arg-type]


def test_one_venue_is_no_market(tmp_path: Path) -> None:
    market = TwoVenues(tmp_path)
    with pytest.raises(ValueError, match="1 venues"):
        Monitor({"a": market.legs[0]}, market.runner, market.journal, RULES, market.clock)
    market.journal.close()
