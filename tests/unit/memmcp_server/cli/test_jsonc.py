"""JSON with comments: whatever is put in and taken out again, the rest stays to the byte."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memmcp_server.cli import jsonc

LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=8))
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner), max_leaves=8
)
OBJECTS = st.dictionaries(st.text(max_size=5).filter(lambda key: key != "ours"), VALUES, max_size=4)


@given(OBJECTS, st.sampled_from([None, 1, 2, 4, "\t"]), OBJECTS)
@settings(max_examples=150, deadline=None)
def test_put_and_take_are_each_others_reverse(document: dict[str, Any], indent: Any, entry: dict[str, Any]) -> None:
    text = json.dumps(document, indent=indent)
    added = jsonc.put(text, ("ours",), entry)
    assert jsonc.parse(added).value == {**document, "ours": entry}
    assert list(json.loads(added)) == [*document, "ours"]
    assert jsonc.take(added, ("ours",)) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", '{\n  "m": 1\n}'),
        ('{"a": 1}', '{"a": 1, "m": 1}'),
        ('{\n  "a": 1\n}', '{\n  "a": 1,\n  "m": 1\n}'),
        ('{\n  "a": 1, // why\n}', '{\n  "a": 1, // why\n  "m": 1,\n}'),
        ('{\n  "a": 1 // why\n}', '{\n  "a": 1, // why\n  "m": 1\n}'),
        ("{\n  // nothing yet\n}", '{\n  // nothing yet\n  "m": 1\n}'),
        ('{ // head\n  "a": 1 }', '{ // head\n  "a": 1,\n  "m": 1 }'),
    ],
)
def test_a_member_is_put_where_a_person_would(text: str, expected: str) -> None:
    assert jsonc.put(text, ("m",), 1) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{\n  "a": 1,\n  "m": 1 // ours\n}', '{\n  "a": 1\n}'),
        ('{\n  "m": 1,\n  "a": 1 // theirs\n}', '{\n  "a": 1 // theirs\n}'),
        ('{"m": 1, "a": 1}', '{"a": 1}'),
        ('{"a": 1, "m": 1}', '{"a": 1}'),
        ('{"m": 1}', "{}"),
        ('{\n  // kept\n  "m": 1\n}', "{\n  // kept\n}"),
        ('{"a": 1}', '{"a": 1}'),
    ],
)
def test_a_member_is_taken_with_its_comma_and_its_line(text: str, expected: str) -> None:
    assert jsonc.take(text, ("m",)) == expected
