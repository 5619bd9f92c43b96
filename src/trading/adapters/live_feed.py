"""The ``market`` feed: a task that asks the public APIs at each bar close and hands events in through a channel."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, Final

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from trading.adapters.live_feed_cycle import MarketCycle
from trading.adapters.live_feed_facts import CycleFacts
from trading.adapters.market_api import MarketApi
from trading.adapters.market_api_http import Endpoint
from trading.config import MarketSection
from trading.errors import FeedUnavailable
from trading.model.market_data import FeedDescription, MarketEvent
from trading.model.meters import CallFigures
from trading.model.units import NS_PER_S
from trading.ports import Clock

AGE_LIMIT_INTERVALS: Final = 3


class LiveMarketFeed:
    """A body of ``ports.LiveFeed``. Nothing is sent to any host before ``running`` is entered.

    ``sleep`` waits that many seconds of ``clock``; a test hands in a clock of its own together with its sleep.
    ``facts`` opens where it asks about tokens; without it nothing but their market is known of them.
    """

    def __init__(
        self,
        section: MarketSection,
        clock: Clock,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
        facts: Callable[[], AbstractAsyncContextManager[CycleFacts]] | None = None,
    ) -> None:
        self._section = section
        self._clock = clock
        self._sleep = sleep
        self._facts = facts
        self._incoming: MemoryObjectReceiveStream[MarketEvent] | None = None
        self._api: MarketApi | None = None
        self._cycle: MarketCycle | None = None
        self._held: frozenset[str] = frozenset()

    @property
    def description(self) -> FeedDescription:
        section = self._section
        return FeedDescription(
            kind="market",
            detail=f"public pools on Solana: bars of {section.interval_s} s from {section.gecko_url}, "
            f"second price from {section.dexscreener_url}",
            interval_s=section.interval_s,
            inputs=(),
            liquidity="recorded",
        )

    def hold(self, mints: Collection[str]) -> None:
        """Say which tokens are held: they are followed whatever their rank, also after a restart."""
        self._held = frozenset(mints)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Ask at every bar close until the block is left. The channel is bounded: a slow reader holds the feed up."""
        async with AsyncExitStack() as stack:
            self._api = await stack.enter_async_context(MarketApi.connect(self._section, self._clock))
            facts = None if self._facts is None else await stack.enter_async_context(self._facts())
            self._cycle = MarketCycle(self._api, self._section, self._clock, facts)
            send, incoming = anyio.create_memory_object_stream[MarketEvent](self._section.events_len_max)
            self._incoming = stack.enter_context(incoming)
            stack.enter_context(send)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._run, self._cycle, send)
                try:
                    yield
                finally:
                    tasks.cancel_scope.cancel()

    async def receive(self) -> MarketEvent:
        """Return the next event, waiting for it. Only inside ``running``."""
        assert self._incoming is not None, "receive outside running()"
        return await self._incoming.receive()

    def calls(self) -> Mapping[str, CallFigures]:
        """Return what there is to count of each API, by name."""
        return {each.name: each.calls() for each in self._api.endpoints} if self._api else {}

    def health(self) -> Mapping[str, Any]:
        """Return endpoints (counts, ages, back-off), followed tokens, ages in seconds and what was left out."""
        cycle, api = self._cycle, self._api
        age_s = self._age_s()
        limit_s = self._section.age_limit_s or AGE_LIMIT_INTERVALS * self._section.interval_s
        return {
            "kind": "market",
            "age_s": age_s,
            "stale": age_s is None or age_s > limit_s,
            "tokens": sorted(token.instrument.symbol for token in cycle.followed.values()) if cycle else [],
            "skew_s": api.skew_s if api else 0.0,
            "counts": dict(sorted(cycle.counts.items())) if cycle else {},
            "items_skipped": api.items_skipped if api else 0,
            "negative_reserves": api.negative_reserves if api else 0,
            "queued": self._incoming.statistics().current_buffer_used if self._incoming else 0,
            "endpoints": {endpoint.name: _endpoint_health(endpoint) for endpoint in api.endpoints} if api else {},
        }

    def _age_s(self) -> float | None:
        newest_ns = self._cycle.newest_bar_ns if self._cycle else None
        return None if newest_ns is None else max(0.0, (self._clock.now_ns() - newest_ns) / NS_PER_S)

    async def _run(self, cycle: MarketCycle, send: MemoryObjectSendStream[MarketEvent]) -> None:
        interval_ns = self._section.interval_s * NS_PER_S
        boundary_ns = -(-self._clock.now_ns() // interval_ns) * interval_ns
        while True:
            cycle.held = self._held
            await cycle.refresh(boundary_ns)
            due_ns = boundary_ns + int(self._section.settle_s * NS_PER_S)
            await self._sleep(max(0.0, (due_ns - self._clock.now_ns()) / NS_PER_S))
            for event in await cycle.events(boundary_ns, self._sleep):
                await send.send(event)
            # After a pause (sleep of the machine, slow APIs) the closes that were missed are gone: nobody could have
            # traded on them. The tokens' next bars follow a FeedGap.
            missed_to_ns = self._clock.now_ns() // interval_ns * interval_ns
            boundary_ns = max(boundary_ns + interval_ns, missed_to_ns)


def _endpoint_health(endpoint: Endpoint) -> dict[str, Any]:
    health = endpoint.health
    return {
        "ok": health.ok,
        "errors": dict(sorted(health.errors.items())),
        "last_error": health.last_error,
        "last_ok_age_s": None if health.last_ok_s is None else round(anyio.current_time() - health.last_ok_s, 3),
        "backing_off_s": round(endpoint.away_s, 3),
        "skew_s": health.skew_s,
    }


async def probe_market(section: MarketSection, clock: Clock) -> str | None:
    """Ask for one page with a short time-out. Return None when the market can be followed, else why not."""
    quick = section.model_copy(update={"timeout_s": section.probe_timeout_s})
    async with MarketApi.connect(quick, clock) as api:
        try:
            pools = await api.trending_pools()
        except FeedUnavailable as exc:
            return exc.message
    return None if pools else f"{section.gecko_url} lists no SOL pool"
