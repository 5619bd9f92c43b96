"""Moves of cash between buckets towards wished shares."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading.portfolio.transfers import Transfer, is_beyond, transfers, wanted_lamports

NAMES = st.sampled_from("abcde")
SUMS = st.dictionaries(NAMES, st.integers(-(10**9), 10**12), min_size=1)


@pytest.mark.requirement("T8")
def test_the_largest_lack_is_filled_first_from_where_most_is_spare() -> None:
    capital = {"a": 90, "b": 10, "c": 0, "old": 20}
    wanted = wanted_lamports(120, {"a": 2_500, "b": 2_500, "c": 5_000})
    assert wanted == {"a": 30, "b": 30, "c": 60}
    assert transfers(capital, {"a": 70, "b": 10, "c": 0, "old": 20}, wanted) == (
        Transfer("a", "c", 60),
        Transfer("old", "b", 20),
    )
    assert transfers(capital, {"a": 5, "b": 10}, wanted) == (Transfer("a", "c", 5),)


def test_nothing_moves_where_every_share_is_as_it_should_be() -> None:
    assert transfers({"a": 30, "b": 30}, {"a": 30, "b": 30}, {"a": 30, "b": 30}) == ()


def test_a_share_is_beyond_its_band_when_it_is_off_by_more_than_that_part_of_all() -> None:
    assert not is_beyond({"a": 60, "b": 40}, {"a": 50, "b": 50}, 1_000)
    assert is_beyond({"a": 61, "b": 39}, {"a": 50, "b": 50}, 1_000)
    assert not is_beyond({"a": 100, "b": 0}, {"a": 0, "b": 100}, 10_000)


@pytest.mark.requirement("T8")
@settings(max_examples=300, deadline=None)
@given(SUMS, SUMS, st.dictionaries(NAMES, st.integers(0, 10**12)))
def test_no_bucket_gives_what_it_needs_or_has_not_and_none_gets_more_than_it_lacks(
    capital: dict[str, int], free: dict[str, int], wanted: dict[str, int]
) -> None:
    moves = transfers(capital, free, wanted)
    after = dict.fromkeys([*capital, *wanted], 0) | capital
    given_away = dict.fromkeys(after, 0)
    for each in moves:
        assert each.lamports > 0
        assert each.from_bucket != each.to_bucket
        after[each.from_bucket] -= each.lamports
        after[each.to_bucket] += each.lamports
        given_away[each.from_bucket] += each.lamports
    assert sum(after.values()) == sum(capital.values())
    for name, lamports in given_away.items():
        if lamports:
            assert lamports <= free[name]
            assert after[name] >= wanted.get(name, 0)
    for name in {each.to_bucket for each in moves}:
        assert after[name] <= wanted[name]
    assert transfers(capital, free, wanted) == moves
