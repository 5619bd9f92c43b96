"""The text mirror carries every fact of the document, and stored text cannot pose as structure."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memmcp_server.tools.text import render

LEAVES = st.one_of(st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=12))
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)),
    max_leaves=8,
)


def leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in leaves(item)]
    if isinstance(value, list):
        return [leaf for item in value for leaf in leaves(item)]
    return [value]


@given(st.dictionaries(st.text(max_size=6), VALUES, max_size=4))
def test_every_leaf_of_a_document_is_in_its_text(document: dict[str, Any]) -> None:
    text = render(document)
    for leaf in leaves(document):
        spoken = json.dumps(leaf, ensure_ascii=False)
        assert spoken in text or (isinstance(leaf, str) and leaf in text)


@given(st.text(max_size=40))
def test_a_stored_text_stays_on_one_line_and_cannot_add_a_field(content: str) -> None:
    assert render({"content": content}).splitlines()[0].startswith("content: ")
    assert render({"content": content}).count("\n") == 0


def test_a_list_of_objects_is_a_table_with_one_heading() -> None:
    text = render({"hits": [{"id": "a", "score": 0.5}, {"id": "b", "score": 0.25, "tags": ["x", "y z"]}]})
    assert text.splitlines() == [
        "hits (2): id | score | tags",
        "- a | 0.5 | ",
        '- b | 0.25 | [x, "y z"]',
    ]


def test_absent_fields_are_left_out_and_empty_ones_are_shown() -> None:
    assert render({"note": None, "hits": [], "denials": {}}) == "hits: []\ndenials: {}"


@pytest.mark.parametrize("word", ["true", "null", "1e5", "nan", "", "a b", "a\nb", 'quo"te', "a|b", "état"])
def test_a_string_that_reads_as_something_else_is_quoted(word: str) -> None:
    assert render({"x": word}) == f"x: {json.dumps(word, ensure_ascii=False)}"


def test_the_text_is_much_shorter_than_indented_json() -> None:
    hits = [
        {"id": f"0b8e7c1e-{n}", "content": "sold at the first sign of a rug", "score": 0.71, "agent": "cursor"}
        for n in range(10)
    ]
    assert len(render({"hits": hits})) < 0.6 * len(json.dumps({"hits": hits}, indent=2))
