"""What came of a trade, in the words in which people ask for it: who bought what, why, how it went and how it ended.

This text is what is embedded of a whole trade: "what failed last time" and "when did the stop loss get us out of BONK"
have to find it, by meaning and by words.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from trading.engine.closings import NOT_FILLED
from trading.model import events
from trading.model.instrument import Instrument
from trading.model.order import Order, Purpose, Side, Signal
from trading.model.units import BPS_ONE, NS_PER_S, sol_text
from trading.portfolio.entry_facts import REGIME_KEY

WRITTEN_OFF: Final = "written off"

RESULTS: Final = {
    "won": "won {sol} SOL ({percent} %) on {symbol}: a winning trade, it worked",
    "lost": "lost {sol} SOL ({percent} %) on {symbol}: a losing trade, it failed",
    "even": "came out even on {symbol}, neither won nor lost",
}
EXITS: Final = {
    "stop_loss": "because the stop loss was hit",
    "take_profit": "because the profit target was reached",
    "trailing_stop": "because the trailing stop was hit",
    "holding_time": "because the maximum holding time was over",
    "signal": "because the strategy changed its opinion",
    "reducing": "because the drawdown limit was crossed",
    "halted": "because the desk was halted",
    WRITTEN_OFF: "for nothing: the token was given up as it can no longer be sold",
}
VOLATILITIES: Final = {"calm": "calm", "normal": "ordinary", "wild": "wild, volatile"}
TRENDS: Final = {"down": "falling", "flat": "sideways", "up": "rising"}


@dataclass(frozen=True, slots=True)
class Told:
    """``outcome``: won, lost or even. ``figures`` go into the metadata."""

    outcome: str
    text: str
    figures: dict[str, Any]


def outcome_of(closed: events.PositionClosed, before: Sequence[Any], instrument: Instrument | None) -> Told:
    """Return what came of a trade.

    Args:
        closed: how it ended
        before: the events of its trajectory until then, in order
        instrument: its token, where it is known
    """
    symbol = closed.mint if instrument is None else instrument.symbol
    realised = closed.realised_lamports
    outcome = "won" if realised > 0 else "lost" if realised < 0 else "even"
    rule = closed.reason.partition(":")[0]
    entry = next((e.order for e in before if _is_entry(e)), None)
    signal = _signal_of(entry, before)
    regime = "" if signal is None else str(signal.evidence.get(REGIME_KEY, ""))
    parts = [
        _result(closed, outcome, symbol, is_filled=rule != NOT_FILLED),
        _entry(entry, before, instrument),
        _market(regime),
        "" if rule == NOT_FILLED else _exit(closed, rule, before),
        f"Token {symbol}, mint {closed.mint}, bucket {closed.bucket}.",
    ]
    figures = {
        "mint": closed.mint,
        "symbol": symbol,
        "strategy": closed.strategy,
        "bucket": closed.bucket,
        "return_bps": closed.return_bps,
        "holding_s": closed.holding_ns // NS_PER_S,
        "exit": rule if rule in EXITS or rule == NOT_FILLED else "by hand",
        **({"regime": regime} if regime else {}),
    }
    return Told(outcome, " ".join(part for part in parts if part), figures)


def duration_text(nanoseconds: int) -> str:
    """Return days, hours and minutes, as far as there are any."""
    minutes = nanoseconds // (60 * NS_PER_S)
    days, rest = divmod(minutes, 24 * 60)
    hours, minutes = divmod(rest, 60)
    parts = (f"{days} d" if days else "", f"{hours} h" if hours else "", f"{minutes} min" if minutes else "")
    return " ".join(part for part in parts if part)


def tokens_text(base_units: int, mint: str, instrument: Instrument | None) -> str:
    """Return an amount of a token with its symbol."""
    if instrument is None:
        return f"{base_units} base units of {mint}"
    return f"{Decimal(base_units).scaleb(-instrument.decimals).normalize():f} {instrument.symbol}"


def _result(closed: events.PositionClosed, outcome: str, symbol: str, *, is_filled: bool) -> str:
    sol = sol_text(abs(closed.realised_lamports))
    if not is_filled:
        cost = f"; the failed attempt lost {sol} SOL in fees" if closed.realised_lamports else ""
        return f"{closed.strategy} did not get into {symbol}: the order was {closed.reason}{cost}."
    percent = Decimal(closed.return_bps * 100) / BPS_ONE
    told = RESULTS[outcome].format(sol=sol, percent=f"{percent:+f}", symbol=symbol)
    held = duration_text(closed.holding_ns)
    return f"{closed.strategy} {told}{f', held for {held}' if held else ''}."


def _entry(entry: Order | None, before: Sequence[Any], instrument: Instrument | None) -> str:
    if entry is None:
        return ""
    fills = [e.fill for e in before if isinstance(e, events.OrderFilled) and e.fill.side is Side.BUY]
    if not fills:
        return f"It wanted to buy for {sol_text(entry.amount_in)} SOL because: {entry.reason}."
    bought = tokens_text(sum(fill.base_units for fill in fills), entry.mint, instrument)
    paid = sol_text(sum(fill.lamports for fill in fills))
    return f"It bought {bought} for {paid} SOL because: {entry.reason}."


def _market(regime: str) -> str:
    volatility, _, trend = regime.partition("/")
    if volatility not in VOLATILITIES or trend not in TRENDS:
        return ""
    return f"The market was {VOLATILITIES[volatility]} and {TRENDS[trend]}."


def _exit(closed: events.PositionClosed, rule: str, before: Sequence[Any]) -> str:
    fills = [e.fill for e in before if isinstance(e, events.OrderFilled) and e.fill.side is Side.SELL]
    got = f"It sold for {sol_text(sum(fill.lamports for fill in fills))} SOL" if fills else "It ended"
    return f"{got} {EXITS.get(rule, 'by hand')} ({closed.reason})."


def _is_entry(event: Any) -> bool:
    return isinstance(event, events.OrderApproved) and event.order.purpose is Purpose.ENTRY


def _signal_of(entry: Order | None, before: Sequence[Any]) -> Signal | None:
    """Return the signal that the entry followed."""
    if entry is None:
        return None
    raised = (e.signal for e in before if isinstance(e, events.SignalRaised))
    return next((signal for signal in raised if signal.ts_ns == entry.ts_ns), None)
