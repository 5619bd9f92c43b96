"""The model of a running data directory is changed: it answers all the while, dies in between, and loses nothing."""

import json
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from tests.support.agents import daemon_pid, data_directory, environment, until
from tests.support.daemons import served
from tests.support.onnx_models import picked_model
from typer.testing import CliRunner

from memmcp_server.adapters.embedding.model_files import DEFAULT_MODEL
from memmcp_server.cli import app
from memmcp_server.cli.client import Client, find
from memmcp_server.daemon.places import Places

pytestmark = [pytest.mark.system, pytest.mark.timeout(400)]

COUNT = 120
SEARCH_EACH_S = 0.05
FACTS = {
    "the position was closed at a loss after the pool was drained": "why did the trade lose money",
    "the wallet's owner forgot his passphrase": "someone cannot remember a secret",
    "fees exploded while everybody rushed to buy": "expensive costs during the frenzy",
    "the cat slept all afternoon on the keyboard": "a pet took a nap",
    "heavy rain flooded the server room": "water damaged our machines",
}
"""Each with a question that shares no telling word with it: found by meaning or not at all."""


def model(name: str, path: Path | None = None) -> dict[str, str]:
    """Return a daemon's environment for the model."""
    chosen = {"MEMMCP_EMBEDDING__MODEL": name}
    return environment(chosen if path is None else {**chosen, "MEMMCP_EMBEDDING__PATH": str(path)})


def run(data_dir: Path, *arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, [*arguments, "--data-dir", str(data_dir)])
    assert result.exit_code == code, (result.output, result.exception)
    return result


def index_of(client: Client) -> dict[str, Any]:
    index: dict[str, Any] = client.get("/admin/index")["index"]
    return index


def found(client: Client, query: str) -> list[str]:
    hits = client.get("/memory/search", {"query": query, "limit": 10})["hits"]
    return [hit["content"] for hit in hits]


def is_settled(client: Client) -> bool:
    pending = client.get("/admin/status")["outbox"]["qdrant"]["pending"]
    return index_of(client)["state"] == "ready" and not pending


@pytest.fixture(scope="module")
def filled_once() -> Iterator[Path]:
    """A data directory with memories, made with the default model, and saved golden queries."""
    with data_directory() as directory:
        yield fill(directory)


@pytest.fixture
def filled(filled_once: Path, data_dir: Path) -> Path:
    """The same for each test, as if it had been filled for it."""
    shutil.copytree(filled_once, data_dir, dirs_exist_ok=True, symlinks=True)
    return data_dir


def fill(data_dir: Path) -> Path:
    golden = data_dir / "golden.jsonl"
    with served(data_dir, environ=model(DEFAULT_MODEL)):
        client = find(Places(data_dir))
        for fact in FACTS:
            client.post("/memory/write", {"content": fact})
        for number in range(COUNT):
            client.post("/memory/write", {"content": f"report number{number:03d} of the pools on the exchange"})
        until(lambda: is_settled(client), 120)
        lines = [{"query": question, "expect": [{"contains": fact}]} for fact, question in FACTS.items()]
        golden.write_text("\n".join(map(json.dumps, lines)), "utf-8")
        saved = json.loads(run(data_dir, "eval", str(golden), "--save", "--json").stdout)
        assert saved["saved"]
        assert saved["recall_at_10"] >= 0.8, saved["misses"]
    return data_dir


def other_model(data_dir: Path, places: list[int]) -> Path:
    [source] = (data_dir / "models").glob("all-MiniLM-L6-v2-*")
    return picked_model(source, data_dir / "models" / f"picked-{len(places)}", places)


@contextmanager
def searching(client: Client, wrong: list[str]) -> Iterator[None]:
    """Search all the while: by a word that one memory has, and by meaning."""
    ended = threading.Event()

    def search() -> None:
        number = 0
        while not ended.is_set():
            number = (number + 37) % COUNT
            if f"report number{number:03d} of the pools on the exchange" not in found(client, f"number{number:03d}"):
                wrong.append(f"number{number:03d}")
            if index_of(client)["state"] == "ready":
                for fact, question in list(FACTS.items())[:2]:
                    if fact not in found(client, question):
                        wrong.append(question)
            ended.wait(SEARCH_EACH_S)

    thread = threading.Thread(target=search)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(30)
        assert not thread.is_alive()


@pytest.mark.requirement("M9")
@pytest.mark.requirement("M16")
def test_another_model_takes_over_while_everything_is_found_also_after_a_kill(filled: Path) -> None:
    # Every other dimension, in another order: other vectors, and only half as many numbers.
    path = other_model(filled, [(7 * place) % 384 for place in range(300)])
    environ = model("test/picked", path)
    wrong: list[str] = []

    with served(filled, environ=environ) as daemon:
        client = find(Places(filled))
        until(lambda: (index_of(client)["next"] or {}).get("done", 0) > 0, 120, 0.02)
        during = index_of(client)
        assert (during["generation"], during["model"], during["next"]["model"]) == (1, DEFAULT_MODEL, "test/picked")
        with searching(client, wrong):
            client.post("/memory/write", {"content": "a wombat was seen during the change"})
            until(lambda: found(client, "wombat")[:1] == ["a wombat was seen during the change"], 30)
        os.kill(daemon.pid, signal.SIGKILL)
        daemon.wait(10)

    with served(filled, environ=environ):
        assert daemon_pid(filled) != daemon.pid
        client = find(Places(filled))
        with searching(client, wrong):
            until(lambda: index_of(client)["generation"] == 2, 180)
            until(lambda: is_settled(client), 60)
        after = index_of(client)
        assert (after["model"], after["next"], after["points"]) == ("test/picked", None, COUNT + len(FACTS) + 1)
        assert json.loads(run(filled, "index", "check", "--json").stdout)["total"] == 0
        assert found(client, "wombat")[:1] == ["a wombat was seen during the change"]
        evaluated = json.loads(run(filled, "eval", "--json").stdout)
        assert not evaluated["worse"]

    assert wrong == []
    assert not (filled / "index" / "shard").exists()


@pytest.mark.requirement("M16")
def test_a_model_that_finds_less_is_refused_and_says_so(filled: Path) -> None:
    path = other_model(filled, [0, 1])

    with served(filled, environ=model("test/crippled", path)):
        client = find(Places(filled))
        until(lambda: (index_of(client)["next"] or {}).get("phase") == "refused", 180)
        index = index_of(client)
        assert (index["generation"], index["model"], index["state"]) == (1, DEFAULT_MODEL, "ready")
        assert "the golden queries find less there" in index["next"]["problem"]
        assert "memmcp index switch --force" in client.get("/health")["checks"]["index"]
        assert "find less there" in run(filled, "index", "status").stdout
        refused = run(filled, "index", "switch", code=1)
        assert "is not searched yet" in refused.stderr
        assert "--force" in refused.stderr
        assert json.loads(run(filled, "eval", "--json").stdout)["worse"] is False

        run(filled, "index", "switch", "--force")

        assert index_of(client)["model"] == "test/crippled"
        worse = run(filled, "eval", code=1)
        assert "recall@10" in worse.stdout
        assert json.loads(run(filled, "eval", "--json", code=1).stdout)["worse"] is True
