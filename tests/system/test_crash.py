"""Acknowledged means durable: the daemon is killed while agents write, and what it had said is held against it."""

import sys

import pytest
from benchmarks.crash import run
from benchmarks.outage import run as run_outage

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(300)]

CONTROL = (sys.executable, "-m", "tests.system.premature_bridge")


@pytest.mark.requirement("M2")
@pytest.mark.requirement("M11")
@pytest.mark.requirement("Q4")
def test_six_kills_lose_nothing_acknowledged_double_nothing_and_hide_nothing() -> None:
    outcome = run(runs=6, seed=7)
    assert outcome.is_sound, outcome.line()
    assert outcome.acknowledged > 60


def test_a_daemon_that_acknowledges_before_the_commit_is_caught() -> None:
    # Whether a kill meets a write between the two depends on the machine's load: some runs may all pass between.
    outcomes = (run(runs=2, seed=seed, command=CONTROL) for seed in range(7, 12))
    assert any(outcome.lost for outcome in outcomes)


@pytest.mark.requirement("M3")
@pytest.mark.requirement("M11")
@pytest.mark.requirement("Q4")
def test_writes_sent_three_times_with_the_index_down_and_a_kill_are_there_once_and_found() -> None:
    outcome = run_outage(writes=120, down_s=3)
    assert outcome.is_sound, outcome.line()
    assert outcome.sent >= 360
