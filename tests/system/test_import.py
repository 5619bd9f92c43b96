"""Moving in from another memory store, by the command line against a real daemon."""

import contextlib
import json
import pickle
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from qdrant_client import QdrantClient, models
from tests.support.agents import QUIET, data_directory
from typer.testing import CliRunner

from memmcp_server.cli import app
from memmcp_server.cli.importing import CHUNK_LINES_MAX

pytestmark = pytest.mark.system


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


def counts(answer: dict[str, Any]) -> tuple[int, int, int]:
    return answer["taken"], answer["duplicates"], answer["skipped"]


def one_line(text: str) -> str:
    return text.replace("\n", " ")


def qdrant_folder(path: Path, documents: dict[int, str]) -> Path:
    with contextlib.closing(QdrantClient(path=str(path))) as client:
        size = models.VectorParams(size=3, distance=models.Distance.COSINE)
        client.create_collection("desk", vectors_config={"fast-all-minilm-l6-v2": size})
        points = [
            models.PointStruct(
                id=number,
                vector={"fast-all-minilm-l6-v2": [0.1, 0.2, 0.3]},
                payload={"document": text, "metadata": {"number": number}},
            )
            for number, text in documents.items()
        ]
        client.upsert("desk", points)
    return path


@pytest.mark.requirement("M9")
def test_the_folder_of_mcp_server_qdrant_moves_in_once(desk: Path, tmp_path: Path) -> None:
    many = {number: f"Quokka number {number} smiles" for number in range(1, 2 * CHUNK_LINES_MAX + 2)}
    folder = qdrant_folder(tmp_path / "qdrant", many)
    assert counts(run_json(desk, "import", str(folder), "--namespace", "imported/desk")) == (len(many), 0, 0)
    assert counts(run_json(desk, "import", str(folder), "--namespace", "imported/desk")) == (0, len(many), 0)
    assert counts(run_json(desk, "import", str(folder), "--namespace", "imported/copy")) == (len(many), 0, 0)
    [hit] = run_json(desk, "search", "quokka 250", "--namespace", "imported/desk", "--limit", "1")["hits"]
    assert hit["content"] == "Quokka number 250 smiles"
    assert (hit["trust"], hit["tags"]) == ("agent", ["mcp-server-qdrant", "desk"])
    file = tmp_path / "all.jsonl"
    run(desk, "export", str(file))
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    [line, _] = [line for line in lines if line.get("content") == "Quokka number 250 smiles"]
    assert (line["source"], line["metadata"]) == ("mcp-server-qdrant, collection desk", {"number": 250})


@pytest.mark.requirement("M9")
def test_one_bad_point_among_many_is_named_and_costs_no_other(desk: Path, tmp_path: Path) -> None:
    documents = {number: f"Bilby number {number} digs" for number in range(1, 101)}
    documents[50] = "\x1b[31mred"
    folder = qdrant_folder(tmp_path / "qdrant", documents)
    with contextlib.closing(sqlite3.connect(folder / "collection" / "desk" / "storage.sqlite")) as rows:
        rows.execute("INSERT INTO points VALUES ('bad', ?)", (pickle.dumps(print),))
        rows.commit()
    answer = run_json(desk, "import", str(folder), "--namespace", "bilbies", code=1)
    assert counts(answer) == (99, 0, 2)
    reasons = {problem["place"]: problem["reason"] for problem in answer["problems"]}
    assert "builtins'.'print" in reasons["collection desk, row 101"]
    assert "control characters" in reasons["collection desk, point 50"]
    said = run(desk, "import", str(folder), "--namespace", "bilbies", code=1)
    assert "0 lines taken, 99 were there already, 2 could not be read" in one_line(said.stdout)
    assert f"{folder}, collection desk, point 50" in one_line(said.stderr)
    assert len(run_json(desk, "search", "bilby 99 digs", "--namespace", "bilbies", "--limit", "100")["hits"]) == 99


@pytest.mark.requirement("M9")
def test_the_reference_servers_file_moves_in_once(desk: Path, tmp_path: Path) -> None:
    file = tmp_path / "memory.jsonl"
    lines = [
        {"type": "entity", "name": "Zoë", "entityType": "person", "observations": ["likes kookaburras", "\ud800"]},
        {"type": "relation", "from": "Zoë", "to": "Acme", "relationType": "works_at"},
    ]
    file.write_text("\n".join(json.dumps(line) for line in lines) + "\nnot json")
    answer = run_json(desk, "import", str(file), code=1)
    assert counts(answer) == (2, 0, 2)
    assert [problem["place"] for problem in answer["problems"]] == ["line 3", "line 1, observations[1]"]
    assert counts(run_json(desk, "import", str(file), "--from", "server-memory", code=1)) == (0, 2, 2)
    [hit] = run_json(desk, "search", "kookaburras", "--namespace", "default")["hits"]
    assert hit["content"] == "Zoë (person): likes kookaburras"
    assert run_json(desk, "search", "Zoë works at Acme", "--kind", "relation")["hits"][0]["content"] == (
        "Zoë works at Acme"
    )


def test_what_cannot_be_imported_is_refused_before_anything_is_stored(desk: Path, tmp_path: Path) -> None:
    file = tmp_path / "memory.jsonl"
    file.write_text('{"type": "entity", "name": "a", "entityType": "b", "observations": []}\n')
    assert "which only the runtime writes" in run(desk, "import", str(file), "--namespace", "trading", code=2).stderr
    assert "Not A Name" in run(desk, "import", str(file), "--namespace", "Not A Name", code=2).stderr
    assert "is no folder" in run(desk, "import", str(file), "--from", "mcp-server-qdrant", code=1).stderr
    assert "there is no" in run(desk, "import", str(tmp_path / "none"), code=1).stderr
    assert "meta.json" in run(desk, "import", str(tmp_path), code=1).stderr
    file.write_text('{"type": "memory"}\n')
    assert "name their own" in one_line(run(desk, "import", str(file), "--namespace", "x", code=2).stderr)
    run(desk, "import", str(file), "--from", "sqlite", code=2)


@pytest.mark.requirement("M9")
def test_a_broken_line_of_an_export_costs_no_other(desk: Path, tmp_path: Path) -> None:
    run(desk, "write", "Emus run")
    file = tmp_path / "all.jsonl"
    count = run_json(desk, "export", str(file))["lines"]
    lines = file.read_text().splitlines()
    file.write_text("\n".join([lines[0], '{"type": "memory"}', "{broken", *lines[1:]]))
    with data_directory() as other:
        answer = run_json(other, "import", str(file), code=1)
        assert answer["taken"] + answer["duplicates"] == count
        assert answer["skipped"] == 2
        assert {problem["place"] for problem in answer["problems"]} == {"line 2", "line 3"}
