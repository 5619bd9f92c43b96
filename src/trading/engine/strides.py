"""Recorded cycles in strides: first what the strategies say to all of them, then what the desk makes of it.

A strategy sees bars and nothing of the desk, so its opinions on many bars can be asked for at once (``ports.ManyBars``)
and are the same. Then the cycles are known in which somebody speaks, and in between the desk need not look at every
bar: cycles are passed over as long as they are surely quiet (``quiet``) and nothing is due. What is passed over and
what is taken one by one leaves the same rows and the same state.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from operator import sub
from typing import Final

from trading.model.market_data import Bar, CycleEnd, MarketEvent
from trading.model.order import Signal
from trading.ports import ManyBars, RecordedVenue
from trading.strategies.tokens import TOKENS_MAX

from .inputs import Recorded
from .kernel import Kernel

EVENTS_MAX: Final = 16_384
"""Of one stride, whose last cycle may bring more: so far the strategies are ahead of the desk while it is taken."""

Marks = list[tuple[int, int]]
"""Time and equity at the end of each cycle."""


@dataclass(slots=True)
class Track:
    """The bars of one token within a stride: where each stands among all bars of it, and in which cycle (a range: one
    in each)."""

    bars: list[Bar]
    places: Sequence[int]
    cycles: Sequence[int]

    def between(self, first: int, stop: int) -> tuple[int, int]:
        """Return where its bars of these cycles begin and end."""
        if type(self.cycles) is range:
            return first, stop
        begin = bisect_left(self.cycles, first)
        return begin, bisect_left(self.cycles, stop, begin)


@dataclass(slots=True)
class Stride:
    """Cycles in a row in which there is nothing but bars. ``firsts``: where the bars of each cycle begin in ``bars``,
    and after them where those of the last one end."""

    bars: list[Bar]
    ends: list[CycleEnd]
    firsts: Sequence[int]
    tracks: dict[str, Track]
    ends_ns: list[int] = field(init=False)
    pause_ns: int = field(init=False)
    """The longest time between two ends."""

    def __post_init__(self) -> None:
        self.ends_ns = [end.ts_ns for end in self.ends]
        self.pause_ns = max(map(sub, self.ends_ns[1:], self.ends_ns), default=0)

    @classmethod
    def of(cls, events: list[Recorded]) -> "Stride":
        """Return the stride of these bars and ends of cycles; the last one ends a cycle."""
        bars = [event for event in events if type(event) is Bar]
        ends = [event for event in events if type(event) is CycleEnd]
        if len(bars) == len(ends) and bars == events[::2] and len({bar.mint for bar in bars}) == 1:
            one_each = range(len(bars))
            return cls(bars, ends, range(len(bars) + 1), {bars[0].mint: Track(bars, one_each, one_each)})
        firsts, place = [0], 0
        by_mint: dict[str, tuple[list[Bar], list[int], list[int]]] = {}
        for event in events:
            if type(event) is Bar:
                of_token, places, cycles = by_mint.setdefault(event.mint, ([], [], []))
                of_token.append(event)
                places.append(place)
                cycles.append(len(firsts) - 1)
                place += 1
            else:
                firsts.append(place)
        return cls(bars, ends, firsts, {mint: Track(*each) for mint, each in by_mint.items()})

    def bars_of(self, cycle: int) -> list[Bar]:
        return self.bars[self.firsts[cycle] : self.firsts[cycle + 1]]


def take(kernel: Kernel, events: Iterable[MarketEvent]) -> Iterator[Marks]:
    """Take every event and yield the marks of the cycles, stride by stride.

    Whenever it yields, desk and strategies are at the end of the last cycle that was yielded.
    """
    venue = kernel.venue
    if not kernel.setup.by_reference or not isinstance(venue, RecordedVenue):
        for event in events:
            kernel.on_event(event)
            if type(event) is CycleEnd:
                yield [(event.ts_ns, kernel.state.equity_lamports)]
        return
    for plain, rest in _parted(events):
        if plain:
            yield Walk(kernel, venue, Stride.of(plain)).marks()
        for event in rest:
            kernel.on_event(event)
            if type(event) is CycleEnd:
                yield [(event.ts_ns, kernel.state.equity_lamports)]


def _parted(events: Iterable[MarketEvent]) -> Iterator[tuple[list[Recorded], list[MarketEvent]]]:
    """Yield whole cycles that may be a stride, each time with the events after them that belong to none: the cycle with
    more than bars in it that comes next, or the one that the feed ends in."""
    plain: list[Recorded] = []
    stops = 0
    """Of these as many are of whole cycles."""
    rest: list[MarketEvent] = []
    for event in events:
        if rest:
            rest.append(event)
            if type(event) is CycleEnd:
                yield plain, rest
                plain, stops, rest = [], 0, []
        elif type(event) is CycleEnd:
            plain.append(event)
            stops = len(plain)
            if stops >= EVENTS_MAX:
                yield plain, []
                plain, stops = [], 0
        elif type(event) is Bar:
            plain.append(event)
        else:
            rest = [*plain[stops:], event]
            del plain[stops:]
    yield plain[:stops], rest or list(plain[stops:])


class Walk:
    """The way of one kernel through one stride."""

    def __init__(self, kernel: Kernel, venue: RecordedVenue, stride: Stride) -> None:
        self._kernel = kernel
        self._venue = venue
        self._stride = stride
        self._marks: Marks = []

    def marks(self) -> Marks:
        """Take every cycle; return what the account was worth at the end of each."""
        opinions = self._opinions()
        cycle, cycles = 0, len(self._stride.ends)
        for speaks in [*opinions, cycles]:
            while cycle < speaks:
                cycle += self._pass_over(cycle, speaks) or self._take(cycle, ())
            if cycle < cycles:
                cycle += self._take(cycle, opinions[cycle])
        return self._marks

    def _opinions(self) -> dict[int, list[Signal]]:
        """Let the strategies see every bar; return what they say by cycle, each cycle's in the order of its bars."""
        stride = self._stride
        said: list[tuple[int, int, Signal]] = []
        # Beyond so many tokens one is forgotten for another, and which one rests on the order of all bars.
        by_token = len(self._kernel.valuer.instruments) <= TOKENS_MAX
        for number, strategy in enumerate(self._kernel.strategies):
            if by_token and isinstance(strategy, ManyBars):
                for track in stride.tracks.values():
                    said += [(track.places[place], number, each) for place, each in strategy.on_bars(track.bars)]
                continue
            for place, bar in enumerate(stride.bars):
                signal = strategy.on_bar(bar)
                if signal is not None:
                    said.append((place, number, signal))
        said.sort(key=lambda each: each[:2])
        opinions: dict[int, list[Signal]] = {}
        for place, _, signal in said:
            opinions.setdefault(bisect_right(stride.firsts, place) - 1, []).append(signal)
        return opinions

    def _take(self, cycle: int, signals: Sequence[Signal]) -> int:
        """Take one cycle bar by bar; return 1."""
        end = self._stride.ends[cycle]
        self._kernel.take_cycle(self._stride.bars_of(cycle), end, signals)
        self._marks.append((end.ts_ns, self._kernel.state.equity_lamports))
        return 1

    def _pass_over(self, first: int, stop: int) -> int:
        """Pass over the quiet cycles from ``first`` on, before ``stop``; return how many there were."""
        kernel, state, quiet = self._kernel, self._kernel.state, self._kernel.quiet
        if not kernel.is_at_rest or state.open_orders:
            return 0
        ends_ns = self._stride.ends_ns
        stop = bisect_left(ends_ns, quiet.until_ns, first, stop)
        stop = min(stop, bisect_left(ends_ns, state.due_ns, first, stop) + 1)
        stop = self._before_gap(first, stop)
        if stop <= first:
            return 0
        if state.ledger.holdings:
            exposures = self._exposures(first, stop)
            if not exposures:
                return 0
            stop = first + len(exposures)
            self._rise(first, stop)
            worth = [quiet.cash_lamports + each for each in exposures]
            quiet.drift(worth[-1], exposures[-1])
        else:
            worth = [quiet.cash_lamports] * (stop - first)
        passed_ns = ends_ns[first:stop]
        state.trail.add_all(passed_ns, worth)
        self._marks += zip(passed_ns, worth, strict=True)
        self._show(first, stop)
        return stop - first

    def _before_gap(self, first: int, stop: int) -> int:
        """Return the first cycle before which nothing was seen for so long that a gap is looked for, or ``stop``."""
        ends_ns, trail, longest_ns = self._stride.ends_ns, self._kernel.state.trail, self._kernel.state.gaps.least_ns
        if stop > first and ends_ns[first] - trail.newest_ns > longest_ns:
            return first
        if self._stride.pause_ns > longest_ns:
            for cycle in range(first + 1, stop):
                if ends_ns[cycle] - ends_ns[cycle - 1] > longest_ns:
                    return cycle
        return stop

    def _rise(self, first: int, stop: int) -> None:
        for mint in self._kernel.state.ledger.holdings:
            track = self._stride.tracks.get(mint)
            if track is not None:
                since, until = track.between(first, stop)
                if since < until:
                    self._kernel.quiet.rise(mint, max(bar.close for bar in track.bars[since:until]))

    def _show(self, first: int, stop: int) -> None:
        """Let venue and desk know what was passed over."""
        kernel, stride = self._kernel, self._stride
        begin, end = stride.firsts[first], stride.firsts[stop]
        for mint, track in stride.tracks.items():
            since, until = track.between(first, stop)
            if since < until:
                self._venue.on_bars(track.bars[since:until])
                kernel.seen_ns[mint] = track.bars[until - 1].ts_close_ns
        kernel.pass_over(stride.bars[begin:end], stride.ends[first:stop])

    def _exposures(self, first: int, stop: int) -> list[int]:
        """Return what selling everything would bring at the end of each cycle, up to the first that may be loud."""
        quiet = self._kernel.quiet
        low, high = quiet.equity_low - quiet.cash_lamports, quiet.equity_high - quiet.cash_lamports
        total: list[int] | None = None
        for mint, holding in self._kernel.state.ledger.holdings.items():
            values = self._values(mint, holding.base_units, first, stop)
            total = values if total is None else [one + other for one, other in zip(total, values, strict=False)]
        assert total is not None  # it is asked only while something is held
        return list(takewhile(lambda each: low <= each <= high, total))

    def _values(self, mint: str, base_units: int, first: int, stop: int) -> list[int]:
        """Return what selling all of a token would bring at the end of each cycle, as far as it stays in its ranges."""
        quiet = self._kernel.quiet
        watches = quiet.watches[mint]  # without one no cycle is quiet
        value = self._venue.liquidation_lamports(mint, base_units)
        track = self._stride.tracks.get(mint)
        if track is None:
            return [value] * (stop - first)
        since, until = track.between(first, stop)
        bars = track.bars[since:until]
        brought = self._venue.liquidations(mint, base_units, bars)
        if brought is None:
            return []
        low_sol, high_sol = max(each.low_sol for each in watches), min(each.high_sol for each in watches)
        low, high = (0, quiet.equity_high) if quiet.value_bounds is None else quiet.value_bounds[mint]
        values: list[int] = []
        for bar, after, cycle in zip(bars, brought, track.cycles[since:until], strict=True):
            values += [value] * (cycle - first - len(values))
            value = after
            if not (low_sol < bar.close <= high_sol and low <= value <= high):
                return values
        return values + [value] * (stop - first - len(values))
