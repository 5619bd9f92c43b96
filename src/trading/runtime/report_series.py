"""What a report draws: equity, drawdown and exposure over time, prices and the fills on them, all thinned."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from trading.model.account import HighWater
from trading.model.events import CycleMarked
from trading.model.market_data import Bar
from trading.model.order import Fill, Side
from trading.model.units import BPS_ONE, LAMPORTS_PER_SOL

from .thinning import Thinned

STRETCHES: Final = 600
"""The equity curve has at most two points of each of so many stretches of time."""
PRICE_STRETCHES: Final = 300
TOKENS_DRAWN_MAX: Final = 12
FILLS_DRAWN_MAX: Final = 200
"""Of one token and side: beyond it every other one is drawn, then every fourth."""
_NS_PER_MS: Final = 1_000_000
_PRICE_DIGITS: Final = 18
_MICRO: Final = 1_000_000
_NO_PRICE: Final = -1


@dataclass(slots=True)
class _Fills:
    """Some of the buys or sales of a token, evenly chosen: every ``step``-th. Both sides in one, which alternate, would
    leave one of them out."""

    step: int = 1
    seen: int = 0
    kept: list[Fill] = field(default_factory=list)

    def add(self, fill: Fill) -> None:
        if self.seen % self.step == 0:
            self.kept.append(fill)
            if len(self.kept) > FILLS_DRAWN_MAX:
                del self.kept[1::2]
                self.step *= 2
        self.seen += 1


class Drawn:
    """Takes marks, fills, then bars; ``first_ns`` and ``last_ns`` are the first and the newest mark."""

    def __init__(self, first_ns: int, last_ns: int) -> None:
        self.first_ns = first_ns
        self.last_ns = last_ns
        self._marks = Thinned(first_ns, last_ns, STRETCHES)
        self._fills: dict[tuple[str, Side], _Fills] = {}
        self._counts: Counter[str] = Counter()
        self._bars: dict[str, Thinned] = {}

    def mark(self, mark: CycleMarked, drawdown_bps: int, flows_lamports: int) -> None:
        equity = mark.equity_lamports
        exposure = max(0, mark.exposure_lamports) * BPS_ONE // equity if equity > 0 else 0
        usd = _NO_PRICE if mark.sol_usd is None else int(mark.sol_usd * _MICRO)
        self._marks.add(mark.ts_ns, equity, drawdown_bps, exposure, flows_lamports, usd)

    def fill(self, fill: Fill) -> None:
        self._counts[fill.mint] += 1
        self._fills.setdefault((fill.mint, fill.side), _Fills()).add(fill)

    def busiest(self) -> list[str]:
        """Return the tokens with the most fills, and make room for their prices."""
        ranked = sorted(self._counts, key=lambda mint: (-self._counts[mint], mint))[:TOKENS_DRAWN_MAX]
        self._bars = {mint: Thinned(self.first_ns, self.last_ns, PRICE_STRETCHES) for mint in ranked}
        return ranked

    def bar(self, bar: Bar) -> None:
        thinned = self._bars.get(bar.mint)
        if thinned is not None:
            thinned.add(bar.ts_close_ns, int(bar.close.scaleb(_PRICE_DIGITS)))

    def series(self, curve: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return columns of the equity curve and of exposure. ``curve``: that of all cycles, where the engine kept one.

        ``held_lamports`` is what was paid in, that is SOL held instead.
        """
        points = self._marks.points()
        known = [point[0] for point in points]
        columns = dict(curve) if curve is not None else _columns(points, self._marks.seen)
        places = [max(0, bisect_right(known, ms * _NS_PER_MS) - 1) for ms in columns["ms"]] if known else []
        return {
            **columns,
            "held_lamports": [points[place][4] for place in places],
            "sol_usd": [None if points[place][5] == _NO_PRICE else points[place][5] / _MICRO for place in places],
            "points": len(columns["ms"]),
            "exposure": {"ms": [ts_ns // _NS_PER_MS for ts_ns in known], "bps": [point[3] for point in points]},
        }

    def prices(self, mint: str, decimals: int) -> dict[str, Any]:
        """Return a token's closes and fills, in SOL per token. Floats: they are drawn and not counted with."""
        sides = [self._fills[mint, side] for side in Side if (mint, side) in self._fills]
        points = self._bars[mint].points()
        return {
            "ms": [ts_ns // _NS_PER_MS for ts_ns, *_ in points],
            "close": [float(Decimal(value).scaleb(-_PRICE_DIGITS)) for _, value in points],
            "bars": self._bars[mint].seen,
            "fills": self._counts[mint],
            "one_of": max(each.step for each in sides),
            "marks": [
                {
                    "ms": fill.ts_ns // _NS_PER_MS,
                    "side": fill.side.value,
                    "price": _price(fill, decimals),
                    "lamports": fill.lamports,
                }
                for each in sides
                for fill in each.kept
            ],
        }


def thinned_curve(equity: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """Return columns of an equity curve without deposits (time, lamports), with its drawdown."""
    if not equity:
        return _columns([], 0)
    thinned, high = Thinned(equity[0][0], equity[-1][0], STRETCHES), HighWater()
    for ts_ns, lamports in equity:
        thinned.add(ts_ns, lamports, high.mark(lamports))
    return _columns(thinned.points(), thinned.seen)


def _columns(points: Sequence[tuple[int, ...]], seen: int) -> dict[str, Any]:
    return {
        "ms": [point[0] // _NS_PER_MS for point in points],
        "equity_lamports": [point[1] for point in points],
        "drawdown_bps": [point[2] for point in points],
        "of": seen,
    }


def _price(fill: Fill, decimals: int) -> float:
    return float(Decimal(fill.lamports).scaleb(decimals) / (Decimal(fill.base_units) * LAMPORTS_PER_SOL))
