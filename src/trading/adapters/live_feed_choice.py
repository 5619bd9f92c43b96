"""From a feed argument to a feed: ``auto`` takes the market, else the recorded data given, else generated data."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

import anyio.to_thread

from trading.adapters.live_feed import LiveMarketFeed, probe_market
from trading.adapters.live_feed_facts import CycleFacts
from trading.config import ChainSection, MarketSection
from trading.feeds.select import FeedSpec, open_feed, parse_feed
from trading.ports import Clock, Feed, LiveFeed


@dataclass(frozen=True, slots=True)
class Chosen:
    """The feed, and one sentence on why it is this one (for the page, every snapshot and the log)."""

    feed: Feed | LiveFeed
    said: str


async def choose_feed(
    text: str,
    section: MarketSection,
    clock: Clock,
    *,
    recorded: Sequence[Path] = (),
    chain: ChainSection | None = None,
) -> Chosen:
    """Open the feed that ``text`` asks for. Only ``market`` and ``auto`` reach out to any host.

    ``recorded`` are the bar files that ``auto`` falls back to; ``chain`` is where the market feed asks about tokens,
    if it has endpoints. Raises: InvalidInput, DataError.
    """
    facts = _facts(chain, clock)
    spec = parse_feed(text)
    if spec.kind not in ("market", "auto"):
        return Chosen(await _opened(spec, ()), f"{spec.kind}, as asked")
    trouble = await probe_market(section, clock)
    if spec.kind == "market":
        # Who asks for the market gets nothing else: the feed waits for it and goes on when it answers.
        said = "market, as asked" + (f"; it did not answer at the start ({trouble})" if trouble else "")
        return Chosen(LiveMarketFeed(section, clock, facts=facts), said)
    if trouble is None:
        return Chosen(LiveMarketFeed(section, clock, facts=facts), "market: the public APIs answer")
    feed = await _opened(spec, recorded)
    kind = "recorded data" if feed.description.kind == "replay" else "a generated market"
    return Chosen(feed, f"{kind}, because the market cannot be reached ({trouble})")


def _facts(chain: ChainSection | None, clock: Clock) -> Callable[[], AbstractAsyncContextManager[CycleFacts]] | None:
    if chain is None or not chain.endpoints:
        return None
    # Only who asks the chain pays for loading what that takes.
    from trading.adapters.solana.token_facts import facts_of_chain

    return facts_of_chain(chain, clock)


async def _opened(spec: FeedSpec, recorded: Sequence[Path]) -> Feed:
    """Load in a thread: a folder of bars takes seconds, and the daemon answers its clients meanwhile."""
    return await anyio.to_thread.run_sync(lambda: open_feed(spec, recorded=recorded))
