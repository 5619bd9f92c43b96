"""A bench without a market: what a candidate makes is a hash of its parameters."""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from trading.evolution.bench import Evaluated
from trading.evolution.course import Screener
from trading.evolution.genome import key_of
from trading.strategies.parameters import Value


class HashedBench:
    """Body of ``evolution.bench.Bench``; it remembers what it was asked."""

    screened_by: Screener = "engine"

    def __init__(self, days: int) -> None:
        self._days = days
        self.asked: list[list[str]] = []

    def evaluate(self, candidates: Sequence[Mapping[str, Value]]) -> Evaluated:
        keys = [key_of(each) for each in candidates]
        self.asked.append(keys)
        seeds = [int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") for key in keys]
        returns = np.array([np.random.default_rng(seed).normal(0.0005, 0.02, self._days) for seed in seeds])
        return Evaluated(returns, np.array([10 + seed % 90 for seed in seeds], dtype=np.int64))
