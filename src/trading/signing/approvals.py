"""Orders that wait for the operator: a bounded queue, each answered once, by a passkey, for exactly this order."""

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from trading.errors import InvalidInput
from trading.model.mandate import Mandate

from .audit import AuditLog
from .book import Approval, ApprovalOrder, ApprovalState, Book
from .passkeys import PasskeyDesk, challenge_options

WAITING_MAX: Final = 16
ASKED_IN_HOUR_MAX: Final = 120
LIFE_NS_MAX: Final = 15 * 60 * 1_000_000_000
CHALLENGE_LIFE_NS: Final = 2 * 60 * 1_000_000_000
_NONCE_BYTES: Final = 32
_HOUR_NS: Final = 3_600_000_000_000
_TEXT_MAX: Final = 300


class ApprovalDesk:
    """Over the signer's book and record. Challenges live in memory: a restart makes every open one void."""

    def __init__(self, book: Book, log: AuditLog, passkeys: PasskeyDesk) -> None:
        self._book = book
        self._log = log
        self._passkeys = passkeys
        self._challenges: dict[str, tuple[bytes, int]] = {}

    def ask(self, order: ApprovalOrder, mandate: Mandate, now_ns: int) -> Approval:
        """Put an order before the operator; the same order again is the same question. Raises: InvalidInput."""
        approval_id = order_id(order)
        known = self._book.approval(approval_id, now_ns)
        if known is not None:
            return known
        self._require_possible(order, mandate, now_ns)
        everything = self._book.all_approvals(now_ns)
        if sum(each.state is ApprovalState.AWAITING_OPERATOR for each in everything) >= WAITING_MAX:
            msg = f"{WAITING_MAX} orders wait for the operator already"
            raise InvalidInput(msg, field="order", hint="answer those first")
        if sum(each.asked_ns > now_ns - _HOUR_NS for each in everything) >= ASKED_IN_HOUR_MAX:
            msg = f"{ASKED_IN_HOUR_MAX} orders were put before the operator within an hour"
            raise InvalidInput(msg, field="order", hint="wait, or raise approval_above_lamports in the mandate")
        self._write("approval_asked", {"id": approval_id, "order": asdict(order)})
        return self._book.approvals[approval_id]

    def challenge(self, approval_id: str, now_ns: int) -> dict[str, Any]:
        """Return the options of a passkey's answer; only the newest challenge of an order is good, once."""
        self._waiting(approval_id, now_ns)
        known = list(self._book.passkeys.values())
        if not known:
            msg = "no passkey is registered"
            raise InvalidInput(msg, field="passkey", hint="`memmcp-trade signer passkey add`")
        challenge = challenge_of(secrets.token_bytes(_NONCE_BYTES), approval_id)
        self._challenges = {key: each for key, each in self._challenges.items() if now_ns < each[1]}
        self._challenges[approval_id] = (challenge, now_ns + CHALLENGE_LIFE_NS)
        return challenge_options(challenge, known)

    def approve(self, approval_id: str, credential: Mapping[str, Any], now_ns: int) -> Approval:
        """Raises: InvalidInput: the order does not wait, or this is no answer of a pinned passkey to its challenge."""
        self._waiting(approval_id, now_ns)
        challenge, ends_ns = self._challenges.pop(approval_id, (b"", 0))
        if not challenge or now_ns >= ends_ns:
            msg = "no challenge of this order is open"
            raise InvalidInput(msg, field="credential", hint="ask for a new one")
        passkey_id, count = self._passkeys.check(credential, challenge, self._book.passkeys)
        self._write("approval_approved", {"id": approval_id, "passkey": passkey_id, "sign_count": count})
        return self._book.approvals[approval_id]

    def refuse(self, approval_id: str, now_ns: int) -> Approval:
        """Answer no, which anybody may."""
        self._waiting(approval_id, now_ns)
        self._challenges.pop(approval_id, None)
        self._write("approval_refused", {"id": approval_id})
        return self._book.approvals[approval_id]

    def _waiting(self, approval_id: str, now_ns: int) -> Approval:
        found = self._book.approval(approval_id, now_ns)
        if found is None or found.state is not ApprovalState.AWAITING_OPERATOR:
            state = "unknown" if found is None else found.state.value
            msg = f"this order does not wait for the operator (it is {state})"
            raise InvalidInput(msg, field="id")
        return found

    def _require_possible(self, order: ApprovalOrder, mandate: Mandate, now_ns: int) -> None:
        """An approval raises no limit, so an order that the mandate does not allow is not put before anybody."""
        problems = []
        if order.amount_in > mandate.order_lamports_max:
            problems.append("amount_in is above order_lamports_max")
        if order.fee_lamports_max > mandate.fee_lamports_max:
            problems.append("fee_lamports_max is above the mandate's")
        if order.wallet not in mandate.wallets or order.out_mint not in mandate.mints:
            problems.append("wallet or token is not of the mandate")
        if order.amount_in <= 0 or order.min_out <= 0:
            problems.append("amount_in and min_out are above 0")
        if not now_ns < order.expires_ns <= now_ns + LIFE_NS_MAX:
            problems.append(f"expires_ns lies within {LIFE_NS_MAX // 60_000_000_000} minutes from now")
        if len(order.reason) > _TEXT_MAX or len(order.intent_id) > _TEXT_MAX:
            problems.append(f"reason and intent_id have at most {_TEXT_MAX} characters")
        if problems:
            msg = "; ".join(problems)
            raise InvalidInput(msg, field="order")

    def _write(self, kind: str, body: dict[str, Any]) -> None:
        self._book.take(self._log.append(kind, body))


def order_id(order: ApprovalOrder) -> str:
    """Return the hash of every figure of the order."""
    said = json.dumps({"format": "memmcp approval 1", **asdict(order)}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(said.encode()).hexdigest()


def challenge_of(nonce: bytes, approval_id: str) -> bytes:
    """Return a challenge that is good for this order alone."""
    return hashlib.sha256(b"memmcp approval challenge 1\0" + nonce + bytes.fromhex(approval_id)).digest()
