"""Prices of a token as JSON: candles put together from the bars that the desk was told."""

from datetime import datetime

from .base import Wire
from .money import TradingContext


class Candle(Wire):
    """From ``ts`` on for the series' ``interval_s``. SOL per whole token, volume in tokens, as exact decimals; made of
    ``bars`` bars. Where the desk was told of none there is no candle."""

    ts: datetime
    open: str
    high: str
    low: str
    close: str
    volume: str
    bars: int


class PricedToken(Wire):
    mint: str
    symbol: str
    trades: int
    is_held: bool


class CandleSeries(TradingContext):
    """Oldest first. ``is_cut``: the range holds more, these are the newest. ``thinned_until``: bars up to then are kept
    by the hour or the day only, so ``interval_s`` is a whole number of those, whatever was asked for; none where all
    are as they were told. ``tokens``: held ones, then those that were traded last; without a mint in the request the
    first of them is shown, none where there is none."""

    mint: str | None
    symbol: str | None
    interval_s: int
    candles: list[Candle]
    is_cut: bool
    thinned_until: datetime | None = None
    tokens: list[PricedToken]
