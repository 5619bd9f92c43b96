"""A pool of an EVM chain as one side of arbitrage: exact prices at its newest block, nothing is sent."""

from dataclasses import dataclass

from trading.model.evm import PoolRef
from trading.ports import Clock

from .evm_ports import EvmReader
from .leg_venue import LegLook
from .opportunities import LegTerms, Quote
from .pools import BeyondRead, Pool, swap


@dataclass(frozen=True, slots=True)
class EvmSightTerms:
    """``money_is_0``: token 0 of the pool is what trips begin with, in the same smallest units."""

    ref: PoolRef
    money_is_0: bool


class EvmSight:
    """Prices only."""

    def __init__(self, name: str, reader: EvmReader, terms: EvmSightTerms, clock: Clock) -> None:
        self._name = name
        self._reader = reader
        self._terms = terms
        self._clock = clock

    @property
    def name(self) -> str:
        return self._name

    async def look(self) -> LegLook:
        """Raises: ChainUnavailable, RouteRefused."""
        at_ns = self._clock.now_ns()
        seen = await self._reader.read(self._terms.ref)
        is_0 = self._terms.money_is_0
        return LegLook(
            venue=self._name,
            at_ns=at_ns,
            there=LegTerms(self._name, _quote(seen.pool, gives_0=is_0)),
            back=LegTerms(self._name, _quote(seen.pool, gives_0=not is_0)),
            least_there=1,
            least_back=1,
            money_free=0,
            middle_free=0,
        )


def _quote(pool: Pool, *, gives_0: bool) -> Quote:
    def quote(amount: int) -> int | None:
        if amount < 1:
            return None
        try:
            found = swap(pool, amount, gives_0=gives_0)
        except BeyondRead:
            return None
        return None if found is None else found.amount_out

    return quote
