import json
import logging
import re
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError
from solders.keypair import Keypair
from tests.doubles.planted_secrets import planted_secrets

from memmcp_server.adapters.secrets import RuleScanner
from memmcp_server.config import LogsSection
from memmcp_server.daemon.logs import TRACEBACK_CHARS_MAX, JsonLines, PrivateRotatingHandler, Redacting, configure
from memmcp_server.domain.correlation import Correlation, correlated

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
    for formatter in (Redacting(["s3cret-of-the-daemon", ""], SCANNER), JsonLines(["s3cret-of-the-daemon"], SCANNER)):
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
    for _ in range(400):
        root_log.info("x" * 200)
    assert (tmp_path / "daemon.log.1").exists()
    assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()} == {0o600}
    assert path.stat().st_size <= 65_536
    line = json.loads(path.read_text().splitlines()[-1])
    assert (line["level"], line["logger"], line["message"]) == ("info", "root", "x" * 200)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["ts"])
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


def failed(text: str) -> logging.LogRecord:
    try:
        raise ValueError(text)
    except ValueError:
        return logging.LogRecord("n", logging.ERROR, "p", 1, "it failed", (), sys.exc_info())


def test_a_record_is_one_line_that_says_whose_it_is() -> None:
    formatter = JsonLines([], SCANNER)
    record = logging.LogRecord("n", logging.WARNING, "p", 1, "two\nlines \u2028 of it", (), None)
    record.run, record.cycle = "run_1", 7
    with correlated(Correlation("req-1", agent="cursor", tool="why", trace_id="a" * 32, span_id="b" * 16)):
        line = formatter.format(record)
    assert "\n" not in line
    told = json.loads(line)
    told.pop("ts")
    assert told == {
        "level": "warning",
        "logger": "n",
        "message": "two\nlines \u2028 of it",
        "request": "req-1",
        "agent": "cursor",
        "tool": "why",
        "trace_id": "a" * 32,
        "span_id": "b" * 16,
        "run": "run_1",
        "cycle": 7,
    }
    alone = json.loads(formatter.format(record))
    assert "request" not in alone
    assert "agent" not in alone


@pytest.mark.requirement("M12")
def test_every_field_is_redacted_also_those_that_a_caller_names() -> None:
    formatter = JsonLines(["s3cret-of-the-daemon"], SCANNER)
    record = failed(f"with s3cret-of-the-daemon and {PAIR}")
    record.run = "s3cret-of-the-daemon"
    names = Correlation("req-s3cret-of-the-daemon", agent=f"{PAIR}", tool="s3cret-of-the-daemon")
    with correlated(names):
        line = formatter.format(record)
    assert "s3cret" not in line
    assert str(PAIR) not in line
    error = json.loads(line)["error"]
    assert error["type"] == "ValueError"
    assert error["message"].startswith("with [redacted] and ")
    assert "Traceback" in error["traceback"]


def test_a_traceback_is_bounded_and_keeps_its_two_ends() -> None:
    def deep(left: int) -> None:
        if left:
            deep(left - 1)
        msg = "the cause" + "y" * 40_000 + " the end"
        raise ValueError(msg)

    try:
        deep(50)
    except ValueError:
        record = logging.LogRecord("n", logging.ERROR, "p", 1, "x" * 100_000, (), sys.exc_info())
    told = json.loads(JsonLines([], SCANNER).format(record))
    assert len(told["error"]["traceback"]) <= TRACEBACK_CHARS_MAX + 10
    assert told["error"]["traceback"].startswith("Traceback")
    assert told["error"]["traceback"].endswith(" the end")
    assert len(told["message"]) < 20_000


@pytest.mark.requirement("M12")
@pytest.mark.parametrize("before", range(16_300, 16_400, 7))
def test_no_half_of_a_secret_is_left_where_a_long_text_is_cut(before: int) -> None:
    """Around the place where a text of 200,000 characters is cut first."""
    text = "x " * (before // 2) + str(PAIR) + " y" * 100_000
    line = JsonLines([], SCANNER).format(logging.LogRecord("n", logging.INFO, "p", 1, text, (), None))
    halves = {str(PAIR)[start : start + 12] for start in range(0, len(str(PAIR)) - 12, 4)}
    assert [half for half in halves if half in line] == []


def test_the_operator_may_want_text(tmp_path: Path, root_log: logging.Logger) -> None:
    path = tmp_path / "daemon.log"
    configure(path, 65_536, [], SCANNER, also_stderr=False, section=LogsSection(format="text"))
    root_log.info("as before")
    assert re.match(r"\d{4}-\S+Z INFO root: as before\n", path.read_text())


def test_a_person_at_the_terminal_reads_text_also_where_the_file_is_json(
    tmp_path: Path, root_log: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(tmp_path / "daemon.log", 65_536, [], SCANNER, also_stderr=True)
    root_log.warning("mind this")
    assert "Z WARNING root: mind this" in capsys.readouterr().err
    assert json.loads((tmp_path / "daemon.log").read_text())["message"] == "mind this"
