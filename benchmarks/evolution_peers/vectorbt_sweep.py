"""The sweep in vectorbt, run by its own environment: ``python vectorbt_sweep.py bars.npz sets.json``."""

import json
import resource
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import vectorbt as vbt

COLUMNS = 25
"""More columns a call take gigabytes and are no faster."""
bars = np.load(sys.argv[1])
sets = json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))["vectorbt"]
tokens = sorted({name.partition(".")[0] for name in bars})


def run(opens, closes, part):
    """Return profit and orders of each pair on one token: own it from the open after its averages cross upwards to the
    open after they cross back; averages that are equal count as crossed back."""
    quick = vbt.MA.run(closes, [fast for fast, _ in part]).ma.to_numpy()
    lazy = vbt.MA.run(closes, [slow for _, slow in part]).ma.to_numpy()
    above = quick > lazy
    before = np.vstack([above[:1], above[:-1]])
    known = ~np.isnan(lazy)
    known = np.vstack([known[:1] & False, known[:-1] & known[1:]])
    entries, exits = above & ~before & known, ~above & before & known
    shift = lambda each: np.vstack([each[:1] & False, each[:-1]])  # noqa: E731
    portfolio = vbt.Portfolio.from_signals(
        closes,
        pd.DataFrame(shift(entries), closes.index),
        pd.DataFrame(shift(exits), closes.index),
        size=1,
        price=opens,
        fees=0.001,
        init_cash=1e9,
        freq="1h",
    )
    profit, orders = np.ravel(portfolio.total_profit()), np.ravel(portfolio.orders.count())
    # What is held at the end is marked at what a sale would bring.
    return profit - (orders % 2) * 0.001 * closes.iloc[-1], orders


def series(token):
    index = pd.date_range("2023-01-01", periods=len(bars[f"{token}.closes"]), freq="h")
    return pd.Series(bars[f"{token}.opens"], index), pd.Series(bars[f"{token}.closes"], index)


market = {token: series(token) for token in tokens}
run(*market[tokens[0]], sets[:2])  # compiles
began = time.process_time()
found = {token: ([], []) for token in tokens}
for token in tokens:
    for first in range(0, len(sets), COLUMNS):
        profit, orders = run(*market[token], sets[first : first + COLUMNS])
        found[token][0].extend(profit.tolist())
        found[token][1].extend(orders.tolist())
seconds = time.process_time() - began
print(
    json.dumps(
        {
            "seconds": seconds,
            "sets": len(sets),
            "profit": {token: each[0] for token, each in found.items()},
            "orders": {token: [int(count) for count in each[1]] for token, each in found.items()},
            "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }
    )
)
