"""What each token did hour by hour, all tokens at the same moments, so that their moves can be taken together."""

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import isqrt
from typing import Final

from trading.model.market_data import Bar
from trading.model.units import BPS_ONE, NS_PER_S, ceil_div

PERIOD_NS: Final = 3_600 * NS_PER_S
RETURNS_MAX: Final = 240
"""Hours that are kept of each token."""
VOLATILITY_HOURS_MIN: Final = 6
"""A volatility of fewer hours is a guess."""
MILLION: Final = 1_000_000
_INDEX_ONE: Final = 10**18


class ReturnBook:
    """Returns in millionths, the newest at the end of each token's row and of the same moment in every row.

    A sample is taken at the first end of a cycle in an hour (UTC). An hour without one joins the next: its move then
    counts as one of a single hour, which is against us. A token without a bar since the last sample begins anew.
    """

    def __init__(self) -> None:
        self.due_ns = 0
        """When the next sample is due."""
        self._times: deque[int] = deque(maxlen=RETURNS_MAX + 1)
        """When samples were taken."""
        self._closes: dict[str, float] = {}
        """Of the last sample. A quotient of two floats is the same everywhere, and it is rounded to millionths."""
        self._returns: dict[str, deque[int]] = {}
        self._spans: dict[tuple[str, int], list[int]] = {}
        """What was worked out since the last sample; no state."""
        self._squares: dict[str, int] = {}
        """The sum of the squares of each token's returns."""

    def sample(self, now_ns: int, newest: Iterable[Bar | None]) -> None:
        """Take the newest bar of every token."""
        since_ns = self._times[-1] if self._times else -1
        self._times.append(now_ns)
        self.due_ns = now_ns - now_ns % PERIOD_NS + PERIOD_NS
        self._spans = {}
        before, known, squares = self._closes, self._returns, self._squares
        self._closes = closes = {}
        self._returns = returns = {}
        self._squares = {}
        for bar in newest:
            if bar is None or bar.ts_close_ns <= since_ns:
                continue
            mint = bar.mint
            closes[mint] = close = float(bar.close)
            if mint in before:
                returns[mint] = row = known[mint]
                moved = round(close / before[mint] * MILLION) - MILLION
                gone = row[0] if len(row) == RETURNS_MAX else 0
                row.append(moved)
                self._squares[mint] = squares[mint] + moved * moved - gone * gone
            else:
                returns[mint] = deque(maxlen=RETURNS_MAX)
                self._squares[mint] = 0

    def learn(self, now_ns: int, past: Sequence[Bar]) -> None:
        """Take the past of a token, oldest first, as if it had been sampled whenever the others were, and hour by hour
        before that. One that has a sample already is left as it is."""
        mint = past[0].mint
        if mint in self._closes:
            return
        if not self._times:
            self._times.append(now_ns - now_ns % PERIOD_NS)
            self.due_ns = self._times[0] + PERIOD_NS
        missing = range(RETURNS_MAX + 2 - len(self._times), 0, -1)
        times = [*(self._times[0] - hours * PERIOD_NS for hours in missing), *self._times]
        row: deque[int] = deque(maxlen=RETURNS_MAX)
        close: float | None = None
        place = 0
        for since_ns, at_ns in pairwise(times):
            before, close = close, None
            while place < len(past) and past[place].ts_close_ns <= at_ns:
                if past[place].ts_close_ns > since_ns:
                    close = float(past[place].close)
                place += 1
            if before is None or close is None:
                row.clear()
            else:
                row.append(round(close / before * MILLION) - MILLION)
        if close is not None:
            self._closes[mint] = close
            self._returns[mint] = row
            self._spans = {}  # what was asked before nothing was known of it
            self._squares[mint] = sum(each * each for each in row)

    def volatility_day_bps(self, mint: str) -> int | None:
        """Return the token's volatility a day in bps, None with fewer than ``VOLATILITY_HOURS_MIN`` hourly returns.

        The root of 24 times the mean square of the hourly returns that are kept, about 0 and not about their mean: over
        so few hours the mean is noise. Rounded up; whole numbers, so that a replay gives the same.
        """
        hours = self.hours(mint)
        if hours < VOLATILITY_HOURS_MIN:
            return None
        return ceil_div(isqrt(24 * self._squares[mint] // hours), MILLION // BPS_ONE)

    @property
    def tokens(self) -> int:
        """Of how many tokens anything is known."""
        return len(self._returns)

    def all_hours(self) -> list[list[int]]:
        """Return the hourly returns of every token of which any are known, oldest first."""
        return [list(row) for row in self._returns.values()]

    def hours(self, mint: str) -> int:
        """Return how many hourly returns are known of the token."""
        return len(self._returns.get(mint, ()))

    def over(self, mint: str, horizon_h: int) -> list[int]:
        """Return the token's returns over so many hours, one for each hour at which such a span ended."""
        spans = self._spans.get((mint, horizon_h))
        if spans is None:
            spans = self._spans[mint, horizon_h] = over_horizon(self._returns.get(mint, ()), horizon_h)
        return spans


def over_horizon(returns: Sequence[int], horizon_h: int) -> list[int]:
    """Return the compound returns of all spans of ``horizon_h`` successive returns, in millionths, rounded down."""
    if horizon_h == 1:
        return list(returns)
    index = [_INDEX_ONE]
    for each in returns:
        index.append(max(1, index[-1] * (MILLION + each) // MILLION))
    return [
        max(1 - MILLION, (after - before) * MILLION // before)
        for before, after in zip(index, index[horizon_h:], strict=False)
    ]
