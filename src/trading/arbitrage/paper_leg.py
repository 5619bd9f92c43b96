"""A real venue on paper: its quotes are real, what is sent to it is only simulated."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Protocol

from trading.model.units import BPS_ONE
from trading.ports import Clock

from .leg_venue import LegLook, Outcome
from .runner import Sleep
from .trips import Attempt, Dead, Settled

Given = Callable[[int, bool], Awaitable[int | None]]
"""What so much in gives now, of money where the second is true; None beyond the depth. Raises: TradingError."""


class Chance(Protocol):
    """``ports.Random`` as far as paper needs it."""

    def below(self, n: int) -> int: ...


class Sight(Protocol):
    """A venue as far as paper needs it: its name and its prices. Every ``LegVenue`` is one."""

    @property
    def name(self) -> str: ...

    async def look(self) -> LegLook:
        """Raises: TradingError where prices cannot be had."""


@dataclass(frozen=True, slots=True)
class PaperTerms:
    """``latency_s`` passes before the price is looked at again and the fill is made at it, fees and impact included.
    ``fails_bps`` of the attempts fail and pay ``cost``, as each fill does."""

    latency_s: float
    cost: int
    fails_bps: int


@dataclass(slots=True)
class PaperInventory:
    """What is held at one venue on paper."""

    money: int
    middle: int


class PaperLeg:
    """Body of ``LegVenue``. Nothing leaves this process, so an attempt that is not known any more never was."""

    def __init__(
        self,
        real: Sight,
        held: PaperInventory,
        terms: PaperTerms,
        chance: Chance,
        clock: Clock,
        sleep: Sleep,
    ) -> None:
        self._real = real
        self.given: Given | None = None
        """Asks for one exact amount, where that is better than a look at many."""
        self._held = held
        self._terms = terms
        self._chance = chance
        self._clock = clock
        self._sleep = sleep

    @property
    def name(self) -> str:
        return self._real.name

    async def look(self) -> LegLook:
        """Return the real prices with what is held on paper."""
        look = await self._real.look()
        terms = self._terms
        there = replace(look.there, attempt_cost=terms.cost, fails_bps=terms.fails_bps)
        back = replace(look.back, attempt_cost=terms.cost, fails_bps=terms.fails_bps)
        return replace(look, there=there, back=back, money_free=self._held.money, middle_free=self._held.middle)

    async def send(self, attempt: Attempt) -> Outcome:
        terms, held = self._terms, self._held
        await self._sleep(terms.latency_s)
        got = await self._got(attempt)
        now_ns = self._clock.now_ns()
        has_enough = attempt.amount_in <= (held.money if attempt.gives_money else held.middle)
        is_late = now_ns > attempt.expires_ns
        if is_late or not has_enough:
            return Dead(attempt.key, 0, now_ns)
        held.money -= terms.cost
        if self._chance.below(BPS_ONE) < terms.fails_bps or not got or got < attempt.amount_out_min:
            return Dead(attempt.key, terms.cost, now_ns)
        if attempt.gives_money:
            held.money, held.middle = held.money - attempt.amount_in, held.middle + got
        else:
            held.money, held.middle = held.money + got, held.middle - attempt.amount_in
        return Settled(attempt.key, attempt.amount_in, got, terms.cost, now_ns)

    async def _got(self, attempt: Attempt) -> int | None:
        if self.given is not None:
            return await self.given(attempt.amount_in, attempt.gives_money)
        look = await self._real.look()
        return (look.there if attempt.gives_money else look.back).quote(attempt.amount_in)

    async def ask(self, attempt: Attempt) -> Outcome:
        return Dead(attempt.key, 0, self._clock.now_ns())
