"""Recorded bars or swaps as a feed: one or several files, quoted in SOL, merged by close time.

Rules (docs/feeds.md): a bar is known at its close; every close time ends with a CycleEnd; a missing bar is a FeedGap
and is never filled in; USD prices become SOL prices by dividing by the SOL bar of the same time.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import ROUND_HALF_EVEN, Context, Decimal
from pathlib import Path
from typing import Final

import orjson

from trading.errors import DataError, InvalidInput
from trading.feeds.bar_files import BarFile, list_bar_files, open_bar_file
from trading.feeds.instruments import SOL_SYMBOL, WRAPPED_SOL_MINT, instrument_of, launch_instrument
from trading.feeds.series import Series, SolPrice, collector_paused, load_series
from trading.feeds.swaps import INTERVAL_S_DEFAULT, SwapSeries, grouped, load_swaps
from trading.model.instrument import Instrument
from trading.model.market_data import Bar, CycleEnd, FeedDescription, FeedGap, MarketEvent, Swap, TokenListed
from trading.model.units import NS_PER_S

BARS_MAX: Final = 4_000_000
SERIES_MAX: Final = 5_000
# Its own context: the result must not depend on what somebody else set for this thread.
_QUOTIENT: Final = Context(prec=28, rounding=ROUND_HALF_EVEN)


@dataclass(slots=True)
class ReplaySummary:
    """What was loaded, for people: ``gaps`` are places, ``bars_missing`` the bars in them.

    ``bars_unquoted``: no SOL price at that time. ``swaps``: those that are told, ``swaps_left_out`` dust and routes.
    """

    bars: int = 0
    gaps: int = 0
    bars_missing: int = 0
    bars_unquoted: int = 0
    swaps: int = 0
    swaps_left_out: int = 0
    first_ns: int | None = None
    last_ns: int | None = None
    symbols: list[str] = field(default_factory=list)


class ReplayFeed:
    """A body of ``ports.Feed`` over loaded bars; made by ``open_replay``."""

    def __init__(
        self,
        groups: Mapping[int, Sequence[MarketEvent]],
        cycles: Sequence[CycleEnd],
        description: FeedDescription,
        summary: ReplaySummary,
    ) -> None:
        self._groups = groups
        self._cycles = cycles
        self._description = description
        self.summary = summary

    @property
    def description(self) -> FeedDescription:
        return self._description

    @property
    def cycles_total(self) -> int:
        return len(self._cycles)

    @property
    def first_ns(self) -> int:
        """When its first cycle ends."""
        return self._cycles[0].ts_ns

    @property
    def last_ns(self) -> int:
        """When its last cycle ends."""
        return self._cycles[-1].ts_ns

    def cut(self, from_ns: int, to_ns: int) -> "ReplayFeed":
        """Return the part whose bars are known from ``from_ns`` (excluded) until ``to_ns`` (included), without loading
        anything again. Tokens that were listed before are listed anew at its first cycle.

        Raises: InvalidInput when nothing lies in it.
        """
        cycles = [cycle for cycle in self._cycles if from_ns < cycle.ts_ns <= to_ns]
        if not cycles:
            msg = f"no bar lies between {from_ns} and {to_ns} (nanoseconds)"
            raise InvalidInput(msg, field="from")
        first_ns = cycles[0].ts_ns
        listed = [
            replace(event, ts_ns=first_ns)
            for cycle in self._cycles
            if cycle.ts_ns < first_ns
            for event in self._groups.get(cycle.ts_ns, ())
            if isinstance(event, TokenListed)
        ]
        groups = {cycle.ts_ns: self._groups[cycle.ts_ns] for cycle in cycles if cycle.ts_ns in self._groups}
        if listed:
            groups[first_ns] = [*listed, *groups.get(first_ns, ())]
        cut = tuple((name, f"{sha256}@{from_ns}-{to_ns}") for name, sha256 in self._description.inputs)
        detail = f"a part of {self._description.detail}"[:500]
        description = replace(self._description, detail=detail, inputs=cut, origin="")
        return ReplayFeed(groups, cycles, description, self.summary)

    def events(self, skip_cycles: int = 0) -> Iterator[MarketEvent]:
        """Yield the events after the first ``skip_cycles`` CycleEnds."""
        if skip_cycles < 0:
            msg = f"skip_cycles is {skip_cycles}; expected 0 or more"
            raise InvalidInput(msg, field="skip_cycles")
        groups = self._groups
        for cycle in self._cycles[skip_cycles:]:
            if group := groups.get(cycle.ts_ns):
                yield from group
            yield cycle


def open_replay(paths: Sequence[Path], *, from_ns: int | None = None, to_ns: int | None = None) -> ReplayFeed:
    """Load files (or folders of files) and return their feed.

    ``from_ns`` is the earliest bar open and ``to_ns`` the latest bar close taken.
    Raises: InvalidInput (files that do not go together), DataError (naming file and row).
    """
    if from_ns is not None and to_ns is not None and from_ns >= to_ns:
        msg = "from must be earlier than to"
        raise InvalidInput(msg, field="from")
    with collector_paused():
        found = list_bar_files(paths)
        named = {
            "kind": "replay",
            "paths": [str(path.absolute()) for path in found],
            "from_ns": from_ns,
            "to_ns": to_ns,
        }
        origin = orjson.dumps(named, option=orjson.OPT_SORT_KEYS).decode()
        files = [open_bar_file(path) for path in found]
        of_swaps = [file for file in files if file.shape == "swaps"]
        if not of_swaps:
            return _load(files, from_ns, to_ns, origin)
        if len(of_swaps) < len(files):
            other = next(file for file in files if file.shape != "swaps")
            msg = f"{of_swaps[0].name} holds swaps and {other.name} does not; a run takes the ones or the other"
            raise InvalidInput(msg, field="data")
        return _load_swaps(files, from_ns, to_ns, origin)


def _load(files: Sequence[BarFile], from_ns: int | None, to_ns: int | None, origin: str) -> ReplayFeed:
    _refuse_doubles(files)
    sol_file = next((file for file in files if file.symbol == SOL_SYMBOL), None)
    token_files = sorted((file for file in files if file.symbol != SOL_SYMBOL), key=lambda file: file.name)
    _check_quotable(sol_file, token_files)
    loaded = [load_series(file) for file in ([sol_file] if sol_file else []) + token_files]
    interval_s = _common_interval([(file.name, interval) for file, interval, _ in loaded])
    sol = SolPrice.of(loaded[0][2][0], interval_s) if sol_file else None
    tokens = [item for item in loaded if item[0] is not sol_file]
    inputs = tuple(sorted((file.stem, file.sha256) for file in files))
    return _merge(tokens, sol, _Cut(from_ns, to_ns, interval_s, origin), inputs)


@dataclass(frozen=True, slots=True)
class _Cut:
    from_ns: int | None
    to_ns: int | None
    interval_s: int
    origin: str

    @property
    def interval_ns(self) -> int:
        return self.interval_s * NS_PER_S

    def holds(self, ts_open_ns: int) -> bool:
        return (self.from_ns is None or ts_open_ns >= self.from_ns) and (
            self.to_ns is None or ts_open_ns + self.interval_ns <= self.to_ns
        )


_Groups = dict[int, list[MarketEvent]]


@dataclass(frozen=True, slots=True)
class _Loaded:
    """What one merge works with and fills."""

    sol: SolPrice | None
    cut: _Cut
    summary: ReplaySummary
    groups: _Groups


def _refuse_doubles(files: Sequence[BarFile]) -> None:
    seen: set[str] = set()
    for file in files:
        if file.shape == "closes" and file.symbol != SOL_SYMBOL:
            msg = f"{file.name}: a file with ts,close alone can only be the SOL price; {file.symbol} needs bars"
            raise InvalidInput(msg, field="data")
        what = file.symbol or file.name
        if what in seen:
            both = " and ".join(each.name for each in files if (each.symbol or each.name) == what)
            msg = f"{both} are both {file.symbol or 'the same file'}; give one file per symbol"
            raise InvalidInput(msg, field="data")
        seen.add(what)


def _check_quotable(sol_file: BarFile | None, token_files: Sequence[BarFile]) -> None:
    if sol_file is not None and sol_file.quote != "USD":
        msg = f"{sol_file.name}: the SOL file must be in USD (SOLUSDT, SOLUSDC, SOLUSD)"
        raise InvalidInput(msg, field="data")
    if not token_files:
        msg = f"only {sol_file.name if sol_file else 'nothing'} was given: SOL is the money here, it is never traded"
        raise InvalidInput(msg, field="data", hint="add a token, such as BONKUSDT_5m.csv.gz")
    in_usd = [file.name for file in token_files if file.quote == "USD"]
    if in_usd and sol_file is None:
        msg = f"{in_usd[0]} is in USD and tokens are quoted in SOL: a SOL price file of the same interval is needed"
        raise InvalidInput(msg, field="data", hint="add SOLUSDT with the same interval")


def _common_interval(named: Sequence[tuple[str, int]]) -> int:
    first_name, first = named[0]
    for name, interval in named[1:]:
        if interval != first:
            msg = f"{name} has bars of {interval} s and {first_name} of {first} s; all files need the same interval"
            raise DataError(msg, field="data")
    return first


def _merge(
    tokens: Sequence[tuple[BarFile, int, list[Series]]],
    sol: SolPrice | None,
    cut: _Cut,
    inputs: tuple[tuple[str, str], ...],
) -> ReplayFeed:
    summary = ReplaySummary()
    groups: _Groups = {}
    listed: list[tuple[Instrument, BarFile, Series]] = []
    for file, _, all_series in tokens:
        for series in all_series:
            instrument = launch_instrument(series.mint) if file.shape == "tokens" else instrument_of(file.symbol)
            listed.append((instrument, file, series))
    if len(listed) > SERIES_MAX:
        msg = f"{len(listed)} tokens; at most {SERIES_MAX}"
        raise DataError(msg, field="data")
    # By mint, so that the order in which files are named changes nothing.
    listed.sort(key=lambda entry: entry[0].mint)
    _refuse_unmeant(listed)
    into = _Loaded(sol, cut, summary, groups)
    for instrument, file, series in listed:
        _add_series(instrument, file, series, into)
    if not summary.bars:
        msg = "no bar is left: the files hold no bar between from and to that has a SOL price at the same time"
        raise DataError(msg, field="from" if cut.from_ns or cut.to_ns else "data")
    return _feed_of(groups, sol, cut, summary, inputs)


def _feed_of(
    groups: _Groups, sol: SolPrice | None, cut: _Cut, summary: ReplaySummary, inputs: tuple[tuple[str, str], ...]
) -> ReplayFeed:
    cycles = _cycles(sorted(groups), sol, cut.interval_ns)
    summary.first_ns, summary.last_ns = cycles[0].ts_ns, cycles[-1].ts_ns
    swaps = f"{_counted(summary.swaps, 'swap')}, " if summary.swaps else ""
    description = FeedDescription(
        kind="replay",
        detail=f"{_counted(len(summary.symbols), 'token')}, {swaps}{_counted(summary.bars, 'bar')} of "
        f"{cut.interval_s} s, {_counted(summary.gaps, 'gap')}: {', '.join(name for name, _ in inputs)}"[:500],
        interval_s=cut.interval_s,
        inputs=inputs,
        origin=cut.origin,
    )
    return ReplayFeed(groups, cycles, description, summary)


def _refuse_unmeant(listed: Sequence[tuple[Instrument, BarFile, Series | SwapSeries]]) -> None:
    """Raises InvalidInput for a token that is the money itself, or that two files bring."""
    for place, (instrument, file, _) in enumerate(listed):
        if instrument.mint == WRAPPED_SOL_MINT:
            msg = f"{file.name}: {instrument.mint} is SOL, the money here; it is never traded"
            raise InvalidInput(msg, field="data", hint="take its rows out")
        if place and listed[place - 1][0].mint == instrument.mint:
            msg = f"{listed[place - 1][1].name} and {file.name} both hold {instrument.mint}; give each token once"
            raise InvalidInput(msg, field="data")


def _add_series(instrument: Instrument, file: BarFile, series: Series, into: _Loaded) -> None:
    """Turn one token's rows into events: listed before the first bar, a FeedGap before each bar after a hole."""
    cut, summary, groups = into.cut, into.summary, into.groups
    sol = into.sol if file.quote == "USD" else None
    last_close_ns: int | None = None
    for index, ts_open_ns in enumerate(series.opens_ns):
        if not cut.holds(ts_open_ns):
            continue
        source = file.source(series.numbers[index])
        bar = _bar(instrument.mint, series, index, sol, cut.interval_ns, source)
        if bar is None:
            summary.bars_unquoted += 1
            continue
        group = groups.setdefault(bar.ts_close_ns, [])
        if last_close_ns is None:
            group.append(TokenListed(bar.ts_close_ns, instrument, source))
            summary.symbols.append(instrument.symbol)
        elif ts_open_ns > last_close_ns:
            group.append(FeedGap(bar.ts_close_ns, instrument.mint, last_close_ns, ts_open_ns, source))
            summary.gaps += 1
            summary.bars_missing += (ts_open_ns - last_close_ns) // cut.interval_ns
        group.append(bar)
        last_close_ns = bar.ts_close_ns
        summary.bars += 1
        if summary.bars > BARS_MAX:
            msg = f"more than {BARS_MAX} bars; use from/to, fewer files or a longer interval"
            raise DataError(msg, field="data")


def _bar(mint: str, series: Series, index: int, sol: SolPrice | None, interval_ns: int, source: str) -> Bar | None:
    """Return the bar in SOL, None where SOL has no bar of that time.

    Open and close are divided by SOL's open and close. When within the bar the high and the low were made is not
    known, so they are divided by SOL's close and widened to hold open and close.
    """
    ts_open_ns = series.opens_ns[index]
    opened, high, low, close, volume = series.prices[index]
    sol_close: Decimal | None = None
    if sol is not None:
        quote = sol.at(ts_open_ns)
        if quote is None:
            return None
        sol_open, sol_close = quote
        divide = _QUOTIENT.divide
        if series.volume_in_quote:
            volume = divide(volume, close)
        opened, close = divide(opened, sol_open), divide(close, sol_close)
        high = max(divide(high, sol_close), opened, close)
        low = min(divide(low, sol_close), opened, close)
    elif series.volume_in_quote:
        volume = _QUOTIENT.divide(volume, close)
    return Bar(mint, ts_open_ns, ts_open_ns + interval_ns, opened, high, low, close, volume, sol_close, None, source)


def _cycles(times: Sequence[int], sol: SolPrice | None, interval_ns: int) -> list[CycleEnd]:
    """Return the CycleEnds: at each close of a token and of SOL in between, so that time goes on in a gap."""
    if sol is None:
        return [CycleEnd(ts_ns, None) for ts_ns in times]
    inside = sol.opens_ns[
        bisect_left(sol.opens_ns, times[0] - interval_ns) : bisect_left(sol.opens_ns, times[-1] - interval_ns + 1)
    ]
    cycles: list[CycleEnd] = []
    price: Decimal | None = None
    for ts_ns in sorted({*times, *(opened + interval_ns for opened in inside)}):
        quote = sol.at(ts_ns - interval_ns)
        price = quote[1] if quote else price
        cycles.append(CycleEnd(ts_ns, price))
    return cycles


def _counted(count: int, thing: str) -> str:
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def _load_swaps(files: Sequence[BarFile], from_ns: int | None, to_ns: int | None, origin: str) -> ReplayFeed:
    named = [(file.name, file.interval_s or INTERVAL_S_DEFAULT) for file in files]
    cut = _Cut(from_ns, to_ns, _common_interval(named), origin)
    found = [(file, series) for file in files for series in load_swaps(file)]
    listed = [(launch_instrument(series.mint), file, series) for file, series in found]
    listed.sort(key=lambda entry: entry[0].mint)
    _refuse_unmeant(listed)
    summary = ReplaySummary()
    groups: _Groups = {}
    for instrument, file, series in listed:
        _add_swaps(instrument, file, series, _Loaded(None, cut, summary, groups))
    if not summary.bars:
        msg = "no bar is left: no swap between from and to says a price"
        raise DataError(msg, field="from" if cut.from_ns or cut.to_ns else "data")
    # Within a cycle the swaps come before the bars that they lie in, in the order in which they happened.
    for group in groups.values():
        group.sort(key=_place_in_cycle)
    inputs = tuple(sorted((file.stem, file.sha256) for file in files))
    return _feed_of(groups, None, cut, summary, inputs)


def _place_in_cycle(event: MarketEvent) -> tuple[int, int]:
    if isinstance(event, Swap):
        return 1, event.swapped_ns
    return (0 if isinstance(event, TokenListed) else 2), 0


def _add_swaps(instrument: Instrument, file: BarFile, series: SwapSeries, into: _Loaded) -> None:
    """Turn one token's swaps into events; what comes before its first bar was traded by nobody here."""
    cut, summary, groups = into.cut, into.summary, into.groups
    last_close_ns: int | None = None
    swaps_before = summary.swaps
    for bar, swaps in grouped(file, series, cut.interval_s):
        if not cut.holds(swaps[0].ts_ns - cut.interval_ns) or (bar is None and last_close_ns is None):
            continue
        group = groups.setdefault(swaps[0].ts_ns, [])
        if bar is not None:
            if last_close_ns is None:
                group.append(TokenListed(bar.ts_close_ns, instrument, bar.source))
                summary.symbols.append(instrument.symbol)
            elif bar.ts_open_ns > last_close_ns:
                group.append(FeedGap(bar.ts_close_ns, instrument.mint, last_close_ns, bar.ts_open_ns, bar.source))
                summary.gaps += 1
                summary.bars_missing += (bar.ts_open_ns - last_close_ns) // cut.interval_ns
            group.append(bar)
            last_close_ns = bar.ts_close_ns
            summary.bars += 1
        group.extend(swaps)
        summary.swaps += len(swaps)
    summary.swaps_left_out += len(series.rows) - (summary.swaps - swaps_before)
    if summary.bars + summary.swaps > BARS_MAX:
        msg = f"more than {BARS_MAX} bars and swaps; use from/to or fewer files"
        raise DataError(msg, field="data")
