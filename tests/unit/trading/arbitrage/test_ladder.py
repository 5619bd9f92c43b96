"""A quote between offers is never above what the venue would give, and none is made up beyond them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading.arbitrage.ladder import ladder
from trading.arbitrage.pools import ConstantProduct, swap
from trading.arbitrage.solana_leg import SolanaTerms
from trading.errors import InvalidInput
from trading.model.intent import SOL_MINT

pytestmark = pytest.mark.requirement("T15")
POOL = ConstantProduct(10**12, 3 * 10**13, 2_500)


def given_by(amount: int) -> int:
    found = swap(POOL, amount, gives_0=True)
    return 0 if found is None else found.amount_out


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(10**4, 10**12), min_size=1, max_size=8, unique=True), st.integers(1, 10**12))
def test_what_lies_between_two_offers_is_never_above_what_the_pool_gives(sizes: list[int], amount: int) -> None:
    offers = [(each, given_by(each)) for each in sorted(sizes)]
    quoted = ladder(offers)(amount)
    if amount > max(sizes):
        assert quoted is None
    else:
        assert quoted is not None
        assert quoted <= given_by(amount) + 1  # the pool rounds twice
        assert quoted >= given_by(amount) // 3 or amount < min(sizes)


def test_offers_themselves_are_quoted_as_they_are_and_nothing_for_nothing() -> None:
    quote = ladder([(10, 95), (20, 180)])
    assert [quote(each) for each in (-1, 0, 1, 10, 15, 20, 21)] == [None, None, 9, 95, 137, 180, None]


@pytest.mark.parametrize("offers", [[(10, 1), (10, 2)], [(0, 0)], [(5, 1), (4, 1)]])
def test_offers_that_do_not_rise_are_refused(offers: list[tuple[int, int]]) -> None:
    with pytest.raises(ValueError, match="rise"):
        ladder(offers)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"middle_mint": SOL_MINT}, "middle_mint"),
        ({"money_mint": "USDC"}, "middle_mint"),
        ({"sizes": ()}, "sizes"),
        ({"sizes": (2, 1)}, "sizes"),
        ({"sizes": (0, 1)}, "sizes"),
        ({"slippage_bps_max": 10_000}, "slippage_bps_max"),
    ],
)
def test_terms_that_cannot_be_are_refused_by_name(changes: dict[str, object], field: str) -> None:
    usual: dict[str, object] = {
        "wallet": "w",
        "money_mint": SOL_MINT,
        "middle_mint": "USDC",
        "sizes": (1, 2),
        "fee_lamports_max": 1,
    }
    with pytest.raises(InvalidInput) as told:
        SolanaTerms(**(usual | changes))  # type: ignore[arg-type]
    assert told.value.field == field
