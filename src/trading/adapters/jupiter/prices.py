"""``/price/v3``: Jupiter's own prices. A body of ``ports.ReferencePrice``, but no second opinion on Jupiter.

They come from the last swaps that Jupiter itself saw, so a router that is wrong can be wrong in the same way twice:
a figure for a page, never what an offer is held against. ``adapters.second_prices`` has those.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final

from trading.adapters.jupiter.gateway import JupiterApi
from trading.adapters.jupiter.models import Prices
from trading.adapters.jupiter.offers import parsed
from trading.adapters.second_prices import Decimals, point
from trading.errors import FeedUnavailable, InvalidInput, RouteRefused, RouterUnavailable
from trading.model.chain import PricePoint
from trading.model.intent import SOL_MINT

IDS_MAX: Final = 50


class JupiterPrices:
    """Prices in USD by ``/price/v3``, in SOL by dividing two of one answer."""

    def __init__(self, api: JupiterApi, decimals: Decimals) -> None:
        self._api = api
        self._decimals = decimals

    @property
    def name(self) -> str:
        return "jupiter-price"

    async def usd(self, mints: Sequence[str]) -> Mapping[str, Decimal]:
        """Return USD a whole token, at most 50 mints at once; those without a reliable price are left out.

        Raises: FeedUnavailable; InvalidInput for more than 50.
        """
        if len(mints) > IDS_MAX:
            msg = f"{len(mints)} mints in one question"
            raise InvalidInput(msg, field="mints", hint=f"ask for at most {IDS_MAX} at once")
        try:
            document = await self._api.get("/price/v3", {"ids": ",".join(mints)})
            prices = parsed(Prices, document, self._api.gateway).root
        except (RouteRefused, RouterUnavailable) as exc:
            raise FeedUnavailable(exc.message) from exc
        return {
            mint: price.usd_price
            for mint, price in prices.items()
            if price is not None and price.usd_price is not None and price.usd_price > 0
        }

    async def price(self, mint: str) -> PricePoint | None:
        if mint == SOL_MINT:
            return PricePoint(mint, self.name, 1, 1, self._api.clock.now_ns())
        decimals = await self._decimals.of(mint)
        if decimals is None:
            return None
        found = await self.usd([SOL_MINT, mint])
        if SOL_MINT not in found:
            msg = "Jupiter tells no SOL price"
            raise FeedUnavailable(msg)
        if mint not in found:
            return None
        return point(mint, self.name, found[mint], found[SOL_MINT], decimals, self._api.clock.now_ns())
