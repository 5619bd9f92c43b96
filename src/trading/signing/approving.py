"""A signer that puts an order before the operator where the mandate asks for it, and says meanwhile: later."""

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from trading.errors import SignerUnavailable, SigningRefused
from trading.model.chain import SignWanted

from .book import ApprovalOrder, ApprovalState

ASKED_FOR_NS: Final = 10 * 60 * 1_000_000_000
INTENTS_KEPT: Final = 256
_MISSING: Final = ("approval_missing",)


class AskableSigner(Protocol):
    """``client.SocketSigner`` as far as it is used here."""

    async def wallets(self) -> Sequence[str]: ...

    async def sign(self, wanted: SignWanted) -> bytes: ...

    async def ask_approval(self, order: ApprovalOrder) -> dict[str, object]: ...


class ApprovingSigner:
    """Body of ``ports.Signer`` over another. An intent is put before the operator once, and his word is final.

    While he thinks, ``sign`` raises SignerUnavailable, so that whoever carries the intent out tries again until its
    deadline.
    """

    def __init__(self, signer: AskableSigner, now_ns: Callable[[], int]) -> None:
        self._signer = signer
        self._now_ns = now_ns
        self._asked: dict[str, ApprovalOrder] = {}

    async def wallets(self) -> Sequence[str]:
        return await self._signer.wallets()

    async def sign(self, wanted: SignWanted) -> bytes:
        """Raises: SigningRefused, also where the operator said no or nothing; SignerUnavailable while he is asked."""
        try:
            return await self._signer.sign(wanted)
        except SigningRefused as error:
            if error.reasons != _MISSING:
                raise
        state = str((await self._signer.ask_approval(self._order(wanted)))["state"])
        if state == ApprovalState.AWAITING_OPERATOR:
            msg = f"intent {wanted.intent_id} waits for the operator's approval"
            raise SignerUnavailable(msg)
        if state == ApprovalState.APPROVED:
            return await self._signer.sign(wanted)
        msg = f"the operator did not approve intent {wanted.intent_id}: {state}"
        raise SigningRefused(msg, reasons=(f"approval_{state}",))

    def _order(self, wanted: SignWanted) -> ApprovalOrder:
        """Return the order that was asked about first: with another end it would be another question."""
        known = self._asked.get(wanted.intent_id)
        if known is None:
            known = ApprovalOrder(
                intent_id=wanted.intent_id,
                wallet=wanted.wallet,
                in_mint=wanted.in_mint,
                out_mint=wanted.out_mint,
                amount_in=wanted.amount_in,
                min_out=wanted.min_out,
                fee_lamports_max=wanted.fee_lamports_max,
                expires_ns=self._now_ns() + ASKED_FOR_NS,
            )
            while len(self._asked) >= INTENTS_KEPT:
                del self._asked[next(iter(self._asked))]
            self._asked[wanted.intent_id] = known
        return known
