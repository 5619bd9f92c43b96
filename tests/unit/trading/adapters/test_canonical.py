"""A row comes back from its bytes as it was, ints of any size included, and what is no row is refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.adapters.canonical import canonical_json, parse_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**25), 10**25) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), VALUES, max_size=5))
def test_a_body_comes_back_as_it_was(body: dict[str, object]) -> None:
    assert parse_json(canonical_json(body)) == body


@pytest.mark.parametrize("number", [2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 10**19, 10**30])
def test_an_int_keeps_its_size(number: int) -> None:
    assert parse_json(b'{"a":[%d],"b":"%d"}' % (number, number)) == {"a": [number], "b": str(number)}


@pytest.mark.parametrize("body", [b"", b"{", b"{'a':1}", b'{"a":1}x', b'{"a":12345678901234567890123'])
def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(json.JSONDecodeError):
        parse_json(body)


def test_what_only_the_standard_reader_takes_is_read_by_it() -> None:
    assert parse_json(b'{"a":Infinity}') == {"a": float("inf")}
