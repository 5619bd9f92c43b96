"""Acknowledged means durable: the daemon is killed while agents write, and what it had said is held against it."""

import sys

import pytest
from benchmarks.crash import run

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(300)]

CONTROL = (sys.executable, "-m", "tests.system.premature_bridge")


@pytest.mark.requirement("M2")
@pytest.mark.requirement("M11")
@pytest.mark.requirement("Q4")
def test_ten_kills_lose_nothing_acknowledged_double_nothing_and_hide_nothing() -> None:
    outcome = run(runs=10, seed=7)
    assert outcome.is_sound, outcome.line()
    assert outcome.acknowledged > 100


def test_a_daemon_that_acknowledges_before_the_commit_is_caught() -> None:
    outcome = run(runs=2, seed=7, command=CONTROL)
    assert outcome.lost, outcome.line()
