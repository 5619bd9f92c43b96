import pytest
from tests.doubles.planted_secrets import harmless_texts, planted_secrets
from tests.doubles.word_scanner import WordScanner

from memmcp_server.adapters.secrets import RuleScanner
from memmcp_server.errors import InvalidInput, SecretRefused
from memmcp_server.services.secrets import SECRETS_NAMED_MAX, refuse_secrets, without_secrets
from memmcp_server.tools.errors import error_text
from memmcp_server.web.errors import status_of

scanner = WordScanner({"hunter22": "password"})


def test_a_document_without_secrets_passes() -> None:
    refuse_secrets(scanner, {"content": "bought 0.25 SOL", "tags": ["bonk"], "metadata": {"n": 1}})


@pytest.mark.requirement("M12")
def test_a_refusal_names_path_and_kind_and_says_what_to_do_but_never_the_value() -> None:
    with pytest.raises(SecretRefused) as refused:
        refuse_secrets(scanner, {"content": "hunter22", "metadata": {"a": {"b": ["", "hunter22"]}}})
    error = refused.value
    assert error.message == (
        "a secret is in content (password), metadata.a.b[1] (password); secrets are never stored, and nothing was "
        "written"
    )
    assert error.field == "content"
    assert "rotate" in str(error.hint)
    assert isinstance(error, InvalidInput)
    assert not error.retryable
    assert status_of(error) == 422
    said = error_text(error)
    assert said.startswith("secret_refused: ")
    assert "hunter22" not in said + repr(error) + str(error.args)


def test_many_secrets_are_counted() -> None:
    with pytest.raises(SecretRefused, match=rf"tags\[{SECRETS_NAMED_MAX - 1}\] \(password\) and 3 more"):
        refuse_secrets(scanner, {"tags": ["hunter22"] * (SECRETS_NAMED_MAX + 3)})


def test_a_single_text_is_named_by_its_path() -> None:
    with pytest.raises(SecretRefused, match="reason \\(password\\)"):
        refuse_secrets(scanner, "hunter22", path="reason")
    with pytest.raises(SecretRefused, match="the text \\(password\\)"):
        refuse_secrets(scanner, "hunter22")


@pytest.mark.requirement("M12")
def test_what_cannot_be_sent_back_is_stored_without_its_secrets() -> None:
    real = RuleScanner()
    for each in planted_secrets(84, seed=5):
        clean, found = without_secrets(real, {"content": each.text, "metadata": {"text": [each.text]}})
        assert each.secret not in str(clean)
        assert {"content", "metadata.text[0]"} <= {where.path for where in found}
        refuse_secrets(real, clean)
    for text in harmless_texts(100, seed=6):
        assert without_secrets(real, {"content": text}) == ({"content": text}, [])
