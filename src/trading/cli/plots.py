"""Curves and bars in a terminal, out of block characters, or of plain ones where the terminal knows no others; the
figures beside them say what they mean."""

from collections.abc import Sequence
from typing import Final

from rich.console import Console

_EIGHTHS: Final = " ▁▂▃▄▅▆▇█"
_PLAIN: Final = " .:-=+*#@"


def is_plain(console: Console) -> bool:
    """Say whether block characters would not come out there."""
    return not console.encoding.lower().startswith("utf")


def curve(values: Sequence[int], width: int, height: int, *, plain: bool = False) -> list[str]:
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
    marks = _PLAIN if plain else _EIGHTHS
    return ["".join(marks[max(0, min(8, each - 8 * row))] for each in heights) for row in range(height - 1, -1, -1)]


def bar(share_bps: int, width: int, *, plain: bool = False) -> str:
    """Return a bar of which this share is filled; more than all is all."""
    filled = max(0, min(10_000, share_bps)) * width // 10_000
    return ("#" if plain else "█") * filled + ("." if plain else "░") * (width - filled)
