"""Legs that are swaps in one pool of an EVM chain: a body of ``LegVenue`` over ``EvmExecutor``.

An attempt is an intent under the attempt's own key. The router itself refuses it after its deadline, and the executor
uses its nonce up then, so an attempt is decided soon after its time is over.
"""

from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Protocol

import anyio

from trading.errors import RouteRefused
from trading.execution.beside import Beside, InThread
from trading.model.evm import TOLD, EvmIntent, EvmKind, EvmMandate, EvmRecord, EvmState, PoolRef
from trading.model.identifiers import derived_id
from trading.model.units import NS_PER_S
from trading.ports import Clock

from .evm_executor import DAY_NS
from .evm_ports import EvmHoldings, EvmJournal, EvmReader, PoolSeen
from .leg_venue import LegLook, Outcome
from .opportunities import LegTerms, Quote
from .pools import BeyondRead, swap
from .trips import Attempt, Dead, Settled

_UNDER_WAY = frozenset({EvmState.OPEN, EvmState.PENDING, EvmState.LANDED})
_ENDED = frozenset({EvmState.REVERTED, EvmState.CANCELLED, EvmState.REPLACED, EvmState.FAILED})


class EvmTaker(Protocol):
    """``EvmExecutor`` as far as legs need it."""

    async def take(self, intent: EvmIntent) -> EvmRecord: ...


@dataclass(frozen=True, slots=True)
class EvmLegTerms:
    """``money_is_0`` says which token of the pool is money; ``money_per_wei`` is what gas is worth in its smallest
    unit. A swap is counted with ``gas_wei``, or with what ``gas`` costs at the newest block where that is more;
    ``fee_wei_max``: the most that one transaction may cost."""

    pool: PoolRef
    money_is_0: bool
    fee_wei_max: int
    gas_wei: int
    money_per_wei: Fraction
    gas: int = 0
    attempts_max: int = 8
    fails_bps: int = 0
    poll_s: float = 0.2

    def pair(self, *, gives_money: bool) -> tuple[str, str]:
        """Return the token that is given and the one that is got."""
        pair = (self.pool.token_0, self.pool.token_1)
        return pair if gives_money == self.money_is_0 else pair[::-1]


@dataclass(frozen=True, slots=True)
class EvmLegParts:
    """Whom it asks. The journal is the executor's, and the mandate its account's."""

    executor: EvmTaker
    journal: EvmJournal
    reader: EvmReader
    holdings: EvmHoldings
    mandate: EvmMandate
    clock: Clock


class EvmLeg:
    """Both clocks, the executor's and this one, are the same."""

    def __init__(self, name: str, parts: EvmLegParts, terms: EvmLegTerms, beside: Beside | None = None) -> None:
        self._name = name
        self._parts = parts
        self._terms = terms
        self._io = beside or InThread()

    @property
    def name(self) -> str:
        return self._name

    async def look(self) -> LegLook:
        parts, terms, at_ns = self._parts, self._terms, self._parts.clock.now_ns()
        seen = await parts.reader.read(terms.pool)
        await self._require_able()
        tokens = terms.pair(gives_money=True)
        held = await parts.holdings.balances(parts.mandate.account, tokens)
        money, middle = [await self._free(token, units) for token, units in zip(tokens, held, strict=True)]
        there, back = [await self._allowed(token) for token in tokens]
        cost = self._worth(max(terms.gas_wei, terms.gas * seen.block.base_fee_wei))
        return LegLook(
            venue=self._name,
            at_ns=at_ns,
            there=LegTerms(self._name, _quote(seen, there, gives_0=terms.money_is_0), cost, terms.fails_bps),
            back=LegTerms(self._name, _quote(seen, back, gives_0=not terms.money_is_0), cost, terms.fails_bps),
            least_there=1,
            least_back=1,
            money_free=money,
            middle_free=middle,
        )

    async def send(self, attempt: Attempt) -> Outcome:
        """Hand the attempt in and wait until it is decided, or its time is over."""
        return await self._decided(attempt, await self._parts.executor.take(self._intent(attempt)))

    async def _decided(self, attempt: Attempt, known: EvmRecord) -> Outcome:
        while (outcome := await self._outcome(attempt, known)) is None:
            left_s = (attempt.expires_ns - self._parts.clock.now_ns()) / NS_PER_S
            if left_s <= 0:
                return None
            await anyio.sleep(min(left_s, self._terms.poll_s))
            known = await self._io(self._parts.journal.record, known.intent.id)
        return outcome

    async def ask(self, attempt: Attempt) -> Outcome:
        """Tell what became of it; one that is under way is waited for as when it was sent."""
        known = await self._io(self._parts.journal.by_key, attempt.key)
        if known is not None:
            return await self._decided(attempt, known)
        # Whoever might still hand it in is told by its deadline that it is not signed any more.
        now_ns = self._parts.clock.now_ns()
        return Dead(attempt.key, 0, now_ns) if now_ns > attempt.expires_ns else None

    async def _require_able(self) -> None:
        """Raises: RouteRefused where the account is halted, or could not pay for a swap and its allowance."""
        parts, account = self._parts, self._parts.mandate.account
        halted = await self._io(parts.journal.halted, account)
        if halted:
            msg = f"{account} is halted: {halted}"
            raise RouteRefused(msg, reason="halted")
        wei, wanted = await parts.holdings.wei(account), 2 * self._terms.fee_wei_max
        if wei < wanted:
            msg = f"{account} has {wei} wei, and a swap with its allowance may be charged {wanted}"
            raise RouteRefused(msg, reason="no_gas_money")

    async def _free(self, token: str, units: int) -> int:
        """Return how much of a token is held and not promised."""
        parts, account = self._parts, self._parts.mandate.account
        promised = sum(
            each.intent.amount_in
            for each in await self._io(parts.journal.unfinished, account)
            if each.intent.kind is EvmKind.SWAP and each.intent.in_token == token and each.state in _UNDER_WAY
        )
        return max(0, units - promised)

    async def _allowed(self, token: str) -> int:
        """Return how much of a token the mandate lets one swap give now."""
        parts, mandate = self._parts, self._parts.mandate
        given = await self._io(parts.journal.given, mandate.account, token, parts.clock.now_ns() - DAY_NS)
        return max(0, min(mandate.token_max.get(token, 0), mandate.token_day_max.get(token, 0) - given))

    def _intent(self, attempt: Attempt) -> EvmIntent:
        terms = self._terms
        in_token, out_token = terms.pair(gives_money=attempt.gives_money)
        return EvmIntent(
            id=derived_id("evm", attempt.key),
            key=attempt.key,
            account=self._parts.mandate.account,
            pool=terms.pool,
            in_token=in_token,
            out_token=out_token,
            amount_in=attempt.amount_in,
            min_out=max(1, attempt.amount_out_min),
            fee_wei_max=terms.fee_wei_max,
            attempts_max=terms.attempts_max,
            created_ns=self._parts.clock.now_ns(),
            deadline_ns=attempt.expires_ns,
            reason=f"arbitrage, leg {attempt.phase.value}",
        )

    async def _outcome(self, attempt: Attempt, known: EvmRecord) -> Outcome:
        now_ns, settled = self._parts.clock.now_ns(), known.settlement
        allowing = await self._io(self._parts.journal.by_key, f"{known.intent.key}/allow")
        if allowing is not None and allowing.state in _UNDER_WAY:
            return None  # what it charges is part of what the attempt cost, and is not known yet
        wei = sum(each.settlement.fee_wei for each in (known, allowing) if each is not None and each.settlement)
        if known.state in TOLD and settled is not None:
            return Settled(attempt.key, settled.amount_in, settled.amount_out, self._worth(wei), now_ns)
        return Dead(attempt.key, self._worth(wei), now_ns) if known.state in _ENDED else None

    def _worth(self, wei: int) -> int:
        return ceil(wei * self._terms.money_per_wei)


def _quote(seen: PoolSeen, most: int, *, gives_0: bool) -> Quote:
    """More than ``most`` may not be given, so there is no price for it."""

    def quote(amount_in: int) -> int | None:
        if amount_in > most:
            return None
        try:
            found = swap(seen.pool, amount_in, gives_0=gives_0)
        except BeyondRead:
            return None
        return None if found is None else found.amount_out

    return quote
