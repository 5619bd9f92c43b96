"""Kinds of pools: what may be declared about them, and how a row tells them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.engine.inputs import decode_input, encode_input
from trading.model.instrument import (
    Concentrated,
    ConstantProduct,
    Instrument,
    LaunchCurve,
    pool_body,
    pool_terms,
    token_name,
)
from trading.model.market_data import TokenListed

KINDS = [ConstantProduct(), Concentrated(10**12, 64, 20, 10**9), LaunchCurve()]


@pytest.mark.parametrize("terms", KINDS, ids=lambda terms: type(terms).__name__)
def test_a_row_tells_the_kind_of_pool_and_the_creators_fee(terms: Any) -> None:
    listed = TokenListed(5, Instrument("sim:A", "A", 6, 30, 10**12, terms, 95), "test")
    kind, body = encode_input(listed, by_reference=False)
    assert decode_input(kind, 5, body) == listed
    assert pool_terms(pool_body(terms)) == terms


def test_a_row_of_before_there_were_kinds_is_read_and_still_written_alike() -> None:
    old = {
        "mint": "sim:A", "symbol": "A", "decimals": 6, "pool_fee_bps": 25, "pool_lamports_default": 7, "source": "t",
    }  # fmt: skip
    listed = decode_input("token_listed", 5, old)
    assert isinstance(listed, TokenListed)
    assert listed.instrument == Instrument("sim:A", "A", 6, 25, 7)
    assert encode_input(listed, by_reference=True) == ("token_listed", old)


def test_the_curve_of_pump_fun_raises_85_sol() -> None:
    assert LaunchCurve().raised_lamports == 85_005_359_057


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: Concentrated(0, 64), "liquidity"),
        (lambda: Concentrated(1, 0), "tick_spacing"),
        (lambda: Concentrated(1, 1, -1), "range_spacings"),
        (lambda: Concentrated(5, 1, 3, 6), "liquidity_beyond"),
        (lambda: Concentrated(5, 1, 3, 0), "liquidity_beyond"),
        (lambda: LaunchCurve(virtual_lamports=0), "virtual_lamports"),
        (lambda: LaunchCurve(virtual_base_units=1), "virtual_base_units"),
        (lambda: LaunchCurve(real_base_units=2 * 10**15), "real_base_units"),
        (lambda: LaunchCurve(pool_base_units=0), "pool_base_units"),
        (lambda: LaunchCurve(migration_lamports=10**12), "migration_lamports"),
    ],
)
def test_what_is_out_of_range_is_refused_by_name(make: Any, field: str) -> None:
    with pytest.raises(ValueError, match=f"{field}: "):
        make()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"kind": "orderbook"}, "pool kind"),
        ({"kind": "concentrated", "liquidity": 5, "tick_spacing": 1, "depth": 4}, "depth"),
        ({"kind": "launch_curve", "virtual_lamports": "30"}, "virtual_lamports"),
    ],
)
def test_a_row_of_no_pool_is_refused(body: dict[str, int | str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        pool_terms(body)


@given(st.text(st.characters(exclude_categories=())))
def test_every_name_of_a_token_becomes_one_that_can_be_kept(text: str) -> None:
    name = token_name(text)
    assert name.encode().decode() == name
    assert name.isprintable()
    assert len(name) <= 64
    assert token_name(name) == name


def test_a_name_without_a_trick_stays_as_it_is() -> None:
    for name in ("BONK", "$WIF", "Дог", "柴犬", "🐸", "a b"):
        assert token_name(name) == name
