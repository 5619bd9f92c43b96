"""What is installed: only what is locked, each with its hash."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ("requirements.lock", "requirements-dev.lock")
_PINNED = re.compile(r"^(?P<name>[a-z0-9][a-z0-9._-]*)(\[[a-z0-9,_-]+\])?==\S+")


def entries(lock: str) -> dict[str, str]:
    """Return each requirement of a lock with all of its lines, by name."""
    joined = (ROOT / lock).read_text("utf-8").replace("\\\n", " ")
    lines = [line.strip() for line in joined.splitlines() if line.strip() and not line.startswith("#")]
    found = {}
    for line in lines:
        pinned = _PINNED.match(line)
        assert pinned is not None, line
        found[pinned["name"]] = line
    return found


@pytest.mark.parametrize("lock", LOCKS)
def test_nothing_is_installed_without_its_hash(lock: str) -> None:
    found = entries(lock)
    assert len(found) > 20
    assert [name for name, line in found.items() if "--hash=sha256:" not in line] == []
    assert "--require-hashes" in (ROOT / "scripts" / "set_up.py").read_text("utf-8")


def test_nothing_that_signs_or_routes_is_somebody_elses() -> None:
    chain = {name for lock in LOCKS for name in entries(lock) if re.search(r"sol(ana|ders)|jup|jito|raydium", name)}
    assert chain == {"solana", "solders", "solana-keychain"}
