"""A feed with the advice of an earlier run between its cycles: what was recorded, never what somebody says now."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import Final

from trading.model.market_data import Advised, CycleEnd, FeedDescription, MarketEvent, ts_of
from trading.model.units import NS_PER_S
from trading.ports import Feed

INPUT_NAME: Final = "advice"
"""Under it the advice is one of the inputs that name a run."""


class AdvisedFeed:
    """Body of ``ports.Feed``. Advice comes behind the first end of a cycle that is not earlier than it came in."""

    def __init__(self, feed: Feed, advice: Sequence[Advised]) -> None:
        self._feed = feed
        self._advice = sorted(advice, key=lambda each: each.ts_ns)
        text = json.dumps([asdict(each) for each in self._advice], sort_keys=True)
        known = feed.description
        self._description = replace(
            known,
            detail=f"{known.detail}; {len(self._advice)} pieces of recorded advice",
            inputs=(*known.inputs, (INPUT_NAME, hashlib.sha256(text.encode()).hexdigest())),
        )

    @property
    def description(self) -> FeedDescription:
        return self._description

    def events(self, skip_cycles: int = 0) -> Iterator[MarketEvent]:
        waiting = iter(self._advice)
        following = next(waiting, None)
        is_first = True
        for event in self._feed.events(skip_cycles):
            if is_first and skip_cycles:  # what came in before was passed over with its cycles
                before_ns = ts_of(event) - self._description.interval_s * NS_PER_S
                while following is not None and following.ts_ns <= before_ns:
                    following = next(waiting, None)
            is_first = False
            yield event
            if type(event) is CycleEnd:
                while following is not None and following.ts_ns <= event.ts_ns:
                    yield replace(following, ts_ns=event.ts_ns)
                    following = next(waiting, None)
