"""A search is killed by SIGKILL, again and again, and the same command goes on as if nothing had been."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.search_crash import KILLED

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.requirement("T11")
def test_a_search_that_is_killed_again_and_again_finds_what_an_undisturbed_one_finds(tmp_path: Path) -> None:
    # In the middle of drawing, of counting and of telling; ``make search-crash`` kills at each commit.
    kills = ["5", "21", "30"]
    command = [sys.executable, "-m", "tests.support.search_crash", str(tmp_path), *kills]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert ended.returncode == 0, ended.stderr
    made = json.loads(ended.stdout)
    assert made["codes"] == [KILLED] * len(kills) + [0]
    killed = made["killed"]
    assert killed == made["quiet"]
    assert killed["is_intact"]
    assert (killed["told"], killed["waiting"], killed["given_up"]) == (12, 0, 0)
    # Each once: what was counted before a kill was not counted again after it.
    assert [count for _, count in killed["counted"]] == [1] * 12
    assert killed["found"]["family_trials"] == 12
