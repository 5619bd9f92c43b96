"""Sweeps and closings of accounts, built by hand so that a test can bend any part of one."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.message import MessageV0, to_bytes_versioned
from solders.pubkey import Pubkey

from tests.support.signing import COLD, OTHER_TOKEN, SOL, TOKEN, WALLET
from tests.support.swap_messages import ME, budget, transfer
from trading.execution.verifier import TOKEN_PROGRAMS, associated
from trading.model.chain import AccountSeen, SignWanted
from trading.model.intent import SOL_MINT, IntentKind, OwnAccount

SWEPT = SOL // 2
PLAIN, EXTENDED = TOKEN_PROGRAMS
COLD_KEY = Pubkey.from_string(COLD)


def own(mint: str = TOKEN, program: str = PLAIN, owner: str = WALLET) -> OwnAccount:
    return OwnAccount(associated(owner, mint, program), mint, program)


ACCOUNTS = (own(), own(OTHER_TOKEN, EXTENDED))


def closing(account: OwnAccount, to: Pubkey = ME, authority: Pubkey = ME) -> Instruction:
    metas = [
        AccountMeta(Pubkey.from_string(account.address), False, True),
        AccountMeta(to, to == ME, True),
        AccountMeta(authority, True, False),
    ]
    return Instruction(Pubkey.from_string(account.program), b"\x09", metas)


def message(parts: Sequence[Instruction], payer: Pubkey = ME) -> bytes:
    return bytes(to_bytes_versioned(MessageV0.try_compile(payer, list(parts), [], Hash.default())))


def sweep_parts() -> list[Instruction]:
    return [*budget(1_000), transfer(COLD_KEY, SWEPT)]


def closing_parts() -> list[Instruction]:
    return [*budget(20_000), *map(closing, ACCOUNTS)]


def sweep(parts: Sequence[Instruction] | None = None, **changes: Any) -> SignWanted:
    """Return a good sweep of half a SOL, or one whose message has other parts."""
    wanted = SignWanted(
        intent_id="sweep-1",
        attempt=1,
        wallet=WALLET,
        message=message(sweep_parts() if parts is None else parts),
        in_mint=SOL_MINT,
        out_mint=SOL_MINT,
        amount_in=SWEPT,
        min_out=SWEPT,
        fee_lamports_max=100_000,
        last_valid_block_height=1_100,
        is_exit=False,
        kind=IntentKind.SWEEP,
        to_address=COLD,
    )
    return replace(wanted, **changes)


def close_two(parts: Sequence[Instruction] | None = None, **changes: Any) -> SignWanted:
    """Return a good closing of two accounts, or one whose message has other parts."""
    wanted = sweep(closing_parts() if parts is None else parts)
    figures = {"amount_in": 0, "min_out": 4_078_560, "kind": IntentKind.CLOSE_ACCOUNTS, "to_address": ""}
    return replace(wanted, **{"intent_id": "close-1", **figures, "accounts": ACCOUNTS, **changes})


def empty(account: OwnAccount, owner: str = WALLET, more: bytes = b"", **changes: bytes) -> AccountSeen:
    """Return an account as the chain has it; ``amount``, ``state``, ``authority`` and ``mint`` in raw bytes."""
    keys = {"mint": bytes(Pubkey.from_string(account.mint)), "amount": bytes(8), "state": b"\x01"} | changes
    data = keys["mint"] + bytes(Pubkey.from_string(owner)) + keys["amount"] + bytes(36) + keys["state"] + bytes(20)
    data += keys.get("authority", bytes(36))
    return AccountSeen(account.address, account.program, 2_039_280, data + more, False, 1)
