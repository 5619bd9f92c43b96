"""Keeps the pools of a rehearsal where a daemon's generated market stands, so that its desk finds its own prices."""

from collections.abc import Callable, Iterator
from datetime import datetime
from decimal import Decimal
from itertools import takewhile
from pathlib import Path

import anyio
import anyio.to_thread

from trading.cli.client import Daemon
from trading.cli.console import DaemonRefused, DaemonUnreachable
from trading.feeds.synthetic import SyntheticFeed, SyntheticMarket
from trading.model.market_data import Bar, CycleEnd, MarketEvent, TokenListed
from trading.model.units import LAMPORTS_PER_SOL, NS_PER_S

POLL_S = 0.2
Move = Callable[[str, int, int], None]


class MarketFollower:
    """Goes along a generated market. ``move`` is told a symbol, lamports and base units of its pool."""

    def __init__(self, seed: int, move: Move) -> None:
        self._feed = SyntheticFeed(SyntheticMarket(seed=seed))
        self._move = move
        self._at_ns = -1
        self._tokens: dict[str, tuple[str, int]] = {}
        self._events: Iterator[MarketEvent] = self._feed.events()
        self._next: MarketEvent = next(self._events)

    def up_to(self, ts_ns: int) -> None:
        """Move the pools to where the market stood at that time; back again where a new run began."""
        if ts_ns < self._at_ns:
            self._events = self._feed.events()
            self._next = next(self._events)
        newest: dict[str, Bar] = {}
        while _time(self._next) <= ts_ns:
            if isinstance(self._next, TokenListed):
                instrument = self._next.instrument
                self._tokens[instrument.mint] = (instrument.symbol, instrument.decimals)
            elif isinstance(self._next, Bar):
                newest[self._next.mint] = self._next
            self._next = next(self._events)
        self._at_ns = ts_ns
        for mint, bar in newest.items():
            symbol, decimals = self._tokens[mint]
            lamports = bar.pool_lamports or 0
            units = int(Decimal(lamports) * 10**decimals / LAMPORTS_PER_SOL / bar.close)
            if lamports > 0 and units > 0:
                self._move(symbol, lamports, units)


def established_tokens(seed: int) -> list[str]:
    """Return the symbols of the tokens that are there from the start."""
    first = takewhile(lambda event: not isinstance(event, CycleEnd), SyntheticFeed(SyntheticMarket(seed=seed)).events())
    return [event.instrument.symbol for event in first if isinstance(event, TokenListed)]


async def follow(data_dir: Path | None, follower: MarketFollower) -> None:
    """Ask the daemon of a data directory where its market is, again and again; nobody there is no trouble."""
    while True:
        ts_ns = await anyio.to_thread.run_sync(_market_ns, data_dir)
        if ts_ns is not None:
            follower.up_to(ts_ns)
        await anyio.sleep(POLL_S)


def _market_ns(data_dir: Path | None) -> int | None:
    try:
        snapshot = Daemon.find(data_dir).get("/telemetry/trading")
    except (DaemonUnreachable, DaemonRefused):
        return None
    if not snapshot.get("cycle"):
        return None  # it has not said anything yet: its time is the wall's
    at = datetime.fromisoformat(snapshot["ts"])
    return int(at.timestamp()) * NS_PER_S


def _time(event: MarketEvent) -> int:
    return event.ts_close_ns if isinstance(event, Bar) else event.ts_ns
