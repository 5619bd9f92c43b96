"""Every trap of Solana that the document names has tests, and they are there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TRAPS = 15
FOREIGN = ("jupiter-python-sdk", "solanapy", "jupiter-sdk", "agent-kit")


def rows() -> list[list[str]]:
    text = (ROOT / "docs" / "solana.md").read_text(encoding="utf-8")
    table = text.split("## What goes wrong on Solana")[1].split("| --- | --- | --- |\n")[1].split("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()]


@pytest.mark.requirement("T10")
def test_every_trap_has_a_remedy_and_tests_that_exist() -> None:
    found = rows()
    assert len(found) == TRAPS
    for trap, remedy, tests in found:
        named = re.findall(r"`([\w/.]+)::(\w+)`", tests)
        assert remedy, trap
        assert named, trap
        for file, name in named:
            assert f"def {name}(" in (ROOT / "tests" / file).read_text(encoding="utf-8"), (trap, file, name)


@pytest.mark.requirement("T10")
@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_every_package_is_pinned_to_hashes(lock: str) -> None:
    text = re.sub(r"^ *#.*\n", "", (ROOT / lock).read_text(encoding="utf-8"), flags=re.MULTILINE)
    packages = [each for each in re.split(r"\n(?=\S)", text.strip()) if not each.startswith("-")]
    assert len(packages) > 50
    unpinned = [each for each in packages if not re.match(r"[\w.\[\],-]+==\S+(?s:.*)--hash=sha256:[0-9a-f]{64}", each)]
    assert unpinned == []
    names = {each.split("==")[0].lower() for each in packages}
    assert names.isdisjoint(FOREIGN)
    assert "--require-hashes" in (ROOT / "scripts" / "set_up.py").read_text(encoding="utf-8")
