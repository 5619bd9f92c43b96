"""Token accounts and mints as bytes: reading them, and putting them in place for a rehearsal."""

from dataclasses import dataclass
from typing import Final

from solders.account import Account
from solders.pubkey import Pubkey

TOKEN_PROGRAM: Final = Pubkey.from_string("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA")
TOKEN_2022_PROGRAM: Final = Pubkey.from_string("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb")
ATA_PROGRAM: Final = Pubkey.from_string("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL")
NATIVE_MINT: Final = Pubkey.from_string("So11111111111111111111111111111111111111112")
ACCOUNT_BYTES: Final = 165
MINT_BYTES: Final = 82
ACCOUNT_RENT_LAMPORTS: Final = 2_039_280
MINT_RENT_LAMPORTS: Final = 1_461_600
_TOKEN_PROGRAMS: Final = frozenset({TOKEN_PROGRAM, TOKEN_2022_PROGRAM})
_MINT_TYPE: Final = 1
_TRANSFER_FEE_CONFIG, _TRANSFER_FEE_AMOUNT = 1, 2
_RENT_LAMPORTS_PER_BYTE, _ACCOUNT_OVERHEAD_BYTES = 6_960, 128
_ACCOUNT_TYPE: Final = 2
"""What byte 165 says in an account of Token-2022 that carries extensions."""


@dataclass(frozen=True, slots=True)
class Held:
    mint: str
    owner: str
    program: str
    units: int


def token_balance(account: Account | None) -> Held | None:
    """Return what a token account holds, None for any other account."""
    if account is None or account.owner not in _TOKEN_PROGRAMS:
        return None
    data = bytes(account.data)
    if len(data) != ACCOUNT_BYTES and not (len(data) > ACCOUNT_BYTES and data[ACCOUNT_BYTES] == _ACCOUNT_TYPE):
        return None
    mint, owner = Pubkey.from_bytes(data[:32]), Pubkey.from_bytes(data[32:64])
    return Held(str(mint), str(owner), str(account.owner), int.from_bytes(data[64:72], "little"))


def associated(owner: Pubkey, mint: Pubkey, program: Pubkey = TOKEN_PROGRAM) -> Pubkey:
    """Return the address of the token account that belongs to a wallet and a mint."""
    return Pubkey.find_program_address([bytes(owner), bytes(program), bytes(mint)], ATA_PROGRAM)[0]


def mint_account(
    authority: Pubkey | None,
    supply: int,
    decimals: int,
    *,
    freezer: Pubkey | None = None,
    program: Pubkey = TOKEN_PROGRAM,
    transfer_fee_bps: int = 0,
) -> Account:
    """Return a mint. With ``transfer_fee_bps`` it keeps that much of every transfer: of Token-2022 only, for ever."""
    data = _optional(authority) + supply.to_bytes(8, "little") + bytes([decimals, 1]) + _optional(freezer)
    if not transfer_fee_bps:
        return Account(MINT_RENT_LAMPORTS, data, program)
    fee = bytes(8) + (2**64 - 1).to_bytes(8, "little") + transfer_fee_bps.to_bytes(2, "little")
    extension = bytes(64) + bytes(8) + fee + fee  # no authorities, nothing withheld, the same before and after
    data = data.ljust(ACCOUNT_BYTES, b"\0") + bytes([_MINT_TYPE]) + _extension(_TRANSFER_FEE_CONFIG, extension)
    return Account(_rent(data), data, program)


def token_account(
    mint: Pubkey, owner: Pubkey, units: int, program: Pubkey = TOKEN_PROGRAM, *, withholds: bool = False
) -> Account:
    """Return a token account that holds so many units; of the native coin they are in its lamports too.

    ``withholds``: its mint keeps a fee of transfers.
    """
    is_native = mint == NATIVE_MINT
    native = (1).to_bytes(4, "little") + ACCOUNT_RENT_LAMPORTS.to_bytes(8, "little") if is_native else bytes(12)
    head = bytes(mint) + bytes(owner) + units.to_bytes(8, "little") + _optional(None)
    data = head + bytes([1]) + native + bytes(8) + _optional(None)
    if withholds:
        data += bytes([_ACCOUNT_TYPE]) + _extension(_TRANSFER_FEE_AMOUNT, bytes(8))
        return Account(_rent(data), data, program)
    return Account(ACCOUNT_RENT_LAMPORTS + (units if is_native else 0), data, program)


def native_mint_account() -> Account:
    """Return the mint of wrapped SOL, which a fresh virtual machine has not."""
    return mint_account(None, 0, 9)


def _optional(key: Pubkey | None) -> bytes:
    return bytes(36) if key is None else (1).to_bytes(4, "little") + bytes(key)


def _extension(number: int, value: bytes) -> bytes:
    return number.to_bytes(2, "little") + len(value).to_bytes(2, "little") + value


def _rent(data: bytes) -> int:
    return (_ACCOUNT_OVERHEAD_BYTES + len(data)) * _RENT_LAMPORTS_PER_BYTE
