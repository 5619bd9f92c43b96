"""Mints that are not bought, from the bytes of their accounts."""

import struct

import pytest

from trading.adapters.solana.mints import TOKEN_2022_PROGRAM, TOKEN_PROGRAM
from trading.model.chain import AccountSeen
from trading.model.rug_rules import MintPower, RugRules
from trading.runtime.mint_policy import MintPolicy, mint_problems

STRICT = RugRules()

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
    assert mint_problems(mint(), STRICT) == []
    harmless = mint((18, bytes(64)), (19, b"name"), (14, bytes(64)), (1, fees(NOBODY, 0)), (6, b"\x01"))
    assert mint_problems(harmless, STRICT) == []


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
    [problem] = mint_problems(TRAPS[said], STRICT)
    assert said in problem


POWERS = {
    "can mint": MintPower.MINT,
    "can freeze": MintPower.FREEZE,
    "can set a fee": MintPower.TAX,
    "is asked at every": MintPower.HOOK,
    "can set a program": MintPower.HOOK,
    "can take it": MintPower.MOVE,
    "can stop its transfers": MintPower.STOP,
}


@pytest.mark.requirement("T10")
@pytest.mark.parametrize("said", TRAPS)
def test_the_profile_says_which_powers_it_takes_and_no_profile_takes_the_rest(said: str) -> None:
    power = POWERS.get(said)
    others = tuple(each for each in MintPower if each is not power)
    assert mint_problems(TRAPS[said], RugRules(powers_allowed=others)) != []
    everything = RugRules(powers_allowed=tuple(MintPower))
    assert (mint_problems(TRAPS[said], everything) == []) is (power is not None)


def test_a_fee_of_transfers_is_taken_up_to_the_profiles_bound() -> None:
    taxed = mint((1, fees(NOBODY, 50)))
    assert mint_problems(taxed, RugRules(transfer_fee_bps_max=49)) != []
    assert mint_problems(taxed, RugRules(transfer_fee_bps_max=50)) == []


def test_a_banned_mint_is_not_bought_and_nothing_is_before_the_desk_names_its_profile() -> None:
    policy = MintPolicy()
    assert "profile" in policy.problems(mint())[0]
    policy.rules = STRICT
    assert policy.problems(mint()) == []
    policy.rules = RugRules(banned=("mint",))
    assert "ban list" in policy.problems(mint())[0]


def test_what_is_no_mint_is_not_bought() -> None:
    everything = RugRules(powers_allowed=tuple(MintPower))
    assert mint_problems(AccountSeen("mint", TOKEN_PROGRAM, 1, bytes(82), False, 1), everything) != []
    cut = mint((12, KEY)).data[:-1]
    assert mint_problems(AccountSeen("mint", TOKEN_2022_PROGRAM, 1, cut, False, 1), everything) != []
