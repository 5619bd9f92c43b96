"""What the signer remembers, folded from its own record: armings, what it signed, approvals, passkeys.

It believes nobody else about any of this: the day's sums, the ramp and the attempts are counted from its signatures.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from trading.model.intent import IntentKind
from trading.model.mandate import Mandate, Side

from .audit import AuditLine
from .mandate import is_sealed, parse_mandate

DAY_NS: Final = 24 * 3_600 * 1_000_000_000


@dataclass(frozen=True, slots=True)
class Arming:
    """One arming. ``source`` is where the mandate's file lies; ``text`` what it said."""

    number: int
    mandate: Mandate
    armed_ns: int
    ends_ns: int
    source: str
    text: str


@dataclass(frozen=True, slots=True)
class Signed:
    """One message that was signed. ``spent_lamports``: what a buy or a sweep gives, 0 for anything else; ``side`` is
    that of a swap. Up to block ``alive_until`` it may land, as the signer itself reckons: what the asker says can only
    make that later. ``what`` tells apart two wishes of one intent that are no swaps."""

    ts_ns: int
    arming: int
    intent_id: str
    wallet: str
    in_mint: str
    out_mint: str
    amount_in: int
    min_out: int
    fee_lamports_max: int
    spent_lamports: int
    message_sha256: str
    alive_until: int
    side: Side | None
    kind: IntentKind = IntentKind.SWAP
    what: str = ""


class ApprovalState(StrEnum):
    AWAITING_OPERATOR = "awaiting_operator"
    APPROVED = "approved"
    REFUSED = "refused"
    EXPIRED = "expired"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class ApprovalOrder:
    """The exact order that is approved: these figures or better ones, until ``expires_ns``, for this intent alone."""

    intent_id: str
    wallet: str
    in_mint: str
    out_mint: str
    amount_in: int
    min_out: int
    fee_lamports_max: int
    expires_ns: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Approval:
    """``id`` is the hash of the order."""

    id: str
    order: ApprovalOrder
    state: ApprovalState
    asked_ns: int


@dataclass(frozen=True, slots=True)
class Passkey:
    """A pinned credential. ``id`` and ``public_key`` are base64url; ``fingerprint`` is what a person compares."""

    id: str
    public_key: str
    fingerprint: str
    label: str
    sign_count: int
    added_ns: int


@dataclass(slots=True)
class Book:
    """The fold. ``arming`` is the newest one, also where it ended; ``is_disarmed`` says that a person ended it."""

    seal_key: bytes
    arming: Arming | None = None
    is_disarmed: bool = False
    disarmed_why: str = ""
    armings: int = 0
    signed: list[Signed] = field(default_factory=list)
    by_intent: dict[str, list[Signed]] = field(default_factory=dict)
    approvals: dict[str, Approval] = field(default_factory=dict)
    passkeys: dict[str, Passkey] = field(default_factory=dict)
    newest_ns: int = 0

    @classmethod
    def of(cls, seal_key: bytes, lines: Iterable[AuditLine]) -> "Book":
        book = cls(seal_key)
        for line in lines:
            book.take(line)
        return book

    def take(self, line: AuditLine) -> None:
        """Fold one line in. Of lines without a seal only one that disarms is believed: it makes nothing less safe."""
        if not line.is_sealed and line.kind != "disarmed":
            return
        self.newest_ns = max(self.newest_ns, line.ts_ns)
        body = line.body
        match line.kind:
            case "armed":
                self._armed(body)
            case "disarmed":
                self.is_disarmed, self.disarmed_why = True, str(body["why"])
            case "signed":
                self._signed(line.ts_ns, body)
            case "approval_asked":
                self._asked(line.ts_ns, body)
            case "approval_approved":
                self._answered(body["id"], ApprovalState.APPROVED)
                self._counted(body["passkey"], int(body["sign_count"]))
            case "approval_refused":
                self._answered(body["id"], ApprovalState.REFUSED)
            case "passkey_added":
                key = Passkey(**body["passkey"])
                self.passkeys[key.id] = key
            case "passkey_removed":
                self.passkeys.pop(body["id"], None)

    def swept_since(self, since_ns: int) -> int:
        """Return the lamports of sweeps signed after ``since_ns``."""
        swept = 0
        for each in reversed(self.signed):
            if each.ts_ns <= since_ns:
                break
            swept += each.spent_lamports if each.kind is IntentKind.SWEEP else 0
        return swept

    def spent_since(self, since_ns: int) -> tuple[int, int]:
        """Return (lamports of buys, lamports of all fees) signed after ``since_ns``."""
        spent = fees = 0
        for each in reversed(self.signed):
            if each.ts_ns <= since_ns:
                break
            spent += each.spent_lamports if each.kind is not IntentKind.SWEEP else 0
            fees += each.fee_lamports_max
        return spent, fees

    def buys_of_arming(self) -> int:
        """Return how many different buys were signed since the newest arming."""
        if self.arming is None:
            return 0
        number = self.arming.number
        bought: set[str] = set()
        for each in reversed(self.signed):
            if each.arming != number:
                break
            if each.side is Side.BUY:
                bought.add(each.intent_id)
        return len(bought)

    def approval(self, approval_id: str, now_ns: int) -> Approval | None:
        """Return an approval as it stands at a time."""
        found = self.approvals.get(approval_id)
        return None if found is None else _at(found, now_ns)

    def all_approvals(self, now_ns: int) -> list[Approval]:
        """Return what is known, newest first."""
        return [_at(each, now_ns) for each in reversed(self.approvals.values())]

    def _armed(self, body: Mapping[str, Any]) -> None:
        mandate = parse_mandate(str(body["text"]).encode())
        number, armed_ns, ends_ns = int(body["number"]), int(body["armed_ns"]), int(body["ends_ns"])
        self.armings = max(self.armings, number)
        if not is_sealed(self.seal_key, mandate, number, armed_ns, ends_ns, str(body["seal"])):
            self.is_disarmed, self.disarmed_why = True, "the seal of the mandate does not hold"
            return
        self.arming = Arming(number, mandate, armed_ns, ends_ns, str(body["source"]), str(body["text"]))
        self.is_disarmed, self.disarmed_why = False, ""

    def _signed(self, ts_ns: int, body: Mapping[str, Any]) -> None:
        side = Side(body["side"]) if body["side"] else None
        kind = IntentKind(body.get("kind", IntentKind.SWAP))
        each = Signed(ts_ns=ts_ns, **{**body, "side": side, "kind": kind})
        self.signed.append(each)
        self.by_intent.setdefault(each.intent_id, []).append(each)
        for approval in list(self.approvals.values()):
            if approval.order.intent_id == each.intent_id and approval.state is ApprovalState.APPROVED:
                self._answered(approval.id, ApprovalState.DONE)

    def _asked(self, ts_ns: int, body: Mapping[str, Any]) -> None:
        self.approvals[body["id"]] = Approval(
            body["id"], ApprovalOrder(**body["order"]), ApprovalState.AWAITING_OPERATOR, ts_ns
        )

    def _answered(self, approval_id: str, state: ApprovalState) -> None:
        found = self.approvals[approval_id]
        self.approvals[approval_id] = Approval(found.id, found.order, state, found.asked_ns)

    def _counted(self, passkey_id: str, sign_count: int) -> None:
        key = self.passkeys.get(passkey_id)
        if key is not None:
            self.passkeys[passkey_id] = Passkey(
                key.id, key.public_key, key.fingerprint, key.label, sign_count, key.added_ns
            )


def _at(approval: Approval, now_ns: int) -> Approval:
    open_states = (ApprovalState.AWAITING_OPERATOR, ApprovalState.APPROVED)
    if approval.state in open_states and now_ns >= approval.order.expires_ns:
        return Approval(approval.id, approval.order, ApprovalState.EXPIRED, approval.asked_ns)
    return approval
