"""The cluster: LiteSVM executes, and what a virtual machine has not is made here: slots, blockhashes that run out,
levels of commitment, a mempool, forks that die, and a history.

Accounts are those of the newest block, whatever commitment is asked for. One thread at a time.
"""

import hashlib
import json
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final

from solders.account import Account
from solders.clock import Clock
from solders.hash import Hash
from solders.litesvm import LiteSVM
from solders.message import Message, MessageV0
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction
from solders.transaction_metadata import FailedTransactionMetadata, SimulatedTransactionInfo, TransactionMetadata

from .registers import registers_kept
from .tokens import NATIVE_MINT, native_mint_account, token_balance

WINDOW_BLOCKS: Final = 150
"""A blockhash is good for the block it is of and this many after it."""
TRANSACTION_BYTES_MAX: Final = 1_232
BLOCK_COMPUTE_UNITS_MAX: Final = 48_000_000
COMPUTE_BUDGET: Final = Pubkey.from_string("ComputeBudget111111111111111111111111111111")
LOOKUP_TABLE_META_BYTES: Final = 56
GENESIS_TIME_S: Final = 1_767_225_600
HISTORY_LEN_MAX: Final = 200_000
EVERYBODY: Final = "*"
"""Stands for the accounts that a crowd writes."""

Rejection = tuple[str, Any, list[str]]
"""(message, error as JSON value, logs) of a transaction that a node refuses to take."""


class Level(IntEnum):
    """How settled a block is."""

    PROCESSED = 0
    CONFIRMED = 1
    FINALIZED = 2


@dataclass(frozen=True, slots=True)
class TokenChange:
    index: int
    mint: str
    owner: str
    program: str
    decimals: int
    before: int | None
    after: int | None


@dataclass(frozen=True, slots=True)
class Executed:
    """A transaction in a block: what it did to each of its accounts, in their order."""

    signature: str
    slot: int
    raw: bytes
    error: Any
    logs: tuple[str, ...]
    compute_units: int
    fee: int
    keys: tuple[str, ...]
    loaded: tuple[tuple[str, ...], tuple[str, ...]]
    before: tuple[int, ...]
    after: tuple[int, ...]
    tokens: tuple[TokenChange, ...]
    inner: Any


@dataclass(slots=True)
class _Pending:
    due_slot: int
    price: int
    number: int
    transaction: VersionedTransaction


@dataclass(slots=True)
class Block:
    slot: int
    height: int
    blockhash: str
    signatures: list[str] = field(default_factory=list)
    undo: list[tuple[Pubkey, Account | None]] = field(default_factory=list)
    prices: list[tuple[int, frozenset[str]]] = field(default_factory=list)
    """Of each transaction what it paid a compute unit, in micro-lamports, and the accounts that it wrote."""


Listener = Callable[["Cluster", Block], None]


@dataclass(frozen=True, slots=True)
class State:
    """All that a cluster goes on from, programs excepted. ``pending``: (slot from which on it is due, bytes)."""

    name: str
    slot_ms: int
    finality_slots: int
    slot: int
    height: int
    accounts: dict[Pubkey, Account]
    blocks: list[Block]
    executed: list[Executed]
    pending: list[tuple[int, bytes]]
    dies: list[int]


class Cluster:
    """``finality_slots`` is the age at which a block is finalized; at one slot it is confirmed.

    ``tick`` makes blocks; nothing happens between two of them.
    """

    def __init__(self, name: str = "rehearsal", *, slot_ms: int = 400, finality_slots: int = 32) -> None:
        self.name = name
        self.slot_ms = slot_ms
        self.finality_slots = finality_slots
        self.genesis_hash = str(Hash(hashlib.sha256(b"memmcp rehearsal chain " + name.encode()).digest()))
        self._svm = LiteSVM().with_blockhash_check(False).with_transaction_history(0)
        self._svm.set_account(NATIVE_MINT, native_mint_account())
        self.blocks: deque[Block] = deque(maxlen=WINDOW_BLOCKS * 4)
        self.executed: dict[str, Executed] = {}
        self._by_address: dict[str, list[str]] = {}
        self._heights: dict[str, int] = {}
        self._pending: dict[str, _Pending] = {}
        self._taken = 0
        self._touched: set[Pubkey] = set()
        self.slot = 0
        self.height = 0
        self.skip_next = 0
        """How many slots pass without a block."""
        self.crowd_price = 0
        """What all others pay a compute unit, in micro-lamports: blocks are full of them, and who pays less waits."""
        self.dies: set[int] = set()
        """Slots whose block is on a fork that is given up before it is final."""
        self.listeners: list[Listener] = []
        self.tick(3)

    # Time

    def tick(self, slots: int = 1) -> None:
        for _ in range(slots):
            self.slot += 1
            if self.skip_next:
                self.skip_next -= 1
                continue
            self.height += 1
            digest = hashlib.sha256(f"{self.genesis_hash}/{self.slot}".encode()).digest()
            block = Block(self.slot, self.height, str(Hash(digest)))
            self._heights[block.blockhash] = self.height
            self._svm.warp_to_slot(self.slot)
            self._svm.set_clock(Clock(self.slot, GENESIS_TIME_S, 0, 0, self.time_s(self.slot)))
            if self.crowd_price:
                block.prices.append((self.crowd_price, frozenset({EVERYBODY})))
            self._fill(block)
            self.blocks.append(block)
            dead = self.slot - max(2, self.finality_slots // 2)
            if dead in self.dies:
                self._give_up(dead)
            for listener in self.listeners:
                listener(self, block)

    def time_s(self, slot: int) -> int:
        """Return the Unix time of a slot, by the cluster's own clock."""
        return GENESIS_TIME_S + slot * self.slot_ms // 1_000

    def level(self, slot: int, at_slot: int | None = None) -> Level | None:
        """Return how settled the block of a slot is, as seen from another slot; None: it is not there yet."""
        age = (self.slot if at_slot is None else at_slot) - slot
        if age < 0:
            return None
        return Level.FINALIZED if age >= self.finality_slots else Level.CONFIRMED if age else Level.PROCESSED

    def newest(self, level: Level, at_slot: int | None = None) -> Block:
        """Return the newest block of at least that level, as seen from a slot."""
        for block in reversed(self.blocks):
            found = self.level(block.slot, at_slot)
            if found is not None and found >= level:
                return block
        return self.blocks[0]

    # Blockhashes

    def last_valid_height(self, block: Block) -> int:
        return block.height + WINDOW_BLOCKS

    def is_valid(self, blockhash: str, at: Block | None = None) -> bool:
        """Tell whether a transaction with this blockhash could go into the block after ``at`` (unset: the newest)."""
        of = self._heights.get(blockhash)
        height = self.height if at is None else at.height
        return of is not None and of <= height <= of + WINDOW_BLOCKS

    # Transactions

    def submit(self, raw: bytes, *, delay_slots: int = 0) -> str:
        """Take bytes into the mempool and return their signature; one that is there or executed is left as it is.

        Raises: ValueError for bytes that are no transaction.
        """
        transaction = VersionedTransaction.from_bytes(raw)
        signature = str(transaction.signatures[0])
        if signature not in self._pending and signature not in self.executed:
            self._taken += 1
            price, _ = budget_of(_message_of(transaction))
            self._pending[signature] = _Pending(self.slot + 1 + delay_slots, price, self._taken, transaction)
        return signature

    def check(self, transaction: VersionedTransaction, raw: bytes, hash_level: Level) -> Rejection | None:
        """Return why a node's preflight refuses a transaction, None where it would take it."""
        signature = str(transaction.signatures[0])
        if len(raw) > TRANSACTION_BYTES_MAX:
            return f"base64 encoded too large: {len(raw)} bytes (max: encoded/raw 1644/1232)", None, []
        if signature in self.executed:
            return "Transaction simulation failed: This transaction has already been processed", "AlreadyProcessed", []
        if not self.is_valid(str(transaction.message.recent_blockhash), self.newest(hash_level)):
            return "Transaction simulation failed: Blockhash not found", "BlockhashNotFound", []
        outcome = self.simulate(transaction)
        if isinstance(outcome, FailedTransactionMetadata):
            error = json.loads(outcome.to_json())["err"]
            return f"Transaction simulation failed: {outcome.err()}", error, outcome.meta().logs()
        return None

    def simulate(
        self, transaction: VersionedTransaction, *, verifies: bool = True
    ) -> SimulatedTransactionInfo | FailedTransactionMetadata:
        self._svm.with_sigverify(verifies)
        try:
            with registers_kept():
                return self._svm.simulate_transaction(transaction)
        finally:
            self._svm.with_sigverify(True)

    def history(self, address: str) -> Sequence[str]:
        """Return the signatures of executed transactions that name an address, oldest first."""
        return self._by_address.get(address, ())

    # State

    def account(self, address: Pubkey) -> Account | None:
        found = self._svm.get_account(address)
        return None if found is None or (found.lamports == 0 and not found.data) else found

    def set_account(self, address: Pubkey, account: Account) -> None:
        """Put any state in place, as no transaction could."""
        self._touched.add(address)
        self._svm.set_account(address, account)

    def airdrop(self, address: Pubkey, lamports: int) -> None:
        held = self._svm.get_account(address)
        self.set_account(
            address,
            Account((held.lamports if held else 0) + lamports, held.data if held else b"", held.owner)
            if held
            else Account(lamports, b"", Pubkey.default()),
        )

    def add_program(self, address: Pubkey, binary: bytes) -> None:
        self._svm.add_program(address, binary)

    def program_accounts(self, program: Pubkey) -> list[tuple[Pubkey, Account]]:
        return list(self._svm.get_program_accounts(program))

    def rent(self, size: int) -> int:
        return self._svm.minimum_balance_for_rent_exemption(size)

    def keys_of(self, transaction: VersionedTransaction) -> tuple[list[Pubkey], tuple[list[Pubkey], list[Pubkey]]]:
        """Return a transaction's accounts in order, and those of them that lookup tables gave (writable, readonly)."""
        message = transaction.message
        keys = list(message.account_keys)
        writable: list[Pubkey] = []
        readonly: list[Pubkey] = []
        for lookup in message.address_table_lookups if isinstance(message, MessageV0) else ():
            table = self.account(lookup.account_key)
            data = b"" if table is None else bytes(table.data)[LOOKUP_TABLE_META_BYTES:]
            entries = [Pubkey.from_bytes(data[at : at + 32]) for at in range(0, len(data) - 31, 32)]
            writable += [entries[i] for i in lookup.writable_indexes if i < len(entries)]
            readonly += [entries[i] for i in lookup.readonly_indexes if i < len(entries)]
        return keys + writable + readonly, (writable, readonly)

    # Going on later

    def state(self) -> State:
        """Return what ``at`` goes on from; nothing in it changes with the cluster but the newest blocks."""
        found = {key: self.account(key) for key in sorted(self._touched, key=bytes)}
        return State(
            name=self.name,
            slot_ms=self.slot_ms,
            finality_slots=self.finality_slots,
            slot=self.slot,
            height=self.height,
            accounts={key: each for key, each in found.items() if each and not each.executable},
            blocks=list(self.blocks),
            executed=list(self.executed.values()),
            pending=[(each.due_slot, bytes(each.transaction)) for each in self._pending.values()],
            dies=sorted(self.dies),
        )

    @classmethod
    def at(cls, state: State) -> "Cluster":
        """Return a cluster that goes on where another one stood. Its programs must be added again.

        Raises: ValueError for pending bytes that are no transaction.
        """
        made = cls(state.name, slot_ms=state.slot_ms, finality_slots=state.finality_slots)
        made.slot, made.height = state.slot, state.height
        made.blocks = deque(state.blocks, maxlen=made.blocks.maxlen)
        made._heights = {block.blockhash: block.height for block in state.blocks}
        made._svm.warp_to_slot(state.slot)
        made._svm.set_clock(Clock(state.slot, GENESIS_TIME_S, 0, 0, made.time_s(state.slot)))
        for key, account in state.accounts.items():
            made.set_account(key, account)
        for executed in state.executed:
            made.executed[executed.signature] = executed
            for name in executed.keys:
                made._by_address.setdefault(name, []).append(executed.signature)
        for due_slot, raw in state.pending:
            made.submit(raw, delay_slots=due_slot - state.slot - 1)
        made.dies = set(state.dies)
        return made

    # Inside

    def _fill(self, block: Block) -> None:
        """Execute what is due, best paid first, up to the block's compute units; what runs out is dropped."""
        due = [(signature, each) for signature, each in self._pending.items() if each.due_slot <= self.slot]
        due.sort(key=lambda item: (-item[1].price, item[1].number))
        room = BLOCK_COMPUTE_UNITS_MAX
        for signature, pending in due:
            if not self.is_valid(str(pending.transaction.message.recent_blockhash), block):
                del self._pending[signature]
                continue
            price, limit = budget_of(_message_of(pending.transaction))
            if limit > room or price < self.crowd_price:
                continue
            room -= limit
            del self._pending[signature]
            self._execute(block, signature, pending.transaction, price)

    def _execute(self, block: Block, signature: str, transaction: VersionedTransaction, price: int) -> None:
        keys, loaded = self.keys_of(transaction)
        accounts = [self._svm.get_account(key) for key in keys]
        with registers_kept():
            outcome = self._svm.send_transaction(transaction)
        failed = isinstance(outcome, FailedTransactionMetadata)
        meta: TransactionMetadata = outcome.meta() if failed else outcome  # type: ignore[union-attr, assignment]
        after = [self._svm.get_account(key) for key in keys]
        if failed and accounts == after:
            return  # no fee was paid: no leader would have taken it into a block
        payer_before, payer_after = _lamports(accounts[0]), _lamports(after[0])
        executed = Executed(
            signature=signature,
            slot=block.slot,
            raw=bytes(transaction),
            error=json.loads(outcome.to_json())["err"] if failed else None,
            logs=tuple(meta.logs()),
            compute_units=meta.compute_units_consumed(),
            fee=payer_before - payer_after if failed else fee_of(transaction),
            keys=tuple(str(key) for key in keys),
            loaded=(tuple(map(str, loaded[0])), tuple(map(str, loaded[1]))),
            before=tuple(_lamports(each) for each in accounts),
            after=tuple(_lamports(each) for each in after),
            tokens=self._token_changes(accounts, after),
            inner=json.loads(meta.to_json())["inner_instructions"],
        )
        self._touched.update(keys)
        block.undo += list(zip(keys, accounts, strict=True))
        block.signatures.append(signature)
        writable = frozenset(key for i, key in enumerate(executed.keys) if accounts[i] != after[i])
        block.prices.append((price, writable))
        self.executed[signature] = executed
        for key in executed.keys:
            self._by_address.setdefault(key, []).append(signature)
        if len(self.executed) > HISTORY_LEN_MAX:
            oldest = next(iter(self.executed))
            for key in self.executed.pop(oldest).keys:
                self._by_address[key].remove(oldest)

    def _token_changes(
        self, before: Sequence[Account | None], after: Sequence[Account | None]
    ) -> tuple[TokenChange, ...]:
        changes = []
        for index, (old, new) in enumerate(zip(before, after, strict=True)):
            held_before, held_after = token_balance(old), token_balance(new)
            known = held_after or held_before
            if known is not None:
                mint = self._svm.get_account(Pubkey.from_string(known.mint))
                decimals = bytes(mint.data)[44] if mint is not None and len(mint.data) > 44 else 0
                changes.append(
                    TokenChange(
                        index,
                        known.mint,
                        known.owner,
                        known.program,
                        decimals,
                        None if held_before is None else held_before.units,
                        None if held_after is None else held_after.units,
                    )
                )
        return tuple(changes)

    def _give_up(self, slot: int) -> None:
        """The block of a slot was on a fork that lost: what it did is undone, and nobody has its transactions."""
        self.dies.discard(slot)
        for block in self.blocks:
            if block.slot != slot:
                continue
            for key, account in reversed(block.undo):
                self._svm.set_account(key, account or Account(0, b"", Pubkey.default()))
            for signature in block.signatures:
                for name in self.executed.pop(signature).keys:
                    self._by_address[name].remove(signature)
            block.signatures.clear()
            block.undo.clear()


def budget_of(message: Message | MessageV0) -> tuple[int, int]:
    """Return (micro-lamports a compute unit, compute unit limit) that a transaction's message asks for."""
    price, limit, others = 0, 0, 0
    for instruction in message.instructions:
        if message.account_keys[instruction.program_id_index] != COMPUTE_BUDGET:
            others += 1
        elif instruction.data[:1] == b"\x02":
            limit = int.from_bytes(instruction.data[1:5], "little")
        elif instruction.data[:1] == b"\x03":
            price = int.from_bytes(instruction.data[1:9], "little")
    return price, limit or min(1_400_000, 200_000 * others)


def fee_of(transaction: VersionedTransaction) -> int:
    """Return what a transaction is charged: 5,000 lamports a signature and its compute price times its limit."""
    price, limit = budget_of(_message_of(transaction))
    return 5_000 * len(transaction.signatures) - (-price * limit // 1_000_000)


def _message_of(transaction: VersionedTransaction) -> Message | MessageV0:
    message = transaction.message
    if not isinstance(message, Message | MessageV0):
        msg = f"a {type(message).__name__} is of a version that this chain does not take"
        raise ValueError(msg)
    return message


def _lamports(account: Account | None) -> int:
    return 0 if account is None else account.lamports
