"""The account of a kernel: what becomes of opinions, over all tokens together, in one compiled pass over the cycles.

Decided at a close and filled at the next bar's open, fees and costs a side, marked at what a sale at the close would
bring, not sold at the end. At a close the exits come first (rules and opinions that ended), then the entries, those of
the largest expected gain before others, as ``engine.trader`` has it. An entry whose next bar opens after its blockhash
ran out is none. Money is float64 in SOL.

What the full engine has beside it and this has not: sizes that follow a record, a drawdown or a correlation; limits
other than cash, the number of positions and the expected move; cooldowns, protections, drawdown guards; rounding to
lamports and bps.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numba
import numpy as np

from .market import NO_LIMIT, Columns, Cycles, Floats, Ints, Market, Rules, Span
from .speaking import Said

_BUY, _NONE, _SELL = 1, 0, -1
"""What is under way for a token."""
_UNITS, _COST, _STAKE, _LOW, _HIGH, _PEAK = range(6)
"""Money of a token: what is held and what it cost, what an entry under way may spend, the closes at which a rule sells,
and the best close since entry."""
_NEWEST, _WISH, _HEAD, _UNTIL = range(4)
"""Places of a token: its newest bar, what is under way, its next opinion, and the cycle at which it has been held for
as long as it may be."""
_NEVER: Final = 2**62
DEEPEST, TRIPS, FILLS = range(3)
"""Figures of a run: the deepest drawdown, finished round trips, and orders that filled."""
FIGURES: Final = 3


class Curve(NamedTuple):
    """What comes of a run: equity at the end of each day, figures, and the bars at whose open orders filled (a sale as
    ``-1 - bar``) as far as there is room."""

    equity: Floats
    figures: Floats
    fills: Ints


@numba.njit(nogil=True)
def trade(columns: Columns, cycles: Cycles, span: Span, said: Said, rules: Rules, curve: Curve) -> None:
    """Trade what was said; ``curve`` is written anew.

    All arrays are taken out of their tuples here, once: counting the references to each at every step would take longer
    than the step.
    """
    opens, closes, gaps_ns, bar_cycles = columns.opens, columns.closes, columns.gaps_ns, columns.cycles
    closes_ns, days, stops = cycles.closes_ns, cycles.days, span.stops
    rows, equity, figures, fills = said.rows, curve.equity, curve.figures, curve.fills
    tokens = stops.size
    money, places, active = np.zeros((tokens, 6)), np.zeros((tokens, 4), np.int64), np.zeros(tokens, np.int64)
    places[:, _HEAD] = span.starts
    ends = span.starts + said.counts
    equity[:] = np.nan
    figures[:] = 0.0
    cash = peak = rules.equity
    deepest, count, at, first_day = 0.0, 0, span.first, days[span.first]
    opinion_at = _next_opinion(rows, places, ends, bar_cycles)
    while at < span.last:
        if count == 0:
            at = opinion_at
            if at >= span.last:
                break
        for place in range(count - 1, -1, -1):
            token = active[place]
            bar = places[token, _NEWEST] + 1
            if bar < stops[token] and bar_cycles[bar] == at:
                places[token, _NEWEST] = bar
                if places[token, _WISH] != _NONE:
                    _note(figures, fills, bar if places[token, _WISH] == _BUY else -1 - bar)
                    cash += _fill(money, places, token, opens[bar], rules)
                    if places[token, _WISH] == _BUY:
                        held_to_ns = closes_ns[at] - rules.interval_ns + rules.holding_ns
                        places[token, _UNTIL] = np.searchsorted(closes_ns, held_to_ns)
                    else:
                        count -= 1
                        active[place] = active[count]
                    places[token, _WISH] = _NONE
        worth = cash
        for place in range(count):
            token = active[place]
            if money[token, _UNITS] > 0.0:
                close = closes[places[token, _NEWEST]]
                worth += money[token, _UNITS] * close * rules.sells
                if close > money[token, _PEAK]:
                    _raise_stop(money, token, close, rules)
                if close <= money[token, _LOW] or close >= money[token, _HIGH] or at >= places[token, _UNTIL]:
                    places[token, _WISH] = _SELL
        if at == opinion_at:
            ranks = _heed(rows, money, places, ends, bar_cycles, at)
            count = _enter(rows, money, places, active, (ranks, stops, closes, gaps_ns), (count, cash, worth, rules))
            opinion_at = _next_opinion(rows, places, ends, bar_cycles)
        if worth > peak:
            peak = worth
        elif peak - worth > deepest * peak:
            deepest = 1.0 - worth / peak
        equity[days[at] - first_day] = worth
        at += 1
    figures[DEEPEST] = deepest
    _carry(equity, rules.equity)


@numba.njit(nogil=True)
def _next_opinion(rows: Floats, places: Ints, ends: Ints, bar_cycles: Ints) -> int:
    """Return the cycle of the next opinion of any token."""
    first = _NEVER
    for token in range(ends.size):
        head = places[token, _HEAD]
        if head < ends[token]:
            first = min(first, bar_cycles[np.int64(rows[head, 0])])
    return first


@numba.njit(nogil=True)
def _note(figures: Floats, fills: Ints, fill: int) -> None:
    number = np.int64(figures[FILLS])
    if number < fills.size:
        fills[number] = fill
    figures[FILLS] += 1.0
    if fill < 0:
        figures[TRIPS] += 1.0


@numba.njit(nogil=True)
def _fill(money: Floats, places: Ints, token: int, opened: float, rules: Rules) -> float:
    """Buy or sell at an open, and return what it brings in cash (below 0 for a purchase)."""
    if places[token, _WISH] == _SELL:
        brought: float = money[token, _UNITS] * opened * rules.sells
        money[token, _UNITS] = 0.0
        return brought
    price = opened * rules.buys
    units = rules.units if rules.units > 0.0 else money[token, _STAKE] / price
    cost = units * price
    money[token, _UNITS], money[token, _COST], money[token, _PEAK], money[token, _STAKE] = units, cost, 0.0, 0.0
    # As ``risk.exits`` has it: of what the position cost, fees included, against its units at the close alone.
    money[token, _LOW] = cost * (1.0 - rules.stop) / units if rules.stop < NO_LIMIT else 0.0
    money[token, _HIGH] = cost * (1.0 + rules.take) / units
    return -cost


@numba.njit(nogil=True)
def _raise_stop(money: Floats, token: int, peak: float, rules: Rules) -> None:
    """Let the trailing stop follow a new best close, once the position was up enough for it to be armed."""
    money[token, _PEAK] = peak
    if rules.trailing < NO_LIMIT and peak * money[token, _UNITS] >= money[token, _COST] * (1.0 + rules.arm):
        money[token, _LOW] = max(money[token, _LOW], peak * (1.0 - rules.trailing))


@numba.njit(nogil=True)
def _heed(rows: Floats, money: Floats, places: Ints, ends: Ints, bar_cycles: Ints, at: int) -> Floats:
    """Sell where an opinion ended; return the expected gains of tokens that could be entered, -1 of all others."""
    ranks = np.full(ends.size, -1.0)
    for token in range(ends.size):
        head = places[token, _HEAD]
        if head == ends[token] or bar_cycles[np.int64(rows[head, 0])] != at:
            continue
        places[token, _HEAD] += 1
        if rows[head, 1] < 0.0:
            if money[token, _UNITS] > 0.0:
                places[token, _WISH] = _SELL
        elif money[token, _UNITS] == 0.0 and places[token, _WISH] == _NONE:
            ranks[token] = rows[head, 1] * rows[head, 2]
    return ranks


@numba.njit(nogil=True)
def _enter(
    rows: Floats,
    money: Floats,
    places: Ints,
    active: Ints,
    market: tuple[Floats, Ints, Floats, Ints],
    account: tuple[int, float, float, Rules],
) -> int:
    """Send entries, the largest expected gain first, as far as cash and the number of positions allow; return how many
    tokens are held or under way then."""
    ranks, stops, closes, gaps_ns = market
    count, free, worth, rules = account
    for place in range(count):
        if places[active[place], _WISH] == _BUY:
            free -= money[active[place], _STAKE]
    while count < rules.positions_max:
        token = np.argmax(ranks)
        if ranks[token] < 0.0:
            break
        ranks[token] = -1.0
        head = places[token, _HEAD] - 1
        bar = np.int64(rows[head, 0])
        is_in_time = bar + 1 < stops[token] and gaps_ns[bar + 1] <= rules.wait_ns
        if rules.units > 0.0:
            stake = rules.units * closes[bar] * rules.buys
        else:
            stake = min(free, worth * rules.stake_share * rows[head, 1])
        if stake <= 0.0 or stake > free or not is_in_time or rows[head, 2] < rules.edge_bps_min:
            continue
        free -= stake
        money[token, _STAKE], places[token, _NEWEST], places[token, _WISH] = stake, bar, _BUY
        active[count] = token
        count += 1
    return count


@numba.njit(nogil=True)
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
    sells = market.terms.rules(market.interval_ns).sells
    units, equity = np.zeros(columns.closes.size), np.full(span.last - span.first, float(cash))
    for bar, bought, paid in fills:
        units[bar] += bought
        equity[columns.cycles[bar] - span.first :] -= paid
    for first, stop in zip(span.starts, span.stops, strict=True):
        worth = np.cumsum(units[first:stop]) * columns.closes[first:stop] * sells
        newest = np.searchsorted(columns.cycles[first:stop], np.arange(span.first, span.last), side="right") - 1
        equity += np.where(newest >= 0, worth[newest], 0.0)
    return equity
