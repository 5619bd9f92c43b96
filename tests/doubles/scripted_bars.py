"""A source of bars without a network: a body of ``ports.BarSource``."""

from collections import deque
from collections.abc import Sequence

from tests.support.market_server import NS, SteppedClock

from trading.errors import FeedUnavailable
from trading.model.bar_market import BarMarket

INTERVAL_S = 300


class ScriptedBars:
    """Bars of a made-up pair from ``first_s`` up to the running one. Change the fields to make it lie.

    ``failures`` are answered one a page, each with the seconds to stay away; ``rows`` replace the bars of their time,
    ``holes_s`` are missing; ``page_bars`` is how many it sends at most.
    """

    def __init__(self, clock: SteppedClock, first_s: int, page_bars: int = 100) -> None:
        self.clock = clock
        self.first_s = -(-first_s // INTERVAL_S) * INTERVAL_S
        self.market = BarMarket("scripted", "spot", "FROG/USDT", "FROGUSDT", INTERVAL_S)
        self.page_bars = page_bars
        self.failures: deque[float] = deque()
        self.rows: dict[int, list[str | int]] = {}
        self.extra: list[list[str | int]] = []
        self.holes_s: set[int] = set()
        self.away_s = 0.0
        self.pages: list[int] = []

    def now_s(self) -> float:
        return self.clock.now_ns() / NS

    async def page(self, from_s: int) -> Sequence[Sequence[str | int]]:
        self.pages.append(from_s)
        if self.failures:
            self.away_s = self.failures.popleft()
            msg = "scripted: no answer"
            raise FeedUnavailable(msg)
        self.away_s = 0.0
        begin_s = max(from_s, self.first_s)
        end_s = min(begin_s + self.page_bars * INTERVAL_S, int(self.now_s()) + 1)
        opens = [at for at in range(begin_s, end_s, INTERVAL_S) if at not in self.holes_s]
        return [self.rows.get(at, self.bar(at)) for at in opens] + self.extra

    @staticmethod
    def bar(open_s: int) -> list[str | int]:
        price = f"0.5{open_s // INTERVAL_S % 10}0"
        return [open_s, price, price, price, price, "10"]
