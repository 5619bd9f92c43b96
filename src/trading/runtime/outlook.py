"""What the desk expects, as a document: open forecasts, what came of earlier ones, the ranking of the universe."""

from typing import Final

from trading.engine.kernel import Kernel
from trading.model.forecast import Forecast
from trading.portfolio.forecasts import Calibration

from .documents import Document, iso, plain

FORECASTS_MAX: Final = 100
"""Open forecasts that are shown, the newest; all of them are counted."""


def outlook(kernel: Kernel) -> Document:
    """Return what the desk expects: open forecasts, each strategy's record of earlier ones, and the ranking."""
    state = kernel.state
    instruments = kernel.valuer.instruments

    def symbol(mint: str) -> str:
        return instruments[mint].symbol if mint in instruments else mint

    return {
        "forecasts": [_forecast(each, symbol(each.mint)) for each in list(state.forecasts)[-FORECASTS_MAX:]],
        "forecasts_open": len(state.forecasts),
        "calibration": [
            calibration_document(name, direction, record)
            for (name, direction), record in sorted(state.forecasts.calibrations.items())
        ],
        "ranking": {
            "ts": iso(state.ranked_ns) if state.ranked_ns else None,
            "tokens": [
                {
                    "mint": mint,
                    "symbol": symbol(mint),
                    "volatility_day_bps": state.returns.volatility_day_bps(mint),
                    "volatility_hours": state.returns.hours(mint),
                }
                for mint in state.ranked_mints
            ],
        },
    }


def _forecast(forecast: Forecast, symbol: str) -> Document:
    return {
        "id": forecast.id,
        "strategy": forecast.strategy,
        "mint": forecast.mint,
        "symbol": symbol,
        "direction": forecast.direction.value,
        "move_bps": forecast.move_bps,
        "expected_bps": forecast.expected_bps,
        "cost_bps": forecast.cost_bps,
        "confidence_bps": forecast.confidence_bps,
        "ts": iso(forecast.ts_ns),
        "due": iso(forecast.due_ns),
        "mark_sol": plain(forecast.mark_sol),
        "reason": forecast.reason,
    }


def calibration_document(strategy: str, direction: str, record: Calibration) -> Document:
    """Return how the forecasts of a strategy in one direction came out, and by what confidence was stated."""
    return {
        "strategy": strategy,
        "direction": direction,
        "count": record.count,
        "hits": record.hits,
        "hit_rate_bps": record.hit_rate_bps,
        "mean_move_bps": record.mean_move_bps,
        "mean_realised_bps": record.mean_realised_bps,
        "mean_error_bps": record.mean_error_bps,
        "brier_ppm": record.brier_ppm,
        "bins": [
            {"count": each.count, "hits": each.hits, "confidence_bps": each.confidence_bps_sum // each.count}
            for each in record.by_confidence
            if each.count
        ],
    }
