"""The operator's command line against a real daemon."""

import json
import stat
from pathlib import Path
from typing import Any

import httpx2
import pytest
from click.testing import Result
from tests.support.agents import QUIET, data_directory, http_client, until
from tests.support.figures import Scraped
from typer.testing import CliRunner

from memmcp_server.cli import app
from memmcp_server.cli.client import is_served
from memmcp_server.daemon.places import Places

pytestmark = pytest.mark.system


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in QUIET.items():
        monkeypatch.setenv(name, value)


def run(data_dir: Path, *arguments: str, code: int = 0, text: str | None = None) -> Result:
    result = CliRunner().invoke(app, [*arguments, "--data-dir", str(data_dir)], input=text)
    assert result.exit_code == code, (result.output, result.exception)
    return result


def run_json(data_dir: Path, *arguments: str) -> Any:
    return json.loads(run(data_dir, *arguments, "--json").stdout)


@pytest.mark.requirement("M1")
@pytest.mark.requirement("M3")
def test_a_memory_written_at_the_terminal_is_found_there_and_a_repeat_changes_nothing(desk: Path) -> None:
    first = run_json(desk, "write", "Wombats dig [deep] burrows", "--tag", "fauna", "--kind", "lesson", "--key", "w1")
    again = run_json(desk, "write", "Wombats dig [deep] burrows", "--tag", "fauna", "--kind", "lesson", "--key", "w1")
    assert (again["id"], again["duplicate"], first["duplicate"]) == (first["id"], True, False)
    hits = run_json(desk, "search", "wombats burrows", "--tag", "fauna", "--kind", "lesson")["hits"]
    assert [hit["id"] for hit in hits] == [first["id"]]
    assert "Wombats dig [deep] burrows" in run(desk, "search", "wombats").stdout
    assert "nothing relevant" in run(desk, "search", "wombats", "--namespace", "empty/place").stdout


def test_text_comes_from_stdin_and_steers_no_terminal(desk: Path) -> None:
    run(desk, "write", "-", text="Numbats\nnap")
    found = run(desk, "search", "numbats").stdout
    assert "Numbats\nnap" in found
    assert "control characters" in run(desk, "write", "-", code=1, text="\x1b[31mred").stderr


def test_status_names_the_process_its_queues_and_trading(desk: Path) -> None:
    status = run_json(desk, "status")
    assert status["data_dir"] == str(desk)
    assert {"pid", "version", "http", "uptime_s", "journal", "outbox", "trading", "clients"} <= set(status)
    assert status["trading"] == {"state": "off"}
    assert str(status["pid"]) in run(desk, "status").stdout


def test_a_wrong_value_is_an_error_with_exit_code_one_that_names_the_field(desk: Path) -> None:
    assert "namespace" in run(desk, "write", "x", "--namespace", "Not A Namespace", code=1).stderr
    assert "since" in run(desk, "search", "x", "--since", "yesterday", code=1).stderr
    assert "trajectory" in run(desk, "trajectory", "no-such", code=1).stderr


@pytest.mark.requirement("M9")
def test_export_and_import_carry_everything_once(desk: Path, tmp_path: Path) -> None:
    fact = run_json(desk, "write", "The tale has three steps", "--kind", "fact")["id"]
    run(desk, "update", fact, "--content", "The tale has four steps", "--importance", "80")
    client = http_client(desk)
    client.post("/memory/write", {"content": "signal seen", "trajectory_id": "tale-1", "kind": "step", "cites": [fact]})
    old = run_json(desk, "write", "We sell at twenty percent")["id"]
    new = client.post("/memory/write", {"content": "We sell at thirty percent", "supersedes": [old]})["id"]
    digest = client.post("/memory/write", {"content": "All steps told", "kind": "digest", "cites": [fact]})["id"]
    run(desk, "update", fact, "--content", "The tale has five steps")
    run(desk, "confirm", fact)
    run(desk, "pin", new)
    run(desk, "namespace", "set", "secret/", "--reader", "claude")
    file = tmp_path / "all.jsonl"
    exported = run_json(desk, "export", str(file))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(lines) == exported["lines"]
    assert lines[0]["type"] == "export"
    assert "exists" in run(desk, "export", str(file), code=2).stderr
    assert run_json(desk, "import", str(file))["taken"] == 0

    with data_directory() as other:
        taken = run_json(other, "import", str(file))
        assert taken["taken"] + taken["duplicates"] == len(lines)
        copy = tmp_path / "copy.jsonl"
        run(other, "export", str(copy))
        assert sorted(copy.read_text().splitlines()[1:]) == sorted(file.read_text().splitlines()[1:])
        assert run_json(other, "import", str(file))["taken"] == 0
        again = tmp_path / "again.jsonl"
        run(other, "export", str(again))
        assert again.read_text().splitlines()[1:] == copy.read_text().splitlines()[1:]
        assert run_json(other, "trajectory", "tale-1")["steps"][0]["content"] == "signal seen"
        history = run_json(other, "history", fact)["versions"]
        assert [version["content"] for version in history] == [
            f"The tale has {number} steps" for number in ("three", "four", "five")
        ]
        there = http_client(other)
        assert there.get(f"/memory/{old}")["superseded_at"] is not None
        assert there.get(f"/memory/{new}")["pinned"]
        assert "updated since" in there.get(f"/memory/{digest}")["stale"][0]
        assert run_json(other, "namespace", "list")["policies"] == {"secret/": {"readers": ["claude"]}}


@pytest.mark.parametrize("line", ["not json", "[]", '{"type": "memory"}', '{"type": "spell", "id": "x"}'])
def test_a_broken_export_file_is_an_error_that_names_the_line(desk: Path, tmp_path: Path, line: str) -> None:
    file = tmp_path / "broken.jsonl"
    file.write_text(f"\n{line}\n")
    assert f"{file}, line" in run(desk, "import", str(file), code=1).stderr.replace("\n", " ")


def test_a_backup_made_while_running_opens_as_a_journal(desk: Path, tmp_path: Path) -> None:
    path = Path(run_json(desk, "backup", str(tmp_path / "copies"))["path"])
    assert path.is_file()
    assert path.is_relative_to(tmp_path)


def test_the_index_is_made_anew_and_finds_everything_again(desk: Path) -> None:
    run(desk, "write", "Echidnas lay eggs")
    until(lambda: run_json(desk, "status")["outbox"]["qdrant"]["pending"] == 0, 60, 0.2)
    assert run_json(desk, "rebuild-index")["count"] > 0
    assert run_json(desk, "search", "echidnas")["hits"]
    until(lambda: run_json(desk, "status")["outbox"]["qdrant"]["pending"] == 0, 60, 0.2)
    assert run_json(desk, "search", "echidnas")["hits"]


def test_the_outbox_can_be_listed_retried_and_dropped(desk: Path) -> None:
    until(lambda: run_json(desk, "status")["outbox"]["qdrant"]["pending"] == 0, 60, 0.2)
    assert run_json(desk, "outbox", "list") == {"entries": []}
    assert run_json(desk, "outbox", "retry") == {"count": 0}
    assert "no outbox entry 999999" in run(desk, "outbox", "drop", "999999", code=1).stderr
    assert "known are: qdrant" in run(desk, "outbox", "refill", "langfuse", code=1).stderr


@pytest.mark.requirement("M14")
@pytest.mark.requirement("O6")
def test_changes_are_shown_once_by_cursor_by_name_and_as_they_come(desk: Path) -> None:
    begin = run_json(desk, "changes", "--since-cursor", "now")["next_cursor"]
    for number in range(3):
        run(desk, "write", f"Quokka [{number}]\nsmiles", "--namespace", "zoo/quokkas")
    zoo = ("--namespace", "zoo/", "--since-cursor", begin)
    page = run_json(desk, "changes", *zoo, "--limit", "2")
    assert [change["content"][:10] for change in page["changes"]] == ["Quokka [0]", "Quokka [1]"]
    assert page["more"] is True
    rest = run_json(desk, "changes", "--namespace", "zoo/", "--since-cursor", page["next_cursor"])
    assert [change["content"][:10] for change in rest["changes"]] == ["Quokka [2]"]

    lines = run(desk, "changes", *zoo, "--follow", "--json", "--limit", "3").stdout.splitlines()
    assert [json.loads(line)["content"][:10] for line in lines] == ["Quokka [0]", "Quokka [1]", "Quokka [2]"]
    shown = run(desk, "changes", *zoo).stdout
    assert "Quokka [2] smiles" in shown

    assert len(run_json(desk, "changes", *zoo, "--name", "keeper", "--limit", "2")["changes"]) == 2
    again = run_json(desk, "changes", "--namespace", "zoo/", "--name", "keeper")
    assert [change["content"][:10] for change in again["changes"]] == ["Quokka [2]"]
    assert run_json(desk, "changes", "--namespace", "zoo/", "--name", "keeper")["changes"] == []
    assert "unchanged" in run(desk, "changes", "--since-cursor", "bad", code=1).stderr


def test_the_log_is_shown_from_its_end(desk: Path) -> None:
    assert "serves" in run(desk, "logs", "--lines", "20").stdout
    lines = [json.loads(line) for line in run(desk, "logs", "--json").stdout.splitlines()]
    assert {"ts", "level", "logger", "message"} <= lines[-1].keys()
    assert [line for line in lines if line["level"] == "debug"] == []


@pytest.mark.requirement("O1")
def test_a_scraper_reads_the_daemons_figures(desk: Path) -> None:
    told = Scraped(httpx2.get(f"{http_client(desk).record['http']}/metrics"))
    assert told.value("memmcp_part_up", part="journal") == 1
    assert told.value("process_resident_memory_bytes") > 10_000_000
    assert told.value("memmcp_log_records_total", level="info") > 0


def test_doctor_finds_a_healthy_daemon_and_a_slip_of_the_pen(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(desk))  # no client of whoever runs this
    monkeypatch.setenv("MEMMCP_HTPP__PORT", "1")
    findings = run_json(desk, "doctor")["findings"]
    levels = {finding["name"]: finding["level"] for finding in findings}
    assert levels["daemon"] == levels["journal"] == levels["data directory"] == "ok"
    assert any("MEMMCP_HTPP__PORT" in finding["text"] for finding in findings if finding["level"] == "note")


def test_without_a_daemon_a_command_that_only_asks_ends_with_three_and_says_what_to_do(tmp_path: Path) -> None:
    for command in (["status"], ["outbox", "list"], ["rebuild-index"]):
        assert "memmcp serve" in run(tmp_path, *command, code=3).stderr
    assert "nothing to stop" in run(tmp_path, "stop").stdout
    assert run_json(tmp_path, "stop") == {"stopped": False, "data_dir": str(tmp_path)}


def test_an_unusable_directory_ends_with_three_where_a_daemon_would_be_started(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    assert str(file) in run(file, "write", "x", code=3).stderr.replace("\n", "")


def test_a_write_starts_the_daemon_and_stop_ends_it() -> None:
    with data_directory() as directory:
        run(directory, "write", "first light")
        assert is_served(Places(directory))
        assert "has ended" in run(directory, "stop").stdout
        assert not is_served(Places(directory))


def test_the_admin_routes_want_the_operators_token(desk: Path) -> None:
    import http.client

    host, _, port = str(http_client(desk).record["http"]).removeprefix("http://").partition(":")
    for method, path in (("GET", "/admin/status"), ("POST", "/admin/stop"), ("GET", "/admin/export?part=memories")):
        connection = http.client.HTTPConnection(host, int(port), timeout=10)
        connection.request(method, path)
        assert connection.getresponse().status == 401
        connection.close()
    assert is_served(Places(desk))


@pytest.mark.requirement("M6")
@pytest.mark.requirement("M18")
@pytest.mark.requirement("O6")
@pytest.mark.requirement("O5")
def test_a_code_for_the_page_is_shown_and_logs_in_once_and_all_are_logged_out(desk: Path) -> None:
    shown = run(desk, "login", "--viewer", "--no-browser").stdout
    url, code = shown.split()[0], shown.split()[-1]
    base, _, behind = url.partition("/#login=")
    assert (behind, base) == (code, run_json(desk, "status")["http"])
    page = {"Origin": base, "X-Memmcp-Page": "1"}
    with httpx2.Client(base_url=base, headers=page) as browser:
        assert browser.post("/login", json={"secret": code}).json()["role"] == "viewer"
        assert browser.get("/session").json() == {"role": "viewer", "name": "code", "is_open": True}
        assert browser.post("/memory/write", json={"content": "by a viewer"}).status_code == 403
        assert browser.post("/login", json={"secret": code}).status_code == 401
        assert run_json(desk, "login", "--end-all") == {"ended": 1}
        assert browser.get("/session").json()["role"] is None
    assert run_json(desk, "login")["role"] == "operator"


def test_trajectories_and_the_summary_are_shown_at_the_terminal(desk: Path) -> None:
    client = http_client(desk)
    opened = client.post("/trajectories", {"title": "Count [the] quokkas", "kind": "task"})
    client.post(f"{opened['url']}/steps", {"content": "two of them"})
    client.post("/trajectories", {"title": "Count the koalas", "namespace": "trees/north"})
    client.post(f"{opened['url']}/close", {"outcome": "lost", "reward": -2, "lesson": "Bring a torch."})
    listed = run_json(desk, "trajectories", "--kind", "task")
    assert [(each["id"], each["outcome"]) for each in listed["trajectories"]] == [(opened["id"], "lost")]
    still = run_json(desk, "trajectories", "--open", "--namespace", "trees/")["trajectories"]
    assert [each["title"] for each in still] == ["Count the koalas"]
    assert run_json(desk, "trajectories", "--closed", "--namespace", "trees/")["trajectories"] == []
    shown = run(desk, "trajectories").stdout
    assert "Count [the] quokkas" in shown
    assert "lost, -2" in shown
    page = run_json(desk, "trajectories", "--limit", "1")
    assert page["next_cursor"]
    assert "--cursor" in run(desk, "trajectories", "--limit", "1").stderr
    assert run_json(desk, "trajectories", "--cursor", page["next_cursor"])["trajectories"]
    assert "cursor" in run(desk, "trajectories", "--cursor", "x", code=1).stderr
    assert "no trajectories" in run(desk, "trajectories", "--namespace", "nowhere").stdout
    summary = run_json(desk, "summary", "--kind", "lesson", "--by", "namespace")
    assert summary["total"] >= 1
    told = run(desk, "summary", "--kind", "lesson").stdout
    assert "Bring a torch." in told
    assert "highlights" in told
    assert "by" in run(desk, "summary", "--by", "mood", code=1).stderr
