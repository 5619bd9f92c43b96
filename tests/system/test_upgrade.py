"""A daemon that is replaced by one of another version under a connected agent: it goes on, or is told what to do."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.agents import QUIET, ROOT, agents, daemon_pid, environment, until
from typer.testing import CliRunner

from memmcp_server.cli import app
from memmcp_server.cli.client import is_served
from memmcp_server.daemon.places import Places

pytestmark = [pytest.mark.system, pytest.mark.requirement("M10")]

OTHER = (
    "import sys, memmcp_server; memmcp_server.__version__ = '99.0'; "
    "import memmcp_server.daemon.connections as connections, memmcp_server.daemon.finding as finding; "
    "connections.PROTOCOL = finding.PROTOCOL = int(sys.argv.pop(1)); "
    "from memmcp_server.__main__ import main; main()"
)
"""The same program under another version, which speaks the protocol between bridge and daemon that is asked for."""


@contextmanager
def replaced(data_dir: Path, protocol: int) -> Iterator[None]:
    """Stop the daemon in order and start one of version 99.0, as an upgrade does."""
    assert CliRunner().invoke(app, ["stop", "--data-dir", str(data_dir)], env=QUIET).exit_code == 0
    assert not is_served(Places(data_dir))
    serve = ["serve", "--no-trading", "--port", "0", "--data-dir", str(data_dir)]
    with subprocess.Popen(
        [sys.executable, "-c", OTHER, str(protocol), *serve],
        env=environment(),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as daemon:
        try:
            until(lambda: daemon_pid(data_dir) == daemon.pid)
            yield
        finally:
            os.kill(daemon.pid, signal.SIGTERM)


def test_a_session_goes_on_with_the_upgraded_daemon_and_is_told_of_it(data_dir: Path) -> None:
    with agents(data_dir, 1) as (agent,):
        agent.initialize()
        written = agent.call("memory_write", content="Numbats eat termites")
        with replaced(data_dir, protocol=1):
            found = agent.call("memory_search", query="numbats termites")["hits"]
            assert [hit["id"] for hit in found] == [written["id"]]
            assert agent.process.stdin is not None
            assert agent.process.stderr is not None
            agent.process.stdin.close()
            assert b"the daemon runs version 99.0" in agent.process.stderr.read()


def test_a_daemon_with_another_protocol_says_which_and_what_to_do(data_dir: Path) -> None:
    with agents(data_dir, 1) as (agent,):
        agent.initialize()
        with replaced(data_dir, protocol=2):
            call = {"name": "memory_search", "arguments": {"query": "numbats"}}
            told = agent.request("tools/call", call)["error"]["message"]
            assert "version 99.0 (protocol 2)" in told
            assert "memmcp stop" in told or "restart" in told
