"""What the nearest situations say to a stated edge, and how far they may move it."""

from math import isqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.model.account import TrackRecord
from trading.model.recall import RecallRules, Recollection
from trading.recall.memory import Neighbour
from trading.recall.weighing import NAMED_MAX, mixed, recollection

pytestmark = pytest.mark.requirement("T13")

DAY_NS = 86_400 * 10**9
RULES = RecallRules(is_on=True, neighbours_min=5)


def neighbours(moves: list[int], *, days_apart: int = 1, squared: int = 0) -> list[Neighbour]:
    return [
        Neighbour(f"f{number:03}", squared * number, number * days_apart * DAY_NS, move, move - 60)
        for number, move in enumerate(moves)
    ]


def found(moves: list[int], edge_bps: int = 100, **kinds: int) -> Recollection:
    said = recollection(neighbours(moves, **kinds), edge_bps, RULES)
    assert said is not None
    return said


def test_equal_weights_give_the_mean_its_error_and_the_quantiles() -> None:
    moves = [-200, -100, 0, 100, 200, 300, 400, 500, 600, 200]
    said = found(moves)
    mean = sum(moves) // 10
    variance = sum((each - mean) ** 2 for each in moves)
    assert (said.mean_bps, said.effective_x100, said.neighbours) == (200, 1_000, 10)
    assert said.error_bps == isqrt(10 * variance // (9 * 100))
    assert (said.low_bps, said.median_bps, said.high_bps) == (-200, 200, 500)
    assert said.wins_bps == 7_000
    assert (said.mean_win_bps, said.mean_loss_bps) == (round((40 + 140 * 2 + 240 + 340 + 440 + 540) / 7), 160)
    assert said.nearest == tuple(f"f{number:03}" for number in range(NAMED_MAX))


def test_the_furthest_counts_a_tenth_of_the_nearest() -> None:
    near, far = found([100, 0, 0, 0, 0], squared=10), found([0, 0, 0, 0, 100], squared=10)
    # Weights 1000, 775, 550, 325, 100.
    assert near.mean_bps == round(100 * 1_000 / 2_750)
    assert far.mean_bps == round(100 * 100 / 2_750)


def test_situations_of_one_day_count_as_one() -> None:
    """Ten days of two situations each are ten, and twice as many on the same days make the mean no surer."""
    moves = [300, -100, 250, -50, 150, 50, 400, -200, 350, -150]
    once = neighbours(moves)
    twice = sorted([*once, *(Neighbour(f"{each.id}b", *_rest(each)) for each in once)], key=lambda each: each.id)
    one, other = recollection(once, 100, RULES), recollection(twice, 100, RULES)
    assert one is not None
    assert other is not None
    assert (one.effective_x100, other.effective_x100) == (1_000, 1_000)
    assert (one.error_bps, one.mean_bps) == (other.error_bps, other.mean_bps)
    assert (one.neighbours, other.neighbours) == (10, 20)


def _rest(each: Neighbour) -> tuple[int, int, int, int]:
    return each.squared, each.ts_ns, each.move_bps, each.net_bps


def test_too_few_say_nothing_and_so_do_those_of_a_single_day() -> None:
    assert recollection(neighbours([5] * 4), 100, RULES) is None
    assert recollection(neighbours([5] * 40, days_apart=0), 100, RULES) is None


def test_moves_that_scatter_more_than_they_differ_shift_nothing() -> None:
    said = found([900, -900] * 10 + [250])
    assert (said.trust_bps, said.shift_bps) == (0, 0)


def test_clear_losses_lower_an_edge_to_nothing_and_no_further() -> None:
    assert found([-400, -410, -390] * 10, edge_bps=100).shift_bps == -100


def test_clear_gains_raise_an_edge_by_a_quarter_at_most() -> None:
    assert found([900, 910, 890] * 10, edge_bps=100).shift_bps == 25


def test_an_edge_is_moved_by_the_trusted_share_of_the_distance() -> None:
    said = found([20, 40, 60, 80] * 5, edge_bps=100)
    distance = said.mean_bps - 100
    trusted = 10_000 * (distance**2 - said.error_bps**2) // distance**2
    assert said.trust_bps == trusted
    assert said.shift_bps == -(-distance * trusted // 10_000)
    assert -50 < said.shift_bps < -40


MOVES = st.lists(st.integers(-9_000, 50_000), min_size=5, max_size=60)


@given(MOVES, st.integers(-500, 3_000), st.integers(0, 10_000), st.integers(0, 50), st.integers(1, 3))
def test_no_outcomes_whatever_move_an_edge_beyond_its_bounds(
    moves: list[int], edge: int, most: int, squared: int, apart: int
) -> None:
    rules = RecallRules(is_on=True, neighbours_min=5, raise_bps_max=most)
    said = recollection(neighbours(moves, squared=squared, days_apart=apart), edge, rules)
    assert said is not None
    stated = max(0, edge)
    assert -stated <= said.shift_bps <= stated * most // 10_000
    assert 0 <= said.trust_bps <= 10_000
    assert min(moves) <= said.low_bps <= said.median_bps <= said.high_bps <= max(moves)
    assert min(moves) <= said.mean_bps <= max(moves)


def test_a_record_is_moved_by_a_share_and_rests_on_as_many_trades_as_before() -> None:
    record = TrackRecord(trades=40, wins=24, mean_win_bps=300, mean_loss_bps=200)
    said = found([-400, -410, -390] * 10)
    assert mixed(record, said, 0) == record
    half = mixed(record, said, 5_000)
    assert (half.trades, half.wins, half.mean_win_bps) == (40, 12, 150)
    assert half.mean_loss_bps == (200 + said.mean_loss_bps) // 2
