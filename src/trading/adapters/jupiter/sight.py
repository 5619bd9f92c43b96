"""Jupiter's quotes as one side of arbitrage: what a few sizes give both ways, and what one exact amount gives now.

Asked without a wallet, Jupiter quotes and builds nothing. Market makers are left out, as nobody but the wallet may sign
what is sent later.
"""

from dataclasses import dataclass
from typing import Final

import anyio

from trading.adapters.jupiter.gateway import JupiterApi
from trading.adapters.jupiter.models import Order
from trading.adapters.jupiter.offers import check_answer, parsed
from trading.adapters.jupiter.order import MARKET_MAKERS
from trading.arbitrage.ladder import ladder, sizes_between
from trading.arbitrage.leg_venue import LegLook
from trading.arbitrage.opportunities import LegTerms
from trading.errors import RouteRefused, RouterUnavailable
from trading.model.chain import SwapWanted

_NO_PRICE: Final = frozenset({"no_route", "not_tradable", "amount_too_small"})
_SLIP_BPS: Final = 50
_WIDER_BPS: Final = 500
"""Another venue may give a little more of the token than this one does."""


@dataclass(frozen=True, slots=True)
class SightTerms:
    """``money`` and ``middle`` are mints. From ``least`` to ``most`` of money, ``sizes`` amounts are asked for."""

    money: str
    middle: str
    least: int
    most: int
    sizes: int = 3


class JupiterSight:
    """Prices only; ``given`` asks for one amount."""

    def __init__(self, name: str, api: JupiterApi, terms: SightTerms) -> None:
        self._name = name
        self._api = api
        self._terms = terms

    @property
    def name(self) -> str:
        return self._name

    async def look(self) -> LegLook:
        """Return prices between the sizes, never better than Jupiter's. Nothing is held here: that is paper's to say.

        Raises: RouterUnavailable, RouteRefused.
        """
        at_ns = self._api.clock.now_ns()
        terms = self._terms
        there = await self._asked(sizes_between(terms.least, terms.most, terms.sizes), gives_money=True)
        if not there:
            msg = f"{self._name}: Jupiter has no price between {terms.least} and {terms.most}"
            raise RouterUnavailable(msg)
        lowest, highest = (gave for _, gave in (min(there), max(there)))
        wide = highest * (10_000 + _WIDER_BPS) // 10_000
        narrow = max(1, lowest * (10_000 - _WIDER_BPS) // 10_000)
        back = await self._asked(sizes_between(narrow, wide, terms.sizes), gives_money=False)
        return LegLook(
            venue=self._name,
            at_ns=at_ns,
            there=LegTerms(self._name, ladder(there)),
            back=LegTerms(self._name, ladder(back)),
            least_there=1,
            least_back=1,
            money_free=0,
            middle_free=0,
        )

    async def given(self, amount_in: int, gives_money: bool) -> int | None:
        """Return what the amount gives now; None where nobody takes it. Raises: RouterUnavailable, RouteRefused."""
        terms = self._terms
        pair = (terms.money, terms.middle) if gives_money else (terms.middle, terms.money)
        wanted = SwapWanted("", *pair, amount_in, _SLIP_BPS)
        question = {
            "inputMint": wanted.in_mint,
            "outputMint": wanted.out_mint,
            "amount": str(amount_in),
            "swapMode": "ExactIn",
            "slippageBps": str(_SLIP_BPS),
            "excludeRouters": MARKET_MAKERS,
        }
        if self._api.section.dexes_excluded:
            question["excludeDexes"] = ",".join(self._api.section.dexes_excluded)
        try:
            order = parsed(Order, await self._api.get("/swap/v2/order", question), self._api.gateway)
            check_answer(order, wanted)
        except RouteRefused as error:
            if error.reason in _NO_PRICE:
                return None
            raise
        return order.out_amount

    async def _asked(self, amounts: tuple[int, ...], *, gives_money: bool) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = []
        trouble: list[RouteRefused | RouterUnavailable] = []

        async def ask(amount: int) -> None:
            try:
                gave = await self.given(amount, gives_money)
            except (RouteRefused, RouterUnavailable) as error:
                trouble.append(error)
                return
            if gave:
                found.append((amount, gave))

        async with anyio.create_task_group() as tasks:
            for amount in amounts:
                tasks.start_soon(ask, amount)
        if trouble:
            raise trouble[0]
        return sorted(found)
