"""Leases: one holder at a time, renewed in time, taken over after their end with a larger token."""

import anyio
import pytest
from tests.support.journals import Bench

pytestmark = pytest.mark.anyio
TTL_S = 0.2


async def over(bench: Bench) -> None:
    """Let the time of a lease run out: by the server's clock, and by that of a journal in a file."""
    bench.clock.advance(1)
    await anyio.sleep(1.5 * TTL_S if bench.body == "postgresql" else 0)


async def test_a_lease_has_one_holder_who_can_renew_it(bench: Bench) -> None:
    token = await bench.journal.take_lease("upkeep", "one", 60)
    assert token is not None
    assert await bench.journal.take_lease("upkeep", "two", 60) is None
    assert await bench.journal.take_lease("upkeep", "one", 60) == token
    assert await bench.journal.lease_holder("upkeep") == "one"
    assert await bench.journal.lease_holder("another") is None
    assert await bench.journal.take_lease("another", "two", 60) is not None


async def test_a_lease_that_is_over_goes_to_the_next_with_a_larger_token(bench: Bench) -> None:
    first = await bench.journal.take_lease("upkeep", "one", TTL_S)
    await over(bench)
    second = await bench.journal.take_lease("upkeep", "two", 60)
    assert first is not None
    assert second is not None
    assert second > first
    assert await bench.journal.take_lease("upkeep", "one", 60) is None


async def test_one_who_slept_over_the_end_of_his_lease_sees_it_by_the_token(bench: Bench) -> None:
    first = await bench.journal.take_lease("upkeep", "one", TTL_S)
    await over(bench)
    again = await bench.journal.take_lease("upkeep", "one", 60)
    assert first is not None
    assert again is not None
    assert again > first


async def test_a_lease_given_back_is_free_at_once_and_only_its_holder_gives_it_back(bench: Bench) -> None:
    await bench.journal.take_lease("upkeep", "one", 60)
    await bench.journal.release_lease("upkeep", "two")
    assert await bench.journal.take_lease("upkeep", "two", 60) is None
    await bench.journal.release_lease("upkeep", "one")
    assert await bench.journal.lease_holder("upkeep") is None
    assert await bench.journal.take_lease("upkeep", "two", 60) is not None


async def test_the_holder_is_known_to_the_journal_when_it_is_opened_again(bench: Bench) -> None:
    await bench.journal.take_lease("upkeep", "one", 60)
    async with bench.reopen() as again:
        assert await again.take_lease("upkeep", "two", 60) is None
