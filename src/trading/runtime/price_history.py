"""Candles of a token from the bars that the desk was told: put together, never filled in."""

from collections.abc import Iterable, Sequence
from typing import Final

from trading.adapters.journal_archive import Range
from trading.adapters.stored_bars import StoredBar, apart
from trading.errors import InvalidInput
from trading.model.units import NS_PER_S

from .documents import Document, iso, plain
from .history import RunView, symbol_of

CANDLES_MAX: Final = 1_000
CANDLES_WANTED: Final = 400
"""How many there are at most where no interval was asked for: as many as a chart can show."""
BARS_MAX: Final = 20_000
"""Bars that one answer is put together from, the newest."""
TOKENS_MAX: Final = 200
INTERVALS_S: Final = (60, 300, 900, 1_800, 3_600, 7_200, 14_400, 28_800, 86_400, 604_800)
INTERVAL_S_MAX: Final = 31 * 86_400


def candles(
    run: RunView, mint: str | None, within: Range, interval_s: int | None, held: Iterable[str] = ()
) -> Document:
    """Return wire.CandleSeries without its context: of this token, else of the one that was traded last.

    A candle holds the bars that opened in its interval, and there is none where there was no bar. Without an interval
    the finest one is taken that shows the whole range. Where the range reaches back to bars that are kept by the hour
    or the day only, it is a whole number of those, whatever was asked for, and ``thinned_until`` says up to when they
    are. ``is_cut``: the range holds more than is given, the newest are.

    Raises: InvalidInput (an interval that is none).
    """
    if interval_s is not None and not 1 <= interval_s <= INTERVAL_S_MAX:
        msg = f"interval: 1 to {INTERVAL_S_MAX} seconds, not {interval_s}"
        raise InvalidInput(msg, field="interval")
    tokens = _tokens(run, held)
    mint = mint or (tokens[0]["mint"] if tokens else None)
    found = [] if mint is None else run.archive.bars(mint, within, limit=BARS_MAX + 1)
    bars = apart(found[-BARS_MAX:])
    grain_s = max((bar.grain_s for bar in bars), default=0) or 1
    width_s = -(-(interval_s or _interval_s(bars, grain_s)) // grain_s) * grain_s
    made = _candles(bars, width_s * NS_PER_S)
    return {
        "mint": mint,
        "symbol": None if mint is None else symbol_of(run, mint),
        "interval_s": width_s,
        "candles": made[-CANDLES_MAX:],
        "thinned_until": next((iso(bar.close_ns) for bar in reversed(bars) if bar.grain_s), None),
        "is_cut": len(found) > BARS_MAX or len(made) > CANDLES_MAX,
        "tokens": tokens,
    }


def _tokens(run: RunView, held: Iterable[str]) -> list[Document]:
    """Return the tokens that are held, then those that were traded, the newest first."""
    counts = dict(run.archive.traded(TOKENS_MAX))
    own = sorted(held)
    names = [*own, *(mint for mint in counts if mint not in own)][:TOKENS_MAX]
    return [
        {"mint": mint, "symbol": symbol_of(run, mint), "trades": counts.get(mint, 0), "is_held": mint in own}
        for mint in names
    ]


def _interval_s(bars: Sequence[StoredBar], grain_s: int) -> int:
    """Return the finest interval that shows all of it, of those that are made of whole grains where there is one."""
    if not bars:
        return INTERVALS_S[0]
    own_s = max(grain_s, (bars[-1].close_ns - bars[-1].open_ns) // NS_PER_S)
    least_s = max(own_s, (bars[-1].close_ns - bars[0].open_ns) / NS_PER_S / CANDLES_WANTED)
    if least_s == own_s:
        return own_s
    return next((each for each in INTERVALS_S if each >= least_s and each % grain_s == 0), INTERVALS_S[-1])


def _candles(bars: Sequence[StoredBar], width_ns: int) -> list[Document]:
    groups: dict[int, list[StoredBar]] = {}
    for bar in bars:
        groups.setdefault(bar.open_ns // width_ns * width_ns, []).append(bar)
    return [
        {
            "ts": iso(start_ns),
            "open": plain(group[0].open),
            "high": plain(max(bar.high for bar in group)),
            "low": plain(min(bar.low for bar in group)),
            "close": plain(group[-1].close),
            "volume": plain(sum((bar.volume for bar in group[1:]), group[0].volume)),
            "bars": sum(bar.parts for bar in group),
        }
        for start_ns, group in groups.items()
    ]
