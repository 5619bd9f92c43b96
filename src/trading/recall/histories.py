"""What situations are made from: the newest bars of each token and SOL's price by the hour, bounded, one step a bar.

Nothing is worked out here: a vector is made when a strategy speaks, which is rare beside the bars.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from itertools import islice
from typing import Any, Final

from trading.model.market_data import Bar
from trading.model.units import NS_PER_S

from .situations import BARS_MAX, HOURS_MAX

TOKENS_MAX: Final = 4_096
MICROS: Final = 1_000_000
_HOUR_NS: Final = 3_600 * NS_PER_S


class Histories:
    """``add`` takes what closed just now, never what closes later: whoever asks sees the past alone."""

    def __init__(self) -> None:
        self._bars: dict[str, deque[Bar]] = {}
        self._sol: deque[int] = deque(maxlen=HOURS_MAX)
        self._sol_due_ns = 0

    def add(self, bar: Bar) -> None:
        known = self._bars.get(bar.mint)
        if known is None:
            known = self._begun(bar.mint)
        known.append(bar)

    def add_all(self, bars: Iterable[Bar]) -> None:
        for bar in bars:
            self.add(bar)

    def learn(self, bars: Sequence[Bar]) -> None:
        """Take the past of a token that the desk begins to follow, oldest first."""
        self.add_all(bars)

    def sample_sol(self, now_ns: int, sol_usd: Decimal | None) -> None:
        """Take SOL's price, once an hour."""
        if sol_usd is None or now_ns < self._sol_due_ns:
            return
        self._sol_due_ns = now_ns - now_ns % _HOUR_NS + _HOUR_NS
        self._sol.append(int(sol_usd * MICROS))

    def bars(self, mint: str) -> Sequence[Bar]:
        """Return the newest ``BARS_MAX`` bars of a token, oldest first."""
        return self._bars.get(mint, ())

    @property
    def sol_usd(self) -> Sequence[int]:
        """SOL's price in millionths of a dollar, hour by hour."""
        return self._sol

    def forget(self) -> None:
        self._bars.clear()
        self._sol.clear()
        self._sol_due_ns = 0

    def _begun(self, mint: str) -> deque[Bar]:
        if len(self._bars) >= TOKENS_MAX:  # the one that was seen longest ago
            del self._bars[min(self._bars, key=lambda each: (self._bars[each][-1].ts_close_ns, each))]
        begun = self._bars[mint] = deque(maxlen=BARS_MAX)
        return begun

    def document(self) -> dict[str, Any]:
        """Return all of it as JSON values: of a bar what features are made from."""
        return {
            "sol": list(self._sol),
            "sol_due_ns": self._sol_due_ns,
            "bars": {mint: [_row(bar) for bar in bars] for mint, bars in self._bars.items()},
        }

    def put_back(self, document: Mapping[str, Any]) -> None:
        """Take what ``document`` returned. Raises: KeyError, TypeError, ValueError, ArithmeticError."""
        self.forget()
        self._sol.extend(map(int, document["sol"]))
        self._sol_due_ns = int(document["sol_due_ns"])
        for mint, rows in islice(document["bars"].items(), TOKENS_MAX):
            self._bars[mint] = deque((_bar(mint, row) for row in rows), maxlen=BARS_MAX)


def _row(bar: Bar) -> list[Any]:
    return [bar.ts_open_ns, bar.ts_close_ns, str(bar.high), str(bar.low), str(bar.close), str(bar.volume)]


def _bar(mint: str, row: Sequence[Any]) -> Bar:
    """Return the bar of such a row; its open, which no feature asks for, is its close."""
    high, low, close, volume = map(Decimal, row[2:])
    return Bar(mint, row[0], row[1], close, high, low, close, volume, None, None, "")
