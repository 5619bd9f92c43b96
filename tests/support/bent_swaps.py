"""Every way that we know to bend a good swap, in every form that a message has, and what the reading says of each."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.message import Message, MessageHeader, MessageV0, MessageV1, TransactionConfig, to_bytes_versioned
from solders.pubkey import Pubkey

from tests.doubles.signer_parts import SetChain
from tests.support.signing import mandate
from tests.support.swap_messages import (
    AMOUNT,
    ME,
    STRANGER,
    SYSTEM,
    Market,
    budget,
    close,
    create,
    sync,
    token,
    transfer,
)
from trading.model.mandate import Mandate
from trading.rehearsal.pools import ROUTER_PROGRAM
from trading.rehearsal.tokens import ATA_PROGRAM, NATIVE_MINT, TOKEN_2022_PROGRAM, associated

Bend = Callable[[list[Instruction]], list[Instruction]]
MARKET: Final = Market()
TIP: Final = Pubkey.from_bytes(bytes([77]) * 32)
TABLE: Final = Pubkey.from_bytes(bytes([55]) * 32)


def wide(**changes: Any) -> Mandate:
    """Return a mandate for the market's token and small tips."""
    return mandate(mints=(str(MARKET.token),), tip_accounts=(str(TIP),), tip_lamports_max=10_000, **changes)


def v0(parts: Sequence[Instruction], _chain: SetChain) -> bytes:
    return MARKET.message(parts)


def legacy(parts: Sequence[Instruction], _chain: SetChain) -> bytes:
    return bytes(to_bytes_versioned(Message.new_with_blockhash(list(parts), ME, Hash.default())))


def tabled(parts: Sequence[Instruction], chain: SetChain) -> bytes:
    """Return a message that takes each account from a lookup table that can come from one."""
    programs = {each.program_id for each in parts}
    signers = {meta.pubkey for each in parts for meta in each.accounts if meta.is_signer}
    every = dict.fromkeys(meta.pubkey for each in parts for meta in each.accounts)
    held = [each for each in every if each not in programs and each not in signers]
    chain.held[str(TABLE)] = tuple(map(str, held))
    table = AddressLookupTableAccount(TABLE, held)
    made = MessageV0.try_compile(ME, list(parts), [table], Hash.default())
    assert sum(len(each.writable_indexes) + len(each.readonly_indexes) for each in made.address_table_lookups) > 3
    return bytes(to_bytes_versioned(made))


FORMS: Final = {"versioned": v0, "legacy": legacy, "out of a lookup table": tabled}


def of_the_next_version(parts: Sequence[Instruction]) -> bytes:
    """Return the same as a message of version 1, whose compute budget stands in its head and which no desk reads."""
    made = MessageV0.try_compile(ME, list(parts), [], Hash.default())
    header = MessageHeader(1, 0, made.header.num_readonly_unsigned_accounts)
    config = TransactionConfig(compute_unit_limit=200_000)
    return bytes(
        to_bytes_versioned(MessageV1(header, config, Hash.default(), made.account_keys, list(made.instructions)))
    )


def other_accounts(place: int, address: Pubkey) -> Bend:
    """Put another account into a place of the swap."""

    def bend(parts: list[Instruction]) -> list[Instruction]:
        swap = next(each for each in parts if each.program_id == ROUTER_PROGRAM)
        metas = list(swap.accounts)
        metas[place] = AccountMeta(address, metas[place].is_signer, metas[place].is_writable)
        return [Instruction(each.program_id, each.data, metas) if each == swap else each for each in parts]

    return bend


def swapped_data(change: Callable[[bytes], bytes]) -> Bend:
    def bend(parts: list[Instruction]) -> list[Instruction]:
        return [
            Instruction(each.program_id, change(bytes(each.data)), list(each.accounts))
            if each.program_id == ROUTER_PROGRAM
            else each
            for each in parts
        ]

    return bend


def added(*more: Instruction) -> Bend:
    return lambda parts: [*parts, *more]


def without(program: Pubkey) -> Bend:
    return lambda parts: [each for each in parts if each.program_id != program]


def budgeted(limit: int, price: int) -> Bend:
    return lambda parts: [*budget(limit, price), *parts[2:]]


OWN_TOKEN: Final = associated(ME, MARKET.token)
U64_MAX: Final = (1 << 64) - 1
MEMO: Final = Instruction(Pubkey.from_string("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr"), b"hi", [])
NONCE: Final = Instruction(SYSTEM, b"\x04\0\0\0", [AccountMeta(STRANGER, False, True), AccountMeta(ME, True, False)])
NEWER: Final = TOKEN_2022_PROGRAM


def newer(given: Instruction) -> Instruction:
    """Return the same instruction to the other token program."""
    return Instruction(NEWER, bytes(given.data), list(given.accounts))


def of_system(data: bytes, *accounts: Pubkey) -> Instruction:
    return Instruction(SYSTEM, data, [AccountMeta(each, each == ME, True) for each in accounts])


def also_swapped(place: int, address: Pubkey) -> Bend:
    """Swap a second time, with another account in one place."""

    def bend(parts: list[Instruction]) -> list[Instruction]:
        return [*parts, other_accounts(place, address)([MARKET.swap()])[0]]

    return bend


def made_otherwise(data: bytes) -> Bend:
    made = create(MARKET.token)
    return added(Instruction(ATA_PROGRAM, data, list(made.accounts)))


WRAPPED: Final = associated(ME, NATIVE_MINT)
SIGNED_MEMO: Final = Instruction(MEMO.program_id, b"hi", [AccountMeta(STRANGER, True, False)])
BENT: Final[dict[str, tuple[Bend, set[str]]]] = {
    "a stranger signs and only reads": (added(SIGNED_MEMO), {"signers", "program"}),
    "a nonce that makes it last": (lambda parts: [NONCE, *parts], {"system_instruction"}),
    "a new account with a seed": (
        added(of_system(b"\x03\0\0\0" + bytes(80), ME, STRANGER)),
        {"system_instruction"},
    ),
    "the wallet given to a program": (added(of_system(b"\x01\0\0\0" + bytes(STRANGER), ME)), {"system_instruction"}),
    "lamports by a seed": (added(of_system(b"\x0b\0\0\0" + bytes(48), ME, STRANGER)), {"system_instruction"}),
    "lamports with more behind": (
        added(of_system(b"\x02\0\0\0" + bytes(9), ME, WRAPPED)),
        {"system_instruction"},
    ),
    "lamports with one account more": (
        added(of_system(b"\x02\0\0\0" + bytes(8), ME, WRAPPED, STRANGER)),
        {"system_instruction"},
    ),
    "tokens approved with their decimals": (
        added(token(b"\x0d" + b"\xff" * 8 + b"\x06", OWN_TOKEN, MARKET.token, STRANGER, ME)),
        {"token_instruction"},
    ),
    "tokens approved in the newer program": (
        added(newer(token(b"\x04" + b"\xff" * 8, OWN_TOKEN, STRANGER, ME))),
        {"token_instruction"},
    ),
    "wrapped SOL given away": (
        added(token(b"\x06\x02\x01" + bytes(STRANGER), WRAPPED, ME)),
        {"token_instruction"},
    ),
    "the right to close given away": (
        added(token(b"\x06\x03\x01" + bytes(STRANGER), OWN_TOKEN, ME)),
        {"token_instruction"},
    ),
    "wrapped SOL closed to a stranger in the newer program": (
        added(newer(close(to=STRANGER))),
        {"token_instruction"},
    ),
    "several in one": (added(token(b"\xff\x03\x01" + bytes(9), OWN_TOKEN, STRANGER, ME)), {"token_instruction"}),
    "nothing to a token program": (added(token(b"")), {"token_instruction"}),
    "an account made where one may be": (made_otherwise(b"\0"), {"account_creation"}),
    "an account inside of an account": (made_otherwise(b"\x02"), {"account_creation"}),
    "a second swap into a stranger's account": (also_swapped(2, STRANGER), {"swaps", "swap_destination"}),
    "a second swap to another mint": (also_swapped(4, STRANGER), {"swaps", "swap_destination"}),
    "a budget cut short": (
        lambda parts: [*parts[1:], Instruction(budget()[0].program_id, b"\x02\0\0", [])],
        {"compute_budget"},
    ),
    "a stranger signs too": (added(transfer(STRANGER, 1, source=STRANGER)), {"signers", "system_instruction"}),
    "an unknown program": (added(MEMO), {"program"}),
    "lamports to a stranger": (added(transfer(STRANGER, 1)), {"system_transfer"}),
    "more wrapped than is swapped": (added(transfer(associated(ME, NATIVE_MINT), 1)), {"system_transfer"}),
    "a tip above the mandate's": (added(transfer(TIP, 10_001)), {"tip"}),
    "two tips": (added(transfer(TIP, 9_000), transfer(TIP, 9_000)), {"tip"}),
    "a nonce instead of an expiry": (added(NONCE), {"system_instruction"}),
    "zero-length data": (added(Instruction(SYSTEM, b"", [AccountMeta(ME, True, True)])), {"system_instruction"}),
    "tokens approved to a stranger": (
        added(token(b"\x04" + b"\xff" * 8, OWN_TOKEN, STRANGER, ME)),
        {"token_instruction"},
    ),
    "tokens sent to a stranger": (
        added(token(b"\x03" + b"\x01" * 8, OWN_TOKEN, STRANGER, ME)),
        {"token_instruction"},
    ),
    "an account given away": (
        added(token(b"\x06\x02\x01" + bytes(STRANGER), OWN_TOKEN, ME)),
        {"token_instruction"},
    ),
    "tokens burnt": (added(token(b"\x08" + b"\x01" * 8, OWN_TOKEN, MARKET.token, ME)), {"token_instruction"}),
    "wrapped SOL closed to a stranger": (added(close(to=STRANGER)), {"token_instruction"}),
    "a token account closed": (added(close(OWN_TOKEN)), {"token_instruction"}),
    "a stranger's account synchronised": (added(sync(STRANGER)), {"token_instruction"}),
    "an account made for a stranger": (added(create(MARKET.token, STRANGER)), {"account_creation"}),
    "an account made for another mint": (added(create(STRANGER)), {"account_creation"}),
    "the swap twice": (added(MARKET.swap()), {"swaps"}),
    "no swap": (without(ROUTER_PROGRAM), {"swaps"}),
    "no budget": (without(budget()[0].program_id), {"compute_budget"}),
    "a second budget": (added(budget()[1]), {"compute_budget"}),
    "a heap request": (added(Instruction(budget()[0].program_id, b"\x01\0\0\1\0", [])), {"compute_budget"}),
    "a fee above the intent's": (budgeted(1_000_000, 200_000), {"fee"}),
    "a price that overflows": (budgeted(1_400_000, U64_MAX), {"fee"}),
    "a limit above the chain's": (budgeted(1_400_001, 0), {"compute_budget"}),
    "a lower minimum": (lambda parts: [*parts[:6], MARKET.swap(slippage_bps=101), close()], {"min_out", "slippage"}),
    "no minimum": (lambda parts: [*parts[:6], MARKET.swap(quoted=0), close()], {"min_out"}),
    "slippage beyond everything": (
        lambda parts: [*parts[:6], MARKET.swap(slippage_bps=65_535), close()],
        {"min_out", "slippage"},
    ),
    "another amount": (lambda parts: [*parts[:6], MARKET.swap(amount=AMOUNT + 1), close()], {"amount_in"}),
    "a platform's fee": (swapped_data(lambda data: data[:26] + b"\x01" + data[27:]), {"platform_fee"}),
    "a share of a better price": (swapped_data(lambda data: data[:28] + b"\x01" + data[29:]), {"platform_fee"}),
    "the first form of the route": (
        swapped_data(lambda data: bytes.fromhex("e517cb977ae3ad2a") + data[8:]),
        {"router_instruction"},
    ),
    "an unknown route": (swapped_data(lambda data: b"\0" * 8 + data[8:]), {"router_instruction"}),
    "a route cut short": (swapped_data(lambda data: data[:20]), {"router_instruction"}),
    "a route without data": (swapped_data(lambda _data: b""), {"router_instruction"}),
    "a stranger's authority": (other_accounts(0, STRANGER), {"signers", "swap_source"}),
    "out of a stranger's account": (other_accounts(1, STRANGER), {"swap_source"}),
    "out of another own account": (other_accounts(1, OWN_TOKEN), {"swap_source"}),
    "out of another mint": (other_accounts(3, STRANGER), {"swap_source"}),
    "into a stranger's account": (other_accounts(2, STRANGER), {"swap_destination"}),
    "into a stranger's account by the side": (other_accounts(7, STRANGER), {"swap_destination"}),
    "another mint": (other_accounts(4, STRANGER), {"swap_destination"}),
}


def bent(name: str, form: str, chain: SetChain) -> bytes:
    """Return a message bent in a way and in a form; its lookup table is what the chain says it is."""
    return FORMS[form](BENT[name][0](MARKET.parts()), chain)


def nobodys() -> bytes:
    """Return a message without a single account."""
    return b"\x80\0\0\0\0" + bytes(32) + b"\0\0"


def too_large() -> bytes:
    """Return the good swap with so many accounts to read that no packet holds it."""
    more = [AccountMeta(Pubkey.from_bytes(bytes([each + 1]) * 32), False, False) for each in range(30)]

    def longer(given: Instruction) -> Instruction:
        if given.program_id != ROUTER_PROGRAM:
            return given
        return Instruction(given.program_id, bytes(given.data), [*given.accounts, *more])

    return MARKET.message([longer(each) for each in MARKET.parts()])


def hidden(stranger: Pubkey, chain: SetChain) -> bytes:
    """Return a message that pays an address of a lookup table which says one thing to us and another to the chain."""
    made = tabled([*MARKET.parts(), transfer(stranger, 1)], chain)
    chain.held[str(TABLE)] = tuple(str(STRANGER) if each == str(stranger) else each for each in chain.held[str(TABLE)])
    return made
