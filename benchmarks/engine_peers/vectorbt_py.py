"""The yardstick in vectorbt, one pair and a sweep: ``python vectorbt_py.py walk.npz SETS`` in its own environment."""

import json
import resource
import sys
import time

import numpy as np
import pandas as pd
import vectorbt as vbt

walk = np.load(sys.argv[1])
index = pd.date_range("2023-01-01", periods=len(walk["closes"]), freq="min")
closes, opens = pd.Series(walk["closes"], index), pd.Series(walk["opens"], index)


def run(fast, slow):
    quick, lazy = vbt.MA.run(closes, fast), vbt.MA.run(closes, slow)
    entries = quick.ma_crossed_above(lazy).vbt.signals.fshift(1)
    exits = quick.ma_crossed_below(lazy).vbt.signals.fshift(1)
    return vbt.Portfolio.from_signals(
        closes, entries, exits, size=1, price=opens, fees=0.001, init_cash=1e9, freq="1min"
    )


run([10], [50])  # compiles
began = time.perf_counter()
portfolio = run([10], [50])
profit, orders = (float(np.ravel(each)[0]) for each in (portfolio.total_profit(), portfolio.orders.count()))
seconds = time.perf_counter() - began
pairs = [(f, s) for f in range(5, 51, 5) for s in range(60, 241, 20)][: int(sys.argv[2])]
began = time.perf_counter()
for first in range(0, len(pairs), 25):  # more columns a call take gigabytes
    part = pairs[first : first + 25]
    run([f for f, _ in part], [s for _, s in part]).total_profit()
print(
    json.dumps(
        {
            "seconds": seconds,
            "orders": int(orders),
            "profit": profit,
            "sweep_seconds": time.perf_counter() - began,
            "sets": len(pairs),
            "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }
    )
)
