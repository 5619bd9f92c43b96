"""What a message really does that is no swap: one transfer to the cold address, or accounts that are closed, and
nothing else. Read before it is signed, by the desk and by the signer.

Both are built by ourselves, so there is nothing to be lenient about: no lookup tables, no tips, no programs besides
the compute budget and the one that does it, every account stated.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from solders.message import Message, MessageV0

from trading.model.chain import AccountSeen, SignWanted
from trading.model.intent import SOL_MINT, IntentKind
from trading.model.network import COMPUTE_UNITS_PER_TRANSACTION_MAX, SIGNATURE_FEE_LAMPORTS, priority_fee_lamports

from .token_accounts import closing_problem
from .verifier import BUDGET, MESSAGE_BYTES_MAX, SYSTEM, TOKEN_PROGRAMS, associated, parsed

ACCOUNTS_MAX: Final = 8
"""How many accounts one message closes at most."""
_TRANSFER: Final = b"\x02\0\0\0"
_CLOSE_ACCOUNT: Final = b"\x09"
_SET_LIMIT: Final = 2
_SET_PRICE: Final = 3


@dataclass(frozen=True, slots=True)
class UpkeepBounds:
    """``fee_lamports_max`` besides what the asker says; ``cold_address``: the only one that a sweep may go to."""

    fee_lamports_max: int
    cold_address: str


@dataclass(slots=True)
class _Reading:
    wanted: SignWanted
    bounds: UpkeepBounds
    problems: list[str] = field(default_factory=list)
    limit: int | None = None
    price: int | None = None
    transfers: int = 0
    closed: Counter[str] = field(default_factory=Counter)


def upkeep_violations(wanted: SignWanted, bounds: UpkeepBounds) -> tuple[str, ...]:
    """Return what is wrong with a message that is said to be a sweep or to close accounts; empty: it does just that."""
    if len(wanted.message) > MESSAGE_BYTES_MAX:
        return ("size",)
    message = parsed(wanted.message)
    if message is None:
        return ("unparseable",)
    if isinstance(message, MessageV0) and message.address_table_lookups:
        return ("lookup_table",)
    keys = [str(each) for each in message.account_keys]
    reading = _Reading(wanted, bounds)
    if message.header.num_required_signatures != 1 or keys[0] != wanted.wallet:
        reading.problems.append("signers")
    if len(set(keys)) != len(keys):
        reading.problems.append("accounts")
    if not _read(reading, message, keys):
        return ("unparseable",)
    _judge_fee(reading)
    if wanted.kind is IntentKind.SWEEP:
        _judge_sweep(reading)
    elif wanted.kind is IntentKind.CLOSE_ACCOUNTS:
        _judge_closing(reading)
    else:
        reading.problems.append("kind")
    return tuple(dict.fromkeys(reading.problems))


def account_violations(wanted: SignWanted, seen: Sequence[AccountSeen | None]) -> tuple[str, ...]:
    """Return why accounts that are to be closed may not be, from what one source says of them, in their order."""
    problems = (
        closing_problem(account, found, wanted.wallet) for account, found in zip(wanted.accounts, seen, strict=True)
    )
    return tuple(dict.fromkeys(each for each in problems if each))


def _read(reading: _Reading, message: Message | MessageV0, keys: Sequence[str]) -> bool:
    """Read every instruction; False where one names an account that the message has not."""
    for instruction in message.instructions:
        places = [instruction.program_id_index, *bytes(instruction.accounts)]
        if any(place >= len(keys) for place in places):
            return False
        program, accounts = keys[places[0]], [keys[place] for place in places[1:]]
        data = bytes(instruction.data)
        if program == BUDGET:
            _budget(reading, data)
        elif program == SYSTEM:
            _transfer(reading, data, accounts)
        elif program in TOKEN_PROGRAMS:
            _close(reading, data, accounts, program)
        else:
            reading.problems.append("program")
    return True


def _budget(reading: _Reading, data: bytes) -> None:
    if data[:1] == bytes([_SET_LIMIT]) and len(data) == 5 and reading.limit is None:
        reading.limit = int.from_bytes(data[1:], "little")
    elif data[:1] == bytes([_SET_PRICE]) and len(data) == 9 and reading.price is None:
        reading.price = int.from_bytes(data[1:], "little")
    else:
        reading.problems.append("compute_budget")


def _transfer(reading: _Reading, data: bytes, accounts: Sequence[str]) -> None:
    wanted = reading.wanted
    if len(data) != 12 or data[:4] != _TRANSFER or len(accounts) != 2 or accounts[0] != wanted.wallet:
        reading.problems.append("system_instruction")
        return
    reading.transfers += 1
    if accounts[1] != wanted.to_address or accounts[1] != reading.bounds.cold_address:
        reading.problems.append("cold_address")
    if int.from_bytes(data[4:], "little") != wanted.amount_in:
        reading.problems.append("amount_in")


def _close(reading: _Reading, data: bytes, accounts: Sequence[str], program: str) -> None:
    wallet = reading.wanted.wallet
    if data != _CLOSE_ACCOUNT or list(accounts[1:]) != [wallet, wallet]:
        reading.problems.append("token_instruction")
        return
    if not any(each.address == accounts[0] and each.program == program for each in reading.wanted.accounts):
        reading.problems.append("account")
    reading.closed[accounts[0]] += 1


def _judge_fee(reading: _Reading) -> None:
    if reading.limit is None or reading.price is None or reading.limit > COMPUTE_UNITS_PER_TRANSACTION_MAX:
        reading.problems.append("compute_budget")
        return
    fee = SIGNATURE_FEE_LAMPORTS + priority_fee_lamports(reading.price, reading.limit)
    if fee > min(reading.wanted.fee_lamports_max, reading.bounds.fee_lamports_max):
        reading.problems.append("fee")


def _judge_sweep(reading: _Reading) -> None:
    if reading.transfers != 1 or reading.wanted.amount_in <= 0:
        reading.problems.append("transfers")
    if reading.closed or reading.wanted.accounts:
        reading.problems.append("mixed")


def _judge_closing(reading: _Reading) -> None:
    wanted = reading.wanted
    if reading.transfers or wanted.to_address:
        reading.problems.append("mixed")
    named = Counter(each.address for each in wanted.accounts)
    if not 0 < len(wanted.accounts) <= ACCOUNTS_MAX or named != reading.closed or max(named.values()) > 1:
        reading.problems.append("accounts_closed")
    for each in wanted.accounts:
        is_own = each.program in TOKEN_PROGRAMS and each.address == associated(wanted.wallet, each.mint, each.program)
        if not is_own:
            reading.problems.append("owner")
        if each.mint == SOL_MINT:
            reading.problems.append("wrapped_sol")
