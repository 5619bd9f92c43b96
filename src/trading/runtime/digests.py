"""How a strategy did in a window, in words: sample size first, then figures, then what they allow to be said."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from trading.engine.state import DAY
from trading.model import events
from trading.model.units import BPS_ONE, NS_PER_S, sol_text
from trading.model.window import WindowCell

from .documents import iso
from .outcomes import duration_text

SAMPLE_SMALL: Final = 10
SAMPLE_FAIR: Final = 30


def window_text(window: events.WindowReported) -> str:
    """Return the digest of a window as it is remembered and found by meaning."""
    span = f"from {iso(window.since_ns)} until {iso(window.until_ns)}"
    why = "The day is over" if window.occasion == DAY else f"The desk has come to tier {window.tier}"
    stand = (
        f"Tier {window.tier}, profile {window.profile}, bucket {window.bucket} with "
        f"{sol_text(window.capital_lamports)} SOL, positions at cost."
    )
    said = confidence(window.trades)
    sentences = [f"Digest of {window.strategy} {span}: {_figures(window)} {why}. {stand} {said[0].upper()}{said[1:]}."]
    sentences += [*_longer(window), *_by_regime(window), *_calibration(window)]
    return " ".join(sentences)


def cell_text(cell: WindowCell) -> str:
    """Return the figures of a cell, the sample size first."""
    interval = "" if cell.low_bps is None else f" (95 %: {_percent(cell.low_bps)} to {_percent(cell.high_bps)})"
    return f"{cell.trades} trades, {cell.wins} won, {_percent(cell.mean_return_bps)} a trade{interval}"


def _longer(window: events.WindowReported) -> Iterator[str]:
    for cell in window.cells:
        if cell.days > 1 and not cell.regime:
            yield f"In {cell.days} days: {cell_text(cell)}."


def _by_regime(window: events.WindowReported) -> Iterator[str]:
    """Say how it did in each regime and tier over the longest window."""
    days = max((cell.days for cell in window.cells), default=0)
    told = [
        f"{cell.regime} in tier {cell.tier}: {cell_text(cell)}"
        for cell in window.cells
        if cell.days == days and cell.regime
    ]
    if told:
        yield f"By regime over {days} days: {'; '.join(told)}."


def _calibration(window: events.WindowReported) -> Iterator[str]:
    """Say how often its forecasts came true against how sure of them it was."""
    for direction in ("up", "down"):
        bins = [each for each in window.calibration if each.direction == direction]
        if bins:
            told = ", ".join(
                f"{each.confidence_bps // 100} % stated, {each.hits} of {each.count} came true" for each in bins
            )
            brier = Decimal(bins[0].brier_ppm) / 1_000_000
            yield f"Its forecasts of moves {direction} so far: {told}; Brier score {brier:.3f} (always one half: 0.25)."


def confidence(trades: int) -> str:
    """Say what a sample of that size allows to be said."""
    if trades == 0:
        return "no finished trade: nothing can be said"
    if trades < SAMPLE_SMALL:
        return f"{trades} finished trades: an anecdote, not evidence"
    if trades < SAMPLE_FAIR:
        return f"{trades} finished trades: a hint; chance alone can do this"
    return f"{trades} finished trades: a sample; costs are in it, regimes that did not occur are not"


def _figures(window: events.WindowReported) -> str:
    if not window.trades:
        return "no trade was finished."
    rate = Decimal(window.wins * 100) / window.trades
    held = duration_text((window.mean_holding_s or 0) * NS_PER_S) or "less than a minute"
    result = "won" if window.realised_lamports > 0 else "lost" if window.realised_lamports < 0 else "came out even with"
    sol = sol_text(abs(window.realised_lamports))
    return (
        f"{window.wins} of {window.trades} trades won ({rate:.1f} %), it {result} {sol} SOL, "
        f"{_percent(window.mean_return_bps)} a trade on average, slippage {window.mean_slippage_bps or 0} bps, "
        f"held for {held}."
    )


def _percent(bps: int | None) -> str:
    return f"{Decimal((bps or 0) * 100) / BPS_ONE:+.2f} %"
