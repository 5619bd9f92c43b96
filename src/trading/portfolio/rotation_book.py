"""The shares that rotate and what they rest on: a fold of what was journalled."""

from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from trading.model.commands import MoveCapital
from trading.model.events import CapitalMoved, SharesRotated
from trading.model.rotation import RotationVerdict, StrategyShare

from .rotation import seated

RETURNS_MAX: Final = 120
"""Returns of closed windows that are kept of each strategy, the newest."""


class RotationBook:
    """``take`` takes each day's row, ``ask`` and ``moved`` what a person told the desk to move.

    Only strategies of the newest row are known: one that left the profile begins anew when it comes back, and so does
    one that goes on with other parameters (``renew``).
    """

    def __init__(self) -> None:
        self.standings: dict[str, StrategyShare] = {}
        self.last: SharesRotated | None = None
        self.by_hand_ns = 0
        """When a person moved cash between buckets last, 0 where that stands no more."""
        self._returns: dict[str, deque[int]] = {}
        self._asked = ""

    def take(self, event: SharesRotated) -> None:
        returns = {}
        for share in event.shares:
            returns[share.strategy] = self._returns.get(share.strategy) or deque(maxlen=RETURNS_MAX)
            if share.return_ppm is not None:
                returns[share.strategy].append(share.return_ppm)
        self._returns = returns
        self.standings = {share.strategy: share for share in event.shares}
        self.last = event
        if event.verdict is not RotationVerdict.BY_HAND:
            self.by_hand_ns = 0

    def renew(self, strategy: str) -> None:
        """Take a strategy as a new one: with other parameters its record says nothing about it. Its share stays until
        it goes by steps to the floor."""
        standing = self.standings.get(strategy)
        if standing is not None:
            self.standings[strategy] = replace(standing, windows=0)
            self._returns.pop(strategy, None)

    @property
    def is_warm(self) -> bool:
        """Whether the shares are those of the strategies' record, and not where the profile lets them begin."""
        return self.last is not None and self.last.verdict is not RotationVerdict.WARMING_UP

    def returns_ppm(self, strategy: str) -> list[int]:
        """Return what the strategy's closed windows brought, the newest last."""
        return list(self._returns.get(strategy, ()))

    def ask(self, command: MoveCapital) -> None:
        """Note that a person asked for a move; it may be refused."""
        self._asked = command.key

    def moved(self, ts_ns: int, event: CapitalMoved) -> None:
        """Take a move: one that was asked for stands for a while."""
        if self._asked and event.key == self._asked:
            self.by_hand_ns = ts_ns
            self._asked = ""

    def rests_until_ns(self, hold_ns: int) -> int:
        """Return until when shares stay because of a move by hand, 0 where they need not."""
        return self.by_hand_ns + hold_ns if self.by_hand_ns else 0

    def shares_bps(self, weights_bps: Mapping[str, int], floor_bps: int) -> dict[str, int]:
        """Return the shares of these strategies now; ``weights_bps`` are those of the profile."""
        known = {name: share.after_bps for name, share in self.standings.items()}
        return seated(weights_bps, known, floor_bps)
