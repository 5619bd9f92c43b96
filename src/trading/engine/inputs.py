"""What the market told the kernel, as journal rows: recorded bars by reference, everything else by value.

A recorded bar is named by its file's hash and row, which is as good as its content and much shorter. What was
generated or received is written down whole, because nobody could look it up again.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from trading.errors import DataError
from trading.model.advice import exchange_of
from trading.model.event_codec import decode_record, encode_record
from trading.model.instrument import CONSTANT_PRODUCT, Instrument, pool_body, pool_terms
from trading.model.market_data import (
    Advised,
    Bar,
    CycleEnd,
    FactsKnown,
    FeedGap,
    History,
    MarketEvent,
    Swap,
    TokenGone,
    TokenListed,
    VenueReported,
    ts_of,
)
from trading.model.order import Fill, Rejected, Side
from trading.model.token_facts import facts_body, facts_of

INPUT: Final = "input"
LISTED: Final = "token_listed"
FACTS: Final = "token_facts"
GONE: Final = "token_gone"
GAP: Final = "feed_gap"
HISTORY: Final = "bar_history"
ENDED: Final = "feed_ended"
REPORTED: Final = "venue_reported"
ADVISED: Final = "advised"
MARKET_KINDS: Final = (INPUT, LISTED, FACTS, GONE, GAP, HISTORY, ENDED, REPORTED, ADVISED)
NO_FEEDS: Final = frozenset({REPORTED, ADVISED})
"""Inputs that no feed gives: they are in the rows of a run alone, always by value."""


Recorded = Bar | Swap | CycleEnd
RECORDED: Final = (Bar, Swap, CycleEnd)
"""What a stretch is made of."""


class Stretch:
    """Recorded bars, swaps and ends of cycles in a row, journalled as one: how many there were, and the first and last.

    The files themselves are named by their hashes in the run's identity; a restore counts the events off again and
    compares both ends.
    """

    __slots__ = ("events", "first", "newest")

    def __init__(self, events: int = 0, first: str | int | None = None) -> None:
        self.events = events
        self.first: Recorded | str | int | None = first
        """The event itself, or its name where it is from before a restart."""
        self.newest: Recorded | None = None

    @property
    def ts_ns(self) -> int:
        """When the newest event became known."""
        return 0 if self.newest is None else ts_of(self.newest)

    @property
    def begins(self) -> str | int | None:
        """The name of the first event."""
        return self.first if isinstance(self.first, str | int) else _name_of(self.first)

    def body(self) -> dict[str, Any]:
        return {"events": self.events, "from": self.begins, "to": _name_of(self.newest)}

    @staticmethod
    def is_of(body: Mapping[str, Any]) -> bool:
        """Tell whether a row of kind ``input`` names a stretch."""
        return "events" in body

    @staticmethod
    def count_of(body: Mapping[str, Any]) -> int:
        return int(body["events"])


def _name_of(event: Recorded | None) -> str | int | None:
    """Return what tells a recorded event from its neighbours: its source, of a cycle's end the time."""
    if event is None:
        return None
    return event.ts_ns if isinstance(event, CycleEnd) else event.source


def news_of(history: History, seen_ns: int) -> History:
    """Return the bars of after that time, without any from the future."""
    news: list[Bar] = []
    for bar in history.bars:
        if seen_ns < bar.ts_close_ns <= history.ts_ns:
            news.append(bar)
            seen_ns = bar.ts_close_ns
    return history if len(news) == len(history.bars) else replace(history, bars=tuple(news))


def encode_input(event: MarketEvent, *, by_reference: bool) -> tuple[str, dict[str, Any]]:
    """Return (kind, body) of a market event."""
    if type(event) is Bar:
        return INPUT, {"bar": event.source} if by_reference else _bar_body(event)
    if type(event) is CycleEnd:
        return INPUT, {"end": _text(event.sol_usd)}
    if type(event) is Swap:
        return INPUT, {"swap": event.source} if by_reference else _swap_body(event)
    if type(event) is TokenListed:
        return LISTED, {**_instrument_body(event.instrument), "source": event.source}
    if type(event) is FactsKnown:
        return FACTS, {**facts_body(event.facts), "source": event.source}
    if type(event) is TokenGone:
        return GONE, {"mint": event.mint, "reason": event.reason, "source": event.source}
    if type(event) is History:
        return HISTORY, _history_body(event)
    if type(event) is VenueReported:
        what = "fill" if isinstance(event.report, Fill) else "rejected"
        return REPORTED, {what: encode_record(event.report), "source": event.source}
    if type(event) is Advised:
        return ADVISED, encode_record(event.exchange)
    assert type(event) is FeedGap
    return GAP, {"mint": event.mint, "from_ns": event.from_ns, "to_ns": event.to_ns, "source": event.source}


def decode_input(kind: str, ts_ns: int, body: Mapping[str, Any]) -> MarketEvent:
    """Return the event of a row that was written by value.

    Raises: DataError for a row that only refers to a recorded file, or that is damaged.
    """
    decoder = _DECODERS.get(kind)
    if decoder is None:
        msg = f"journal row: {kind!r} is no market input"
        raise DataError(msg, field="kind")
    try:
        return decoder(ts_ns, body)
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        msg = f"journal row of kind {kind!r} does not fit its fields: {error!r}"
        raise DataError(msg, field=kind) from error


def _bar_body(bar: Bar) -> dict[str, Any]:
    return {
        "mint": bar.mint,
        "open_ns": bar.ts_open_ns,
        "ohlcv": [str(bar.open), str(bar.high), str(bar.low), str(bar.close), str(bar.volume)],
        "sol_usd": _text(bar.sol_usd),
        "pool": bar.pool_lamports,
        "source": bar.source,
    }


def _swap_body(swap: Swap) -> dict[str, Any]:
    return {
        "swap": swap.source,
        "mint": swap.mint,
        "swapped_ns": swap.swapped_ns,
        "side": swap.side.value,
        "base_units": swap.base_units,
        "lamports": swap.lamports,
        "trader": swap.trader,
    }


def _history_body(history: History) -> dict[str, Any]:
    first = history.bars[0]
    return {
        "mint": history.mint,
        "interval_ns": first.ts_close_ns - first.ts_open_ns,
        "bars": [
            [bar.ts_open_ns, str(bar.open), str(bar.high), str(bar.low), str(bar.close), str(bar.volume)]
            for bar in history.bars
        ],
        "source": history.source,
    }


def _instrument_body(instrument: Instrument) -> dict[str, Any]:
    """Return the row of an instrument, without what a row of before there was a choice does not have either."""
    body: dict[str, Any] = {
        "mint": instrument.mint,
        "symbol": instrument.symbol,
        "decimals": instrument.decimals,
        "pool_fee_bps": instrument.pool_fee_bps,
        "pool_lamports_default": instrument.pool_lamports_default,
    }
    if instrument.pool != CONSTANT_PRODUCT:
        body["pool"] = pool_body(instrument.pool)
    if instrument.creator_fee_bps:
        body["creator_fee_bps"] = instrument.creator_fee_bps
    if instrument.transfer_fee_bps:
        body["transfer_fee_bps"] = instrument.transfer_fee_bps
    if not instrument.is_sellable:
        body["is_sellable"] = False
    return body


def _decode_input(ts_ns: int, body: Mapping[str, Any]) -> MarketEvent:
    if "end" in body:
        return CycleEnd(ts_ns=ts_ns, sol_usd=_decimal(body["end"]))
    if "bar" in body:
        msg = f"the bar {body['bar']} is kept by reference: its file is needed"
        raise DataError(msg)
    if "swap" in body:
        return _decode_swap(ts_ns, body)
    prices = [Decimal(text) for text in body["ohlcv"]]
    return Bar(
        mint=body["mint"],
        ts_open_ns=body["open_ns"],
        ts_close_ns=ts_ns,
        open=prices[0],
        high=prices[1],
        low=prices[2],
        close=prices[3],
        volume=prices[4],
        sol_usd=_decimal(body["sol_usd"]),
        pool_lamports=body["pool"],
        source=body["source"],
    )


def _decode_swap(ts_ns: int, body: Mapping[str, Any]) -> MarketEvent:
    if "mint" not in body:
        msg = f"the swap {body['swap']} is kept by reference: its file is needed"
        raise DataError(msg)
    return Swap(
        ts_ns=ts_ns,
        swapped_ns=body["swapped_ns"],
        mint=body["mint"],
        side=Side(body["side"]),
        base_units=body["base_units"],
        lamports=body["lamports"],
        source=body["swap"],
        trader=body["trader"],
    )


def _decode_listed(ts_ns: int, body: Mapping[str, Any]) -> MarketEvent:
    return TokenListed(
        ts_ns=ts_ns,
        instrument=Instrument(
            mint=body["mint"],
            symbol=body["symbol"],
            decimals=body["decimals"],
            pool_fee_bps=body["pool_fee_bps"],
            pool_lamports_default=body["pool_lamports_default"],
            pool=pool_terms(body["pool"]) if "pool" in body else CONSTANT_PRODUCT,
            creator_fee_bps=body.get("creator_fee_bps", 0),
            transfer_fee_bps=body.get("transfer_fee_bps", 0),
            is_sellable=body.get("is_sellable", True),
        ),
        source=body["source"],
    )


def _decode_facts(ts_ns: int, body: Mapping[str, Any]) -> MarketEvent:
    known = dict(body)
    source = known.pop("source")
    return FactsKnown(ts_ns=ts_ns, facts=facts_of(known), source=source)


def _decode_gone(ts_ns: int, body: Mapping[str, Any]) -> MarketEvent:
    return TokenGone(ts_ns=ts_ns, mint=body["mint"], reason=body["reason"], source=body["source"])


def _decode_gap(ts_ns: int, body: Mapping[str, Any]) -> MarketEvent:
    return FeedGap(ts_ns=ts_ns, mint=body["mint"], from_ns=body["from_ns"], to_ns=body["to_ns"], source=body["source"])


def _decode_history(ts_ns: int, body: Mapping[str, Any]) -> MarketEvent:
    mint, source, interval_ns = body["mint"], body["source"], body["interval_ns"]
    bars: list[Bar] = []
    for open_ns, *texts in body["bars"]:
        opened, high, low, close, volume = map(Decimal, texts)
        times = (open_ns, open_ns + interval_ns)
        bars.append(Bar(mint, *times, opened, high, low, close, volume, None, None, source))
    return History(ts_ns=ts_ns, mint=mint, bars=tuple(bars), source=source)


def _decode_reported(ts_ns: int, body: Mapping[str, Any]) -> MarketEvent:
    report = decode_record(Fill, body["fill"]) if "fill" in body else decode_record(Rejected, body["rejected"])
    return VenueReported(ts_ns, report, body["source"])


def _decode_advised(ts_ns: int, body: Mapping[str, Any]) -> MarketEvent:
    return Advised(ts_ns, exchange_of(body))


def _text(value: Decimal | None) -> str | None:
    return None if value is None else str(value)


def _decimal(value: str | None) -> Decimal | None:
    return None if value is None else Decimal(value)


_DECODERS: Final[Mapping[str, Callable[[int, Mapping[str, Any]], MarketEvent]]] = {
    INPUT: _decode_input,
    LISTED: _decode_listed,
    FACTS: _decode_facts,
    GONE: _decode_gone,
    GAP: _decode_gap,
    HISTORY: _decode_history,
    REPORTED: _decode_reported,
    ADVISED: _decode_advised,
}
