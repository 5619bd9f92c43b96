"""Full cost before the fact, and the size at which a trip leaves most."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading.arbitrage.opportunities import LegTerms, Quote, TripTerms, best, evaluate
from trading.arbitrage.pools import ConstantProduct, swap

pytestmark = pytest.mark.requirement("T15")
SOL = 10**9


def pool(sol: int, usd: int, fee_ppm: int = 3_000, *, gives_sol: bool) -> Quote:
    """Return the quote of a constant-product pool of SOL (lamports) and USDC (millionths)."""
    state = ConstantProduct(sol, usd, fee_ppm)

    def quote(amount_in: int) -> int | None:
        found = swap(state, amount_in, gives_0=gives_sol)
        return None if found is None else found.amount_out

    return quote


def two_pools(gap_bps: int, **terms: int) -> tuple[LegTerms, LegTerms]:
    """Return the legs of a trip that sells SOL where it is dearer by the gap and buys it back where it is cheaper."""
    dear = pool(10_000 * SOL, 1_500_000 * 10**6 * (10_000 + gap_bps) // 10_000, gives_sol=True)
    cheap = pool(10_000 * SOL, 1_500_000 * 10**6, gives_sol=False)
    return LegTerms("dear", dear, **terms), LegTerms("cheap", cheap, **terms)


def test_a_gap_below_both_fees_leaves_nothing() -> None:
    assert best(*two_pools(59), TripTerms(), least=SOL // 100, most=1_000 * SOL) is None


def test_a_gap_above_both_fees_leaves_something_until_the_other_costs_eat_it() -> None:
    legs = two_pools(100)
    found = best(*legs, TripTerms(), least=SOL // 100, most=1_000 * SOL)
    assert found is not None
    assert found.net == found.back - found.amount > 0
    dear = two_pools(100, attempt_cost=found.net // 2 + 1)
    assert best(*dear, TripTerms(), least=SOL // 100, most=1_000 * SOL) is None


def test_each_cost_is_counted_exactly_and_rounded_against_us() -> None:
    first = LegTerms("a", lambda amount: amount, attempt_cost=1_001, fails_bps=5_000)
    second = LegTerms("b", lambda amount: amount + 100_000, attempt_cost=10)
    terms = TripTerms(
        breaks_bps=100, unwind_bps=33, carry_bps=1, carry_fixed=7, carry_batch=1_000_000,
        capital_bps_year=2_000, funding_bps_year=1_000, turn_s=86_400,
    )  # fmt: skip
    trip = evaluate(first, second, terms, 1_000_001)
    assert trip is not None
    cost = trip.cost
    assert cost.attempts == 2 * 1_001 + 10
    assert cost.unwinding == -(-(3_301 + 2_002) * 100 // 10_000) == 54
    assert cost.carrying == 101 + 8
    assert cost.capital == -(-1_000_001 * 2_000 * 86_400 // (10_000 * 365 * 86_400)) == 548
    assert cost.funding == 274
    assert trip.gross == 100_000
    assert trip.net == 100_000 - 2_012 - 54 - 109 - 548 - 274


@settings(deadline=None, max_examples=60)
@given(gap_bps=st.integers(0, 800), cost=st.integers(0, SOL // 10), seed=st.integers(0, 2**32))
def test_no_size_leaves_more_than_the_one_that_is_found(gap_bps: int, cost: int, seed: int) -> None:
    legs = two_pools(gap_bps, attempt_cost=cost)
    least, most = SOL // 100, 2_000 * SOL
    found = best(*legs, TripTerms(), least=least, most=most)
    nets = [trip.net for n in range(300) if (trip := evaluate(*legs, TripTerms(), _size(n, seed, least, most)))]
    top = max(nets)
    if found is None:
        assert top <= 0
    else:
        # Quotes are whole units: the hill has steps of the smallest unit of the middle token.
        assert found.net >= top - 2_000


def _size(number: int, seed: int, least: int, most: int) -> int:
    chance = random.Random(seed * 1_000 + number)
    return round(least * (most / least) ** chance.random())


def test_a_depth_that_ends_bounds_the_size() -> None:
    shallow = LegTerms("book", lambda amount: amount * 102 // 100 if amount <= 5 * SOL else None)
    even = LegTerms("other", lambda amount: amount)
    found = best(shallow, even, TripTerms(), least=SOL, most=100 * SOL)
    assert found is not None
    assert 5 * SOL - 100 <= found.amount <= 5 * SOL
    assert best(shallow, even, TripTerms(), least=6 * SOL, most=100 * SOL) is None


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: LegTerms("a", abs, attempt_cost=-1), "attempt_cost is -1; allowed is 0 or more"),
        (lambda: LegTerms("a", abs, fails_bps=9_001), "fails_bps is 9001; allowed is 0 to 9000"),
        (lambda: TripTerms(breaks_bps=10_001), "breaks_bps is 10001"),
        (lambda: TripTerms(carry_fixed=1), "carry_batch is 0"),
        (lambda: best(LegTerms("a", abs), LegTerms("b", abs), TripTerms(), least=2, most=1), "most is 1"),
    ],
)
def test_what_is_no_cost_is_refused_by_name(make: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()  # type: ignore[operator]
