"""What the desk says and hears of an EVM chain: pools, blocks, receipts, and what is owed to the chain exactly once.

Amounts are smallest units of an ERC-20, gas and fees are wei, times nanoseconds since 1970. Addresses are lower-case
hex with 0x. All attempts of one intent have one nonce, so the chain itself takes at most one of them:
``OPEN -> PENDING -> LANDED -> CONFIRMED -> FINALIZED``, or ``REVERTED``, ``CANCELLED``, ``REPLACED``.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

BASE_CHAIN_ID: Final = 8_453
LIVE_CHAINS: Final = frozenset({BASE_CHAIN_ID})
"""Chains whose coins are worth something. Any other is a rehearsal."""
WEI_MAX: Final = (1 << 128) - 1
_ADDRESS: Final = re.compile("0x[0-9a-f]{40}", re.ASCII)
_HASH: Final = re.compile("0x[0-9a-f]{64}", re.ASCII)


def address_of(text: str, name: str = "address") -> str:
    """Return an address in the one spelling that is used here. Raises: ValueError."""
    found = text.lower() if isinstance(text, str) else ""
    if not _ADDRESS.fullmatch(found):
        msg = f"{name}: 0x and 40 hex digits, not {str(text)[:60]!r}"
        raise ValueError(msg)
    return found


def is_hash(text: object) -> bool:
    return isinstance(text, str) and _HASH.fullmatch(text) is not None


class PoolKind(StrEnum):
    """CONSTANT_PRODUCT: as Uniswap v2. CONCENTRATED: as Uniswap v3."""

    CONSTANT_PRODUCT = "constant_product"
    CONCENTRATED = "concentrated"


@dataclass(frozen=True, slots=True)
class PoolRef:
    """Where a pool is and what never changes of it; ``spacing`` is 0 for a constant product."""

    address: str
    kind: PoolKind
    token_0: str
    token_1: str
    fee_ppm: int
    spacing: int = 0


@dataclass(frozen=True, slots=True)
class BlockSeen:
    number: int
    hash: str
    parent_hash: str
    time_s: int
    base_fee_wei: int


@dataclass(frozen=True, slots=True)
class Log:
    address: str
    topics: tuple[str, ...]
    data: bytes


@dataclass(frozen=True, slots=True)
class Receipt:
    """``fee_wei`` is all that the chain charged: gas, and on Base what the data cost on the chain below (``l1_fee_wei``
    of it)."""

    tx_hash: str
    block_number: int
    block_hash: str
    is_success: bool
    gas_used: int
    fee_wei: int
    l1_fee_wei: int
    logs: tuple[Log, ...]


class EvmKind(StrEnum):
    """SWAP: tokens for tokens. ALLOW: the router may take exactly ``amount_in`` of ``in_token``."""

    SWAP = "swap"
    ALLOW = "allow"


class EvmState(StrEnum):
    """OPEN: nothing of it can be on chain. PENDING: signed, in no block that we know. LANDED: in a block, not yet deep
    enough. CONFIRMED: deep enough to act on, its amounts are told. FINALIZED: no reorganisation can take it back.
    REVERTED: deep enough, failed, its gas is booked. CANCELLED: its nonce was used up by our own empty transaction, or
    nothing was signed because it was asked for. REPLACED: its nonce was used up by a transaction that is not ours.
    FAILED: given up before anything was signed. NEEDS_REVIEW: unknown, a person has to look; the account halts."""

    OPEN = "open"
    PENDING = "pending"
    LANDED = "landed"
    CONFIRMED = "confirmed"
    FINALIZED = "finalized"
    REVERTED = "reverted"
    CANCELLED = "cancelled"
    REPLACED = "replaced"
    FAILED = "failed"
    NEEDS_REVIEW = "needs_review"


EVM_STEPS: Final = frozenset(
    {
        (EvmState.OPEN, EvmState.PENDING),
        (EvmState.OPEN, EvmState.FAILED),
        (EvmState.OPEN, EvmState.CANCELLED),
        (EvmState.PENDING, EvmState.LANDED),
        (EvmState.PENDING, EvmState.REPLACED),
        (EvmState.PENDING, EvmState.NEEDS_REVIEW),
        (EvmState.LANDED, EvmState.PENDING),  # a block that vanished took it along
        (EvmState.LANDED, EvmState.CONFIRMED),
        (EvmState.LANDED, EvmState.REVERTED),
        (EvmState.LANDED, EvmState.CANCELLED),
        (EvmState.LANDED, EvmState.NEEDS_REVIEW),
        (EvmState.CONFIRMED, EvmState.FINALIZED),
        (EvmState.CONFIRMED, EvmState.NEEDS_REVIEW),  # what was acted on vanished
        (EvmState.REVERTED, EvmState.NEEDS_REVIEW),
        (EvmState.CANCELLED, EvmState.NEEDS_REVIEW),
        (EvmState.NEEDS_REVIEW, EvmState.PENDING),  # a person answered: go on with the same nonce
        (EvmState.NEEDS_REVIEW, EvmState.FINALIZED),  # or: it is as it is, and booked by hand
    }
)
"""Every step that an intent may take."""
FINAL: Final = frozenset(
    {EvmState.FINALIZED, EvmState.REVERTED, EvmState.CANCELLED, EvmState.REPLACED, EvmState.FAILED}
)
BURIED_LATER: Final = frozenset({EvmState.CONFIRMED, EvmState.REVERTED, EvmState.CANCELLED})
"""Deep enough to be told, and watched until no reorganisation can take it back."""
HOLDS_NONCE: Final = frozenset({EvmState.PENDING, EvmState.LANDED, EvmState.NEEDS_REVIEW})
"""While one intent of an account stands so, no other of it is signed."""
IN_FLIGHT: Final = frozenset({EvmState.PENDING, EvmState.LANDED})
TOLD: Final = frozenset({EvmState.CONFIRMED, EvmState.FINALIZED})
"""Its amounts are known and may be acted on."""


@dataclass(frozen=True, slots=True)
class EvmIntent:
    """``key`` is the caller's idempotency key: the same key is the same intent.

    Exactly ``amount_in`` of ``in_token`` for at least ``min_out`` of ``out_token`` through ``pool``. ``fee_wei_max``
    bounds what one attempt may cost, failed or not. After ``deadline_ns`` the router itself refuses the swap, and no
    attempt but the one that uses up the nonce is signed.
    """

    id: str
    key: str
    account: str
    pool: PoolRef
    in_token: str
    out_token: str
    amount_in: int
    min_out: int
    fee_wei_max: int
    attempts_max: int
    created_ns: int
    deadline_ns: int
    kind: EvmKind = EvmKind.SWAP
    reason: str = ""


@dataclass(frozen=True, slots=True)
class EvmTx:
    """A transaction of EIP-1559 before it is signed. Its ether value is always 0."""

    chain_id: int
    nonce: int
    to: str
    data: bytes
    gas: int
    max_fee_wei: int
    tip_wei: int

    @property
    def gas_wei_max(self) -> int:
        return self.gas * self.max_fee_wei


@dataclass(frozen=True, slots=True)
class EvmAttempt:
    """One signed transaction of an intent; ``raw`` are its bytes. ``is_cancel``: it does nothing but use up the nonce.
    ``quoted_out`` is what the pool offered at ``quoted_block``."""

    intent_id: str
    number: int
    nonce: int
    tx_hash: str
    raw: bytes
    max_fee_wei: int
    tip_wei: int
    gas: int
    signed_ns: int
    quoted_out: int = 0
    quoted_block: int = 0
    is_cancel: bool = False


@dataclass(frozen=True, slots=True)
class EvmSettlement:
    """What a deep enough transaction did, from its own logs: ``amount_in`` left the account, ``amount_out`` came, and
    ``fee_wei`` was charged, exactly. A failed one has amounts of 0."""

    intent_id: str
    tx_hash: str
    block_number: int
    block_hash: str
    amount_in: int
    amount_out: int
    fee_wei: int
    l1_fee_wei: int


@dataclass(frozen=True, slots=True)
class EvmRecord:
    """An intent and what is known of it. ``landed_in`` is the block that holds it, as (number, hash); ``is_buried``: no
    reorganisation can take that block away."""

    intent: EvmIntent
    state: EvmState
    attempts: tuple[EvmAttempt, ...] = ()
    settlement: EvmSettlement | None = None
    problem: str = ""
    is_cancel_asked: bool = False
    landed_in: tuple[int, str] | None = None
    is_buried: bool = False

    @property
    def is_watched(self) -> bool:
        """Whether it is told and its block may still be taken away."""
        return self.state in BURIED_LATER and self.landed_in is not None and not self.is_buried

    @property
    def is_final(self) -> bool:
        return self.state in FINAL and not self.is_watched

    @property
    def nonce(self) -> int | None:
        return self.attempts[-1].nonce if self.attempts else None


@dataclass(frozen=True, slots=True)
class EvmMandate:
    """What the operator allows an account to do on one chain. All bounds are inclusive.

    ``token_max`` bounds one swap and ``token_day_max`` what any 24 hours give, by the token that is given; a token
    without a bound is not given. A key of a chain whose coins are worth something signs until ``armed_until_ns`` only.
    """

    chain_id: int
    account: str
    router: str
    pools: tuple[PoolRef, ...]
    token_max: dict[str, int]
    token_day_max: dict[str, int]
    fee_wei_max: int
    armed_until_ns: int = 0
    gas_max: int = 1_000_000

    @property
    def is_live(self) -> bool:
        return self.chain_id in LIVE_CHAINS
