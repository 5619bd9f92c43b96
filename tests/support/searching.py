"""Small searches over generated bars: files of hourly bars quoted in SOL, and the order of a search over them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import numpy as np

from trading.evolution.conduct import SearchOrder
from trading.evolution.course import SearchSpec
from trading.model.profile import BASELINE, Profile

HOUR_S = 3_600
FIRST_S = 1_704_067_200
"""Midnight UTC, 1 January 2024."""


def write_bars(folder: Path, days: int = 60, seed: int = 1, symbols: tuple[str, ...] = ("AAA", "BBB")) -> Path:
    """Write a file of hourly bars for each symbol: random walks that now and then trend, so that strategies trade."""
    folder.mkdir(parents=True, exist_ok=True)
    chance = np.random.default_rng(seed)
    for symbol in symbols:
        bars = 24 * days
        drift = np.repeat(chance.choice([-0.002, 0.0, 0.003], bars // 24), 24)
        closes = 0.001 * np.exp(np.cumsum(chance.normal(drift, 0.01)))
        opens = np.concatenate(([0.001], closes[:-1]))
        highs, lows = np.maximum(opens, closes) * 1.002, np.minimum(opens, closes) * 0.998
        columns = np.stack([opens, highs, lows, closes], axis=1)
        prices = [",".join(f"{price:.9f}" for price in row) for row in columns]
        rows = [f"{FIRST_S + place * HOUR_S},{each},1000000" for place, each in enumerate(prices)]
        (folder / f"{symbol}SOL_1h.csv").write_text("ts,open,high,low,close,volume\n" + "\n".join(rows) + "\n", "utf-8")
    return folder


def rules() -> Profile:
    """Return a profile that lets small things trade: no edge is asked for, and no daily limit stops them."""
    limits = BASELINE.limits.model_copy(update={"edge_over_cost_bps_min": -10_000})
    exits = BASELINE.exits.model_copy(update={"holding_s_max": 3 * 86_400})
    return BASELINE.model_copy(update={"limits": limits, "exits": exits, "strategies": ()})


def spec(**changes: Any) -> SearchSpec:
    made = SearchSpec("sma_cross", rules(), trials=24, population=8, finalists=2, holdout_days=8, blocks=4, seed=5)
    return replace(made, **changes)


def order(folder: Path, run_dir: Path, ledger: Path, **changes: Any) -> SearchOrder:
    workers = changes.pop("workers", 1)
    storage = changes.pop("storage", None)
    return SearchOrder(spec(**changes), (folder,), run_dir, ledger, workers=workers, storage=storage)


async def until(condition: Callable[[], object], within_s: float = 30.0) -> None:
    """Wait until a condition holds that a process of its own brings about."""
    with anyio.fail_after(within_s):
        while not condition():  # noqa: ASYNC110 - another process tells it by no event
            await anyio.sleep(0.02)
