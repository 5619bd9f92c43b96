"""What a mint says. The accounts are made by the real token programs in a virtual machine."""

import struct
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.litesvm import LiteSVM
from solders.pubkey import Pubkey
from solders.system_program import CreateAccountParams, create_account
from solders.transaction import Transaction
from solders.transaction_metadata import FailedTransactionMetadata

from trading.adapters.solana.mints import EXTENSIONS, TOKEN_2022_PROGRAM, TOKEN_PROGRAM, read_mint
from trading.errors import DataError
from trading.model.chain import AccountSeen, MintSeen

pytestmark = pytest.mark.requirement("T10")
MINTER, FREEZER, OTHER = (Keypair().pubkey() for _ in range(3))
NOBODY = bytes(32)
FEE = b"\x1a\x00\x01" + bytes(OTHER) + b"\x01" + bytes(OTHER) + struct.pack("<HQ", 250, 5_000)
MADE: dict[str, tuple[int, bytes]] = {
    "transfer_fee": (108, FEE),
    "close_authority": (32, b"\x19\x01" + bytes(OTHER)),
    "default_account_state": (1, b"\x1c\x00\x02"),
    "non_transferable": (0, b"\x20"),
    "interest_bearing": (52, b"\x21\x00" + bytes(OTHER) + struct.pack("<h", 500)),
    "permanent_delegate": (32, b"\x23" + bytes(OTHER)),
    "transfer_hook": (64, b"\x24\x00" + bytes(MINTER) + bytes(OTHER)),
    "metadata_pointer": (64, b"\x27\x00" + bytes(OTHER) * 2),
    "group_pointer": (64, b"\x28\x00" + bytes(OTHER) * 2),
    "group_member_pointer": (64, b"\x29\x00" + bytes(OTHER) * 2),
    "scaled_ui_amount": (56, b"\x2b\x00" + bytes(OTHER) + struct.pack("<d", 2.0)),
    "pausable": (33, b"\x2c\x00" + bytes(OTHER)),
}
"""Length of each extension, and the instruction that makes it."""


def made(
    extensions: Sequence[tuple[int, bytes]] = (),
    *,
    program: str = TOKEN_2022_PROGRAM,
    freezer: Pubkey | None = FREEZER,
) -> AccountSeen:
    """Let the program make a mint; return its account."""
    machine, payer, mint = LiteSVM(), Keypair(), Keypair()
    machine.airdrop(payer.pubkey(), 10**10)
    size = 166 + sum(4 + length for length, _ in extensions) if extensions else 82
    owner = Pubkey.from_string(program)
    calls = [
        create_account(
            CreateAccountParams(
                from_pubkey=payer.pubkey(), to_pubkey=mint.pubkey(), lamports=10**8, space=size, owner=owner
            )
        )
    ]
    freeze = b"\x00" if freezer is None else b"\x01" + bytes(freezer)
    told = [*(data for _, data in extensions), b"\x14\x06" + bytes(MINTER) + freeze]
    calls += [Instruction(owner, data, [AccountMeta(mint.pubkey(), False, True)]) for data in told]
    done = machine.send_transaction(
        Transaction.new_signed_with_payer(calls, payer.pubkey(), [payer, mint], machine.latest_blockhash())
    )
    assert not isinstance(done, FailedTransactionMetadata), done
    account = machine.get_account(mint.pubkey())
    assert account is not None
    return AccountSeen(str(mint.pubkey()), str(account.owner), account.lamports, bytes(account.data), False, 1)


def plain(mint: str, **changes: object) -> MintSeen:
    given: dict[str, object] = {
        "mint": mint,
        "token_program": TOKEN_2022_PROGRAM,
        "decimals": 6,
        "supply_units": 0,
        "mint_authority": str(MINTER),
        "freeze_authority": str(FREEZER),
        "transfer_fee_bps": 0,
        "transfer_fee_max_units": 0,
        "transfer_hook": "",
        "permanent_delegate": "",
        "is_frozen_by_default": False,
        "is_non_transferable": False,
    }
    return MintSeen(**(given | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("program", [TOKEN_PROGRAM, TOKEN_2022_PROGRAM])
def test_a_plain_mint_says_who_can_mint_and_freeze(program: str) -> None:
    account = made(program=program)
    assert read_mint(account) == plain(account.address, token_program=program)
    free = made(program=program, freezer=None)
    assert read_mint(free).freeze_authority == ""


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        (
            "transfer_fee",
            {"transfer_fee_bps": 250, "transfer_fee_max_units": 5_000, "transfer_fee_authority": str(OTHER)},
        ),
        ("default_account_state", {"is_frozen_by_default": True}),
        ("non_transferable", {"is_non_transferable": True}),
        ("permanent_delegate", {"permanent_delegate": str(OTHER)}),
        ("transfer_hook", {"transfer_hook": str(OTHER), "transfer_hook_authority": str(MINTER)}),
        ("pausable", {"pause_authority": str(OTHER)}),
    ],
)
def test_each_trap_of_token_2022_shows(name: str, changes: dict[str, object]) -> None:
    account = made([MADE[name]])
    assert read_mint(account) == plain(account.address, extensions=(name,), **changes)


@pytest.mark.parametrize("name", sorted(MADE))
def test_the_length_of_each_extension_is_the_program_s(name: str) -> None:
    seen = read_mint(made([MADE[name]]))
    assert (seen.extensions, seen.unknown_extensions) == ((name,), ())


def test_many_extensions_are_read_one_behind_the_other() -> None:
    names = ["metadata_pointer", "transfer_fee", "default_account_state", "permanent_delegate", "pausable"]
    seen = read_mint(made([MADE[name] for name in names]))
    assert sorted(seen.extensions) == sorted(names)
    assert (seen.transfer_fee_bps, seen.permanent_delegate, seen.is_frozen_by_default) == (250, str(OTHER), True)


def test_the_higher_of_two_fees_counts() -> None:
    account = made([MADE["transfer_fee"]])
    for at in (166 + 4 + 88, 166 + 4 + 106):  # the older one, the one of a coming epoch
        data = bytearray(account.data)
        struct.pack_into("<H", data, at, 9_000)
        changed = AccountSeen(account.address, account.owner, 1, bytes(data), False, 1)
        assert read_mint(changed).transfer_fee_bps == 9_000


@pytest.mark.parametrize("number", [2, 5, 7, 27, 29, 99, 65_535])
def test_an_extension_that_we_do_not_know_on_a_mint_is_reported(number: int) -> None:
    account = made([MADE["permanent_delegate"]])
    data = account.data + struct.pack("<HH", number, 3) + b"abc"
    seen = read_mint(AccountSeen(account.address, account.owner, 1, data, False, 1))
    assert seen.unknown_extensions == (number,)
    assert seen.permanent_delegate == str(OTHER)


def test_an_extension_of_another_length_is_not_known() -> None:
    account = made()
    for number, (name, length) in EXTENSIONS.items():
        if length is None:
            continue
        data = account.data + bytes(83) + b"\x01" + struct.pack("<HH", number, length + 1) + bytes(length + 1)
        seen = read_mint(AccountSeen(account.address, account.owner, 1, data, False, 1))
        assert seen.unknown_extensions == (number,), name


@given(st.binary(max_size=400), st.booleans())
def test_whatever_the_bytes_are_it_is_a_mint_or_a_data_error(tail: bytes, is_extended: bool) -> None:
    base = MINT_DATA + (bytes(83) + b"\x01" + tail if is_extended else tail)
    try:
        seen = read_mint(AccountSeen("mint", TOKEN_2022_PROGRAM, 1, base, False, 1))
    except DataError:
        return
    assert seen.decimals == 6


MINT_DATA = made().data


@pytest.mark.parametrize(
    "account",
    [
        AccountSeen("a", "11111111111111111111111111111111", 1, MINT_DATA, False, 1),
        AccountSeen("a", TOKEN_PROGRAM, 1, b"", False, 1),
        AccountSeen("a", TOKEN_PROGRAM, 1, bytes(82), False, 1),
        AccountSeen("a", TOKEN_PROGRAM, 1, MINT_DATA + bytes(83), False, 1),  # a token account
        AccountSeen("a", TOKEN_PROGRAM, 1, MINT_DATA + bytes(83) + b"\x01", False, 1),
        AccountSeen("a", TOKEN_2022_PROGRAM, 1, MINT_DATA + bytes(83) + b"\x02", False, 1),  # a token account
        AccountSeen("a", TOKEN_2022_PROGRAM, 1, MINT_DATA + bytes(83) + b"\x01" + bytes(189), False, 1),  # multisig
        AccountSeen("a", TOKEN_2022_PROGRAM, 1, MINT_DATA + bytes(83) + b"\x01\x0c\x00\x20\x00", False, 1),
    ],
)
def test_what_is_no_mint_is_refused(account: AccountSeen) -> None:
    with pytest.raises(DataError):
        read_mint(account)
