"""Messages that the signer reads: the good swap, which really swaps, and every way we know to bend it."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.message import Message, MessageV0, to_bytes_versioned
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction
from tests.doubles.signer_parts import SetChain
from tests.support.signing import KEY, SOL, mandate
from tests.support.swap_messages import (
    AMOUNT,
    ME,
    STRANGER,
    SYSTEM,
    Market,
    associated,
    budget,
    close,
    create,
    sync,
    token,
    transfer,
)

from trading.execution.verifier import violations_of
from trading.model.mandate import Mandate
from trading.rehearsal.pools import ROUTER_PROGRAM
from trading.rehearsal.tokens import NATIVE_MINT, TOKEN_PROGRAM, token_balance
from trading.signing.messages import SwapMessages, bounds_of

pytestmark = pytest.mark.anyio
MARKET = Market()
TIP = Pubkey.from_bytes(bytes([77]) * 32)


def wide(**changes: object) -> Mandate:
    return mandate(mints=(str(MARKET.token),), tip_accounts=(str(TIP),), tip_lamports_max=10_000, **changes)


async def problems(message: bytes, chain: SetChain | None = None, allowed: Mandate | None = None) -> tuple[str, ...]:
    wanted = MARKET.wanted(message)
    return await SwapMessages().violations(wanted, allowed or wide(), chain or SetChain())


def bent(bend: Callable[[list[Instruction]], list[Instruction]]) -> bytes:
    return MARKET.message(bend(MARKET.parts()))


async def test_the_good_swap_is_taken_and_really_swaps() -> None:
    market = Market()
    message = market.message()
    assert await problems(message) == ()
    assert await problems(market.message([*market.parts(), transfer(TIP, 10_000)])) == ()
    signature = Signature.from_bytes(KEY.sign(message))
    made = VersionedTransaction.populate(MessageV0.from_bytes(message[1:]), [signature])
    market.cluster.submit(bytes(made))
    market.cluster.tick()
    assert market.cluster.executed[str(signature)].error is None
    held = token_balance(market.cluster.account(associated(ME, market.token)))
    assert held is not None
    assert held.units >= market.wanted(message).min_out


async def test_a_legacy_message_of_the_same_swap_is_taken() -> None:
    legacy = Message.new_with_blockhash(MARKET.parts(), ME, Hash.default())
    assert await problems(bytes(to_bytes_versioned(legacy))) == ()


def other_accounts(place: int, address: Pubkey) -> Callable[[list[Instruction]], list[Instruction]]:
    """Put another account into a place of the swap."""

    def bend(parts: list[Instruction]) -> list[Instruction]:
        swap = next(each for each in parts if each.program_id == ROUTER_PROGRAM)
        metas = list(swap.accounts)
        metas[place] = AccountMeta(address, metas[place].is_signer, metas[place].is_writable)
        return [Instruction(each.program_id, each.data, metas) if each == swap else each for each in parts]

    return bend


def swapped_data(change: Callable[[bytes], bytes]) -> Callable[[list[Instruction]], list[Instruction]]:
    def bend(parts: list[Instruction]) -> list[Instruction]:
        return [
            Instruction(each.program_id, change(bytes(each.data)), list(each.accounts))
            if each.program_id == ROUTER_PROGRAM
            else each
            for each in parts
        ]

    return bend


def added(*more: Instruction) -> Callable[[list[Instruction]], list[Instruction]]:
    return lambda parts: [*parts, *more]


def without(program: Pubkey) -> Callable[[list[Instruction]], list[Instruction]]:
    return lambda parts: [each for each in parts if each.program_id != program]


def budgeted(limit: int, price: int) -> Callable[[list[Instruction]], list[Instruction]]:
    return lambda parts: [*budget(limit, price), *parts[2:]]


OWN_TOKEN = associated(ME, MARKET.token)
U64_MAX = (1 << 64) - 1
MEMO = Instruction(Pubkey.from_string("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr"), b"hi", [])
NONCE = Instruction(SYSTEM, b"\x04\0\0\0", [AccountMeta(STRANGER, False, True), AccountMeta(ME, True, False)])
BENT = {
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


@pytest.mark.requirement("T10")
@pytest.mark.parametrize("name", list(BENT))
async def test_a_bent_swap_is_refused_by_name(name: str) -> None:
    bend, told = BENT[name]
    assert set(await problems(bent(bend))) == told


async def test_the_router_can_be_read_in_its_second_form() -> None:
    """``shared_accounts_route_v2``: the swap goes through accounts of the router's."""
    quoted, wallet_out = MARKET.quoted, associated(ME, MARKET.token)

    def second(
        slippage_bps: int = 100, fee_bps: int = 0, out: Pubkey = wallet_out, mint: Pubkey = NATIVE_MINT
    ) -> bytes:
        data = bytes.fromhex("d19853937cfed8e9") + b"\x07" + AMOUNT.to_bytes(8, "little") + quoted.to_bytes(8, "little")
        data += slippage_bps.to_bytes(2, "little") + fee_bps.to_bytes(2, "little") + bytes(2) + bytes(4)
        addresses = [STRANGER, ME, associated(ME, NATIVE_MINT), STRANGER, STRANGER, out, mint, MARKET.token]
        addresses += [TOKEN_PROGRAM, TOKEN_PROGRAM, STRANGER, ROUTER_PROGRAM]
        metas = [AccountMeta(each, each == ME, False) for each in addresses]
        return MARKET.message([*MARKET.parts()[:6], Instruction(ROUTER_PROGRAM, data, metas)])

    assert await problems(second()) == ()
    assert await problems(second(slippage_bps=101)) == ("min_out", "slippage")
    assert await problems(second(fee_bps=256)) == ("platform_fee",)
    assert await problems(second(out=STRANGER)) == ("swap_destination",)
    assert await problems(second(mint=STRANGER)) == ("swap_source",)


async def test_another_payer_is_refused() -> None:
    assert "signers" in await problems(MARKET.message(payer=STRANGER))


@pytest.mark.parametrize("raw", [b"", b"\x80", b"\xff" * 100, b"\x81" + MARKET.message()[1:], MARKET.message() + b"\0"])
async def test_what_is_no_message_is_refused(raw: bytes) -> None:
    assert await problems(raw) == ("unparseable",)


async def test_a_message_that_no_packet_holds_is_refused() -> None:
    assert await problems(MARKET.message() + bytes(1_000)) == ("size",)


def looked_up(stranger: Pubkey) -> tuple[bytes, str]:
    """Return a message that takes the payee of a transfer from a lookup table."""
    table = AddressLookupTableAccount(Pubkey.from_bytes(bytes([55]) * 32), [stranger])
    made = MessageV0.try_compile(ME, [*MARKET.parts(), transfer(stranger, 1)], [table], Hash.default())
    return bytes(to_bytes_versioned(made)), str(table.key)


async def test_a_transfer_that_a_lookup_table_hides_is_found() -> None:
    message, table = looked_up(STRANGER)
    chain = SetChain()
    chain.held[table] = (str(STRANGER),)
    assert await problems(message, chain) == ("system_transfer",)
    chain.held[table] = (str(TIP),)
    assert await problems(message, chain) == ()


async def test_a_table_that_the_signer_cannot_read_hides_everything() -> None:
    message, table = looked_up(STRANGER)
    chain = SetChain()
    assert await problems(message, chain) == ("lookup_table",)
    chain.held[table] = ()
    assert await problems(message, chain) == ("lookup_table",)


async def test_a_table_that_names_the_wallet_again_is_refused() -> None:
    message, table = looked_up(STRANGER)
    chain = SetChain()
    chain.held[table] = (str(ME),)
    assert "accounts" in await problems(message, chain)


GOOD = MARKET.message()
GOOD_WANTED = MARKET.wanted(GOOD)
ALLOWED = wide()


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
def test_a_message_with_one_byte_changed_is_refused_or_swaps_no_worse(place: int, change: int) -> None:
    """What may change and pass: the blockhash, a route's inside, how much is at least given, a lower fee."""
    raw = bytearray(GOOD)
    raw[place] ^= change
    try:
        made = MessageV0.from_bytes(bytes(raw)[1:]) if raw[0] == 0x80 else None
    except ValueError:
        made = None
    if made is None or bytes(to_bytes_versioned(made)) != bytes(raw) or made.address_table_lookups:
        return
    keys = [str(each) for each in made.account_keys]
    if violations_of(made, keys, GOOD_WANTED, bounds_of(ALLOWED)):
        return
    swap = next(each for each in made.instructions if keys[each.program_id_index] == str(ROUTER_PROGRAM))
    tail = bytes(swap.data)[8:]
    least = int.from_bytes(tail[8:16], "little") * (10_000 - int.from_bytes(tail[16:18], "little")) // 10_000
    assert keys[0] == str(ME)
    assert made.header.num_required_signatures == 1
    assert int.from_bytes(tail[:8], "little") == AMOUNT
    assert least >= GOOD_WANTED.min_out
    moved = [
        int.from_bytes(bytes(each.data)[4:12], "little")
        for each in made.instructions
        if keys[each.program_id_index] == str(SYSTEM)
    ]
    assert sum(moved) <= AMOUNT + ALLOWED.tip_lamports_max
    paid = {keys[bytes(each.accounts)[1]] for each in made.instructions if keys[each.program_id_index] == str(SYSTEM)}
    assert paid <= {str(associated(ME, NATIVE_MINT)), str(TIP)}


def test_a_sale_closes_to_the_wallet_and_wraps_nothing() -> None:
    units = 1_000
    quoted = MARKET.pool.quote(MARKET.cluster, MARKET.token, units)
    swap = MARKET.pool.instruction(ME, MARKET.token, units, quoted, 100)
    parts = [*budget(), create(NATIVE_MINT), swap, close()]
    bought = MARKET.wanted(b"")
    wanted = replace(
        bought, in_mint=bought.out_mint, out_mint=bought.in_mint, amount_in=units, min_out=quoted * 99 // 100
    )

    def refused(more: list[Instruction]) -> tuple[str, ...]:
        made = MessageV0.from_bytes(MARKET.message([*parts, *more])[1:])
        return violations_of(made, [str(each) for each in made.account_keys], wanted, bounds_of(ALLOWED))

    assert refused([]) == ()
    assert refused([transfer(associated(ME, NATIVE_MINT), SOL)]) == ("system_transfer",)
