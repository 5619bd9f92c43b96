"""A venue for legs that is one constant-product pool in memory, with every fault that a real one has, by its seed."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from trading.arbitrage.leg_venue import LegLook, Outcome
from trading.arbitrage.opportunities import LegTerms
from trading.arbitrage.pools import ConstantProduct, swap
from trading.arbitrage.trips import Attempt, Dead, Settled
from trading.errors import ChainUnavailable


@dataclass
class PoolLeg:
    """Money is token 0. ``fails``, ``loses``, ``parts``, ``silent`` are chances of an attempt or a question: it is
    refused at a cost, its answer is lost, only a part is filled, nobody answers."""

    name: str
    pool: ConstantProduct
    now_ns: Callable[[], int]
    chance: random.Random
    passes: Callable[[float], None] = lambda _s: None
    fails: float = 0.0
    loses: float = 0.0
    parts: float = 0.0
    silent: float = 0.0
    cost: int = 0
    money: int = 10**18
    middle: int = 10**18
    fails_bps: int = 0
    done: dict[str, Settled | Dead] = field(default_factory=dict)
    received: list[str] = field(default_factory=list)
    is_down_for: Callable[[Attempt], bool] = lambda _attempt: False

    async def look(self) -> LegLook:
        if self.chance.random() < self.silent:
            raise ChainUnavailable(f"{self.name} says nothing")
        there = LegTerms(self.name, self._quote(gives_0=True), self.cost, self.fails_bps)
        back = LegTerms(self.name, self._quote(gives_0=False), self.cost, self.fails_bps)
        return LegLook(self.name, self.now_ns(), there, back, 1, 1, self.money, self.middle)

    async def send(self, attempt: Attempt) -> Outcome:
        assert attempt.key not in self.received, "sent twice"
        self.received.append(attempt.key)
        self.passes(self.chance.uniform(0.05, 1.5))
        if self.chance.random() < self.silent / 2:  # it never came
            raise ChainUnavailable("cut before it was done")
        if self.now_ns() > attempt.expires_ns:
            self.done[attempt.key] = Dead(attempt.key, 0, self.now_ns())
        else:
            self.done[attempt.key] = self._outcome(attempt)
        if self.chance.random() < self.loses:
            raise ChainUnavailable("the answer was lost")
        return self.done[attempt.key]

    async def ask(self, attempt: Attempt) -> Outcome:
        self.passes(self.chance.uniform(0.01, 0.2))
        if self.chance.random() < self.silent:
            raise ChainUnavailable("nobody answers")
        if attempt.key not in self.done and self.now_ns() <= attempt.expires_ns:
            return None  # it may still come
        found = self.done.setdefault(attempt.key, Dead(attempt.key, 0, self.now_ns()))
        return replace(found, at_ns=self.now_ns())

    def _outcome(self, attempt: Attempt) -> Settled | Dead:
        now_ns = self.now_ns()
        if self.is_down_for(attempt) or self.chance.random() < self.fails:
            return Dead(attempt.key, self.cost, now_ns)
        share = self.chance.randrange(2, 5) if self.chance.random() < self.parts else 1
        amount_in = max(1, attempt.amount_in // share)
        made = swap(self.pool, amount_in, gives_0=attempt.gives_money)
        if made is None or made.amount_out * attempt.amount_in < attempt.amount_out_min * amount_in:
            return Dead(attempt.key, self.cost, now_ns)
        assert isinstance(made.after, ConstantProduct)
        self.pool = made.after
        sign = 1 if attempt.gives_money else -1
        self.money += -amount_in if sign > 0 else made.amount_out
        self.middle += made.amount_out if sign > 0 else -amount_in
        return Settled(attempt.key, amount_in, made.amount_out, self.cost, now_ns)

    def _quote(self, *, gives_0: bool) -> Callable[[int], int | None]:
        pool = self.pool

        def quote(amount: int) -> int | None:
            found = swap(pool, amount, gives_0=gives_0)
            return None if found is None else found.amount_out

        return quote
