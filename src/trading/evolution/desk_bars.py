"""What a desk's own run was told by the market, as a feed to search on."""

import hashlib
from pathlib import Path

from trading.adapters.canonical import parse_json
from trading.engine.inputs import ENDED, MARKET_KINDS, NO_FEEDS, decode_input
from trading.errors import DataError, InvalidInput
from trading.feeds.replay import ReplayFeed, ReplaySummary
from trading.feeds.select import reopen
from trading.model.market_data import (
    Bar,
    CycleEnd,
    FeedDescription,
    FeedGap,
    MarketEvent,
    Swap,
    TokenGone,
    TokenListed,
)
from trading.runtime.recorded_runs import RecordedRun, recorded_run

_TOLD = (TokenListed, Bar, FeedGap, TokenGone, Swap)
_KINDS = tuple(kind for kind in MARKET_KINDS if kind != ENDED and kind not in NO_FEEDS)


def recorded_feed(run_dir: Path) -> ReplayFeed:
    """Return the feed of the newest run of a desk, as far as it is written down: bars that were received from its
    journal, recorded ones from the files that it names.

    Raises: InvalidInput (no run, a generated feed, or too little to search on), DataError, JournalUnavailable.
    """
    with recorded_run(str(run_dir)) as run:
        description = run.plan().plan.feed
        if not description.inputs:
            return _received(run, description)
    feed = reopen(description.origin)
    if not isinstance(feed, ReplayFeed):
        msg = f"the desk trades {description.detail}, which is generated: there is nothing to learn from it"
        raise InvalidInput(msg, field="data", hint="name files of bars in TRADING_EVOLUTION__DATA")
    return feed


def _received(run: RecordedRun, description: FeedDescription) -> ReplayFeed:
    groups: dict[int, list[MarketEvent]] = {}
    cycles: list[CycleEnd] = []
    together: list[MarketEvent] = []
    summary, digest = ReplaySummary(), hashlib.sha256()
    horizon = run.journal.horizon()
    for row in run.journal.rows(kinds=_KINDS):
        if row.seq > horizon:
            break
        event = decode_input(row.kind, row.ts_ns, parse_json(row.body))
        digest.update(row.body)
        if isinstance(event, CycleEnd):
            cycles.append(event)
            groups[event.ts_ns] = [*groups.get(event.ts_ns, ()), *together]
            together = []
        elif isinstance(event, _TOLD):
            together.append(event)
            summary.bars += isinstance(event, Bar)
            summary.swaps += isinstance(event, Swap)
            summary.gaps += isinstance(event, FeedGap)
    if not summary.bars or not cycles:
        msg = f"the run {run.run_id} was told no bars yet"
        raise DataError(msg, field="data", hint="let the desk trade for a while, or name files of bars")
    summary.first_ns, summary.last_ns = cycles[0].ts_ns, cycles[-1].ts_ns
    named = FeedDescription(
        kind="replay",
        detail=f"{summary.bars} bars that the run {run.run_id} was told",
        interval_s=description.interval_s,
        inputs=((run.run_id, digest.hexdigest()),),
    )
    return ReplayFeed(groups, cycles, named, summary)
