"""Transactions that we build ourselves from a router's instructions, to the byte that is signed.

The compute budget is always ours: a router's price is advice. Versioned messages (v0) with the router's lookup tables.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.message import MessageV0, from_bytes_versioned, to_bytes_versioned
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction

from trading.errors import DataError, InvalidInput
from trading.model.chain import AccountSeen, InstructionWanted, SwapOffer
from trading.model.intent import Intent, IntentKind
from trading.model.network import COMPUTE_UNITS_PER_TRANSACTION_MAX, SIGNATURE_FEE_LAMPORTS, priority_fee_lamports
from trading.model.units import BPS_ONE

from .verifier import BUDGET, MESSAGE_BYTES_MAX, SYSTEM, TOKEN_PROGRAMS, associated

TABLE_HEAD_BYTES: Final = 56
_MICRO: Final = 1_000_000
UNITS_MARGIN_BPS: Final = 12_000
"""Of what a simulation used."""
_AMOUNT_AT: Final = 64
_TOKEN_ACCOUNT_BYTES_MIN: Final = 165


@dataclass(frozen=True, slots=True)
class ComputeBudget:
    """``price`` is in micro-lamports a compute unit of ``units``, paid whether they are used or not."""

    units: int
    price: int

    @property
    def fee_lamports(self) -> int:
        """Signature fee and priority fee of a transaction with one signature."""
        return SIGNATURE_FEE_LAMPORTS + priority_fee_lamports(self.price, self.units)

    @classmethod
    def within(cls, units: int, price: int, fee_lamports_max: int) -> "ComputeBudget":
        """Return the budget with its price lowered so far that the fee is not above its bound."""
        most = max(0, fee_lamports_max - SIGNATURE_FEE_LAMPORTS) * _MICRO // units
        return cls(units, min(price, most))

    @classmethod
    def fitting(cls, used_units: int, price: int, fee_lamports_max: int) -> "ComputeBudget":
        """Return the budget for what a simulation used, and a margin: others change the accounts until it lands."""
        units = min(COMPUTE_UNITS_PER_TRANSACTION_MAX, -(-used_units * UNITS_MARGIN_BPS // BPS_ONE))
        return cls.within(max(1, units), price, fee_lamports_max)


@dataclass(frozen=True, slots=True)
class Built:
    """A message to sign. ``writable`` are the accounts that it writes, for the price of a place in a block."""

    message: bytes
    fee_lamports: int
    writable: tuple[str, ...]

    @property
    def unsigned(self) -> bytes:
        """The transaction with an empty signature, for a simulation."""
        return self.signed(bytes(64))

    def signed(self, signature: bytes) -> bytes:
        message = from_bytes_versioned(self.message)
        return bytes(VersionedTransaction.populate(message, [Signature.from_bytes(signature)]))


def build(offer: SwapOffer, budget: ComputeBudget, blockhash: str) -> Built:
    """Return the message of an offer.

    Raises: InvalidInput for one that no packet holds; DataError for an offer that cannot be put together.
    """
    if not 0 < budget.units <= COMPUTE_UNITS_PER_TRANSACTION_MAX:
        msg = f"units: 1 to {COMPUTE_UNITS_PER_TRANSACTION_MAX}, not {budget.units}"
        raise InvalidInput(msg, field="units")
    wanted = (*_budget(budget), *offer.setup, offer.swap, *offer.cleanup, *offer.others)
    message = _compiled(offer.wanted.wallet, wanted, offer.lookup_tables, blockhash)
    raw = bytes(to_bytes_versioned(message))
    if len(raw) > MESSAGE_BYTES_MAX:
        msg = f"the route needs a message of {len(raw)} bytes; a packet holds {MESSAGE_BYTES_MAX}"
        raise InvalidInput(msg, field="max_accounts", hint="ask for a route with fewer accounts")
    return Built(raw, budget.fee_lamports, _written(wanted))


def build_upkeep(intent: Intent, budget: ComputeBudget, blockhash: str) -> Built:
    """Return the message of a sweep, or of accounts that are closed. Raises: DataError for an address that is none."""
    wallet = intent.wallet
    if intent.kind is IntentKind.SWEEP:
        data = b"\x02\0\0\0" + intent.amount_in.to_bytes(8, "little")
        done = [InstructionWanted(SYSTEM, ((wallet, True, True), (intent.to_address, False, True)), data)]
    else:
        done = [
            InstructionWanted(
                each.program, ((each.address, False, True), (wallet, False, True), (wallet, True, True)), b"\x09"
            )
            for each in intent.accounts
        ]
    wanted = (*_budget(budget), *done)
    message = _compiled(wallet, wanted, {}, blockhash)
    return Built(bytes(to_bytes_versioned(message)), budget.fee_lamports, _written(wanted))


def token_account(owner: str, mint: str, program: str) -> str:
    """Return the address of the token account that belongs to a wallet and a mint."""
    return associated(owner, mint, program)


def is_opened(seen: AccountSeen | None) -> bool:
    """Return whether somebody opened the account. Lamports alone open none: anybody can send them to any address."""
    return seen is not None and not (seen.owner == SYSTEM and not seen.data)


def units_of(seen: AccountSeen | None) -> int:
    """Return what a token account holds, 0 for one that does not exist. Raises: DataError for another account."""
    if seen is None or not is_opened(seen):
        return 0
    if seen.owner not in TOKEN_PROGRAMS or len(seen.data) < _TOKEN_ACCOUNT_BYTES_MIN:
        msg = f"{seen.address} is no token account"
        raise DataError(msg)
    return int.from_bytes(seen.data[_AMOUNT_AT : _AMOUNT_AT + 8], "little")


def addresses_in_table(seen: AccountSeen | None) -> tuple[str, ...]:
    """Return what a lookup table holds on chain, nothing for one that does not exist."""
    data = b"" if seen is None else seen.data[TABLE_HEAD_BYTES:]
    return tuple(str(Pubkey.from_bytes(data[at : at + 32])) for at in range(0, len(data) - 31, 32))


def _compiled(
    wallet: str, wanted: Sequence[InstructionWanted], tables: Mapping[str, Sequence[str]], blockhash: str
) -> MessageV0:
    try:
        return MessageV0.try_compile(
            Pubkey.from_string(wallet),
            [_instruction(each) for each in wanted],
            [
                AddressLookupTableAccount(Pubkey.from_string(key), [Pubkey.from_string(each) for each in held])
                for key, held in tables.items()
            ],
            Hash.from_string(blockhash),
        )
    except ValueError as error:
        msg = f"the offer cannot be put together: {error}"
        raise DataError(msg) from error


def _written(wanted: Sequence[InstructionWanted]) -> tuple[str, ...]:
    written = [address for each in wanted for address, _, is_writable in each.accounts if is_writable]
    return tuple(dict.fromkeys(written))


def _budget(budget: ComputeBudget) -> Sequence[InstructionWanted]:
    return (
        InstructionWanted(BUDGET, (), b"\x02" + budget.units.to_bytes(4, "little")),
        InstructionWanted(BUDGET, (), b"\x03" + budget.price.to_bytes(8, "little")),
    )


def _instruction(wanted: InstructionWanted) -> Instruction:
    metas = [AccountMeta(Pubkey.from_string(address), signs, writes) for address, signs, writes in wanted.accounts]
    return Instruction(Pubkey.from_string(wanted.program), wanted.data, metas)
