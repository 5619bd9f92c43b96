"""The seams of execution on an EVM chain: nodes, signer, journal. Bodies are in ``trading.adapters.evm``."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from trading.model.evm import (
    BlockSeen,
    EvmAttempt,
    EvmIntent,
    EvmRecord,
    EvmSettlement,
    EvmState,
    EvmTx,
    PoolRef,
    Receipt,
)

from .pools import Pool


@dataclass(frozen=True, slots=True)
class PoolSeen:
    """A pool as it was after one block, every part of it read there."""

    ref: PoolRef
    block: BlockSeen
    pool: Pool


class EvmChain(Protocol):
    """An EVM chain through however many nodes. Nothing is ever concluded from an error.

    Every method raises ChainUnavailable where no node gave a usable answer, or two contradict each other.
    """

    async def head(self) -> BlockSeen:
        """Return the newest block. Raises: ChainUnavailable also for one that is older than it may be."""

    async def block(self, at: int | str) -> BlockSeen | None:
        """Return a block by its number or tag (safe, finalized); None for one that is not there."""

    async def nonces(self, account: str) -> tuple[int, int]:
        """Return how many transactions of the account are in blocks, the least that a node says, and how many with
        those that wait, the most that one says."""

    async def nonce_at(self, account: str, number: int) -> int:
        """Return how many transactions of the account were in blocks at a block's number, the least that is said."""

    async def receipt(self, tx_hash: str) -> Receipt | None:
        """Return a receipt of a block that is part of the chain now; None where no node has one."""

    async def send(self, raw: bytes) -> None:
        """Hand the bytes to every node. Sending them again is harmless. Raises: SendRefused where none took them."""


class EvmReader(Protocol):
    """Reads pools. Raises: ChainUnavailable, RouteRefused where there is no such pool."""

    async def read(self, ref: PoolRef) -> PoolSeen: ...

    async def is_current(self, block: BlockSeen) -> bool:
        """Tell whether a block is part of the chain and not too old."""


class EvmHoldings(Protocol):
    """What an account holds. Raises: ChainUnavailable."""

    async def balances(self, account: str, tokens: Sequence[str]) -> tuple[int, ...]:
        """Return the account's smallest units of each token, at the newest block."""

    async def wei(self, account: str) -> int:
        """Return what the account can pay gas with, at the newest block."""


class EvmSigner(Protocol):
    """Holds a key and never gives it out; looks at what it signs. Raises: SigningRefused, NotArmed."""

    @property
    def account(self) -> str: ...

    def sign(self, tx: EvmTx, intent: EvmIntent, now_ns: int) -> tuple[str, bytes]:
        """Return the hash and the bytes of the signed transaction."""


class EvmPreparer(Protocol):
    """Turns an open intent into a transaction that passed every check. It signs nothing, sends nothing.

    Raises: RouteRefused, SigningRefused, InvalidInput where this intent is not to be signed; ChainUnavailable.
    """

    async def allowance(self, intent: EvmIntent) -> int:
        """Return how much of the given token the router may take now."""

    async def first(self, known: EvmRecord, nonce: int) -> tuple[EvmTx, int, int]:
        """Return the transaction, what the pool offers for it, and at which block."""

    async def dearer(self, known: EvmRecord) -> EvmTx | None:
        """Return the same call with fees that replace the newest attempt, None where the intent's cap forbids them."""

    async def emptying(self, known: EvmRecord) -> EvmTx | None:
        """Return the transaction that does nothing but use up the nonce, None where the cap forbids it."""

    def settled(self, known: EvmRecord, receipt: Receipt) -> EvmSettlement:
        """Return what a successful transaction did. Raises: DataError where that is not what was wished."""


class EvmJournal(Protocol):
    """What is owed to the chain. Each method is one durable transaction. Raises: JournalUnavailable;
    IllegalTransition for a step that ``EVM_STEPS`` does not know, and nothing has changed then."""

    def open(self, intent: EvmIntent) -> EvmRecord:
        """Take an intent in, or return what is known under its key. Raises: InvalidInput for a key that stands for
        another wish, or an account that is halted."""

    def record(self, intent_id: str) -> EvmRecord: ...

    def by_key(self, key: str) -> EvmRecord | None: ...

    def unfinished(self, account: str) -> Sequence[EvmRecord]:
        """Return the account's intents that are not final, oldest first; those too whose block is still watched."""

    def signed(self, attempt: EvmAttempt) -> None:
        """Write the bytes down, before they are sent. Raises: IllegalTransition while another intent of the account
        holds a nonce, for a nonce that was used before, and for one that is not the intent's own."""

    def landed(self, intent_id: str, receipt: Receipt) -> None: ...

    def vanished(self, intent_id: str, why: str) -> None:
        """A landed transaction is in no block any more: it is pending as before."""

    def settled(self, intent_id: str, state: EvmState, settlement: EvmSettlement, problem: str) -> None:
        """CONFIRMED, REVERTED or CANCELLED, with what it did and cost."""

    def finalized(self, intent_id: str) -> None:
        """The block of an intent that was told cannot be taken away any more."""

    def ended(self, intent_id: str, state: EvmState, problem: str) -> None:
        """FAILED, CANCELLED or REPLACED: nothing of it is, or can come, on chain."""

    def needs_review(self, intent_id: str, problem: str) -> None:
        """Stop an intent until a person answers, and halt its account."""

    def ask_to_cancel(self, intent_id: str) -> None: ...

    def halt(self, account: str, problem: str) -> None: ...

    def halted(self, account: str) -> str:
        """Return why nothing is signed for an account, "" where it may be."""

    def next_nonce(self, account: str) -> int | None:
        """Return the nonce after the highest that was used by us, None where there was none."""

    def given(self, account: str, token: str, since_ns: int) -> int:
        """Return how much of a token was or may be given by swaps that were signed since."""
