"""Shares of the capital that move to what works: what is said about each strategy, and what came of it."""

from dataclasses import dataclass
from enum import StrEnum


class RotationVerdict(StrEnum):
    """WARMING_UP: fewer than two strategies have enough closed windows. BY_HAND: a person moved cash, which stands for
    a while. SETTLED: the shares are where they should be. NOT_WORTH_IT: a move is not expected to pay for itself.
    MOVED: the shares are others now."""

    WARMING_UP = "warming_up"
    BY_HAND = "by_hand"
    SETTLED = "settled"
    NOT_WORTH_IT = "not_worth_it"
    MOVED = "moved"


@dataclass(frozen=True, slots=True)
class StrategyShare:
    """One strategy at the close of a window.

    ``return_ppm`` is what the window brought on the capital in it, in millionths; None where it had none. ``windows``
    counts those with a return so far. ``belief_ppb``: how far it is believed to be the best, in billionths; all of them
    make one. ``mean_ppm``: its mean return a day, shrunken towards 0. ``profit_lamports``: all that it ever made, open
    positions at liquidation value. ``before_bps``, ``target_bps``, ``after_bps``: its share before, where it is to go,
    and its share from now on. ``barred``: why its share may not grow, "" where it may.
    """

    strategy: str
    return_ppm: int | None
    windows: int
    belief_ppb: int
    mean_ppm: int
    profit_lamports: int
    before_bps: int
    target_bps: int
    after_bps: int
    barred: str
