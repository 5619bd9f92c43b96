"""Feeds, strategies and markets that a test writes line by line: first-class bodies of the trading ports."""

from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from trading.model.instrument import Instrument
from trading.model.market_data import Bar, CycleEnd, FeedDescription, MarketEvent, TokenGone, TokenListed
from trading.model.order import Signal
from trading.model.units import NS_PER_S

INTERVAL_NS = 300 * NS_PER_S
START_NS = 1_700_000_100 * NS_PER_S
MINT = "sim:AAA"
SOL_USD = Decimal(150)


def instrument(mint: str = MINT, depth_sol: int = 5_000) -> Instrument:
    return Instrument(mint, mint.removeprefix("sim:"), 6, 25, depth_sol * 10**9)


def bar(number: int, price: str | Decimal, *, mint: str = MINT, opens: str | Decimal | None = None) -> Bar:
    """Return the bar that closes at the end of cycle ``number`` (from 1)."""
    close = Decimal(price)
    first = close if opens is None else Decimal(opens)
    return Bar(
        mint=mint,
        ts_open_ns=START_NS + (number - 1) * INTERVAL_NS,
        ts_close_ns=START_NS + number * INTERVAL_NS,
        open=first,
        high=max(first, close),
        low=min(first, close),
        close=close,
        volume=Decimal(1_000),
        sol_usd=SOL_USD,
        pool_lamports=None,
        source=f"script:{mint}:{number}",
    )


def script(prices: Sequence[str | Decimal | None], *, mint: str = MINT, depth_sol: int = 5_000) -> list[MarketEvent]:
    """Return the events of one token: a bar a cycle, opened at the close before; None means the token is gone."""
    events: list[MarketEvent] = [TokenListed(START_NS + INTERVAL_NS, instrument(mint, depth_sol), "script:listed")]
    before: str | Decimal | None = None
    for number, price in enumerate(prices, 1):
        end_ns = START_NS + number * INTERVAL_NS
        if price is None:
            events.append(TokenGone(end_ns, mint, "the pool was drained", f"script:{mint}:gone"))
        else:
            events.append(bar(number, price, mint=mint, opens=before))
        before = price
        events.append(CycleEnd(end_ns, SOL_USD))
    return events


def merged(*scripts: Sequence[MarketEvent]) -> list[MarketEvent]:
    """Return several tokens' scripts as one feed: grouped by time, one CycleEnd each."""
    groups: dict[int, list[MarketEvent]] = {}
    for events in scripts:
        for event in events:
            at = event.ts_close_ns if isinstance(event, Bar) else event.ts_ns
            groups.setdefault(at, []).append(event)
    ordered: list[MarketEvent] = []
    for at in sorted(groups):
        ordered += [event for event in groups[at] if not isinstance(event, CycleEnd)]
        ordered.append(CycleEnd(at, SOL_USD))
    return ordered


class ScriptedFeed:
    """Body of ``ports.Feed`` over a list of events."""

    def __init__(self, events: Sequence[MarketEvent], *, by_reference: bool = True) -> None:
        self._events = list(events)
        inputs = (("script", "00"),) if by_reference else ()
        self._description = FeedDescription("replay", "a script", 300, inputs)

    @property
    def description(self) -> FeedDescription:
        return self._description

    def events(self, skip_cycles: int = 0) -> Iterator[MarketEvent]:
        cycles = 0
        for event in self._events:
            if cycles >= skip_cycles:
                yield event
            cycles += isinstance(event, CycleEnd)


class ManualFeed:
    """Body of ``ports.LiveFeed``: a cycle comes when the test says so."""

    def __init__(self, mint: str, symbol: str, price: str) -> None:
        self.price = Decimal(price)
        self.held: frozenset[str] = frozenset()
        self._instrument = Instrument(mint, symbol, 5, 25, 5_000 * 10**9)
        self._number = 0
        self._send: MemoryObjectSendStream[MarketEvent]
        self._receive: MemoryObjectReceiveStream[MarketEvent]

    @property
    def description(self) -> FeedDescription:
        return FeedDescription("market", "a market that a test moves", 300)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        # Made here: a feed that nobody runs leaves nothing open.
        self._send, self._receive = anyio.create_memory_object_stream[MarketEvent](1_000)
        with self._send, self._receive:
            yield

    async def receive(self) -> MarketEvent:
        return await self._receive.receive()

    def hold(self, mints: Collection[str]) -> None:
        self.held = frozenset(mints)

    def health(self) -> Mapping[str, Any]:
        return {}

    def push(self) -> None:
        """Send one cycle with a bar at the present price."""
        self._number += 1
        now = bar(self._number, self.price, mint=self._instrument.mint)
        if self._number == 1:
            self._send.send_nowait(TokenListed(now.ts_close_ns, self._instrument, "manual:listed"))
        self._send.send_nowait(now)
        self._send.send_nowait(CycleEnd(now.ts_close_ns, SOL_USD))


class ScriptedStrategy:
    """Body of ``ports.Strategy``: speaks when ``opinion`` does, about the bar it is shown."""

    def __init__(self, opinion: Callable[[Bar], float | None], name: str = "momentum_breakout") -> None:
        self._opinion = opinion
        self._name = name
        self.seen: list[Bar] = []

    @property
    def name(self) -> str:
        return self._name

    @property
    def warmup_bars(self) -> int:
        return 0

    def parameters(self) -> Mapping[str, int | float | str]:
        return {}

    def on_bar(self, bar: Bar) -> Signal | None:
        self.seen.append(bar)
        strength = self._opinion(bar)
        if strength is None:
            return None
        evidence: dict[str, str | int | float] = {"volatility_day_bps": 300}
        return Signal(self._name, bar.mint, bar.ts_close_ns, strength, 2_000, 3_600, "the script says so", evidence)
