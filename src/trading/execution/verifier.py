"""What a message really does, read instruction by instruction: before it is signed, by the desk and by the signer.

Everything is refused that is not known to belong to one exact-in swap between the wallet's own accounts, or to two of
which the second gives what the first brings: a new kind of instruction is a violation until somebody taught this file
what it does. Of the router's instructions only those are read whose figures come before the route (``route_v2``,
``shared_accounts_route_v2``): behind a route of any length bytes could follow that look like figures and are not.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from solders.instruction import CompiledInstruction
from solders.message import Message, MessageV0, from_bytes_versioned, to_bytes_versioned
from solders.pubkey import Pubkey

from trading.model.chain import SignWanted
from trading.model.intent import SOL_MINT, IntentKind
from trading.model.network import COMPUTE_UNITS_PER_TRANSACTION_MAX, SIGNATURE_FEE_LAMPORTS, priority_fee_lamports
from trading.model.units import BPS_ONE

MESSAGE_BYTES_MAX: Final = 1_232 - 65
"""A packet, less one signature and its count."""
SYSTEM: Final = "11111111111111111111111111111111"
BUDGET: Final = "ComputeBudget111111111111111111111111111111"
ASSOCIATED: Final = "ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL"
TOKEN_PROGRAMS: Final = ("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA", "TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb")
ROUTER: Final = "JUP6LkbZbjS1jKKwapdHNy74zcZ3tLUZoi5QNyVTaV4"
_ROUTE: Final = hashlib.sha256(b"global:route_v2").digest()[:8]
_SHARED_ROUTE: Final = hashlib.sha256(b"global:shared_accounts_route_v2").digest()[:8]
_FIGURES_BYTES: Final = 22
_ROUTE_ACCOUNTS: Final = 10
_SHARED_ROUTE_ACCOUNTS: Final = 12
_SYNC_NATIVE: Final = 17
_CLOSE_ACCOUNT: Final = 9
_CREATE_IDEMPOTENT: Final = 1
_SET_LIMIT: Final = 2
_SET_PRICE: Final = 3


@dataclass(frozen=True, slots=True)
class SwapBounds:
    """What a swap may cost besides what its asker says. Tips in lamports, all of them together at most
    ``tip_lamports_max``, and only to ``tip_accounts``. ``programs`` are allowed, and what they do is not read: none is
    unless somebody wants it."""

    fee_lamports_max: int
    slippage_bps_max: int
    tip_lamports_max: int = 0
    tip_accounts: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()


@dataclass(slots=True)
class _Reading:
    """The message's accounts, and what its instructions add up to."""

    wanted: SignWanted
    bounds: SwapBounds
    keys: Sequence[str]
    problems: list[str] = field(default_factory=list)
    limit: int | None = None
    price: int | None = None
    tips: int = 0
    wrapped: int = 0
    swaps: int = 0
    legs: tuple[SignWanted, ...] = ()
    """What each instruction of the router is held against, in their order."""
    least: int = 0
    """What the last of them gives at least."""

    def accounts(self, instruction: CompiledInstruction) -> list[str]:
        return [self.keys[place] for place in bytes(instruction.accounts)]

    def own(self, mint: str) -> set[str]:
        """Return the addresses that the wallet's account of a mint may have: one for each token program."""
        return {associated(self.wanted.wallet, mint, program) for program in TOKEN_PROGRAMS}


def violations_of(
    message: Message | MessageV0, keys: Sequence[str], wanted: SignWanted, bounds: SwapBounds
) -> tuple[str, ...]:
    """Return what is wrong with a message whose accounts, those of lookup tables included, are ``keys``."""
    if wanted.kind is IntentKind.ROUND_TRIP:
        if len(wanted.accounts) != 1 or (wanted.in_mint, wanted.out_mint) != (SOL_MINT, SOL_MINT):
            return ("accounts",)
        legs = round_trip_legs(wanted)
        reading = _Reading(legs[0], bounds, keys, legs=legs)
        if wanted.min_out <= wanted.amount_in + wanted.fee_lamports_max:
            reading.problems.append("min_out")
    else:
        reading = _Reading(wanted, bounds, keys, legs=(wanted,))
    if message.header.num_required_signatures != 1 or keys[0] != wanted.wallet:
        reading.problems.append("signers")
    if len(set(keys)) != len(keys):
        reading.problems.append("accounts")
    for instruction in message.instructions:
        places = [instruction.program_id_index, *bytes(instruction.accounts)]
        if any(place >= len(keys) for place in places):
            return ("unparseable",)
        program = keys[instruction.program_id_index]
        handler = _HANDLERS.get(program)
        if handler is None:
            reading.problems.append("program" if program not in bounds.programs else "program_unread")
        else:
            handler(reading, instruction)
    _judge_sums(reading)
    return tuple(dict.fromkeys(reading.problems))


def _judge_sums(reading: _Reading) -> None:
    wanted, bounds = reading.wanted, reading.bounds
    if reading.swaps != len(reading.legs):
        reading.problems.append("swaps")
    if reading.limit is None or reading.price is None:
        reading.problems.append("compute_budget")
    else:
        fee = SIGNATURE_FEE_LAMPORTS + priority_fee_lamports(reading.price, reading.limit) + reading.tips
        if fee > min(wanted.fee_lamports_max, bounds.fee_lamports_max):
            reading.problems.append("fee")
    if reading.tips > bounds.tip_lamports_max:
        reading.problems.append("tip")
    if reading.wrapped > (wanted.amount_in if wanted.in_mint == SOL_MINT else 0):
        reading.problems.append("system_transfer")


def _budget(reading: _Reading, instruction: CompiledInstruction) -> None:
    data = bytes(instruction.data)
    if data[:1] == bytes([_SET_LIMIT]) and len(data) == 5 and reading.limit is None:
        reading.limit = int.from_bytes(data[1:], "little")
        if reading.limit > COMPUTE_UNITS_PER_TRANSACTION_MAX:
            reading.problems.append("compute_budget")
    elif data[:1] == bytes([_SET_PRICE]) and len(data) == 9 and reading.price is None:
        reading.price = int.from_bytes(data[1:], "little")
    else:
        reading.problems.append("compute_budget")


def _system(reading: _Reading, instruction: CompiledInstruction) -> None:
    """A transfer to the wallet's own wrapped SOL or a tip; a nonce, a new account and the rest are not for us."""
    data, accounts = bytes(instruction.data), reading.accounts(instruction)
    if len(data) != 12 or data[:4] != b"\x02\0\0\0" or len(accounts) != 2 or accounts[0] != reading.wanted.wallet:
        reading.problems.append("system_instruction")
        return
    lamports = int.from_bytes(data[4:], "little")
    if accounts[1] in reading.own(SOL_MINT):
        reading.wrapped += lamports
    elif accounts[1] in reading.bounds.tip_accounts:
        reading.tips += lamports
    else:
        reading.problems.append("system_transfer")


def _associate(reading: _Reading, instruction: CompiledInstruction) -> None:
    accounts, wanted = reading.accounts(instruction), reading.wanted
    good = (
        bytes(instruction.data) == bytes([_CREATE_IDEMPOTENT])
        and len(accounts) == 6
        and accounts[0] == accounts[2] == wanted.wallet
        and accounts[3] in (wanted.in_mint, wanted.out_mint)
        and accounts[4] == SYSTEM
        and accounts[5] in TOKEN_PROGRAMS
        and accounts[1] == associated(wanted.wallet, accounts[3], accounts[5])
    )
    if not good:
        reading.problems.append("account_creation")


def _token(reading: _Reading, instruction: CompiledInstruction) -> None:
    """Wrapped SOL is synchronised and closed to the wallet; nothing else is done to a token account directly."""
    data, accounts, wallet = bytes(instruction.data), reading.accounts(instruction), reading.wanted.wallet
    is_own = bool(accounts) and accounts[0] in reading.own(SOL_MINT)
    synced = data == bytes([_SYNC_NATIVE]) and len(accounts) == 1
    closed = data == bytes([_CLOSE_ACCOUNT]) and accounts[1:] == [wallet, wallet]
    if not (is_own and (synced or closed)):
        reading.problems.append("token_instruction")


def _router(reading: _Reading, instruction: CompiledInstruction) -> None:
    data, accounts = bytes(instruction.data), reading.accounts(instruction)
    wanted = reading.legs[min(reading.swaps, len(reading.legs) - 1)]
    is_first = reading.swaps == 0 or len(reading.legs) == 1
    reading.swaps += 1
    if data[:8] == _ROUTE and len(data) >= 8 + _FIGURES_BYTES and len(accounts) >= _ROUTE_ACCOUNTS:
        authority, source, destination, in_mint, out_mint, _, _, elsewhere = accounts[:8]
        figures = data[8:]
    elif data[:8] == _SHARED_ROUTE and len(data) >= 9 + _FIGURES_BYTES and len(accounts) >= _SHARED_ROUTE_ACCOUNTS:
        _, authority, source, _, _, destination, in_mint, out_mint = accounts[:8]
        elsewhere, figures = ROUTER, data[9:]
    else:
        reading.problems.append("router_instruction")
        return
    _figures(reading, wanted, figures, is_first=is_first)
    if authority != wanted.wallet or source not in reading.own(wanted.in_mint) or in_mint != wanted.in_mint:
        reading.problems.append("swap_source")
    out_accounts = reading.own(wanted.out_mint)
    is_elsewhere = elsewhere != ROUTER and elsewhere not in out_accounts
    if destination not in out_accounts or is_elsewhere or out_mint != wanted.out_mint:
        reading.problems.append("swap_destination")


def _figures(reading: _Reading, wanted: SignWanted, data: bytes, *, is_first: bool) -> None:
    """Amount in, quoted amount out (u64), then slippage, platform fee and share of a better price (u16, bps)."""
    amount_in, quoted = int.from_bytes(data[:8], "little"), int.from_bytes(data[8:16], "little")
    slippage_bps, platform_bps, better_bps = (int.from_bytes(data[at : at + 2], "little") for at in (16, 18, 20))
    # The second swap of a round trip gives no more than the first has brought: what the wallet held stays there.
    if not (amount_in == wanted.amount_in if is_first else 0 < amount_in <= reading.least):
        reading.problems.append("amount_in")
    reading.least = quoted * max(0, BPS_ONE - slippage_bps) // BPS_ONE
    if reading.least < wanted.min_out:
        reading.problems.append("min_out")
    if slippage_bps > reading.bounds.slippage_bps_max:
        reading.problems.append("slippage")
    if platform_bps or better_bps:
        reading.problems.append("platform_fee")


_HANDLERS: Final[Mapping[str, Callable[[_Reading, CompiledInstruction], None]]] = {
    BUDGET: _budget,
    SYSTEM: _system,
    ASSOCIATED: _associate,
    **dict.fromkeys(TOKEN_PROGRAMS, _token),
    ROUTER: _router,
}


def round_trip_legs(wanted: SignWanted) -> tuple[SignWanted, SignWanted]:
    """Return what each of the two swaps is to be; how much the second gives is for the first to say."""
    mint = wanted.accounts[0].mint
    return replace(wanted, out_mint=mint, min_out=1), replace(wanted, in_mint=mint, amount_in=0)


def parsed(raw: bytes) -> Message | MessageV0 | None:
    """Return the message if it is one of the two versions that we know, has accounts, and is these very bytes."""
    try:
        message = from_bytes_versioned(raw)
    except ValueError:
        return None
    if not isinstance(message, Message | MessageV0) or not message.account_keys:
        return None
    return message if bytes(to_bytes_versioned(message)) == raw else None


def all_keys(message: Message | MessageV0, tables: Mapping[str, tuple[str, ...]]) -> list[str] | None:
    """Return all accounts in the order in which instructions count them; None where a table does not say."""
    keys = [str(each) for each in message.account_keys]
    if isinstance(message, Message):
        return keys
    writable, readable = [], []
    for lookup in message.address_table_lookups:
        held = tables.get(str(lookup.account_key), ())
        places = [*bytes(lookup.writable_indexes), *bytes(lookup.readonly_indexes)]
        if any(place >= len(held) for place in places):
            return None
        writable += [held[place] for place in bytes(lookup.writable_indexes)]
        readable += [held[place] for place in bytes(lookup.readonly_indexes)]
    return [*keys, *writable, *readable]


def associated(owner: str, mint: str, program: str) -> str:
    seeds = [bytes(Pubkey.from_string(each)) for each in (owner, program, mint)]
    return str(Pubkey.find_program_address(seeds, Pubkey.from_string(ASSOCIATED))[0])
