"""What every body of SecretScanner promises."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.doubles.planted_secrets import harmless_texts, planted_secrets
from tests.doubles.word_scanner import WordScanner

from memmcp_server.adapters.secrets import RuleScanner
from memmcp_server.domain.secrets import redacted
from memmcp_server.ports import SecretScanner

PLANTED = planted_secrets(56, seed=3)
BODIES: dict[str, SecretScanner] = {
    "rules": RuleScanner(),
    "words": WordScanner({each.secret: "word" for each in PLANTED}),
}
FRAGMENTS = [each.text for each in PLANTED] + harmless_texts(60, seed=4)
TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=[]), max_size=300),
    st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=5), max_size=4).map("".join),
)

every_body = pytest.mark.parametrize("scanner", BODIES.values(), ids=BODIES.keys())


@every_body
def test_what_is_planted_is_found_and_its_repr_does_not_tell_it(scanner: SecretScanner) -> None:
    for each in PLANTED:
        found = scanner.scan(each.text)
        assert found, each
        assert each.secret not in repr(found)


@every_body
@settings(max_examples=200, deadline=None)
@given(text=TEXTS)
def test_findings_are_ordered_apart_and_inside_of_any_text(scanner: SecretScanner, text: str) -> None:
    place = 0
    for finding in scanner.scan(text):
        assert place <= finding.start < finding.end <= len(text)
        assert finding.kind
        place = finding.end


@every_body
@settings(max_examples=200, deadline=None)
@given(text=TEXTS)
def test_a_redacted_text_holds_no_finding_and_stays_as_it_is(scanner: SecretScanner, text: str) -> None:
    clean = redacted(text, scanner.scan)
    assert scanner.scan(clean) == []
    assert redacted(clean, scanner.scan) == clean


@every_body
def test_the_same_text_gives_the_same_findings(scanner: SecretScanner) -> None:
    assert [scanner.scan(each.text) for each in PLANTED] == [scanner.scan(each.text) for each in PLANTED]


@every_body
@pytest.mark.parametrize("text", ["", " ", "\n", "\ud800", "a\udfffb" * 100, "\x00" * 50, "é" * 300])
def test_a_text_without_secrets_passes_whatever_it_is_made_of(scanner: SecretScanner, text: str) -> None:
    assert scanner.scan(text) == []
