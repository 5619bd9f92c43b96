"""Golden files as people and programs write them: every wrong line is named with its number."""

import json
from pathlib import Path

import pytest

from memmcp_server.cli.client import Failed
from memmcp_server.cli.evaluation import LINE_BYTES_MAX, read_golden
from memmcp_server.errors import InvalidInput

GOOD = '{"query": "why", "expect": ["id-1"]}'


def golden(tmp_path: Path, *lines: str | bytes) -> Path:
    file = tmp_path / "golden.jsonl"
    file.write_bytes(b"\n".join(line if isinstance(line, bytes) else line.encode() for line in lines))
    return file


@pytest.mark.requirement("M16")
def test_lines_are_read_in_order_and_blank_ones_left_out(tmp_path: Path) -> None:
    full = {
        "query": "how",
        "expect": ["id-2", {"contains": "thin pool"}],
        "namespace": "team/",
        "kinds": ["lesson"],
        "as_of": "2026-05-01T12:00:00+02:00",
        "note": "the first loss",
    }

    lines = read_golden(golden(tmp_path, GOOD, "", "  ", json.dumps(full) + "\r"))

    assert [line.query for line in lines] == ["why", "how"]
    assert lines[1].to_case().as_of_ns == 1_777_629_600_000_000_000


@pytest.mark.requirement("M16")
@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        (b"\xff\xfe", "not JSON"),
        ("[1]", "expected an object"),
        ("7", "expected an object"),
        ('{"query": "q"}', "expect: required and missing"),
        ('{"query": "q", "expect": []}', "expect: "),
        ('{"query": "q", "expect": [""]}', "id of 0 characters"),
        ('{"query": "q", "expect": [7]}', "expect"),
        ('{"query": "q", "expect": [{"contains": ""}]}', "contains"),
        ('{"query": "q", "expect": [{"holds": "x"}]}', "holds"),
        ('{"query": "  ", "expect": ["a"]}', "blank"),
        ('{"query": "", "expect": ["a"]}', "query"),
        ('{"query": "q", "expect": ["a"], "tags": ["x"]}', "tags: unknown field; allowed: as_of, expect"),
        ('{"query": "q", "expect": ["a"], "as_of": "yesterday"}', "ISO 8601"),
        ('{"query": "q", "expect": ["a"], "as_of": 1700000000}', "ISO 8601"),
        ('{"query": "q", "expect": ["a"], "as_of": "2026-05-01T12:00:00"}', "without a zone"),
        ('{"query": "q", "expect": ["a"], "as_of": "1969-01-01T00:00:00Z"}', "1970"),
        ('{"query": "q", "expect": ["a"], "kinds": ["NO KIND"]}', "kinds"),
        ('{"query": "' + "x" * 1_000_000 + '", "expect": ["a"]}', f"longer than {LINE_BYTES_MAX} bytes"),
        ('{"query": "q", "expect": ' + json.dumps(["a"] * 51) + "}", "expect"),
    ],
)
def test_a_wrong_line_is_named_with_its_number(tmp_path: Path, bad: str | bytes, said: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        read_golden(golden(tmp_path, GOOD, bad, GOOD))

    assert "line 2: " in raised.value.message
    assert said in raised.value.message
    assert "golden.jsonl, line 1: " not in raised.value.message
    assert "golden.jsonl, line 3: " not in raised.value.message


def test_every_wrong_line_is_told_up_to_a_bound(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as raised:
        read_golden(golden(tmp_path, *["{"] * 40))

    told = raised.value.message.splitlines()
    assert len(told) == 11
    assert told[-1].endswith("further lines were not read")


def test_too_many_queries_nothing_at_all_and_no_file_are_errors(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="more than 2000 queries"):
        read_golden(golden(tmp_path, *[GOOD] * 2_001))
    with pytest.raises(InvalidInput, match="holds no query"):
        read_golden(golden(tmp_path, "", " "))
    with pytest.raises(Failed, match="cannot be read"):
        read_golden(tmp_path / "nowhere.jsonl")
    with pytest.raises(Failed, match="cannot be read"):
        read_golden(tmp_path)
