"""Screening: what each of many parameter sets of one strategy would have traded, and what came of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from trading.errors import InvalidInput
from trading.strategies.parameters import Value, resolve
from trading.strategies.registry import create, declared

from . import lead_lag, mean_reversion, momentum_breakout, sma_cross, trend_following, volatility_breakout
from .account import DEEPEST, FILLS, TRIPS, Curve, trade
from .arrays import Floats, Ints
from .market import Columns, Market, Span
from .speaking import Said, nothing_said

SETS_MAX: Final = 1_000_000
RETURNS_MAX: Final = 100_000_000
"""Daily returns of all sets of a call: 800 MB."""


class _Kernel(NamedTuple):
    parameters_of: Callable[[Mapping[str, Value]], Any]
    speak: Callable[[Columns, Span, Ints, int, Any, Said], None]


_KERNELS: Final[Mapping[str, _Kernel]] = {
    name: _Kernel(module.parameters_of, module.speak)
    for name, module in (
        ("lead_lag", lead_lag),
        ("mean_reversion", mean_reversion),
        ("momentum_breakout", momentum_breakout),
        ("sma_cross", sma_cross),
        ("trend_following", trend_following),
        ("volatility_breakout", volatility_breakout),
    )
}


@dataclass(frozen=True, slots=True)
class Screened:
    """One row for each parameter set. ``returns`` (sets, days) are daily returns of equity, net of costs, on the days
    of ``Market.days``; ``trades`` (sets,) are finished round trips; ``max_drawdown`` (sets,) is the largest drop of
    equity from its peak, as a share, over all closes."""

    returns: Floats
    trades: Ints
    max_drawdown: Floats


@dataclass(frozen=True, slots=True)
class Opinion:
    """What a kernel says for a strategy at a bar's close; the figures are those of ``model.order.Signal``."""

    mint: str
    ts_ns: int
    strength: float
    edge_bps: int


@dataclass(frozen=True, slots=True)
class Filled:
    """An order that filled at the open of a bar."""

    mint: str
    ts_ns: int
    is_buy: bool


def screenable() -> frozenset[str]:
    """Return the strategies that have a kernel: those that live on bars alone."""
    return frozenset(_KERNELS)


def screen(strategy: str, market: Market, sets: Sequence[Mapping[str, Value]]) -> Screened:
    """Screen parameter sets, each over the whole market with capital of its own.

    Beside its result it takes as much memory as one set needs, whatever their number. The result of a set does not
    depend on the others.
    Raises: InvalidInput for a strategy without a kernel, a set that the strategy refuses, or too many of them.
    """
    days = market.days.size
    if not 1 <= len(sets) <= SETS_MAX or len(sets) * days > RETURNS_MAX:
        msg = f"sets: from 1 to {min(SETS_MAX, RETURNS_MAX // days)} over {days} days, not {len(sets)}"
        raise InvalidInput(msg, field="sets")
    desk = _Desk(strategy, market)
    found = Screened(np.empty((len(sets), days)), np.empty(len(sets), np.int64), np.empty(len(sets)))
    for row, values in enumerate(sets):
        curve = desk.run(values)
        found.returns[row] = curve.returns
        found.trades[row] = curve.figures[TRIPS]
        found.max_drawdown[row] = curve.figures[DEEPEST]
    return found


def opinions(strategy: str, market: Market, values: Mapping[str, Value]) -> list[Opinion]:
    """Return what the kernel says with one parameter set, token after token. Raises: InvalidInput."""
    desk = _Desk(strategy, market)
    desk.speak(values)
    said, found = desk.said, []
    for token, mint in enumerate(market.mints):
        first = int(market.span.starts[token])
        for place in range(first, first + int(said.counts[token])):
            bar, strength, edge_bps = said.rows[place].tolist()
            ts_ns = int(market.cycles.closes_ns[market.columns.cycles[int(bar)]])
            found.append(Opinion(mint, ts_ns, strength, int(edge_bps)))
    return found


def fills(strategy: str, market: Market, values: Mapping[str, Value]) -> list[Filled]:
    """Return what filled with one parameter set, in time order. Raises: InvalidInput."""
    desk = _Desk(strategy, market, fills=market.bars + 1)
    curve = desk.run(values)
    found = []
    for each in curve.fills[: int(curve.figures[FILLS])].tolist():
        bar = each if each >= 0 else -1 - each
        token = int(np.searchsorted(market.span.stops, bar, side="right"))
        ts_ns = int(market.cycles.closes_ns[market.columns.cycles[bar]]) - market.interval_ns
        found.append(Filled(market.mints[token], ts_ns, each >= 0))
    return sorted(found, key=lambda each: (each.ts_ns, each.mint))


class _Desk:
    """What all sets of a call share."""

    def __init__(self, strategy: str, market: Market, fills: int = 0) -> None:
        """Raises: InvalidInput."""
        if strategy not in _KERNELS:
            msg = f"strategy: {strategy!r} has no kernel; those that have one are {', '.join(sorted(_KERNELS))}"
            raise InvalidInput(msg, field="strategy")
        self._strategy = strategy
        self._kernel = _KERNELS[strategy]
        self._market = market
        self._rules = market.terms.rules(market.interval_ns)
        self.said = nothing_said(market.columns.closes.size, len(market.mints))
        self._curve = Curve.of(market, fills)

    def speak(self, values: Mapping[str, Value]) -> None:
        """Let the kernel say what it thinks. Raises: InvalidInput for values that the strategy refuses."""
        market = self._market
        strategy = create(self._strategy, values)
        parameters = self._kernel.parameters_of(resolve(self._strategy, declared(self._strategy), values))
        lookback_ns = strategy.warmup_bars * market.interval_ns
        self._kernel.speak(market.columns, market.span, market.breaks, lookback_ns, parameters, self.said)

    def run(self, values: Mapping[str, Value]) -> Curve:
        """Return what comes of one set; the next run writes over it. Raises: InvalidInput."""
        self.speak(values)
        market = self._market
        self._curve.begin(market, self.said)
        trade(market.columns, market.cycles, market.span, self.said, self._rules, self._curve)
        return self._curve
