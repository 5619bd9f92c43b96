"""Whatever fails of a trip between the local chain and an exchange, it ends flat within its deadline: a few seeds of
the thousand that ``make arbitrage`` runs."""

import pytest
from tests.support.memory_disk import memory_directory
from tests.support.trip_chaos import trips, world

from trading.arbitrage.trips import Phase

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("T15")]
SEED = 1
RUNS = 8


async def test_whatever_fails_of_a_trip_it_ends_flat_in_time_and_its_books_are_true() -> None:
    with memory_directory() as folder:
        async with world(folder, SEED) as made:
            ended = [each async for each in trips(made, range(RUNS), at_once=RUNS)]
            counts = made.counts
    assert {each.seed: each.wrong for each in ended if each.wrong} == {}
    assert {each.phase for each in ended} <= {Phase.DONE, Phase.FLAT}
    assert len(ended) == RUNS
    assert sum(each.kills for each in ended) >= 1
    assert sum(counts.values()) >= RUNS  # what was done to them


async def test_a_client_that_takes_silence_for_a_refusal_is_caught() -> None:
    with memory_directory() as folder:
        async with world(folder, SEED) as made:
            made.is_careless = True
            made.desk.fault_for = lambda route, _given: "lost" if route == "order" else None
            # Odd seeds give at the chain first; even ones at the exchange, whose every answer is lost here.
            ended = [each async for each in trips(made, (0, 2, 4), at_once=3)]
    assert any("the books say" in wrong for each in ended for wrong in each.wrong)
