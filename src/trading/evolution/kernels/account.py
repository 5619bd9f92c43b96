"""The account of a kernel: what becomes of opinions, over all tokens together.

Decided at a close and filled at the next bar's open, fees, impact and network a side, marked at what a sale at the
close would bring, not sold at the end. At a close the exits come first (rules and opinions that ended), then the
entries, those of the largest expected gain before others, as ``engine.trader`` has it. An entry whose next bar opens
after its blockhash ran out is none. Money is float64 in SOL.

What the full engine has beside it and this has not: sizes that follow a record, a drawdown or a correlation; limits
other than cash, the number of positions and the expected move; cooldowns, protections, drawdown guards; rounding to
lamports and bps.

Tokens meet only in the cash and the equity that an entry is sized by. So time goes from one new opinion to the next; a
position is followed to its end as soon as it is bought, and what it is worth at each close is added to what all are
worth then.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numba
import numpy as np

from .arrays import Floats, Ints
from .market import CYCLE, FOREVER_NS, GAP, NO_LIMIT, OPEN, Columns, Cycles, Market, Rules, Span
from .speaking import Said

_DUE, _PROCEEDS, _HEAD, _END, _NEXT, _NEW, _RANK = range(7)
"""Columns of the desk, a row for each token: the cycle at which its sale fills (``_NEVER``: not sold, 0: nothing is
held) and what that brings; its next opinion that it rises, where opinions end, and the cycle of that opinion; the one
that is new, and what gain it expects (below 0: none is)."""
_COLUMNS: Final = 7
_NEVER: Final = 1e18
_STAKE_MIN: Final = 1e-6
"""Entries of less than this share of equity are none: what cash is left of others may be the dust of rounding."""
CASH, HELD, DEEPEST, TRIPS, FILLS = range(5)
"""Figures of a run: cash, how many tokens are held, the deepest drawdown, finished round trips, and orders that
filled."""
FIGURES: Final = 5


class Curve(NamedTuple):
    """What comes of a run: the return of each day, figures, and the bars at whose open orders filled (a sale as
    ``-1 - bar``), as far as there is room. ``desk`` is what it works with; ``marks`` is what is held at each cycle, at
    what its sale would bring, and ``flows`` what each cycle adds to cash; between runs they are zero. ``day_ends`` are
    the cycles behind each day."""

    returns: Floats
    figures: Floats
    fills: Ints
    desk: Floats
    marks: Floats
    flows: Floats
    day_ends: Ints

    @classmethod
    def of(cls, market: Market, fills: int) -> "Curve":
        """Return room for a run over the market, and for so many fills."""
        cycles = market.span.last - market.span.first
        return cls(
            np.zeros(market.days.size),
            np.zeros(FIGURES),
            np.empty(fills, np.int64),
            np.zeros((len(market.mints), _COLUMNS)),
            np.zeros(cycles),
            np.zeros(cycles),
            np.searchsorted(market.cycles.days[market.span.first : market.span.last], market.days, side="right"),
        )

    def begin(self, market: Market, said: Said) -> None:
        """Forget the run before."""
        for each in (self.figures, self.desk):
            each[:] = 0.0
        self.figures[CASH] = market.terms.equity
        self.desk[:, _HEAD] = market.span.starts
        self.desk[:, _END] = market.span.starts + said.counts


@numba.njit(nogil=True)
def trade(columns: Columns, cycles: Cycles, span: Span, said: Said, rules: Rules, curve: Curve) -> None:
    """Trade what was said, with a ``curve`` that has begun.

    All arrays are taken out of their tuples here, once: counting the references to each at every step would take longer
    than the step.
    """
    tape, closes, bar_cycles, closes_ns = columns.tape, columns.closes, columns.cycles, cycles.closes_ns
    rows, figures, fills, desk, marks, flows = (
        said.rows,
        curve.figures,
        curve.fills,
        curve.desk,
        curve.marks,
        curve.flows,
    )
    for token in range(desk.shape[0]):
        _look_ahead(desk, token, rows, tape)
    while True:
        at = _NEVER
        for token in range(desk.shape[0]):
            at = min(at, desk[token, _NEXT])
        if at >= span.last:
            break
        worth = _settle(desk, figures, at) + marks[int(at) - span.first]
        free = figures[CASH]
        _rank(desk, rows, tape, at)
        while figures[HELD] < rules.positions_max:
            token = _best(desk)
            if token < 0:
                break
            head = int(desk[token, _NEW])
            bar, stop = int(rows[head, 0]) + 1, span.stops[token]
            stake = _stake(rows, head, closes[bar - 1], free, worth, rules)
            if stake <= 0.0 or bar >= stop or tape[bar, GAP] > rules.wait_ns:
                continue
            free -= stake
            units, cost = _bought(tape[bar, OPEN], stake, rules)
            first = int(tape[bar, CYCLE])
            until = _held_to(closes_ns, first, rules)
            down = _first_down(rows, head, desk[token, _END], stop)
            last = _time_out(bar_cycles, bar, min(down, stop - 1), first, until)
            last = _last_bar(closes, bar, last, units, cost, rules)
            figures[CASH] -= cost
            figures[HELD] += 1.0
            flows[first - span.first] -= cost
            _note(figures, fills, bar)
            desk[token, _DUE], end = _NEVER, span.last
            if last + 1 < stop:
                brought = _brought(units * tape[last + 1, OPEN], rules)
                end = int(tape[last + 1, CYCLE])
                desk[token, _DUE], desk[token, _PROCEEDS] = end, brought
                flows[end - span.first] += brought
                figures[TRIPS] += 1.0
                _note(figures, fills, -2 - last)
            _add_marks(marks, closes, bar_cycles, (bar, last, first - span.first, end - span.first), units, rules)
    _chain(curve.returns, figures, marks, flows, curve.day_ends, rules.equity)


@numba.njit(nogil=True, forceinline=True)
def _look_ahead(desk: Floats, token: int, rows: Floats, tape: Floats) -> None:
    """Find the token's next opinion that it rises, from ``_HEAD`` on."""
    head = int(desk[token, _HEAD])
    while head < desk[token, _END] and rows[head, 1] < 0.0:
        head += 1
    desk[token, _HEAD] = head
    desk[token, _NEXT] = tape[int(rows[head, 0]), CYCLE] if head < desk[token, _END] else _NEVER


@numba.njit(nogil=True, forceinline=True)
def _settle(desk: Floats, figures: Floats, at: float) -> float:
    """Take in what sales brought that filled by now, and return the cash."""
    for token in range(desk.shape[0]):
        if 0.0 < desk[token, _DUE] <= at:
            figures[CASH] += desk[token, _PROCEEDS]
            figures[HELD] -= 1.0
            desk[token, _DUE] = 0.0
    return float(figures[CASH])


@numba.njit(nogil=True, forceinline=True)
def _rank(desk: Floats, rows: Floats, tape: Floats, at: float) -> None:
    """Rank the new opinions on tokens that are not held by the gain they expect, and pass on to the next ones."""
    for token in range(desk.shape[0]):
        desk[token, _RANK] = -1.0
        if desk[token, _NEXT] == at:
            head = int(desk[token, _HEAD])
            if desk[token, _DUE] == 0.0:
                desk[token, _NEW], desk[token, _RANK] = head, rows[head, 1] * rows[head, 2]
            desk[token, _HEAD] = head + 1
            _look_ahead(desk, token, rows, tape)


@numba.njit(nogil=True, forceinline=True)
def _best(desk: Floats) -> int:
    """Take the token with the highest rank, the first of equal ones; -1 for none."""
    best = 0
    for token in range(1, desk.shape[0]):
        if desk[token, _RANK] > desk[best, _RANK]:
            best = token
    if desk[best, _RANK] < 0.0:
        return -1
    desk[best, _RANK] = -1.0
    return best


@numba.njit(nogil=True, forceinline=True)
def _stake(rows: Floats, head: int, close: float, free: float, worth: float, rules: Rules) -> float:
    """Return what an entry may spend; 0 where there is no cash for it, or the move is not worth the round trip."""
    if rules.units > 0.0:
        stake = _paid(rules.units * close, rules)
        if stake > free:
            return 0.0
    else:
        stake = min(free, worth * rules.stake_share * rows[head, 1])
        if stake <= worth * _STAKE_MIN:
            return 0.0
    impact_bps = 2.0 * 10_000.0 * stake * rules.thinness  # of both sides
    return stake if rows[head, 2] >= rules.edge_bps_min + impact_bps else 0.0


@numba.njit(nogil=True, forceinline=True)
def _bought(opened: float, stake: float, rules: Rules) -> tuple[float, float]:
    """Return the units that an entry buys at an open, and what they cost."""
    if rules.units > 0.0:
        return rules.units, _paid(rules.units * opened, rules)
    spent = stake / rules.buys
    return spent / (opened * (1.0 + spent * rules.thinness)), stake


@numba.njit(nogil=True, forceinline=True)
def _brought(worth: float, rules: Rules) -> float:
    """Return what a sale of units that are worth so much at the pool's price brings, after impact and fees."""
    return worth / (1.0 + worth * rules.thinness) * rules.sells


@numba.njit(nogil=True, forceinline=True)
def _paid(worth: float, rules: Rules) -> float:
    """Return what units that are worth so much at the pool's price cost, with impact and fees."""
    return worth / (1.0 - worth * rules.thinness) * rules.buys


@numba.njit(nogil=True, forceinline=True)
def _note(figures: Floats, fills: Ints, fill: int) -> None:
    number = int(figures[FILLS])
    if number < fills.size:
        fills[number] = fill
    figures[FILLS] += 1.0


@numba.njit(nogil=True, forceinline=True)
def _held_to(closes_ns: Ints, first: int, rules: Rules) -> int:
    """Return the cycle at which a position that filled at the open of this cycle's bar is as old as it may get."""
    if rules.holding_ns >= FOREVER_NS:
        return closes_ns.size
    until_ns = closes_ns[first] - rules.interval_ns + rules.holding_ns
    low, high = first, closes_ns.size
    while low < high:
        middle = (low + high) // 2
        if closes_ns[middle] < until_ns:
            low = middle + 1
        else:
            high = middle
    return low


@numba.njit(nogil=True, forceinline=True)
def _first_down(rows: Floats, head: int, end: float, stop: int) -> int:
    """Return the bar at which the opinion ended, ``stop`` where it did not."""
    while head < end:
        if rows[head, 1] < 0.0:
            return int(rows[head, 0])
        head += 1
    return stop


@numba.njit(nogil=True, forceinline=True)
def _time_out(bar_cycles: Ints, first: int, last: int, at: int, until: int) -> int:
    """Return the bar after which a position that filled in cycle ``at`` is sold because it is too old, ``last`` where
    it does not get so old. Time passes in a gap too: where it runs out before the next bar, that one's open sells."""
    if until - at >= last - first and bar_cycles[last] <= until:
        return last
    bar = min(last, first + until - at)
    if bar_cycles[bar] == until:
        return bar
    low, high = first, bar
    while low < high:
        middle = (low + high) // 2
        if bar_cycles[middle + 1] > until:
            high = middle
        else:
            low = middle + 1
    return low


@numba.njit(nogil=True, forceinline=True)
def _last_bar(closes: Floats, first: int, last: int, units: float, cost: float, rules: Rules) -> int:
    """Return the bar from ``first`` on after which a rule sells, at the latest ``last``.

    As ``risk.exits`` has it: stop and target are of what it cost, fees included, against its units at the close alone;
    the trailing stop follows the best close once the position was up enough for it to be armed.
    """
    is_trailing = rules.trailing < NO_LIMIT
    if not is_trailing and rules.stop == NO_LIMIT and rules.take == NO_LIMIT:
        return last
    low = cost * (1.0 - rules.stop) / units if rules.stop < NO_LIMIT else 0.0
    high, armed_at = cost * (1.0 + rules.take) / units, cost * (1.0 + rules.arm) / units
    peak = 0.0
    for bar in range(first, last):
        close = closes[bar]
        if is_trailing and close > peak:
            peak = close
            if peak >= armed_at:
                low = max(low, peak * (1.0 - rules.trailing))
        if close <= low or close >= high:
            return bar
    return last


@numba.njit(nogil=True, forceinline=True)
def _add_marks(
    marks: Floats, closes: Floats, bar_cycles: Ints, held: tuple[int, int, int, int], units: float, rules: Rules
) -> None:
    """Add what a position is worth at each cycle from that of its first bar to before that of its end; where there is
    no bar it is worth what it was."""
    bar, last, start, end = held
    if end - start == last - bar + 1:
        for place in range(end - start):
            worth = units * closes[bar + place]
            marks[start + place] += worth / (1.0 + worth * rules.thinness) * rules.sells
        return
    first = bar_cycles[bar] - start
    for at in range(start, end):
        if bar < last and bar_cycles[bar + 1] - first == at:
            bar += 1
        marks[at] += _brought(units * closes[bar], rules)


@numba.njit(nogil=True, forceinline=True)
def _chain(returns: Floats, figures: Floats, marks: Floats, flows: Floats, day_ends: Ints, start: float) -> None:
    """Put together cash and marks: the return of each day, and the deepest drop from a peak. With a fixed amount a
    trade equity may be used up; there is no return on nothing. What was put together is wiped for the next run."""
    cash = peak = worth = start
    deepest, at = 0.0, 0
    for day in range(day_ends.size):
        before = worth
        while at < day_ends[day]:
            cash += flows[at]
            worth = cash + marks[at]
            marks[at] = flows[at] = 0.0
            if worth > peak:
                peak = worth
            elif peak - worth > deepest * peak:
                deepest = 1.0 - worth / peak
            at += 1
        returns[day] = worth / before - 1.0 if before > 0.0 else 0.0
    figures[DEEPEST] = deepest


def equity_of_fills(market: Market, fills: Sequence[tuple[int, float, float]], cash: float) -> Floats:
    """Return the equity at each cycle of the market, given fills as (row of the bar, units bought or minus units sold,
    paid or minus received).

    Units are whole tokens. This is the kernel's marking alone: given the engine's fills it agrees with the engine's
    marks (without deposits for accounts) to rounding.
    """
    span, columns = market.span, market.columns
    rules = market.terms.rules(market.interval_ns)
    units, equity = np.zeros(columns.closes.size), np.full(span.last - span.first, float(cash))
    for bar, bought, paid in fills:
        units[bar] += bought
        equity[columns.cycles[bar] - span.first :] -= paid
    for first, stop in zip(span.starts, span.stops, strict=True):
        worth = np.cumsum(units[first:stop]) * columns.closes[first:stop]
        worth *= rules.sells / (1.0 + worth * rules.thinness)
        newest = np.searchsorted(columns.cycles[first:stop], np.arange(span.first, span.last), side="right") - 1
        equity += np.where(newest >= 0, worth[newest], 0.0)
    return equity
