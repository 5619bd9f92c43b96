"""The nearest of all stored vectors, exactly: one matrix-vector product, no graph and no approximation.

A stored row is (x, |x|^2) and a question (-2 q, 1), so their product is the squared Euclidean distance but for |q|^2.
Levels are whole numbers of at most 256 in at most 32 dimensions: every partial sum is a whole number below 2^24, which
float32 holds exactly. So the distances are exact in whatever order a machine adds them up, and equal ones are equal.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from .situations import DIMENSIONS_MAX, LEVEL_MAX

CHUNK_ROWS: Final = 16_384
BLOCK_ROWS: Final = 2_048
"""Rows of one product: so few that BLAS takes them in the calling thread. Its pool of threads is slower on busy cores,
where they wait for each other."""
ROWS_MAX: Final = 1_048_576
"""At this many the oldest chunk is forgotten."""

Floats32 = np.ndarray[Any, np.dtype[np.float32]]
Ints = np.ndarray[Any, np.dtype[np.int64]]


class NearestIndex:
    """Rows are numbered from 0 in the order in which they came; ``first`` is the oldest that is still there."""

    def __init__(self, dimensions: int, rows_max: int = ROWS_MAX) -> None:
        if not 1 <= dimensions <= DIMENSIONS_MAX:
            msg = f"an index has 1 to {DIMENSIONS_MAX} dimensions, not {dimensions}"
            raise ValueError(msg)
        self._dimensions = dimensions
        self._rows_max = max(CHUNK_ROWS, rows_max)
        self._chunks: list[Floats32] = []
        self._distances: Floats32 = np.empty(0, np.float32)
        self.first = 0
        self.end = 0
        """One more than the number of the newest row."""

    def __len__(self) -> int:
        return self.end - self.first

    def add(self, vector: Sequence[int]) -> int:
        """Store a vector and return its number.

        Raises: ValueError for one of another length or beyond ``LEVEL_MAX``.
        """
        row: Floats32 = np.array(vector, np.float32)
        if row.shape != (self._dimensions,) or float(np.abs(row).max()) > LEVEL_MAX:
            msg = f"a vector of {self._dimensions} levels of at most {LEVEL_MAX} either way, not {vector!r}"
            raise ValueError(msg)
        if len(self) >= self._rows_max and len(self) % CHUNK_ROWS == 0:
            del self._chunks[0]
            self.first += CHUNK_ROWS
        place = len(self) % CHUNK_ROWS
        if place == 0:
            self._chunks.append(np.zeros((CHUNK_ROWS, self._dimensions + 1), np.float32))
        chunk = self._chunks[-1]
        chunk[place, :-1] = row
        chunk[place, -1] = row @ row
        self.end += 1
        return self.end - 1

    def nearest(self, vector: Sequence[int], count: int) -> tuple[Ints, Ints]:
        """Return the numbers and squared distances of the ``count`` nearest rows and of those that are as near as the
        last of them, in no order; all of them where there are not more."""
        total = len(self)
        question: Floats32 = np.empty(self._dimensions + 1, np.float32)
        question[:-1] = np.array(vector, np.float32) * -2.0
        question[-1] = 1.0
        if len(self._distances) < total:
            self._distances = np.empty(len(self._chunks) * CHUNK_ROWS, np.float32)
        for place, chunk in enumerate(self._chunks):
            begin = place * CHUNK_ROWS
            rows = min(CHUNK_ROWS, total - begin)
            for first in range(0, rows, BLOCK_ROWS):
                stop = min(rows, first + BLOCK_ROWS)
                np.dot(chunk[first:stop], question, out=self._distances[begin + first : begin + stop])
        found = self._distances[:total]
        places = np.arange(total)
        if total > count:
            # The furthest wanted of the first rows bounds the furthest of all, so that few are left to put in order.
            places = np.flatnonzero(found <= _furthest(found[:CHUNK_ROWS], count))
            places = places[found[places] <= _furthest(found[places], count)]
        own = sum(level * level for level in vector)
        return places.astype(np.int64) + self.first, found[places].astype(np.int64) + own

    def fill(self, vectors: np.ndarray[Any, np.dtype[np.int16]], first: int) -> None:
        """Store many vectors in an index that is empty; the first of them gets the number ``first``.

        Raises: ValueError for vectors of another length or beyond ``LEVEL_MAX``.
        """
        is_bounded = vectors.size == 0 or int(np.abs(vectors).max()) <= LEVEL_MAX
        if vectors.ndim != 2 or vectors.shape[1] != self._dimensions or not is_bounded:
            msg = f"vectors of {self._dimensions} levels of at most {LEVEL_MAX} either way, not {vectors.shape}"
            raise ValueError(msg)
        self.first = self.end = first
        for begin in range(0, len(vectors), CHUNK_ROWS):
            part = vectors[begin : begin + CHUNK_ROWS].astype(np.float32)
            chunk = np.zeros((CHUNK_ROWS, self._dimensions + 1), np.float32)
            chunk[: len(part), :-1] = part
            chunk[: len(part), -1] = (part**2).sum(axis=1)
            self._chunks.append(chunk)
            self.end += len(part)

    def vectors(self) -> np.ndarray[Any, np.dtype[np.int16]]:
        """Return all stored vectors, oldest first."""
        if not self._chunks:
            return np.empty((0, self._dimensions), np.int16)
        return np.concatenate(self._chunks)[: len(self), :-1].astype(np.int16)


def _furthest(distances: Floats32, count: int) -> np.float32:
    """Return the largest of the ``count`` smallest distances."""
    if len(distances) <= count:
        return np.float32(distances.max())
    return np.float32(np.partition(distances, count - 1)[count - 1])
