"""Every trap of Solana that the document names has tests, and they are there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEADING, RULE = "## What others lost money by", "| --- | --- | --- |\n"
TRAPS = 15


def rows() -> list[list[str]]:
    text = (ROOT / "docs" / "solana.md").read_text(encoding="utf-8")
    table = text.split(HEADING)[1].split(RULE)[1].split("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()]


@pytest.mark.requirement("T10")
def test_every_trap_has_a_remedy_and_tests_that_exist() -> None:
    found = rows()
    assert len(found) == TRAPS
    for trap, remedy, tests in found:
        named = re.findall(r"`(tests/[\w/.]+)::(\w+)`", tests)
        assert remedy, trap
        assert named, trap
        for file, name in named:
            assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8"), (trap, file, name)
