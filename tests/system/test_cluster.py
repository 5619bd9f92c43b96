"""Several daemons share one PostgreSQL; daemons and server are killed while agents write to all of them."""

import pytest
from benchmarks.cluster import run

pytestmark = [pytest.mark.system, pytest.mark.bench, pytest.mark.timeout(300)]

SEED = 7
"""Of its first two blows the first meets the server, the second a daemon."""


@pytest.mark.requirement("M10")
@pytest.mark.requirement("M11")
@pytest.mark.requirement("Q4")
@pytest.mark.requirement("Q5")
def test_daemons_and_their_server_are_killed_and_nothing_acknowledged_is_lost_doubled_or_hidden() -> None:
    outcome = run(runs=2, daemons=2, writers=4, seed=SEED)
    assert outcome.is_sound, outcome.line()
    assert (outcome.kills, outcome.outages) == (1, 1)
    assert outcome.local
    assert outcome.seen_s
