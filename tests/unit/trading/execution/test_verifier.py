"""Messages that the signer reads: the good swap, which really swaps, and every way we know to bend it."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.message import MessageV0, to_bytes_versioned
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction
from tests.doubles.signer_parts import SetChain
from tests.support.bent_swaps import BENT, FORMS, MARKET, MEMO, TIP, bent, nobodys, of_the_next_version, too_large, wide
from tests.support.signing import KEY, SOL
from tests.support.swap_messages import (
    AMOUNT,
    ME,
    STRANGER,
    SYSTEM,
    Market,
    budget,
    close,
    create,
    transfer,
)

from trading.execution.verifier import violations_of
from trading.model.mandate import Mandate
from trading.rehearsal.pools import ROUTER_PROGRAM
from trading.rehearsal.tokens import NATIVE_MINT, TOKEN_PROGRAM, associated, token_balance
from trading.signing.messages import SwapMessages, bounds_of

pytestmark = pytest.mark.anyio


async def problems(message: bytes, chain: SetChain | None = None, allowed: Mandate | None = None) -> tuple[str, ...]:
    wanted = MARKET.wanted(message)
    return await SwapMessages().violations(wanted, allowed or wide(), chain or SetChain())


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


@pytest.mark.parametrize("form", FORMS)
async def test_the_good_swap_is_taken_in_every_form(form: str) -> None:
    chain = SetChain()
    assert await problems(FORMS[form](MARKET.parts(), chain), chain) == ()


@pytest.mark.requirement("T10")
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", BENT)
async def test_a_bent_swap_is_refused_by_name(name: str, form: str) -> None:
    chain = SetChain()
    assert set(await problems(bent(name, form, chain), chain)) == BENT[name][1]


async def test_a_program_that_a_mandate_allows_is_still_not_read() -> None:
    message, allowed = MARKET.message([*MARKET.parts(), MEMO]), wide(programs=(str(MEMO.program_id),))
    assert await problems(message, allowed=allowed) == ("program_unread",)


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


NO_MESSAGES = {
    "nothing": b"",
    "a version alone": b"\x80",
    "noise": b"\xff" * 100,
    "another version's number": b"\x81" + MARKET.message()[1:],
    "the next version": of_the_next_version(MARKET.parts()),
    "a byte behind": MARKET.message() + b"\0",
    "nobody's": nobodys(),
}


@pytest.mark.parametrize("raw", NO_MESSAGES.values(), ids=NO_MESSAGES)
async def test_what_is_no_message_is_refused(raw: bytes) -> None:
    assert await problems(raw) == ("unparseable",)


async def test_a_message_that_no_packet_holds_is_refused() -> None:
    assert await problems(too_large()) == ("size",)


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
