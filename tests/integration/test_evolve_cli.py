"""``memmcp-trade evolve``: what it prints, what it writes, and what it refuses."""

import json
from pathlib import Path

import pytest
from click.testing import Result
from tests.support import searching
from typer.testing import CliRunner

from trading.cli import app
from trading.evolution.found import load


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MEMMCP_DATA_DIR", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    return searching.write_bars(tmp_path / "bars", days=40, symbols=("AAA",))


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["evolve", *arguments])


@pytest.mark.requirement("T11")
def test_a_search_is_ordered_at_the_command_line_and_the_same_command_finds_it_again(
    data: Path, tmp_path: Path
) -> None:
    ordered = ["--data", str(data), "--strategy", "random_entry", "--trials", "6", "--seed", "3"]
    target = tmp_path / "found.json"
    first = run(*ordered, "--json", str(target))
    assert first.exit_code == 0, first.output
    assert "32 searched, 8 kept from it" in first.stdout
    assert "6 tried by the engine, by nsga2 with seed 3" in first.stdout
    document = json.loads(target.read_text())
    assert (document["trials"], document["family_trials"], document["seed"]) == (6, 6, 3)
    assert [each["number"] for each in document["candidates"]] == sorted(
        each["number"] for each in document["candidates"]
    )
    assert load(Path(document["run_dir"])).search_id == document["search_id"]
    assert Path(document["run_dir"]) == tmp_path / "home" / "evolution" / document["search_id"]
    again = run(*ordered, "--json", "-")
    assert again.exit_code == 0, again.output
    assert json.loads(again.stdout) == document
    counted = CliRunner().invoke(app, ["trials", "--json"])
    assert json.loads(counted.stdout)["families"] == {"random_entry": 6}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["--strategy", "nobody"], "unknown"),
        (["--strategy", "random_entry", "--trials", "0"], "trials"),
        (["--strategy", "random_entry", "--workers", "0"], "workers"),
        (["--strategy", "random_entry", "--sampler", "grid"], "nsga2 or tpe"),
        (["--strategy", "random_entry", "--holdout-days", "39"], "too few"),
        (["--strategy", "order_flow"], "no opinion without swaps"),
        (["--strategy", "random_entry", "--storage", "mysql://x"], "postgresql"),
    ],
)
def test_what_cannot_be_searched_is_refused_before_it_begins(wrong: list[str], said: str, data: Path) -> None:
    result = run("--data", str(data), *wrong)
    assert result.exit_code == 2, result.output
    assert said in result.stderr
