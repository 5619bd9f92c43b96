"""Forecasts, scores, rankings and what an order is expected to bring, in words."""

from decimal import Decimal
from typing import Final

from trading.model import events
from trading.model.forecast import Direction, Forecast, ForecastScore, OrderImpact
from trading.model.units import BPS_ONE, sol_text

from .documents import iso

NAMED_MAX: Final = 10
_VERBS: Final = {Direction.UP: "rise", Direction.DOWN: "fall"}


def forecast_text(forecast: Forecast, symbol: str) -> str:
    """Return what a strategy foresees."""
    size = f" by {percent(forecast.move_bps)}" if forecast.move_bps else ""
    return (
        f"{forecast.strategy} expects {symbol} to {_VERBS[forecast.direction]}{size} until {iso(forecast.due_ns)}; "
        f"after its record {percent(forecast.expected_bps)} is left of it, before costs of "
        f"{percent(forecast.cost_bps)}, with a confidence of {percent(forecast.confidence_bps)}."
    )


def score_text(score: ForecastScore, symbol: str) -> str:
    """Return what came of a forecast."""
    came = "came true" if score.is_hit else "did not come true"
    signed = score.realised_bps if score.direction is Direction.UP else -score.realised_bps
    why = f" ({score.reason})" if score.reason else ""
    return (
        f"The forecast of {score.strategy} that {symbol} would {_VERBS[score.direction]} by {percent(score.move_bps)} "
        f"{came}: it moved by {percent(signed)}{why}."
    )


def ranking_text(event: events.UniverseRanked, symbols: list[str]) -> str:
    """Return the first places of a ranking."""
    places = []
    for symbol, token in zip(symbols[:NAMED_MAX], event.ranked, strict=False):
        edge = "no forecast" if token.edge_bps is None else f"edge {percent(token.edge_bps)}"
        wild = "" if token.volatility_day_bps is None else f", volatility a day {percent(token.volatility_day_bps)}"
        places.append(f"{symbol} ({edge}, pool {sol_text(token.pool_lamports)} SOL{wild})")
    return f"The first of {event.tokens} tokens: {', '.join(places) or 'none'}."


def impact_text(impact: OrderImpact) -> str:
    """Return what an order is expected to bring."""
    sol = sol_text(impact.expected_lamports)
    if not impact.forecast_id:
        return f"It rests on no forecast and is expected to cost {sol_text(impact.cost_lamports)} SOL"
    return f"Expected: {sol} SOL after costs of {sol_text(impact.cost_lamports)} SOL, by a move of " + percent(
        impact.expected_bps
    )


def percent(bps: int) -> str:
    """Return basis points as a percentage, exact."""
    return f"{Decimal(bps * 100) / BPS_ONE:f} %"
