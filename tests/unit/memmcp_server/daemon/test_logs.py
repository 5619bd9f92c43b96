import logging
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError
from solders.keypair import Keypair
from tests.doubles.planted_secrets import planted_secrets

from memmcp_server.adapters.secrets import RuleScanner
from memmcp_server.daemon.logs import PrivateRotatingHandler, Redacting, configure

PAIR = Keypair.from_seed(bytes(range(32)))
SCANNER = RuleScanner()
SENT = {"number": "the vault is, input_type behind\nthe mirror", "other": ["the vault"]}


@pytest.fixture
def root_log() -> Iterator[logging.Logger]:
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    yield root
    for handler in [handler for handler in root.handlers if handler not in before]:
        root.removeHandler(handler)
        handler.close()
    root.setLevel(level)
    logging.captureWarnings(False)


@pytest.mark.parametrize(
    ("text", "kept", "secret"),
    [
        ("the token is s3cret-of-the-daemon today", "today", "s3cret-of-the-daemon"),
        ("Authorization: Bearer abcdefghijklmnop", "Bearer", "abcdefghijklmnop"),
        ("http.token=abcdef123456 port=1", "port=1", "abcdef123456"),
        ('{"api_key": "abcdef123456"}', "api_key", "abcdef123456"),
        ("postgresql://me:hunter22@db/x", "@db/x", "hunter22"),
        (f"key {PAIR} end", "end", str(PAIR)),
        (f"key {list(bytes(PAIR))} end", "end", str(list(bytes(PAIR)))[1:-1]),
    ],
)
def test_no_secret_reaches_the_log(text: str, kept: str, secret: str) -> None:
    formatter = Redacting(["s3cret-of-the-daemon", ""], SCANNER)
    line = formatter.format(logging.LogRecord("n", logging.INFO, "p", 1, text, (), None))
    assert secret not in line
    assert kept in line


def test_a_traceback_is_redacted_as_well() -> None:
    formatter = Redacting(["s3cret-of-the-daemon"], SCANNER)
    try:
        msg = "with s3cret-of-the-daemon inside"
        raise ValueError(msg)
    except ValueError as error:
        trouble = (type(error), error, error.__traceback__)
    line = formatter.format(logging.LogRecord("n", logging.ERROR, "p", 1, "failed", (), trouble))
    assert "ValueError: with [redacted] inside" in line
    assert "s3cret" not in line


@pytest.mark.requirement("M8")
def test_a_failed_validation_says_what_was_wrong_and_not_what_was_sent() -> None:
    class Wanted(BaseModel):
        number: int
        other: int

    try:
        Wanted.model_validate(SENT)
    except ValidationError:
        record = logging.LogRecord("mcp", logging.ERROR, "", 0, "Failed to parse message", (), sys.exc_info())
    text = Redacting((), SCANNER).format(record)
    assert "vault" not in text
    assert "mirror" not in text
    assert "[type=int_parsing, input_value=[redacted], input_type=str]" in text
    assert "should be a valid integer" in text


def test_ordinary_words_stay() -> None:
    mint, signature = PAIR.pubkey(), PAIR.sign_message(b"order")
    text = f"memory 4a33309d-e731-559c-a4ac-ea6412093674 in mint {mint}, tx {signature}"
    assert Redacting([], SCANNER).redact(text) == text


def test_the_file_is_private_rotates_and_says_utc(tmp_path: Path, root_log: logging.Logger) -> None:
    path = tmp_path / "daemon.log"
    configure(path, 65_536, [], SCANNER, also_stderr=False)
    for _ in range(1_000):
        root_log.info("x" * 200)
    assert (tmp_path / "daemon.log.1").exists()
    assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()} == {0o600}
    assert path.stat().st_size <= 65_536
    assert path.read_text()[:2] == "20"
    assert "Z INFO root: xxx" in path.read_text()
    assert any(isinstance(handler, PrivateRotatingHandler) for handler in root_log.handlers)


@pytest.mark.requirement("M12")
def test_no_planted_secret_reaches_the_log_file(tmp_path: Path, root_log: logging.Logger) -> None:
    path = tmp_path / "daemon.log"
    configure(path, 16_777_216, [], SCANNER, also_stderr=False)
    planted = planted_secrets(140, seed=9)
    for each in planted:
        root_log.warning("refused: %s", each.text)
    root_log.warning("control: planted in plain sight")
    written = path.read_text()
    assert "control: planted in plain sight" in written
    assert [each for each in planted if each.secret in written] == []
