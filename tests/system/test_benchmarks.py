import asyncio
import json
from pathlib import Path

import pytest
from benchmarks import bridge, engine, history, lessons, memory, metrics, migration, page, search, sidecar
from benchmarks.filling import make_base
from benchmarks.peers import Ours
from tests.support.agents import data_directory

pytestmark = pytest.mark.system


@pytest.mark.requirement("Q3")
@pytest.mark.bench
def test_the_bridges_benchmark_measures_both_ways_and_says_whether_its_goals_are_met(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = bridge.main(["--rounds", "1", "--spawns", "2"])
    said = capsys.readouterr().out
    for row in ("SDK stdio server | 200", "bridge and daemon | 200", "bridge to a running daemon | 2"):
        assert row in said
    assert (code == 0) == said.strip().endswith("met.")


@pytest.mark.requirement("Q3")
@pytest.mark.bench
def test_the_searchs_benchmark_says_where_the_time_goes_and_whether_its_goals_are_met(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = search.main(
        ["--namespaces", "2", "--each", "40", "--single", "80", "--queries", "12", "--quiet", "0.1", "--base", "4"]
    )
    said = capsys.readouterr().out
    for row in ("| 2 namespaces of 40 |", "| 80 in one namespace |", "| index.search | 1.0 |", "the engine's query"):
        assert row in said
    assert (code == 0) == said.strip().endswith("All goals met.")


@pytest.mark.requirement("Q3")
@pytest.mark.bench
def test_the_historys_benchmark_asks_the_real_route_and_says_whether_its_goal_is_met(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = history.main(["--seconds", "9000"])
    said = capsys.readouterr().out
    for row in (" marks, one a second", "| a month at hourly resolution | 2 |", "| an hour, every second | 2,000 |"):
        assert row in said
    assert (code == 0) == ("within the goal" in said)


@pytest.mark.requirement("Q3")
@pytest.mark.bench
def test_the_migrations_benchmark_changes_the_model_and_says_what_it_cost(capsys: pytest.CaptureFixture[str]) -> None:
    code = migration.main(["--points", "40", "--quiet", "1"])
    said = capsys.readouterr().out
    for row in ("| one, before |", "| two, while it is filled |", "| one, after |", "40 memories of 40 words"):
        assert row in said
    assert (code == 0) == ("meets the goal" in said)


@pytest.mark.requirement("Q3")
@pytest.mark.bench
def test_the_lessons_benchmark_asks_the_real_index_and_says_whether_its_goal_is_met(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = lessons.main(["--replays", "1"])
    said = capsys.readouterr().out
    for row in ("| plain | 1 |", "| with the token | 1 |", "| by the situation | 1 |", "| all | 3 |"):
        assert row in said
    assert (code == 0) == said.strip().endswith(", met.")


@pytest.mark.requirement("Q3")
@pytest.mark.bench
def test_the_memorys_benchmark_measures_a_server_over_stdio(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Ours alone: the peers are installed from package registries, which a test does not ask."""
    with data_directory() as data_dir:
        ours = Ours(data_dir / "store", make_base(tmp_path / "base.npy", 4))
        table = memory.Table([ours.name])
        budget = memory.Budget(spawns=1, calls=5, writers_each=5)
        try:
            asyncio.run(memory.measure(table, [ours], [60], budget, {}))
        finally:
            ours.end()
    table.print()
    assert "| find by meaning, p50, 60 memories, ms |" in capsys.readouterr().out
    assert table.rows["two agents write 10 at once: not acknowledged"].cells == {ours.name: 0.0}
    assert table.rows["two agents write 10 at once: acknowledged and lost"].cells == {ours.name: 0.0}
    assert table.rows["the same text stored 3 times"].cells == {ours.name: 1.0}


@pytest.mark.parametrize(
    ("cells", "behind"),
    [
        ({"memMCP": 1.0, "a": 2.0, "b": 3.0}, False),
        ({"memMCP": 2.0, "a": 2.0}, False),
        ({"memMCP": 2.1, "a": 2.0, "b": 3.0}, True),
        ({"memMCP": 1.0, "a": "cannot start"}, False),
        ({"memMCP": "not there within 60 s", "a": 9.0}, True),
        ({"a": 9.0}, True),
    ],
)
def test_a_row_is_behind_where_any_peer_has_less_or_we_have_nothing(
    cells: dict[str, float | str], behind: bool
) -> None:
    assert memory.Row("title", "ms", cells).is_behind("memMCP") == behind


def test_of_a_rate_more_is_better() -> None:
    row = memory.Row("title", "writes/s", {"memMCP": 2.0, "a": 1.0, "b": "none"})
    assert (row.best_peer("memMCP"), row.is_behind("memMCP"), row.is_behind("a")) == (1.0, False, True)


@pytest.mark.requirement("Q3")
@pytest.mark.bench
def test_the_engines_benchmark_runs_ours_to_the_same_profit_as_a_bare_loop(capsys: pytest.CaptureFixture[str]) -> None:
    found = {}
    for what in ("engine", "kernel", "bare"):
        assert engine.main(["--only", what, "--bars", "4000"]) == 0
        found[what] = json.loads(capsys.readouterr().out)
    assert found["engine"]["orders"] == found["kernel"]["orders"] == found["bare"]["orders"] > 50
    for what in ("engine", "bare"):
        assert found[what]["profit"] == pytest.approx(found["kernel"]["profit"], rel=1e-6)


def test_the_engines_table_names_every_goal_that_was_missed(capsys: pytest.CaptureFixture[str]) -> None:
    slow = {"seconds": 10.0, "orders": 4, "profit": 1.0, "rss_mb": 1.0, "more": "a journal"}
    quick = {**slow, "seconds": 0.001, "sweep_seconds": 0.001, "sets": 100, "compiled": 1.0}
    peers = {
        "backtesting.py": {**slow, "profit": 1.1},
        "vectorbt": "does not run: no",
        "NautilusTrader": {**slow, "seconds": 200.0},
    }
    assert engine._table(1_000, slow, quick, quick, peers) == 1
    said = capsys.readouterr().out.splitlines()[-1]
    assert "full engine 100 bars/s of 250,000" in said
    assert "1.00 times backtesting.py of 3" in said
    assert "profits differ by 1.0e-01" in said
    assert "NautilusTrader" not in said
    assert "kernel" not in said


@pytest.mark.requirement("Q3")
@pytest.mark.bench
def test_the_sidecars_benchmark_runs_all_variants_in_turns_and_says_whether_its_goal_is_met(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = sidecar.main(["--rounds", "1", "--cycles", "60"])
    said = capsys.readouterr().out
    for row in ("| absent | 20 |", "| down | 20 |", "| slow | 20 |", "| lying | 20 |", "| answering | 20 |"):
        assert row in said
    assert (code == 0) == ("not met" not in said)


@pytest.mark.requirement("Q3")
@pytest.mark.bench
def test_the_metrics_benchmark_scrapes_a_desk_and_names_its_peer(capsys: pytest.CaptureFixture[str]) -> None:
    code = metrics.main(["--scrapes", "5"])
    said = capsys.readouterr().out
    for row in ("| a scrape (", "prometheus-client", "| the trading loop, for each batch of cycles |", "as JSON"):
        assert row in said
    assert code in (0, 1)


@pytest.mark.requirement("Q3")
@pytest.mark.bench
def test_the_pages_benchmark_draws_ticks_beside_its_floor_and_says_whether_its_goals_are_met(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = page.main(["--points", "300", "--seconds", "2", "--loads", "1"])
    said = capsys.readouterr().out
    for row in ("| a tick of the page, 300 points, 10 a second (", "| floor: its two curves alone", "| the bundle, "):
        assert row in said
    assert (code == 0) == ("not all met" not in said)
