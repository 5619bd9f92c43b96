"""Pyth's prices over Hermes, with a key. A body of ``ports.ReferencePrice`` for the tokens that Pyth has a feed of.

A price in SOL is two USD prices of one answer divided. One that is old, or that its own publishers are not sure of, is
not used: it is worse than none.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import ROUND_CEILING, Decimal
from typing import Annotated, Final, Self
from urllib.parse import urlsplit

import httpx2
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from trading.adapters.market_api_http import CallBudget, Endpoint
from trading.adapters.second_prices import Decimals, point
from trading.config import RouterSection
from trading.errors import FeedUnavailable
from trading.model.chain import PricePoint
from trading.model.intent import SOL_MINT
from trading.ports import Clock

NS: Final = 1_000_000_000
_BPS: Final = 10_000
_EXPONENT_MAX: Final = 32
_AHEAD_S_MAX: Final = 5  # a publisher's clock may run a little ahead of ours

Id = Annotated[str, BeforeValidator(lambda value: str(value).lower().removeprefix("0x")), Field(max_length=64)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)


class PythFigure(_Part):
    """``price`` and ``conf`` times ten to the ``expo``; ``publish_time`` in Unix seconds."""

    price: Annotated[int, Field(gt=0)]
    conf: Annotated[int, Field(ge=0)]
    expo: Annotated[int, Field(ge=-_EXPONENT_MAX, le=_EXPONENT_MAX)]
    publish_time: int


class PythUpdate(_Part):
    id: Id
    price: PythFigure


class PythAnswer(_Part):
    """The answer of ``/v2/updates/price/latest``."""

    parsed: tuple[PythUpdate, ...]


class PythPrices:
    """Prices of the mints in ``section.pyth_feeds``, which needs wrapped SOL's; open it with ``connect``."""

    def __init__(self, http: httpx2.AsyncClient, section: RouterSection, decimals: Decimals, clock: Clock) -> None:
        self._http = http
        self._section = section
        self._decimals = decimals
        self._clock = clock
        self.endpoint = Endpoint("Pyth", section.pyth_url, CallBudget(section.pyth_calls_per_minute), section, clock)
        self._feeds = {mint: name.lower().removeprefix("0x") for mint, name in section.pyth_feeds.items()}

    @classmethod
    @asynccontextmanager
    async def connect(cls, section: RouterSection, decimals: Decimals, clock: Clock) -> AsyncIterator[Self]:
        """Open the HTTP client. Nothing is sent yet."""
        loopback = urlsplit(section.pyth_url).hostname in ("127.0.0.1", "localhost", "::1")
        headers = {"user-agent": "memmcp", "accept": "application/json"}
        async with httpx2.AsyncClient(timeout=section.timeout_s, headers=headers, trust_env=not loopback) as http:
            yield cls(http, section, decimals, clock)

    @property
    def name(self) -> str:
        return "pyth"

    async def price(self, mint: str) -> PricePoint | None:
        if mint == SOL_MINT:
            return PricePoint(mint, self.name, 1, 1, self._clock.now_ns())
        if mint not in self._feeds or SOL_MINT not in self._feeds:
            return None
        decimals = await self._decimals.of(mint)
        if decimals is None:
            return None
        figures = await self._latest([self._feeds[mint], self._feeds[SOL_MINT]])
        token, sol = (self._checked(figures.get(self._feeds[each]), each) for each in (mint, SOL_MINT))
        # The error of a quotient is at most the sum of both, as long as they are small.
        confidence = _share(token) + _share(sol)
        when_ns = min(token.publish_time, sol.publish_time) * NS
        value, sol_value = (Decimal(each.price).scaleb(each.expo) for each in (token, sol))
        return point(mint, self.name, value, sol_value, decimals, when_ns, confidence)

    async def _latest(self, ids: list[str]) -> dict[str, PythFigure]:
        key = self._section.pyth_key
        headers = {"authorization": f"Bearer {key.get_secret_value()}"} if key else None
        document = await self.endpoint.get(
            self._http, "/v2/updates/price/latest", params={"ids[]": ids, "parsed": "true"}, headers=headers
        )
        try:
            found = PythAnswer.model_validate(document)
        except ValidationError as exc:
            first = exc.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            self.endpoint.reject(f"the answer is not as documented: {place}: {first['msg']}")
        return {each.id: each.price for each in found.parsed}

    def _checked(self, figure: PythFigure | None, mint: str) -> PythFigure:
        if figure is None:
            msg = f"Pyth's answer has no price of {mint}"
            raise FeedUnavailable(msg)
        age_s = self._clock.now_ns() / NS - figure.publish_time
        if not -_AHEAD_S_MAX <= age_s <= self._section.pyth_age_s_max:
            msg = f"Pyth's price of {mint} is {age_s:.0f} s old; {self._section.pyth_age_s_max:g} s are allowed"
            raise FeedUnavailable(msg)
        if _share(figure) > self._section.pyth_confidence_bps_max:
            msg = (
                f"Pyth's price of {mint} is sure to {_share(figure)} basis points only; "
                f"{self._section.pyth_confidence_bps_max} are allowed"
            )
            raise FeedUnavailable(msg)
        return figure


def _share(figure: PythFigure) -> int:
    """Return how wide the confidence is, in basis points of the price, rounded up."""
    return int((Decimal(figure.conf * _BPS) / figure.price).to_integral_value(ROUND_CEILING))
