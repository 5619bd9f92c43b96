"""Token accounts as the chain holds them: whose they are, what is in them, and whether they may be closed.

SPL Token: 165 bytes of mint, owner, amount, delegate, state, native reserve, delegated amount, close authority. Under
Token-2022 an account may go on with a byte that says that it is one, and extensions of (type, length, value).
"""

from typing import Final

from solders.pubkey import Pubkey

from trading.model.chain import AccountSeen
from trading.model.intent import OwnAccount

BYTES_MIN: Final = 165
AMOUNT_AT: Final = 64
_OWNER_AT: Final = 32
_STATE_AT: Final = 108
_CLOSE_AUTHORITY_AT: Final = 129
_INITIALIZED: Final = 1
_ACCOUNT_TYPE: Final = 2
_TRANSFER_FEE_AMOUNT: Final = 2
_PLAIN: Final = frozenset({7, 8, 13, 15, 27})
"""Extensions of an account that keep nobody from closing it: immutable owner, required memo, non-transferable, transfer
hook, pausable."""


def closing_problem(account: OwnAccount, seen: AccountSeen | None, wallet: str) -> str:
    """Return why the wallet's account is not to be closed, as a word to count by; "" where it may be.

    Left alone are: ``not_there``, ``not_ours``, ``not_empty``, ``frozen``, ``close_authority`` (somebody else's),
    ``withheld_fees`` (the program closes none that holds fees of transfers) and ``extension`` (one not known here).
    """
    if seen is None or seen.lamports == 0:
        return "not_there"
    data = seen.data
    mint, owner = bytes(Pubkey.from_string(account.mint)), bytes(Pubkey.from_string(wallet))
    is_account = seen.owner == account.program and len(data) >= BYTES_MIN
    if not is_account or data[:_OWNER_AT] != mint or data[_OWNER_AT:AMOUNT_AT] != owner:
        return "not_ours"
    if any(data[AMOUNT_AT : AMOUNT_AT + 8]):
        return "not_empty"
    if data[_STATE_AT] != _INITIALIZED:
        return "frozen"
    if any(data[_CLOSE_AUTHORITY_AT : _CLOSE_AUTHORITY_AT + 4]):
        authority = data[_CLOSE_AUTHORITY_AT + 4 : _CLOSE_AUTHORITY_AT + 36]
        if authority != owner:
            return "close_authority"
    return _extension_problem(data)


def _extension_problem(data: bytes) -> str:
    if len(data) == BYTES_MIN:
        return ""
    if data[BYTES_MIN] != _ACCOUNT_TYPE:
        return "not_ours"
    at = BYTES_MIN + 1
    while at + 4 <= len(data):
        number, length = int.from_bytes(data[at : at + 2], "little"), int.from_bytes(data[at + 2 : at + 4], "little")
        value = data[at + 4 : at + 4 + length]
        if number == 0:  # the rest is room that nobody uses
            return ""
        if len(value) != length:
            return "extension"
        if number == _TRANSFER_FEE_AMOUNT and any(value):
            return "withheld_fees"
        if number not in _PLAIN and number != _TRANSFER_FEE_AMOUNT:
            return "extension"
        at += 4 + length
    return ""
