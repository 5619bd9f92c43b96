"""The least chain there is, for thousands of lives of an executor: one pool, wallets, time that moves by waiting only.

Its transactions are JSON: what they say is done when they land. Endpoints may lag, lie, be away, drop what they are
sent, take it late or lose their answer. Bodies of ``ports.Chain`` and of the executor's ``Preparer``. The chain that
reads real transactions is ``scripted_chain``.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trading.errors import ChainUnavailable, RouteRefused, SendRefused
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
from trading.model.intent import SOL_MINT, Attempt, Balances, Intent, IntentRecord

SLOT_NS = 400_000_000
START_NS = 1_800_000_000_000_000_000
WINDOW_BLOCKS = 150
FINAL_SLOTS = 32
TOKEN = "Token11111111111111111111111111111111111111"
GENESIS = "scripted"
FEE_LAMPORTS = 5_200
RENT_LAMPORTS = 2_039_280


@dataclass
class Endpoint:
    """What one endpoint does wrong; counters run down, the rest stays. ``lag_slots``: how far it is behind."""

    name: str
    lag_slots: int = 0
    away_calls: int = 0
    drops_sends: int = 0
    loses_answers: int = 0
    takes_late_slots: int = 0
    denies: bool = False
    """It knows no transaction, and says that it is far ahead."""
    genesis: str = GENESIS


@dataclass
class _Landed:
    slot: int
    error: str
    seen: TransactionSeen


@dataclass
class PlainChain:
    """``pool``: (lamports, base units) of its constant-product pool without a fee; ``wallets``: [lamports, units]."""

    endpoints: list[Endpoint] = field(default_factory=lambda: [Endpoint("a"), Endpoint("b")])
    pool: list[int] = field(default_factory=lambda: [1_000 * 10**9, 10**15])
    wallets: dict[str, list[int]] = field(default_factory=dict)
    slot: int = 1_000
    dies_at_slot: int | None = None
    """The block of this slot is confirmed, and gone ``FINAL_SLOTS // 2`` slots later."""
    slots_per_wait: int = 2

    def __post_init__(self) -> None:
        self.landed: dict[str, _Landed] = {}
        self.history: dict[str, list[str]] = {}
        self.swaps: list[tuple[str, str]] = []
        """(wallet, signature) of every swap that stands."""
        self._waiting: dict[str, tuple[int, bytes]] = {}
        self._has_account: set[str] = set()
        self.sends = 0

    def now_ns(self) -> int:
        return START_NS + self.slot * SLOT_NS

    def tick(self, slots: int = 1) -> None:
        """Make blocks; what waits for one of them lands in it, those that came first first."""
        for _ in range(slots):
            self.slot += 1
            for signature, (slot, raw) in sorted(self._waiting.items(), key=lambda each: each[1][0]):
                if slot <= self.slot:
                    del self._waiting[signature]
                    self._land(signature, raw)
            if self.dies_at_slot is not None and self.slot == self.dies_at_slot + FINAL_SLOTS // 2:
                self._forget(self.dies_at_slot)

    def deposit(self, wallet: str, lamports: int, *, payer: str = "friend") -> str:
        """Move lamports to a wallet, by a transaction that is not ours unless ``payer`` is the wallet."""
        signature = f"deposit-{wallet}-{self.slot}-{len(self.landed)}"
        held = self.wallets.setdefault(wallet, [0, 0])
        before = held[0]
        held[0] += lamports
        seen = TransactionSeen(signature, self.slot, None, "", payer, {wallet: (before, held[0])}, ())
        self.landed[signature] = _Landed(self.slot, "", seen)
        self.history.setdefault(wallet, []).append(signature)
        return signature

    def preparer(self) -> "PlainPreparer":
        return PlainPreparer(self)

    # -- ports.Chain

    async def genesis_hash(self) -> str:
        return self._any().genesis

    async def height(self, commitment: Commitment) -> HeightSeen:
        endpoint = self._any()
        return self._height(endpoint, commitment)

    async def latest_blockhash(self) -> BlockhashSeen:
        self._any()
        return BlockhashSeen(f"hash-{self.slot}", self.slot + WINDOW_BLOCKS, self.slot)

    async def accounts(self, addresses: Sequence[str]) -> Mapping[str, AccountSeen | None]:
        self._any()
        found: dict[str, AccountSeen | None] = dict.fromkeys(addresses)
        for address in addresses:
            if address in self.wallets:
                found[address] = AccountSeen(address, "system", self.wallets[address][0], b"", False, self.slot)
        return found

    async def simulate(self, raw: bytes, watch: Sequence[str], *, verifies: bool = True) -> Simulated:
        self._any()
        return Simulated(self._outcome(json.loads(raw))[0], 50_000, (), dict.fromkeys(watch), self.slot)

    async def send(self, raw: bytes, *, is_first: bool) -> str:
        self.sends += 1
        body = json.loads(raw)
        taken = lost = refused = 0
        for endpoint in self.endpoints:
            if endpoint.away_calls > 0:
                endpoint.away_calls -= 1
                continue
            if endpoint.drops_sends > 0:
                endpoint.drops_sends -= 1
                taken += 1  # it says that it took it
                continue
            if is_first and self.slot - endpoint.lag_slots > body["last_valid"]:
                refused += 1
                continue
            slot = self.slot + 1 + endpoint.takes_late_slots
            if body["signature"] not in self._waiting and body["signature"] not in self.landed:
                self._waiting[body["signature"]] = (slot, raw)
            if endpoint.loses_answers > 0:
                endpoint.loses_answers -= 1
                lost += 1
            else:
                taken += 1
        if taken:
            return str(body["signature"])
        if refused:
            raise SendRefused("blockhash not found", error='"BlockhashNotFound"')
        raise ChainUnavailable(f"{lost} answers were lost")

    async def status(self, signature: str) -> StatusSeen | None:
        asked = [each for each in self.endpoints if not self._is_away(each)]
        if not asked:
            raise ChainUnavailable("no endpoint answers")
        found = [status for each in asked if (status := self._status(each, signature)) is not None]
        order = list(Commitment)
        return max(found, key=lambda each: order.index(each.commitment), default=None)

    async def proof_of_absence(self, signature: str, last_valid_block_height: int) -> AbsenceProof | None:
        heights = []
        for endpoint in self.endpoints:
            if self._is_away(endpoint):
                continue
            height = self._height(endpoint, Commitment.FINALIZED)
            if height.block_height > last_valid_block_height and self._status(endpoint, signature) is None:
                heights.append(height)
        if len(heights) < min(2, len(self.endpoints)):
            return None
        return AbsenceProof(signature, last_valid_block_height, tuple(heights))

    async def transaction(self, signature: str) -> TransactionSeen | None:
        for endpoint in self.endpoints:
            if self._is_away(endpoint):
                continue
            status = self._status(endpoint, signature)
            if status is not None and status.commitment is Commitment.FINALIZED:
                return self.landed[signature].seen
        return None

    async def testimonies(self, signature: str) -> Sequence[Witnessed]:
        found = []
        for endpoint in self.endpoints:
            if self._is_away(endpoint):
                found.append(Witnessed(endpoint.name, None, "it is away"))
                continue
            status = self._status(endpoint, signature)
            is_final = status is not None and status.commitment is Commitment.FINALIZED
            found.append(Witnessed(endpoint.name, self.landed[signature].seen if is_final else None))
        if all(each.problem for each in found):
            raise ChainUnavailable("no endpoint answers")
        return found

    async def signatures(self, address: str, *, until: str | None, limit: int) -> Sequence[SignatureSeen]:
        self._any()
        found = []
        for signature in reversed(self.history.get(address, [])):
            if signature == until or len(found) == limit:
                break
            landed = self.landed[signature]
            if landed.slot + FINAL_SLOTS <= self.slot:
                found.append(SignatureSeen(signature, landed.slot, None, landed.error))
        return found

    async def priority_fee(self, writable: Sequence[str]) -> int:
        self._any()
        return 1_000

    async def wait(self, signature: str, timeout_s: float) -> None:
        self.tick(self.slots_per_wait)

    # -- inside

    def _is_away(self, endpoint: Endpoint) -> bool:
        if endpoint.away_calls > 0:
            endpoint.away_calls -= 1
            return True
        return False

    def _any(self) -> Endpoint:
        for endpoint in self.endpoints:
            if not self._is_away(endpoint):
                return endpoint
        raise ChainUnavailable("no endpoint answers")

    def _height(self, endpoint: Endpoint, commitment: Commitment) -> HeightSeen:
        behind = FINAL_SLOTS if commitment is Commitment.FINALIZED else 0
        height = self.slot - endpoint.lag_slots - behind + (10_000 if endpoint.denies else 0)
        return HeightSeen(endpoint.name, height, height)

    def _status(self, endpoint: Endpoint, signature: str) -> StatusSeen | None:
        landed = self.landed.get(signature)
        age = -1 if landed is None else self.slot - endpoint.lag_slots - landed.slot
        if landed is None or age < 0 or endpoint.denies:
            return None
        level = Commitment.FINALIZED if age >= FINAL_SLOTS else Commitment.CONFIRMED if age else Commitment.PROCESSED
        return StatusSeen(signature, landed.slot, level, landed.error, endpoint.name)

    def _outcome(self, body: Mapping[str, Any]) -> tuple[str, int]:
        lamports, units = self.wallets[body["wallet"]]
        is_buy = body["in_mint"] == SOL_MINT
        fees = body["fee"] + (RENT_LAMPORTS if is_buy and body["wallet"] not in self._has_account else 0)
        if body["amount_in"] + fees > lamports if is_buy else body["amount_in"] > units:
            return '{"InstructionError":[2,{"Custom":1}]}', 0
        have, want = self.pool if is_buy else reversed(self.pool)
        out = want * body["amount_in"] // (have + body["amount_in"])
        return ('{"InstructionError":[2,{"Custom":6001}]}', 0) if out < body["min_out"] else ("", out)

    def _land(self, signature: str, raw: bytes) -> None:
        body = json.loads(raw)
        if signature in self.landed or self.slot > body["last_valid"]:
            return
        wallet = body["wallet"]
        held = self.wallets[wallet]
        before = list(held)
        error, out = self._outcome(body)
        held[0] -= body["fee"]
        account_before = RENT_LAMPORTS if wallet in self._has_account else 0
        if not error:
            is_buy = body["in_mint"] == SOL_MINT
            if is_buy and not account_before:
                held[0] -= RENT_LAMPORTS
                self._has_account.add(wallet)
            sign = 1 if is_buy else -1
            lamports, units = (body["amount_in"], out) if is_buy else (out, body["amount_in"])
            held[0] -= sign * lamports
            held[1] += sign * units
            self.pool[0] += sign * lamports
            self.pool[1] -= sign * units
            self.swaps.append((wallet, signature))
        account_after = RENT_LAMPORTS if wallet in self._has_account else 0
        account = f"ata-{wallet}"
        token = TokenBalance(account, wallet, TOKEN, before[1] if account_before else None, held[1])
        seen = TransactionSeen(
            signature,
            self.slot,
            None,
            error,
            wallet,
            {wallet: (before[0], held[0]), account: (account_before, account_after)},
            (token,) if account_after else (),
            raw=raw,
        )
        self.landed[signature] = _Landed(self.slot, error, seen)
        self.history.setdefault(wallet, []).append(signature)

    def _forget(self, slot: int) -> None:
        """Undo the block of a slot: newer blocks do not rest on it in this script."""
        for signature, landed in [each for each in self.landed.items() if each[1].slot == slot]:
            seen, body = landed.seen, json.loads(landed.seen.raw)
            held = self.wallets[seen.payer]
            held[0] += seen.lamports[seen.payer][0] - seen.lamports[seen.payer][1]
            if not seen.error:
                token = seen.tokens[0]
                change = (token.after_units or 0) - (token.before_units or 0)
                held[1] -= change
                self.pool[1] += change
                rent = seen.lamports[token.account][1] - seen.lamports[token.account][0]
                gone = seen.lamports[seen.payer][0] - seen.lamports[seen.payer][1] - body["fee"] - rent
                self.pool[0] -= gone
                if rent:
                    self._has_account.discard(seen.payer)
                self.swaps.remove((seen.payer, signature))
            del self.landed[signature]
            self.history[seen.payer].remove(signature)


class PlainPreparer:
    """Quotes the chain's pool as it is now, and signs by hashing."""

    def __init__(self, chain: PlainChain) -> None:
        self._chain = chain
        self.prepared = 0

    async def prepare(self, known: IntentRecord) -> Attempt:
        intent, number = known.intent, len(known.attempts) + 1
        blockhash = await self._chain.latest_blockhash()
        body = {
            "wallet": intent.wallet,
            "in_mint": intent.in_mint,
            "amount_in": intent.amount_in,
            "min_out": intent.min_out,
            "fee": FEE_LAMPORTS,
            "last_valid": blockhash.last_valid_block_height,
            "number": number,
        }
        error, out = self._chain._outcome(body)
        if error:
            raise RouteRefused(f"the pool does not give that: {error}", reason="price_moved")
        self.prepared += 1
        body["signature"] = hashlib.sha256(json.dumps({**body, "intent": intent.id}).encode()).hexdigest()
        held = self._chain.wallets[intent.wallet]
        return Attempt(
            intent.id,
            number,
            str(body["signature"]),
            json.dumps(body).encode(),
            blockhash.blockhash,
            blockhash.last_valid_block_height,
            out,
            FEE_LAMPORTS,
            Balances(held[0], 0, held[1]),
            self._chain.now_ns(),
        )


def buying(chain: PlainChain, wallet: str, lamports: int, name: str = "one", slippage_bps: int = 300) -> Intent:
    """Return the intent to buy the script's token for so much, good for ten minutes."""
    out = chain.pool[1] * lamports // (chain.pool[0] + lamports)
    return Intent(
        id=f"int_{name}",
        key=f"run/{name}",
        wallet=wallet,
        in_mint=SOL_MINT,
        out_mint=TOKEN,
        amount_in=lamports,
        min_out=out * (10_000 - slippage_bps) // 10_000,
        slippage_bps_max=slippage_bps,
        fee_lamports_max=50_000,
        attempts_max=3,
        created_ns=chain.now_ns(),
        deadline_ns=chain.now_ns() + 600 * 10**9,
        is_exit=False,
    )
