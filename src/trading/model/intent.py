"""What is owed to the chain exactly once: what is wished, each attempt that was signed, and what became of it.

``OPEN -> SIGNED(n) -> LANDED | REVERTED | EXPIRED(n)``; an attempt is proven dead before the next one is signed. One
that needs the operator goes from OPEN to WAITING and, when he said yes, back: nothing of the old quote is used then.
Amounts are base units of a mint; the native coin is traded as wrapped SOL (``SOL_MINT``), one lamport a unit.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

SOL_MINT: Final = "So11111111111111111111111111111111111111112"


class IntentKind(StrEnum):
    """SWAP: one token for another. ROUND_TRIP: SOL for a token and that for SOL, in one transaction, which brings more
    than it costs or does not happen. CLOSE_ACCOUNTS: empty token accounts of the wallet are closed, so that the
    deposits in them come back to it. SWEEP: lamports go to the mandate's cold address."""

    SWAP = "swap"
    ROUND_TRIP = "round_trip"
    CLOSE_ACCOUNTS = "close_accounts"
    SWEEP = "sweep"


class IntentState(StrEnum):
    """OPEN: nothing of it can be on chain. WAITING: as OPEN, and it waits for the operator's approval, which has an
    end. SIGNED: one attempt is alive or not proven dead. LANDED: confirmed, the
    fill is provisional. SETTLED: finalized and booked. REVERTED: finalized, failed, its fee is booked. FAILED: given
    up before anything was signed, or after every attempt was proven dead. CANCELLED: as FAILED, because it was asked
    for. NEEDS_REVIEW: the chain and our books do not agree; the wallet halts until a person answers."""

    OPEN = "open"
    WAITING = "waiting_for_approval"
    SIGNED = "signed"
    LANDED = "landed"
    SETTLED = "settled"
    REVERTED = "reverted"
    FAILED = "failed"
    CANCELLED = "cancelled"
    NEEDS_REVIEW = "needs_review"


class AttemptState(StrEnum):
    """SIGNED: its bytes are durable, it may have been sent. LANDED: seen at confirmed, without an error. SETTLED,
    REVERTED: finalized. EXPIRED: proven dead by two sources."""

    SIGNED = "signed"
    LANDED = "landed"
    SETTLED = "settled"
    REVERTED = "reverted"
    EXPIRED = "expired"


INTENT_STEPS: Final = frozenset(
    {
        (IntentState.OPEN, IntentState.SIGNED),
        (IntentState.OPEN, IntentState.FAILED),
        (IntentState.OPEN, IntentState.CANCELLED),
        (IntentState.OPEN, IntentState.WAITING),
        (IntentState.WAITING, IntentState.OPEN),  # the operator said yes
        (IntentState.WAITING, IntentState.FAILED),
        (IntentState.WAITING, IntentState.CANCELLED),
        (IntentState.SIGNED, IntentState.OPEN),  # the attempt was proven dead
        (IntentState.SIGNED, IntentState.LANDED),
        (IntentState.SIGNED, IntentState.SETTLED),  # found finalized
        (IntentState.SIGNED, IntentState.REVERTED),
        (IntentState.LANDED, IntentState.SIGNED),  # a block that vanished took it along
        (IntentState.LANDED, IntentState.SETTLED),
        (IntentState.LANDED, IntentState.REVERTED),
        (IntentState.SIGNED, IntentState.NEEDS_REVIEW),
        (IntentState.LANDED, IntentState.NEEDS_REVIEW),
        (IntentState.NEEDS_REVIEW, IntentState.SETTLED),  # a person answered
        (IntentState.NEEDS_REVIEW, IntentState.REVERTED),
        (IntentState.NEEDS_REVIEW, IntentState.FAILED),
        (IntentState.NEEDS_REVIEW, IntentState.SIGNED),
    }
)
"""Every step that an intent may take."""
FINAL_INTENTS: Final = frozenset({IntentState.SETTLED, IntentState.REVERTED, IntentState.FAILED, IntentState.CANCELLED})
ALIVE_ATTEMPTS: Final = frozenset({AttemptState.SIGNED, AttemptState.LANDED})


@dataclass(frozen=True, slots=True)
class OwnAccount:
    """The wallet's own account of a mint, at the address that the token ``program`` gives it."""

    address: str
    mint: str
    program: str


@dataclass(frozen=True, slots=True)
class Intent:
    """``key`` is the caller's idempotency key (``run_id/order_id``): the same key is the same intent.

    ``amount_in`` base units of ``in_mint`` are swapped for at least ``min_out`` base units of ``out_mint``.
    ``fee_lamports_max`` bounds signature fee, priority fee and tip of one attempt together. ``deadline_ns`` is the
    time after which no new attempt is signed. ``is_exit``: it only makes the desk safer. With ``out_max`` above 0 an
    offer of more is refused: a buy that gives more is cheaper than what is held, so the price fell (anti-DCA).

    The kinds beside a swap have ``SOL_MINT`` on both sides. A round trip names the wallet's account of the token
    between in ``accounts`` and brings ``min_out`` lamports at least: more than ``amount_in`` and every fee. A sweep
    moves exactly ``amount_in`` lamports to ``to_address``, and is not signed where less than ``leaves_lamports`` would
    stay in the wallet. Closing ``accounts`` takes nothing in and brings ``min_out`` lamports at least.
    """

    id: str
    key: str
    wallet: str
    in_mint: str
    out_mint: str
    amount_in: int
    min_out: int
    slippage_bps_max: int
    fee_lamports_max: int
    attempts_max: int
    created_ns: int
    deadline_ns: int
    is_exit: bool
    reason: str = ""
    out_max: int = 0
    kind: IntentKind = IntentKind.SWAP
    to_address: str = ""
    accounts: tuple[OwnAccount, ...] = ()
    leaves_lamports: int = 0


class Answer(StrEnum):
    """What became of a question that was put before the operator. UNKNOWN: nobody knows it any more."""

    WAITING = "waiting"
    APPROVED = "approved"
    REFUSED = "refused"
    EXPIRED = "expired"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class ApprovalAsked:
    """A question that was put before the operator: ``id`` as the signer names it, and when it ends by itself."""

    id: str
    expires_ns: int


@dataclass(frozen=True, slots=True)
class Balances:
    """What a wallet held of what a swap touches, in base units; ``lamports`` is the native balance."""

    lamports: int
    in_units: int
    out_units: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """One signed transaction of an intent. ``raw`` are its bytes: they, and no others, are what is sent.

    ``fee_lamports`` is what the chain charges for these bytes, landed or failed (signatures, and compute price times
    limit). ``quoted_out`` is what the router offered; ``quote`` its answer as canonical JSON, kept as evidence.
    """

    intent_id: str
    number: int
    signature: str
    raw: bytes
    blockhash: str
    last_valid_block_height: int
    quoted_out: int
    fee_lamports: int
    before: Balances
    signed_ns: int
    tip_lamports: int = 0
    quote: str = ""
    state: AttemptState = AttemptState.SIGNED


@dataclass(frozen=True, slots=True)
class Settlement:
    """What a finalized transaction did to the wallet, from its balances before and after, in base units.

    ``fee_lamports`` is all that the chain charged (signatures, priority fee); ``tip_lamports`` went to a validator's
    tip account inside the transaction; ``rent_lamports`` are deposits of accounts opened (negative: closed). With the
    native coin on one side, ``in_units`` or ``out_units`` is what the swap itself took or gave, those three left out.
    A sweep takes ``in_units`` from the wallet and gives ``out_units`` to where it went.
    ``error`` is empty for a swap that happened.
    """

    intent_id: str
    signature: str
    slot: int
    block_time_s: int | None
    in_units: int
    out_units: int
    fee_lamports: int
    tip_lamports: int
    rent_lamports: int
    error: str = ""


@dataclass(frozen=True, slots=True)
class IntentRecord:
    """An intent and what is known of it. ``problem`` says why it failed or waits for a person. ``approval``: what the
    operator was asked about it, if anything, answered or not."""

    intent: Intent
    state: IntentState
    attempts: tuple[Attempt, ...] = ()
    settlement: Settlement | None = None
    problem: str = ""
    is_cancel_asked: bool = False
    approval: ApprovalAsked | None = None

    @property
    def until_ns(self) -> int:
        """The time after which no new attempt is signed: a person may take longer than the market is waited for."""
        return max(self.intent.deadline_ns, 0 if self.approval is None else self.approval.expires_ns)

    @property
    def alive(self) -> Attempt | None:
        """The attempt that may be, or become, part of the chain."""
        return next((each for each in reversed(self.attempts) if each.state in ALIVE_ATTEMPTS), None)

    @property
    def is_final(self) -> bool:
        return self.state in FINAL_INTENTS


@dataclass(frozen=True, slots=True)
class IntentEvent:
    """One line of the append-only record of what happened to intents and wallets. ``body`` is canonical JSON."""

    seq: int
    ts_ns: int
    wallet: str
    intent_id: str
    kind: str
    body: bytes
