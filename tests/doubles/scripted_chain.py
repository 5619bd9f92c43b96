"""A chain in memory that does what a test says: a first-class body of ``ports.Chain``.

Nothing moves by itself: slots are made by ``tick`` and by ``wait``, and ``on_tick`` lets a test's clock go along. Each
sending may be dropped, delayed or lose its answer, a landed transaction may vanish, and endpoints may lag, lie or be
down. Wire transactions are really parsed, their signatures checked and their instructions run, see ``scripted_bank``.
"""

import hashlib
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

import anyio
from solders.hash import Hash
from solders.transaction import VersionedTransaction
from tests.doubles.scripted_bank import INSTRUCTION_UNITS, Bank, Parsed, changes

from trading.adapters.canonical import canonical_json
from trading.errors import ChainUnavailable, SendRefused, WrongChain
from trading.model.chain import (
    AbsenceProof,
    AccountSeen,
    BlockhashSeen,
    Commitment,
    HeightSeen,
    SignatureSeen,
    Simulated,
    StatusSeen,
    TokenBalance,
    TransactionSeen,
    Witnessed,
)

WINDOW_BLOCKS: Final = 150
SLOT_S: Final = 0.4
BYTES_MAX: Final = 1_232
GENESIS: Final = "ScriptedChain1111111111111111111111111111"


class Take(Enum):
    """What becomes of a sending that the chain was handed."""

    TAKEN = "taken"
    DROPPED = "dropped"
    """Answered as if it had been taken; no leader ever sees it."""
    LOST_ANSWER = "lost answer"
    """Taken, and ChainUnavailable instead of the answer."""
    UNREACHED = "unreached"
    """ChainUnavailable, and nobody took it."""


@dataclass(frozen=True, slots=True)
class Fate:
    take: Take = Take.TAKEN
    delay_slots: int = 0


@dataclass(slots=True)
class ScriptedEndpoint:
    """``denies`` are signatures that it says it never saw; ``ahead_blocks`` is by how much it tells its heights too
    high; ``lag_slots`` by how many slots it is behind in everything."""

    name: str
    lag_slots: int = 0
    ahead_blocks: int = 0
    is_down: bool = False
    genesis: str = GENESIS
    denies: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Landed:
    parsed: Parsed
    slot: int
    error: str
    before: Bank
    after: Bank


class ScriptedChain:
    """``fates`` are taken in turn by sendings, then ``fate_always``; ``failures[method]`` counts down the calls of a
    method that are answered by ChainUnavailable. ``sent`` and ``calls`` record what was asked."""

    def __init__(self, endpoints: Sequence[str] = ("one", "two"), *, finality_slots: int = 32) -> None:
        self.bank = Bank()
        self.endpoints = [ScriptedEndpoint(name) for name in endpoints]
        self.fates: deque[Fate] = deque()
        self.fate_always = Fate()
        self.failures: Counter[str] = Counter()
        self.refusals: deque[SendRefused] = deque()
        self.priority_micro_lamports = 1_000
        self.on_tick: list[Callable[[], None]] = []
        self.sent: list[bytes] = []
        self.calls: Counter[str] = Counter()
        self.slot = 1_000
        self.skipped = 0
        self.finality_slots = finality_slots
        self.verifies = True
        self._born: dict[str, int] = {}
        self._pending: list[tuple[int, Parsed]] = []
        self._landed: dict[str, _Landed] = {}
        for height in range(self.block_height - WINDOW_BLOCKS, self.block_height + 1):
            self._blockhash_at(height)

    # What a test does to it.

    @property
    def block_height(self) -> int:
        return self.slot - self.skipped

    def tick(self, slots: int = 1) -> None:
        """Make so many slots, each with a block that takes in what is due."""
        for _ in range(slots):
            self.slot += 1
            self._blockhash_at(self.block_height)
            due = [parsed for at, parsed in self._pending if at <= self.slot]
            self._pending = [(at, parsed) for at, parsed in self._pending if at > self.slot]
            for parsed in due:
                self._include(parsed)
            for told in self.on_tick:
                told()

    def skip(self, slots: int) -> None:
        """Let slots pass in which nobody makes a block."""
        self.slot += slots
        self.skipped += slots

    def expire(self) -> None:
        """Make slots until every blockhash that was handed out so far is dead, finalized."""
        self.tick(WINDOW_BLOCKS + self.finality_slots + 2)

    def land(self, raw: bytes) -> str:
        """Put a transaction into the next block, whoever sent it; return its signature."""
        parsed = self.bank.parse(raw)
        self._pending.append((self.slot + 1, parsed))
        self.tick()
        return parsed.signature

    def vanish(self, signature: str, *, comes_back: bool = False) -> None:
        """Undo a transaction that is not finalized: its block was on a fork that died."""
        landed = self._landed.pop(signature)
        assert self._commitment(landed.slot, 0) is not Commitment.FINALIZED, "finalized is for good"
        for account, (before, after) in changes(landed.before, landed.after, landed.parsed.accounts).items():
            self.bank.lamports[account] = self.bank.lamports.get(account, 0) + before - after
        for account in landed.parsed.accounts:
            old, new = landed.before.tokens.get(account), landed.after.tokens.get(account)
            if old is None and new is not None:
                self.bank.tokens.pop(account, None)
            elif old is not None and new is None:
                self.bank.tokens[account] = old
            elif old is not None and new is not None:
                self.bank.tokens[account].units += old.units - new.units
        if comes_back:
            self._pending.append((self.slot + 1, landed.parsed))

    def landed(self, signature: str) -> bool:
        return signature in self._landed

    @property
    def swaps(self) -> int:
        """How many transactions landed without an error."""
        return sum(not each.error for each in self._landed.values())

    # The port.

    async def genesis_hash(self) -> str:
        await self._asked("genesis_hash")
        told = {each.genesis for each in self._up()}
        if len(told) > 1:
            raise WrongChain(f"the endpoints are of different clusters: {', '.join(sorted(told))}")
        return told.pop()

    async def height(self, commitment: Commitment) -> HeightSeen:
        await self._asked("height")
        return max((self._height(each, commitment) for each in self._up()), key=lambda seen: seen.slot)

    async def latest_blockhash(self) -> BlockhashSeen:
        await self._asked("latest_blockhash")
        self._up()
        height = self.block_height - 1  # confirmed
        return BlockhashSeen(self._blockhash_at(height), height + WINDOW_BLOCKS, self.slot - 1)

    async def accounts(self, addresses: Sequence[str]) -> Mapping[str, AccountSeen | None]:
        await self._asked("accounts")
        self._up()
        return {each: self.bank.account(each, self.slot) for each in addresses}

    async def simulate(self, raw: bytes, watch: Sequence[str], *, verifies: bool = True) -> Simulated:
        await self._asked("simulate")
        self._up()
        parsed = self.bank.parse(raw)
        error = self._preflight(parsed, verifies=verifies and self.verifies)
        after = self.bank
        logs: tuple[str, ...] = ()
        if error is None:
            after, error = self.bank.run(parsed)
            logs = _logs(parsed, error)
        seen = {each: after.account(each, self.slot) for each in watch}
        return Simulated(_text(error), INSTRUCTION_UNITS * len(parsed.calls), logs, seen, self.slot)

    async def send(self, raw: bytes, *, is_first: bool) -> str:
        await self._asked("send")
        self._up()
        self.sent.append(raw)
        if len(raw) > BYTES_MAX:
            raise SendRefused(f"the transaction is {len(raw)} bytes long; the most is {BYTES_MAX}")
        parsed = self.bank.parse(raw)
        if self.refusals:
            raise self.refusals.popleft()
        if is_first and parsed.signature not in self._landed:
            self._refuse(parsed)
        fate = self.fates.popleft() if self.fates else self.fate_always
        if fate.take is Take.UNREACHED:
            raise ChainUnavailable("no endpoint took the transaction")
        if fate.take is not Take.DROPPED:
            self._pending.append((self.slot + 1 + fate.delay_slots, parsed))
        # Whoever cancels the caller here has it taken by the chain and lost by the caller.
        await anyio.lowlevel.checkpoint()
        if fate.take is Take.LOST_ANSWER:
            raise ChainUnavailable("the answer was lost")
        return parsed.signature

    async def status(self, signature: str) -> StatusSeen | None:
        await self._asked("status")
        known = [seen for each in self._up() if (seen := self._status(each, signature)) is not None]
        order = list(Commitment)
        return max(known, key=lambda seen: order.index(seen.commitment), default=None)

    async def proof_of_absence(self, signature: str, last_valid_block_height: int) -> AbsenceProof | None:
        await self._asked("proof_of_absence")
        heights = []
        for each in self._up():
            height = self._height(each, Commitment.FINALIZED)
            if height.block_height > last_valid_block_height and self._status(each, signature) is None:
                heights.append(height)
        if len(heights) < min(2, len(self.endpoints)):
            return None
        return AbsenceProof(signature, last_valid_block_height, tuple(heights))

    async def transaction(self, signature: str) -> TransactionSeen | None:
        await self._asked("transaction")
        landed = self._landed.get(signature)
        for each in self._up():
            seen = self._status(each, signature)
            if landed is not None and seen is not None and seen.commitment is Commitment.FINALIZED:
                return self._transaction(landed, each)
        return None

    async def testimonies(self, signature: str) -> Sequence[Witnessed]:
        await self._asked("testimonies")
        self._up()
        return [self._testimony(each, signature) for each in self.endpoints]

    def _testimony(self, endpoint: ScriptedEndpoint, signature: str) -> Witnessed:
        if endpoint.is_down:
            return Witnessed(endpoint.name, None, "it is down")
        seen = self._status(endpoint, signature)
        landed = self._landed.get(signature)
        is_final = seen is not None and seen.commitment is Commitment.FINALIZED
        return Witnessed(endpoint.name, self._transaction(landed, endpoint) if landed and is_final else None)

    async def signatures(self, address: str, *, until: str | None, limit: int) -> Sequence[SignatureSeen]:
        await self._asked("signatures")
        endpoint = self._up()[0]
        found: list[SignatureSeen] = []
        for signature, landed in reversed(list(self._landed.items())):
            if signature == until or len(found) == limit:
                break
            is_final = self._commitment(landed.slot, endpoint.lag_slots) is Commitment.FINALIZED
            if is_final and address in landed.parsed.accounts:
                found.append(SignatureSeen(signature, landed.slot, self._time_s(landed.slot), landed.error))
        return found

    async def priority_fee(self, writable: Sequence[str]) -> int:
        await self._asked("priority_fee")
        self._up()
        return self.priority_micro_lamports

    async def wait(self, signature: str, timeout_s: float) -> None:
        """Make slots until the transaction lands or so much of the chain's time is over."""
        await anyio.lowlevel.checkpoint()
        self.calls["wait"] += 1
        was_known = signature in self._landed
        for _ in range(max(1, round(timeout_s / SLOT_S))):
            self.tick()
            if (signature in self._landed) is not was_known:
                return

    # Inside.

    async def _asked(self, method: str) -> None:
        await anyio.lowlevel.checkpoint()
        self.calls[method] += 1
        if self.failures[method] > 0:
            self.failures[method] -= 1
            raise ChainUnavailable(f"{method}: no endpoint gave a usable answer")

    def _up(self) -> list[ScriptedEndpoint]:
        up = [each for each in self.endpoints if not each.is_down]
        if not up:
            raise ChainUnavailable("every endpoint is down")
        return sorted(up, key=lambda each: each.lag_slots)

    def _blockhash_at(self, height: int) -> str:
        made = str(Hash(hashlib.sha256(f"block {height}".encode()).digest()))
        self._born.setdefault(made, height)
        return made

    def _is_alive(self, blockhash: str) -> bool:
        return blockhash in self._born and self.block_height <= self._born[blockhash] + WINDOW_BLOCKS

    def _commitment(self, slot: int, lag_slots: int) -> Commitment | None:
        age = self.slot - lag_slots - slot
        if age < 0:
            return None
        if age == 0:
            return Commitment.PROCESSED
        return Commitment.FINALIZED if age >= self.finality_slots else Commitment.CONFIRMED

    def _status(self, endpoint: ScriptedEndpoint, signature: str) -> StatusSeen | None:
        landed = self._landed.get(signature)
        if landed is None or signature in endpoint.denies:
            return None
        commitment = self._commitment(landed.slot, endpoint.lag_slots)
        if commitment is None:
            return None
        return StatusSeen(signature, landed.slot, commitment, landed.error, endpoint.name)

    def _height(self, endpoint: ScriptedEndpoint, commitment: Commitment) -> HeightSeen:
        ages = {Commitment.PROCESSED: 0, Commitment.CONFIRMED: 1, Commitment.FINALIZED: self.finality_slots}
        behind = endpoint.lag_slots + ages[commitment] - endpoint.ahead_blocks
        return HeightSeen(endpoint.name, self.slot - behind, self.block_height - behind)

    def _preflight(self, parsed: Parsed, *, verifies: bool) -> Any:
        if verifies and not all(VersionedTransaction.from_bytes(parsed.raw).verify_with_results()):
            return "SignatureFailure"
        if not self._is_alive(parsed.blockhash):
            return "BlockhashNotFound"
        lamports = self.bank.lamports.get(parsed.payer, 0)
        if lamports < parsed.fee_lamports:
            return "InsufficientFundsForFee" if lamports else "AccountNotFound"
        return None

    def _refuse(self, parsed: Parsed) -> None:
        error = self._preflight(parsed, verifies=self.verifies)
        if error is None:
            error = self.bank.run(parsed)[1]
        if error is not None:
            raise SendRefused(
                f"Transaction simulation failed: {_text(error)}", error=_text(error), logs=_logs(parsed, error)
            )

    def _include(self, parsed: Parsed) -> None:
        if parsed.signature in self._landed or self._preflight(parsed, verifies=self.verifies) is not None:
            return
        after, error = self.bank.run(parsed)
        self._landed[parsed.signature] = _Landed(parsed, self.slot, _text(error), self.bank.copied(), after.copied())
        # In place: who holds the bank goes on seeing it.
        for name in ("lamports", "tokens", "mints", "data", "tables"):
            setattr(self.bank, name, getattr(after, name))

    def _transaction(self, landed: _Landed, endpoint: ScriptedEndpoint) -> TransactionSeen:
        tokens = []
        for account in landed.parsed.accounts:
            old, new = landed.before.tokens.get(account), landed.after.tokens.get(account)
            held = new or old
            if held is not None:
                units = [None if each is None else each.units for each in (old, new)]
                tokens.append(TokenBalance(account, held.owner, held.mint, units[0], units[1]))
        return TransactionSeen(
            landed.parsed.signature,
            landed.slot,
            self._time_s(landed.slot),
            landed.error,
            landed.parsed.payer,
            changes(landed.before, landed.after, landed.parsed.accounts),
            tuple(tokens),
            _logs(landed.parsed, landed.error or None),
            landed.parsed.raw,
            endpoint.name,
            landed.parsed.fee_lamports,
        )

    def _time_s(self, slot: int) -> int:
        return 1_790_000_000 + int(slot * SLOT_S)


def _text(error: Any) -> str:
    """Return the chain's error as canonical JSON, "" for none."""
    if error is None:
        return ""
    return canonical_json({"": error}).decode()[4:-1]


def _logs(parsed: Parsed, error: Any) -> tuple[str, ...]:
    logs = tuple(f"Program {call.program} invoke [1]" for call in parsed.calls)
    return logs if error is None else (*logs, f"failed: {error}")
