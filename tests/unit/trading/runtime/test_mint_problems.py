"""Mints that are not bought, from the bytes of their accounts."""

import struct

import pytest

from trading.adapters.solana.mints import TOKEN_2022_PROGRAM, TOKEN_PROGRAM
from trading.model.chain import AccountSeen
from trading.runtime.live_run import mint_problems

KEY, NOBODY = bytes([7]) * 32, bytes(32)


def mint(*extensions: tuple[int, bytes], minter: bool = False, freezer: bool = False) -> AccountSeen:
    """Return a mint that nobody controls but by what is named."""
    head = struct.pack("<I32sQBBI32s", minter, KEY if minter else NOBODY, 10**15, 6, 1, freezer, KEY)
    if not extensions:
        return AccountSeen("mint", TOKEN_PROGRAM, 1, head, False, 1)
    tail = b"".join(struct.pack("<HH", number, len(value)) + value for number, value in extensions)
    return AccountSeen("mint", TOKEN_2022_PROGRAM, 1, head.ljust(165, b"\0") + b"\x01" + tail, False, 1)


def fees(authority: bytes, bps: int) -> bytes:
    return authority + NOBODY + bytes(8) + struct.pack("<QQHQQH", 0, 0, 0, 1, 10**6, bps)


def test_a_mint_that_nobody_controls_is_bought() -> None:
    assert mint_problems(mint()) == []
    harmless = mint((18, bytes(64)), (19, b"name"), (14, bytes(64)), (1, fees(NOBODY, 0)), (6, b"\x01"))
    assert mint_problems(harmless) == []


TRAPS = {
    "can mint": mint(minter=True),
    "can freeze": mint(freezer=True),
    "takes a fee": mint((1, fees(NOBODY, 1))),
    "can set a fee": mint((1, fees(KEY, 0))),
    "is asked at every": mint((14, NOBODY + KEY)),
    "can set a program": mint((14, KEY + NOBODY)),
    "can take it": mint((12, KEY)),
    "are frozen": mint((6, b"\x02")),
    "cannot be sent on": mint((9, b"")),
    "transfers are stopped": mint((26, NOBODY + b"\x01")),
    "can stop its transfers": mint((26, KEY + b"\0")),
    "not known here": mint((99, b"")),
}


@pytest.mark.requirement("T10")
@pytest.mark.parametrize("said", TRAPS)
def test_a_trap_is_named_and_nothing_else(said: str) -> None:
    [problem] = mint_problems(TRAPS[said])
    assert said in problem


def test_what_is_no_mint_is_not_bought() -> None:
    assert mint_problems(AccountSeen("mint", TOKEN_PROGRAM, 1, bytes(82), False, 1)) != []
    assert mint_problems(AccountSeen("mint", TOKEN_2022_PROGRAM, 1, mint((12, KEY)).data[:-1], False, 1)) != []
