"""Whose moves tokens may follow, bar by bar: what ``strategies.lead_lag`` knows of its leader when it sees a bar."""

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np

from trading.strategies.lead_lag import BTC_MINTS

from .arrays import Floats, Ints

NOTHING: Final = float("nan")
"""Stands where the strategy passes over a bar."""


class Priced(NamedTuple):
    """A token's bars: when they open and close, log closes in SOL, and the log of SOL in USD, NaN where unknown."""

    opened_ns: Ints
    closed_ns: Ints
    logs: Floats
    sol_logs: Floats


def sol_leads(mint: str, bars: Priced) -> Floats:
    """Return the log of SOL's price in USD at each bar of a token; a token that is BTC itself follows nobody."""
    return np.full_like(bars.logs, NOTHING) if mint in BTC_MINTS else bars.sol_logs


def btc_leads(market: Mapping[str, Priced]) -> list[Floats]:
    """Return the log of BTC's price in USD that is known at each bar, for every token in turn.

    Bars of one time come by mint, so a token whose mint is before BTC's sees BTC's bar of the time before; one that is
    older than the token's bar says nothing. Of several wrapped BTC the first one seen leads.
    """
    known = {mint: ~np.isnan(bars.sol_logs) for mint, bars in market.items() if mint in BTC_MINTS}
    seen = [(int(market[mint].closed_ns[is_known][0]), mint) for mint, is_known in known.items() if is_known.any()]
    found = [np.full_like(bars.logs, NOTHING) for bars in market.values()]
    if not seen:
        return found
    leader = min(seen)[1]
    times = market[leader].closed_ns[known[leader]]
    logs = (market[leader].logs + market[leader].sol_logs)[known[leader]]
    for (mint, bars), leads in zip(market.items(), found, strict=True):
        if mint in BTC_MINTS:
            continue
        places = np.searchsorted(times, bars.closed_ns, side="right" if leader < mint else "left") - 1
        is_fresh = (places >= 0) & (bars.opened_ns <= times[places]) & ~np.isnan(bars.sol_logs)
        leads[is_fresh] = logs[places[is_fresh]]
    return found
