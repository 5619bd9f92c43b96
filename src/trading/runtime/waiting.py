"""Orders that wait for the operator's approval, as agents, the page and the desk's documents tell of them."""

from collections.abc import Mapping

from trading.model.intent import SOL_MINT, IntentRecord, IntentState
from trading.model.units import sol_text
from trading.ports import ExecutionJournal

from .documents import Document, iso
from .naming import public_id

HOW_TO_LOOK = (
    "Nothing has happened yet, and its money is reserved. Repeat this call with the same key, or ask why(order_id), to "
    "see how it ends: history://trades shows the fill; a no, or no answer in time, ends it. After a yes the price is "
    "asked anew, and the order is void where it moved beyond its bound."
)


class WaitingOrders:
    """Reads the journal of what is owed, after something changed in it. ``names``: the feed's name of a mint."""

    def __init__(self, journal: ExecutionJournal, names: Mapping[str, str]) -> None:
        self._journal = journal
        self._names = names
        self._known: list[IntentRecord] | None = None

    def changed(self) -> None:
        self._known = None

    def documents(self, run_id: str) -> list[Document]:
        """Return wire.WaitingOrder for every order of the run that waits, oldest first."""
        if self._known is None:
            found = self._journal.unfinished()
            self._known = [each for each in found if each.state is IntentState.WAITING]
        ours = f"{run_id}/"
        return [self._document(each, run_id) for each in self._known if each.intent.key.startswith(ours)]

    def _document(self, known: IntentRecord, run_id: str) -> Document:
        wish, asked = known.intent, known.approval
        assert asked is not None
        is_buy = wish.in_mint == SOL_MINT
        token = wish.out_mint if is_buy else wish.in_mint
        given, least = f"{wish.amount_in} base units", f"{wish.min_out} base units"
        if is_buy:
            given = f"{sol_text(wish.amount_in)} SOL"
        else:
            least = f"{sol_text(wish.min_out)} SOL"
        return {
            "order_id": public_id(run_id, wish.key.removeprefix(f"{run_id}/")),
            "status": "awaiting_operator",
            "approval_id": asked.id,
            "asked_at": iso(wish.created_ns),
            "expires_at": iso(asked.expires_ns),
            "side": "buy" if is_buy else "sell",
            "mint": self._names.get(token, token),
            "amount_in": str(wish.amount_in),
            "min_out": str(wish.min_out),
            "fee_lamports_max": wish.fee_lamports_max,
            "wallet": wish.wallet,
            "sees": f"{given} for at least {least} of {token}, fee at most {wish.fee_lamports_max} lamports: "
            f"{wish.reason}",
        }
