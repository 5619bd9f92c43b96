"""Whose moves tokens may follow, bar by bar: what ``strategies.lead_lag`` knows of its leader when it sees a bar."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence

from trading.model.market_data import Bar
from trading.strategies.lead_lag import BTC_MINTS

NOTHING = float("nan")
"""Stands where the strategy passes over a bar."""


def sol_logs(mint: str, bars: Sequence[Bar]) -> list[float]:
    """Return the log of SOL's price in USD at each bar of a token; a token that is BTC itself follows nobody."""
    if mint in BTC_MINTS:
        return [NOTHING] * len(bars)
    return [NOTHING if bar.sol_usd is None else math.log(float(bar.sol_usd)) for bar in bars]


def btc_logs(market: Mapping[str, Sequence[Bar]]) -> dict[str, list[float]]:
    """Return the log of BTC's price in USD that is known at each bar of every token.

    Bars of one time come by mint, so a token whose mint is before BTC's sees BTC's bar of the time before; one that is
    older than the token's bar says nothing. Of several wrapped BTC the first one seen leads.
    """
    priced = {mint: [bar for bar in market[mint] if bar.sol_usd is not None] for mint in market if mint in BTC_MINTS}
    seen = [(bars[0].ts_close_ns, mint) for mint, bars in priced.items() if bars]
    if not seen:
        return {mint: [NOTHING] * len(bars) for mint, bars in market.items()}
    leader = min(seen)[1]
    times = [bar.ts_close_ns for bar in priced[leader]]
    logs = [math.log(float(bar.close)) + math.log(float(bar.sol_usd or 0)) for bar in priced[leader]]
    found: dict[str, list[float]] = {}
    for mint, bars in market.items():
        place_of = bisect_right if leader < mint else bisect_left
        found[mint] = [NOTHING] * len(bars)
        for number, bar in enumerate(bars if mint not in BTC_MINTS else ()):
            place = place_of(times, bar.ts_close_ns) - 1
            if bar.sol_usd is not None and place >= 0 and bar.ts_open_ns <= times[place]:
                found[mint][number] = logs[place]
    return found
