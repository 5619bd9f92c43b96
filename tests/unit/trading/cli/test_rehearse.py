"""``rehearse`` refuses what it cannot run, and says what to do instead."""

import json
import socket
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from trading.cli import app


def refused(*arguments: str) -> dict[str, str]:
    result = CliRunner().invoke(app, ["rehearse", "--json", *arguments])
    assert result.exit_code == 2, result.output
    error: dict[str, str] = json.loads(result.stdout)["error"]
    return error


@pytest.fixture
def taken() -> Iterator[str]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield str(listener.getsockname()[1])


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (("--tokens", ","), "tokens"),
        (("--wallet", "nobody"), "wallet"),
        (("--sol", "0"), "sol"),
        (("--pool-sol", "1.0000000001"), "pool_sol"),
    ],
)
def test_what_cannot_be_run_is_named(arguments: tuple[str, ...], field: str) -> None:
    assert refused(*arguments)["field"] == field


@pytest.mark.parametrize("option", ["--port", "--jupiter-port"])
def test_a_port_that_is_taken_is_said_to_be(taken: str, option: str) -> None:
    other = {"--port": "--jupiter-port", "--jupiter-port": "--port"}[option]
    error = refused(option, taken, other, "0", "--tokens", "FROG")
    assert error["field"] == "port"
    assert "--jupiter-port" in error["hint"]
