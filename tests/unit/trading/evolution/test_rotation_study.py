"""The study of rotation: it sees no day before it is over, pays for what it moves, and finds an edge that is there."""

import math
from random import Random

import pytest

from trading.errors import InvalidInput
from trading.evolution.rotation_study import (
    GRID,
    best_single,
    choose_terms,
    even,
    lifted,
    mean_interval,
    part,
    resampled,
    rotated,
)
from trading.evolution.walk_forward import growth
from trading.model.bucket_rules import BucketRules
from trading.portfolio.rotation import TERMS, Terms

pytestmark = pytest.mark.requirement("T12")
FAST = Terms(rate_percent=200, shift_ppm=2_000)
RULES = BucketRules(rotation="fixed_share", rotation_warmup_days=10)


def streams_of(days: int, seed: int = 1) -> dict[str, tuple[float, ...]]:
    chance = Random(seed)
    return {name: tuple(chance.gauss(0.0, 0.003) for _ in range(days)) for name in "abcd"}


def test_no_day_is_seen_before_it_is_over() -> None:
    streams = lifted(streams_of(60), "a", 0.002)
    known = rotated(streams, RULES, TERMS)
    planted = {name: (*each[:40], *(0.5 if name == "d" else -0.5 for _ in each[40:])) for name, each in streams.items()}
    other = rotated(planted, RULES, TERMS)
    assert other.shares_bps[:41] == known.shares_bps[:41]
    assert other.returns[:40] == known.returns[:40]
    # The control: the plant is seen once it is over.
    assert other.shares_bps[42:] != known.shares_bps[42:]


def test_shares_begin_even_and_a_move_is_paid_out_of_the_next_day() -> None:
    streams = lifted(streams_of(40), "a", 0.004)
    free = RULES.model_copy(update={"rotation_cost_bps": 0})
    dear = RULES.model_copy(update={"rotation_cost_bps": 30})
    found = rotated(streams, dear, FAST)
    assert set(found.shares_bps[0].values()) == {2_500}
    assert found.moved_bps > 0
    same_moves = rotated(streams, free, FAST)
    assert same_moves.moved_bps >= found.moved_bps
    day = next(n for n, each in enumerate(found.shares_bps) if each != found.shares_bps[0])
    paid = (1 + same_moves.returns[day]) / (1 + found.returns[day]) - 1
    assert paid == pytest.approx(found.shares_bps[day]["a"] / 10_000 * 0.003 - 0.25 * 0.003, rel=0.01)


def test_an_edge_that_is_there_is_found_and_one_that_is_not_is_not() -> None:
    gains = []
    for seed in range(4):
        edged = lifted(streams_of(300, seed), "c", 0.0015)
        gains.append(growth(rotated(edged, RULES, TERMS).returns) - growth(even(edged)))
        assert rotated(edged, RULES, TERMS).shares_bps[-1]["c"] > 4_000
    assert min(gains) > 0
    nothing = [
        growth(rotated(streams_of(300, s), RULES, TERMS).returns) - growth(even(streams_of(300, s))) for s in range(4)
    ]
    assert abs(math.fsum(nothing) / 4) < min(gains)


def test_the_best_single_is_the_one_that_grew_most_and_terms_are_chosen_by_growth() -> None:
    edged = lifted(streams_of(120), "b", 0.003)
    assert best_single(edged) == "b"
    chosen = choose_terms(edged, RULES)
    assert chosen in GRID
    assert growth(rotated(edged, RULES, chosen).returns) == max(
        growth(rotated(edged, RULES, terms).returns) for terms in GRID
    )


def test_a_resample_takes_the_same_days_of_every_strategy_in_blocks() -> None:
    streams = {"a": tuple(range(23)), "b": tuple(range(100, 123))}
    drawn = list(resampled(streams, 20, seed=1))
    for each in drawn:
        assert len(each["a"]) == 23
        assert [b - a for a, b in zip(each["a"], each["b"], strict=True)] == [100] * 23
        assert all((after - before) % 23 == 1 for before, after in zip(each["a"][:4], each["a"][1:5], strict=True))
    assert drawn == list(resampled(streams, 20, seed=1)) != list(resampled(streams, 20, seed=2))


def test_parts_and_intervals() -> None:
    assert part({"a": (1.0, 2.0, 3.0), "b": (4.0, 5.0, 6.0)}, 1) == {"a": (2.0, 3.0), "b": (5.0, 6.0)}
    assert mean_interval([float(n) for n in range(101)], 0.9) == pytest.approx((5.0, 95.0))


@pytest.mark.parametrize("streams", [{}, {"a": (1.0,)}, {"a": (1.0,), "b": (1.0, 2.0)}])
def test_one_strategy_or_streams_of_other_days_are_refused(streams: dict[str, tuple[float, ...]]) -> None:
    with pytest.raises(InvalidInput, match="streams"):
        rotated(streams, RULES, TERMS)
