import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.doubles.word_scanner import WordScanner

from memmcp_server.domain.identifiers import Json
from memmcp_server.domain.secrets import (
    DOCUMENT_DEPTH_MAX,
    LocatedSecret,
    SecretFinding,
    redact,
    redacted,
    redacted_document,
    secrets_in,
    united,
)
from memmcp_server.errors import InvalidInput

scan = WordScanner({"hunter22": "password", "private_key: 4f3c": "private_key", "K3Y": "api_key"}).scan
LISTED = WordScanner({"1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12": "private_key", "0, 1": "x"}).scan


@st.composite
def texts_and_findings(draw: st.DrawFn) -> tuple[str, list[SecretFinding]]:
    text = draw(st.text(min_size=1, max_size=60))
    places = st.integers(0, len(text))
    pairs = draw(st.lists(st.tuples(places, places), max_size=6))
    return text, [SecretFinding(min(a, b), max(a, b), "kind") for a, b in pairs if a != b]


@given(texts_and_findings())
def test_what_is_outside_of_the_findings_stays_and_what_is_inside_goes(given_: tuple[str, list[SecretFinding]]) -> None:
    text, findings = given_
    hidden = {place for each in findings for place in range(each.start, each.end)}
    kept = "".join(character for place, character in enumerate(text) if place not in hidden)
    parts = redact(text, findings).split("[secret removed: kind]")
    if "[secret" not in text:
        assert "".join(parts) == kept
        assert len(parts) == 1 + len(united(findings))


def test_overlapping_findings_become_one_of_the_longest_ones_kind() -> None:
    findings = [SecretFinding(4, 9, "long"), SecretFinding(2, 5, "short"), SecretFinding(9, 10, "next")]
    assert united(findings) == [SecretFinding(2, 9, "long"), SecretFinding(9, 10, "next")]
    assert redact("0123456789ab", findings) == "01[secret removed: long][secret removed: next]ab"


def test_what_the_cuts_bring_together_is_cut_as_well() -> None:
    joined = WordScanner({"removed: x]b": "y", "a": "x"}).scan
    assert redacted("-ab-", joined) == "-[secret [secret removed: y]-"


def test_a_text_whose_cuts_never_end_goes_as_a_whole() -> None:
    endless = WordScanner({"secret": "secret"}).scan
    assert redacted("a secret here", endless) == "[secret removed: text]"


def test_values_keys_and_lists_are_looked_through_and_paths_never_tell() -> None:
    document: Json = {
        "content": "the password is hunter22",
        "tags": ["ok", "hunter22"],
        "metadata": {"K3Y": {"deep": ["K3Y"]}, "n": 1, "none": None},
    }
    assert secrets_in(document, scan) == [
        LocatedSecret("content", "password"),
        LocatedSecret("tags[1]", "password"),
        LocatedSecret("metadata.[key 0]", "api_key"),
        LocatedSecret("metadata.[key 0].deep[0]", "api_key"),
    ]


@pytest.mark.parametrize(
    "document",
    [
        {"private_key": "4f3c"},
        {"private_key": ["4f3c", "x"]},
        {"private_key": {"value": "4f3c"}},
        {"private_key": {"hex": ["4f3c"]}},
    ],
)
def test_a_value_is_read_behind_its_key(document: Json) -> None:
    assert [each.kind for each in secrets_in(document, scan)] == ["private_key"]
    clean, found = redacted_document(document, scan)
    assert "4f3c" not in str(clean)
    assert len(found) == 1


def test_a_value_below_another_key_is_not_read_behind_the_first() -> None:
    assert secrets_in({"private_key": {"name": "4f3c"}}, scan) == []


@pytest.mark.parametrize(
    "items", [list(range(1, 13)), [str(number) for number in range(1, 13)], {str(n): n for n in range(1, 13)}]
)
def test_a_list_of_numbers_or_words_is_also_read_as_one_text(items: Json) -> None:
    assert secrets_in({"wallet": items}, LISTED) == [LocatedSecret("wallet", "private_key")]
    assert redacted_document({"wallet": items, "n": [0, 1]}, LISTED)[0] == {
        "wallet": "[secret removed: private_key]",
        "n": [0, 1],
    }


def test_a_redacted_document_keeps_everything_else() -> None:
    document: Json = {"a": [1, 2.5, None, True, "x hunter22 y"], "K3Y": "v", "b": {"c": "d"}}
    clean, found = redacted_document(document, scan)
    assert clean == {
        "a": [1, 2.5, None, True, "x [secret removed: password] y"],
        "[secret removed: api_key]": "v",
        "b": {"c": "d"},
    }
    assert [each.path for each in found] == ["a[4]", "[key 1]"]
    assert secrets_in(clean, scan) == []


def test_keys_that_become_the_same_lose_no_value() -> None:
    clean, _ = redacted_document({"K3Y": 1, "[secret removed: api_key]": 2, "K3YK3Y": 3}, scan)
    assert isinstance(clean, dict)
    assert sorted(map(str, clean.values())) == ["1", "2", "3"]


def test_a_document_that_is_too_deep_is_refused() -> None:
    document: Json = "x"
    for _ in range(DOCUMENT_DEPTH_MAX + 1):
        document = [document]
    with pytest.raises(InvalidInput, match="nested deeper than 32"):
        secrets_in({"metadata": document}, scan)


def test_a_text_alone_is_a_document() -> None:
    assert secrets_in("hunter22", scan, "title") == [LocatedSecret("title", "password")]
