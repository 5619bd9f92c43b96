"""The yardstick in backtesting.py, run by its own environment: ``python backtesting_py.py walk.npz``."""

import json
import resource
import sys
import time

import numpy as np
import pandas as pd
from backtesting import Backtest, Strategy
from backtesting.lib import crossover

CASH = 1_000_000_000


def average(values, length):
    return pd.Series(values).rolling(length).mean()


class Crossover(Strategy):
    def init(self):
        self.fast = self.I(average, self.data.Close, 10)
        self.slow = self.I(average, self.data.Close, 50)

    def next(self):
        if crossover(self.fast, self.slow):
            self.buy(size=1)
        elif crossover(self.slow, self.fast) and self.position:
            self.position.close()


walk = np.load(sys.argv[1])
frame = pd.DataFrame(
    {name: walk[name.lower() + "s"] for name in ("Open", "High", "Low", "Close")},
    index=pd.date_range("2023-01-01", periods=len(walk["closes"]), freq="min"),
)
test = Backtest(frame, Crossover, cash=CASH, commission=0.001)
began = time.perf_counter()
stats = test.run()
seconds = time.perf_counter() - began
trades = stats["_trades"]
print(
    json.dumps(
        {
            "seconds": seconds,
            "orders": 2 * len(trades),
            "profit": float(stats["Equity Final [$]"]) - CASH,
            "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }
    )
)
