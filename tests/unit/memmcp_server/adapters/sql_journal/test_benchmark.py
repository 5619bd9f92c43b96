"""The benchmark runs and measures both writers."""

import pytest
from benchmarks import journal


def test_the_benchmark_prints_a_row_for_each_writer_and_number_of_producers(capsys: pytest.CaptureFixture[str]) -> None:
    code = journal.main(["--rounds", "1", "--seconds", "0.1", "--no-doors"])
    printed = capsys.readouterr().out
    rows = [line.split("|")[1:4] for line in printed.splitlines() if "sqlite3 |" in line or "journal |" in line]
    assert [(producers.strip(), writer.strip()) for producers, writer, _ in rows] == [
        ("1", "plain sqlite3"),
        ("1", "journal"),
        ("32", "plain sqlite3"),
        ("32", "journal"),
    ]
    assert all(int(rate.strip().replace(",", "")) > 0 for *_, rate in rows)
    assert ("meets" in printed) is (code == 0)
