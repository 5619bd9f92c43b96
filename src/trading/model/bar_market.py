"""What a series of bars is of, and where it is from."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BarMarket:
    """``kind`` is spot, swap or pool; ``symbol`` is what the source calls the market.

    ``name`` begins the name of a file of these bars. ``mint`` is the token of a pool whose bars are in SOL, "" for a
    pair of an exchange, which its name tells.
    """

    source: str
    kind: str
    symbol: str
    name: str
    interval_s: int
    mint: str = ""
