"""Symbols mean the tokens they name, and what has no mint can't be mistaken for one."""

import pytest
from solders.pubkey import Pubkey

from trading.feeds.instruments import KNOWN_MINTS, USDC_MINT, WRAPPED_SOL_MINT, instrument_of, launch_instrument


@pytest.mark.parametrize("mint", [WRAPPED_SOL_MINT, USDC_MINT, *(mint for mint, _ in KNOWN_MINTS.values())])
def test_every_known_mint_is_an_address(mint: str) -> None:
    assert str(Pubkey.from_string(mint)) == mint


def test_no_mint_is_listed_twice() -> None:
    assert len({mint for mint, _ in KNOWN_MINTS.values()}) == len(KNOWN_MINTS)


def test_a_symbol_without_a_solana_mint_gets_a_name_that_is_no_address() -> None:
    pepe = instrument_of("pepe")
    assert (pepe.mint, pepe.symbol) == ("sim:PEPE", "PEPE")
    with pytest.raises(ValueError):
        Pubkey.from_string(pepe.mint)


def test_bonk_is_bonk() -> None:
    bonk = instrument_of("BONK")
    assert (bonk.mint, bonk.decimals) == ("DezXAZ8z7PnrnRJjz3wXBoRgixCa6xjnB7YaB1pPB263", 5)


def test_a_launch_is_named_by_its_mint() -> None:
    launch = launch_instrument("124iHd3KUU99qngrBZ2iozvjBgiDxbs3r51JdKFEpump")
    assert (launch.symbol, launch.decimals) == ("124i..pump", 6)
