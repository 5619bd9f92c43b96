"""Exact nearest neighbours."""

import numpy as np
import pytest

from trading.recall.index import CHUNK_ROWS, NearestIndex
from trading.recall.situations import DIMENSIONS_MAX, LEVEL_MAX

pytestmark = pytest.mark.requirement("T13")


def vectors(rows: int, dimensions: int, seed: int = 1, most: int = LEVEL_MAX) -> np.ndarray:
    return np.random.default_rng(seed).integers(-most, most + 1, (rows, dimensions)).astype(np.int16)


def plainly(stored: np.ndarray, question: np.ndarray, count: int) -> set[tuple[int, int]]:
    squared = ((stored.astype(np.int64) - question.astype(np.int64)) ** 2).sum(axis=1)
    furthest = np.sort(squared)[min(count, len(squared)) - 1]
    return {(int(place), int(squared[place])) for place in np.flatnonzero(squared <= furthest)}


@pytest.mark.parametrize("rows", [1, 7, 50, CHUNK_ROWS - 1, CHUNK_ROWS, CHUNK_ROWS + 3])
@pytest.mark.parametrize("most", [1, LEVEL_MAX])
def test_the_nearest_are_those_that_whole_numbers_say_to_the_last_unit(rows: int, most: int) -> None:
    stored = vectors(rows, DIMENSIONS_MAX, most=most)
    index = NearestIndex(DIMENSIONS_MAX)
    index.fill(stored, 0)
    for question in vectors(5, DIMENSIONS_MAX, seed=2, most=most):
        numbers, squared = index.nearest(question.tolist(), 50)
        assert set(zip(numbers.tolist(), squared.tolist(), strict=True)) == plainly(stored, question, 50)


def test_the_furthest_two_vectors_have_their_exact_distance() -> None:
    index = NearestIndex(DIMENSIONS_MAX)
    index.add([LEVEL_MAX] * DIMENSIONS_MAX)
    numbers, squared = index.nearest([-LEVEL_MAX] * DIMENSIONS_MAX, 1)
    assert (numbers.tolist(), squared.tolist()) == ([0], [DIMENSIONS_MAX * (2 * LEVEL_MAX) ** 2])
    assert squared[0] < 2**24


def test_one_by_one_and_all_at_once_are_the_same() -> None:
    stored = vectors(CHUNK_ROWS + 50, 4)
    one, other = NearestIndex(4), NearestIndex(4)
    for vector in stored:
        one.add(vector.tolist())
    other.fill(stored, 0)
    assert len(one) == len(other) == len(stored)
    assert (one.vectors() == stored).all()
    assert (other.vectors() == stored).all()
    asked = vectors(1, 4, seed=3)[0].tolist()
    assert [each.tolist() for each in one.nearest(asked, 9)] == [each.tolist() for each in other.nearest(asked, 9)]


def test_beyond_its_bound_the_oldest_are_forgotten_and_numbers_stay() -> None:
    index = NearestIndex(2, rows_max=CHUNK_ROWS)
    index.fill(vectors(CHUNK_ROWS, 2), 0)
    number = index.add([3, 4])
    assert (number, index.first, len(index)) == (CHUNK_ROWS, CHUNK_ROWS, 1)
    assert [each.tolist() for each in index.nearest([0, 0], 5)] == [[CHUNK_ROWS], [25]]


def test_nothing_is_near_in_an_empty_index() -> None:
    numbers, squared = NearestIndex(2).nearest([0, 0], 5)
    assert (len(numbers), len(squared), NearestIndex(2).vectors().shape) == (0, 0, (0, 2))


@pytest.mark.parametrize("vector", [[1], [1, 2, 3], [0, LEVEL_MAX + 1]])
def test_a_vector_that_does_not_fit_is_refused(vector: list[int]) -> None:
    with pytest.raises(ValueError, match="levels of at most"):
        NearestIndex(2).add(vector)
    with pytest.raises(ValueError, match="levels of at most"):
        NearestIndex(2).fill(np.array([vector], np.int16), 0)


@pytest.mark.parametrize("dimensions", [0, DIMENSIONS_MAX + 1])
def test_an_index_of_too_many_dimensions_is_refused(dimensions: int) -> None:
    with pytest.raises(ValueError, match="dimensions"):
        NearestIndex(dimensions)
