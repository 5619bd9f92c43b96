"""The least chain with what is no swap: lamports that are sent, and the wallet's token account that is closed."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.doubles.plain_chain import FEE_LAMPORTS, RENT_LAMPORTS, TOKEN, PlainChain, PlainPreparer, _Landed

from trading.errors import InvalidInput
from trading.model.chain import TransactionSeen
from trading.model.intent import SOL_MINT, Attempt, Balances, Intent, IntentKind, IntentRecord, OwnAccount

COLD = "Co1dAddress11111111111111111111111111111111"
PROGRAM = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"


@dataclass
class UpkeepChain(PlainChain):
    """``cold`` holds what was swept; ``upkeep`` lists the signatures that did something, each once."""

    cold: int = 0
    upkeep: list[str] = field(default_factory=list)

    def open_account(self, wallet: str) -> OwnAccount:
        self._has_account.add(wallet)
        return OwnAccount(f"ata-{wallet}", TOKEN, PROGRAM)

    def preparer(self) -> "ChainPreparer":
        return ChainPreparer(self)

    def _land(self, signature: str, raw: bytes) -> None:
        body = json.loads(raw)
        if body.get("kind", "swap") == "swap":
            super()._land(signature, raw)
            return
        if signature in self.landed or self.slot > body["last_valid"]:
            return
        wallet, account = body["wallet"], f"ata-{body['wallet']}"
        held, cold = self.wallets[wallet], self.cold
        before, deposit = held[0], RENT_LAMPORTS if wallet in self._has_account else 0
        held[0] -= body["fee"]
        error = self.refusal(body)
        if not error and body["kind"] == "sweep":
            held[0] -= body["amount_in"]
            self.cold += body["amount_in"]
        elif not error:
            held[0] += deposit
            self._has_account.discard(wallet)
        self.upkeep += [] if error else [signature]
        after = RENT_LAMPORTS if wallet in self._has_account else 0
        lamports = {wallet: (before, held[0]), account: (deposit, after), COLD: (cold, self.cold)}
        seen = TransactionSeen(signature, self.slot, None, error, wallet, lamports, (), raw=raw)
        self.landed[signature] = _Landed(self.slot, error, seen)
        self.history.setdefault(wallet, []).append(signature)

    def refusal(self, body: Mapping[str, Any]) -> str:
        lamports, units = self.wallets[body["wallet"]]
        if body["kind"] == "sweep":
            return "" if lamports >= body["amount_in"] else '"InsufficientFunds"'
        return "" if body["wallet"] in self._has_account and not units else '{"InstructionError":[2,{"Custom":11}]}'


class ChainPreparer(PlainPreparer):
    """Prepares all three kinds."""

    def __init__(self, chain: UpkeepChain) -> None:
        super().__init__(chain)
        self._upkeep = chain

    async def prepare(self, known: IntentRecord) -> Attempt:
        intent, chain = known.intent, self._upkeep
        if intent.kind is IntentKind.SWAP:
            return await super().prepare(known)
        blockhash = await chain.latest_blockhash()
        body: dict[str, Any] = {
            "kind": intent.kind.value,
            "wallet": intent.wallet,
            "amount_in": intent.amount_in,
            "fee": FEE_LAMPORTS,
            "last_valid": blockhash.last_valid_block_height,
            "number": len(known.attempts) + 1,
        }
        if error := chain.refusal(body):
            raise InvalidInput(error, field="accounts")
        body["signature"] = hashlib.sha256(json.dumps({**body, "intent": intent.id}).encode()).hexdigest()
        return Attempt(
            intent.id,
            body["number"],
            body["signature"],
            json.dumps(body).encode(),
            blockhash.blockhash,
            blockhash.last_valid_block_height,
            intent.min_out,
            FEE_LAMPORTS,
            Balances(chain.wallets[intent.wallet][0], 0, 0),
            chain.now_ns(),
        )


def keeping_up(chain: UpkeepChain, wallet: str, kind: IntentKind, lamports: int = 0) -> Intent:
    """Return the intent to sweep so much, or to close the wallet's account, good for ten minutes."""
    is_sweep = kind is IntentKind.SWEEP
    return Intent(
        id=f"int_{kind.value}",
        key=f"upkeep/{wallet}/{kind.value}/1",
        wallet=wallet,
        in_mint=SOL_MINT,
        out_mint=SOL_MINT,
        amount_in=lamports,
        min_out=lamports if is_sweep else RENT_LAMPORTS,
        slippage_bps_max=0,
        fee_lamports_max=50_000,
        attempts_max=3,
        created_ns=chain.now_ns(),
        deadline_ns=chain.now_ns() + 600 * 10**9,
        is_exit=False,
        kind=kind,
        to_address=COLD if is_sweep else "",
        accounts=() if is_sweep else (chain.open_account(wallet),),
    )
