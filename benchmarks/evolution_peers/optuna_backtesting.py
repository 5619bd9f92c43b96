"""The sweep as an Optuna study of backtesting.py runs: ``python optuna_backtesting.py bars.npz sets.json``."""

import json
import resource
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
from backtesting import Backtest, Strategy

CASH = 1e9
warnings.filterwarnings("ignore")
optuna.logging.set_verbosity(optuna.logging.ERROR)
bars = np.load(sys.argv[1])
sets = json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))["optuna"]
tokens = sorted({name.partition(".")[0] for name in bars})


def average(values, length):
    return pd.Series(values).rolling(length).mean()


class Crossover(Strategy):
    fast_bars, slow_bars = 10, 50

    def init(self):
        self.fast = self.I(average, self.data.Close, self.fast_bars)
        self.slow = self.I(average, self.data.Close, self.slow_bars)
        self.was_above = None

    def next(self):
        if self.slow[-1] != self.slow[-1]:
            return
        above = self.fast[-1] > self.slow[-1]
        if self.was_above is None:  # the first bar on which both are known begins before the first call
            self.was_above = self.fast[-2] > self.slow[-2] if self.slow[-2] == self.slow[-2] else above
        if above and not self.was_above:
            self.buy(size=1)
        elif self.was_above and not above and self.position:
            self.position.close()
        self.was_above = above


def frame(token):
    names = {"Open": "opens", "High": "highs", "Low": "lows", "Close": "closes"}
    columns = {shown: bars[f"{token}.{name}"] for shown, name in names.items()}
    return pd.DataFrame(columns, pd.date_range("2023-01-01", periods=len(columns["Close"]), freq="h"))


tests = {token: Backtest(frame(token), Crossover, cash=CASH, commission=0.001) for token in tokens}
found = {token: ([], []) for token in tokens}


def objective(trial):
    fast_bars, slow_bars = trial.suggest_int("fast_bars", 1, 200), trial.suggest_int("slow_bars", 2, 1_000)
    total = 0.0
    for token in tokens:
        stats = tests[token].run(fast_bars=fast_bars, slow_bars=slow_bars)
        trades = stats["_trades"]
        held = int(stats._strategy.position.size != 0)
        # What is held at the end is marked at what a sale would bring, and counts as one order.
        profit = float(stats["Equity Final [$]"]) - CASH - held * 0.001 * float(bars[f"{token}.closes"][-1])
        found[token][0].append(profit)
        found[token][1].append(2 * len(trades) + held)
        total += profit
    return total


study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=1))
for fast_bars, slow_bars in sets:
    study.enqueue_trial({"fast_bars": fast_bars, "slow_bars": slow_bars})
began = time.process_time()
study.optimize(objective, n_trials=len(sets))
seconds = time.process_time() - began
print(
    json.dumps(
        {
            "seconds": seconds,
            "sets": len(sets),
            "profit": {token: each[0] for token, each in found.items()},
            "orders": {token: each[1] for token, each in found.items()},
            "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }
    )
)
