"""The account of a kernel: what becomes of opinions, over all tokens together, in one compiled pass over the cycles.

Decided at a close and filled at the next bar's open, fees, impact and network a side, marked at what a sale at the
close would bring, not sold at the end. At a close the exits come first (rules and opinions that ended), then the
entries, those of the largest expected gain before others, as ``engine.trader`` has it. An entry whose next bar opens
after its blockhash ran out is none. Money is float64 in SOL.

What the full engine has beside it and this has not: sizes that follow a record, a drawdown or a correlation; limits
other than cash, the number of positions and the expected move; cooldowns, protections, drawdown guards; rounding to
lamports and bps.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numba
import numpy as np

from .market import CYCLE, FOREVER_NS, GAP, NO_LIMIT, OPEN, Columns, Cycles, Floats, Ints, Market, Rules, Span
from .speaking import Said

_BUY, _NONE, _SELL = 1.0, 0.0, -1.0
"""What is under way for a token."""
_UNITS, _COST, _STAKE, _LOW, _HIGH, _PEAK, _WISH = range(7)
"""Columns of the desk, a row for each token: units held and their cost, what an entry under way may spend, the closes
at which a rule sells, the best close since entry, and what is under way."""
_NEWEST, _STOP, _UNTIL = range(7, 10)
"""The newest bar, where bars end, and the cycle at which a position has been held for as long as it may be."""
_HEAD, _END, _NEXT, _RANK = range(10, 14)
"""The next opinion, where opinions end, the cycle of the next one, and the expected gain of one that is new."""
_COLUMNS: Final = 14
_NEVER: Final = 1e18
_STAKE_MIN: Final = 1e-6
"""Entries of less than this share of equity are none: what cash is left of others may be the dust of rounding."""
CASH, TOP, DEEPEST, TRIPS, FILLS, COUNT, PENDING = range(7)
"""Figures of a run: cash, the peak of equity, the deepest drawdown, finished round trips, orders that filled, tokens
that are held or under way, and orders that are under way."""
FIGURES: Final = 7


class Curve(NamedTuple):
    """What comes of a run: equity at the end of each day, figures, and the bars at whose open orders filled (a sale as
    ``-1 - bar``) as far as there is room. ``desk`` and ``active`` are what it works with, ``days`` the place of each
    cycle's day."""

    equity: Floats
    figures: Floats
    fills: Ints
    desk: Floats
    active: Ints
    days: Ints

    @classmethod
    def of(cls, market: Market, fills: int) -> "Curve":
        """Return room for a run over the market, and for so many fills."""
        cycles, tokens = market.cycles, len(market.mints)
        return cls(
            np.empty(market.days.size),
            np.zeros(FIGURES),
            np.empty(fills, np.int64),
            np.zeros((tokens, _COLUMNS)),
            np.zeros(tokens, np.int64),
            cycles.days - cycles.days[market.span.first],
        )

    def begin(self, market: Market, said: Said) -> None:
        """Forget the run before."""
        self.equity[:] = np.nan
        self.figures[:] = 0.0
        self.figures[CASH] = self.figures[TOP] = market.terms.equity
        self.desk[:] = 0.0
        self.desk[:, _STOP], self.desk[:, _HEAD] = market.span.stops, market.span.starts
        self.desk[:, _END] = market.span.starts + said.counts


@numba.njit(nogil=True)
def trade(columns: Columns, cycles: Cycles, span: Span, said: Said, rules: Rules, curve: Curve) -> None:
    """Trade what was said, with a ``curve`` that has begun.

    All arrays are taken out of their tuples here, once, and what belongs to a token lies in one of them: counting the
    references to each at every step would take longer than the step.
    """
    tape, closes, bar_cycles = columns.tape, columns.closes, columns.cycles
    closes_ns, rows, equity, figures, fills = cycles.closes_ns, said.rows, curve.equity, curve.figures, curve.fills
    desk, active, days = curve.desk, curve.active, curve.days
    opinion_at = _look_ahead(desk, rows, tape, -1)
    at = span.first
    while at < span.last:
        if figures[COUNT] == 0.0:
            at = max(at, opinion_at)
            if at >= span.last:
                break
        elif figures[PENDING] == 0.0 and at < opinion_at:
            until = min(opinion_at, span.last)
            if figures[COUNT] == 1.0:
                at = _hold_one(desk, active[0], figures, equity, closes, bar_cycles, days, (at, until), rules)
            else:
                at = _hold(desk, active, figures, equity, closes, bar_cycles, days, (at, until), rules)
            continue
        place = int(figures[COUNT])
        while place > 0:
            place -= 1
            token = active[place]
            if not _has_arrived(desk, token, bar_cycles, at) or desk[token, _WISH] == _NONE:
                continue
            bar = int(desk[token, _NEWEST])
            _fill(desk, token, figures, fills, bar, tape[bar, OPEN], rules)
            if desk[token, _UNITS] > 0.0:
                desk[token, _UNTIL] = _held_to(closes_ns, at, rules)
            else:
                figures[COUNT] -= 1.0
                active[place] = active[int(figures[COUNT])]
        worth = _judge(desk, active, figures, closes, at, rules)
        if at == opinion_at:
            if _heed(desk, rows, figures, at):
                _enter(desk, active, figures, rows, closes, tape, worth, rules)
            opinion_at = _look_ahead(desk, rows, tape, at)
        figures[TOP] = max(figures[TOP], worth)
        figures[DEEPEST] = max(figures[DEEPEST], 1.0 - worth / figures[TOP])
        equity[days[at]] = worth
        at += 1
    _carry(equity, rules.equity)


@numba.njit(nogil=True, forceinline=True)
def _look_ahead(desk: Floats, rows: Floats, tape: Floats, at: int) -> int:
    """Find the next opinion of each token that had one now (of all at -1); return the cycle of the first of any."""
    first = _NEVER
    for token in range(desk.shape[0]):
        if at < 0 or desk[token, _NEXT] == at:
            head = int(desk[token, _HEAD])
            desk[token, _NEXT] = tape[int(rows[head, 0]), CYCLE] if head < desk[token, _END] else _NEVER
        first = min(first, desk[token, _NEXT])
    return int(first)


@numba.njit(nogil=True, forceinline=True)
def _has_arrived(desk: Floats, token: int, bar_cycles: Ints, at: int) -> bool:
    """Take the token's bar that closes now; say whether there is one."""
    bar = int(desk[token, _NEWEST]) + 1
    if bar < desk[token, _STOP] and bar_cycles[bar] == at:
        desk[token, _NEWEST] = bar
        return True
    return False


@numba.njit(nogil=True, forceinline=True)
def _fill(desk: Floats, token: int, figures: Floats, fills: Ints, bar: int, opened: float, rules: Rules) -> None:
    """Fill at an open what is under way."""
    number = int(figures[FILLS])
    is_buy = desk[token, _WISH] == _BUY
    if number < fills.size:
        fills[number] = bar if is_buy else -1 - bar
    figures[FILLS] += 1.0
    figures[PENDING] -= 1.0
    desk[token, _WISH] = _NONE
    if not is_buy:
        figures[TRIPS] += 1.0
        figures[CASH] += _brought(desk[token, _UNITS] * opened, rules)
        desk[token, _UNITS] = 0.0
        return
    if rules.units > 0.0:
        units, cost = rules.units, _paid(rules.units * opened, rules)
    else:
        cost = desk[token, _STAKE]
        spent = cost / rules.buys
        units = spent / (opened * (1.0 + spent * rules.thinness))
    figures[CASH] -= cost
    desk[token, _UNITS], desk[token, _COST], desk[token, _PEAK], desk[token, _STAKE] = units, cost, 0.0, 0.0
    # As ``risk.exits`` has it: of what the position cost, fees included, against its units at the close alone.
    desk[token, _LOW] = cost * (1.0 - rules.stop) / units if rules.stop < NO_LIMIT else 0.0
    desk[token, _HIGH] = cost * (1.0 + rules.take) / units


@numba.njit(nogil=True, forceinline=True)
def _brought(worth: float, rules: Rules) -> float:
    """Return what a sale of units that are worth so much at the pool's price brings, after impact and fees."""
    return worth / (1.0 + worth * rules.thinness) * rules.sells


@numba.njit(nogil=True, forceinline=True)
def _paid(worth: float, rules: Rules) -> float:
    """Return what units that are worth so much at the pool's price cost, with impact and fees."""
    return worth / (1.0 - worth * rules.thinness) * rules.buys


@numba.njit(nogil=True, forceinline=True)
def _held_to(closes_ns: Ints, at: int, rules: Rules) -> float:
    """Return the cycle at which a position that filled at the open of this bar is as old as it may get."""
    if rules.holding_ns >= FOREVER_NS:
        return _NEVER
    until_ns = closes_ns[at] - rules.interval_ns + rules.holding_ns
    low, high = at, closes_ns.size
    while low < high:
        middle = (low + high) // 2
        if closes_ns[middle] < until_ns:
            low = middle + 1
        else:
            high = middle
    return float(low)


@numba.njit(nogil=True, forceinline=True)
def _asks(desk: Floats, token: int, close: float, at: int, rules: Rules) -> bool:
    """Say whether a rule sells at this close; the trailing stop follows a new best close, once the position was up
    enough for it to be armed."""
    if close > desk[token, _PEAK]:
        desk[token, _PEAK] = close
        if rules.trailing < NO_LIMIT and close * desk[token, _UNITS] >= desk[token, _COST] * (1.0 + rules.arm):
            desk[token, _LOW] = max(desk[token, _LOW], close * (1.0 - rules.trailing))
    return bool(close <= desk[token, _LOW] or close >= desk[token, _HIGH] or at >= desk[token, _UNTIL])


@numba.njit(nogil=True, forceinline=True)
def _judge(desk: Floats, active: Ints, figures: Floats, closes: Floats, at: int, rules: Rules) -> float:
    """Sell what a rule says; return cash and what selling everything at the newest closes would bring."""
    worth = figures[CASH]
    for place in range(int(figures[COUNT])):
        token = active[place]
        if desk[token, _UNITS] > 0.0:
            close = closes[int(desk[token, _NEWEST])]
            worth += _brought(desk[token, _UNITS] * close, rules)
            if _asks(desk, token, close, at, rules) and desk[token, _WISH] == _NONE:
                desk[token, _WISH] = _SELL
                figures[PENDING] += 1.0
    return worth  # type: ignore[no-any-return]


@numba.njit(nogil=True, forceinline=True)
def _hold(
    desk: Floats,
    active: Ints,
    figures: Floats,
    equity: Floats,
    closes: Floats,
    bar_cycles: Ints,
    days: Ints,
    span: tuple[int, int],
    rules: Rules,
) -> int:
    """Pass over cycles in which nothing is under way and nobody has an opinion; return the one behind the last of
    them, or behind the one in which a rule sold."""
    at, until = span
    top, deepest, count = figures[TOP], figures[DEEPEST], int(figures[COUNT])
    while at < until and figures[PENDING] == 0.0:
        for place in range(count):
            _has_arrived(desk, active[place], bar_cycles, at)
        worth = _judge(desk, active, figures, closes, at, rules)
        if worth > top:
            top = worth
        elif top - worth > deepest * top:
            deepest = 1.0 - worth / top
        equity[days[at]] = worth
        at += 1
    figures[TOP], figures[DEEPEST] = top, deepest
    return at


@numba.njit(nogil=True, forceinline=True)
def _hold_one(
    desk: Floats,
    token: int,
    figures: Floats,
    equity: Floats,
    closes: Floats,
    bar_cycles: Ints,
    days: Ints,
    span: tuple[int, int],
    rules: Rules,
) -> int:
    """The same for one position."""
    at, until = span
    bar, stop = int(desk[token, _NEWEST]), int(desk[token, _STOP])
    units, cash = desk[token, _UNITS], figures[CASH]
    top, deepest = figures[TOP], figures[DEEPEST]
    low, high, peak, too_old = desk[token, _LOW], desk[token, _HIGH], desk[token, _PEAK], desk[token, _UNTIL]
    is_over = False
    while at < until and not is_over:
        if bar + 1 < stop and bar_cycles[bar + 1] == at:
            bar += 1
        close = closes[bar]
        if close > peak or close <= low or close >= high or at >= too_old:
            is_over = _asks(desk, token, close, at, rules)
            low, peak = desk[token, _LOW], desk[token, _PEAK]
        worth = cash + _brought(units * close, rules)
        if worth > top:
            top = worth
        elif top - worth > deepest * top:
            deepest = 1.0 - worth / top
        equity[days[at]] = worth
        at += 1
    if is_over:
        desk[token, _WISH] = _SELL
        figures[PENDING] = 1.0
    desk[token, _NEWEST], figures[TOP], figures[DEEPEST] = bar, top, deepest
    return at


@numba.njit(nogil=True, forceinline=True)
def _heed(desk: Floats, rows: Floats, figures: Floats, at: int) -> bool:
    """Sell where an opinion ended, rank the tokens that could be entered, and say whether there are any."""
    is_any = False
    for token in range(desk.shape[0]):
        desk[token, _RANK] = -1.0
        if desk[token, _NEXT] != at:
            continue
        head = int(desk[token, _HEAD])
        desk[token, _HEAD] = head + 1
        if desk[token, _WISH] != _NONE:
            continue
        if rows[head, 1] < 0.0:
            if desk[token, _UNITS] > 0.0:
                desk[token, _WISH] = _SELL
                figures[PENDING] += 1.0
        elif desk[token, _UNITS] == 0.0:
            desk[token, _RANK] = rows[head, 1] * rows[head, 2]
            is_any = True
    return is_any


@numba.njit(nogil=True, forceinline=True)
def _enter(
    desk: Floats,
    active: Ints,
    figures: Floats,
    rows: Floats,
    closes: Floats,
    tape: Floats,
    worth: float,
    rules: Rules,
) -> None:
    """Send entries, the largest expected gain first, as far as cash and the number of positions allow."""
    free = figures[CASH]
    edge_rate = 2.0 * 10_000.0 * rules.thinness  # the impact of both sides, in bps for each SOL
    for place in range(int(figures[COUNT])):
        free -= desk[active[place], _STAKE]
    while figures[COUNT] < rules.positions_max:
        token = 0
        for other in range(1, desk.shape[0]):
            if desk[other, _RANK] > desk[token, _RANK]:
                token = other
        if desk[token, _RANK] < 0.0:
            break
        desk[token, _RANK] = -1.0
        head = int(desk[token, _HEAD]) - 1
        bar = int(rows[head, 0])
        after = bar + 1
        is_in_time = after < desk[token, _STOP] and tape[after, GAP] <= rules.wait_ns
        if rules.units > 0.0:
            stake = _paid(rules.units * closes[bar], rules)
        else:
            stake = min(free, worth * rules.stake_share * rows[head, 1])
        if (
            stake <= worth * _STAKE_MIN
            or stake > free
            or not is_in_time
            or rows[head, 2] < rules.edge_bps_min + stake * edge_rate
        ):
            continue
        free -= stake
        desk[token, _STAKE], desk[token, _NEWEST], desk[token, _WISH] = stake, bar, _BUY
        active[int(figures[COUNT])] = token
        figures[COUNT] += 1.0
        figures[PENDING] += 1.0


@numba.njit(nogil=True, forceinline=True)
def _carry(equity: Floats, start: float) -> None:
    """Give days in which nothing moved the equity of the day before."""
    before = start
    for day in range(equity.size):
        if np.isnan(equity[day]):
            equity[day] = before
        before = equity[day]


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
