"""A desk in memory whose one strategy has a past: regimes in two tiers, a promoted candidate, scored forecasts."""

from typing import Any

from .trading_desk import InMemoryDesk


def cell(regime: str, tier: str, trades: int, low: int, high: int) -> dict[str, Any]:
    return {
        "regime": regime,
        "tier": tier,
        "trades": trades,
        "wins": trades // 2,
        "realised_lamports": 5 * trades,
        "mean_return_bps": (low + high) // 2,
        "low_bps": low,
        "high_bps": high,
        "confidence": f"{trades} finished trades",
        "evidence": [f"t-{regime[:4]}-{tier[:5]}-{number}" for number in range(min(3, trades))],
    }


class KnowingDesk(InMemoryDesk):
    """A strategy with regimes in two tiers, promoted by gates, whose forecasts were scored."""

    async def strategy_digest(self, *, strategy: str | None, window: str, **within: Any) -> Any:
        found: Any = await super().strategy_digest(strategy=strategy, window=window, **within)
        cells = [cell("calm/up", "foundation", 20, 10, 90), cell("calm/up", "acceleration", 9, -60, 80)]
        cells.append(cell("wild/down", "foundation", 12, -90, -10))
        told = found["strategies"][0] | {"trades": 41, "wins": 20, "mean_return_bps": 8, "low_bps": -5, "high_bps": 21}
        told |= {"cells": cells, "calibration": [{"direction": "up", "count": 400, "hits": 300, "brier_ppm": 180_000}]}
        return found | {"strategies": [told], "evidence": [name for each in cells for name in each["evidence"]]}

    async def strategies(self) -> Any:
        found: Any = await super().strategies()
        gate = {"name": "holdout_psr", "value": 9_700, "bound": 9_500, "passed": True, "sample": 21, "note": ""}
        return found | {
            "strategies": [found["strategies"][0] | {"lineage": "cand_7", "stage": "paper", "gates": [gate]}]
        }
