"""Legs that are swaps on Solana: a body of ``LegVenue`` over the executor that every swap of the desk goes through.

An attempt is an intent under the attempt's own key, signed once at most. Whatever dies, the executor's journal knows
whether it was handed in and what became of it; one that it does not know when its time is over was never sent, and
would not be signed if it came now.
"""

from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Protocol

import anyio

from trading.errors import InvalidInput, RouteRefused, Unavailable
from trading.execution.beside import Beside, InThread
from trading.execution.together import together
from trading.execution.transactions import token_account, units_of
from trading.execution.verifier import TOKEN_PROGRAMS
from trading.model.chain import SwapWanted
from trading.model.identifiers import derived_id
from trading.model.intent import SOL_MINT, Intent, IntentRecord, IntentState
from trading.model.units import BPS_ONE, NS_PER_S
from trading.ports import Chain, Clock, ExecutionJournal, SwapRouter

from .ladder import ladder
from .leg_venue import LegLook, Outcome
from .opportunities import LegTerms
from .trips import Attempt, Dead, Settled

SIZES_MAX = 16
_UNSIGNED = frozenset({IntentState.OPEN, IntentState.WAITING})


class Taker(Protocol):
    """``execution.executor.Executor`` as far as legs need it."""

    async def take(self, intent: Intent) -> IntentRecord: ...

    async def cancel(self, intent_id: str) -> IntentRecord: ...


@dataclass(frozen=True, slots=True)
class SolanaTerms:
    """One pair in one wallet. ``sizes``: amounts of money, rising, that offers are asked for at each look; the largest
    is the most that a trip may have. ``keep_lamports`` stay in the wallet for fees and exits. ``fee_lamports_max`` is
    what an attempt may cost, and is counted as what it does; ``money_per_lamport`` is 1 where money is SOL."""

    wallet: str
    money_mint: str
    middle_mint: str
    sizes: tuple[int, ...]
    fee_lamports_max: int
    slippage_bps_max: int = 300
    keep_lamports: int = 0
    fails_bps: int = 0
    money_per_lamport: Fraction = Fraction(1)
    poll_s: float = 0.1

    def __post_init__(self) -> None:
        if (self.money_mint == SOL_MINT) == (self.middle_mint == SOL_MINT):
            msg = f"one of money_mint {self.money_mint} and middle_mint {self.middle_mint} has to be SOL, {SOL_MINT}"
            raise InvalidInput(msg, field="middle_mint")
        if not 1 <= len(self.sizes) <= SIZES_MAX or list(self.sizes) != sorted({*self.sizes}) or self.sizes[0] < 1:
            msg = f"sizes: 1 to {SIZES_MAX} amounts that rise, from 1 on, not {list(self.sizes)[: SIZES_MAX + 1]}"
            raise InvalidInput(msg, field="sizes")
        if not 0 <= self.slippage_bps_max < BPS_ONE:
            msg = f"slippage_bps_max: 0 to {BPS_ONE - 1}, not {self.slippage_bps_max}"
            raise InvalidInput(msg, field="slippage_bps_max")

    def pair(self, *, gives_money: bool) -> tuple[str, str]:
        """Return the mint that is given and the one that is got."""
        pair = (self.money_mint, self.middle_mint)
        return pair if gives_money else pair[::-1]


@dataclass(frozen=True, slots=True)
class SolanaParts:
    """Whom it asks. The journal is the executor's."""

    executor: Taker
    journal: ExecutionJournal
    chain: Chain
    router: SwapRouter
    clock: Clock


class SolanaLeg:
    """Both clocks, the executor's and this one, are the same."""

    def __init__(self, name: str, parts: SolanaParts, terms: SolanaTerms, beside: Beside | None = None) -> None:
        self._name = name
        self._parts = parts
        self._terms = terms
        self._io = beside or InThread()

    @property
    def name(self) -> str:
        return self._name

    async def look(self) -> LegLook:
        """Ask the router for every size, there and back, and the chain for what the wallet holds."""
        terms, at_ns = self._terms, self._parts.clock.now_ns()
        async with together() as ask:
            asked_there = ask(self._offers, terms.sizes, gives_money=True)
            asked_held = ask(self._held)
        there = asked_there.value
        back = await self._offers(tuple(out for _, out in there), gives_money=False)
        money, middle = asked_held.value
        cost = self._worth(terms.fee_lamports_max)
        return LegLook(
            venue=self._name,
            at_ns=at_ns,
            there=LegTerms(self._name, ladder(there), cost, terms.fails_bps),
            back=LegTerms(self._name, ladder(back), cost, terms.fails_bps),
            least_there=1,
            least_back=1,
            money_free=money,
            middle_free=middle,
        )

    async def send(self, attempt: Attempt) -> Outcome:
        """Hand the attempt in and wait until it is decided, or its time is over."""
        known = await self._parts.executor.take(self._intent(attempt))
        while (outcome := self._outcome(attempt, known)) is None:
            left_s = (attempt.expires_ns - self._parts.clock.now_ns()) / NS_PER_S
            if left_s <= 0:
                return None
            await anyio.sleep(min(left_s, self._terms.poll_s))
            known = await self._io(self._parts.journal.record, known.intent.id)
        return outcome

    async def ask(self, attempt: Attempt) -> Outcome:
        known = await self._io(self._parts.journal.by_key, attempt.key)
        now_ns = self._parts.clock.now_ns()
        is_over = now_ns > attempt.expires_ns
        if known is None:
            # Whoever might still hand it in is told by its deadline that it is not signed any more.
            return Dead(attempt.key, 0, now_ns) if is_over else None
        if is_over and known.state in _UNSIGNED and not known.is_cancel_asked:
            # It waits for its turn, or for a person: for longer than the trip does.
            known = await self._parts.executor.cancel(known.intent.id)
        return self._outcome(attempt, known)

    async def _offers(self, amounts: tuple[int, ...], *, gives_money: bool) -> list[tuple[int, int]]:
        """Return (in, out) for each amount, up to the first that has no route. Raises: RouteRefused where none has."""
        terms = self._terms
        pair = terms.pair(gives_money=gives_money)
        refused: list[RouteRefused] = []

        async def out(amount: int) -> int:
            try:
                offer = await self._parts.router.offer(SwapWanted(terms.wallet, *pair, amount, terms.slippage_bps_max))
            except RouteRefused as error:
                refused.append(error)
                return 0
            return offer.out_units

        wanted = sorted({each for each in amounts if each > 0})
        async with together() as ask:
            asked = [ask(out, each) for each in wanted]
        found = []
        for amount, each in zip(wanted, asked, strict=True):
            if not each.value:
                break
            found.append((amount, each.value))
        if not found:
            raise refused[0] if refused else RouteRefused("nothing is given for any of the sizes", reason="no_route")
        return found

    async def _held(self) -> tuple[int, int]:
        """Return what the wallet holds of money and of the middle token, less what open intents may take of it."""
        terms = self._terms
        token = terms.middle_mint if terms.money_mint == SOL_MINT else terms.money_mint
        accounts = [token_account(terms.wallet, token, program) for program in TOKEN_PROGRAMS]
        seen = await self._parts.chain.accounts([terms.wallet, *accounts])
        promised = await self._io(self._parts.journal.reserved, terms.wallet)
        halted = (await self._io(self._parts.journal.halted)).get(terms.wallet)
        if halted:
            # Nothing would be signed for it: a trip that was begun elsewhere could only be unwound.
            msg = f"wallet {terms.wallet} is halted: {halted[:200]}"
            raise Unavailable(msg, hint="`memmcp-trade review` shows what waits for an answer")
        wallet = seen[terms.wallet]
        lamports = (0 if wallet is None else wallet.lamports) - terms.keep_lamports - promised.get(SOL_MINT, 0)
        units = sum(units_of(seen[each]) for each in accounts) - promised.get(token, 0)
        held = (max(0, lamports), max(0, units))
        return held if terms.money_mint == SOL_MINT else held[::-1]

    def _intent(self, attempt: Attempt) -> Intent:
        terms = self._terms
        in_mint, out_mint = terms.pair(gives_money=attempt.gives_money)
        return Intent(
            id=derived_id("int", attempt.key),
            key=attempt.key,
            wallet=terms.wallet,
            in_mint=in_mint,
            out_mint=out_mint,
            amount_in=attempt.amount_in,
            min_out=max(1, attempt.amount_out_min),
            slippage_bps_max=terms.slippage_bps_max,
            fee_lamports_max=terms.fee_lamports_max,
            attempts_max=1,
            created_ns=self._parts.clock.now_ns(),
            deadline_ns=attempt.expires_ns,
            is_exit=not attempt.gives_money,
            reason=f"arbitrage, leg {attempt.phase.value}",
        )

    def _outcome(self, attempt: Attempt, known: IntentRecord) -> Outcome:
        if not known.is_final:
            return None
        self._decided(known)
        now_ns, settled = self._parts.clock.now_ns(), known.settlement
        cost = 0 if settled is None else self._worth(settled.fee_lamports + settled.tip_lamports)
        if known.state is IntentState.SETTLED and settled is not None:
            return Settled(attempt.key, settled.in_units, settled.out_units, cost, now_ns)
        return Dead(attempt.key, cost, now_ns)

    def _decided(self, known: IntentRecord) -> None:
        """Hear of an intent that is final."""

    def _worth(self, lamports: int) -> int:
        return ceil(lamports * self._terms.money_per_lamport)
