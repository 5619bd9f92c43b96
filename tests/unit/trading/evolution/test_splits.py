"""Cross-validation that is combinatorial and purged: counts, paths, and what a training day may not touch."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading.errors import InvalidInput
from trading.evolution.splits import Scheme


@pytest.mark.requirement("T11")
def test_six_blocks_of_which_two_are_tested_make_fifteen_splits_and_five_paths() -> None:
    scheme = Scheme(120, 6, 2, 3)
    assert (len(scheme.splits), len(scheme.paths)) == (15, 5)


@pytest.mark.requirement("T11")
@given(st.integers(80, 900), st.integers(2, 9), st.data())
def test_no_training_day_reaches_into_a_test_nor_the_other_way_round(
    days: int, blocks: int, data: st.DataObject
) -> None:
    tested = data.draw(st.integers(1, blocks - 1))
    holding = data.draw(st.integers(0, 6))
    try:
        scheme = Scheme(days, blocks, tested, holding)
    except InvalidInput:
        return
    assert len(scheme.splits) == math.comb(blocks, tested)
    assert len(scheme.paths) == len(scheme.splits) * tested // blocks
    for train, test in zip(scheme.train_masks, scheme.test_masks, strict=True):
        # The position of a training day is over before a test begins, and that of a test day before training.
        apart = np.abs(np.flatnonzero(train)[:, None] - np.flatnonzero(test)[None, :])
        assert apart.min() > holding
    # Each path tells every day once, and every test of every split is on one path.
    used = sorted((split, block) for path in scheme.paths for block, split in enumerate(path))
    assert used == sorted((split, block) for split, each in enumerate(scheme.splits) for block in each)
    assert sum(scheme.block_days(block).stop - scheme.block_days(block).start for block in range(blocks)) == days


@settings(max_examples=40, deadline=None)
@given(st.integers(40, 900), st.integers(1, 9))
def test_walk_forward_tests_lie_side_by_side_after_days_to_learn_on(days: int, tests: int) -> None:
    masks = Scheme(days, 3, 1, 1, walk_tests=tests).walk_masks
    assert masks.sum(axis=0).max() == 1
    assert not masks[:, : days // (tests + 1)].any()
    assert masks[:, days // (tests + 1) :].any(axis=0).all()


@pytest.mark.parametrize(
    ("days", "blocks", "tested", "holding"),
    [(10, 6, 2, 1), (100, 1, 1, 1), (100, 4, 4, 1), (100, 17, 2, 1), (9_999, 16, 8, 1), (60, 6, 2, -1), (24, 6, 2, 30)],
)
def test_a_scheme_that_cannot_be_is_refused(days: int, blocks: int, tested: int, holding: int) -> None:
    with pytest.raises(InvalidInput):
        Scheme(days, blocks, tested, holding)
