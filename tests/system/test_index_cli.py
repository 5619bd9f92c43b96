"""The index and golden queries at the terminal, against a real daemon without a model."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from tests.support.agents import QUIET, Agent, data_directory, environment, http_client, until
from typer.testing import CliRunner

from memmcp_server.cli import app
from memmcp_server.cli.client import Client, Failed

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def desk() -> Iterator[Path]:
    """A data directory whose daemon is kept by a connected agent, and a few memories in it."""
    with data_directory() as directory:
        agent = Agent(directory, environ=environment())
        agent.initialize()
        for text in ("Wombats dig burrows", "Numbats eat termites", "Quolls hunt at night"):
            run(directory, "write", text)  # each alone: no turn before it lends it words
        until(lambda: run_json(directory, "status")["outbox"]["qdrant"]["pending"] == 0, 60)
        yield directory
        agent.close()


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in QUIET.items():
        monkeypatch.setenv(name, value)


def run(data_dir: Path, *arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, [*arguments, "--data-dir", str(data_dir)])
    assert result.exit_code == code, (result.output, result.exception)
    return result


def run_json(data_dir: Path, *arguments: str, code: int = 0) -> Any:
    return json.loads(run(data_dir, *arguments, "--json", code=code).stdout)


@pytest.mark.requirement("M9")
@pytest.mark.requirement("O6")
def test_a_rebuild_is_waited_for_and_the_status_names_the_generation(desk: Path) -> None:
    before = run_json(desk, "index", "status")["index"]

    answer = run_json(desk, "index", "rebuild", "--wait")

    after = run_json(desk, "status")["index"]
    assert answer["generation"] == after["generation"] > before["generation"]
    assert answer["count"] >= 3
    assert (after["next"], after["points"]) == (None, before["points"])
    assert f"generation  {after['generation']}, 3 points" in run(desk, "index", "status").stdout
    assert "Wombats dig burrows" in run(desk, "search", "wombats").stdout
    assert "until then the present one is searched" in run(desk, "rebuild-index").stdout
    until(lambda: run_json(desk, "index", "status")["index"]["generation"] > after["generation"], 60)


@pytest.mark.requirement("M9")
def test_a_check_tells_what_it_compared_and_finds_nothing_wrong(desk: Path) -> None:
    report = run_json(desk, "index", "check")

    # No model is there, so that no vector is missing.
    assert (report["checked"], report["total"], report["found"], report["is_complete"]) == (3, 0, {}, True)
    shown = run(desk, "index", "check", "--repair").stdout
    assert "3 memories are in the index as the journal has them; 0 repaired" in shown


@pytest.mark.requirement("M16")
def test_golden_queries_are_asked_and_misses_told(desk: Path, tmp_path: Path) -> None:
    golden = tmp_path / "golden.jsonl"
    lines = [
        {"query": "who digs burrows", "expect": [{"contains": "wombats"}]},
        {"query": "termites", "expect": [{"contains": "Numbats"}, {"contains": "[bold]aardvarks"}], "note": "food"},
    ]
    golden.write_text("\n".join(map(json.dumps, lines)), "utf-8")

    scores = run_json(desk, "eval", str(golden))

    assert (scores["cases"], scores["recall_at_5"], scores["recall_at_10"], scores["mrr"]) == (2, 0.75, 0.75, 1.0)
    assert scores["baseline"] is None
    assert scores["index"].startswith("degraded")
    [miss] = scores["misses"]
    assert (miss["query"], miss["note"]) == ("termites", "food")
    assert miss["expected"] == [{"contains": "Numbats", "rank": 1}, {"contains": "[bold]aardvarks", "rank": None}]
    assert miss["came"][0]["content"] == "Numbats eat termites"
    shown = run(desk, "eval", str(golden), "--min-recall", "0.75")
    assert "recall@10  0.750" in shown.stdout
    assert "[bold]aardvarks" in shown.stdout
    run(desk, "eval", str(golden), "--min-recall", "0.76", code=1)


@pytest.mark.requirement("M16")
def test_wrong_golden_files_and_a_missing_set_are_errors_that_say_what_to_do(desk: Path, tmp_path: Path) -> None:
    golden = tmp_path / "golden.jsonl"
    golden.write_text('{"query": "q", "expect": ["a"]}\n{"query": 7}\n', "utf-8")

    wrong = run(desk, "eval", str(golden), code=2)
    assert "line 2: " in wrong.stderr
    assert "a line looks like" in wrong.stderr
    assert "no golden queries are saved here" in run(desk, "eval", code=2).stderr
    golden.write_text('{"query": "q", "expect": ["a"]}\n', "utf-8")
    assert "baseline would be too low" in run(desk, "eval", str(golden), "--save", code=1).stderr
    assert "cannot be read" in run(desk, "eval", str(tmp_path / "nowhere"), code=1).stderr


def test_switching_or_giving_up_where_nothing_is_filled_is_an_error(desk: Path) -> None:
    for command in ("switch", "abandon"):
        refused = run(desk, "index", command, code=1)
        assert "no other generation of the index is being filled" in refused.stderr
        assert "memmcp index rebuild" in refused.stderr


@pytest.mark.requirement("O5")
def test_the_index_is_the_operators_matter(desk: Path) -> None:
    stranger = Client({**http_client(desk).record, "token": "guessed"})
    with pytest.raises(Failed, match="operator's token"):
        stranger.get("/admin/index")
    for path in ("/admin/index/rebuild", "/admin/index/switch", "/admin/eval", "/admin/golden"):
        with pytest.raises(Failed, match="operator's token"):
            stranger.post(path, {})


@pytest.mark.requirement("M9")
def test_a_worker_killed_in_the_middle_of_a_rebuild_holds_nothing_up(desk: Path) -> None:
    generation = run_json(desk, "index", "rebuild")["generation"]
    pid = run_json(desk, "status")["pid"]
    for path in Path("/proc").glob("[0-9]*"):
        try:
            command = (path / "cmdline").read_bytes()
        except OSError:
            continue
        if b"index.worker" in command and str(pid).encode() in command.split(b"\0"):
            os.kill(int(path.name), signal.SIGKILL)

    until(lambda: run_json(desk, "index", "status")["index"]["generation"] == generation, 60)
    assert run_json(desk, "index", "status")["index"]["points"] == 3
