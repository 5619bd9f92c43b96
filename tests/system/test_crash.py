"""Acknowledged means durable: the daemon is killed while agents write, and what it had said is held against it."""

import pytest
from benchmarks.crash import is_control_caught, run
from benchmarks.outage import run as run_outage
from tests.support.homes import POSTGRESQL, SQLITE

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.mark.requirement("M2")
@pytest.mark.requirement("M11")
@pytest.mark.requirement("Q4")
def test_four_kills_lose_nothing_acknowledged_double_nothing_and_hide_nothing() -> None:
    outcome = run(runs=4, seed=7)
    assert outcome.is_sound, outcome.line()
    assert outcome.acknowledged > 40


@pytest.mark.requirement("M2")
@pytest.mark.requirement("M11")
@pytest.mark.requirement("Q4")
@pytest.mark.requirement("Q5")
def test_a_killed_daemon_and_a_killed_postgresql_lose_double_and_hide_nothing_either() -> None:
    outcome = run(runs=2, seed=7, database=POSTGRESQL, writers_count=2)
    assert outcome.is_sound, outcome.line()
    assert (outcome.kills, outcome.outages) == (1, 1)
    assert outcome.local


def test_a_daemon_that_acknowledges_before_the_commit_is_caught() -> None:
    assert is_control_caught(SQLITE)


@pytest.mark.requirement("M3")
@pytest.mark.requirement("M11")
@pytest.mark.requirement("Q4")
def test_writes_sent_three_times_with_the_index_down_and_a_kill_are_there_once_and_found() -> None:
    outcome = run_outage(writes=120, down_s=3)
    assert outcome.is_sound, outcome.line()
    assert outcome.sent >= 360
