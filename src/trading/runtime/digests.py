"""How a strategy did in a window, in words: sample size first, then figures, then what they allow to be said."""

from decimal import Decimal
from typing import Final

from trading.engine.state import DAY
from trading.model import events
from trading.model.units import BPS_ONE, NS_PER_S, sol_text

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
    return f"Digest of {window.strategy} {span}: {_figures(window)} {why}. {stand} {said[0].upper()}{said[1:]}."


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
