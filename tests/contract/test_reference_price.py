"""What every second price promises: lamports a base unit as a fraction, the time it was made, None for a stranger."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from fractions import Fraction

import pytest
from tests.doubles.scripted_chain import TOKEN, ScriptedChain
from tests.doubles.scripted_prices import ChainPoolPrices, ScriptedPrices

from trading.errors import FeedUnavailable
from trading.ports import ReferencePrice

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("T10")]


@dataclass(frozen=True, slots=True)
class Stage:
    """A body that knows ``mint`` at ``lamports_a_unit`` at the time ``now_ns``; ``break_it`` takes its source away."""

    prices: ReferencePrice
    mint: str
    stranger: str
    lamports_a_unit: Fraction
    now_ns: int
    break_it: Callable[[], None] | None = None


@asynccontextmanager
async def scripted() -> AsyncIterator[Stage]:
    prices = ScriptedPrices(lambda: 5_000)
    prices.points["mint"] = (3, 7)
    yield Stage(
        prices,
        "mint",
        "other",
        Fraction(3, 7),
        5_000,
        lambda: prices.errors.append(FeedUnavailable("gone")),
    )


@asynccontextmanager
async def chain_pool() -> AsyncIterator[Stage]:
    chain = ScriptedChain()
    yield Stage(ChainPoolPrices(chain), TOKEN, "other", Fraction(*chain.pool), chain.now_ns())


BODIES: list[Callable[[], AbstractAsyncContextManager[Stage]]] = [scripted, chain_pool]


@pytest.fixture(params=BODIES, ids=lambda make: make.__name__)
async def stage(request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    async with request.param() as made:
        yield made


async def test_a_price_is_lamports_a_base_unit(stage: Stage) -> None:
    found = await stage.prices.price(stage.mint)
    assert found is not None
    assert found.mint == stage.mint
    assert found.source == stage.prices.name
    assert Fraction(found.lamports_numerator, found.base_units_denominator) == stage.lamports_a_unit


async def test_a_price_carries_the_time_it_was_made(stage: Stage) -> None:
    found = await stage.prices.price(stage.mint)
    assert found is not None
    assert stage.now_ns - 60 * 10**9 <= found.ts_ns <= stage.now_ns + 60 * 10**9


async def test_a_stranger_has_no_price(stage: Stage) -> None:
    assert await stage.prices.price(stage.stranger) is None


async def test_a_source_that_is_gone_is_said_to_be(stage: Stage) -> None:
    if stage.break_it is None:
        pytest.skip("this one has its source at hand")
    stage.break_it()
    with pytest.raises(FeedUnavailable):
        await stage.prices.price(stage.mint)
