"""The day's budget: taken before a question, given back after it, over restarts too."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.adapters.spend_file import NAME, SpendFile
from trading.sidecar.budget import DAY_NS, Budget, DayLimits, Prices, Spent, tokens_of

pytestmark = pytest.mark.requirement("T14")

PRICES = Prices(in_micro_usd=1_000_000, out_micro_usd=4_000_000)


def budget(spent: Spent | None = None, **limits: int) -> Budget:
    values = {"calls": 100, "tokens": 100_000, "micro_usd": 100_000, **limits}
    return Budget(DayLimits(**values), PRICES, spent or Spent())


def test_what_an_answer_did_not_take_comes_back() -> None:
    one = budget()
    reserved = one.reserve(0, 1_000, 800)
    assert reserved is not None
    assert (one.spent.tokens, one.spent.micro_usd) == (1_800, 1_000 + 3_200)
    assert one.settle(reserved, 500, 100) == 900
    assert one.spent == Spent(0, 1, 600, 900)


def test_a_part_of_a_micro_dollar_is_a_whole_one() -> None:
    assert Prices(1, 0).cost_micro_usd(1, 0) == 1


@pytest.mark.parametrize("limits", [{"calls": 1}, {"tokens": 2_000}, {"micro_usd": 5_000}])
def test_what_the_day_has_not_is_not_spent_and_the_next_day_begins_anew(limits: dict[str, int]) -> None:
    one = budget(**limits)
    assert one.reserve(0, 1_000, 800) is not None
    assert one.reserve(1, 1_000, 800) is None
    assert one.reserve(DAY_NS, 1_000, 800) is not None


def test_a_clock_that_goes_back_does_not_begin_the_day_anew() -> None:
    one = budget(calls=1)
    assert one.reserve(5 * DAY_NS, 1, 1) is not None
    assert one.reserve(4 * DAY_NS, 1, 1) is None


def test_the_file_keeps_the_day_and_a_file_that_cannot_be_read_hides_none(tmp_path: Path) -> None:
    store = SpendFile(tmp_path)
    assert store.load() == Spent()
    store.save(Spent(3, 4, 5, 6))
    assert SpendFile(tmp_path).load() == Spent(3, 4, 5, 6)
    for broken in ("", "[]", '{"day": 1}', '{"day": 3, "calls": -4, "tokens": 5, "micro_usd": 6}'):
        (tmp_path / NAME).write_text(broken)
        with pytest.raises(OSError, match="remove it"):
            store.load()


@given(questions=st.lists(st.tuples(st.integers(0, 5_000), st.integers(0, 2_000), st.booleans()), max_size=60))
def test_no_day_spends_more_than_it_has_whatever_is_answered_and_whenever_it_stops(
    questions: list[tuple[int, int, bool]],
) -> None:
    one = budget(tokens=20_000, micro_usd=20_000)
    for tokens_in, tokens_out, is_answered in questions:
        reserved = one.reserve(7, tokens_in, tokens_out)
        one = budget(one.spent, tokens=20_000, micro_usd=20_000)  # a restart: only what was kept is known
        if reserved is not None and is_answered:
            one.settle(reserved, tokens_in // 2, tokens_out // 2)
        assert one.spent.tokens <= 20_000
        assert one.spent.micro_usd <= 20_000


def test_tokens_are_estimated_on_the_dear_side() -> None:
    assert tokens_of("") == 0
    assert tokens_of("abcd") == 2
    assert tokens_of("ü" * 3) == 2
