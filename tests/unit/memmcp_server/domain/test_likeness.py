"""Same, contrary or different: what may be merged and what must be told apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memmcp_server.domain.likeness import compare

SAME = [
    ("BONK breakouts fade after funding resets", "BONK breakouts fade after the funding reset"),
    ("The desk pauses entries at 5 % drawdown", "The desk pauses entries at 5 % of drawdown"),
    ("we deploy from the release branch every friday", "We deploy from release branch every Friday"),
    ("Use uv for Python environments here", "Use uv for the Python environments here"),
]
CONTRARY = [
    ("the pool fee is 25 bps for every swap", "the pool fee is 30 bps for every swap"),
    ("BONK breakouts fade after funding resets", "BONK breakouts do not fade after funding resets"),
    ("We always buy dips in WIF below the average", "We never buy dips in WIF below the average"),
    ("the exit target for momentum is above the entry", "the exit target for momentum is below the entry"),
    ("deploy key rotates every 30 days", "deploy key rotates every 60 days"),
]
DIFFERENT = [
    ("BONK breakouts fade after funding resets", "WIF breakouts fade after funding resets"),
    ("SOL traded at 150.20 at 10:05", "SOL traded at 151.90 at 10:10"),
    ("balance of the wallet is 2 SOL on 2026-05-01", "balance of the wallet is 3 SOL on 2026-05-02"),
    ("bought 0.25 SOL of BONK on a breakout", "bought 0.25 SOL of WIF on a breakout"),
    (
        "mint DezXAZ8z7PnrnRJjz3wXBoRgixCa6xjnB7YaB1pPB263 is frozen",
        "mint EKpQGSJtjMFqKZ9KQanSqYXRcF8fBopzLHYxdM65zcjm is frozen",
    ),
    ("the launch scanner looks at holders first", "the reviewer prefers small commits"),
    ("increment 1", "increment 2"),
    ("yes", "no"),
]


@pytest.mark.requirement("M8")
@pytest.mark.parametrize(("one", "other"), SAME)
def test_the_same_in_nearly_the_same_words(one: str, other: str) -> None:
    assert compare(one, other) == compare(other, one) == "same"


@pytest.mark.requirement("M17")
@pytest.mark.parametrize(("one", "other"), CONTRARY)
def test_contrary_things_about_one_matter(one: str, other: str) -> None:
    assert compare(one, other) == compare(other, one) == "contrary"


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_different_things_are_neither(one: str, other: str) -> None:
    assert compare(one, other) == compare(other, one) == "different"


@given(st.text(max_size=200), st.text(max_size=200))
def test_any_texts_compare_the_same_both_ways_and_none_with_itself_is_contrary(one: str, other: str) -> None:
    assert compare(one, other) == compare(other, one)
    assert compare(one, one) != "contrary"
