"""One cycle of the ``market`` feed: from what the APIs answer to the events of one bar close."""

from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Final, TypeVar

from trading.adapters.live_feed_bars import ClosedBar, closed_bars, deviation_bps
from trading.adapters.live_feed_facts import CycleFacts
from trading.adapters.live_feed_universe import select_universe
from trading.adapters.market_api import MarketApi, PoolInfo, SecondPrice
from trading.config import MarketSection
from trading.errors import FeedUnavailable
from trading.model.instrument import Instrument
from trading.model.market_data import Bar, CycleEnd, FactsKnown, FeedGap, History, MarketEvent, TokenGone, TokenListed
from trading.model.units import LAMPORTS_PER_SOL, NS_PER_S
from trading.ports import Clock

_Answer = TypeVar("_Answer")

BARS_A_CALL: Final = 12
BARS_A_CALL_MAX: Final = 1_000
"""As many as one page holds: a token's past costs no call of its own."""
HISTORY_CYCLES_MAX: Final = 2
"""For how many cycles a token waits for its past before it is followed without."""
POOL_FEE_BPS: Final = 30
SKEW_MAX_S: Final = 30.0
_GONE_LEFT_PPM: Final = 10_000
_GONE_USD_MAX: Final = Decimal(1_000)
_UNKNOWN_POOL_LAMPORTS: Final = 50 * LAMPORTS_PER_SOL


@dataclass(slots=True)
class Followed:
    """A token that the feed follows. ``close_ns`` is the close of its newest bar sent, or when it was listed.

    ``history_misses``: cycles in which its page, asked for with the token's past, did not come. ``withheld_s``: the
    opens of bars that were withheld since the newest one sent.
    """

    pool: PoolInfo
    instrument: Instrument
    pool_lamports: int
    listed_usd: Decimal
    close_ns: int
    is_listed: bool = False
    history_misses: int = 0
    withheld_s: set[int] = field(default_factory=set)
    facts_due_ns: int = 0
    """When the chain is asked about it next."""


class MarketCycle:
    """Keeps the universe and builds the events of each cycle. Trouble is counted, never raised."""

    def __init__(self, api: MarketApi, section: MarketSection, clock: Clock, facts: CycleFacts | None = None) -> None:
        self.counts: Counter[str] = Counter()
        self.followed: dict[str, Followed] = {}
        self.held: frozenset[str] = frozenset()
        self.newest_bar_ns: int | None = None
        self.sol_usd: Decimal | None = None
        self._api = api
        self._section = section
        self._clock = clock
        self._facts = facts
        self._refresh_at_s = float("-inf")

    def now_s(self) -> float:
        """Return the time by which bars are judged closed: the earlier of our clock and the servers'."""
        ours_s = self._clock.now_ns() / NS_PER_S
        return ours_s + min(self._api.skew_s, 0.0)

    async def refresh(self, boundary_ns: int) -> None:
        """Look for tokens to follow when it is time, and for held ones at once."""
        now_s = self._clock.now_ns() / NS_PER_S
        for mint in sorted(self.held - self.followed.keys()):
            await self._follow_held(mint, boundary_ns)
        if now_s < self._refresh_at_s and self.followed:
            return
        self._refresh_at_s = now_s + self._section.universe_refresh_s
        trending: list[PoolInfo] = await self._asked(self._api.trending_pools, [])
        new: list[PoolInfo] = await self._asked(self._api.new_pools, [])
        for mint in [mint for mint in self.followed if mint not in self.held and not self._is_deep(mint)]:
            # Nobody holds it and it has dried up: its place goes to another. It is not gone, only not followed.
            del self.followed[mint]
            self.counts["token_dropped"] += 1
        for pool in select_universe([*trending, *new], self._section, now_s, self.followed.keys()):
            self._follow(pool, boundary_ns)

    async def events(self, boundary_ns: int, wait: Callable[[float], Awaitable[None]]) -> list[MarketEvent]:
        """Return the cycle that ends at ``boundary_ns``.

        Empty when no source of bars answered at all: then the feed grows old, which is what it must look like.
        """
        await self._refresh_prices()
        seconds = await self._second_prices()
        bars, answered = await self._bars(list(self.followed.values()), boundary_ns)
        missing = [token for token in self.followed.values() if token.instrument.mint not in bars]
        if missing and answered:
            await wait(self._section.retry_s)
            # What is held must be sold in time: its past is given up before its present is.
            late, again = await self._bars(missing, boundary_ns, without_history=self.held)
            self.counts["bar_late"] += len(late)
            bars |= late
            self._count_misses(missing, answered | again)
        if not answered:
            self.counts["cycle_lost"] += 1
            return []
        if abs(self._api.skew_s) > SKEW_MAX_S:
            self.counts["clock_skew"] += 1
        known = {} if self._facts is None else await self._facts.asked(self.followed, boundary_ns, self.counts)
        events: list[MarketEvent] = []
        for mint in sorted(self.followed):
            token = self.followed[mint]
            found = self._events_of(token, boundary_ns, bars.get(mint), seconds)
            if mint in known and token.is_listed:
                facts = replace(known[mint], liquidity_lamports=token.pool_lamports)
                # Behind the listing, before the bar that somebody may buy on.
                place = int(bool(found) and isinstance(found[0], TokenListed))
                found.insert(place, FactsKnown(boundary_ns, facts, f"solana:{token.pool.address}"))
            elif mint in known:
                token.facts_due_ns = 0  # nobody was told: it is not listed yet
            events += found
        for mint in [event.mint for event in events if isinstance(event, TokenGone)]:
            del self.followed[mint]
        return [*events, CycleEnd(boundary_ns, self.sol_usd)]

    async def _refresh_prices(self) -> None:
        """Take the SOL price from its own source, else from the pools' pages; the last one stays otherwise."""
        price = await self._api.sol_usd()
        if price is None and self.followed:
            addresses = [token.pool.address for token in self.followed.values()]
            pages: list[PoolInfo] = await self._asked(lambda: self._api.pools(addresses), [])
            price = next((page.sol_usd for page in pages if page.sol_usd is not None), None)
        if price is None:
            self.counts["sol_price_missing"] += 1
        else:
            self.sol_usd = price

    async def _second_prices(self) -> dict[str, SecondPrice]:
        return await self._asked(lambda: self._api.second_prices(sorted(self.followed)), {})

    async def _bars(
        self, tokens: list[Followed], boundary_ns: int, without_history: Collection[str] = ()
    ) -> tuple[dict[str, list[ClosedBar]], set[str]]:
        """Return by mint the bars up to the one that closed at the boundary, where there is that one, and the mints
        whose call was answered."""
        wanted_s = boundary_ns // NS_PER_S - self._section.interval_s
        found: dict[str, list[ClosedBar]] = {}
        answered: set[str] = set()
        for token in tokens:
            mint = token.instrument.mint
            count = BARS_A_CALL if mint in without_history else self._bars_wanted(token, boundary_ns)
            try:
                rows = await self._api.bars(token.pool.address, count)
            except FeedUnavailable:
                continue  # counted in the endpoint's health
            answered.add(mint)
            closed = closed_bars(rows, self._section.interval_s, self.now_s(), self.counts)
            upto = [bar for bar in closed if bar.open_s <= wanted_s]
            if upto and upto[-1].open_s == wanted_s:
                found[mint] = upto
        return found, answered

    def _bars_wanted(self, token: Followed, boundary_ns: int) -> int:
        """Return how many bars to ask for: a token's past when it joins, what was missed after a gap."""
        if not token.is_listed:
            return BARS_A_CALL if token.history_misses >= HISTORY_CYCLES_MAX else BARS_A_CALL_MAX
        missed = (boundary_ns - token.close_ns) // (self._section.interval_s * NS_PER_S)
        return min(BARS_A_CALL + missed, BARS_A_CALL_MAX)

    def _count_misses(self, asked: list[Followed], answered: set[str]) -> None:
        for token in asked:
            if not token.is_listed and token.instrument.mint not in answered:
                token.history_misses += 1
                self.counts["history_missed"] += 1

    def _events_of(
        self, token: Followed, boundary_ns: int, bars: list[ClosedBar] | None, seconds: Mapping[str, SecondPrice]
    ) -> list[MarketEvent]:
        second = seconds.get(token.pool.address)
        mint = token.instrument.mint
        source = f"geckoterminal:{token.pool.address}:{boundary_ns // NS_PER_S}"
        if second and _is_drained(token, second):
            self.counts["token_gone"] += 1
            return [TokenGone(boundary_ns, mint, "the pool's liquidity is gone", f"dexscreener:{token.pool.address}")]
        if second and second.pool_lamports:
            token.pool_lamports = second.pool_lamports
        if not bars:
            self.counts["bar_missing"] += 1
            return []
        bar = bars[-1]
        if second and second.price_sol and self._is_apart(bar.close, second.price_sol):
            self.counts["bar_withheld"] += 1
            token.withheld_s.add(bar.open_s)
            if len(token.withheld_s) > BARS_A_CALL_MAX:  # older ones are on no page any more
                token.withheld_s.remove(min(token.withheld_s))
            return []
        events: list[MarketEvent] = []
        interval_ns = self._section.interval_s * NS_PER_S
        past = self._history(token, bars[:-1], boundary_ns, source)
        if not token.is_listed:
            events.append(TokenListed(boundary_ns, token.instrument, source))
            token.is_listed = True
        elif boundary_ns - interval_ns > token.close_ns:
            events.append(FeedGap(boundary_ns, mint, token.close_ns, boundary_ns - interval_ns, source))
            self.counts["gap"] += 1
        if past is not None:
            events.append(past)
        token.withheld_s.clear()
        token.close_ns = self.newest_bar_ns = boundary_ns
        prices = (bar.open, bar.high, bar.low, bar.close, bar.volume)
        events.append(
            Bar(mint, boundary_ns - interval_ns, boundary_ns, *prices, self.sol_usd, token.pool_lamports, source)
        )
        return events

    def _history(self, token: Followed, bars: list[ClosedBar], boundary_ns: int, source: str) -> History | None:
        """Return what the page holds between the newest bar sent (a token that joins: whatever it holds) and the
        present one, without what was withheld; None where there is nothing."""
        interval_ns = self._section.interval_s * NS_PER_S
        mint, since_ns = token.instrument.mint, token.close_ns if token.is_listed else 0
        past = tuple(
            Bar(
                mint,
                bar.open_s * NS_PER_S,
                bar.open_s * NS_PER_S + interval_ns,
                *(bar.open, bar.high, bar.low, bar.close, bar.volume),
                None,
                None,
                source,
            )
            for bar in bars
            if bar.open_s * NS_PER_S >= since_ns and bar.open_s not in token.withheld_s
        )
        self.counts["history_bars"] += len(past)
        return History(boundary_ns, mint, past, source) if past else None

    def _is_apart(self, close: Decimal, reference: Decimal) -> bool:
        return deviation_bps(close, reference) > self._section.deviation_bps_max

    def _is_deep(self, mint: str) -> bool:
        token = self.followed[mint]
        if self.sol_usd is None:
            return True
        return token.pool_lamports * 2 * self.sol_usd / LAMPORTS_PER_SOL >= self._section.liquidity_usd_min / 2

    async def _follow_held(self, mint: str, boundary_ns: int) -> None:
        pools: list[PoolInfo] = await self._asked(lambda: self._api.token_pools(mint), [])
        known = [pool for pool in pools if pool.mint == mint and pool.decimals is not None]
        if known:
            self._follow(max(known, key=lambda pool: pool.liquidity_usd or Decimal(0)), boundary_ns)

    def _follow(self, pool: PoolInfo, boundary_ns: int) -> None:
        assert pool.decimals is not None
        depth = _depth_lamports(pool)
        self.followed[pool.mint] = Followed(
            pool=pool,
            instrument=Instrument(pool.mint, pool.symbol, pool.decimals, POOL_FEE_BPS, depth),
            pool_lamports=depth,
            listed_usd=pool.liquidity_usd or Decimal(0),
            close_ns=boundary_ns,
        )

    async def _asked(self, ask: Callable[[], Awaitable[_Answer]], otherwise: _Answer) -> _Answer:
        try:
            return await ask()
        except FeedUnavailable:
            return otherwise  # counted in the endpoint's health


def _depth_lamports(pool: PoolInfo) -> int:
    """Return the SOL side of the pool: half of its worth; a small pool where nothing sensible is known."""
    if pool.liquidity_usd is None or pool.sol_usd is None:
        return _UNKNOWN_POOL_LAMPORTS
    return int(pool.liquidity_usd / 2 / pool.sol_usd * LAMPORTS_PER_SOL)


def _is_drained(token: Followed, second: SecondPrice) -> bool:
    left = second.liquidity_usd
    return left is not None and left < _GONE_USD_MAX and left * 1_000_000 < token.listed_usd * _GONE_LEFT_PPM
