"""Small real transactions for tests: signed, with nothing in them but a transfer of the native coin."""

import struct

from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction

_COMPUTE_BUDGET = Pubkey.from_string("ComputeBudget111111111111111111111111111111")


def signed_transfer(
    payer: Keypair, to: str, lamports: int, blockhash: str, *, price_micro_lamports: int = 0, unit_limit: int = 2_000
) -> tuple[str, bytes]:
    """Return the signature and the wire bytes of a transfer; different arguments make different signatures."""
    calls: list[Instruction] = []
    if price_micro_lamports:
        calls.append(Instruction(_COMPUTE_BUDGET, b"\x02" + struct.pack("<I", unit_limit), list[AccountMeta]()))
        calls.append(Instruction(_COMPUTE_BUDGET, b"\x03" + struct.pack("<Q", price_micro_lamports), []))
    target = Pubkey.from_string(to)
    calls.append(transfer(TransferParams(from_pubkey=payer.pubkey(), to_pubkey=target, lamports=lamports)))
    message = MessageV0.try_compile(payer.pubkey(), calls, [], Hash.from_string(blockhash))
    made = VersionedTransaction(message, [payer])
    return str(made.signatures[0]), bytes(made)
