"""The projected range: wide where little is known, the same for the same returns, and blind to deposits."""

import math
import random

import pytest

from trading.portfolio.projection import PATHS, STEPS_MAX, Cone, Goal, block_mean, period_returns, project

pytestmark = pytest.mark.requirement("D3")
DAY = 100


def drawn(count: int, mean: float, spread: float, seed: int = 1) -> list[float]:
    chance = random.Random(seed)
    return [chance.gauss(mean, spread) for _ in range(count)]


def width(cone: Cone) -> float:
    return math.log(cone.growth[-1][-1] / cone.growth[-1][0])


def test_deposits_and_withdrawals_are_no_return() -> None:
    marks = [(50, 1_000), (199, 1_100), (250, 1_100), (299, 2_200), (350, 2_000), (399, 1_000), (450, 1_000)]
    assert period_returns(marks, [(250, 1_000), (350, -1_000)], DAY) == pytest.approx((0.1, 2_200 / 2_100 - 1, -1 / 11))


def test_a_flow_at_the_time_of_a_mark_came_after_it_and_one_before_all_marks_is_the_start() -> None:
    assert period_returns([(99, 1_000), (199, 1_000), (299, 3_000), (399, 3_000)], [(5, 1_000), (199, 2_000)], DAY) == (
        0.0,
        0.0,
    )
    assert period_returns([], [(5, 1_000)], DAY) == ()


def test_the_same_returns_give_the_same_range_and_its_percentiles_are_in_order() -> None:
    returns = drawn(60, 0.002, 0.03)
    cone = project(returns, (10, 30), [Goal("up", 1.2)], 4.0)
    assert cone == project(returns, (10, 30), [Goal("up", 1.2)], 4.0)
    assert all(list(row) == sorted(row) for row in cone.growth)
    assert cone.growth[0][2] == pytest.approx(math.exp(sum(map(math.log1p, returns)) / 6), rel=0.05)


def test_a_short_record_gives_a_wider_range_than_a_long_one_of_the_same_spread() -> None:
    short, long = ([0.03, -0.028] * half for half in (10, 200))
    assert width(project(short, (60,), (), 2.0)) > 0
    few, many = drawn(20, 0.001, 0.03), drawn(400, 0.001, 0.03)
    assert width(project(few, (60,), (), 2.0)) > 1.2 * width(project(many, (60,), (), 2.0))
    assert width(project(long, (60,), (), 2.0)) > 0


def test_nine_of_ten_futures_fall_into_the_range_that_their_past_gave() -> None:
    inside = 0
    for seed in range(60):
        every = drawn(100, 0.002, 0.02, seed)
        low, *_, high = project(every[:50], (50,), (), 1.0).growth[-1]
        inside += low <= math.exp(sum(map(math.log1p, every[50:]))) <= high
    assert 47 <= inside <= 60  # 0.9 of 60 but for four standard errors; of the seen mean alone it would be some 45


def test_how_long_to_a_goal_is_told_by_percentile_and_what_is_not_reached_has_no_time() -> None:
    steady = project([0.01] * 40, (20, 80), [Goal("double", 2.0), Goal("tenfold", 10.0), Goal("half", 0.5)], 3.0)
    double, tenfold, half = steady.reaches
    assert double.steps == (70.0,) * 5
    assert (double.reached, tenfold.reached, half.reached) == (1.0, 0.0, 0.0)
    assert tenfold.steps == (None,) * 5
    wild = project(drawn(40, 0.0, 0.05), (80,), [Goal("up", 1.4)], 3.0).reaches[0]
    known = [each for each in wild.steps if each is not None]
    assert known == sorted(known)
    assert len(known) == sum(wild.reached * PATHS >= math.ceil(PATHS * at / 100) for at in (5, 25, 50, 75, 95))


def test_a_day_that_lost_everything_is_no_end_of_the_arithmetic() -> None:
    assert all(math.isfinite(each) for each in project([0.0, -1.0, -2.0], (50,), (), 1.0).growth[0])


def test_nothing_to_draw_from_or_too_far_ahead_is_refused() -> None:
    for returns, steps in (([], (1,)), ([0.1], ()), ([0.1], (STEPS_MAX + 1,))):
        with pytest.raises(ValueError, match="at least 1"):
            project(returns, steps, (), 1.0)


def test_blocks_grow_with_the_cube_root_of_the_record() -> None:
    assert [block_mean(count, 1.0) for count in (1, 27, 1_000)] == [1.0, 3.0, 10.0]
    assert block_mean(168, 24.0) == 24.0
