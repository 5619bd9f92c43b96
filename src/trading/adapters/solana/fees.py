"""What to pay for a place in a block: from what transactions with the same writable accounts paid lately."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Final

import anyio
from anyio.abc import TaskGroup

from trading.adapters.solana.answers import whole
from trading.adapters.solana.pool import EndpointPool, Peer
from trading.adapters.solana.shared import Shared
from trading.config import ChainSection
from trading.errors import ChainUnavailable

ACCOUNTS_MAX: Final = 128
UNITS_MAX: Final = 1_400_000
"""No transaction may ask for more compute units."""
FEW: Final = 10
"""Below so many fees a high percentile of them is one stranger's whim."""
_SPIKE_TIMES: Final = 10
_REMEMBERED: Final = 256
_MICRO: Final = 1_000_000
_HELIUS_METHOD: Final = "getPriorityFeeEstimate"


class PriorityFees:
    """Prices in micro-lamports a compute unit, remembered for ``fee_age_s``."""

    def __init__(self, section: ChainSection, pool: EndpointPool, tasks: TaskGroup) -> None:
        self._section = section
        self._pool = pool
        self._shared: Shared[tuple[str, ...], int] = Shared(tasks)
        self._known: OrderedDict[tuple[str, ...], tuple[float, int]] = OrderedDict()

    async def price(self, writable: Sequence[str]) -> int:
        """See ``ports.Chain.priority_fee``. Raises: ChainUnavailable."""
        key = tuple(sorted(set(writable)))[:ACCOUNTS_MAX]
        at_s, known = self._known.get(key, (float("-inf"), 0))
        if anyio.current_time() - at_s < self._section.fee_age_s:
            return known
        price = clamped(await self._shared.get(key, lambda: self._asked(key)), self._section)
        self._known[key] = (anyio.current_time(), price)
        self._known.move_to_end(key)
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return price

    async def _asked(self, accounts: tuple[str, ...]) -> int:
        healthy = await self._pool.healthy()
        estimating = [peer for peer in healthy if peer.endpoint.has_helius_fees]
        if estimating:
            try:
                return await self._pool.first(estimating, _HELIUS_METHOD, lambda peer: _estimate(peer, accounts))
            except ChainUnavailable:
                pass  # counted; every endpoint has the plain figures

        async def ask(peer: Peer) -> int:
            given = await peer.endpoint.call("getRecentPrioritizationFees", [list(accounts)])
            return typical([whole(each["prioritizationFee"]) for each in given], self._section.fee_percentile)

        return await self._pool.first(healthy, "getRecentPrioritizationFees", ask)


def clamped(price: int, section: ChainSection) -> int:
    """Return the price within the floor and the cap of the settings. The cap wins over the floor."""
    floor = -(-section.fee_floor_lamports * _MICRO // section.fee_units)
    return min(max(price, floor), section.fee_cap_lamports * _MICRO // UNITS_MAX)


def typical(fees: Sequence[int], percentile: int) -> int:
    """Return the percentile (nearest rank) of the fees above zero, 0 where there is none.

    Each fee is the least that was paid in one slot, so most of them are 0 and say nothing about what it takes when it
    matters. Of few the median is taken, and no spike lifts the answer above ten times the median.
    """
    paid = sorted(fee for fee in fees if fee)
    if not paid:
        return 0
    median = paid[(len(paid) - 1) // 2]
    if len(paid) < FEW:
        return median
    rank = -(-len(paid) * percentile // 100)
    return min(paid[rank - 1], median * _SPIKE_TIMES)


async def _estimate(peer: Peer, accounts: Sequence[str]) -> int:
    wanted: dict[str, Any] = {"accountKeys": list(accounts), "options": {"recommended": True}}
    answer = await peer.endpoint.call(_HELIUS_METHOD, [wanted])
    estimate = answer["priorityFeeEstimate"]
    if isinstance(estimate, bool) or not isinstance(estimate, int | float) or not 0 <= estimate < 2**63:
        raise ValueError("no estimate")
    return int(estimate)
