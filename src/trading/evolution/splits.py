"""How a stretch of days is cut into training and test days, so that what is judged was not seen.

Combinatorial purged cross-validation (Lopez de Prado 2018, ch. 7 and 12): the days are cut into N blocks of about one
length; each of the C(N, k) choices of k blocks is a test set, and the rest trains. Put together, the test blocks make
phi = (k / N) C(N, k) paths over all days. A training day is purged when a position of that day may reach into a test
block (its label window meets it), and the days right after a test block are under an embargo, because a position of the
test may reach into them.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any, Final

import numpy as np

from trading.errors import InvalidInput

Masks = np.ndarray[Any, np.dtype[np.bool_]]

BLOCKS_MAX: Final = 16
SPLITS_MAX: Final = 2_000
EMBARGO_SHARE: Final = 0.01
"""h ~ 0.01 T (Lopez de Prado 2018, section 7.4.2)."""


@dataclass(frozen=True)
class Scheme:
    """``days`` in all, ``blocks`` N, of which ``test_blocks`` k at a time are tested. ``holding_days`` is how long a
    position of a day may live: the length of its label window. ``walk_tests``: into how many walk-forward tests the
    days after the first block are cut.

    Raises: InvalidInput where a block would have fewer than two days, or there would be too many splits.
    """

    days: int
    blocks: int = 6
    test_blocks: int = 2
    holding_days: int = 3
    walk_tests: int = 5

    def __post_init__(self) -> None:
        if not 2 <= self.blocks <= BLOCKS_MAX or not 1 <= self.test_blocks < self.blocks:
            msg = f"blocks from 2 to {BLOCKS_MAX} and fewer test_blocks, not {self.blocks} and {self.test_blocks}"
            raise InvalidInput(msg, field="blocks")
        if math.comb(self.blocks, self.test_blocks) > SPLITS_MAX or self.holding_days < 0 or self.walk_tests < 1:
            msg = f"at most {SPLITS_MAX} splits, holding_days of at least 0 and walk_tests of at least 1, not {self}"
            raise InvalidInput(msg, field="blocks")
        if self.days < 2 * max(self.blocks, self.walk_tests + 1):
            msg = f"{self.days} days are too few for {self.blocks} blocks and {self.walk_tests} walk-forward tests"
            raise InvalidInput(msg, field="days")
        if not bool(self.train_masks.any(axis=1).all()):
            msg = f"{self.days} days leave nothing to train on after purge and embargo"
            raise InvalidInput(msg, field="days", hint="give more days, or fewer blocks")

    @property
    def embargo_days(self) -> int:
        """A position of the last test day lives as long as one of the day before it, so no less than a label window."""
        return max(self.holding_days, math.ceil(EMBARGO_SHARE * self.days))

    @cached_property
    def _edges(self) -> list[int]:
        return [self.days * block // self.blocks for block in range(self.blocks + 1)]

    def block_days(self, block: int) -> slice:
        """Return the days of a block."""
        return slice(self._edges[block], self._edges[block + 1])

    @cached_property
    def splits(self) -> tuple[tuple[int, ...], ...]:
        """The test blocks of each split, in order."""
        return tuple(combinations(range(self.blocks), self.test_blocks))

    @cached_property
    def test_masks(self) -> Masks:
        """(splits, days): whether a day is tested."""
        found = np.zeros((len(self.splits), self.days), dtype=bool)
        for split, tested in enumerate(self.splits):
            for block in tested:
                found[split, self.block_days(block)] = True
        return found

    @cached_property
    def train_masks(self) -> Masks:
        """(splits, days): whether a day trains, after purge and embargo."""
        found = np.ones((len(self.splits), self.days), dtype=bool)
        for split, tested in enumerate(self.splits):
            for block in tested:
                days = self.block_days(block)
                found[split, max(0, days.start - self.holding_days) : days.stop + self.embargo_days] = False
        return found

    @cached_property
    def paths(self) -> tuple[tuple[int, ...], ...]:
        """Of each path and block, the split whose test that block is taken from: every split's test is used once."""
        by_block: list[list[int]] = [[] for _ in range(self.blocks)]
        for split, tested in enumerate(self.splits):
            for block in tested:
                by_block[block].append(split)
        return tuple(zip(*by_block, strict=True))

    @cached_property
    def walk_masks(self) -> Masks:
        """(walk_tests, days): the walk-forward tests side by side; before the first lies a block to learn on."""
        first = self.days // (self.walk_tests + 1)
        found = np.zeros((self.walk_tests, self.days), dtype=bool)
        for test in range(self.walk_tests):
            span = self.days - first
            found[test, first + span * test // self.walk_tests : first + span * (test + 1) // self.walk_tests] = True
        return found
