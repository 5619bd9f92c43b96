"""Situations and what was recalled of them, in the words in which people and agents ask for them."""

from typing import Final

from trading.model import events
from trading.model.recall import Recollection, Situation
from trading.recall.situations import FEATURES, UNITS, VERSION, levels_of

from .documents import iso
from .forecast_texts import percent

_CLEAR: Final = 1.0
"""From so many deviations on a move is told."""
_STRONG: Final = 2.0


def situation_text(situation: Situation, symbol: str) -> str:
    """Return what the market was like, in words that a question for it would use."""
    head = f"What the market was like when {situation.strategy} spoke for {symbol} on {iso(situation.ts_ns)}"
    return f"{head}: {', '.join(_traits(situation, symbol))}. It stated an edge of {percent(situation.edge_bps)}."


def outcome_text(situation: Situation, move_bps: int) -> str:
    """Return what came of the situation by the time at which its forecast was due."""
    net = move_bps - situation.cost_bps
    word = "it paid" if net > 0 else "it did not pay"
    return f"What came of it: the price moved {percent(move_bps)}, {percent(net)} after costs; {word}."


def recalled_text(event: events.SituationRecalled, symbol: str) -> str:
    """Return what was recalled before an entry, and what was made of it."""
    found = event.recollection
    if found is None:
        return f"{event.known} situations of {event.strategy} are known: too few near {symbol}'s to say anything"
    said = (
        f"{found.neighbours} of {event.known} situations most like {symbol}'s came to {percent(found.mean_bps)} on "
        f"average, give or take {percent(found.error_bps)}; a tenth came to {percent(found.low_bps)} or less, a tenth "
        f"to {percent(found.high_bps)} or more"
    )
    return f"{said}. {_made_of_it(event, found)}"


def judged_text(event: events.RecallJudged) -> str:
    """Return whether recall shifts from now on, and why."""
    verb = "shifts" if event.shifts else "no longer shifts"
    return f"Recall {verb} what {event.strategy} states: {event.reason}, over {event.scored} answers."


def _made_of_it(event: events.SituationRecalled, found: Recollection) -> str:
    stated = f"The stated edge of {percent(event.edge_bps)}"
    if not event.is_used:
        return f"{stated} stays: recall has not proved that it is nearer to what comes"
    if found.shift_bps == 0:
        return f"{stated} stays: they do not differ from it by more than chance"
    return f"{stated} becomes {percent(event.edge_bps + found.shift_bps)}"


def _traits(situation: Situation, symbol: str) -> list[str]:
    if situation.version != VERSION:
        return [f"features of version {situation.version}"]
    levels = levels_of(situation.vector)
    values = {each.name: level * each.scale / UNITS for each, level in zip(FEATURES, levels, strict=True)}
    volatility = {-1: "calm", 0: "ordinary volatility", 1: "wild, volatile"}[round(values["volatility_rank"])]
    found = [
        _moved(f"{symbol} over 24 bars", values["return_24"]),
        _moved(f"{symbol} over 168 bars", values["return_168"]),
        volatility,
        _where(values["below_high_168"]),
        _busy(values["volume"]),
        _moved("SOL", values["sol_24"]),
        _moved("the other tokens", values["market_24"]),
    ]
    breadth = values["breadth_24"]
    if abs(breadth) > 0.5:
        found.append("most tokens rose" if breadth > 0 else "most tokens fell")
    return found


def _where(deviations: float) -> str:
    if deviations > -_CLEAR / 5:
        return "near its high"
    return "far below its high" if deviations < -_STRONG else "below its high"


def _busy(deviations: float) -> str:
    if abs(deviations) < _CLEAR:
        return "usual volume"
    return "high volume" if deviations > 0 else "low volume"


def _moved(what: str, deviations: float) -> str:
    if abs(deviations) < _CLEAR:
        return f"{what} sideways"
    verb = "rising" if deviations > 0 else "falling"
    return f"{what} {verb}{' strongly' if abs(deviations) >= _STRONG else ''}"
