"""What is signed beside swaps: a transfer to the cold address, closed accounts, and nothing that is bent at all."""

from dataclasses import replace

import pytest
from solders.hash import Hash
from solders.instruction import CompiledInstruction, Instruction
from solders.message import Message, MessageAddressTableLookup, MessageV0, to_bytes_versioned
from solders.pubkey import Pubkey
from tests.support.signing import COLD, OTHER_TOKEN, TOKEN, WALLET, mandate
from tests.support.swap_messages import ME, STRANGER, Market, budget, token, transfer
from tests.support.upkeep_messages import (
    ACCOUNTS,
    COLD_KEY,
    EXTENDED,
    PLAIN,
    SWEPT,
    close_two,
    closing,
    closing_parts,
    empty,
    message,
    own,
    sweep,
    sweep_parts,
)

from trading.execution.token_accounts import closing_problem
from trading.execution.upkeep_rules import ACCOUNTS_MAX, UpkeepBounds, account_violations, upkeep_violations
from trading.model.chain import SignWanted
from trading.model.intent import SOL_MINT, IntentKind, OwnAccount

pytestmark = [pytest.mark.requirement("T10")]

BOUNDS = UpkeepBounds(fee_lamports_max=200_000, cold_address=COLD)
ELSEWHERE = str(STRANGER)
MEMO = Pubkey.from_string("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr")


def problems(wanted: SignWanted, bounds: UpkeepBounds = BOUNDS) -> tuple[str, ...]:
    return upkeep_violations(wanted, bounds)


def test_a_good_sweep_and_a_good_closing_are_taken() -> None:
    assert problems(sweep()) == problems(close_two()) == ()
    legacy = Message.new_with_blockhash(sweep_parts(), ME, Hash.default())
    assert problems(sweep(message=bytes(to_bytes_versioned(legacy)))) == ()


def swept(*parts: Instruction) -> SignWanted:
    return sweep([*budget(1_000), *parts])


def closed(*parts: Instruction, accounts: tuple[OwnAccount, ...] = ACCOUNTS) -> SignWanted:
    return close_two([*budget(20_000), *parts], accounts=accounts)


THEIRS = own(owner=ELSEWHERE)
WRAPPED = own(SOL_MINT)
MANY = tuple(own(str(Pubkey.from_bytes(bytes([n]) * 32))) for n in range(1, ACCOUNTS_MAX + 2))
RED_TEAM = {
    "another destination": (swept(transfer(STRANGER, SWEPT)), {"cold_address"}),
    "a destination that the asker names": (
        replace(swept(transfer(STRANGER, SWEPT)), to_address=ELSEWHERE),
        {"cold_address"},
    ),
    "the wallet itself": (swept(transfer(ME, SWEPT)), {"cold_address"}),
    "a lamport more": (swept(transfer(COLD_KEY, SWEPT + 1)), {"amount_in"}),
    "a lamport less": (swept(transfer(COLD_KEY, SWEPT - 1)), {"amount_in"}),
    "twice": (swept(transfer(COLD_KEY, SWEPT), transfer(COLD_KEY, SWEPT)), {"transfers"}),
    "not at all": (swept(), {"transfers"}),
    "nothing": (replace(swept(transfer(COLD_KEY, 0)), amount_in=0), {"transfers"}),
    "from a stranger": (swept(transfer(COLD_KEY, SWEPT, STRANGER)), {"signers", "system_instruction"}),
    "another payer": (sweep(message=message(sweep_parts(), STRANGER)), {"signers"}),
    "another system instruction": (
        swept(Instruction(transfer(ME, 1).program_id, b"\x03" + bytes(11), transfer(COLD_KEY, 1).accounts)),
        {"system_instruction", "transfers"},
    ),
    "a swap beside it": (sweep([*sweep_parts(), Market().swap()]), {"program"}),
    "a memo beside it": (sweep([*sweep_parts(), Instruction(MEMO, b"hi", [])]), {"program"}),
    "an account closed beside it": (sweep([*sweep_parts(), closing(ACCOUNTS[0])]), {"account", "mixed"}),
    "accounts named beside it": (sweep(accounts=ACCOUNTS), {"mixed"}),
    "no budget": (sweep([transfer(COLD_KEY, SWEPT)]), {"compute_budget"}),
    "a budget twice": (sweep([*budget(1_000), *sweep_parts()]), {"compute_budget"}),
    "a limit above all": (sweep([*budget(1_400_001, 0), transfer(COLD_KEY, SWEPT)]), {"compute_budget"}),
    "another budget instruction": (
        sweep([Instruction(budget()[0].program_id, b"\x01" + bytes(4), []), *sweep_parts()]),
        {"compute_budget"},
    ),
    "a fee above the asker's": (sweep(fee_lamports_max=5_000), {"fee"}),
    "a fee above the mandate's": (
        sweep([*budget(200_000, 1_000_000), transfer(COLD_KEY, SWEPT)], fee_lamports_max=10**9),
        {"fee"},
    ),
    "a swap that is said to be one": (sweep(kind=IntentKind.SWAP), {"kind"}),
    "a closing to a stranger": (closed(closing(ACCOUNTS[0], STRANGER), closing(ACCOUNTS[1])), {"token_instruction"}),
    "a closing to the cold address": (
        closed(closing(ACCOUNTS[0], COLD_KEY), closing(ACCOUNTS[1])),
        {"token_instruction"},
    ),
    "a closing by a stranger": (
        closed(closing(ACCOUNTS[0], ME, STRANGER), closing(ACCOUNTS[1])),
        {"signers", "token_instruction"},
    ),
    "a stranger's account": (closed(closing(THEIRS), accounts=(THEIRS,)), {"owner"}),
    "an account that is not named": (closed(*map(closing, (*ACCOUNTS, THEIRS))), {"account"}),
    "one that is named and stays": (closed(closing(ACCOUNTS[0])), {"accounts_closed"}),
    "one twice": (closed(*map(closing, (*ACCOUNTS, ACCOUNTS[0]))), {"accounts_closed"}),
    "one named twice": (closed(closing(ACCOUNTS[0]), accounts=(ACCOUNTS[0],) * 2), {"accounts_closed"}),
    "more than may be": (closed(*map(closing, MANY), accounts=MANY), {"accounts_closed"}),
    "nothing closed": (closed(accounts=()), {"accounts_closed"}),
    "under the other program": (
        closed(closing(OwnAccount(ACCOUNTS[0].address, TOKEN, EXTENDED)), accounts=(ACCOUNTS[0],)),
        {"account"},
    ),
    "under a program that is none": (
        closed(closing(ACCOUNTS[0]), accounts=(replace(ACCOUNTS[0], program=ELSEWHERE),)),
        {"account", "owner"},
    ),
    "of another mint than named": (
        closed(closing(ACCOUNTS[0]), accounts=(replace(ACCOUNTS[0], mint=OTHER_TOKEN),)),
        {"owner"},
    ),
    "wrapped SOL": (closed(closing(WRAPPED), accounts=(WRAPPED,)), {"wrapped_sol"}),
    "a transfer beside it": (close_two([*closing_parts(), transfer(COLD_KEY, 1)]), {"cold_address", "mixed"}),
    "an address named beside it": (close_two(to_address=COLD), {"mixed"}),
    "tokens sent beside it": (
        close_two([*closing_parts(), token(b"\x03" + bytes(8), ME, STRANGER, ME)]),
        {"token_instruction"},
    ),
    "an approval of tokens": (
        close_two([*closing_parts(), token(b"\x04" + bytes(8), ME, STRANGER, ME)]),
        {"token_instruction"},
    ),
}


@pytest.mark.parametrize("name", list(RED_TEAM))
def test_whatever_is_bent_is_refused_by_name(name: str) -> None:
    wanted, expected = RED_TEAM[name]
    assert expected <= set(problems(wanted)), problems(wanted)


@pytest.mark.parametrize("raw", [b"", b"\x80", b"\xff" * 100, sweep().message + b"\0", b"\x81" + sweep().message[1:]])
def test_what_is_no_message_is_refused(raw: bytes) -> None:
    assert problems(sweep(message=raw)) == ("unparseable",)


def test_a_message_that_no_packet_holds_is_refused() -> None:
    assert problems(sweep(message=bytes(1_200))) == ("size",)


def bare(keys: list[Pubkey], lookups: list[MessageAddressTableLookup], accounts: bytes) -> bytes:
    header = MessageV0.try_compile(ME, sweep_parts(), [], Hash.default()).header
    instruction = CompiledInstruction(1, b"\x02\0\0\0" + bytes(8), accounts)
    return bytes(to_bytes_versioned(MessageV0(header, keys, Hash.default(), [instruction], lookups)))


def test_a_message_with_a_lookup_table_is_refused_whatever_it_holds() -> None:
    lookups = [MessageAddressTableLookup(STRANGER, b"\0", b"")]
    assert problems(sweep(message=bare([ME, COLD_KEY], lookups, b"\0\1"))) == ("lookup_table",)


def test_an_account_that_the_message_has_not_and_one_that_it_has_twice_are_refused() -> None:
    assert problems(sweep(message=bare([ME, COLD_KEY], [], b"\0\7"))) == ("unparseable",)
    assert "accounts" in problems(sweep(message=bare([ME, COLD_KEY, COLD_KEY], [], b"\0\2")))


def extension(number: int, value: bytes) -> bytes:
    return number.to_bytes(2, "little") + len(value).to_bytes(2, "little") + value


ACCOUNT = own(TOKEN, EXTENDED)
OTHERS = b"\1\0\0\0" + bytes(STRANGER)
SEEN = {
    "an empty one": (empty(own()), ""),
    "an empty one with what any has": (
        empty(ACCOUNT, more=b"\2" + extension(7, b"") + extension(2, bytes(8)) + extension(0, b"")),
        "",
    ),
    "an empty one with no room left": (empty(ACCOUNT, more=b"\2" + extension(7, b"")), ""),
    "nothing": (None, "not_there"),
    "lamports alone": (replace(empty(own()), lamports=0), "not_there"),
    "something of another program": (replace(empty(own()), owner=ELSEWHERE), "not_ours"),
    "something short": (replace(empty(own()), data=bytes(100)), "not_ours"),
    "an account of a stranger": (empty(own(), ELSEWHERE), "not_ours"),
    "an account of another mint": (empty(own(), mint=bytes(STRANGER)), "not_ours"),
    "one with a balance": (empty(own(), amount=b"\1" + bytes(7)), "not_empty"),
    "one with a large balance": (empty(own(), amount=bytes(7) + b"\1"), "not_empty"),
    "a frozen one": (empty(own(), state=b"\2"), "frozen"),
    "one that another may close": (empty(own(), authority=OTHERS), "close_authority"),
    "one that we may close": (empty(own(), authority=b"\1\0\0\0" + bytes(ME)), ""),
    "one with fees of transfers": (empty(ACCOUNT, more=b"\2" + extension(2, b"\5" + bytes(7))), "withheld_fees"),
    "one with something unknown": (empty(ACCOUNT, more=b"\2" + extension(99, b"x")), "extension"),
    "one that is cut off": (empty(ACCOUNT, more=b"\2" + extension(7, b"abc")[:-1]), "extension"),
    "a mint": (empty(ACCOUNT, more=b"\1"), "not_ours"),
}


@pytest.mark.parametrize("name", list(SEEN))
def test_an_account_is_closed_or_left_alone_with_a_reason(name: str) -> None:
    seen, expected = SEEN[name]
    account = own() if seen is None or seen.address == own().address else ACCOUNT
    assert closing_problem(account, seen, WALLET) == expected
    assert PLAIN != EXTENDED


def test_of_accounts_that_are_to_be_closed_every_problem_is_told_once() -> None:
    wanted = close_two()
    good = [empty(each) for each in ACCOUNTS]
    assert account_violations(wanted, good) == ()
    assert account_violations(wanted, [None, None]) == ("not_there",)
    assert account_violations(wanted, [good[0], empty(ACCOUNTS[1], amount=b"\1" + bytes(7))]) == ("not_empty",)


def test_a_mandate_of_before_there_were_sweeps_is_spelled_as_it_was() -> None:
    assert b"sweep" not in mandate().canonical()
    assert mandate(sweep_day_lamports_max=1).sha256 != mandate().sha256
