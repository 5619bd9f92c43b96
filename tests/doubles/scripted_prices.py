"""Second prices that a test writes down: a body of ``ports.ReferencePrice``."""

from collections import deque
from collections.abc import Callable

from tests.doubles.plain_chain import TOKEN, PlainChain

from trading.errors import TradingError
from trading.model.chain import PricePoint


class ScriptedPrices:
    """``points`` gives each mint's price as (lamports, base units), a fraction; ``now_ns`` stamps it.

    ``errors`` are raised first, one a call.
    """

    def __init__(self, now_ns: Callable[[], int], name: str = "scripted-prices") -> None:
        self._now_ns = now_ns
        self._name = name
        self.points: dict[str, tuple[int, int]] = {}
        self.age_ns = 0
        self.confidence_bps = 0
        self.errors: deque[TradingError] = deque()
        self.asked: list[str] = []

    @property
    def name(self) -> str:
        return self._name

    async def price(self, mint: str) -> PricePoint | None:
        self.asked.append(mint)
        if self.errors:
            raise self.errors.popleft()
        found = self.points.get(mint)
        if found is None:
            return None
        return PricePoint(mint, self._name, *found, self._now_ns() - self.age_ns, self.confidence_bps)


class ChainPoolPrices:
    """The price that the pool of a ``PlainChain`` stands at; ``off_bps`` moves what it tells away from that."""

    def __init__(self, chain: PlainChain) -> None:
        self._chain = chain
        self.off_bps = 0

    @property
    def name(self) -> str:
        return "chain-pool"

    async def price(self, mint: str) -> PricePoint | None:
        if mint != TOKEN:
            return None
        lamports, units = self._chain.pool
        scaled = lamports * (10_000 + self.off_bps)
        return PricePoint(mint, self.name, scaled, units * 10_000, self._chain.now_ns())
