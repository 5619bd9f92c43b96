"""Both legs of a trip on Solana as one transaction: a body of ``LegVenue`` for trips that are whole.

An attempt of it gives money and brings money: it lands and wins more than it may cost, or the chain takes it back and
only the fee is gone. So such a trip has one attempt and is never hedge-pending. What one transaction does not hold, too
many bytes or too much computing, is dead before it is signed, and for a while trips of that pair go in two legs.
"""

from dataclasses import dataclass, replace

from trading.errors import InvalidInput
from trading.execution.round_trip import DOES_NOT_FIT
from trading.execution.transactions import token_account
from trading.execution.verifier import TOKEN_PROGRAMS
from trading.model.intent import SOL_MINT, Intent, IntentKind, IntentRecord, IntentState, OwnAccount
from trading.model.units import NS_PER_S

from .leg_venue import LegLook, Outcome
from .solana_leg import SolanaLeg, SolanaParts, SolanaTerms
from .trips import Attempt, Dead


@dataclass(frozen=True, slots=True)
class WholeTerms:
    """``leg`` is the leg whose both ways are made at once; its money is SOL. After a trip that did not fit, none is
    tried whole for ``apart_s``."""

    leg: SolanaTerms
    apart_s: float = 300.0

    def __post_init__(self) -> None:
        if self.leg.money_mint != SOL_MINT:
            msg = f"money_mint: a whole trip begins and ends with SOL, not {self.leg.money_mint}"
            raise InvalidInput(msg, field="money_mint")


class WholeLeg(SolanaLeg):
    """The executor's preparer has to know round trips (``RoundTripPreparer``)."""

    def __init__(self, name: str, parts: SolanaParts, terms: WholeTerms) -> None:
        super().__init__(name, parts, terms.leg)
        self._whole = terms
        self._clock, self._chain = parts.clock, parts.chain
        self._apart_until_ns = 0
        self._program = ""

    @property
    def fits(self) -> bool:
        """Whether one transaction is thought to hold both legs."""
        return self._clock.now_ns() >= self._apart_until_ns

    async def look(self) -> LegLook:
        """Return prices as the leg has them. No inventory of the middle token is needed: the first swap brings it."""
        look = await super().look()
        most = look.there.quote(self._whole.leg.sizes[-1])
        return replace(look, middle_free=most or 0)

    async def send(self, attempt: Attempt) -> Outcome:
        if not self._program:
            mint = self._whole.leg.middle_mint
            found = (await self._chain.accounts([mint]))[mint]
            if found is None or found.owner not in TOKEN_PROGRAMS:
                return Dead(attempt.key, 0, self._clock.now_ns())
            self._program = found.owner  # it never changes
        return await super().send(attempt)

    def _intent(self, attempt: Attempt) -> Intent:
        usual, leg = super()._intent(attempt), self._whole.leg
        account = token_account(leg.wallet, leg.middle_mint, self._program)
        return replace(
            usual,
            in_mint=SOL_MINT,
            out_mint=SOL_MINT,
            reason="arbitrage, both legs",
            kind=IntentKind.ROUND_TRIP,
            accounts=(OwnAccount(account, leg.middle_mint, self._program),),
        )

    def _decided(self, known: IntentRecord) -> None:
        if known.state is IntentState.FAILED and DOES_NOT_FIT in known.problem:
            self._apart_until_ns = known.intent.created_ns + int(self._whole.apart_s * NS_PER_S)
