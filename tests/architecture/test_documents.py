"""The documents say what the code says."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\]\((?!https?://|#)([^)#\s]+)")
TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
COMMAND = re.compile(r"(?:\.venv/bin/)?(memmcp-trade|memmcp) ([a-z-]+(?: (?:check|list|retry|drop))?)")


def test_the_reference_is_what_the_code_says() -> None:
    command = [sys.executable, ROOT / "scripts" / "reference.py", "--check"]
    checked = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert checked.stderr == ""
    assert checked.returncode == 0


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_to_a_file_leads_somewhere(document: Path) -> None:
    links = LINK.findall(document.read_text(encoding="utf-8"))
    assert [link for link in links if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_that_a_document_shows_exists(document: Path) -> None:
    reference = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    shown = {
        " ".join(found)
        for block in re.findall(r"```sh\n(.*?)```", document.read_text("utf-8"), re.DOTALL)
        for found in COMMAND.findall(block)
    }
    known = {
        command.split(" ")[0] + " " + command.split(" ")[1]
        for command in re.findall(r"### `([^`]+)`", reference)
        if " " in command
    }
    assert sorted(command for command in shown if " ".join(command.split(" ")[:2]) not in known) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_test_that_a_document_names_exists(document: Path) -> None:
    named = TEST.findall(document.read_text(encoding="utf-8"))
    if document.name == "solana.md":
        assert len(named) >= 25
    assert [
        f"{file}::{name}"
        for file, name in named
        if not re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text("utf-8"), re.MULTILINE)
    ] == []
