"""As many pages at once as the daemon lets in, some of them slow, some that come back, some far behind."""

from pathlib import Path

import pytest
from benchmarks.streams import Plan, run

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]


@pytest.mark.requirement("D2")
def test_two_hundred_streams_get_every_row_in_order_and_leave_nothing_behind(data_dir: Path) -> None:
    plan = Plan(streams=200, slow=8, returning=20, late=2, seconds=12, writes=10, warming_mib=24)
    figures = run(plan, data_dir)
    assert figures.short == [], figures.line(plan)
    assert figures.found.streams == 200
    assert figures.found.rows > 190 * figures.writes
    assert figures.found.reconnects > 0
    assert figures.found.gaps >= 2
    assert figures.found.caught_up > 2_000
    assert figures.handles[1] >= figures.handles[0] + 180
    assert "close one, or raise http.streams_max" in figures.refusal
