"""Both legs of a trip on Solana: as one transaction where one holds them, as a trip of two legs where none does.

A whole trip is one intent under the trip's id. It brings more than it may cost or the chain takes it back, so it needs
no hedge, no unwinding and no event of its own: what became of it is what became of the intent, whatever dies. One that
does not fit becomes a trip of two legs only if it is still worth it with what two attempts cost.
"""

from dataclasses import dataclass
from enum import StrEnum

import anyio

from trading.errors import InvalidInput
from trading.execution.beside import Beside, InThread
from trading.execution.round_trip import DOES_NOT_FIT
from trading.execution.transactions import token_account
from trading.model.identifiers import derived_id
from trading.model.intent import SOL_MINT, Intent, IntentKind, IntentRecord, IntentState, OwnAccount
from trading.model.units import NS_PER_S
from trading.ports import Clock, ExecutionJournal

from .leg_venue import LegLook
from .opportunities import Opportunity, TripTerms, full_cost
from .planning import TripPace, planned
from .runner import TripRunner
from .solana_leg import SolanaTerms, Taker


class WholeState(StrEnum):
    """DONE: it landed, and what it brought is told. FLAT: nothing but a fee is gone. PENDING: not known yet, ask again.
    IN_LEGS: one transaction does not hold it, so a trip of two legs was begun under the same id. NOT_TAKEN: that was
    not begun either; ``why_not`` says why."""

    DONE = "done"
    FLAT = "flat"
    PENDING = "pending"
    IN_LEGS = "in_legs"
    NOT_TAKEN = "not_taken"


@dataclass(frozen=True, slots=True)
class WholeOutcome:
    """``result`` in lamports, every fee off. It counts SOL alone: what stays of the token between comes on top."""

    state: WholeState
    result: int = 0
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class WholeTerms:
    """``terms`` are of the leg that both are made at; its money is SOL. ``program`` is the middle token's. ``net_min``:
    so much has to be left after the highest fee. A trip of two legs has ``two_legs`` to be worth it, and ``pace``."""

    terms: SolanaTerms
    program: str
    net_min: int
    two_legs: TripTerms
    pace: TripPace
    lives_s: float = 10.0

    def __post_init__(self) -> None:
        if self.terms.money_mint != SOL_MINT:
            msg = f"money_mint: a whole trip begins and ends with SOL, not {self.terms.money_mint}"
            raise InvalidInput(msg, field="money_mint")
        if self.net_min < 1:
            msg = f"net_min is {self.net_min}; allowed is 1 or more"
            raise InvalidInput(msg, field="net_min")


class WholeTrips:
    """One per leg and runner; the executor's preparer has to know round trips (``RoundTripPreparer``)."""

    def __init__(
        self,
        executor: Taker,
        journal: ExecutionJournal,
        runner: TripRunner,
        terms: WholeTerms,
        clock: Clock,
        beside: Beside | None = None,
    ) -> None:
        self._executor = executor
        self._journal = journal
        self._runner = runner
        self._terms = terms
        self._clock = clock
        self._io = beside or InThread()

    async def take(self, trip_id: str, look: LegLook, amount: int) -> WholeOutcome:
        """Make the trip, and wait until it is known what became of it or its time is over.

        Raises: InvalidInput, Unavailable, from which nothing is concluded: ask with ``outcome``.
        """
        known = await self._executor.take(self._intent(trip_id, amount))
        while not known.is_final:
            if self._clock.now_ns() > known.intent.deadline_ns:
                return WholeOutcome(WholeState.PENDING)
            await anyio.sleep(self._terms.terms.poll_s)
            known = await self._io(self._journal.record, known.intent.id)
        if known.state is IntentState.FAILED and DOES_NOT_FIT in known.problem:
            return await self._in_legs(trip_id, look, amount)
        return _outcome(known)

    async def outcome(self, trip_id: str) -> WholeOutcome:
        """Return what became of a trip that was, or may have been, taken."""
        known = await self._io(self._journal.by_key, trip_id)
        if known is None:
            return WholeOutcome(WholeState.NOT_TAKEN, why_not="unknown")
        return _outcome(known) if known.is_final else WholeOutcome(WholeState.PENDING)

    async def _in_legs(self, trip_id: str, look: LegLook, amount: int) -> WholeOutcome:
        terms = self._terms
        middle = look.there.quote(amount)
        back = look.back.quote(middle) if middle else None
        if not middle or back is None:
            return WholeOutcome(WholeState.NOT_TAKEN, why_not="no_price")
        found = Opportunity(amount, middle, back, full_cost(look.there, look.back, terms.two_legs, amount))
        if found.net <= terms.net_min:
            return WholeOutcome(WholeState.NOT_TAKEN, why_not="cost")
        plan, loss_max = planned(trip_id, look, look, found, terms.pace, self._clock.now_ns())
        why_not = await self._runner.take(plan, loss_max)
        return WholeOutcome(WholeState.NOT_TAKEN if why_not else WholeState.IN_LEGS, why_not=why_not)

    def _intent(self, trip_id: str, amount: int) -> Intent:
        leg, now_ns = self._terms.terms, self._clock.now_ns()
        account = token_account(leg.wallet, leg.middle_mint, self._terms.program)
        return Intent(
            id=derived_id("int", trip_id),
            key=trip_id,
            wallet=leg.wallet,
            in_mint=SOL_MINT,
            out_mint=SOL_MINT,
            amount_in=amount,
            min_out=amount + leg.fee_lamports_max + self._terms.net_min,
            slippage_bps_max=leg.slippage_bps_max,
            fee_lamports_max=leg.fee_lamports_max,
            attempts_max=1,
            created_ns=now_ns,
            deadline_ns=now_ns + int(self._terms.lives_s * NS_PER_S),
            is_exit=False,
            reason="arbitrage, both legs",
            kind=IntentKind.ROUND_TRIP,
            accounts=(OwnAccount(account, leg.middle_mint, self._terms.program),),
        )


def _outcome(known: IntentRecord) -> WholeOutcome:
    settled = known.settlement
    fees = 0 if settled is None else settled.fee_lamports + settled.tip_lamports
    if known.state is IntentState.SETTLED and settled is not None:
        return WholeOutcome(WholeState.DONE, settled.out_units - settled.in_units - fees)
    return WholeOutcome(WholeState.FLAT, -fees, known.problem[:200])
