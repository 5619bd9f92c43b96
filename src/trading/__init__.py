"""The trading runtime ("Xavier mode"): one event-driven engine for backtest, paper and live."""
