"""A signer that puts an order before the operator where the mandate asks for it, and says meanwhile: he is asked."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Protocol

from trading.errors import AwaitingOperator, InvalidInput, NotArmed, SigningRefused, Unavailable
from trading.model.chain import SignWanted
from trading.model.intent import Answer, ApprovalAsked
from trading.model.units import NS_PER_S

from .book import ApprovalOrder, ApprovalState

ASKED_FOR_S: Final = 600.0
INTENTS_KEPT: Final = 256
REASON_MAX: Final = 300
_MISSING: Final = ("approval_missing",)
_ANSWERS: Final[Mapping[str, Answer]] = {
    ApprovalState.AWAITING_OPERATOR: Answer.WAITING,
    ApprovalState.APPROVED: Answer.APPROVED,
    ApprovalState.DONE: Answer.APPROVED,
    ApprovalState.REFUSED: Answer.REFUSED,
    ApprovalState.EXPIRED: Answer.EXPIRED,
}


class AskableSigner(Protocol):
    """``client.SocketSigner`` as far as it is used here."""

    async def wallets(self) -> Sequence[str]: ...

    async def sign(self, wanted: SignWanted) -> bytes: ...

    async def ask_approval(self, order: ApprovalOrder) -> dict[str, Any]: ...

    async def approval(self, approval_id: str) -> dict[str, Any] | None: ...

    async def approvals(self) -> list[dict[str, Any]]: ...

    async def refuse(self, approval_id: str) -> dict[str, Any]: ...


class ApprovingSigner:
    """Body of ``ports.Signer`` over another, and of ``executor.Operator``. An intent is put before the operator once,
    for ``asked_for_s`` seconds, and his word is final."""

    def __init__(self, signer: AskableSigner, now_ns: Callable[[], int], asked_for_s: float = ASKED_FOR_S) -> None:
        self._signer = signer
        self._now_ns = now_ns
        self._asked_for_ns = int(asked_for_s * NS_PER_S)
        self._asked: dict[str, ApprovalOrder] = {}

    async def wallets(self) -> Sequence[str]:
        return await self._signer.wallets()

    async def sign(self, wanted: SignWanted) -> bytes:
        """Raises: SigningRefused, also where the operator said no or nothing; AwaitingOperator while he is asked;
        InvalidInput where he cannot be asked about it; SignerUnavailable."""
        try:
            return await self._signer.sign(wanted)
        except SigningRefused as error:
            if error.reasons != _MISSING:
                raise
        order = await self._order(wanted)
        try:
            found = await self._signer.ask_approval(order)
        except NotArmed as error:
            raise SigningRefused(error.message, reasons=("not_armed",)) from error
        state = str(found["state"])
        if state == ApprovalState.AWAITING_OPERATOR:
            msg = f"intent {wanted.intent_id} waits for the operator's approval"
            raise AwaitingOperator(msg, approval_id=str(found["id"]), expires_ns=order.expires_ns)
        if state == ApprovalState.APPROVED:
            return await self._signer.sign(wanted)
        msg = f"the operator did not approve intent {wanted.intent_id}: {state}"
        raise SigningRefused(msg, reasons=(f"approval_{state}",))

    async def answer_of(self, asked: ApprovalAsked) -> Answer:
        try:
            found = await self._signer.approval(asked.id)
        except (Unavailable, SigningRefused, InvalidInput):
            return Answer.WAITING  # away or locked: its own clock ends it, if nobody comes back
        return Answer.UNKNOWN if found is None else _ANSWERS[str(found["state"])]

    async def withdraw(self, asked: ApprovalAsked) -> None:
        try:
            await self._signer.refuse(asked.id)
        except (Unavailable, SigningRefused, InvalidInput):
            return  # answered already, or it ends by itself: what it was asked for is given up in any case

    async def _order(self, wanted: SignWanted) -> ApprovalOrder:
        """Return the order that was asked about first, also before a restart: with another end it would be another
        question."""
        known = self._asked.get(wanted.intent_id)
        if known is None:
            known = await self._known(wanted)
            while len(self._asked) >= INTENTS_KEPT:
                del self._asked[next(iter(self._asked))]
            self._asked[wanted.intent_id] = known
        return known

    async def _known(self, wanted: SignWanted) -> ApprovalOrder:
        fresh = ApprovalOrder(
            intent_id=wanted.intent_id,
            wallet=wanted.wallet,
            in_mint=wanted.in_mint,
            out_mint=wanted.out_mint,
            amount_in=wanted.amount_in,
            min_out=wanted.min_out,
            fee_lamports_max=wanted.fee_lamports_max,
            expires_ns=self._now_ns() + self._asked_for_ns,
            reason=wanted.reason[:REASON_MAX],
        )
        for each in await self._signer.approvals():
            earlier = ApprovalOrder(**each["order"])
            if replace(earlier, expires_ns=fresh.expires_ns, reason=fresh.reason) == fresh:
                return earlier
        return fresh
