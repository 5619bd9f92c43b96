import pytest
from benchmarks import bridge

pytestmark = pytest.mark.system


@pytest.mark.requirement("Q3")
def test_the_bridges_benchmark_measures_both_ways_and_says_whether_its_goals_are_met(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = bridge.main(["--rounds", "1", "--spawns", "2"])
    said = capsys.readouterr().out
    for row in ("SDK stdio server | 200", "bridge and daemon | 200", "bridge to a running daemon | 2"):
        assert row in said
    assert (code == 0) == said.strip().endswith("met.")
