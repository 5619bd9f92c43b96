"""Curves and bars out of block characters, or of plain ones where a terminal knows no others."""

from collections.abc import Sequence
from typing import Final

BLOCKS: Final = " ▁▂▃▄▅▆▇█"
PLAIN: Final = " .:-=+*#@"
FULL: Final = 8


def curve(values: Sequence[int], width: int, height: int, *, is_plain: bool = False) -> list[str]:
    """Return lines, the highest first, of a curve that fills its area; of each column the newest value counts.

    The lowest value is drawn as the lowest mark, so that a flat curve is a line and not nothing.
    """
    if not values or width <= 0 or height <= 0:
        return []
    marks = PLAIN if is_plain else BLOCKS
    count = len(values)
    width = min(width, count)
    columns = [values[(place + 1) * count // width - 1] for place in range(width)]
    low, high = min(columns), max(columns)
    steps = height * FULL - 1
    heights = [1 + (0 if high == low else (value - low) * steps // (high - low)) for value in columns]
    return ["".join(marks[max(0, min(FULL, each - FULL * row))] for each in heights) for row in reversed(range(height))]


def bar(share_bps: int, width: int, *, is_plain: bool = False) -> str:
    """Return a bar of which so many hundredths of a percent are filled; more than all is all."""
    filled = max(0, min(10_000, share_bps)) * width // 10_000
    full, empty = ("#", ".") if is_plain else ("█", "░")
    return full * filled + empty * (width - filled)
