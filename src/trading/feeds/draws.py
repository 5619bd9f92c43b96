"""Chance for the synthetic market: integers only, so that every machine draws the same."""

from typing import Final

import numpy as np

_BUFFER_LEN: Final = 4_096
_DRAWS_A_STEP: Final = 4
"""The generator's counter moves once for this many draws."""
_U64: Final = 64
# The sum of four 16-bit uniforms has mean 131,070 and standard deviation 65,536 / sqrt(12) * 2 = 37,837.
_NOISE_MEAN: Final = 4 * 65_535 // 2
NOISE_SD: Final = 37_837


class Draws:
    """Integers from numpy's Philox counter generator, whose raw stream is fixed for a key on every platform."""

    def __init__(self, seed: int, taken: int = 0) -> None:
        """Begin after the first ``taken`` draws."""
        self._bits = np.random.Philox(key=seed)
        self._filled, used = divmod(taken, _BUFFER_LEN)
        self._buffer: list[int] = []
        if self._filled:
            self._bits.advance(self._filled * _BUFFER_LEN // _DRAWS_A_STEP)
        if used:
            self._fill()
            del self._buffer[-used:]

    @property
    def taken(self) -> int:
        """How many draws there were so far."""
        return self._filled * _BUFFER_LEN - len(self._buffer)

    def raw(self) -> int:
        """Return 64 random bits."""
        if not self._buffer:
            self._fill()
        return self._buffer.pop()

    def _fill(self) -> None:
        self._buffer = self._bits.random_raw(_BUFFER_LEN).tolist()
        self._filled += 1

    def below(self, n: int) -> int:
        """Return an int in [0, n)."""
        return (self.raw() * n) >> _U64

    def between(self, low: int, high: int) -> int:
        """Return an int in [low, high]."""
        return low + self.below(high - low + 1)

    def chance(self, per_million: int) -> bool:
        return self.below(1_000_000) < per_million

    def noise(self, sd: int) -> int:
        """Return bell-shaped noise with this standard deviation; beyond 3.46 of them there is nothing."""
        bits = self.raw()
        total = (bits & 0xFFFF) + (bits >> 16 & 0xFFFF) + (bits >> 32 & 0xFFFF) + (bits >> 48) - _NOISE_MEAN
        return total * sd // NOISE_SD
