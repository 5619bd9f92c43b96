"""What a mint account says, of the SPL Token program and of Token-2022 with all its extensions."""

import struct
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from solders.pubkey import Pubkey

from trading.errors import DataError
from trading.model.chain import AccountSeen, MintSeen

TOKEN_PROGRAM: Final = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"  # noqa: S105 - an address
TOKEN_2022_PROGRAM: Final = "TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb"  # noqa: S105 - an address
_MINT_BYTES: Final = 82
_TYPE_AT: Final = 165
"""Behind a mint that carries extensions its data is filled up to the length of a token account; then comes its kind."""
_MINT_TYPE: Final = 1
_MULTISIG_BYTES: Final = 355
_NO_KEY: Final = bytes(32)
_FROZEN: Final = 2

TRANSFER_FEE: Final = 1
DEFAULT_STATE: Final = 6
NON_TRANSFERABLE: Final = 9
PERMANENT_DELEGATE: Final = 12
TRANSFER_HOOK: Final = 14
PAUSABLE: Final = 26
EXTENSIONS: Final[Mapping[int, tuple[str, int | None]]] = {
    TRANSFER_FEE: ("transfer_fee", 108),
    3: ("close_authority", 32),
    4: ("confidential_transfer", 65),
    DEFAULT_STATE: ("default_account_state", 1),
    NON_TRANSFERABLE: ("non_transferable", 0),
    10: ("interest_bearing", 52),
    PERMANENT_DELEGATE: ("permanent_delegate", 32),
    TRANSFER_HOOK: ("transfer_hook", 64),
    16: ("confidential_transfer_fee", 129),
    18: ("metadata_pointer", 64),
    19: ("metadata", None),
    20: ("group_pointer", 64),
    21: ("group", 80),
    22: ("group_member_pointer", 64),
    23: ("group_member", 72),
    24: ("confidential_mint_burn", 196),
    25: ("scaled_ui_amount", 56),
    PAUSABLE: ("pausable", 33),
    28: ("permissioned_burn", 32),
}
"""Numbers, names and lengths (None: it varies) of what a mint may carry. Any other number on a mint is unknown, also
one that belongs on token accounts, and so is one whose length is not as it should be."""


def read_mint(account: AccountSeen) -> MintSeen:
    """Raises: DataError for an account that is not an initialized mint of one of the two token programs."""
    data = account.data
    if account.owner not in (TOKEN_PROGRAM, TOKEN_2022_PROGRAM):
        raise DataError(f"{account.address} belongs to {account.owner}, which is no token program")
    is_plain = len(data) == _MINT_BYTES
    is_extended = (
        account.owner == TOKEN_2022_PROGRAM
        and len(data) > _TYPE_AT
        and len(data) != _MULTISIG_BYTES
        and data[_TYPE_AT] == _MINT_TYPE
    )
    if not (is_plain or is_extended) or data[45] != 1:
        raise DataError(f"{account.address} is no initialized mint")
    supply, decimals = struct.unpack_from("<QB", data, 36)
    seen = MintSeen(
        mint=account.address,
        token_program=account.owner,
        decimals=decimals,
        supply_units=supply,
        mint_authority=_optional_key(data, 0),
        freeze_authority=_optional_key(data, 46),
        transfer_fee_bps=0,
        transfer_fee_max_units=0,
        transfer_hook="",
        permanent_delegate="",
        is_frozen_by_default=False,
        is_non_transferable=False,
    )
    return _extended(seen, data) if is_extended else seen


def _extended(seen: MintSeen, data: bytes) -> MintSeen:
    known: list[str] = []
    unknown: list[int] = []
    for number, value in _entries(seen.mint, data):
        name, length = EXTENSIONS.get(number, ("", None))
        if not name or length not in (None, len(value)):
            unknown.append(number)
            continue
        known.append(name)
        seen = _with(seen, number, value)
    return replace(seen, extensions=tuple(known), unknown_extensions=tuple(unknown))


def _entries(mint: str, data: bytes) -> list[tuple[int, bytes]]:
    """Return number and value of each extension. They stand one behind the other; a zero ends them early."""
    found: list[tuple[int, bytes]] = []
    at = _TYPE_AT + 1
    while at + 4 <= len(data):
        number, length = struct.unpack_from("<HH", data, at)
        if number == 0:
            break
        at += 4
        if at + length > len(data):
            raise DataError(f"extension {number} of the mint {mint} is cut off")
        found.append((number, data[at : at + length]))
        at += length
    return found


def _with(seen: MintSeen, number: int, value: bytes) -> MintSeen:
    """Return what is known of the mint with an extension that bears on whether and how it can be traded."""
    if number == TRANSFER_FEE:
        # Two fees with the epoch from which each counts. The higher one: which epoch it is is not asked here.
        _, older_max, older_bps, _, newer_max, newer_bps = struct.unpack_from("<QQHQQH", value, 72)
        return replace(
            seen,
            transfer_fee_bps=max(older_bps, newer_bps),
            transfer_fee_max_units=max(older_max, newer_max),
            transfer_fee_authority=_key(value, 0),
        )
    if number == DEFAULT_STATE:
        return replace(seen, is_frozen_by_default=value[0] == _FROZEN)
    if number == NON_TRANSFERABLE:
        return replace(seen, is_non_transferable=True)
    if number == PERMANENT_DELEGATE:
        return replace(seen, permanent_delegate=_key(value, 0))
    if number == TRANSFER_HOOK:
        return replace(seen, transfer_hook_authority=_key(value, 0), transfer_hook=_key(value, 32))
    if number == PAUSABLE:
        return replace(seen, pause_authority=_key(value, 0), is_paused=value[32] != 0)
    return seen


def _optional_key(data: bytes, at: int) -> str:
    """Return an authority that has four bytes before it which say whether there is one."""
    return _text(data[at + 4 : at + 36]) if data[at : at + 4] != b"\0\0\0\0" else ""


def _key(data: bytes, at: int) -> str:
    """Return an authority that is all zeros where there is none."""
    key = data[at : at + 32]
    return "" if key == _NO_KEY else _text(key)


def _text(key: bytes) -> str:
    return str(Pubkey.from_bytes(key))
