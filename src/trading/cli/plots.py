"""Curves in a terminal, out of block characters; the figures beside them say what they mean."""

from collections.abc import Sequence
from typing import Final

_EIGHTHS: Final = " ▁▂▃▄▅▆▇█"


def curve(values: Sequence[int], width: int, height: int) -> list[str]:
    """Return lines, the highest first, of a curve that fills its area; of each column the newest value counts.

    The lowest value is drawn as one eighth of a block, so that a flat curve is a line and not nothing.
    """
    if not values or width <= 0 or height <= 0:
        return []
    count = len(values)
    width = min(width, count)
    columns = [values[(place + 1) * count // width - 1] for place in range(width)]
    low, high = min(columns), max(columns)
    steps = height * 8 - 1
    heights = [1 + (0 if high == low else (value - low) * steps // (high - low)) for value in columns]
    return ["".join(_EIGHTHS[max(0, min(8, each - 8 * row))] for each in heights) for row in range(height - 1, -1, -1)]
